import HTTPTypes
import Hummingbird
import HummingbirdTesting
import NIOCore
import Testing
import Walet

import struct WaletJSON.JSONObject

@testable import WaletServer

@Suite struct ChatAnswerTests {
    private static let path = "/v1/chat/completions"

    /// Thinks, says a sentence, calls two tools.
    private static let rich = FakeModel { request in
        [
            .event(.started(FakeModel.usage(request, cached: 1, answer: 0))), .event(.thinking("Let me ")),
            .event(.thinking("see.")), .event(.text("I look.")),
            .event(.toolCallStarted(index: 0, id: "functions.weather:0", name: "weather")),
            .event(.toolCallArguments(index: 0, "{\"city\":")), .event(.toolCallArguments(index: 0, "\"Bonn\"}")),
            .event(.toolCallFinished(index: 0, isComplete: true)),
            .event(.toolCallStarted(index: 1, id: "functions.time:1", name: "time")),
            .event(.toolCallArguments(index: 1, "{}")), .event(.toolCallFinished(index: 1, isComplete: true)),
            .event(.finish(.stop, FakeModel.usage(request, cached: 1, answer: 9, thinking: 4))),
        ]
    }

    @Test func aWholeAnswerHasTheShapeOfTheSpecification() async throws {
        let server = TestServer()
        try await server.test { client async throws in
            let response = try await client.post(Self.path, hello())
            #expect(response.status == .ok)
            #expect(response.headers[.contentType] == "application/json")
            #expect(response.headers[.requestID]?.hasPrefix("req_") == true)
            let json = try response.json
            #expect(
                json.objectValue?.keys == [
                    "id", "object", "created", "model", "choices", "usage", "service_tier", "system_fingerprint",
                ])
            #expect(json["id"]?.stringValue?.hasPrefix("chatcmpl-") == true)
            #expect(json["object"] == "chat.completion")
            #expect(json["model"] == "fake")
            #expect(json["system_fingerprint"]?.stringValue?.hasPrefix("fp_") == true)
            #expect(
                json["choices"] == [
                    [
                        "index": 0,
                        "message": [
                            "role": "assistant", "content": "Hello world", "refusal": .null, "annotations": [],
                        ],
                        "logprobs": .null, "finish_reason": "stop",
                    ]
                ])
        }
    }

    @Test func usageCarriesTheFieldsOfAllDialectsAndTheyAgree() async throws {
        try await TestServer(Self.rich).test { client async throws in
            let usage = try #require(try await client.post(Self.path, hello()).json["usage"])
            #expect(
                usage == [
                    "prompt_tokens": 2, "completion_tokens": 9, "total_tokens": 11,
                    "prompt_tokens_details": [
                        "cached_tokens": 1, "cache_write_tokens": 0, "audio_tokens": 0, "text_tokens": 2,
                        "image_tokens": 0,
                    ],
                    "completion_tokens_details": [
                        "reasoning_tokens": 4, "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
                        "audio_tokens": 0, "text_tokens": 5,
                    ],
                    "prompt_cache_hit_tokens": 1, "prompt_cache_miss_tokens": 1, "cached_tokens": 1,
                ])
        }
    }

    @Test func thoughtsAndToolCallsStandBesideTheContent() async throws {
        try await TestServer(Self.rich).test { client async throws in
            let choice = try #require(try await client.post(Self.path, hello()).json.at("choices.0"))
            #expect(choice["finish_reason"] == "tool_calls")
            #expect(choice.at("message.reasoning_content") == "Let me see.")
            #expect(choice.at("message.content") == "I look.")
            #expect(
                choice.at("message.tool_calls") == [
                    [
                        "id": "functions.weather:0", "type": "function",
                        "function": ["name": "weather", "arguments": "{\"city\":\"Bonn\"}"],
                    ],
                    ["id": "functions.time:1", "type": "function", "function": ["name": "time", "arguments": "{}"]],
                ])
        }
    }

    @Test func contentIsNullWhereOnlyToolsAreCalled() async throws {
        let model = FakeModel { request in
            [
                .event(.started(FakeModel.usage(request))), .event(.toolCallStarted(index: 0, id: "a", name: "f")),
                .event(.toolCallFinished(index: 0, isComplete: true)),
                .event(.finish(.stop, FakeModel.usage(request))),
            ]
        }
        try await TestServer(model).test { client async throws in
            let message = try #require(try await client.post(Self.path, hello()).json.at("choices.0.message"))
            #expect(message["content"] == .null)
        }
    }

    @Test func anAnswerThatWasCutSaysSo() async throws {
        let model = FakeModel { request in
            [
                .event(.started(FakeModel.usage(request))), .event(.toolCallStarted(index: 0, id: "a", name: "f")),
                .event(.toolCallArguments(index: 0, "{\"x")), .event(.toolCallFinished(index: 0, isComplete: false)),
                .event(.finish(.length, FakeModel.usage(request))),
            ]
        }
        try await TestServer(model).test { client async throws in
            let json = try await client.post(Self.path, hello()).json
            #expect(json.at("choices.0.finish_reason") == "length")
        }
    }

    @Test func choicesAreCountedOnOnePrompt() async throws {
        let server = TestServer()
        try await server.test { client async throws in
            let json = try await client.post(Self.path, hello(("n", 3))).json
            #expect(json["choices"]?.arrayValue?.map { $0["index"] } == [0, 1, 2])
            #expect(
                json["choices"]?.arrayValue?.map { $0.at("message.content") }
                    == Array(repeating: "Hello world", count: 3))
            #expect(json.at("usage.prompt_tokens") == 2)
            #expect(json.at("usage.completion_tokens") == 6)
        }
        #expect(server.gatekeeper.settled.map(\.usage.promptTokens) == [2])
        #expect(server.gatekeeper.reserved.map(\.promptTokens) == [2])
        #expect(server.gatekeeper.reserved.map(\.maximumTokens) == [3 * 99_998])
    }

    /// A server with one answer, asked for a stream.
    private static func stream(
        _ model: FakeModel = FakeModel(), _ members: (String, JSONValue)...
    ) async throws -> TestResponse {
        var object = JSONObject([
            ("model", "fake"), ("messages", [["role": "user", "content": "Hi"]]), ("stream", true),
        ])
        for (key, value) in members { object[key] = value }
        let body = JSONValue.object(object)
        return try await TestServer(model).test { client async throws in try await client.post(Self.path, body) }
    }

    @Test func aStreamHasTheShapeOfTheSpecification() async throws {
        let response = try await Self.stream()
        #expect(response.status == .ok)
        #expect(response.headers[.contentType] == "text/event-stream; charset=utf-8")
        #expect(response.headers[.cacheControl] == "no-cache, no-transform")
        let chunks = try response.chunks
        for chunk in chunks {
            #expect(
                chunk.objectValue?.keys == [
                    "id", "object", "created", "model", "choices", "service_tier", "system_fingerprint",
                ])
            #expect(chunk["object"] == "chat.completion.chunk")
            #expect(chunk["id"] == chunks[0]["id"])
            #expect(chunk.at("choices.0")?.objectValue?.keys == ["index", "delta", "logprobs", "finish_reason"])
        }
        #expect(
            chunks.map { $0.at("choices.0.delta") } == [
                ["role": "assistant", "content": "", "refusal": .null], ["content": "Hello"], ["content": " world"],
                [:],
            ])
        #expect(chunks.map { $0.at("choices.0.finish_reason") } == [.null, .null, .null, "stop"])
    }

    @Test func usageComesInOneExtraChunkWithoutChoices() async throws {
        let chunks = try await Self.stream(FakeModel(), ("stream_options", ["include_usage": true])).chunks
        for chunk in chunks.dropLast() {
            // There, and null: clients tell "not yet" from "never".
            #expect(chunk["usage"] == .null)
            #expect(chunk["choices"]?.arrayValue?.count == 1)
        }
        #expect(chunks.last?["choices"] == [])
        #expect(chunks.last?.at("usage.total_tokens") == 4)
        #expect(chunks.last?.at("usage.prompt_tokens_details.cached_tokens") == 0)
    }

    @Test(
        arguments: [["include_obfuscation": true], ["include_usage": false], ["continuous_usage_stats": true], [:]]
            as [JSONValue])
    func withoutIncludeUsageNoChunkSpeaksOfIt(options: JSONValue) async throws {
        let chunks = try await Self.stream(FakeModel(), ("stream_options", options)).chunks
        #expect(chunks.allSatisfy { $0["usage"] == nil })
        #expect(chunks.count == 4)
    }

    @Test func thoughtsAndToolCallsAreStreamed() async throws {
        let deltas = try await Self.stream(Self.rich).chunks.map { $0.at("choices.0.delta") }
        #expect(
            deltas == [
                ["role": "assistant", "content": "", "refusal": .null], ["reasoning_content": "Let me "],
                ["reasoning_content": "see."], ["content": "I look."],
                [
                    "tool_calls": [
                        [
                            "index": 0, "id": "functions.weather:0", "type": "function",
                            "function": ["name": "weather", "arguments": ""],
                        ]
                    ]
                ], ["tool_calls": [["index": 0, "function": ["arguments": "{\"city\":"]]]],
                ["tool_calls": [["index": 0, "function": ["arguments": "\"Bonn\"}"]]]],
                [
                    "tool_calls": [
                        [
                            "index": 1, "id": "functions.time:1", "type": "function",
                            "function": ["name": "time", "arguments": ""],
                        ]
                    ]
                ], ["tool_calls": [["index": 1, "function": ["arguments": "{}"]]]], [:],
            ])
    }

    @Test func theStreamOfAnAnswerIsTheAnswer() async throws {
        let chunks = try await Self.stream(Self.rich, ("n", 2), ("stream_options", ["include_usage": true])).chunks
        let whole = try await TestServer.post(TestServer(Self.rich), hello(("n", 2)))
        for index in 0..<2 {
            let deltas = chunks.compactMap { $0.at("choices.0") }.filter { $0["index"] == .int(index) }
            let content = deltas.compactMap { $0.at("delta.content")?.stringValue }.joined()
            let reasoning = deltas.compactMap { $0.at("delta.reasoning_content")?.stringValue }.joined()
            #expect(.string(content) == whole.at("choices.\(index).message.content"))
            #expect(.string(reasoning) == whole.at("choices.\(index).message.reasoning_content"))
            #expect(deltas.last?["finish_reason"] == whole.at("choices.\(index).finish_reason"))
        }
        // And it costs the same.
        #expect(chunks.last?["usage"] == whole["usage"])
    }

    private static let probable = FakeModel { request in
        func token(_ text: String, _ logprob: Double) -> TokenLogprob {
            TokenLogprob(
                id: 1, bytes: Array(text.utf8), logprob: logprob,
                top: [
                    TokenLogprob.Candidate(id: 1, bytes: Array(text.utf8), logprob: logprob),
                    TokenLogprob.Candidate(id: 2, bytes: [0xE2, 0x82], logprob: -.infinity),
                ])
        }
        return [
            .event(.started(FakeModel.usage(request))), .event(.logprobs([token("hm", -0.5)])), .event(.thinking("hm")),
            .event(.logprobs([token("He", -0.25), token("llo", -1)])), .event(.text("Hello")),
            .event(.finish(.stop, FakeModel.usage(request))),
        ]
    }

    @Test func logProbabilitiesStandBesideWhatTheyBelongTo() async throws {
        let json = try await TestServer.post(
            TestServer(Self.probable), hello(("logprobs", true), ("top_logprobs", 2)))
        let logprobs = try #require(json.at("choices.0.logprobs"))
        #expect(logprobs["content"]?.arrayValue?.map { $0["token"] } == ["He", "llo"])
        #expect(logprobs["reasoning_content"]?.arrayValue?.map { $0["token"] } == ["hm"])
        #expect(
            logprobs.at("content.0") == [
                "token": "He", "logprob": -0.25, "bytes": [72, 101],
                "top_logprobs": [
                    ["token": "He", "logprob": -0.25, "bytes": [72, 101]],
                    // A token that is no whole text, and one that cannot come.
                    ["token": "\u{FFFD}", "logprob": -9999.0, "bytes": [226, 130]],
                ],
            ])
        let bare = try await TestServer.post(TestServer(Self.probable), hello(("logprobs", true)))
        #expect(bare.at("choices.0.logprobs.content.0.top_logprobs") == [])
        let none = try await TestServer.post(TestServer(Self.probable), hello())
        #expect(none.at("choices.0.logprobs") == .null)
    }

    @Test func logProbabilitiesAreStreamedWithTheirText() async throws {
        let chunks = try await Self.stream(Self.probable, ("logprobs", true)).chunks
        let text = try #require(chunks.first { $0.at("choices.0.delta.content") == "Hello" })
        #expect(text.at("choices.0.logprobs.content")?.arrayValue?.count == 2)
        let thought = try #require(chunks.first { $0.at("choices.0.delta.reasoning_content") != nil })
        #expect(thought.at("choices.0.logprobs.reasoning_content")?.arrayValue?.count == 1)
    }

    @Test func longSilenceIsBrokenByComments() async throws {
        var server = TestServer(
            FakeModel { request in
                [
                    .event(.started(FakeModel.usage(request))), .wait(.milliseconds(400)), .event(.text("late")),
                    .event(.finish(.stop, FakeModel.usage(request))),
                ]
            })
        server.configuration.serving.keepAlive = .milliseconds(50)
        let text = try await server.test { client async throws in
            try await client.post(Self.path, hello(("stream", true))).text
        }
        #expect(text.contains("\n\n: keep-alive\n\n"))
        #expect(text.hasSuffix("data: [DONE]\n\n"))
    }

    @Test func anErrorInAStreamIsItsLastEvent() async throws {
        let model = FakeModel { request in
            [
                .event(.started(FakeModel.usage(request))), .event(.text("Hel")),
                .fail(EngineError.weights("/secret/path: unreadable")),
            ]
        }
        let response = try await Self.stream(model)
        #expect(response.status == .ok)
        #expect(!response.text.contains("[DONE]"))
        #expect(!response.text.contains("/secret/path"))
        let last = try #require(response.text.components(separatedBy: "\n\n").last { !$0.isEmpty })
        let error = try JSONValue(parsing: String(last.dropFirst("data: ".count)))
        #expect(error.at("error.type") == "server_error")
        #expect(error.at("error.code") == "weights")
    }

    @Test func anErrorBeforeTheFirstPieceHasAStatus() async throws {
        let errors: [(any Error & Sendable, Int, JSONValue)] = [
            (EngineError.queueFull(waiting: 64, limit: 64), 503, "queue_full"),
            (EngineError.contextExceeded(prompt: 10, context: 5), 400, "context_length_exceeded"),
            (EngineError.tokenOutOfRange(token: 5, vocabulary: 2), 400, "token_out_of_range"),
            (EngineError.weights("/secret/path: unreadable"), 503, "weights"),
            (EngineError.stopped, 503, "shutting_down"), (CocoaLike(), 500, "internal_error"),
        ]
        for (error, status, code) in errors {
            let server = TestServer(FakeModel { _ in throw error })
            try await server.test { client async throws in
                for isStream in [false, true] {
                    let response = try await client.post(Self.path, hello(("stream", .bool(isStream))))
                    #expect(response.status.code == status)
                    #expect(try response.error["code"] == code)
                    #expect((response.headers[.retryAfter] != nil) == (status == 503))
                    #expect(!response.text.contains("secret"))
                }
            }
            // Nothing was made, and nothing is owed.
            #expect(server.gatekeeper.settled.map(\.usage.totalTokens) == [0, 0])
        }
    }

    private struct CocoaLike: Error { let secret = "secret" }
}
