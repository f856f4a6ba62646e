import Foundation
import Testing
import WaletAutodiff
import WaletFormats

@testable import WaletTrain

/// Steps: parts add up, several processes agree, and what is not finite changes nothing.
@Suite struct TrainerTests {
    private func trainer(
        _ fixture: TrainingFixture, communicator: any Communicator = SingleProcess()
    ) throws -> Trainer {
        let model = try fixture.model()
        let trainer = Trainer(
            model, Optimizer(model, .muonClip(tau: 100), try fixture.settings), communicator: communicator)
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

    /// Two processes, as one sees them: the other's values are this one's.
    private final class Twin: Communicator {
        let rank = 0
        let size = 2
        var gradientFactor: Float = 2
        func sum(_ values: UnsafeMutableBufferPointer<Float>) {
            for index in values.indices { values[index] *= gradientFactor }
        }
        func sum(_ values: UnsafeMutableBufferPointer<Double>) { for index in values.indices { values[index] *= 2 } }
        func maximum(_ values: UnsafeMutableBufferPointer<Float>) {}
        func sum(_ values: UnsafeMutableBufferPointer<Float>, on owner: Int) { sum(values) }
        func broadcast(_ bytes: UnsafeMutableRawBufferPointer, from owner: Int) {}
        func exchange(_ sent: [UnsafeRawBufferPointer], _ received: [UnsafeMutableRawBufferPointer]) {}
        func wait() {}
    }

    @Test func twoProcessesWithTheSamePartMakeTheStepOfOne() throws {
        let fixture = try TrainingFixture("deepseek-v3")
        let (one, two) = (try trainer(fixture), try trainer(fixture, communicator: Twin()))
        let batch = try fixture.batch(0)
        let a = try one.step(rate: 0.01, [batch])
        let b = try two.step(rate: 0.01, [batch])
        #expect(abs(a.loss - b.loss) < 1e-6 && abs(a.gradientNorm / b.gradientNorm - 1) < 1e-5)
        #expect(
            b.observed.expertCounts.mapValues { $0.reduce(0, +) }
                == a.observed.expertCounts.mapValues {
                    2 * $0.reduce(0, +)
                })
        for (a, b) in zip(one.model.parameters, two.model.parameters) {
            #expect(distances(a.tensor.values, b.tensor.values).norm < 1e-3, "\(a.name)")
        }
    }

    @Test func gradientsThatAreNotFiniteChangeNothingAndAreAnErrorInTheEnd() throws {
        let fixture = try TrainingFixture("deepseek-v3")
        let twin = Twin()
        let trainer = try trainer(fixture, communicator: twin)
        trainer.skipLimit = 2
        twin.gradientFactor = .infinity
        let before = trainer.model.parameters.map(\.tensor.values)
        let state = trainer.optimizer.state.map(\.tensor.values)
        for number in 1...2 {
            let outcome = try trainer.step(rate: 0.01, [try fixture.batch(0)])
            #expect(!outcome.isApplied && trainer.skippedInARow == number && trainer.optimizer.steps == 0)
            #expect(outcome.notFinite == "the gradient of model.embed_tokens.weight")
        }
        #expect(trainer.model.parameters.map(\.tensor.values) == before)
        #expect(trainer.optimizer.state.map(\.tensor.values) == state)
        // A good one in between, and the count begins anew.
        twin.gradientFactor = 2
        #expect(try trainer.step(rate: 0.01, [try fixture.batch(0)]).isApplied && trainer.skippedInARow == 0)
        twin.gradientFactor = .nan
        for _ in 0..<2 { _ = try trainer.step(rate: 0.01, [try fixture.batch(0)]) }
        #expect(
            throws: TrainingError.notFinite(
                step: 7, inARow: 3, place: "the gradient of model.embed_tokens.weight")
        ) { try trainer.step(rate: 0.01, [try fixture.batch(0)], step: 7) }
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
