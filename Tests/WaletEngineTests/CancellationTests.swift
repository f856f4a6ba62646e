import Foundation
import Testing
import WaletEngine

@Suite struct CancellationTests {
    /// A context of thousands of tokens, so that an answer that is not stopped takes much longer than the test.
    private func engine() throws -> Engine { try Engine(try Golden("qwen3").model(), threads: 2) }

    @Test func leavingTheIterationStopsTheWork() async throws {
        let engine = try engine()
        let sequence = engine.makeSequence()
        var tokens = 0
        for try await event in try engine.generate(GenerationRequest(prompt: [5, 6, 7], sequence: sequence)) {
            if case .token = event { tokens += 1 }
            if tokens == 3 { break }
        }
        // Scoring waits for its turn, so that afterwards the first request has ended.
        _ = try await engine.score([5])
        // Where nothing stopped it, it would have filled its context. It may be a few tokens ahead of its reader.
        #expect(sequence.count < engine.contextLength / 2, "\(sequence.count) of \(engine.contextLength)")
    }

    @Test func aRequestThatNobodyReadsAnyMoreDoesNotBegin() async throws {
        let engine = try engine()
        let sequence = engine.makeSequence()
        let busy = try engine.generate(GenerationRequest(prompt: [5, 6, 7], maximumTokens: 500))
        _ = try engine.generate(GenerationRequest(prompt: [5, 6, 7], sequence: sequence))
        for try await _ in busy {}
        _ = try await engine.score([5])
        // The first pass may have begun before anybody could see that.
        #expect(sequence.count <= 4)
    }

    @Test func moreThreadsThanThereCanBeAreRefused() throws {
        let model = try Golden("qwen3").model()
        for threads in [0, -1, 1025, Int.max] {
            #expect(throws: EngineError.self) { _ = try Engine(model, threads: threads) }
        }
    }
}
