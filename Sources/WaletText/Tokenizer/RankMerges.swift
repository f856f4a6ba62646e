// Merges of a vocabulary that has ranks instead of them, as tiktoken's do.

/// Finds, for each token, the two tokens that it is merged from last.
package enum RankMerges {
    /// - Parameter tokens: the bytes of each rank, all single bytes among them.
    /// - Returns: pairs of ranks in the order of the ranks they merge to; none for tokens that no merges lead to.
    package static func pairs(_ tokens: [[UInt8]]) -> [(left: Int, right: Int)] {
        let ranks = Dictionary(tokens.enumerated().map { ($1, $0) }, uniquingKeysWith: min)
        return tokens.enumerated().compactMap { rank, token in
            guard token.count > 1 else { return nil }
            let parts = parts(of: token, below: rank, ranks)
            guard parts.count == 2, let left = ranks[parts[0]], let right = ranks[parts[1]] else { return nil }
            return (left, right)
        }
    }

    /// Merges a token's bytes by all ranks before its own.
    private static func parts(of token: [UInt8], below limit: Int, _ ranks: [[UInt8]: Int]) -> [[UInt8]] {
        var parts = token.map { [$0] }
        while parts.count > 2 {
            var best: (rank: Int, place: Int)?
            for place in 0..<parts.count - 1 {
                guard let rank = ranks[parts[place] + parts[place + 1]], rank < limit,
                    rank < best?.rank ?? Int.max
                else { continue }
                best = (rank, place)
            }
            guard let best else { return parts }
            parts[best.place] += parts.remove(at: best.place + 1)
        }
        return parts
    }
}
