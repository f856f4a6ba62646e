import Foundation
import Testing
import WaletEngine

@Suite struct SamplerTests {
    /// Draws many times from the same logits.
    private func draws(_ parameters: SamplingParameters, _ logits: [Float], count: Int = 20_000) -> [Int: Double] {
        var counts: [Int: Double] = [:]
        var parameters = parameters
        parameters.seed = 7
        var sampler = Sampler(parameters)
        for _ in 0..<count {
            var copy = logits
            let token = copy.withUnsafeMutableBufferPointer { sampler.sample($0) }
            counts[token, default: 0] += 1 / Double(count)
        }
        return counts
    }

    private func softmax(_ logits: [Float], temperature: Double = 1) -> [Double] {
        let weights = logits.map { exp(Double($0) / temperature) }
        return weights.map { $0 / weights.reduce(0, +) }
    }

    let logits: [Float] = [1.0, 3.0, 2.5, -1.0, 0.0, 2.9, -4.0, 1.5]

    @Test func greedyTakesTheLargestAndTheLowestOfEquals() {
        #expect(draws(.greedy, logits, count: 10).keys.sorted() == [1])
        #expect(draws(.greedy, [0, 5, 5], count: 10).keys.sorted() == [1])
        #expect(draws(.greedy, [.nan, 1, 2], count: 10).keys.sorted() == [2])
    }

    @Test(arguments: [0.5, 1.0, 2.0]) func followsTheDistribution(_ temperature: Double) {
        let expected = softmax(logits, temperature: temperature)
        let drawn = draws(.init(temperature: temperature), logits)
        for (id, probability) in expected.enumerated() {
            #expect(abs((drawn[id] ?? 0) - probability) < 0.015)
        }
    }

    @Test func topKKeepsTheKLikeliest() {
        let drawn = draws(.init(topK: 3), logits)
        #expect(drawn.keys.sorted() == [1, 2, 5])
        let kept = [1, 2, 5].map { exp(Double(logits[$0])) }
        #expect(abs(drawn[1]! - kept[0] / kept.reduce(0, +)) < 0.015)
    }

    @Test func topPKeepsTheShortestHeadThatReachesIt() {
        // Probabilities, sorted: token 1, 5, 2, 7, 0, ...
        let p = softmax(logits)
        let two = p[1] + p[5]
        #expect(draws(.init(topP: two - 0.001), logits).keys.sorted() == [1, 5])
        #expect(draws(.init(topP: two + 0.001), logits).keys.sorted() == [1, 2, 5])
        #expect(draws(.init(topP: 0), logits).keys.sorted() == [1])
        // After top-k, top-p is a fraction of what top-k left.
        #expect(draws(.init(topK: 2, topP: 0.99), logits).keys.sorted() == [1, 5])
    }

    @Test func minPKeepsWhatIsLikelyEnoughBesideTheBest() {
        let drawn = draws(.init(minP: 0.55), logits)
        #expect(drawn.keys.sorted() == [1, 2, 5])
    }

    @Test func theSameSeedGivesTheSameTokens() {
        func text(_ seed: UInt64) -> [Int] {
            var sampler = Sampler(.init(temperature: 1.5, seed: seed))
            return (0..<100).map { _ in
                var copy = logits
                return copy.withUnsafeMutableBufferPointer { sampler.sample($0) }
            }
        }
        #expect(text(1) == text(1))
        #expect(text(1) != text(2))
    }

    @Test func penaltiesPushRepetitionsDown() {
        var sampler = Sampler(.init(temperature: 0, frequencyPenalty: 1), prompt: [1])
        var tokens: [Int] = []
        for _ in 0..<4 {
            var copy = logits
            tokens.append(copy.withUnsafeMutableBufferPointer { sampler.sample($0) })
        }
        // 3.0, then 2.9 beats 3.0 - 1, then 2.5, then 2.0 of token 1 again.
        #expect(tokens == [1, 5, 2, 1])
        var repetition = Sampler(.init(temperature: 0, repetitionPenalty: 2), prompt: [1, 5])
        var copy = logits
        #expect(copy.withUnsafeMutableBufferPointer { repetition.sample($0) } == 2)
        var presence = Sampler(.init(temperature: 0, presencePenalty: 0.2))
        tokens = (0..<3).map { _ in
            var copy = logits
            return copy.withUnsafeMutableBufferPointer { presence.sample($0) }
        }
        #expect(tokens == [1, 5, 1])
    }

    @Test func neverDrawsAnIdWithoutToken() {
        var sampler = Sampler(.init(temperature: 5, seed: 1), forbidden: [1, 5, 99])
        for _ in 0..<1000 {
            var copy = logits
            let token = copy.withUnsafeMutableBufferPointer { sampler.sample($0) }
            #expect(token != 1 && token != 5)
        }
    }

    @Test func copesWithInfinitiesAndNaN() {
        for bad in [Float.nan, .infinity, -.infinity] {
            for parameters in [SamplingParameters.greedy, .init(), .init(topK: 2), .init(topP: 0.5), .init(minP: 0.5)] {
                var sampler = Sampler(parameters)
                var values = [Float](repeating: bad, count: 5)
                let token = values.withUnsafeMutableBufferPointer { sampler.sample($0) }
                #expect((0..<5).contains(token))
                values = [0, bad, 1, bad, 2]
                let other = values.withUnsafeMutableBufferPointer { sampler.sample($0) }
                #expect((0..<5).contains(other))
            }
        }
    }

    @Test func refusesParametersOutOfRange() {
        let bad: [SamplingParameters] = [
            .init(temperature: -1), .init(temperature: .nan), .init(topK: -1), .init(topP: 1.5), .init(minP: -0.1),
            .init(repetitionPenalty: 0), .init(presencePenalty: .infinity),
        ]
        for parameters in bad { #expect(throws: EngineError.self) { try parameters.validate() } }
    }
}
