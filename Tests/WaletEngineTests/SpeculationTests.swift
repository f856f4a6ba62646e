import Foundation
import Testing
import WaletEngine
import WaletFormats
import WaletJSON
import WaletModels
import WaletTensor

/// Speculation changes when an answer comes, never the answer.
@Suite struct SpeculationTests {
    /// A random model does not repeat itself. One that may draw few tokens does, now and then.
    private static let alphabet = [20, 40, 60, 80]
    private static let forbidden = Array(Set(0..<320).subtracting(alphabet))

    private func prompt(_ seed: UInt64 = 3) -> [Int] {
        var random = Xorshift(state: seed &* 0x9E37_79B9 | 1)
        return (0..<23).map { _ in Self.alphabet.randomElement(using: &random) ?? 20 }
    }

    private func request(
        _ seed: UInt64 = 3, _ sampling: SamplingParameters = .greedy, maximumTokens: Int? = nil,
        endTokens: Set<Int> = [], sequence: SequenceState? = nil
    ) -> GenerationRequest {
        GenerationRequest(
            prompt: prompt(seed), sampling: sampling, maximumTokens: maximumTokens, endTokens: endTokens,
            forbidden: Self.forbidden, sequence: sequence)
    }

    static let samplings: [SamplingParameters] = [
        .greedy, .init(temperature: 0.7, topP: 0.9, seed: 5), .init(temperature: 1, topK: 4, seed: 6),
        .init(
            temperature: 0.3, minP: 0.05, repetitionPenalty: 1.1, presencePenalty: 0.3, frequencyPenalty: 0.1, seed: 7),
    ]

    @Test(arguments: GoldenTests.names, Precision.allCases)
    func lookupGivesTheSameTokens(_ name: String, _ precision: Precision) async throws {
        let engine = try Engine(try Golden(name).model(), threads: 2, precision: precision)
        var (drafted, accepted) = (0, 0)
        for (index, sampling) in Self.samplings.enumerated() {
            let request = request(UInt64(index), sampling, maximumTokens: 60)
            let plain = try await Answer(engine, request)
            #expect(plain.tokens.count == 60)
            for count in [1, 4, 15] {
                let answer = try await Answer(engine, request, .lookup(draftTokens: count))
                #expect(answer.tokens == plain.tokens, "\(sampling), \(count) guesses")
                #expect(answer.reason == plain.reason)
                let paced = try await Answer(engine, request, .lookup(draftTokens: count), paced: true)
                #expect(paced.tokens == plain.tokens)
                drafted += answer.usage.draftedTokens
                accepted += answer.usage.acceptedTokens
            }
            #expect(plain.usage.draftedTokens == 0)
        }
        #expect(accepted > 0 && accepted < drafted, "\(accepted) of \(drafted) guesses came true")
    }

    @Test(arguments: Precision.allCases) func mtpGivesTheSameTokens(_ precision: Precision) async throws {
        let engine = try Engine(try Golden("deepseek-v3").model(), threads: 2, precision: precision)
        for (index, sampling) in Self.samplings.enumerated() {
            let request = request(UInt64(index), sampling, maximumTokens: 60)
            let plain = try await Answer(engine, request)
            for count in [1, 3, 15] {
                let answer = try await Answer(engine, request, .mtp(draftTokens: count))
                #expect(answer.tokens == plain.tokens, "\(sampling), \(count) guesses")
                #expect(answer.usage.draftedTokens > 0)
            }
        }
    }

    /// A model whose next token depends on the last one alone, and a prediction layer that knows it.
    @Test(arguments: Precision.allCases) func guessesOfAPerfectLayerAllComeTrue(_ precision: Precision) async throws {
        let files = try ModelFolder(GoldenTests.folder.appending(path: "deepseek-v3").path)
        let engine = try Engine(
            try Transformer(files.configuration, from: LastTokenOnly(source: try files.weights())), threads: 2,
            precision: precision)
        for count in [1, 3] {
            let request = GenerationRequest(prompt: prompt(), sampling: .greedy, maximumTokens: 61)
            let plain = try await Answer(engine, request)
            let answer = try await Answer(engine, request, .mtp(draftTokens: count))
            #expect(answer.tokens == plain.tokens)
            #expect(answer.usage.acceptedTokens == answer.usage.draftedTokens)
            // The first token needs no guess; then each pass makes 1 + count of them.
            #expect(answer.usage.acceptedTokens == 60 * count / (count + 1))
        }
        let sampled = request(3, .init(temperature: 0.4, seed: 8), maximumTokens: 80)
        let answer = try await Answer(engine, sampled, .mtp(draftTokens: 3))
        #expect(answer.tokens == (try await Answer(engine, sampled)).tokens)
        #expect(answer.usage.acceptedTokens > 0 && answer.usage.acceptedTokens < answer.usage.draftedTokens)
    }

    @Test(arguments: [Speculation.lookup(draftTokens: 4), .mtp(draftTokens: 2)])
    func anyTokenMayEndTheAnswerAndAnyNumberMayBeTheMaximum(_ speculation: Speculation) async throws {
        for engine in try await engines(speculation) {
            let prompt = prompt()
            let whole = try await Answer(engine, request(maximumTokens: 40))
            for maximum in 1...40 {
                let sequence = engine.makeSequence()
                let answer = try await Answer(
                    engine, request(maximumTokens: maximum, sequence: sequence), speculation)
                #expect(answer.tokens == Array(whole.tokens.prefix(maximum)))
                #expect(answer.reason == .length)
                #expect(answer.usage.answerTokens == maximum)
                // As without speculation, the last token has not been run.
                #expect(sequence.count == prompt.count + maximum - 1)
            }
            for end in Set(whole.tokens) {
                let length = try #require(whole.tokens.firstIndex(of: end))
                let sequence = engine.makeSequence()
                let answer = try await Answer(
                    engine, request(endTokens: [end], sequence: sequence), speculation)
                #expect(answer.tokens == Array(whole.tokens.prefix(length)))
                #expect(answer.reason == .stop)
                #expect(sequence.count == prompt.count + length)
            }
        }
    }

    @Test(arguments: [Speculation.lookup(), .mtp(), .mtp(draftTokens: 4)])
    func theEndOfTheContextEndsTheAnswer(_ speculation: Speculation) async throws {
        let engine = try Engine(try Golden("deepseek-v3").model(), threads: 2, contextLength: 90)
        let request = request()
        let plain = try await Answer(engine, request)
        let answer = try await Answer(engine, request, speculation)
        #expect(answer.tokens == plain.tokens && answer.tokens.count == 90 - request.prompt.count)
        #expect(answer.reason == .length)
    }

    @Test(arguments: [Speculation.lookup(draftTokens: 6), .mtp(draftTokens: 2)])
    func aSequenceGoesOnWithAnyMixOfWays(_ speculation: Speculation) async throws {
        for engine in try await engines(speculation) {
            let (plain, mixed) = (engine.makeSequence(), engine.makeSequence())
            var prompt = prompt()
            for (turn, way) in [speculation, speculation, .off, speculation, .off, .lookup(), speculation].enumerated()
            {
                // Without the prediction layer goes a short turn, and one longer than the gap that it bears.
                let request = GenerationRequest(
                    prompt: prompt, sampling: .init(temperature: 0.5, seed: UInt64(turn)),
                    maximumTokens: turn == 4 ? 90 : 11, forbidden: Self.forbidden, sequence: plain)
                let expected = try await Answer(engine, request)
                var other = request
                other.sequence = mixed
                let answer = try await Answer(engine, other, way)
                #expect(answer.tokens == expected.tokens, "turn \(turn), \(way)")
                #expect(mixed.count == plain.count)
                #expect(answer.usage.cachedTokens == expected.usage.cachedTokens)
                // One turn takes back some of what was said.
                prompt += turn == 2 ? expected.tokens.dropLast(4) : expected.tokens
                prompt += [20 + turn, 40, 60]
            }
        }
    }

    @Test(arguments: [Speculation.lookup(), .mtp()])
    func leavingTheIterationStopsTheWorkAndTheSequenceGoesOn(_ speculation: Speculation) async throws {
        let engine = try Engine(try Golden("deepseek-v3").model(), threads: 2)
        let sequence = engine.makeSequence()
        let prompt = prompt()
        var request = request(sequence: sequence)
        request.speculation = speculation
        var tokens: [Int] = []
        for try await event in try engine.generate(request) {
            if case .token(let token, _) = event { tokens.append(token) }
            if tokens.count == 3 { break }
        }
        _ = try await engine.score([5])
        #expect(sequence.count < engine.contextLength / 2, "\(sequence.count) of \(engine.contextLength)")
        request.prompt = prompt + tokens
        request.maximumTokens = 20
        let next = try await Answer(engine, request, speculation)
        request.sequence = nil
        #expect(next.tokens == (try await Answer(engine, request)).tokens)
        #expect(next.usage.cachedTokens > 0)
    }

    @Test func aModelWithoutPredictionLayerSaysSo() throws {
        let engine = try Engine(try Golden("kimi-k2").model(), threads: 1)
        #expect(throws: EngineError.noPredictionLayer(named: 0)) {
            _ = try engine.generate(.init(prompt: [5], speculation: .mtp()))
        }
        #expect(EngineError.noPredictionLayer(named: 0).description.contains("no multi-token-prediction layer"))
        // The published V3 configuration names a layer that converters leave out.
        let files = try ModelFolder(GoldenTests.folder.appending(path: "deepseek-v3").path)
        let cut = try Engine(
            try Transformer(files.configuration, from: LastTokenOnly(source: try files.weights(), without: "eh_proj")),
            threads: 1)
        #expect(throws: EngineError.noPredictionLayer(named: 1)) { try cut.prepare(.mtp()) }
        try engine.prepare(.lookup())
    }

    @Test func numbersOfGuessesOutOfRangeAreRefused() throws {
        let engine = try Engine(try Golden("deepseek-v3").model(), threads: 1)
        for count in [0, -1, 16, Int.max] {
            for speculation in [Speculation.lookup(draftTokens: count), .mtp(draftTokens: count)] {
                #expect(throws: EngineError.self) {
                    _ = try engine.generate(.init(prompt: [5], speculation: speculation))
                }
            }
        }
    }

    /// A real model that copies a text: guesses come true, and nothing else changes.
    @Test(arguments: Precision.allCases) func aRealModelCopiesSooner(_ precision: Precision) async throws {
        let root = GoldenTests.folder.deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let files = try ModelFolder(root.appending(path: ".models/smollm2").path)
        let engine = try Engine(
            try Transformer(files.configuration, from: try files.weights()), threads: 2, precision: precision)
        let golden = try JSONValue(
            parsing: Data(contentsOf: root.appending(path: "Tests/Fixtures/models/smollm2-golden.json")))
        let text = try #require(golden["texts"]?.arrayValue?.first?["tokens"]?.arrayValue).compactMap(\.intValue)
        // The text twice, and the beginning of a third time.
        let prompt = Array((text.prefix(80) + text.prefix(80) + text.prefix(10)))
        for sampling in [SamplingParameters.greedy, .init(temperature: 0.8, topP: 0.95, seed: 4)] {
            let request = GenerationRequest(prompt: prompt, sampling: sampling, maximumTokens: 60)
            let plain = try await Answer(engine, request)
            for paced in [false, true] {
                let answer = try await Answer(engine, request, .lookup(), paced: paced)
                #expect(answer.tokens == plain.tokens)
                // Pacing goes by the clock, and whether the model copies at all by its arithmetic.
                if !paced, precision == .exact { #expect(answer.usage.acceptedTokens > 15) }
            }
        }
    }

    /// The layer against transformers' own (`Tools/oracle/mtp.py`), in one pass and token by token.
    @Test(arguments: [1, 200]) func thePredictionLayerAgreesWithTransformers(_ chunk: Int) throws {
        let folder = GoldenTests.folder.appending(path: "deepseek-v3")
        let golden = try JSONValue(parsing: Data(contentsOf: folder.appending(path: "golden-mtp.json")))
        let model = try Golden("deepseek-v3").model()
        let layer = try #require(try model.makePredictionLayer())
        let space = Workspace(model.configuration, pool: try #require(ThreadPool(threads: 2)))
        let hidden = model.configuration.hiddenSize
        let vocabulary = model.configuration.vocabularySize
        var largest = 0.0
        let cases = try #require(golden["cases"]?.arrayValue)
        #expect(cases.count == 3)
        for example in cases {
            let tokens = try #require(example["tokens"]?.arrayValue).compactMap(\.intValue)
            let expected = try #require(example["logprobs"]?.arrayValue).compactMap(\.doubleValue)
            let states = FloatBuffer(count: tokens.count * hidden)
            let cache = KVCache(model.configuration, capacity: tokens.count)
            space.batch.removeAll()
            space.batch.append(tokens[...], to: cache)
            try model.forward(space)
            model.hiddenStates(ofRows: 0..<tokens.count, space, into: states.pointer)

            let own = KVCache(model.configuration, capacity: tokens.count).makeSibling(layers: 1)
            let rows = tokens.count - 1
            func table(_ row: Int) -> [Double] {
                let logits = UnsafeBufferPointer(start: layer.logits(ofRows: row..<row + 1, space), count: vocabulary)
                let highest = Double(logits.max() ?? 0)
                let normalizer = highest + log(logits.reduce(0) { $0 + exp(Double($1) - highest) })
                return logits.map { Double($0) - normalizer }
            }
            func compare(_ values: [Double], _ name: String) {
                let theirs = example[name]?.arrayValue?.compactMap(\.doubleValue) ?? []
                #expect(theirs.count == vocabulary)
                for (a, b) in zip(values, theirs) { largest = max(largest, abs(a - b)) }
            }
            var first = 0
            var last = 0
            while first < rows {
                let count = min(chunk, rows - first)
                space.batch.removeAll()
                space.batch.append(tokens[first + 1..<first + 1 + count], to: own)
                try layer.forward(space, states: states.pointer + first * hidden)
                for row in 0..<count where first + row + 2 < tokens.count {
                    largest = max(largest, abs(table(row)[tokens[first + row + 2]] - expected[first + row]))
                }
                first += count
                last = count - 1
            }
            let values = table(last)
            compare(values, "last")
            let guess = try #require(values.indices.max { values[$0] < values[$1] })
            #expect(guess == example["guess"]?.intValue)
            layer.hiddenStates(ofRows: last..<last + 1, space, into: states.pointer)
            space.batch.removeAll()
            space.batch.append([guess], to: own)
            try layer.forward(space, states: states.pointer)
            compare(table(0), "second")
        }
        #expect(largest < 1e-3, "largest difference of a log probability: \(largest)")
        print("golden MTP, passes of \(chunk): largest difference \(largest)")
    }

    /// Models to speculate with: of MTP also one whose guesses come true.
    private func engines(_ speculation: Speculation) async throws -> [Engine] {
        guard case .mtp = speculation else {
            return try ["llama", "gguf-qwen3moe", "kimi-k2"].map {
                try Engine(try Golden($0).model(), threads: 2, precision: .fast)
            }
        }
        let files = try ModelFolder(GoldenTests.folder.appending(path: "deepseek-v3").path)
        return [
            try Engine(try Golden("deepseek-v3").model(), threads: 2),
            try Engine(
                try Transformer(files.configuration, from: LastTokenOnly(source: try files.weights())), threads: 2),
        ]
    }
}

/// All of an answer.
private struct Answer {
    let tokens: [Int]
    let reason: FinishReason
    let usage: GenerationUsage

    init(
        _ engine: Engine, _ request: GenerationRequest, _ speculation: Speculation = .off, paced: Bool = false
    ) async throws {
        var request = request
        request.speculation = speculation
        request.pacesDrafts = paced
        var tokens: [Int] = []
        var end: (FinishReason, GenerationUsage)?
        for try await event in try engine.generate(request) {
            switch event {
            case .token(let token, _): tokens.append(token)
            case .finished(let reason, let usage): end = (reason, usage)
            case .started, .promptScores, .logprob: break
            }
        }
        self.tokens = tokens
        (reason, usage) = try #require(end)
    }
}

/// The weights of another source, but layers that add nothing, a prediction layer that hands the embedding on, and one
/// embedding, norm and head for both.
private struct LastTokenOnly: WeightSource {
    let source: any WeightSource
    /// A module that is not there.
    var without: String?

    private func hides(_ name: String) -> Bool {
        name.contains(".shared_head.head") || (name.contains(".layers.") && name.contains("embed_tokens"))
            || without.map(name.contains) ?? false
    }

    func hasMatrix(_ module: String) -> Bool { !hides(module) && source.hasMatrix(module) }
    func hasVector(_ name: String) -> Bool { source.hasVector(name) }
    func checkIntact() throws(FormatError) { try source.checkIntact() }

    func vector(_ name: String, count: Int) throws(FormatError) -> FloatBuffer {
        if name.hasSuffix(".enorm.weight") { return FloatBuffer([Float](repeating: 1, count: count)) }
        if name.hasSuffix(".shared_head.norm.weight") { return try source.vector("model.norm.weight", count: count) }
        return try source.vector(name, count: count)
    }

    func matrix(_ module: String, rows: Int, columns: Int) throws(FormatError) -> WeightMatrix {
        let identity = module.hasSuffix(".eh_proj")
        guard identity || module.hasSuffix(".o_proj") || module.hasSuffix(".down_proj") else {
            return try source.matrix(module, rows: rows, columns: columns)
        }
        let values = FloatBuffer([Float](repeating: 0, count: rows * columns))
        if identity { for row in 0..<rows { values[row * columns + row] = 1 } }
        return WeightMatrix(packing: .f32, rows: rows, columns: columns, data: values.pointer, owner: values)
    }
}
