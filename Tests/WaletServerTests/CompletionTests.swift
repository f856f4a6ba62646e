import HTTPTypes
import Hummingbird
import HummingbirdTesting
import NIOCore
import Testing
import Walet

import struct WaletJSON.JSONObject

@testable import WaletServer

@Suite struct CompletionTests {
    private static let path = "/v1/completions"

    private static func body(_ members: (String, JSONValue)...) -> JSONValue {
        var object = JSONObject([("model", "fake"), ("prompt", "Once")])
        for (key, value) in members { object[key] = value }
        return .object(object)
    }

    private static func send(_ body: JSONValue, _ model: FakeModel = FakeModel()) async throws -> JSONValue {
        try await TestServer.post(TestServer(model), body, to: path)
    }

    /// Tells of log probabilities as an engine does: of the prompt's tokens, nothing of the first, then of the answer's.
    private static let scorer = FakeModel { request in
        var events: [FakeModel.Step] = [.event(.started(FakeModel.usage(request, answer: 0)))]
        func token(_ byte: Int, isFirst: Bool = false) -> TokenLogprob {
            let logprob = -Double(byte) / 100
            return TokenLogprob(
                id: byte, bytes: [UInt8(byte)], logprob: isFirst ? nil : logprob,
                top: isFirst
                    ? []
                    : [
                        TokenLogprob.Candidate(id: 64, bytes: [64], logprob: -0.125),
                        TokenLogprob.Candidate(id: byte, bytes: [UInt8(byte)], logprob: logprob),
                    ])
        }
        if request.promptLogprobs {
            events.append(
                .event(
                    .promptLogprobs(
                        FakeModel.tokens(of: request).enumerated().map { token($1, isFirst: $0 == 0) })))
        }
        if request.logprobs != nil { events.append(.event(.logprobs([token(33)]))) }
        return events + [.event(.text("!")), .event(.finish(.length, FakeModel.usage(request, answer: 1)))]
    }

    @Test func anAnswerHasTheShapeOfTheSpecification() async throws {
        let json = try await Self.send(Self.body())
        #expect(
            json.objectValue?.keys == [
                "id", "object", "created", "model", "choices", "system_fingerprint", "usage",
            ])
        #expect(json["id"]?.stringValue?.hasPrefix("cmpl-") == true)
        #expect(json["object"] == "text_completion")
        #expect(
            json["choices"] == [["text": "Hello world", "index": 0, "logprobs": .null, "finish_reason": "stop"]])
        #expect(json.at("usage.total_tokens") == 7)
    }

    @Test func thePromptIsTakenAsTheModelReadsIt() async throws {
        let server = TestServer()
        _ = try await TestServer.post(server, Self.body(("prompt", "<|im_start|>x")), to: Self.path)
        guard case .text("<|im_start|>x", special: true)? = server.model.requests.first?.prompt else {
            Issue.record("expected the text as it is")
            return
        }
        #expect(server.model.requests.first?.options.maximumTokens == 16)
    }

    @Test func promptsMayBeTextsTokensAndListsOfTokens() async throws {
        let cases: [(JSONValue, [[Int]])] = [
            ("ab", [[1, 97, 98]]), (["a", "b"], [[1, 97], [1, 98]]), ([97, 98], [[97, 98]]),
            ([[97], [98, 99]], [[97], [98, 99]]),
        ]
        for (prompt, tokens) in cases {
            let server = TestServer()
            let json = try await TestServer.post(server, Self.body(("prompt", prompt), ("n", 2)), to: Self.path)
            #expect(json["choices"]?.arrayValue?.map { $0["index"] } == (0..<tokens.count * 2).map { .int($0) })
            let found = Set(server.model.requests.map { FakeModel.tokens(of: $0) })
            #expect(found == Set(tokens))
            let count = tokens.map(\.count).reduce(0, +)
            #expect(json.at("usage.prompt_tokens") == .int(count))
            #expect(server.gatekeeper.reserved.map(\.promptTokens) == [count])
        }
    }

    static let wrong: [(String, String, String)] = [
        ("prompt", "\"\"", "prompt"), ("prompt", "[]", "prompt"), ("prompt", "[\"\"]", "prompt[0]"),
        ("prompt", "[[]]", "prompt[0]"), ("prompt", "5", "prompt"), ("prompt", "null", "prompt"),
        ("prompt", "[-1]", "prompt[0]"), ("prompt", "[1.5]", "prompt[0]"), ("prompt", "[1,\"a\"]", "prompt[1]"),
        ("prompt", "[\"a\",[1]]", ""), ("prompt", "[{}]", "prompt[0]"), ("prompt", "[99999999999]", "prompt[0]"),
        ("n", "0", "n"), ("n", "129", "n"), ("best_of", "2", "best_of"), ("best_of", "1000000", "best_of"),
        ("suffix", "\"x\"", "suffix"), ("logprobs", "21", "logprobs"), ("logprobs", "-1", "logprobs"),
        ("logprobs", "true", "logprobs"), ("echo", "1", "echo"), ("max_tokens", "-1", "max_tokens"),
        ("max_tokens", "0", "max_tokens"), ("messages", "[]", "messages"), ("tools", "[]", "tools"),
    ]

    @Test(arguments: wrong)
    func whatIsWrongIsNamed(key: String, value: String, parameter: String) async throws {
        let server = TestServer()
        let json = try await TestServer.post(server, Self.body((key, try JSONValue(parsing: value))), to: Self.path)
        if parameter.isEmpty {
            #expect(json["object"] == "text_completion")
        } else {
            #expect(json.at("error.param")?.stringValue == parameter)
            #expect(server.model.requests.isEmpty)
        }
    }

    @Test func choicesOverAllPromptsAreBounded() async throws {
        let json = try await Self.send(
            Self.body(("prompt", .array(Array(repeating: "a", count: 50))), ("n", 3)))
        #expect(json.at("error.param") == "n")
        let many = try await Self.send(Self.body(("prompt", .array(Array(repeating: "a", count: 129)))))
        #expect(many.at("error.param") == "prompt")
    }

    @Test func tokensBeyondTheVocabularyAreTheClientsFault() async throws {
        let json = try await Self.send(Self.body(("prompt", [5, 300]), ("echo", true)))
        #expect(json.at("error.code") == "token_out_of_range")
    }

    @Test func anEchoComesBeforeTheAnswer() async throws {
        #expect(try await Self.send(Self.body(("echo", true))).at("choices.0.text") == "OnceHello world")
        let tokens = try await Self.send(Self.body(("echo", true), ("prompt", [79, 110])))
        #expect(tokens.at("choices.0.text") == "OnHello world")
    }

    @Test func echoedLogProbabilitiesAreWhatLmEvalReads() async throws {
        let json = try await Self.send(
            Self.body(
                ("prompt", [97, 98, 99]), ("echo", true), ("logprobs", 1), ("max_tokens", 1), ("temperature", 0),
                ("seed", 1234)),
            Self.scorer)
        let logprobs = try #require(json.at("choices.0.logprobs"))
        #expect(json.at("choices.0.text") == "abc!")
        #expect(logprobs["tokens"] == ["a", "b", "c", "!"])
        #expect(logprobs["text_offset"] == [0, 1, 2, 3])
        #expect(logprobs["token_logprobs"] == [.null, -0.98, -0.99, -0.33])
        #expect(
            logprobs["top_logprobs"] == [
                .null, ["@": -0.125, "b": -0.98], ["@": -0.125, "c": -0.99], ["@": -0.125, "!": -0.33],
            ])
    }

    @Test func scoringAloneMakesAndCostsNoAnswer() async throws {
        let server = TestServer(Self.scorer)
        let json = try await TestServer.post(
            server, Self.body(("echo", true), ("logprobs", 0), ("max_tokens", 0), ("prompt", [97, 98])), to: Self.path)
        #expect(json.at("choices.0.text") == "ab")
        #expect(json.at("choices.0.logprobs.tokens") == ["a", "b"])
        #expect(json.at("choices.0.logprobs.top_logprobs") == [.null, [:]])
        #expect(json.at("usage.completion_tokens") == 0)
        #expect(server.gatekeeper.settled.map(\.usage) == [UsageReport(promptTokens: 2)])
    }

    @Test func offsetsCountCharactersAndTokensMayBePartsOfThem() async throws {
        // "é€" in bytes, one token each.
        let json = try await Self.send(
            Self.body(("prompt", [195, 169, 226, 130, 172]), ("echo", true), ("logprobs", 0), ("max_tokens", 0)),
            Self.scorer)
        #expect(json.at("choices.0.text") == "é€")
        #expect(json.at("choices.0.logprobs.text_offset") == [0, 1, 1, 2, 2])
        #expect(json.at("choices.0.logprobs.tokens.1") == "bytes:\\xa9")
    }

    @Test func logProbabilitiesOfTheAnswerAlone() async throws {
        let json = try await Self.send(Self.body(("logprobs", 2)), Self.scorer)
        #expect(json.at("choices.0.logprobs.tokens") == ["!"])
        #expect(json.at("choices.0.logprobs.text_offset") == [0])
    }

    @Test func withoutIncludeUsageNoChunkSpeaksOfIt() async throws {
        let chunks = try await TestServer().test { client async throws in
            try await client.post(Self.path, Self.body(("stream", true))).chunks
        }
        #expect(chunks.allSatisfy { $0["usage"] == nil })
        #expect(chunks.map { $0.at("choices.0.text") } == ["Hello", " world", ""])
    }

    @Test func aStreamSaysTheSame() async throws {
        let options: JSONValue = ["include_usage": true]
        for members: [(String, JSONValue)] in [
            [], [("echo", true)], [("echo", true), ("logprobs", 1)], [("logprobs", 1)], [("n", 2)],
        ] {
            var whole = JSONObject([("model", "fake"), ("prompt", "Once")])
            for (key, value) in members { whole[key] = value }
            let answer = try await Self.send(.object(whole), Self.scorer)
            whole["stream"] = true
            whole["stream_options"] = options
            let body = JSONValue.object(whole)
            let chunks = try await TestServer(Self.scorer).test { client async throws in
                try await client.post(Self.path, body).chunks
            }
            for index in 0..<(answer["choices"]?.arrayValue?.count ?? 0) {
                let parts = chunks.compactMap { $0.at("choices.0") }.filter { $0["index"] == .int(index) }
                #expect(
                    .string(parts.compactMap { $0["text"]?.stringValue }.joined()) == answer.at("choices.\(index).text")
                )
                #expect(parts.last?["finish_reason"] == answer.at("choices.\(index).finish_reason"))
                for list in ["tokens", "token_logprobs", "text_offset", "top_logprobs"] {
                    let joined = parts.flatMap { $0.at("logprobs.\(list)")?.arrayValue ?? [] }
                    #expect(joined == answer.at("choices.\(index).logprobs.\(list)")?.arrayValue ?? [], "\(list)")
                }
            }
            #expect(chunks.last?["usage"] == answer["usage"])
            #expect(chunks.dropLast().allSatisfy { $0["usage"] == .null })
            #expect(chunks.last?["choices"] == [])
        }
    }
}
