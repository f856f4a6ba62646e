import Foundation
import Testing
import WaletEngine
import WaletFormats
import WaletModels

/// Experts that are read when they are chosen change nothing but time.
@Suite struct StreamingTests {
    private struct Outcome: Equatable {
        var scores: [[Float?]] = []
        var top: [[[TokenScores.Candidate]]] = []
        var answers: [[Int]] = []
        var logprobs: [[TokenLogprob]] = []
    }

    /// Long and short prompts scored, and several answered at once: prefill, decode, and both in one pass.
    private func outcome(_ model: Transformer, _ precision: Precision, threads: Int = 2) async throws -> Outcome {
        let engine = try Engine(model, threads: threads, precision: precision)
        let vocabulary = min(300, model.configuration.vocabularySize)
        var random = Xorshift(state: 99)
        func prompt(_ count: Int) -> [Int] { (0..<count).map { _ in Int.random(in: 5..<vocabulary, using: &random) } }
        var outcome = Outcome()
        for (length, chunk) in [(70, Int.max), (40, 7), (9, 1)] {
            let scores = try await engine.score(prompt(length), top: 5, chunk: chunk)
            outcome.scores.append(scores.logprobs)
            outcome.top.append(scores.top)
        }
        let requests = [3, 17, 40].map { length in
            var request = GenerationRequest(
                prompt: prompt(length), sampling: .init(temperature: 0.9, seed: 7), maximumTokens: 12)
            request.logprobs = 3
            return request
        }
        let streams = try requests.map { try engine.generate($0) }
        for stream in streams {
            var tokens: [Int] = []
            var logprobs: [TokenLogprob] = []
            for try await event in stream {
                switch event {
                case .token(let token, _): tokens.append(token)
                case .logprob(let logprob): logprobs.append(logprob)
                default: break
                }
            }
            outcome.answers.append(tokens)
            outcome.logprobs.append(logprobs)
        }
        return outcome
    }

    @Test func thereAreModelsOfAllKinds() {
        let names = StreamedModels.names
        #expect(names.count >= 14)
        for kind in ["gguf-qwen3moe", "kimi-k2-thinking", "deepseek-v3-fp8", "deepseek-v3-fused"] {
            #expect(names.contains(kind))
        }
    }

    @Test(arguments: StreamedModels.names, Precision.allCases)
    func resultsAreBitwiseThoseOfTheMappedModel(_ name: String, _ precision: Precision) async throws {
        let expected = try await outcome(try Golden(name).model(), precision)
        for slabs in [1, 3, nil] {
            let model = try StreamedModels.open(name, slabs: slabs)
            #expect(try await outcome(model, precision) == expected, "\(slabs.map(String.init) ?? "all") slabs")
            let statistics = try #require(model.expertStore?.statistics)
            #expect(statistics.misses > 0)
            #expect(statistics.bytesRead > 0)
            if slabs == nil {
                #expect(statistics.misses <= statistics.experts)
                #expect(statistics.hits > statistics.misses)
            }
        }
    }

    @Test(arguments: ["kimi-k2-thinking", "gguf-qwen3moe", "deepseek-v3"])
    func threadsBufferedReadsAndTheOrderOfArrivalChangeNothing(_ name: String) async throws {
        let expected = try await outcome(try Golden(name).model(), .fast)
        let path = GoldenTests.folder.appending(path: name).path
        let reversed = FaultyReader()
        reversed.set(.reversed)
        let pieces = FaultyReader()
        pieces.set(.pieces(4096))
        let variants: [(ExpertStoreOptions.Mode, (any BlockReader)?)] = [
            (.buffered, nil), (.auto, nil), (.direct, ThreadReader(threads: 3)), (.buffered, ThreadReader(threads: 2)),
            (.direct, reversed), (.direct, pieces),
        ]
        for (mode, reader) in variants {
            let model = try StreamedModels.open(path, StreamedModels.options(slabs: 4, mode: mode, reader: reader))
            #expect(try await outcome(model, .fast) == expected, "\(mode), \(reader?.name ?? "default")")
        }
    }

    @Test func oneThreadAndTwoEnginesOnOneModelAgree() async throws {
        let expected = try await outcome(try Golden("moonlight").model(), .fast)
        let model = try StreamedModels.open("moonlight", slabs: 4)
        async let first = outcome(model, .fast, threads: 1)
        async let second = outcome(model, .fast, threads: 1)
        let both = try await (first, second)
        #expect(both.0 == expected)
        #expect(both.1 == expected)
    }

    @Test func aPromptReadsEachExpertOnceAChunk() async throws {
        let model = try StreamedModels.open("kimi-k2-thinking", slabs: 2)
        let engine = try Engine(model, threads: 2)
        let before = try #require(model.expertStore?.statistics)
        _ = try await engine.score((0..<64).map { 5 + $0 * 3 % 300 })
        let after = try #require(model.expertStore?.statistics)
        #expect(after.since(before).misses <= after.experts)
    }

    @Test func partsThatLieSideBySideAreOneRead() async throws {
        let reader = FaultyReader()
        let path = GoldenTests.folder.appending(path: "kimi-k2-thinking").path
        let model = try StreamedModels.open(path, StreamedModels.options(slabs: 3, reader: reader))
        let engine = try Engine(model, threads: 2)
        let before = reader.started
        _ = try await engine.score([7])
        let misses = try #require(model.expertStore?.statistics.misses)
        // Two layers choose three experts each. Writers of safetensors put tensors of one type together, so an expert's packed
        // values are one read and its scales are another. The token's row is one too.
        #expect(misses == 6)
        #expect(reader.started - before == 1 + 2 * misses)
    }

    @Test func aPredictionLayerIsStreamedToo() async throws {
        let golden = try Golden("deepseek-v3")
        let greedy = try #require(golden.greedy)
        var answers: [[Int]] = []
        let path = GoldenTests.folder.appending(path: "deepseek-v3").path
        let roomy = try #require(try StreamedModels.open(path, StreamedModels.options()).expertStore?.statistics)
        // The layer's weights take the place of experts in the last one.
        let limits = [1 << 30, roomy.denseBytes + roomy.slabBytes + 100_000]
        let streamed = try limits.map { try StreamedModels.open(path, StreamedModels.options(limit: $0)) }
        for model in [try golden.model()] + streamed {
            let engine = try Engine(model, threads: 2)
            var request = GenerationRequest(
                prompt: greedy.prompt, sampling: .greedy, maximumTokens: greedy.tokens.count)
            request.speculation = .mtp()
            var tokens: [Int] = []
            for try await event in try engine.generate(request) {
                if case .token(let token, _) = event { tokens.append(token) }
            }
            answers.append(tokens)
        }
        #expect(answers.allSatisfy { $0 == greedy.tokens })
        let statistics = try streamed.map { try #require($0.expertStore?.statistics) }
        #expect(statistics[0].slabs == roomy.slabs)
        #expect(statistics[1].slabs < roomy.slabs)
        #expect(statistics[1].denseBytes + statistics[1].slabBytes <= limits[1])
    }

    @Test(arguments: ["llama", "qwen3"]) func aModelWithoutExpertsRunsWithinALimitToo(_ name: String) async throws {
        let expected = try await outcome(try Golden(name).model(), .fast)
        let path = GoldenTests.folder.appending(path: name).path
        let model = try StreamedModels.open(path, StreamedModels.options())
        #expect(try await outcome(model, .fast) == expected)
    }
}
