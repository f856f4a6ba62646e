/// What the passes of one step saw of attention and experts: more than one where gradients are accumulated.
public struct StepObservation: Sendable, Equatable {
    /// The largest scaled attention score of each head, a layer at a time.
    public private(set) var maxLogits: [[Float]] = []
    /// Rows that each expert got, by layer.
    public private(set) var expertCounts: [Int: [Int]] = [:]

    public init() {}

    public init(_ pass: TrainingPass) { add(pass) }

    public mutating func add(_ pass: TrainingPass) {
        if maxLogits.isEmpty { maxLogits = pass.maxLogits.map { $0.map { _ in -Float.infinity } } }
        for layer in pass.maxLogits.indices {
            for (head, value) in pass.maxLogits[layer].enumerated() {
                // A maximum passes a NaN by.
                let old = maxLogits[layer][head]
                maxLogits[layer][head] = old.isNaN || value.isNaN ? .nan : max(old, value)
            }
        }
        expertCounts.merge(pass.expertCounts) { zip($0, $1).map { $0 + $1 } }
    }

    /// The largest score of each layer. [layers]
    public var largestLogits: [Double] {
        maxLogits.map { layer in
            layer.contains(where: \.isNaN) ? .nan : Double(layer.max() ?? -.infinity)
        }
    }

    /// The same with other numbers, as all processes together have them.
    /// - Parameters:
    ///   - logits: of all heads, one layer after the other.
    ///   - counts: of the experts of the given layers, one layer after the other.
    func replacing(maxLogits logits: [Float], expertCounts counts: [Double], ofLayers layers: [Int]) -> Self {
        var result = self
        var place = 0
        for layer in maxLogits.indices {
            result.maxLogits[layer] = Array(logits[place..<place + maxLogits[layer].count])
            place += maxLogits[layer].count
        }
        place = 0
        for layer in layers {
            let experts = expertCounts[layer, default: []].count
            result.expertCounts[layer] = counts[place..<place + experts].map { Int($0) }
            place += experts
        }
        return result
    }
}
