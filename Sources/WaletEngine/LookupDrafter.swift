/// Drafts what followed the last time that the text ended as it ends now: prompt lookup, over prompt and answer.
///
/// Stretches of `sizes.lowerBound` tokens are kept in hash chains, newest first, as LZ77 compressors do. A draft goes on
/// from the longest agreement among the newest few of its chain. Appending a token is a constant amount of work, and
/// memory is bounded by the window, whatever the length of the text.
package struct LookupDrafter: Sendable {
    /// Tokens that must agree, and tokens that are compared, at most.
    package let sizes: ClosedRange<Int>
    /// Places of a chain that are looked at.
    private static let steps = 16

    /// The newest tokens, `[window]`; that of position p lies at `p & mask`.
    private var tokens: [Int32]
    /// Tokens so far, of which the window may have lost the oldest.
    private var count = 0
    private let mask: Int
    /// For each hash the position after its newest stretch, 0 for none, `[window]`.
    private var newest: [Int32]
    /// For each stretch, by its last position, the position after the stretch before it in its chain, `[window]`.
    private var earlier: [Int32]

    /// - Parameters:
    ///   - capacity: tokens that the text may come to have.
    ///   - window: tokens that are remembered, at most; rounded up to a power of two.
    package init(capacity: Int, sizes: ClosedRange<Int> = 3...16, window: Int = 1 << 17) {
        precondition(sizes.lowerBound > 0 && window > sizes.upperBound)
        self.sizes = sizes
        var size = 64
        while size < min(capacity, window) { size *= 2 }
        mask = size - 1
        tokens = .init(repeating: 0, count: size)
        newest = .init(repeating: 0, count: size)
        earlier = .init(repeating: 0, count: size)
    }

    /// Bytes of the index.
    package var byteCount: Int { 3 * (mask + 1) * MemoryLayout<Int32>.stride }

    /// Adds a token to the text.
    package mutating func append(_ token: Int) {
        tokens[count & mask] = Int32(truncatingIfNeeded: token)
        count += 1
        guard count >= sizes.lowerBound else { return }
        var hash: UInt32 = 2_166_136_261
        for position in count - sizes.lowerBound..<count {
            hash = (hash ^ UInt32(bitPattern: self[position])) &* 0x9E37_79B1
            hash ^= hash >> 15
        }
        let chain = Int(hash) & mask
        earlier[(count - 1) & mask] = newest[chain]
        newest[chain] = Int32(count)
    }

    /// What may come next.
    /// - Parameter limit: tokens, at most.
    /// - Returns: nothing where the text never ended so before.
    package func draft(_ limit: Int) -> [Int] {
        guard limit > 0, count >= sizes.lowerBound, let start = continuation() else { return [] }
        var draft: [Int] = []
        draft.reserveCapacity(limit)
        // A text that repeats with a short period goes on into its own draft.
        for offset in 0..<limit {
            let position = start + offset
            draft.append(position < count ? Int(self[position]) : draft[position - count])
        }
        return draft
    }

    /// The position after the earlier stretch that agrees longest with the end of the text.
    private func continuation() -> Int? {
        let oldest = max(0, count - mask - 1)
        var best: (position: Int, length: Int)?
        var candidate = Int(earlier[(count - 1) & mask])
        for _ in 0..<Self.steps {
            // The window has lost what lies further back.
            guard candidate > 0, candidate - sizes.lowerBound >= oldest else { break }
            let limit = min(sizes.upperBound, candidate - oldest)
            var length = 0
            while length < limit, self[candidate - 1 - length] == self[count - 1 - length] { length += 1 }
            if length >= sizes.lowerBound, length > best?.length ?? 0 { best = (candidate, length) }
            if best?.length == sizes.upperBound { break }
            candidate = Int(earlier[(candidate - 1) & mask])
        }
        return best?.position
    }

    private subscript(position: Int) -> Int32 { tokens[position & mask] }
}
