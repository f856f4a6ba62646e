import Foundation
import Testing
import WaletEngine
import WaletFormats
import WaletModels

/// Many requests at once: what one gets depends neither on the others nor on what is cached.
@Suite struct BatchingTests {
    /// Models with one form of attention, and one with two.
    static let names = ["deepseek-v3", "kimi-k2-thinking", "moonlight", "qwen3", "qwen3-moe", "llama", "two-forms"]

    /// Random weights differ from one making to the next, so all tests share one.
    private static let twoForms = Result { try makeTwoForms() }

    private func model(_ name: String) throws -> Transformer {
        name == "two-forms" ? try Self.twoForms.get() : try Golden(name).model()
    }

    private static func makeTwoForms() throws -> Transformer {
        let text = try String(contentsOf: GoldenTests.folder.appending(path: "moonlight/config.json"), encoding: .utf8)
            .replacingOccurrences(of: "\"v_head_dim\": 12", with: "\"v_head_dim\": 16")
        let file = FileManager.default.temporaryDirectory.appending(path: "walet-\(UUID().uuidString).json")
        try text.write(to: file, atomically: true, encoding: .utf8)
        defer { try? FileManager.default.removeItem(at: file) }
        let configuration = try ModelFolder(file.path).configuration
        return try Transformer(configuration, from: RandomWeights(configuration))
    }

    private func engine(
        _ name: String, _ precision: Precision = .fast, threads: Int = 2, options: EngineOptions = EngineOptions()
    ) throws -> Engine {
        try Engine(try model(name), threads: threads, precision: precision, options: options)
    }

    private func prompt(_ count: Int, _ seed: UInt64) -> [Int] {
        var random = Xorshift(state: seed &* 0x9E37_79B9 | 1)
        return (0..<count).map { _ in Int.random(in: 5..<300, using: &random) }
    }

    private func request(_ prompt: [Int], seed: UInt64, tokens: Int = 24) -> GenerationRequest {
        var request = GenerationRequest(
            prompt: prompt, sampling: .init(temperature: 0.9, topP: 0.95, seed: seed), maximumTokens: tokens)
        request.logprobs = 2
        return request
    }

    /// An answer, with the log probabilities of its tokens, which show differences that tokens hide.
    private struct Answer: Equatable {
        var tokens: [Int] = []
        var logprobs: [TokenLogprob] = []
        var reason: FinishReason?
        var promptScores: TokenScores?
        var usage = GenerationUsage()

        init(_ events: AsyncThrowingStream<GenerationEvent, any Error>) async throws {
            for try await event in events {
                switch event {
                case .started(let usage): self.usage = usage
                case .promptScores(let scores): promptScores = scores
                case .logprob(let logprob): logprobs.append(logprob)
                case .token(let token, _): tokens.append(token)
                case .finished(let reason, let usage):
                    self.reason = reason
                    self.usage = usage
                }
            }
        }

        static func == (left: Answer, right: Answer) -> Bool {
            left.tokens == right.tokens && left.logprobs == right.logprobs && left.reason == right.reason
        }
    }

    @Test(arguments: names, Precision.allCases)
    func anAnswerIsTheSameAloneAndBesideOthers(_ name: String, _ precision: Precision) async throws {
        let lengths = [1, 3, 17, 63, 64, 65, 130, 200, 400]
        var alone: [Answer] = []
        for (index, length) in lengths.enumerated() {
            let engine = try engine(name, precision)
            alone.append(try await Answer(try engine.generate(request(prompt(length, UInt64(index)), seed: 7))))
        }
        // Beside 16 others at once, some of which begin alike.
        let engine = try engine(name, precision)
        let others = try (0..<16).map { index in
            let start = index % 3 == 0 ? prompt(400, 8) : prompt(40 * (index + 1), 100 + UInt64(index))
            return try engine.generate(
                request(Array(start.prefix(30 + 25 * index)) + [9], seed: UInt64(index), tokens: 40))
        }
        let streams = try lengths.enumerated().map { index, length in
            try engine.generate(request(prompt(length, UInt64(index)), seed: 7))
        }
        for (index, stream) in streams.enumerated() {
            let answer = try await Answer(stream)
            #expect(answer == alone[index], "a prompt of \(lengths[index]) tokens")
            #expect(answer.usage.answerTokens == 24)
        }
        for other in others { #expect(try await Answer(other).tokens.count == 40) }
        // Again, with everything cached that can be.
        for (index, length) in lengths.enumerated() {
            let answer = try await Answer(try engine.generate(request(prompt(length, UInt64(index)), seed: 7)))
            #expect(answer == alone[index], "a cached prompt of \(length) tokens")
            // Where attention has two forms, a prompt that ends with a page begins that page anew.
            let isWhole = name != "two-forms" || precision == .exact
            #expect(answer.usage.cachedTokens >= (isWhole ? length - 1 : (length - 1) / 64 * 64))
        }
    }

    @Test(arguments: ["qwen3", "deepseek-v3", "two-forms"]) func aRepeatedPromptIsCachedButForOneToken(
        _ name: String
    ) async throws {
        let engine = try engine(name)
        var request = request(prompt(150, 1), seed: 3)
        request.isReproducible = false
        let first = try await Answer(try engine.generate(request))
        let second = try await Answer(try engine.generate(request))
        #expect(first.usage.cachedTokens == 0 && second.usage.cachedTokens == 149)
        #expect(second.usage.promptTokens == 150)
        // A conversation goes on from the answer.
        request.prompt += first.tokens + [11, 12, 13]
        let third = try await Answer(try engine.generate(request))
        #expect(third.usage.cachedTokens == 150 + first.tokens.count - 1)
        let statistics = engine.statistics
        #expect(statistics.cacheQueries == 150 + 150 + request.prompt.count)
        #expect(statistics.memoryHits == second.usage.cachedTokens + third.usage.cachedTokens)
        #expect(statistics.running == 0 && statistics.waiting == 0)
    }

    @Test func tenantsShareNothing() async throws {
        let engine = try engine("qwen3")
        var request = request(prompt(200, 1), seed: 3)
        for (tenant, cached) in [("a", 0), ("b", 0), ("a", 199), ("b", 199), ("", 0)] {
            request.tenant = tenant
            #expect(try await Answer(try engine.generate(request)).usage.cachedTokens == cached)
        }
    }

    @Test func requestsThatComeTogetherMakeTheirCommonPromptOnce() async throws {
        let engine = try engine("qwen3")
        let common = prompt(640, 5)
        let streams = try (0..<8).map { try engine.generate(request(common + [20 + $0], seed: 1)) }
        var fresh = 0
        for stream in streams {
            let usage = try await Answer(stream).usage
            fresh += usage.promptTokens - usage.cachedTokens
        }
        #expect(fresh < 641 + 7 * 64, "\(fresh)")
    }

    @Test(arguments: ["qwen3", "moonlight", "two-forms"]) func answersSurviveThatPagesRunOut(_ name: String)
        async throws
    {
        let calm = try engine(name)
        var options = EngineOptions()
        let pageBytes = calm.statistics.pageBytes
        #expect(pageBytes > 0)
        options.cacheBytes = 12 * pageBytes
        let tight = try engine(name, options: options)
        let requests = (0..<10).map { request(prompt(60 + 30 * $0, UInt64($0)), seed: UInt64($0), tokens: 150) }
        let streams = try requests.map { try tight.generate($0) }
        for (request, stream) in zip(requests, streams) {
            let expected = try await Answer(try calm.generate(request))
            let answer = try await Answer(stream)
            #expect(answer == expected, "\(request.prompt.count) tokens, \(answer.tokens.count) of an answer")
        }
        #expect(tight.statistics.preemptions > 0)
        #expect(tight.statistics.pages <= 12)
    }

    @Test func anAnswerThatFillsAllPagesEndsAsWithTheContext() async throws {
        var options = EngineOptions()
        options.cacheBytes = 3 * (try engine("qwen3").statistics.pageBytes)
        let engine = try engine("qwen3", options: options)
        let answer = try await Answer(try engine.generate(.init(prompt: prompt(100, 1), maximumTokens: 500)))
        #expect(answer.reason == .length)
        #expect(100 + answer.tokens.count == 3 * 64 + 1)
        #expect(throws: EngineError.contextExceeded(prompt: 192, context: 192)) {
            _ = try engine.generate(.init(prompt: prompt(192, 1)))
        }
    }

    @Test(arguments: ["qwen3", "deepseek-v3"]) func logProbabilitiesAreThoseOfScoring(_ name: String) async throws {
        let engine = try engine(name, .exact)
        var request = request(prompt(90, 2), seed: 5)
        request.scoresPrompt = true
        let answer = try await Answer(try engine.generate(request))
        let scores = try await engine.score(request.prompt + answer.tokens, top: 2)
        let prompt = try #require(answer.promptScores)
        #expect(prompt.logprobs.count == 90 && prompt.top.count == 90)
        for (ours, theirs) in zip(prompt.logprobs.dropFirst(), scores.logprobs.dropFirst()) {
            #expect(abs(try #require(ours) - (try #require(theirs))) < 1e-4)
        }
        for (index, logprob) in answer.logprobs.enumerated() {
            #expect(logprob.id == answer.tokens[index])
            #expect(abs(logprob.logprob - (try #require(scores.logprobs[90 + index]))) < 1e-4)
            #expect(logprob.top.map(\.id) == scores.top[89 + index].map(\.id))
        }
        #expect(answer.usage.cachedTokens == 0)
    }

    @Test func whoLeavesIsDroppedAndOthersGoOn() async throws {
        let engine = try engine("moonlight")
        let kept = try engine.generate(request(prompt(80, 1), seed: 2, tokens: 60))
        for index in 0..<20 {
            var tokens = 0
            for try await event in try engine.generate(request(prompt(50 + index, 9), seed: 1, tokens: 5000)) {
                if case .token = event { tokens += 1 }
                if tokens == 2 { break }
            }
        }
        let answer = try await Answer(kept)
        #expect(answer.tokens.count == 60)
        _ = try await engine.score([5])
        #expect(engine.statistics.running == 0 && engine.statistics.waiting == 0)
    }

    @Test func requestsOfOneSequenceGoInTurn() async throws {
        let engine = try engine("qwen3")
        let sequence = engine.makeSequence()
        let streams = try (0..<6).map { index in
            var request = request(prompt(30 + index, UInt64(index)), seed: 4, tokens: 20)
            request.sequence = sequence
            return (request, try engine.generate(request))
        }
        for (request, stream) in streams {
            var alone = request
            alone.sequence = nil
            #expect(try await Answer(stream) == Answer(try engine.generate(alone)))
        }
    }

    /// A prompt that is scored gives its pages up when it is half done, and its scores begin anew.
    @Test func aPromptThatIsScoredSurvivesThatPagesRunOut() async throws {
        let calm = try engine("qwen3")
        var options = EngineOptions()
        options.cacheBytes = 10 * calm.statistics.pageBytes
        let tight = try engine("qwen3", options: options)
        // Holds the engine until the two others have come, so that they begin in one pass.
        let gate = Gate()
        var holder = request(prompt(5, 9), seed: 1, tokens: 1)
        holder.constraint = gate
        var held = try tight.generate(holder).makeAsyncIterator()
        guard case .started? = try await held.next() else {
            Issue.record("the first event is another")
            return
        }
        // A page, and another one with its first token; all others are the scored prompt's, which takes two passes.
        var urgent = request(prompt(64, 1), seed: 1, tokens: 100)
        urgent.priority = 1
        var scored = request(prompt(560, 2), seed: 1, tokens: 10)
        scored.scoresPrompt = true
        let streams = [try tight.generate(urgent), try tight.generate(scored)]
        gate.open()
        for (request, stream) in zip([urgent, scored], streams) {
            let expected = try await Answer(try calm.generate(request))
            let answer = try await Answer(stream)
            #expect(answer == expected)
            #expect(answer.promptScores?.logprobs == expected.promptScores?.logprobs)
        }
        #expect(tight.statistics.preemptions == 1)
    }

    /// Waits before the first token until it is opened.
    private struct Gate: TokenConstraint {
        private let signal = DispatchSemaphore(value: 0)
        func open() { signal.signal() }
        mutating func mask(_ logits: UnsafeMutableBufferPointer<Float>) { signal.wait() }
        mutating func accept(_ token: Int) {}
    }

    @Test func promptsBesideAnswersAreAsLongAsTheTimeThatTheyMayTake() {
        var pacing = PromptPacing()
        #expect(pacing.rows(capacity: 512) == 64 && pacing.rows(capacity: 32) == 32)
        for _ in 0..<40 { pacing.record(rows: 64, seconds: 0.064) }
        #expect(pacing.rows(capacity: 512) == 240)
        for _ in 0..<40 { pacing.record(rows: 64, seconds: 6.4) }
        #expect(pacing.rows(capacity: 512) == 16)
        // Passes of few rows tell nothing of a row's time.
        for _ in 0..<40 { pacing.record(rows: 2, seconds: 1e-9) }
        #expect(pacing.rows(capacity: 512) == 16)
    }

    @Test func aFullQueueRefuses() async throws {
        var options = EngineOptions()
        options.maximumRunning = 2
        options.maximumWaiting = 3
        let engine = try engine("qwen3", options: options)
        var streams: [AsyncThrowingStream<GenerationEvent, any Error>] = []
        var refused = 0
        for index in 0..<8 {
            do {
                streams.append(try engine.generate(request(prompt(20, UInt64(index)), seed: 1, tokens: 400)))
            } catch .queueFull(let waiting, let limit) {
                #expect(waiting == 3 && limit == 3)
                refused += 1
            }
        }
        #expect(streams.count == 5 && refused == 3)
        for stream in streams { #expect(try await Answer(stream).tokens.count == 400) }
    }

    @Test func biasAndConstraintsDecideWhatIsDrawn() async throws {
        let engine = try engine("qwen3")
        var request = request(prompt(30, 1), seed: 2)
        request.logitBias = [77: 1000]
        #expect(Set(try await Answer(try engine.generate(request)).tokens) == [77])
        request.logitBias = [:]
        request.constraint = Alternating()
        let answer = try await Answer(try engine.generate(request))
        for (index, token) in answer.tokens.enumerated() { #expect(token % 2 == index % 2) }
        // Guesses are drawn under the same constraint.
        request.speculation = .lookup(draftTokens: 4)
        request.pacesDrafts = false
        #expect(try await Answer(try engine.generate(request)) == answer)
    }

    /// An even token, then an odd one, and so on.
    private struct Alternating: TokenConstraint {
        private var wanted = 0
        mutating func mask(_ logits: UnsafeMutableBufferPointer<Float>) {
            for id in logits.indices where id % 2 != wanted { logits[id] = -.infinity }
        }
        mutating func accept(_ token: Int) { wanted = 1 - wanted }
    }

    @Test func parametersOutOfRangeAreRefused() throws {
        let engine = try engine("qwen3", threads: 1)
        func refuses(_ change: (inout GenerationRequest) -> Void) {
            var request = GenerationRequest(prompt: [5])
            change(&request)
            #expect(throws: EngineError.self) { _ = try engine.generate(request) }
        }
        refuses { $0.priority = 101 }
        refuses { $0.logprobs = -1 }
        refuses { $0.logprobs = 101 }
        refuses { $0.logitBias = [320: 1] }
        refuses { $0.logitBias = [-1: 1] }
        refuses { $0.logitBias = [5: .nan] }
        var options = EngineOptions()
        options.maximumRunning = 0
        #expect(throws: EngineError.self) { _ = try self.engine("qwen3", options: options) }
    }

    // MARK: The disk

    private func withFolder(_ body: (URL) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "walet-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        try await body(folder)
    }

    private func options(_ folder: URL, bytes: Int = 1 << 30) -> EngineOptions {
        var options = EngineOptions()
        options.storeFolder = folder
        options.storeBytes = bytes
        options.cacheSecret = Array(repeating: 7, count: 32)
        options.modelIdentity = [1]
        return options
    }

    /// The files of the only model that has used a folder.
    private func files(_ folder: URL) throws -> [URL] {
        let models = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
        #expect(models.count == 1)
        return try FileManager.default.contentsOfDirectory(
            at: try #require(models.first), includingPropertiesForKeys: nil)
    }

    /// Runs a request on a new engine, which is stopped afterwards with its pages written.
    private func run(_ name: String, _ request: GenerationRequest, _ options: EngineOptions) async throws -> Answer {
        let engine = try engine(name, options: options)
        let answer = try await Answer(try engine.generate(request))
        engine.flushStore()
        return answer
    }

    @Test(arguments: ["qwen3", "deepseek-v3", "two-forms"]) func pagesOutliveTheProcess(_ name: String) async throws {
        try await withFolder { folder in
            let request = request(prompt(500, 4), seed: 3)
            let first = try await run(name, request, options(folder))
            #expect(first.usage.cachedTokens == 0)
            let second = try await run(name, request, options(folder))
            #expect(second == first)
            #expect(second.usage.cachedTokens == 448 && second.usage.diskTokens == 448)
            // Another secret names other pages.
            var other = options(folder)
            other.cacheSecret[0] = 8
            #expect(try await run(name, request, other).usage.cachedTokens == 0)
            var tenant = request
            tenant.tenant = "b"
            #expect(try await run(name, tenant, options(folder)).usage.cachedTokens == 0)
        }
    }

    @Test func aConversationOutlivesTheProcessToo() async throws {
        try await withFolder { folder in
            var request = request(prompt(100, 4), seed: 3, tokens: 100)
            request.isReproducible = false
            let first = try await run("two-forms", request, options(folder))
            request.prompt += first.tokens + [9, 10, 11]
            let second = try await run("two-forms", request, options(folder))
            #expect(second.usage.cachedTokens == 192 && second.usage.diskTokens == 192)
        }
    }

    @Test func aDamagedFileIsAMiss() async throws {
        try await withFolder { folder in
            let request = request(prompt(500, 4), seed: 3)
            let first = try await run("qwen3", request, options(folder))
            let files = try files(folder)
            #expect(files.count == 8)
            for (index, file) in files.sorted(by: { $0.path < $1.path }).enumerated() {
                var data = try Data(contentsOf: file)
                switch index % 4 {
                case 0: data[Int.random(in: 0..<data.count)] ^= 1
                case 1: data.removeLast()
                case 2: data = Data()
                default: data.replaceSubrange(0..<8, with: Data("WALETKV9".utf8))
                }
                try data.write(to: file)
            }
            let second = try await run("qwen3", request, options(folder))
            #expect(second == first)
            #expect(second.usage.cachedTokens == 0)
            // Those that were found damaged have been written anew, and the others are when it is their turn.
            for _ in 0..<6 { _ = try await run("qwen3", request, options(folder)) }
            #expect(try await run("qwen3", request, options(folder)).usage.diskTokens == 448)
        }
    }

    @Test func theDiskKeepsToItsBytes() async throws {
        try await withFolder { folder in
            let pageBytes = try engine("qwen3").statistics.pageBytes + 40
            for seed in 0..<6 {
                _ = try await run(
                    "qwen3", request(prompt(300, UInt64(seed)), seed: 1), options(folder, bytes: 10 * pageBytes))
                #expect(try files(folder).count <= 10)
            }
            // The latest is there, the first is not.
            #expect(
                try await run("qwen3", request(prompt(300, 5), seed: 1), options(folder, bytes: 10 * pageBytes)).usage
                    .diskTokens == 256)
            #expect(
                try await run("qwen3", request(prompt(300, 0), seed: 1), options(folder, bytes: 10 * pageBytes)).usage
                    .diskTokens == 0)
        }
    }

    @Test func whatACrashLeftIsRemoved() async throws {
        try await withFolder { folder in
            _ = try engine("qwen3", options: options(folder))
            let models = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
            let own = try #require(models.first)
            let name = String(repeating: "ab", count: 32)
            for file in ["\(name).tmp.page", "\(name).page", "nonsense.page", "notes.txt"] {
                try Data("x".utf8).write(to: own.appending(path: file))
            }
            _ = try engine("qwen3", options: options(folder))
            #expect(try files(folder).map(\.lastPathComponent) == ["notes.txt"])
        }
    }

    @Test func otherWeightsAndOtherWaysToComputeShareNoPages() async throws {
        try await withFolder { folder in
            let request = request(prompt(500, 4), seed: 3)
            _ = try await run("qwen3", request, options(folder))
            var other = options(folder)
            other.modelIdentity = [2]
            #expect(try await run("qwen3", request, other).usage.cachedTokens == 0)
            let exact = try engine("qwen3", .exact, options: options(folder))
            #expect(try await Answer(try exact.generate(request)).usage.cachedTokens == 0)
            #expect(try await run("qwen3", request, options(folder)).usage.cachedTokens == 448)
            other.modelIdentity = []
            #expect(throws: EngineError.self) { _ = try self.engine("qwen3", options: other) }
        }
    }

    /// Pages that wait to be written cannot be freed: an answer waits for them and does not end early.
    @Test func aTightCacheWithADiskEndsNoAnswerEarly() async throws {
        try await withFolder { folder in
            var tight = options(folder)
            tight.cacheBytes = 6 * (try engine("two-forms").statistics.pageBytes)
            let engine = try engine("two-forms", options: tight)
            let store = try #require(engine.store)
            // A disk that writes nothing for a while: the cache fills with pages that cannot go.
            store.writing.suspend()
            let release = Task {
                defer { store.writing.resume() }
                for _ in 0..<1000 where !store.isBusy { try await Task.sleep(for: .milliseconds(2)) }
                try await Task.sleep(for: .milliseconds(300))
            }
            let requests = (0..<8).map { request(prompt(100 + $0, UInt64($0)), seed: UInt64($0), tokens: 150) }
            let streams = try requests.map { try engine.generate($0) }
            for stream in streams { #expect(try await Answer(stream).tokens.count == 150) }
            try await release.value
        }
    }

    /// A page of an answer in memory before a page of a prompt on disk: the numbers of neither are taken for the other's.
    @Test func pagesOfBothFormsAreNotConfused() async throws {
        try await withFolder { folder in
            let strict = request(prompt(300, 4), seed: 3)
            let expected = try await run("two-forms", strict, options(folder))
            let engine = try engine("two-forms", options: options(folder))
            // Pages that an answer made, where the strict request makes them as a prompt's. Only a constraint makes
            // an answer of the very same tokens.
            var loose = request(Array(strict.prompt.prefix(10)), seed: 9, tokens: 60)
            loose.isReproducible = false
            loose.constraint = Dictated(tokens: Array(strict.prompt[10...]))
            _ = try await Answer(try engine.generate(loose))
            var mixed = strict
            mixed.isReproducible = false
            mixed.prompt = Array(strict.prompt.prefix(290))
            _ = try await Answer(try engine.generate(mixed))
            #expect(try await Answer(try engine.generate(strict)) == expected)
        }
    }

    private struct Dictated: TokenConstraint {
        let tokens: [Int]
        private var next = 0
        init(tokens: [Int]) { self.tokens = tokens }
        mutating func mask(_ logits: UnsafeMutableBufferPointer<Float>) {
            for id in logits.indices where id != tokens[next] { logits[id] = -.infinity }
        }
        mutating func accept(_ token: Int) { next += 1 }
    }

    @Test func aFolderThatCannotBeUsedIsRefused() throws {
        var options = EngineOptions()
        options.storeFolder = URL(filePath: "/dev/null/pages")
        options.modelIdentity = [1]
        #expect(throws: EngineError.self) { _ = try self.engine("qwen3", options: options) }
    }

    @Test func passesAreCountedBesideTheirForecast() async throws {
        var options = EngineOptions()
        // A second for each token of a prompt, a quarter for each sequence that is given one.
        options.forecast = { $0.promptTokens > 0 ? Double($0.promptTokens) : 0.25 * Double($0.sequences) }
        let engine = try engine("llama", options: options)
        for seed in 0..<3 {
            let answer = try await Answer(engine.generate(request(prompt(20, UInt64(seed)), seed: 1, tokens: 9)))
            #expect(answer.tokens.count == 9)
        }
        // Comes after the last answer's pass, whose end is told of before its time is known.
        _ = try await engine.score([5, 6])
        let statistics = engine.statistics
        // The first token of an answer is drawn from the pass over the prompt.
        #expect(statistics.prompts.tokens == 60)
        #expect(statistics.prompts.plannedSeconds == 60)
        #expect(statistics.decoding.tokens == 24)
        #expect(statistics.decoding.plannedSeconds == 6)
        #expect(statistics.decoding.seconds > 0 && statistics.prompts.seconds > 0)
        #expect(try #require(statistics.decoding.error) > -1)
    }

    @Test func withoutAForecastNothingIsPlanned() async throws {
        let engine = try engine("llama")
        _ = try await Answer(engine.generate(request(prompt(20, 1), seed: 1, tokens: 4)))
        _ = try await engine.score([5, 6])
        #expect(engine.statistics.decoding.tokens == 3)
        #expect(engine.statistics.decoding.plannedSeconds == 0)
        #expect(engine.statistics.decoding.error == nil)
    }
}
