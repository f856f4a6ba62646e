import Foundation
import Testing
import WaletEngine

@Suite struct CancellationTests {
    /// A context of thousands of tokens, so that an answer that is not stopped takes much longer than the test.
    private func engine() throws -> Engine { Engine(try Golden("qwen3").model(), threads: 2) }

    @Test func leavingTheIterationStopsTheWork() async throws {
        let engine = try engine()
        let sequence = engine.makeSequence()
        var tokens = 0
        for try await event in try engine.generate(GenerationRequest(prompt: [5, 6, 7], sequence: sequence)) {
            if case .token = event { tokens += 1 }
            if tokens == 3 { break }
        }
        // The next request waits for the end of the first: with its whole answer in the sequence, nothing but the first
        // tokens would be in common.
        var usage: GenerationUsage?
        let next = GenerationRequest(prompt: [5, 6, 7], maximumTokens: 1, sequence: sequence)
        for try await event in try engine.generate(next) {
            if case .finished(_, let measured) = event { usage = measured }
        }
        #expect(usage?.answerTokens == 1)
        print("cancelled after", tokens, engine.contextLength)
    }
}
