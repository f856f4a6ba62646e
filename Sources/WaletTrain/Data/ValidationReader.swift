// The validation split: the same sequences in the same order, each time.

/// Cuts the validation documents, in the order in which they were written, into sequences that follow each other. What
/// is left at the end and makes no whole sequence is left out, always the same.
public struct ValidationReader: Sendable {
    /// How many there are.
    public let sequences: Int
    public let length: Int
    private let shards: [TokenShard]

    /// - Throws: ``DataError/tooFewTokens(split:tokens:needed:)`` for a split that makes not even one sequence.
    public init(_ dataset: TokenDataset, length: Int) throws(DataError) {
        precondition(length > 0)
        let tokens = dataset.tokens(.validation)
        guard tokens > length else { throw .tooFewTokens(split: "validation", tokens: tokens, needed: length + 1) }
        shards = dataset.shards(.validation)
        self.length = length
        sequences = (tokens - 1) / length
    }

    /// The sequences of a range, as far as there are so many.
    /// - Throws: ``DataError/badShard(path:reason:)`` where a shard was cut meanwhile.
    public func batch(_ range: Range<Int>) throws(DataError) -> TokenBatch {
        let range = range.clamped(to: 0..<sequences)
        var batch = TokenBatch(sequences: range.count, length: length, inputs: [], targets: [])
        guard !range.isEmpty else { return batch }
        let tokens = try tokens(range.lowerBound * length..<range.upperBound * length + 1)
        batch.inputs = Array(tokens.dropLast())
        batch.targets = Array(tokens.dropFirst())
        return batch
    }

    /// Tokens of the shards one after the other.
    private func tokens(_ range: Range<Int>) throws(DataError) -> [Int32] {
        var tokens: [Int32] = []
        var start = 0
        for shard in shards {
            let part = range.clamped(to: start..<start + shard.header.tokens)
            if !part.isEmpty {
                tokens += shard.tokens(part.lowerBound - start..<part.upperBound - start)
                try shard.checkIntact()
            }
            start += shard.header.tokens
        }
        return tokens
    }
}
