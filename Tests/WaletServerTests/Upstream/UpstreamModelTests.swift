import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import Testing
import Walet
import WaletJSON

@testable import WaletServer

/// A model of another server, behind this one's keys, charges and audit.
@Suite struct UpstreamModelTests {
    private static let path = "/v1/chat/completions"

    /// A server in front of another one.
    private static func server(
        _ upstream: FakeUpstream, silence: Duration = .seconds(60), key: String? = nil, contextLimit: Int? = nil,
        maximumRequests: Int = 64, remoteModel: String? = nil
    ) async throws -> TestServer {
        var server = TestServer()
        let address = try UpstreamAddress(
            parsing: "http://127.0.0.1:\(upstream.port)/v1" + (remoteModel.map { "#" + $0 } ?? ""), place: "test")
        let key = key.map { UpstreamKey(secret: $0) }
        // However short the silence is, these questions have their time.
        let remote = try await UpstreamRemote.ask(
            address, key: key, localName: "fake", contextLimit: contextLimit, client: UpstreamClient())
        server.served = UpstreamModel(
            name: "fake", address: address, key: key, remote: remote, client: UpstreamClient(silence: silence),
            maximumRequests: maximumRequests, logger: server.logger)
        return server
    }

    private static let world = Array(UpstreamChunks.hello)

    // MARK: Answers

    @Test func anAnswerIsPassedOnChargedAndAudited() async throws {
        try await FakeUpstream.run(UpstreamChunks.script { _ in FakeUpstream.Step.stream(Self.world) }) {
            upstream async throws in
            let server = try await Self.server(upstream, key: "sk-upstream")
            try await server.test { client async throws in
                let whole = try await client.post(Self.path, hello())
                #expect(whole.status == .ok)
                #expect(try whole.json.at("choices.0.message.content") == "Hello world")
                #expect(try whole.json.at("model") == "fake")
                #expect(try whole.json.at("usage.prompt_tokens") == 10)
                #expect(try whole.json.at("usage.prompt_tokens_details.cached_tokens") == 4)
                let stream = try await client.post(
                    Self.path, hello(("stream", true), ("stream_options", ["include_usage": true])))
                let text = try stream.chunks.compactMap { $0.at("choices.0.delta.content")?.stringValue }.joined()
                #expect(text == "Hello world")
                #expect(try stream.chunks.last?.at("usage.completion_tokens") == 2)
            }
            let usage = UsageReport(promptTokens: 10, cachedTokens: 4, answerTokens: 2)
            #expect(server.gatekeeper.settled.map(\.usage.promptTokens) == [10, 10])
            #expect(server.gatekeeper.settled.map(\.usage.cachedTokens) == [usage.cachedTokens, usage.cachedTokens])
            #expect(server.gatekeeper.settled.map(\.usage.answerTokens) == [2, 2])
            #expect(server.gatekeeper.reserved.allSatisfy { $0.isEstimate && $0.maximumTokens == 1000 })
            #expect(server.audit.entries.map(\.answer) == ["Hello world", "Hello world"])
            // The client's key stays here, and the other server gets its own.
            let sent = upstream.requests(Self.path)
            #expect(sent.allSatisfy { $0.headers["authorization"] == "Bearer sk-upstream" })
            #expect(sent.allSatisfy { $0.body["model"] == "big" && $0.body["max_tokens"] == nil })
            // A client has its answer a moment before the request's end is counted.
            try await eventually("nothing runs any more") {
                server.served?.snapshot.running == 0 && server.served?.snapshot.waiting == 0
            }
            #expect(server.served?.snapshot.tiers.first?.hitTokens == 8)
        }
    }

    @Test func callsThinkingAndLogProbabilitiesArrive() async throws {
        let logprobs: JSONValue = [
            "content": [["token": "Yes", "logprob": -0.25, "bytes": [89, 101, 115], "top_logprobs": []]]
        ]
        let chunks: [JSONValue] = [
            UpstreamChunks.delta(["reasoning": "Hm."]),
            ["choices": [["index": 0, "delta": ["content": "Yes"], "logprobs": logprobs]]],
            UpstreamChunks.delta([
                "tool_calls": [["index": 0, "id": "c1", "function": ["name": "f", "arguments": "{}"]]]
            ]),
            UpstreamChunks.delta([:], finish: "tool_calls"), UpstreamChunks.usage(prompt: 5, answer: 9),
        ]
        try await FakeUpstream.run(UpstreamChunks.script { _ in FakeUpstream.Step.stream(chunks) }) {
            upstream async throws in
            try await Self.server(upstream).test { client async throws in
                let answer = try await client.post(Self.path, hello(("logprobs", true))).json
                let message = try #require(answer.at("choices.0.message"))
                #expect(message["reasoning_content"] == "Hm." && message["content"] == "Yes")
                #expect(message.at("tool_calls.0.id") == "c1")
                #expect(message.at("tool_calls.0.function.name") == "f")
                #expect(answer.at("choices.0.finish_reason") == "tool_calls")
                #expect(answer.at("choices.0.logprobs.content.0.logprob") == -0.25)
            }
        }
    }

    @Test func choicesAndPromptsAreRequestsOfTheirOwn() async throws {
        let script = UpstreamChunks.script { request in
            request.path == Self.path
                ? FakeUpstream.Step.stream(Self.world)
                : FakeUpstream.Step.stream([
                    ["choices": [["index": 0, "text": request.body["prompt"] ?? .null, "finish_reason": "length"]]],
                    UpstreamChunks.usage(prompt: 3, answer: 1),
                ])
        }
        try await FakeUpstream.run(script) { upstream async throws in
            let server = try await Self.server(upstream)
            try await server.test { client async throws in
                let chat = try await client.post(Self.path, hello(("n", 3), ("seed", 5)))
                #expect(try chat.json["choices"]?.arrayValue?.count == 3)
                let body: JSONValue = ["model": "fake", "prompt": ["a", "b"], "max_tokens": 1]
                let completion = try await client.post("/v1/completions", body).json
                #expect(completion.at("choices.0.text") == "a" && completion.at("choices.1.text") == "b")
                #expect(completion.at("usage.prompt_tokens") == 6)
            }
            // One prompt, however often it is answered.
            #expect(server.gatekeeper.settled.first?.usage.promptTokens == 10)
            #expect(server.gatekeeper.settled.first?.usage.answerTokens == 6)
            #expect(Set(upstream.requests(Self.path).compactMap { $0.body["seed"]?.intValue }).count == 3)
        }
    }

    @Test func withoutUsageTheTokensAreCountedAndTheLogSaysSo() async throws {
        let chunks = Self.world.dropLast().map { $0 }
        try await FakeUpstream.run(UpstreamChunks.script { _ in FakeUpstream.Step.stream(chunks) }) {
            upstream async throws in
            let server = try await Self.server(upstream)
            try await server.test { client async throws in
                #expect(try await client.post(Self.path, hello()).status == .ok)
            }
            let usage = try #require(server.gatekeeper.settled.first?.usage)
            #expect(usage.answerTokens == 2 && usage.promptTokens > 0)
            #expect(server.log.all.contains { $0.contains(#""usage":"counted""#) })
        }
    }

    // MARK: Errors

    @Test(arguments: [
        ("400 Bad Request", #"{"error": {"message": "so not sk-upstream", "param": "x", "code": "bad"}}"#, 400, "bad"),
        ("422 Unprocessable", #"{"detail": "so not"}"#, 400, "rejected_by_upstream"),
        ("401 Unauthorized", #"{"error": "sk-upstream is wrong"}"#, 502, "upstream_refused"),
        ("403 Forbidden", "", 502, "upstream_refused"), ("404 Not Found", "{}", 502, "upstream_refused"),
        ("429 Too Many", "{}", 503, "upstream_busy"), ("503 Busy", "{}", 503, "upstream_busy"),
        ("500 Oh", #"{"error": {"message": "secret of the inside"}}"#, 502, "upstream_failed"),
        ("302 Found", "", 502, "upstream_refused"), ("204 Nothing", "", 502, "upstream_failed"),
    ])
    func itsErrorsBecomeOurs(status: String, body: String, expected: Int, code: String) async throws {
        let script = UpstreamChunks.script { _ in
            [.answer(body, status: status, headers: ["Retry-After: 17", "Location: http://127.0.0.1:1/v1/other"])]
        }
        try await FakeUpstream.run(script) { upstream async throws in
            let server = try await Self.server(upstream, key: "sk-upstream")
            try await server.test { client async throws in
                for isStream in [false, true] {
                    let answer = try await client.post(Self.path, hello(("stream", .bool(isStream))))
                    #expect(answer.status.code == expected)
                    #expect(try answer.error["code"] == .string(code))
                    #expect(!answer.text.contains("sk-upstream") && !answer.text.contains("127.0.0.1"))
                    #expect(!answer.text.contains("inside"))
                    if expected == 400 { #expect(answer.text.contains("so not")) }
                    #expect(answer.headers[.retryAfter] == (expected == 503 ? "17" : nil))
                }
            }
            #expect(upstream.requests(Self.path).count == 2)
            #expect(server.gatekeeper.settled.map(\.usage) == [UsageReport(), UsageReport()])
            #expect(server.gatekeeper.settled.map(\.outcome) == [.failed(code), .failed(code)])
            #expect(!server.log.all.contains { $0.contains("sk-upstream") })
        }
    }

    @Test func errorsThatComeWithinAStreamEndIt() async throws {
        let scripts: [(FakeUpstream.Script, String)] = [
            ({ _ in [.streamHead, .delta(["content": "Hel"]), .close] }, "upstream_broken"),
            ({ _ in [.streamHead, .delta(["content": "Hel"]), .end] }, "upstream_broken"),
            (
                { _ in [.streamHead, .delta(["content": "Hel"]), .part("data: garbage\n\n"), .hang] },
                "upstream_invalid"
            ),
            (
                { _ in
                    [.streamHead, .delta(["content": "Hel"]), .part("data: {\"error\": {\"code\": 500}}\n\n"), .hang]
                },
                "upstream_failed"
            ),
            (
                { _ in
                    [.streamHead, .delta(["content": "Hel"])]
                        + (0..<40).map { _ in .part(String(repeating: "x", count: 65536)) } + [.hang]
                }, "upstream_invalid"
            ),
        ]
        for (script, code) in scripts {
            try await FakeUpstream.run(UpstreamChunks.script(script)) { upstream async throws in
                let server = try await Self.server(upstream)
                try await server.test { client async throws in
                    let stream = try await client.post(Self.path, hello(("stream", true)))
                    #expect(stream.status == .ok)
                    #expect(stream.text.contains("Hel") && stream.text.contains(code))
                    #expect(!stream.text.contains("[DONE]"))
                    #expect(try await client.post(Self.path, hello()).status == .badGateway)
                }
                #expect(server.gatekeeper.settled.map(\.outcome) == [.failed(code), .failed(code)])
                // What was said is charged, by the pieces that it came in.
                #expect(
                    server.gatekeeper.settled.allSatisfy { $0.usage.answerTokens == 1 && $0.usage.promptTokens > 0 })
            }
        }
    }

    @Test(arguments: [
        [FakeUpstream.Step.send("garbage that is no HTTP\r\n\r\n"), .close], [.close],
        [.answer("{}", type: "application/json")], [.answer("<html>", type: "text/html")],
        [.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 5\r\n\r\nda"), .close],
    ])
    func whatIsNoAnswerIsABadGateway(steps: [FakeUpstream.Step]) async throws {
        try await FakeUpstream.run(UpstreamChunks.script { _ in steps }) { upstream async throws in
            let server = try await Self.server(upstream)
            try await server.test { client async throws in
                let answer = try await client.post(Self.path, hello())
                #expect(answer.status == .badGateway)
                #expect(try answer.error["type"] == "server_error")
            }
            #expect(server.gatekeeper.settled.count == 1)
            try await eventually("nothing runs any more") {
                server.served?.snapshot.running == 0 && server.served?.snapshot.waiting == 0
            }
        }
    }

    @Test func aSilentServerIsGivenUp() async throws {
        for steps: [FakeUpstream.Step] in [
            [.hang], [.streamHead, .hang], [.streamHead, .delta(["content": "a"]), .hang],
        ] {
            try await FakeUpstream.run(UpstreamChunks.script { _ in steps }) { upstream async throws in
                let server = try await Self.server(upstream, silence: .milliseconds(300))
                try await server.test { client async throws in
                    let answer = try await client.post(Self.path, hello())
                    #expect(answer.status == .badGateway)
                    #expect(try answer.error["code"] == "upstream_timeout")
                }
                // On a busy machine the time may be over before the request was sent.
                try await eventually("the connection is closed") { upstream.left == upstream.requests(Self.path).count }
            }
        }
    }

    @Test func aServerThatIsAwayIsABadGatewayAndComesBack() async throws {
        let port = try await FakeUpstream.run({ _ in [] }) { $0.port }
        let server = TestServer()
        let client = UpstreamClient()
        let registry = ModelRegistry(
            [ModelSpecification(name: "fake", source: "http://127.0.0.1:\(port)/v1")], memoryBudget: nil,
            metrics: server.metrics, logger: server.logger
        ) { specification in
            let address = try #require(specification.upstream)
            return LoadedModel(
                try await UpstreamModel.connect(
                    name: specification.name, address: address, key: nil, client: client, maximumRequests: 1,
                    logger: server.logger), residentBytes: 0)
        }
        do {
            _ = try await registry.lease("fake")
            Issue.record("expected an error")
        } catch let error as APIError {
            #expect(error.kind == .upstream && error.code == "upstream_unreachable")
        }
    }

    @Test func moreThanMayWaitAreTurnedAway() async throws {
        let script = UpstreamChunks.script { _ in [.streamHead, .delta(["content": "a"]), .hang] }
        try await FakeUpstream.run(script) { upstream async throws in
            let server = try await Self.server(upstream, maximumRequests: 1)
            let model = try #require(server.served)
            let request = ModelRequest(
                .chat([ChatMessage(role: "user", content: "a")], tools: [], variables: [:]),
                options: model.defaultOptions)
            let first = try await model.respond(to: request)
            await #expect(throws: EngineError.self) { _ = try await model.respond(to: request) }
            withExtendedLifetime(first) {}
        }
    }

    // MARK: Clients that leave

    @Test func aClientThatLeavesEndsTheOtherServersWork() async throws {
        for steps: [FakeUpstream.Step] in [
            [.streamHead, .delta(["content": "a"]), .delta(["content": "b"]), .hang], [.hang],
        ] {
            try await FakeUpstream.run(UpstreamChunks.script { _ in steps }) { upstream async throws in
                let server = try await Self.server(upstream)
                try await server.live { port async throws in
                    let connection = try await RawConnection.open(port: port)
                    let body = hello(("stream", true)).text()
                    await connection.send(postHead(Self.path, ["Content-Length: \(body.utf8.count)"]) + body)
                    if steps.count > 1 {
                        _ = await connection.read { $0.contains(#""content":"b""#) }
                    } else {
                        try await eventually("the request is there") { upstream.requests(Self.path).count == 1 }
                    }
                    #expect(upstream.left == 0)
                    await connection.close()
                    try await eventually("the other server's client leaves") { upstream.left == 1 }
                    try await eventually("it is charged") { server.gatekeeper.settled.count == 1 }
                }
                let settled = try #require(server.gatekeeper.settled.first)
                #expect(settled.outcome == .disconnected)
                #expect(settled.usage.answerTokens == (steps.count > 1 ? 2 : 0))
                try await eventually("nothing runs any more") {
                    server.served?.snapshot.running == 0 && server.served?.snapshot.waiting == 0
                }
            }
        }
    }

    @Test func droppingAnAnswerEndsTheOtherServersWork() async throws {
        let script = UpstreamChunks.script { _ in [.streamHead, .delta(["content": "a"]), .hang] }
        try await FakeUpstream.run(script) { upstream async throws in
            let server = try await Self.server(upstream)
            let model = try #require(server.served)
            let request = ModelRequest(
                .chat([ChatMessage(role: "user", content: "a")], tools: [], variables: [:]),
                options: model.defaultOptions)
            for try await _ in try await model.respond(to: request) { break }
            try await eventually("the other server's client leaves") { upstream.left == 1 }
        }
    }
}
