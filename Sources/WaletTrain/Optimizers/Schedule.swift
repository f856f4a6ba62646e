#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// The learning rate over the steps of a run.
public struct Schedule: Sendable, Equatable {
    public enum Shape: Sendable, Equatable {
        /// Half a cosine from the peak at the end of the warm-up to `final` at the last step.
        case cosine
        /// The peak until the last `decay` steps, which go linearly to `final`: warm-up, stable, decay.
        case stable(decay: Int)
    }

    public let shape: Shape
    public let peak: Double
    public let final: Double
    /// Steps of the linear rise from 0; the first of them has peak / warmup.
    public let warmup: Int
    /// Steps of the whole run.
    public let steps: Int

    /// - Precondition: warm-up and decay fit in the steps.
    public init(_ shape: Shape, peak: Double, final: Double, warmup: Int, steps: Int) {
        precondition(warmup >= 0 && warmup <= steps)
        if case .stable(let decay) = shape { precondition(decay >= 0 && warmup + decay <= steps) }
        self.shape = shape
        self.peak = peak
        self.final = final
        self.warmup = warmup
        self.steps = steps
    }

    /// The rate of a step, the first of which is 0. Past the last step it stays at `final`.
    public func rate(at step: Int) -> Double {
        if step < warmup { return peak * Double(step + 1) / Double(warmup) }
        let first: Int
        switch shape {
        case .cosine: first = warmup
        case .stable(let decay): first = steps - decay
        }
        if step < first { return peak }
        // 1 at the last step.
        let progress = first >= steps ? 1 : min(1, Double(step - first + 1) / Double(steps - first))
        switch shape {
        case .cosine: return final + (peak - final) * (1 + cos(.pi * progress)) / 2
        case .stable: return peak + (final - peak) * progress
        }
    }
}
