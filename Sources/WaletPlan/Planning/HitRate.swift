// How often a chosen expert is in memory already: the one number of a plan that only routing can tell.

/// What is assumed of the share of chosen experts that the cache holds.
///
/// No curve of Kimi K2 is published. The central curve goes through what was measured on models of this kind with a cache
/// of least recently used experts (GLM-5.2, 256 experts of which 8 are chosen, and Qwen3.5-397B), and the lower and upper
/// curve through the least and most of them; no cache would do worse than the lower one on such models, but a model whose
/// routing is even has a hit rate of no more than the share that is cached.
public enum HitRate {
    public enum Curve: Sendable, CaseIterable { case low, central, high }

    /// The share of all routed experts that is cached, and the hit rates seen there.
    static let points: [(share: Double, low: Double, central: Double, high: Double)] = [
        (0, 0, 0, 0), (0.024, 0.03, 0.10, 0.15), (0.080, 0.24, 0.42, 0.55), (0.19, 0.50, 0.62, 0.75),
        (0.42, 0.65, 0.80, 0.91), (0.865, 0.95, 0.98, 0.99), (1, 1, 1, 1),
    ]

    /// The hit rate that is assumed where a share of 0 to 1 of the routed experts is cached, linear between the points.
    public static func assumed(cachedShare share: Double, _ curve: Curve = .central) -> Double {
        func value(_ point: (share: Double, low: Double, central: Double, high: Double)) -> Double {
            switch curve {
            case .low: point.low
            case .central: point.central
            case .high: point.high
            }
        }
        guard share > 0 else { return 0 }
        for (left, right) in zip(points, points.dropFirst()) where share <= right.share {
            let part = (share - left.share) / (right.share - left.share)
            return value(left) + part * (value(right) - value(left))
        }
        return 1
    }
}
