import WaletTensor

/// The rows of one forward pass: stretches of tokens, each of one sequence. Reused from step to step.
public struct Batch {
    struct Segment {
        let cache: KVCache
        /// First row of the batch, and the rows.
        let rows: Range<Int>
        /// Position of the first row in its sequence.
        let start: Int
        /// The rows are part of a long prompt; see ``Batch/append(_:to:ofLongPrompt:)``.
        let isLongPrompt: Bool
    }

    /// Rows it can hold.
    public let capacity: Int
    private(set) var segments: [Segment] = []
    private(set) var tokens: [Int] = []
    private(set) var positions: [Int] = []
    /// The segment of each row.
    private(set) var segmentOfRow: [Int] = []

    /// Rows in it.
    public var count: Int { tokens.count }

    init(capacity: Int) {
        self.capacity = capacity
        tokens.reserveCapacity(capacity)
        positions.reserveCapacity(capacity)
        segmentOfRow.reserveCapacity(capacity)
        segments.reserveCapacity(capacity)
    }

    /// Empties it and keeps its memory.
    public mutating func removeAll() {
        segments.removeAll(keepingCapacity: true)
        tokens.removeAll(keepingCapacity: true)
        positions.removeAll(keepingCapacity: true)
        segmentOfRow.removeAll(keepingCapacity: true)
    }

    /// Adds tokens that follow those in `cache`, and makes room for them there.
    /// - Parameter ofLongPrompt: they are part of a prompt that is long enough for keys and values to be made from the
    ///   latents (``Transformer/isLongPrompt(fresh:cached:)``). It changes the order of sums, so it must be the same for all parts of a
    ///   prompt, whatever its chunks: then its results do not depend on them.
    /// - Precondition: they fit the batch and the cache, and each is below the vocabulary size.
    public mutating func append(_ newTokens: ArraySlice<Int>, to cache: KVCache, ofLongPrompt: Bool = false) {
        precondition(count + newTokens.count <= capacity)
        let start = cache.count
        cache.extend(by: newTokens.count)
        let first = count
        for (offset, token) in newTokens.enumerated() {
            tokens.append(token)
            positions.append(start + offset)
            segmentOfRow.append(segments.count)
        }
        segments.append(Segment(cache: cache, rows: first..<count, start: start, isLongPrompt: ofLongPrompt))
    }
}
