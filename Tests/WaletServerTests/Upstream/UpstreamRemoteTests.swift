import Foundation
import HTTPTypes
import Hummingbird
import Testing
import Walet
import WaletJSON

@testable import WaletServer

/// What another server is asked before the first request, and how tokens are counted.
@Suite struct UpstreamRemoteTests {
    private static func ask(
        _ upstream: FakeUpstream, name: String = "big", remote: String? = nil, contextLimit: Int? = nil
    ) async throws -> UpstreamRemote {
        let address = try UpstreamAddress(
            parsing: "http://127.0.0.1:\(upstream.port)/v1" + (remote.map { "#" + $0 } ?? ""), place: "test")
        return try await UpstreamRemote.ask(
            address, key: nil, localName: name, contextLimit: contextLimit, client: UpstreamClient())
    }

    private static func models(_ models: JSONValue...) -> FakeUpstream.Script {
        let list = JSONValue.object(JSONObject([("data", .array(models))])).text()
        return { request in
            request.path == "/v1/models" ? [.answer(list)] : [.answer("{}", status: "404 Not Found")]
        }
    }

    /// A llama-server as it was recorded.
    private static func llama(_ chat: @escaping FakeUpstream.Script = { _ in [.close] }) throws -> FakeUpstream.Script {
        let models = try UpstreamFixtures.text("models.json")
        let tokens = try UpstreamFixtures.text("tokenize.json")
        let text = try UpstreamFixtures.text("detokenize.json")
        let prompt = try UpstreamFixtures.text("apply-template.json")
        return { request in
            switch request.path {
            case "/v1/models": [.answer(models)]
            case "/tokenize": [.answer(tokens)]
            case "/detokenize": [.answer(text)]
            case "/apply-template": [.answer(prompt)]
            default: chat(request)
            }
        }
    }

    @Test func aLlamaServerTellsItsContextAndCountsTokens() async throws {
        try await FakeUpstream.run(try Self.llama()) { upstream async throws in
            let remote = try await Self.ask(upstream, name: "mine")
            #expect(remote.name == "smollm2" && remote.kind == .llama)
            #expect(remote.contextLength == 2048)
            #expect(remote.tokenizer == .llama(hasTemplate: true))
            #expect(try await Self.ask(upstream, contextLimit: 100).contextLength == 100)
            #expect(try await Self.ask(upstream, contextLimit: 100_000).contextLength == 2048)
        }
    }

    @Test func theModelIsTheOneThatIsNamed() async throws {
        let script = Self.models(
            ["id": "a", "max_model_len": 10, "owned_by": "vllm"], ["id": "b", "max_model_len": 20, "aliases": ["c"]])
        try await FakeUpstream.run(script) { upstream async throws in
            #expect(try await Self.ask(upstream, name: "a").kind == .vllm)
            #expect(try await Self.ask(upstream, name: "x", remote: "b").contextLength == 20)
            #expect(try await Self.ask(upstream, name: "c").name == "b")
            #expect(try await Self.ask(upstream, name: "a").tokenizer == .none)
            for remote in [nil, "d"] {
                await #expect(throws: UpstreamError.noModel(name: remote ?? "x", offered: ["a", "b"])) {
                    _ = try await Self.ask(upstream, name: "x", remote: remote)
                }
            }
        }
    }

    @Test func aContextThatNobodyTellsIsGivenByTheOperator() async throws {
        try await FakeUpstream.run(Self.models(["id": "a"])) { upstream async throws in
            await #expect(throws: UpstreamError.noContextLength) { _ = try await Self.ask(upstream) }
            #expect(try await Self.ask(upstream, contextLimit: 4096).contextLength == 4096)
        }
        try await FakeUpstream.run({ _ in [.answer("no", status: "404 Not Found")] }) { upstream async throws in
            let remote = try await Self.ask(upstream, remote: "there", contextLimit: 4096)
            #expect(remote.name == "there" && remote.kind == .other && remote.tokenizer == .none)
        }
    }

    @Test(arguments: [
        #"{"data": 5}"#, #"{"data": [5]}"#, "[]", #"{"data": [{"id": 5, "max_model_len": 1e99}]}"#, "x",
        #"{"data": [{"id": "a", "max_model_len": -1}]}"#,
    ])
    func listsThatMakeNoSenseAreErrors(list: String) async throws {
        try await FakeUpstream.run({ _ in [.answer(list)] }) { upstream async throws in
            await #expect(throws: UpstreamError.self) { _ = try await Self.ask(upstream) }
        }
    }

    @Test func aServerThatIsStillLoadingIsBusy() async throws {
        let script: FakeUpstream.Script = { _ in [.answer(#"{"error": {"code": 503}}"#, status: "503 Busy")] }
        try await FakeUpstream.run(script) { upstream async throws in
            do {
                _ = try await Self.ask(upstream)
                Issue.record("expected an error")
            } catch let error as UpstreamError {
                #expect(error.apiError.kind == .overloaded && error.apiError.retryAfter != nil)
            }
        }
    }

    @Test func answersWithoutAnEndAreBounded() async throws {
        let script: FakeUpstream.Script = { _ in
            [.send("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")]
                + (0..<200).map { _ in .part(String(repeating: " ", count: 65536)) } + [.hang]
        }
        try await FakeUpstream.run(script) { upstream async throws in
            await #expect(throws: UpstreamError.self) {
                _ = try await UpstreamClient().document(try upstream.address.base, key: nil, body: nil)
            }
        }
    }

    @Test func aCertificateThatNobodyVouchesForIsRefused() async throws {
        let folder = try TestCertificates.folder(TestCertificates.first)
        defer { try? FileManager.default.removeItem(at: folder) }
        let tls = try TLSFiles(
            certificate: folder.appending(path: "cert.pem").path, key: folder.appending(path: "key.pem").path)
        try await TestServer().live(tls: tls) { port async throws in
            let address = try UpstreamAddress(parsing: "https://localhost:\(port)/v1", place: "test")
            do {
                _ = try await UpstreamClient().document(address.base + "/models", key: nil, body: nil)
                Issue.record("expected an error")
            } catch let error as UpstreamError {
                guard case .unreachable = error else {
                    Issue.record("found \(error)")
                    return
                }
            }
        }
    }

    // MARK: Counting

    @Test func promptsAreCountedBeforeTheWork() async throws {
        let chat = try UpstreamFixtures.text("chat.sse")
        let script = try Self.llama { _ in [.streamHead, .part(chat), .end] }
        try await FakeUpstream.run(script) { upstream async throws in
            var server = TestServer()
            server.served = try await UpstreamModel.connect(
                name: "fake", address: try upstream.address, key: nil, client: UpstreamClient(), maximumRequests: 4,
                logger: server.logger)
            try await server.test { client async throws in
                #expect(try await client.post("/v1/chat/completions", hello()).status == .ok)
                let tokens = try await client.post("/tokenize", ["model": "fake", "prompt": "Hello, world"]).json
                #expect(tokens["tokens"] == [19556, 28, 905] && tokens["max_model_len"] == 2048)
                let text = try await client.post("/detokenize", ["model": "fake", "tokens": [19556, 28, 905]]).json
                #expect(text["prompt"] == "Hello, world")
            }
            let claim = try #require(server.gatekeeper.reserved.first)
            #expect(!claim.isEstimate && claim.promptTokens == 3 && claim.maximumTokens == 2045)
            #expect(server.gatekeeper.settled.first?.usage.answerTokens == 8)
            let sent = try #require(upstream.requests("/v1/chat/completions").first)
            #expect(sent.body["max_tokens"] == 2045)
            // Control tokens in a prompt count, those in a text do not.
            let asked = upstream.requests("/tokenize").map(\.body)
            #expect(asked.contains { $0["parse_special"] == true && $0["add_special"] == true })
        }
    }

    @Test func whereTokensCannotBeCountedThatIsSaid() async throws {
        try await FakeUpstream.run(UpstreamChunks.script { _ in [.close] }) { upstream async throws in
            var server = TestServer()
            server.served = try await UpstreamModel.connect(
                name: "fake", address: try upstream.address, key: nil, client: UpstreamClient(), maximumRequests: 4,
                logger: server.logger)
            try await server.test { client async throws in
                for body: JSONValue in [
                    ["model": "fake", "prompt": "Hello"],
                    ["model": "fake", "messages": [["role": "user", "content": "a"]]],
                ] {
                    let answer = try await client.post("/tokenize", body)
                    #expect(answer.status == .notImplemented)
                    #expect(try answer.error["code"] == "not_offered_by_upstream")
                }
            }
        }
    }

    @Test func aWaletMayServeAnother() async throws {
        let inner = TestServer(FakeModel { FakeModel.says("Hel", "lo", $0) })
        try await inner.live { port async throws in
            var outer = TestServer()
            outer.served = try await UpstreamModel.connect(
                name: "fake", address: try UpstreamAddress(parsing: "http://127.0.0.1:\(port)/v1#fake", place: "test"),
                key: UpstreamKey(secret: TestServer.userKey), client: UpstreamClient(), contextLimit: 5000,
                maximumRequests: 4, logger: outer.logger)
            try await outer.test { client async throws in
                let answer = try await client.post("/v1/chat/completions", hello(("temperature", 0.25), ("stop", "x")))
                    .json
                #expect(answer.at("choices.0.message.content") == "Hello")
                #expect(answer.at("usage.prompt_tokens") == 2)
            }
            let request = try #require(inner.model.requests.last)
            #expect(request.options.sampling.temperature == 0.25 && request.options.stop == ["x"])
            // What was not said is the inner one's default.
            #expect(request.options.sampling.topP == 1 && request.options.sampling.seed == nil)
            #expect(outer.gatekeeper.settled.map(\.usage.answerTokens) == [2])
            #expect(inner.gatekeeper.settled.map(\.usage.answerTokens) == [2])
        }
    }
}
