import CWaletKernels
import Foundation
import WaletFormats
import WaletTensor

/// Rotary position embedding: the inverse frequencies of a configuration, and their angles at given positions.
public struct RotaryEmbedding: Sendable {
    let layout: Configuration.Rope.Layout
    let amplitude: Float
    /// `[dimensions / 2]`
    let inverseFrequencies: [Float]

    /// Pairs of dimensions that turn together.
    public var pairs: Int { inverseFrequencies.count }

    /// Whether pair i is dimensions 2i and 2i + 1, else i and i + pairs.
    public var isInterleaved: Bool { layout == .interleaved }

    /// - Parameter dimensions: of a head, or of the part of it that turns.
    public init(_ rope: Configuration.Rope, dimensions: Int) {
        layout = rope.layout
        amplitude = Float(rope.amplitude)
        var frequencies = (0..<dimensions / 2).map { pow(rope.theta, -2 * Double($0) / Double(dimensions)) }
        switch rope.scaling {
        case .none: break
        case .linear(let factor):
            for i in frequencies.indices { frequencies[i] /= factor }
        case .llama3(let factor, let lowFrequency, let highFrequency, let originalContext):
            for i in frequencies.indices {
                let turns = originalContext * frequencies[i] / (2 * .pi)
                if turns >= highFrequency { continue }
                let smooth = turns <= lowFrequency ? 0 : (turns - lowFrequency) / (highFrequency - lowFrequency)
                frequencies[i] *= (1 - smooth) / factor + smooth
            }
        case .yarn(let factor, let betaFast, let betaSlow, let originalContext, let truncate):
            // YaRN, arXiv 2309.00071, appendix A.2: dimensions that turn often stay, slow ones are divided.
            func dimension(turns: Double) -> Double {
                Double(dimensions) * log(originalContext / (turns * 2 * .pi)) / (2 * log(rope.theta))
            }
            var low = dimension(turns: betaFast)
            var high = dimension(turns: betaSlow)
            if truncate {
                low = low.rounded(.down)
                high = high.rounded(.up)
            }
            low = max(low, 0)
            high = min(high, Double(dimensions - 1))
            if low == high { high += 0.001 }
            for i in frequencies.indices {
                let ramp = min(max((Double(i) - low) / (high - low), 0), 1)
                frequencies[i] *= (1 - ramp) + ramp / factor
            }
        }
        if let divisors = rope.frequencyDivisors {
            for (i, divisor) in zip(frequencies.indices, divisors) { frequencies[i] /= Double(divisor) }
        }
        inverseFrequencies = frequencies.map { Float($0) }
    }

    /// Cosines and sines of a position, times the amplitude, `[pairs]` each. Angles are rounded to fp32 as in the
    /// reference implementations.
    public func angles(position: Int, cos cosines: UnsafeMutablePointer<Float>, sin sines: UnsafeMutablePointer<Float>)
    {
        for (i, frequency) in inverseFrequencies.enumerated() {
            let angle = Float(position) * frequency
            cosines[i] = cos(angle) * amplitude
            sines[i] = sin(angle) * amplitude
        }
    }

    /// Rotates one head in place, `[2 * pairs]`.
    @inline(__always)
    func rotate(_ x: UnsafeMutablePointer<Float>, cos cosines: UnsafePointer<Float>, sin sines: UnsafePointer<Float>) {
        switch layout {
        case .interleaved: wk_rope_interleaved(x, cosines, sines, Int64(pairs))
        case .half: wk_rope_half(x, cosines, sines, Int64(pairs))
        }
    }
}
