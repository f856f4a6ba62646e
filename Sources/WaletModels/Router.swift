import CWaletKernels
import Foundation
import WaletFormats
import WaletTensor

/// Chooses the experts of a token and their weights.
///
/// Everything is fp32: with less, close scores change places and another expert answers.
struct Router: Sendable {
    let gate: Linear
    /// Added to the scores for the choice only, never to the weights; `[experts]`.
    let correctionBias: FloatBuffer?
    let experts: Configuration.Experts

    init(
        _ configuration: Configuration, _ experts: Configuration.Experts, _ prefix: String,
        from source: some WeightSource
    )
        throws(FormatError)
    {
        self.experts = experts
        gate = try Linear(prefix + "gate", outputs: experts.count, inputs: configuration.hiddenSize, from: source)
        correctionBias =
            experts.selection == .biased
            ? try source.vector(prefix + "gate.e_score_correction_bias", count: experts.count) : nil
    }

    /// Chooses for one token.
    /// - Parameters:
    ///   - scores: the gate's logits, `[experts]`; overwritten.
    ///   - choice: scratch, `[experts + groups]`
    ///   - ids: receives the experts, best first, `[perToken]`
    ///   - weights: receives their weights, `[perToken]`
    func route(
        _ scores: UnsafeMutablePointer<Float>, choice: UnsafeMutablePointer<Float>,
        ids: UnsafeMutablePointer<Int32>, weights: UnsafeMutablePointer<Float>
    ) {
        let count = experts.count
        switch experts.scoring {
        case .softmax: wk_softmax(scores, Int64(count))
        case .sigmoid:
            for e in 0..<count { scores[e] = 1 / (1 + exp(-scores[e])) }
        }
        ExpertChoice(experts).choose(scores, bias: correctionBias?.pointer, scratch: choice, ids: ids)
        var sum: Float = 0
        for k in 0..<experts.perToken {
            weights[k] = scores[Int(ids[k])]
            sum += weights[k]
        }
        let factor = experts.normalized ? experts.scale / (sum + 1e-20) : experts.scale
        for k in 0..<experts.perToken { weights[k] *= factor }
    }
}

/// Which experts a token's scores choose: the same for inference and for training.
public struct ExpertChoice: Sendable {
    let experts: Configuration.Experts

    public init(_ experts: Configuration.Experts) { self.experts = experts }

    /// Floats of scratch memory that a choice needs.
    public var scratch: Int { experts.count + experts.groups }

    /// - Parameters:
    ///   - scores: `[experts]`
    ///   - bias: added to the scores for the choice only, `[experts]`; nil for none.
    ///   - scratch: ``scratch`` floats.
    ///   - ids: receives the experts, best first, `[perToken]`
    public func choose(
        _ scores: UnsafePointer<Float>, bias: UnsafePointer<Float>?, scratch choice: UnsafeMutablePointer<Float>,
        ids: UnsafeMutablePointer<Int32>
    ) {
        let count = experts.count
        if let bias {
            for e in 0..<count { choice[e] = scores[e] + bias[e] }
        } else {
            choice.update(from: scores, count: count)
        }
        if experts.groups > 1, experts.selection != .greedy { limitGroups(choice, groupScores: choice + count) }
        Self.largest(experts.perToken, of: choice, count: count, into: ids)
    }

    /// Takes the experts of all but the best groups out of the choice.
    private func limitGroups(_ choice: UnsafeMutablePointer<Float>, groupScores: UnsafeMutablePointer<Float>) {
        let size = experts.count / experts.groups
        for group in 0..<experts.groups {
            var first = -Float.infinity
            var second = -Float.infinity
            for e in group * size..<(group + 1) * size {
                let score = choice[e]
                if score > first {
                    second = first
                    first = score
                } else if score > second {
                    second = score
                }
            }
            groupScores[group] = experts.selection == .biased ? first + (size > 1 ? second : 0) : first
        }
        // A biased score may be negative, so that a 0 could win; without a bias, 0 is what the reference fills in.
        let out: Float = experts.selection == .biased ? -.infinity : 0
        for _ in 0..<experts.groupsPerToken {
            var best = -1
            for group in 0..<experts.groups
            where !groupScores[group].isNaN && (best < 0 || groupScores[group] > groupScores[best]) { best = group }
            if best >= 0 { groupScores[best] = .nan }
        }
        for group in 0..<experts.groups where !groupScores[group].isNaN {
            (choice + group * size).update(repeating: out, count: size)
        }
    }

    /// The indices of the `k` largest values, largest first; the lower index of equals.
    static func largest(_ k: Int, of values: UnsafePointer<Float>, count: Int, into ids: UnsafeMutablePointer<Int32>) {
        var kept = 0
        for index in 0..<count {
            let value = values[index]
            if kept == k, !(value > values[Int(ids[k - 1])]) { continue }
            var place = kept < k ? kept : k - 1
            while place > 0, value > values[Int(ids[place - 1])] {
                ids[place] = ids[place - 1]
                place -= 1
            }
            ids[place] = Int32(index)
            if kept < k { kept += 1 }
        }
    }
}
