import WaletTensor

#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// Which experts each row goes to, with what weights, and where its copies lie in the order of experts.
public final class Routing {
    public let experts: Int
    public let perToken: Int
    /// The chosen experts, best first, `[rows, perToken]`
    public let ids: [Int32]
    /// Their weights, `[rows, perToken]`
    public let weights: Tensor
    /// Rows that each expert gets, `[experts]`
    public let counts: [Int]
    /// The term that the balance loss adds to the loss; 0 without one.
    public let balanceLoss: Double
    /// First slot of each expert, `[experts + 1]`; slots are the rows' copies in the order of experts.
    let firstSlot: [Int]
    /// The row of each slot, and which of its choices it is: row * perToken + choice.
    let choiceOfSlot: [Int32]
    /// The slot of each choice, `[rows, perToken]`
    let slotOfChoice: [Int32]

    init(experts: Int, perToken: Int, ids: [Int32], weights: Tensor, balanceLoss: Double) {
        var firstSlot = [Int](repeating: 0, count: experts + 1)
        for id in ids { firstSlot[Int(id) + 1] += 1 }
        counts = Array(firstSlot.dropFirst())
        for expert in 0..<experts { firstSlot[expert + 1] += firstSlot[expert] }
        var next = firstSlot
        var choiceOfSlot = [Int32](repeating: 0, count: ids.count)
        var slotOfChoice = [Int32](repeating: 0, count: ids.count)
        for (choice, id) in ids.enumerated() {
            let slot = next[Int(id)]
            next[Int(id)] += 1
            choiceOfSlot[slot] = Int32(choice)
            slotOfChoice[choice] = Int32(slot)
        }
        self.experts = experts
        self.perToken = perToken
        self.ids = ids
        self.weights = weights
        self.balanceLoss = balanceLoss
        self.firstSlot = firstSlot
        self.choiceOfSlot = choiceOfSlot
        self.slotOfChoice = slotOfChoice
    }
}

/// How a router turns its logits into scores and weights.
public struct RouterRule: Sendable {
    public enum Scoring: Sendable { case softmax, sigmoid }

    public let scoring: Scoring
    public let perToken: Int
    /// Weights of the chosen experts are divided by their sum.
    public let normalized: Bool
    public let scale: Float

    public init(scoring: Scoring, perToken: Int, normalized: Bool, scale: Float) {
        self.scoring = scoring
        self.perToken = perToken
        self.normalized = normalized
        self.scale = scale
    }
}

/// DeepSeek-V3's balance loss within a sequence (arXiv 2412.19437, equations 17 to 20).
public struct SequenceBalance {
    /// alpha, times the part that the sequences' mean takes in the loss.
    public let weight: Float
    public let segments: [Range<Int>]

    public init(weight: Float, segments: [Range<Int>]) {
        self.weight = weight
        self.segments = segments
    }
}

extension Tape {
    /// Chooses experts and their weights. The choice has no gradient; weights take theirs to the chosen scores.
    /// - Parameters:
    ///   - logits: `[rows, experts]`
    ///   - balance: the loss that keeps a sequence from using few experts; nil for none.
    ///   - choose: writes the experts of a row, `[perToken]`, given its scores, `[experts]`.
    public func route(
        _ logits: Tensor, _ rule: RouterRule, balance: SequenceBalance? = nil,
        choose: (_ scores: UnsafePointer<Float>, _ ids: UnsafeMutablePointer<Int32>) -> Void
    ) -> Routing {
        let (rows, experts, perToken) = (logits.rows, logits.columns, rule.perToken)
        let scores = arena.tensor([rows, experts], needsGradient: false)
        let weights = arena.tensor([rows, perToken])
        var ids = [Int32](repeating: 0, count: rows * perToken)
        ids.withUnsafeMutableBufferPointer { ids in
            for row in 0..<rows {
                let score = scores.pointer + row * experts
                rule.scoring.scores(of: logits.pointer + row * experts, count: experts, into: score)
                let chosen = ids.baseAddress! + row * perToken
                choose(score, chosen)
                let weight = weights.pointer + row * perToken
                var sum: Float = 0
                for k in 0..<perToken {
                    weight[k] = score[Int(chosen[k])]
                    sum += weight[k]
                }
                let factor = rule.normalized ? rule.scale / (sum + 1e-20) : rule.scale
                for k in 0..<perToken { weight[k] *= factor }
            }
        }
        let (balanceLoss, slopes) = balance?.loss(scores, ids, perToken: perToken) ?? (0, [])
        let routing = Routing(
            experts: experts, perToken: perToken, ids: ids, weights: weights, balanceLoss: balanceLoss)
        record { [ids = routing.ids] in
            let target = logits.zeroedGradient()
            var dScores = [Float](repeating: 0, count: experts)
            let segmentOfRow = balance?.segmentOfRow(rows) ?? []
            for row in 0..<rows {
                let score = scores.pointer + row * experts
                for e in 0..<experts { dScores[e] = 0 }
                if let dWeights = weights.gradient {
                    rule.weightSlopes(
                        dWeights + row * perToken, score, ids[row * perToken..<(row + 1) * perToken], into: &dScores)
                }
                if !segmentOfRow.isEmpty, segmentOfRow[row] >= 0 {
                    SequenceBalance.addSlopes(slopes, segment: segmentOfRow[row], score, into: &dScores)
                }
                rule.scoring.addLogitSlopes(dScores, score, into: target + row * experts)
            }
        }
        return routing
    }
}

extension RouterRule {
    /// dScores += what the gradient of a row's weights makes of the chosen scores.
    fileprivate func weightSlopes(
        _ dWeights: UnsafePointer<Float>, _ score: UnsafePointer<Float>, _ chosen: ArraySlice<Int32>,
        into dScores: inout [Float]
    ) {
        guard normalized else {
            for (k, id) in chosen.enumerated() { dScores[Int(id)] += scale * dWeights[k] }
            return
        }
        // w = scale * s / sum(s): dw/ds = scale / sum * (identity - s / sum).
        var (sum, product): (Float, Float) = (1e-20, 0)
        for (k, id) in chosen.enumerated() {
            sum += score[Int(id)]
            product += dWeights[k] * score[Int(id)]
        }
        for (k, id) in chosen.enumerated() { dScores[Int(id)] += scale / sum * (dWeights[k] - product / sum) }
    }
}

extension RouterRule.Scoring {
    fileprivate func scores(of logits: UnsafePointer<Float>, count: Int, into scores: UnsafeMutablePointer<Float>) {
        switch self {
        case .sigmoid:
            for e in 0..<count { scores[e] = 1 / (1 + exp(-logits[e])) }
        case .softmax:
            var (most, sum): (Float, Float) = (-.infinity, 0)
            for e in 0..<count { most = max(most, logits[e]) }
            for e in 0..<count {
                scores[e] = exp(logits[e] - most)
                sum += scores[e]
            }
            for e in 0..<count { scores[e] /= sum }
        }
    }

    fileprivate func addLogitSlopes(
        _ dScores: [Float], _ scores: UnsafePointer<Float>, into target: UnsafeMutablePointer<Float>
    ) {
        switch self {
        case .sigmoid:
            for e in dScores.indices { target[e] += dScores[e] * scores[e] * (1 - scores[e]) }
        case .softmax:
            var mean: Float = 0
            for e in dScores.indices { mean += dScores[e] * scores[e] }
            for e in dScores.indices { target[e] += scores[e] * (dScores[e] - mean) }
        }
    }
}

extension SequenceBalance {
    /// The loss, and by how much it grows with each row's normalized scores, `[segments, experts]`.
    fileprivate func loss(_ scores: Tensor, _ ids: [Int32], perToken: Int) -> (Double, [Float]) {
        let experts = scores.columns
        var result = 0.0
        var slopes: [Float] = []
        for segment in segments {
            var counts = [Int](repeating: 0, count: experts)
            for id in ids[segment.lowerBound * perToken..<segment.upperBound * perToken] { counts[Int(id)] += 1 }
            // f_e / T times the sequence's part of all rows.
            let share = Double(weight) / Double(scores.rows)
            let slope = counts.map { share * Double($0 * experts) / Double(perToken * segment.count) }
            for row in segment {
                let score = scores.pointer + row * experts
                var (sum, part) = (0.0, 0.0)
                for e in 0..<experts {
                    sum += Double(score[e])
                    part += slope[e] * Double(score[e])
                }
                result += part / sum
            }
            slopes += slope.map { Float($0) }
        }
        return (result, slopes)
    }

    /// The segment of each row; -1 for rows in none.
    fileprivate func segmentOfRow(_ rows: Int) -> [Int] {
        var result = [Int](repeating: -1, count: rows)
        for (index, segment) in segments.enumerated() { for row in segment { result[row] = index } }
        return result
    }

    /// dScores += the slopes of a row of a segment, taken through the division by the scores' sum.
    fileprivate static func addSlopes(
        _ slopes: [Float], segment: Int, _ score: UnsafePointer<Float>, into dScores: inout [Float]
    ) {
        let experts = dScores.count
        var (sum, mean): (Float, Float) = (0, 0)
        for e in 0..<experts {
            sum += score[e]
            mean += slopes[segment * experts + e] * score[e]
        }
        mean /= sum
        for e in 0..<experts { dScores[e] += (slopes[segment * experts + e] - mean) / sum }
    }
}
