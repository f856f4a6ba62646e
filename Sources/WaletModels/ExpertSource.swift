import WaletFormats

/// Where the matrices of a layer's routed experts are.
enum ExpertSource: Sendable {
    /// In mapped files, all of them.
    case mapped([GatedFeedForward])
    /// On disk, except those that memory has room for.
    case streamed(StreamedLayer)

    /// - Parameters:
    ///   - experts: views of the files.
    ///   - prefix: of their names, with the dot.
    init(
        _ experts: [GatedFeedForward], _ prefix: String, perToken: Int, from source: some WeightSource
    ) throws(FormatError) {
        if let source = source as? StreamedWeights {
            self = .streamed(try source.layer(experts, prefix, perToken: perToken))
        } else {
            self = .mapped(experts)
        }
    }

    /// Has experts computed, all at once or in parts as they come.
    /// - Parameters:
    ///   - chosen: different experts.
    ///   - body: is called with each of `chosen` once, with all experts of the layer, of which only those that it is called
    ///     for are to be used, and whether it is the first call; there is one even if no expert was chosen.
    /// - Throws: ``FormatError`` where an expert cannot be read.
    func compute(
        _ chosen: UnsafeBufferPointer<Int32>,
        _ body: (
            _ chosen: UnsafeBufferPointer<Int32>, _ experts: UnsafePointer<GatedFeedForward>, _ isFirst: Bool
        ) -> Void
    ) throws(FormatError) {
        switch self {
        case .mapped(let experts):
            experts.withUnsafeBufferPointer { experts in
                if let start = experts.baseAddress { body(chosen, start, true) }
            }
        case .streamed(let layer):
            guard let store = layer.store else { preconditionFailure("the weights have not been loaded") }
            try store.bring(layer, chosen) { body($0, layer.experts, $1) }
        }
    }
}
