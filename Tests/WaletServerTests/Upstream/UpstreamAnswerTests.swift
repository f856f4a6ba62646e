import Testing
import Walet
import WaletJSON

@testable import WaletServer

/// What is made of streams: recorded ones of a real llama-server, and those of others as their code sends them.
@Suite struct UpstreamAnswerTests {
    /// An answer put together again.
    private struct Whole: Equatable {
        var started: Usage?
        var thinking = ""
        var text = ""
        var calls: [String] = []
        var logprobs: [TokenLogprob] = []
        var reason: FinishReason?
        var usage = Usage()

        init(_ events: [ModelEvent]) {
            for event in events {
                switch event {
                case .started(let usage): started = usage
                case .thinking(let piece): thinking += piece
                case .text(let piece): text += piece
                case .toolCallStarted(let index, let id, let name): calls.append("\(index) \(id) \(name) ")
                case .toolCallArguments(let index, let piece): calls[index] += piece
                case .toolCallFinished(let index, let isComplete): calls[index] += isComplete ? "." : "…"
                case .logprobs(let tokens): logprobs += tokens
                case .promptLogprobs: break
                case .finish(let reason, let usage):
                    self.reason = reason
                    self.usage = usage
                }
            }
        }
    }

    private static func call(
        chat: Bool = true, logprobs: Int? = nil, stop: [String] = [], maximumTokens: Int = 100
    ) throws -> UpstreamCall {
        var request = ModelRequest(
            chat
                ? .chat([ChatMessage(role: "user", content: "Hello")], tools: [], variables: [:])
                : .text("Once upon a", special: true), options: UpstreamCall.defaults)
        request.logprobs = logprobs
        request.options.stop = stop
        request.options.maximumTokens = maximumTokens
        let remote = UpstreamRemote(name: "big", kind: .llama, contextLength: 1000, tokenizer: .none)
        return try UpstreamCall(request, remote, cacheSalt: "", key: nil)
    }

    /// All that comes of a stream.
    private static func events(_ stream: [UInt8], _ call: UpstreamCall) throws -> (
        events: [ModelEvent], isCounted: Bool
    ) {
        var parser = EventStreamParser()
        var answer = UpstreamAnswer(call)
        var events: [ModelEvent] = []
        for data in try parser.push(stream) { events += try answer.take(data) }
        if let data = parser.finish() { events += try answer.take(data) }
        events += try answer.end()
        return (events, answer.isCounted)
    }

    private static func whole(_ file: String, _ call: UpstreamCall) throws -> Whole {
        Whole(try events(try UpstreamFixtures.bytes(file), call).events)
    }

    private static func whole(_ chunks: [JSONValue], _ call: UpstreamCall? = nil) throws -> Whole {
        let text = chunks.map { "data: \($0.text())\n\n" }.joined()
        return Whole(try events(Array(text.utf8), try call ?? Self.call()).events)
    }

    // MARK: llama-server

    @Test func aChatOfLlamaServer() throws {
        let answer = try Self.whole("chat.sse", try Self.call())
        #expect(!answer.text.isEmpty && answer.thinking.isEmpty && answer.calls.isEmpty)
        #expect(answer.reason == .length)
        #expect(answer.usage.answerTokens == 8)
        #expect(answer.usage.promptTokens > 10)
        // Known with the first chunk, so that an answer that breaks off can be charged.
        #expect(answer.started?.promptTokens == answer.usage.promptTokens)
        #expect(answer.usage.prefillSeconds > 0 && answer.usage.decodeSeconds > 0)
        let isCounted = try Self.events(try UpstreamFixtures.bytes("chat.sse"), try Self.call()).isCounted
        #expect(!isCounted)
    }

    @Test func aStoppedChatOfLlamaServer() throws {
        let answer = try Self.whole("chat-stop.sse", try Self.call(stop: ["!", "."]))
        #expect(answer.reason == .stop)
        #expect(!answer.text.contains("!") && !answer.text.contains("."))
    }

    @Test func charactersOfSeveralTokensStayWhole() throws {
        let answer = try Self.whole("chat-unicode.sse", try Self.call())
        #expect(answer.text.contains("🇮🇩"))
        #expect(!answer.text.contains("\u{FFFD}"))
    }

    @Test func logProbabilitiesOfLlamaServer() throws {
        for (file, isChat) in [("chat-logprobs.sse", true), ("completion.sse", false)] {
            let answer = try Self.whole(file, try Self.call(chat: isChat, logprobs: 2))
            #expect(answer.logprobs.count == (isChat ? 3 : 4))
            #expect(answer.logprobs.allSatisfy { $0.top.count == 2 && ($0.logprob ?? 1) <= 0 })
            #expect(answer.logprobs.map { String(decoding: $0.bytes, as: UTF8.self) }.joined() == answer.text)
            #expect(answer.logprobs.allSatisfy { $0.id >= 0 })
        }
        // Those that nobody asked for do not come.
        #expect(try Self.whole("chat-logprobs.sse", try Self.call()).logprobs.isEmpty)
    }

    @Test func aCallOfLlamaServer() throws {
        let answer = try Self.whole("chat-tools.sse", try Self.call())
        #expect(answer.calls.count == 1)
        #expect(answer.calls.first?.hasSuffix(#" weather {"city": "Rome"}."#) == true)
        #expect(answer.reason == .stop)
        #expect(answer.text.isEmpty)
    }

    @Test func thinkingOfLlamaServer() throws {
        let answer = try Self.whole("chat-thinking.sse", try Self.call())
        #expect(answer.thinking.contains("glad"))
        #expect(!answer.text.contains("glad") && !answer.text.contains("think>"))
        #expect(answer.usage.thinkingTokens > 0)
        #expect(answer.usage.thinkingTokens <= answer.usage.answerTokens)
    }

    @Test func anErrorWithinAStreamOfLlamaServer() throws {
        do {
            _ = try Self.whole("chat-tools-error.sse", try Self.call())
            Issue.record("expected an error")
        } catch let error as UpstreamError {
            guard case .failed(500, _) = error else {
                Issue.record("found \(error)")
                return
            }
            #expect(error.apiError.kind == .upstream)
        }
    }

    // MARK: Others

    @Test func vLLMCountsWhileItAnswers() throws {
        func usage(_ answer: Int) -> JSONValue {
            ["prompt_tokens": 12, "total_tokens": .int(12 + answer), "completion_tokens": .int(answer)]
        }
        var chunks = UpstreamChunks.hello.dropLast().map { $0 }
        chunks = zip(0..., chunks).map { index, chunk in
            var object = chunk.objectValue ?? JSONObject()
            object["usage"] = usage(index)
            return .object(object)
        }
        let answer = try Self.whole(chunks)
        #expect(answer.started?.promptTokens == 12)
        #expect(answer.usage.promptTokens == 12 && answer.usage.answerTokens == 3)
        #expect(answer.text == "Hello world")
    }

    @Test func thinkingHasTwoNames() throws {
        for key in ["reasoning", "reasoning_content"] {
            let answer = try Self.whole(
                [
                    UpstreamChunks.delta([(key, "Hm.")].reduce(into: JSONObject()) { $0[$1.0] = $1.1 }.json),
                    UpstreamChunks.delta(["content": "Yes."], finish: "stop"),
                ])
            #expect(answer.thinking == "Hm." && answer.text == "Yes.")
        }
        let both = try Self.whole([
            UpstreamChunks.delta(["reasoning": "Hm.", "reasoning_content": "Hm."], finish: "stop")
        ])
        #expect(both.thinking == "Hm.")
    }

    @Test func severalCallsComeOneAfterTheOther() throws {
        func call(_ index: Int, _ members: JSONValue) -> JSONValue {
            var object = members.objectValue ?? JSONObject()
            object["index"] = .int(index)
            return UpstreamChunks.delta(["tool_calls": [.object(object)]])
        }
        let answer = try Self.whole([
            UpstreamChunks.delta(["content": "Let me see."]),
            call(3, ["id": "functions.a:0", "type": "function", "function": ["name": "a", "arguments": ""]]),
            call(3, ["function": ["arguments": "{\"x\":"]]), call(3, ["function": ["arguments": " 1}"]]),
            call(4, ["type": "function", "function": ["name": "b", "arguments": "{}"]]),
            UpstreamChunks.delta([:], finish: "tool_calls"),
        ])
        #expect(answer.text == "Let me see.")
        #expect(answer.calls == ["0 functions.a:0 a {\"x\": 1}.", "1 call_1_1 b {}."])
        #expect(answer.reason == .stop)
        let cut = try Self.whole([
            call(0, ["id": "c", "function": ["name": "a", "arguments": "{"]]),
            UpstreamChunks.delta([:], finish: "length"),
        ])
        #expect(cut.calls == ["0 c a {…"])
        #expect(cut.reason == .length)
    }

    @Test func callsThatMakeNoSenseAreErrors() throws {
        func call(_ members: JSONValue) -> JSONValue { UpstreamChunks.delta(["tool_calls": [members]]) }
        let a: JSONValue = ["index": 0, "id": "c", "function": ["name": "a", "arguments": "{}"]]
        let b: JSONValue = ["index": 1, "id": "d", "function": ["name": "b", "arguments": "{}"]]
        let cases: [[JSONValue]] = [
            [call(a), call(b), call(["index": 0, "function": ["arguments": "more"]])], [call("a")],
            [call(["index": "one"])], [call(["index": 0, "function": ["name": "a", "arguments": 5]])],
            [call(["index": 0, "function": ["arguments": "{}"]]), call(b)],
            [UpstreamChunks.delta(["tool_calls": "x"])],
            (0..<513).map { call(["index": .int($0), "function": ["name": "a"]]) },
        ]
        for chunks in cases {
            #expect(throws: UpstreamError.self) {
                _ = try Self.whole(chunks + [UpstreamChunks.delta([:], finish: "stop")])
            }
        }
    }

    @Test(arguments: [
        (#"{"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}"#, 9, 4, 3),
        (#"{"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": null}"#, 9, 0, 3),
        (
            #"{"prompt_tokens": 9, "completion_tokens": 3, "prompt_cache_hit_tokens": 5, "prompt_cache_miss_tokens": 4}"#,
            9, 5, 3
        ),
        (#"{"prompt_tokens": 9, "completion_tokens": 3, "cached_tokens": 6}"#, 9, 6, 3),
        (#"{"prompt_tokens": 9, "completion_tokens": 3, "cached_tokens": 60}"#, 9, 9, 3),
    ])
    func usageIsReadInEverybodysWords(text: String, prompt: Int, cached: Int, answerTokens: Int) throws {
        let usage = try JSONValue(parsing: text)
        let answer = try Self.whole(UpstreamChunks.hello.dropLast() + [["choices": [], "usage": usage]])
        #expect(answer.usage.promptTokens == prompt && answer.usage.cachedTokens == cached)
        #expect(answer.usage.answerTokens == answerTokens)
    }

    @Test(arguments: [#"{"prompt_tokens": -1}"#, #"{"prompt_tokens": 1e300}"#, "[]", "null", #""x""#, "{}"])
    func withoutUsageTheTokensAreCounted(text: String) throws {
        let chunks = UpstreamChunks.hello.dropLast() + [["choices": [], "usage": try JSONValue(parsing: text)]]
        let stream = chunks.map { "data: \($0.text())\n\n" }.joined()
        let (events, isCounted) = try Self.events(Array(stream.utf8), try Self.call())
        #expect(isCounted)
        let usage = Whole(events).usage
        #expect(usage.answerTokens == 2)
        #expect(usage.promptTokens > 0)
    }

    @Test func theStopThatEndedAnAnswerIsTold() throws {
        for key in ["stop_reason", "matched_stop"] {
            for (value, expected) in [("END", "END"), ("other", nil)] as [(JSONValue, String?)] {
                var choice = JSONObject([("index", 0), ("delta", [:]), ("finish_reason", "stop")])
                choice[key] = value
                let answer = try Self.whole(
                    [UpstreamChunks.delta(["content": "a"]), ["choices": [.object(choice)]]],
                    try Self.call(stop: ["END"]))
                #expect(answer.usage.stopSequence == expected)
            }
        }
    }

    @Test func completionsOfVLLMTellTheirLogProbabilitiesInLists() throws {
        let answer = try Self.whole(
            [
                [
                    "choices": [
                        [
                            "index": 0, "text": "ab",
                            "logprobs": [
                                "tokens": ["a", "b"], "token_logprobs": [-0.5, -1], "text_offset": [0, 1],
                                "top_logprobs": [["x": -2, "a": -0.5], ["b": -1]],
                            ], "finish_reason": "length",
                        ]
                    ]
                ]
            ], try Self.call(chat: false, logprobs: 2))
        #expect(answer.text == "ab")
        #expect(answer.logprobs.map(\.logprob) == [-0.5, -1])
        #expect(answer.logprobs[0].top.map { String(decoding: $0.bytes, as: UTF8.self) } == ["a", "x"])
    }

    // MARK: What is wrong

    @Test(arguments: [
        "x", "[]", "5", #"{"choices": 5}"#, #"{"choices": [5]}"#, #"{"choices": [{"delta": 5}]}"#,
        #"{"choices": [{"delta": {"content": 5}}]}"#, #"{"choices": [{"delta": {}, "finish_reason": 5}]}"#,
        #"{"choices": [{"delta": {"content": "\ud800"}}]}"#, #"{"choices": [{"delta": {}, "finish_reason": "abort"}]}"#,
        #"{"error": {"message": "no"}}"#, #"{"error": "no"}"#,
        String(repeating: "[", count: 100_000),
    ])
    func whatIsNoChunkIsAnError(text: String) throws {
        var answer = UpstreamAnswer(try Self.call())
        #expect(throws: UpstreamError.self) { try answer.take(Array(text.utf8)) }
    }

    @Test func errorsWithinAStreamHaveAStatus() throws {
        for (code, kind) in [(400, APIError.Kind.invalidRequest), (429, .overloaded), (500, .upstream)] {
            var answer = UpstreamAnswer(try Self.call())
            do {
                _ = try answer.take(Array(#"{"error": {"message": "so", "code": \#(code)}}"#.utf8))
                Issue.record("expected an error")
            } catch {
                #expect(error.apiError.kind == kind)
            }
        }
    }

    @Test func anAnswerThatBreaksOffIsAnError() throws {
        #expect(throws: UpstreamError.self) {
            _ = try Self.whole([UpstreamChunks.delta(["content": "Hel"])])
        }
    }

    @Test func nobodyCanSayMoreThanTheTokensHold() throws {
        var answer = UpstreamAnswer(try Self.call(maximumTokens: 1))
        let chunk = Array(
            UpstreamChunks.delta(["content": .string(String(repeating: "x", count: 100_000))]).text().utf8)
        #expect(throws: UpstreamError.self) {
            for _ in 0..<20 { _ = try answer.take(chunk) }
        }
    }

    /// The same sequence at every run (SplitMix64).
    private struct Generator: RandomNumberGenerator {
        var state: UInt64

        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var z = state
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            return z ^ (z >> 31)
        }
    }

    @Test(arguments: UpstreamFixtures.streams, [1, 2])
    func mutatedStreamsAreAnswersOrErrors(file: String, seed: UInt64) throws {
        let stream = try UpstreamFixtures.bytes(file)
        let call = try Self.call(chat: !file.hasPrefix("completion"), logprobs: 2)
        var generator = Generator(state: seed)
        let pieces = Array("\n\r:{}[]\",0-9e\\u".utf8)
        var answers = 0
        for _ in 0..<300 {
            var bytes = stream
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                let index = Int.random(in: bytes.indices, using: &generator)
                switch Int.random(in: 0..<5, using: &generator) {
                case 0: bytes[index] = UInt8.random(in: .min ... .max, using: &generator)
                case 1: bytes.remove(at: index)
                case 2: bytes.insert(pieces.randomElement(using: &generator)!, at: index)
                case 3: bytes = Array(bytes[...index])
                default:
                    let end = min(index + Int.random(in: 1...400, using: &generator), bytes.count)
                    bytes.insert(contentsOf: bytes[index..<end], at: Int.random(in: bytes.indices, using: &generator))
                }
            }
            do {
                let whole = Whole(try Self.events(bytes, call).events)
                #expect(whole.reason != nil)
                #expect(whole.usage.cachedTokens <= whole.usage.promptTokens)
                #expect(whole.usage.thinkingTokens <= whole.usage.answerTokens)
                answers += 1
            } catch {
                #expect(error is UpstreamError)
            }
        }
        // Some of what is changed changes nothing that counts.
        if file != "chat-tools-error.sse" { #expect(answers > 0) }
    }
}

extension JSONObject {
    fileprivate var json: JSONValue { .object(self) }
}
