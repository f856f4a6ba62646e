import Foundation
import WaletTensor

/// Draws tokens from logits. A value: the same seed and the same logits give the same tokens.
public struct Sampler: Sendable {
    public let parameters: SamplingParameters
    private var random: SplitMix64
    /// Tokens of prompt and answer, and how often the answer has them.
    private var answerCounts: [Int: Int] = [:]
    private var seen: Set<Int> = []
    /// Ids that have no token and must never be drawn.
    private let forbidden: [Int]
    /// Added to logits.
    private let bias: [Int: Float]
    private var candidates: [Int32] = []
    private var weights: [Double] = []
    /// Of the whole vocabulary.
    private var probabilities: [Float] = []

    /// - Parameters:
    ///   - prompt: tokens that the repetition penalty counts.
    ///   - forbidden: ids below the vocabulary size for which the tokenizer has no token.
    ///   - bias: what to add to the logits of some ids.
    public init(
        _ parameters: SamplingParameters, prompt: some Sequence<Int> = [], forbidden: [Int] = [],
        bias: [Int: Float] = [:]
    ) {
        self.parameters = parameters
        self.forbidden = forbidden
        self.bias = bias
        random = SplitMix64(state: parameters.seed ?? .random(in: 0...UInt64.max))
        if parameters.repetitionPenalty != 1 { seen.formUnion(prompt) }
    }

    /// Draws the next token and counts it as part of the answer.
    /// - Parameter logits: `[vocabulary]`, changed by penalties.
    public mutating func sample(_ logits: UnsafeMutableBufferPointer<Float>) -> Int {
        for id in forbidden where id < logits.count { logits[id] = -.infinity }
        for (id, value) in bias where logits.indices.contains(id) { logits[id] += value }
        penalize(logits)
        let token = parameters.temperature == 0 ? Self.largest(logits) : draw(logits)
        answerCounts[token, default: 0] += 1
        if parameters.repetitionPenalty != 1 { seen.insert(token) }
        return token
    }

    private func penalize(_ logits: UnsafeMutableBufferPointer<Float>) {
        if parameters.repetitionPenalty != 1 {
            let penalty = Float(parameters.repetitionPenalty)
            for id in seen where id < logits.count {
                logits[id] = logits[id] > 0 ? logits[id] / penalty : logits[id] * penalty
            }
        }
        if parameters.presencePenalty != 0 || parameters.frequencyPenalty != 0 {
            for (id, count) in answerCounts where id < logits.count {
                logits[id] -= Float(parameters.presencePenalty + parameters.frequencyPenalty * Double(count))
            }
        }
    }

    /// The index of the largest value, the lowest of equals; NaN counts as smallest.
    static func largest(_ values: UnsafeMutableBufferPointer<Float>) -> Int {
        var best = 0
        var largest = -Float.infinity
        for (index, value) in values.enumerated() where value > largest {
            largest = value
            best = index
        }
        return best
    }

    private mutating func draw(_ logits: UnsafeMutableBufferPointer<Float>) -> Int {
        let best = Self.largest(logits)
        let highest = Double(logits[best])
        guard highest.isFinite else { return best }
        if parameters.topK <= 0 || parameters.topK >= logits.count, parameters.topP >= 1, parameters.minP <= 0 {
            return drawOfAll(logits, best: best) ?? best
        }
        let temperature = parameters.temperature
        func weight(_ id: Int32) -> Double { exp((Double(logits[Int(id)]) - highest) / temperature) }

        collect(logits, best: best)
        weights.removeAll(keepingCapacity: true)
        for id in candidates { weights.append(weight(id)) }

        // Sorted, largest first: keep the shortest head that reaches top-p of what top-k left.
        if parameters.topP < 1 {
            let total = totalAfterTopK(logits, best: best)
            var sum = 0.0
            var kept = 0
            while kept < weights.count {
                sum += weights[kept]
                kept += 1
                if sum >= parameters.topP * total { break }
            }
            candidates.removeLast(candidates.count - kept)
            weights.removeLast(weights.count - kept)
        }
        if parameters.minP > 0 {
            var kept = 0
            for index in weights.indices where weights[index] >= parameters.minP {
                weights[kept] = weights[index]
                candidates[kept] = candidates[index]
                kept += 1
            }
            candidates.removeLast(candidates.count - kept)
            weights.removeLast(weights.count - kept)
        }
        var point = random.nextUnit() * weights.reduce(0, +)
        for (index, weight) in weights.enumerated() {
            point -= weight
            if point < 0 { return Int(candidates[index]) }
        }
        return candidates.last.map { Int($0) } ?? best
    }

    /// Draws where nothing is cut off: among as many as a vocabulary has, blocks are passed over by their sums.
    private mutating func drawOfAll(_ logits: UnsafeMutableBufferPointer<Float>, best: Int) -> Int? {
        makeProbabilities(logits, best: best)
        let block = 256
        weights.removeAll(keepingCapacity: true)
        probabilities.withUnsafeBufferPointer { p in
            for start in stride(from: 0, to: p.count, by: block) {
                let end = min(start + block, p.count)
                // Four sums, as each add waits for the one before.
                var sums = SIMD4<Double>()
                var i = start
                while i + 4 <= end {
                    sums += SIMD4(Double(p[i]), Double(p[i + 1]), Double(p[i + 2]), Double(p[i + 3]))
                    i += 4
                }
                while i < end {
                    sums[0] += Double(p[i])
                    i += 1
                }
                weights.append(sums.sum())
            }
        }
        var point = random.nextUnit() * weights.reduce(0, +)
        for (index, sum) in weights.enumerated() {
            guard point < sum || index == weights.count - 1 else {
                point -= sum
                continue
            }
            // The last block may fall short of the point by a rounding: then its last token is meant.
            var last: Int?
            for id in index * block..<min((index + 1) * block, logits.count) where logits[id] > -.infinity {
                point -= Double(probabilities[id])
                last = id
                if point < 0 { break }
            }
            return last
        }
        return nil
    }

    /// The softmax of logits / temperature, into `probabilities`; a NaN is never drawn.
    private mutating func makeProbabilities(_ logits: UnsafeMutableBufferPointer<Float>, best: Int) {
        let highest = logits[best]
        // Below a millionth nothing but the likeliest token has a chance; and the factor stays finite.
        let scale = Float(1 / max(parameters.temperature, 1e-6))
        if probabilities.count != logits.count { probabilities = [Float](repeating: 0, count: logits.count) }
        probabilities.withUnsafeMutableBufferPointer { p in
            // Without a branch, which masks would make a coin toss. Below the bound nothing is ever drawn, but subnormal
            // numbers would come about, which take a hundred times as long. A NaN becomes the bound, too.
            for id in logits.indices {
                let exponent = (logits[id] - highest) * scale
                p[id] = exponent > -60 ? exponent : -60
            }
            VectorMath.softmax(p)
        }
    }

    /// Fills `candidates`: the top-k, sorted, where k is given; as many as top-p can need, sorted, where p is given;
    /// else those that min-p keeps. Sorts the few, never the vocabulary.
    private mutating func collect(_ logits: UnsafeMutableBufferPointer<Float>, best: Int) {
        let highest = Double(logits[best])
        candidates.removeAll(keepingCapacity: true)
        let precedes: (Int32, Int32) -> Bool = { left, right in
            let (a, b) = (logits[Int(left)], logits[Int(right)])
            return a != b ? a > b : left < right
        }
        if parameters.topK > 0, parameters.topK < logits.count {
            // A bound that at least k values reach, found by widening, leaves few to sort.
            gather(logits, highest: highest) { [k = parameters.topK] count, _ in count >= k }
            candidates.sort(by: precedes)
            if candidates.count > parameters.topK { candidates.removeLast(candidates.count - parameters.topK) }
        } else if parameters.topP < 1 {
            let total = totalAfterTopK(logits, best: best)
            gather(logits, highest: highest) { [p = parameters.topP] _, sum in sum >= p * total }
            candidates.sort(by: precedes)
        } else {
            // A little lower than what is kept, as the weights decide.
            let bound = Float(highest + 1.0001 * parameters.temperature * log(min(parameters.minP, 1)) - 1e-3)
            for id in logits.indices where logits[id] >= bound { candidates.append(Int32(id)) }
        }
    }

    /// Collects the ids above a bound that falls until `enough(count, weight)` holds or all are in.
    private mutating func gather(
        _ logits: UnsafeMutableBufferPointer<Float>, highest: Double, until enough: (Int, Double) -> Bool
    ) {
        var span = 2.0 * max(parameters.temperature, 1e-3)
        while true {
            candidates.removeAll(keepingCapacity: true)
            let bound = Float(highest - span)
            var sum = 0.0
            for id in logits.indices where logits[id] >= bound && logits[id] > -.infinity {
                candidates.append(Int32(id))
                sum += exp((Double(logits[id]) - highest) / parameters.temperature)
            }
            if enough(candidates.count, sum) || bound == -.infinity { return }
            span = span > 1e4 ? .infinity : span * 2
        }
    }

    /// The sum of weights that top-p is a fraction of: of the kept candidates after top-k, or of the vocabulary.
    private mutating func totalAfterTopK(_ logits: UnsafeMutableBufferPointer<Float>, best: Int) -> Double {
        if parameters.topK > 0, parameters.topK < logits.count {
            let highest = Double(logits[best])
            return candidates.reduce(0) { $0 + exp((Double(logits[Int($1)]) - highest) / parameters.temperature) }
        }
        // The likeliest token's weight is 1.
        makeProbabilities(logits, best: best)
        return 1 / Double(probabilities[best])
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, fast, and the same on every platform.
struct SplitMix64: RandomNumberGenerator, Sendable {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
        return z ^ z >> 31
    }

    /// A number in 0..<1 with 53 random bits.
    mutating func nextUnit() -> Double { Double(next() >> 11) * 0x1p-53 }
}
