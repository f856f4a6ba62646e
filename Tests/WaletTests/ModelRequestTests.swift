import Foundation
import Testing
import Walet

/// Requests as a server makes them, to the real model.
@Suite(.serialized) struct ModelRequestTests {
    private struct Collected {
        var text = ""
        var promptLogprobs: [TokenLogprob] = []
        var logprobs: [TokenLogprob] = []
        var started: Usage?
        var usage: Usage?

        init(_ events: AsyncThrowingStream<ModelEvent, any Error>) async throws {
            for try await event in events {
                switch event {
                case .started(let usage): started = usage
                case .promptLogprobs(let tokens): promptLogprobs += tokens
                case .text(let piece): text += piece
                case .logprobs(let tokens): logprobs += tokens
                case .finish(_, let usage): self.usage = usage
                case .thinking, .toolCallStarted, .toolCallArguments, .toolCallFinished: break
                }
            }
        }
    }

    @Test func logProbabilitiesOfAPromptAgreeWithTransformers() async throws {
        let model = try await LanguageModel.load(TestFiles.smollm2, precision: .exact)
        let text = try #require(SmolLM2Tests.golden["texts"]?.arrayValue?.first)
        let tokens = try #require(text["tokens"]?.arrayValue).compactMap(\.intValue)
        let expected = try #require(text["logprobs"]?.arrayValue)
        var request = ModelRequest(.tokens(tokens), options: GenerationOptions(maximumTokens: 4))
        request.promptLogprobs = true
        request.logprobs = 3
        let answer = try await Collected(try model.respond(to: request))
        #expect(answer.promptLogprobs.map(\.id) == tokens)
        for (ours, theirs) in zip(answer.promptLogprobs, expected) {
            #expect((ours.logprob == nil) == (theirs.doubleValue == nil))
            if let ours = ours.logprob, let theirs = theirs.doubleValue { #expect(abs(ours - theirs) < 2e-3) }
        }
        #expect(answer.promptLogprobs.dropFirst().allSatisfy { $0.top.count == 3 })
        #expect(answer.logprobs.count == 4)
        // Greedy: each token is the likeliest one, and the bytes are the text.
        #expect(answer.logprobs.allSatisfy { $0.top.first?.id == $0.id && $0.top.first?.logprob == $0.logprob })
        #expect(String(decoding: answer.logprobs.flatMap(\.bytes), as: UTF8.self) == answer.text)
        #expect(answer.usage?.answerTokens == 4 && answer.started?.promptTokens == tokens.count)
    }

    @Test func whatCannotBeKeptToIsRefusedBeforeAnyWork() async throws {
        let model = try await LanguageModel.load(TestFiles.smollm2)
        func refuses(_ change: (inout ModelRequest) -> Void) {
            var request = ModelRequest(.text("Hello", special: false), options: GenerationOptions())
            change(&request)
            #expect(throws: ModelRequestError.self) { _ = try model.respond(to: request) }
        }
        refuses { $0.output = .jsonSchema(["type": "nothing"]) }
        refuses { $0.output = .jsonSchema(false) }
        refuses { $0.output = .jsonSchema(["type": "object", "unevaluatedProperties": ["type": "string"]]) }
        // No tool was declared; and the model's template shows no form of calls.
        refuses { $0.toolChoice = .required }
        refuses {
            $0.prompt = .chat(
                [ChatMessage(role: "user", content: "Hello")], tools: [["function": ["name": "f"]]], variables: [:])
            $0.toolChoice = .function("f")
        }
        // The model has no tokens that mark its thinking.
        refuses { $0.thinkingBudget = 10 }
        #expect(throws: EngineError.self) {
            _ = try model.respond(to: ModelRequest(.tokens([]), options: GenerationOptions()))
        }
        #expect(throws: EngineError.self) {
            _ = try model.respond(to: ModelRequest(.tokens([-1]), options: GenerationOptions()))
        }
        #expect(model.statistics.promptTokens == 0)
    }

    @Test func aPromptIsReadFromDiskByTheNextProcess() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "walet-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        var options = EngineOptions()
        options.storeFolder = folder
        options.cacheSecret = Array(repeating: 1, count: 32)
        let prompt = String(repeating: "The swiftlet builds its nest in a cave. ", count: 30)
        let request = ModelRequest(.text(prompt, special: false), options: GenerationOptions(maximumTokens: 8))
        var answers: [Collected] = []
        for _ in 0..<2 {
            let model = try await LanguageModel.load(TestFiles.smollm2, engine: options)
            answers.append(try await Collected(try model.respond(to: request)))
            model.flushCache()
        }
        #expect(answers[0].text == answers[1].text)
        #expect(answers[0].usage?.cachedTokens == 0)
        let count = try #require(answers[1].usage?.promptTokens)
        #expect(answers[1].usage?.diskTokens == (count - 1) / 64 * 64 && count > 200)
    }

    @Test func anIdentityChangesWithTheFiles() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "walet-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        try FileManager.default.copyItem(at: TestFiles.fixtures.appending(path: "models/qwen3"), to: folder)
        func identity() throws -> [UInt8] {
            try LanguageModel.identity(of: try ModelFolder(folder.path), at: folder.path)
        }
        let first = try identity()
        #expect(try identity() == first && !first.isEmpty)
        let weights = folder.appending(path: "model.safetensors").path
        try FileManager.default.setAttributes(
            [.modificationDate: Date(timeIntervalSince1970: 1000)], ofItemAtPath: weights)
        #expect(try identity() != first)
    }

    // MARK: Thinking

    /// The tokens that may come next.
    private func allowed(_ phase: inout ThinkingPhase) -> [Int] {
        var logits = [Float](repeating: 0, count: 6)
        logits.withUnsafeMutableBufferPointer { phase.mask($0) }
        return logits.indices.filter { logits[$0] > -.infinity }
    }

    @Test func thinkingEndsWhenItsBudgetIsSpent() {
        // 1 opens, 2 closes, 5 ends the answer.
        var phase = ThinkingPhase(open: 1, close: 2, isOpen: true, budget: 2, answer: nil)
        for token in [3, 4] {
            #expect(allowed(&phase) == [0, 1, 2, 3, 4, 5])
            phase.accept(token)
        }
        #expect(allowed(&phase) == [2])
        phase.accept(2)
        #expect(allowed(&phase) == [0, 1, 2, 3, 4, 5])
    }

    @Test func noThinkingAtAllIsABudgetToo() {
        var phase = ThinkingPhase(open: 1, close: 2, isOpen: false, budget: 0, answer: nil)
        #expect(allowed(&phase).count == 6)
        phase.accept(1)
        #expect(allowed(&phase) == [2])
        // Who does not begin with thinking has none.
        var other = ThinkingPhase(open: 1, close: 2, isOpen: false, budget: 0, answer: nil)
        other.accept(3)
        #expect(allowed(&other).count == 6)
    }
}
