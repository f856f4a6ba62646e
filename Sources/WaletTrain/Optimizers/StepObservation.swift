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
}
