// What reinforcement minimizes, a token at a time.

#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// The clipped objective of a token (PPO, arXiv 1707.06347, section 3, with GRPO's advantages), and the divergence from the
/// model that the run began with (Schulman's estimate k3, as in GRPO).
///
///     -weight * min(r * A, clip(r, 1 - low, 1 + high) * A) + weight * beta * (q / p - ln(q / p) - 1),  r = p / p_old
struct PolicyObjective: Sendable {
    var clipLow: Float
    var clipHigh: Float
    /// beta
    var divergence: Float

    /// A token of an answer.
    struct Term: Sendable {
        /// A
        var advantage: Float
        /// ln p when it was drawn.
        var oldLogProbability: Float
        /// ln p of the model that the run began with; nil where that does not count.
        var referenceLogProbability: Float?
        /// The token's part of the loss.
        var weight: Float
    }

    /// - Parameter tokenLoss: -ln p now.
    /// - Returns: the token's part of the loss, and by how much that grows with `tokenLoss`.
    func callAsFunction(_ term: Term, tokenLoss: Float) -> (value: Float, slope: Float) {
        let ratio = exp(-tokenLoss - term.oldLogProbability)
        let free = ratio * term.advantage
        let clipped = min(max(ratio, 1 - clipLow), 1 + clipHigh) * term.advantage
        var value = -min(free, clipped)
        var slope = free <= clipped ? free : 0
        if let reference = term.referenceLogProbability {
            let difference = reference + tokenLoss
            value += divergence * (exp(difference) - difference - 1)
            slope += divergence * (exp(difference) - 1)
        }
        return (term.weight * value, term.weight * slope)
    }

    /// Whether a token is left alone because its probability has moved far enough.
    func isClipped(_ term: Term, tokenLoss: Float) -> Bool {
        let ratio = exp(-tokenLoss - term.oldLogProbability)
        return term.advantage > 0 ? ratio > 1 + clipHigh : term.advantage < 0 && ratio < 1 - clipLow
    }
}
