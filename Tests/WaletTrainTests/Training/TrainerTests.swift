import Foundation
import Testing
import WaletAutodiff
import WaletFormats

@testable import WaletTrain

/// Steps: parts add up, and what is not finite changes nothing.
@Suite struct TrainerTests {
    private func trainer(_ fixture: TrainingFixture) throws -> Trainer {
        let model = try fixture.model()
        let trainer = Trainer(model, Optimizer(model, .muonClip(tau: 100), try fixture.settings))
        trainer.objective = fixture.objective
        return trainer
    }

    private func parts(_ batch: TrainingBatch) -> [TrainingBatch] {
        batch.segments.map {
            TrainingBatch(tokens: Array(batch.tokens[$0]), targets: Array(batch.targets[$0]), length: $0.count)
        }
    }

    @Test func accumulatedPartsMakeTheStepOfTheWhole() throws {
        let fixture = try TrainingFixture("deepseek-v3")
        let (whole, split) = (try trainer(fixture), try trainer(fixture))
        for step in 0..<2 {
            let batch = try fixture.batch(step)
            let a = try whole.step(rate: 0.01, [batch])
            let b = try split.step(rate: 0.01, parts(batch))
            #expect(abs(a.loss - b.loss) < 1e-5 && abs(a.balanceLoss - b.balanceLoss) < 1e-6)
            #expect(abs(try #require(a.predictionLoss) - #require(b.predictionLoss)) < 1e-5)
            #expect(abs(a.gradientNorm / b.gradientNorm - 1) < 1e-4)
            #expect(a.observed.expertCounts == b.observed.expertCounts && a.isApplied && b.isApplied)
        }
        for (a, b) in zip(whole.model.parameters, split.model.parameters) {
            #expect(distances(a.tensor.values, b.tensor.values).norm < 1e-3, "\(a.name)")
        }
    }

    @Test func gradientsThatAreNotFiniteChangeNothingAndAreAnErrorInTheEnd() throws {
        let fixture = try TrainingFixture("deepseek-v3")
        let trainer = try trainer(fixture)
        trainer.skipLimit = 2
        let batch = try fixture.batch(0)
        /// A step whose gradients are multiplied by a factor.
        func step(_ factor: Float, number: Int = 0) throws -> StepOutcome {
            try trainer.step(rate: 0.01, parts: 1, step: number) { _, tape in
                var objective = trainer.objective
                objective.share = factor
                return (trainer.model.forward(tape, batch, objective), batch, 1)
            }
        }
        let before = trainer.model.parameters.map(\.tensor.values)
        let state = trainer.optimizer.state.map(\.tensor.values)
        for number in 1...2 {
            let outcome = try step(.infinity)
            #expect(!outcome.isApplied && trainer.skippedInARow == number && trainer.optimizer.steps == 0)
            #expect(outcome.notFinite == "the gradient of model.embed_tokens.weight")
        }
        #expect(trainer.model.parameters.map(\.tensor.values) == before)
        #expect(trainer.optimizer.state.map(\.tensor.values) == state)
        // A good one in between, and the count begins anew.
        #expect(try step(2).isApplied && trainer.skippedInARow == 0)
        for _ in 0..<2 { _ = try step(.nan) }
        #expect(
            throws: TrainingError.notFinite(
                step: 7, inARow: 3, place: "the gradient of model.embed_tokens.weight")
        ) { try step(.nan, number: 7) }
    }

    @Test func aLossThatIsNotFiniteChangesNothing() throws {
        let fixture = try TrainingFixture("llama")
        let trainer = try trainer(fixture)
        trainer.model.parameters[0].tensor.pointer[3] = .nan
        var batch = try fixture.batch(0)
        batch = TrainingBatch(
            tokens: batch.tokens.map { _ in 0 }, targets: batch.targets, segments: batch.segments)
        let before = trainer.model.parameters[1].tensor.values
        let outcome = try trainer.step(rate: 0.01, [batch])
        #expect(outcome.loss.isNaN && !outcome.isApplied && outcome.notFinite == "the loss")
        #expect(trainer.model.parameters[1].tensor.values == before && trainer.optimizer.steps == 0)
        #expect(trainer.weightThatIsNotFinite == "model.embed_tokens.weight")
    }

    @Test(arguments: ["deepseek-v3", "llama"]) func aSampleTakesTheTokensThatThePassFindsLikeliest(
        _ name: String
    ) throws {
        let model = try TrainingFixture(name).model()
        let batch = try TrainingFixture(name).batch(0)
        var generator = RandomGenerator(seed: 1)
        let prompt = Array(batch.tokens[..<5])
        let tokens = try TextSampler(model, endToken: nil).tokens(
            after: prompt, count: 6, temperature: 0, &generator)
        #expect(tokens.count == 6)
        // Of all tokens after what was written, the chosen one has the smallest loss.
        let written = prompt + tokens
        for place in prompt.count..<written.count {
            let seen = Array(written[..<place])
            let losses = (0..<model.configuration.vocabularySize).map { token -> Float in
                let targets = [Int32](repeating: -1, count: seen.count - 1) + [Int32(token)]
                let pass = model.forward(
                    Tape(model.arena, recording: false),
                    TrainingBatch(tokens: seen, targets: targets, length: seen.count))
                return pass.tokenLosses[seen.count - 1]
            }
            let least = try #require(losses.min())
            #expect(losses[Int(written[place])] < least + 1e-4)
        }
        let unlikely = try TextSampler(model, endToken: nil).tokens(
            after: prompt, count: 20, temperature: 50, &generator)
        #expect(Set(unlikely).count > 5)
    }
}
