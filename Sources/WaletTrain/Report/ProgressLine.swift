// The line that a person watches.

import Foundation

/// Keeps the speed of a run, and prints where it is.
///
/// ```
/// step 1200/5500  loss 3.4123  1.722 bits/byte  lr 0.00160  4,512 tokens/s  MFU 41.2%  1 h 12 min left
/// ```
public struct ProgressLine: Sendable {
    private let steps: Int
    private let tokensPerStep: Int
    private let flopsPerToken: Double
    private let peakFlops: Double?
    private var last: (step: Int, time: Double)?
    /// Seconds a step, of the last few dozen steps.
    private var pace: Double?

    /// - Parameters:
    ///   - steps: of the whole run.
    ///   - flopsPerToken: ``Recipe/flopsPerToken()``
    ///   - peakFlops: FLOPs a second that the machine's matrix products reach; nil where that was not measured.
    public init(steps: Int, tokensPerStep: Int, flopsPerToken: Double, peakFlops: Double?) {
        self.steps = steps
        self.tokensPerStep = tokensPerStep
        self.flopsPerToken = flopsPerToken
        self.peakFlops = peakFlops
    }

    /// Takes note that a step is done.
    /// - Parameter time: seconds on any clock that does not jump. The first call after a start only sets the clock.
    public mutating func note(step: Int, at time: Double) {
        defer { last = (step, time) }
        guard let last, step > last.step, time > last.time else { return }
        let count = Double(step - last.step)
        let new = (time - last.time) / count
        // The first steps are slower than the rest, and are soon forgotten.
        let weight = min(1, count / 20)
        pace = pace.map { $0 + (new - $0) * weight } ?? new
    }

    /// Takes note that something else than a step has just ended: it does not count.
    public mutating func pause(at time: Double) { if let last { self.last = (last.step, time) } }

    public var tokensPerSecond: Double? { pace.map { Double(tokensPerStep) / $0 } }

    /// From 0 to 1.
    public var utilization: Double? {
        guard let tokensPerSecond, let peakFlops, peakFlops > 0 else { return nil }
        return tokensPerSecond * flopsPerToken / peakFlops
    }

    /// What is left, in seconds.
    public func remaining(after step: Int) -> Double? { pace.map { $0 * Double(max(0, steps - step)) } }

    /// The line for a step.
    public func text(_ metrics: StepMetrics) -> String {
        let total = String(steps)
        let step = String(metrics.step)
        var parts = [
            "step " + String(repeating: " ", count: max(0, total.count - step.count)) + "\(step)/\(total)",
            "loss " + Self.fixed(metrics.loss, 4), Self.fixed(metrics.bitsPerByte, 3) + " bits/byte",
            "lr " + Self.fixed(metrics.learningRate, 5),
        ]
        if let tokensPerSecond { parts.append(Self.grouped(tokensPerSecond) + " tokens/s") }
        if let utilization { parts.append("MFU " + Self.fixed(utilization * 100, 1) + "%") }
        if let remaining = remaining(after: metrics.step) { parts.append(Self.duration(remaining) + " left") }
        return parts.joined(separator: "  ")
    }

    static func fixed(_ value: Double, _ digits: Int) -> String {
        value.isFinite ? String(format: "%.\(digits)f", value) : value.isNaN ? "NaN" : value < 0 ? "-inf" : "inf"
    }

    /// Whole, with a comma every three digits.
    static func grouped(_ value: Double) -> String {
        guard value.isFinite, abs(value) < 1e18 else { return fixed(value, 0) }
        let digits = Array(String(Int(value.rounded().magnitude)))
        var text = value < -0.5 ? "-" : ""
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index) % 3 == 0 { text += "," }
            text.append(digit)
        }
        return text
    }

    /// Two units at most.
    static func duration(_ seconds: Double) -> String {
        guard seconds.isFinite, seconds < 1e10 else { return "?" }
        let seconds = Int(seconds.rounded())
        if seconds < 60 { return "\(seconds) s" }
        if seconds < 3600 { return "\(seconds / 60) min \(seconds % 60) s" }
        if seconds < 86400 { return "\(seconds / 3600) h \(seconds % 3600 / 60) min" }
        return "\(seconds / 86400) d \(seconds % 86400 / 3600) h"
    }
}
