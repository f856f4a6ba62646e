import HTTPTypes
import Hummingbird
import HummingbirdTesting
import NIOCore
import Testing
import Walet

@testable import WaletServer

@Suite struct EndpointTests {
    @Test func modelsAreListed() async throws {
        try await TestServer().test { client async throws in
            let json = try await client.get("/v1/models").json
            #expect(json["object"] == "list")
            #expect(json["data"]?.arrayValue?.map { $0["id"] } == ["fake", "own/er"])
            let first = try #require(json.at("data.0"))
            #expect(first["object"] == "model")
            #expect(first["created"] == 1_750_000_000)
            #expect(first["owned_by"] == "walet")
            #expect(first.at("walet.pricing.cached_input") == "0.14")
            #expect(first.at("walet.loaded") == false)
            _ = try await client.post("/v1/chat/completions", hello())
            let loaded = try await client.get("/v1/models/fake").json
            #expect(loaded.at("walet.loaded") == true)
            #expect(loaded["max_model_len"] == 100_000)
            #expect(loaded.at("walet.context_length") == 100_000)
        }
    }

    @Test(arguments: ["/v1/models/own/er", "/v1/models/own%2Fer"])
    func namesWithSlashesAreFound(path: String) async throws {
        try await TestServer().test { client async throws in
            #expect(try await client.get(path).json["id"] == "own/er")
        }
    }

    @Test(arguments: ["/v1/models/none", "/v1/models/..%2f..%2fetc", "/v1/models/%00", "/v1/models/fake%2F"])
    func modelsThatAreNotThereGet404(path: String) async throws {
        try await TestServer().test { client async throws in
            let response = try await client.get(path)
            #expect(response.status == .notFound)
            #expect(try response.error["code"] == "model_not_found")
            #expect(try response.error["param"] == "model")
        }
    }

    @Test func textBecomesTokensAndBack() async throws {
        try await TestServer().test { client async throws in
            let tokens = try await client.post(
                "/tokenize", ["model": "fake", "prompt": "ab", "return_token_strs": true]
            )
            .json
            #expect(
                tokens == [
                    "count": 3, "max_model_len": 100_000, "tokens": [1, 97, 98], "token_strs": ["\u{01}", "a", "b"],
                ])
            let plain = try await client.post(
                "/tokenize", ["model": "fake", "prompt": "ab", "add_special_tokens": false]
            ).json
            #expect(plain["tokens"] == [97, 98])
            let chat = try await client.post(
                "/tokenize",
                ["model": "fake", "messages": [["role": "user", "content": "ab"]], "reasoning_effort": "none"]
            ).json
            #expect(chat["count"] == 2)
            let text = try await client.post("/detokenize", ["model": "fake", "tokens": [97, 98]]).json
            #expect(text == ["prompt": "ab"])
            let wrong = try await client.post("/detokenize", ["model": "fake", "tokens": [97, 300]])
            #expect(wrong.status == .badRequest)
        }
    }

    @Test func tokenizingCostsNothing() async throws {
        let server = TestServer()
        try await server.test { client async throws in
            _ = try await client.post("/tokenize", ["model": "fake", "prompt": "ab"])
        }
        #expect(server.gatekeeper.reserved.isEmpty)
        #expect(server.model.requests.isEmpty)
    }

    @Test func healthAndReadinessAreDifferentThings() async throws {
        let server = TestServer()
        let readiness = Readiness()
        let application = try server.frontEnd(readiness: readiness).application
        try await application.test(.router) { client in
            #expect(try await client.get("/health", key: nil).json == ["status": "ok"])
            let loading = try await client.get("/ready", key: nil)
            #expect(loading.status == .serviceUnavailable)
            #expect(loading.headers[.retryAfter] != nil)
            readiness.set()
            #expect(try await client.get("/ready", key: nil).status == .ok)
            server.audit.breakDown()
            #expect(try await client.get("/ready", key: nil).status == .serviceUnavailable)
            server.drain.begin()
            #expect(try await client.get("/ready", key: nil).status == .serviceUnavailable)
            #expect(try await client.get("/health", key: nil).status == .ok)
        }
    }

    @Test func headIsAnsweredWhereGetIs() async throws {
        try await TestServer().test { client async throws in
            let response = try await client.execute(uri: "/health", method: .head) { $0 }
            #expect(response.status == .ok)
            #expect(response.body.readableBytes == 0)
        }
    }

    @Test func everyAnswerForbidsGuessingItsType() async throws {
        try await TestServer().test { client async throws in
            for path in ["/health", "/v1/models", "/nothing"] {
                let response = try await client.get(path)
                #expect(response.headers[.xContentTypeOptions] == "nosniff")
                #expect(response.headers[.cacheControl] == "no-store")
                #expect(response.headers[.requestID]?.count == 36)
            }
        }
    }

    @Test func logLinesTellOfARequestButNotItsText() async throws {
        let server = TestServer()
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        let id = try await server.test { client async throws in
            let response = try await client.post(
                "/v1/chat/completions?secret=x", hello(("messages", [["role": "user", "content": "my secret"]])),
                headers: [.traceParent: trace, .clientRequestID: "mine"])
            return response.headers[.requestID]
        }
        let line = try #require(try server.log.requests.first)
        #expect(line["request_id"]?.stringValue == id)
        #expect(line["trace_id"] == "0af7651916cd43dd8448eb211c80319c")
        #expect(line["parent_id"] == "b7ad6b7169203331")
        #expect(line["client_request_id"] == "mine")
        #expect(line["path"] == "/v1/chat/completions")
        #expect(line["status"] == 200)
        #expect(line["key"] == "wk_user")
        #expect(line["model"] == "fake")
        #expect(line["prompt_tokens"] == 9)
        #expect(line["answer_tokens"] == 2)
        #expect(!server.log.all.contains { $0.contains("secret") || $0.contains(TestServer.userKey) })
    }

    @Test func logLinesCannotBeForged() async throws {
        let server = TestServer()
        try await server.test { client async throws in
            _ = try await client.get("/x%0a{\"level\":\"info\"}", headers: [.clientRequestID: "a\"}"])
        }
        for line in server.log.all { #expect(throws: Never.self) { try JSONValue(parsing: line) } }
    }

    static let traces: [(String, String?)] = [
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "0af7651916cd43dd8448eb211c80319c"),
        ("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00-more", "0af7651916cd43dd8448eb211c80319c"),
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", nil),
        ("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", nil),
        ("00-00000000000000000000000000000000-b7ad6b7169203331-01", nil),
        ("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", nil),
        ("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", nil), ("", nil), ("00-0af7", nil),
        ("00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01", nil),
        ("00-é0af7651916cd43dd8448eb211c8031-b7ad6b7169203331-01", nil),
    ]

    @Test(arguments: traces)
    func tracesAreReadAsTheSpecificationSays(header: String, id: String?) {
        #expect(TraceContext(header: header)?.traceID == id)
    }
}
