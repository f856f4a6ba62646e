import Foundation
import Testing
import WaletAutodiff
import WaletJSON

@testable import WaletTrain

/// Golden values: Tools/oracle/policy.py, PyTorch's gradients.
@Suite struct PolicyObjectiveTests {
    private static func facts(_ name: String) throws -> [JSONValue] {
        let file = Fixtures.repository.appending(path: "Tests/Fixtures/training/policy.json")
        return try #require(try JSONValue(parsing: Data(contentsOf: file))[name]?.arrayValue)
    }

    private func numbers(_ value: JSONValue?) throws -> [Double] {
        try #require(value?.arrayValue).map { try #require($0.doubleValue) }
    }

    @Test func valueAndSlopeAreThoseOfPyTorch() throws {
        var worst = 0.0
        for facts in try Self.facts("tokens") {
            func column(_ name: String) throws -> [Float] { try numbers(facts[name]).map { Float($0) } }
            func number(_ name: String) throws -> Float { Float(try #require(facts[name]?.doubleValue)) }
            let rule = PolicyObjective(
                clipLow: try number("low"), clipHigh: try number("high"), divergence: try number("divergence"))
            let (losses, olds) = (try column("loss"), try column("old"))
            let references = facts["reference"] == nil ? nil : try column("reference")
            let (advantages, weights) = (try column("advantage"), try column("weight"))
            var (values, slopes): ([Float], [Float]) = ([], [])
            for index in losses.indices {
                let term = PolicyObjective.Term(
                    advantage: advantages[index], oldLogProbability: olds[index],
                    referenceLogProbability: references?[index], weight: weights[index])
                let (value, slope) = rule(term, tokenLoss: losses[index])
                values.append(value)
                slopes.append(slope)
                #expect(
                    rule.isClipped(term, tokenLoss: losses[index]) == facts["clipped"]?.arrayValue?[index].boolValue)
            }
            for (ours, theirs) in [(values, try column("value")), (slopes, try column("slope"))] {
                let (largest, norm) = distances(ours, theirs)
                #expect(largest < 1e-5 && norm < 1e-5)
                worst = max(worst, largest, norm)
            }
        }
        print("the objective: at most \(worst) from PyTorch")
    }

    @Test func advantagesAreRewardsBeyondTheirGroup() throws {
        for facts in try Self.facts("groups") {
            let rewards = try numbers(facts["rewards"])
            var settings = Recipe.Reinforcement()
            // What is left of a reward beside the 1 of a right answer is for its form.
            let forms = rewards.map { $0 >= 1 ? $0 - 1 : $0 }
            settings.formatReward = forms.max() ?? 0
            let group = PolicyGroup(
                answers: zip(rewards, forms).map { reward, form in
                    PolicyAnswer(
                        prompt: [1], tokens: [2], logProbabilities: [0], isRight: reward >= 1, isWellFormed: form > 0)
                })
            for kind in Recipe.Advantage.allCases {
                settings.advantage = kind
                let expected = try numbers(facts[kind.rawValue])
                for (ours, theirs) in zip(group.advantages(settings), expected) { #expect(abs(ours - theirs) < 1e-9) }
            }
            #expect(group.isEven == (Set(rewards.map { $0 >= 1 }).count == 1))
        }
    }

    // MARK: Updates

    /// Two groups of answers of different lengths, with what a model would have said of them.
    private func groups(_ model: TrainableModel) -> [PolicyGroup] {
        var generator = RandomGenerator(seed: 9)
        func tokens(_ count: Int) -> [Int32] {
            (0..<count).map { _ in Int32(generator.next(below: model.configuration.vocabularySize)) }
        }
        return (0..<2).map { _ in
            let prompt = tokens(3 + generator.next(below: 4))
            return PolicyGroup(
                answers: (0..<3).map { number in
                    let answer = tokens(1 + generator.next(below: 9))
                    return PolicyAnswer(
                        prompt: prompt, tokens: answer,
                        logProbabilities: losses(prompt + answer, answer.count, model).map {
                            -$0 + Float(generator.next(below: 100)) * 0.01 - 0.5
                        }, isRight: number == 0, isWellFormed: number < 2)
                })
        }
    }

    /// -ln p of the last tokens of a text, alone.
    private func losses(_ text: [Int32], _ count: Int, _ model: TrainableModel) -> [Float] {
        let batch = TrainingBatch(
            tokens: Array(text.dropLast()), targets: Array(text.dropFirst()), length: text.count - 1)
        return model.forward(Tape(model.arena, recording: false), batch).tokenLosses.suffix(count)
    }

    /// The loss of an update, and the gradients that it leaves.
    private func learn(
        _ update: PolicyUpdate, _ rule: PolicyObjective, _ model: TrainableModel
    ) -> (loss: Double, gradients: [[Float]]) {
        model.forgetGradients()
        var loss = 0.0
        for part in update.parts {
            let tape = Tape(model.arena)
            let states = model.hiddenStates(tape, part.batch).states
            let terms = part.terms
            loss +=
                tape.crossEntropy(states, head: model.outputHead, targets: part.batch.targets) { row, loss in
                    terms[row].map { rule($0, tokenLoss: loss) } ?? (0, 0)
                }.loss
            tape.backward()
        }
        return (loss, model.parameters.filter { $0.tensor.gradient != nil }.map(\.tensor.gradientValues))
    }

    @Test(arguments: Recipe.LossLevel.allCases) func anUpdateIsTheSumOverItsAnswersInWhateverParts(
        _ level: Recipe.LossLevel
    ) throws {
        let model = try TrainingFixture("deepseek-v3").model()
        var settings = Recipe.Reinforcement()
        settings.level = level
        settings.advantage = .std
        let rule = PolicyObjective(clipLow: 0.2, clipHigh: 0.28, divergence: 0.1)
        let groups = groups(model)
        let all = groups.flatMap(\.answers)
        let tokens = all.reduce(0) { $0 + $1.tokens.count }
        // By hand, an answer at a time. The model is its own reference, so that nothing diverges from it.
        var expected = 0.0
        for group in groups {
            for (answer, advantage) in zip(group.answers, group.advantages(settings)) {
                let losses = losses(answer.prompt + answer.tokens, answer.tokens.count, model)
                for (loss, old) in zip(losses, answer.logProbabilities) {
                    let ratio = exp(Double(-loss - old))
                    let gain = min(ratio * advantage, min(max(ratio, 0.8), 1.28) * advantage)
                    expected -=
                        level == .token
                        ? gain / Double(tokens) : gain / Double(all.count) / Double(answer.tokens.count)
                }
            }
        }
        var found: [(loss: Double, gradients: [[Float]])] = []
        for (rows, parts) in [(1000, 1...1), (24, 2...5), (1, 6...6)] {
            var update = PolicyUpdate(groups, settings, rows: rows)
            update.addReference(model)
            #expect(parts.contains(update.parts.count) && update.tokens == tokens)
            #expect(abs(update.parts.reduce(0) { $0 + $1.share } - 1) < 1e-9)
            #expect(rows == 1 || update.parts.allSatisfy { $0.batch.rows <= rows })
            #expect(
                update.parts.allSatisfy { part in
                    zip(part.terms, part.batch.targets).allSatisfy { ($0 == nil) == ($1 < 0) }
                })
            found.append(learn(update, rule, model))
        }
        for one in found {
            #expect(abs(one.loss - expected) < 1e-5, "\(one.loss), not \(expected)")
            #expect(one.gradients.count == found[0].gradients.count)
            for (a, b) in zip(one.gradients, found[0].gradients) { #expect(distances(a, b).norm < 1e-3) }
        }
    }
}
