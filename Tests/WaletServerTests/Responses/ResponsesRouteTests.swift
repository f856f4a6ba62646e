import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import NIOCore
import Testing
import Walet
import WaletJSON

@testable import WaletServer

@Suite struct ResponsesRouteTests {
    private static func body(_ input: JSONValue = "Hi", _ members: (String, JSONValue)...) -> JSONValue {
        var object = JSONObject([("model", "fake"), ("input", input)])
        for (key, value) in members { object[key] = value }
        return .object(object)
    }

    private static func messages(_ server: TestServer, _ index: Int) -> [ChatMessage] {
        guard server.model.requests.indices.contains(index),
            case .chat(let messages, _, _) = server.model.requests[index].prompt
        else { return [] }
        return messages
    }

    @Test func `A response is made, kept, read, listed and forgotten`() async throws {
        let server = TestServer()
        try await server.testAll { client in
            let made = try await client.post("/v1/responses", Self.body("Hi", ("instructions", "Be brief.")))
            #expect(made.status == .ok)
            let response = try made.json
            #expect(response["status"] == "completed")
            #expect(response.at("output.0.content.0.text") == "Hello world")
            #expect(response.at("usage.input_tokens") == 11)
            let id = try #require(response["id"]?.stringValue)
            let path = "/v1/responses/" + id
            #expect(try await client.get(path).json == response)
            let items = try await client.get(path + "/input_items").json
            #expect(items.at("data.0.role") == "user")
            #expect(items.at("data.0.content.0.text") == "Hi")
            #expect(items["has_more"] == false)
            let deleted = try await client.execute(
                uri: path, method: .delete, headers: [.authorization: "Bearer \(TestServer.userKey)"], body: nil
            ) { $0 }
            #expect(try deleted.json == ["id": .string(id), "object": "response", "deleted": true])
            #expect(try await client.get(path).status == .notFound)
        }
    }

    @Test func `A conversation goes on from a response, without its instructions`() async throws {
        let server = TestServer()
        try await server.testAll { client in
            let first = try await client.post("/v1/responses", Self.body("One", ("instructions", "Be brief."))).json
            let second = try await client.post(
                "/v1/responses", Self.body("Two", ("previous_response_id", try #require(first["id"])))
            ).json
            #expect(second["previous_response_id"] == first["id"])
            _ = try await client.post(
                "/v1/responses", Self.body("Three", ("previous_response_id", try #require(second["id"]))))
        }
        #expect(
            Self.messages(server, 2) == [
                ChatMessage(role: "user", content: "One"), ChatMessage(role: "assistant", content: "Hello world"),
                ChatMessage(role: "user", content: "Two"), ChatMessage(role: "assistant", content: "Hello world"),
                ChatMessage(role: "user", content: "Three"),
            ])
    }

    @Test func `Another tenant's response is not there`() async throws {
        let server = TestServer()
        try await server.testAll { client in
            let response = try await client.post("/v1/responses", Self.body()).json
            let id = try #require(response["id"]?.stringValue)
            let other = TestServer.operatorKey
            #expect(try await client.get("/v1/responses/" + id, key: other).status == .notFound)
            #expect(try await client.get("/v1/responses/\(id)/input_items", key: other).status == .notFound)
            #expect(try await client.post("/v1/responses/\(id)/cancel", [:], key: other).status == .notFound)
            let deletion = try await client.execute(
                uri: "/v1/responses/" + id, method: .delete, headers: [.authorization: "Bearer \(other)"], body: nil
            ) { $0 }
            #expect(deletion.status == .notFound)
            let next = try await client.post(
                "/v1/responses", Self.body("x", ("previous_response_id", .string(id))), key: other)
            #expect(next.status == .notFound)
            #expect(try next.error["code"] == "previous_response_not_found")
            #expect(try next.error["param"] == "previous_response_id")
            #expect(try await client.get("/v1/responses/" + id).status == .ok)
        }
    }

    @Test func `What is not to be stored is not`() async throws {
        let server = TestServer()
        try await server.testAll { client in
            let response = try await client.post("/v1/responses", Self.body("Hi", ("store", false))).json
            #expect(response["store"] == false)
            let id = try #require(response["id"]?.stringValue)
            #expect(try await client.get("/v1/responses/" + id).status == .notFound)
        }
        try await server.testAll(store: ResponseStore(limits: .init(count: 0))) { client in
            #expect(try await client.post("/v1/responses", Self.body()).json["store"] == false)
            let refused = try await client.post("/v1/responses", Self.body("Hi", ("store", true)))
            #expect(refused.status == .badRequest)
            #expect(try refused.error["param"] == "store")
        }
    }

    @Test func `A stream has the events of OpenAI's API, each under its name`() async throws {
        let server = TestServer()
        try await server.testAll { client in
            let response = try await client.post("/v1/responses", Self.body("Hi", ("stream", true)))
            let events = try serverSentEvents(response.text)
            #expect(events.first?.name == "response.created")
            #expect(events.last?.name == "response.completed")
            for (index, event) in events.enumerated() {
                #expect(event.data["type"]?.stringValue == event.name)
                #expect(event.data["sequence_number"] == .int(index))
            }
            let id = try #require(events.last?.data.at("response.id")?.stringValue)
            #expect(try await client.get("/v1/responses/" + id).json == events.last?.data["response"])
        }
    }

    @Test func `A failure in the middle is told, and kept`() async throws {
        let server = TestServer(
            FakeModel { request in
                [
                    .event(.started(FakeModel.usage(request))), .event(.text("Hel")),
                    .fail(APIError(.upstream, "The other server broke", code: "upstream")),
                ]
            })
        try await server.testAll { client in
            let stream = try await client.post("/v1/responses", Self.body("Hi", ("stream", true)))
            let last = try serverSentEvents(stream.text).last
            #expect(last?.name == "response.failed")
            #expect(last?.data.at("response.error.message") == "The other server broke")
            let id = try #require(last?.data.at("response.id")?.stringValue)
            #expect(try await client.get("/v1/responses/" + id).json["status"] == "failed")
            #expect(try await client.post("/v1/responses", Self.body()).status == .badGateway)
        }
    }

    @Test func `What is refused before the work begins is a status, in a stream too`() async throws {
        let server = TestServer(
            FakeModel { _ in throw APIError(.overloaded, "The queue is full", code: "queue_full", retryAfter: 2) })
        try await server.testAll { client in
            for isStream in [false, true] {
                let response = try await client.post("/v1/responses", Self.body("Hi", ("stream", .bool(isStream))))
                #expect(response.status == .serviceUnavailable)
                #expect(try response.error["code"] == "queue_full")
                #expect(response.headers[.retryAfter] == "2")
            }
        }
    }

    @Test(.timeLimit(.minutes(2)))
    func `Somebody else of the tenant may end a response under way, and it stays as far as it came`() async throws {
        let server = TestServer(
            FakeModel { request in
                [.event(.started(FakeModel.usage(request))), .event(.text("Hel")), .hang]
            })
        let store = ResponseStore()
        try await server.liveAll(store: store) { port in
            let base = "http://127.0.0.1:\(port)"
            let received = LiveClient.Received()
            let stream = Task {
                try await LiveClient.post(base + "/v1/responses", Self.body("Hi", ("stream", true)), received)
            }
            try await eventually("the model runs, and the response is kept") {
                server.model.counts.running == 1 && !store.ids(tenant: "tenant-a").isEmpty
            }
            let id = try #require(store.ids(tenant: "tenant-a").first)
            // Its beginning has arrived, so that there is something to stay.
            try await eventually("the text is there") { received.text.withLock { $0.contains("Hel") } }
            let under = try await LiveClient.get(base + "/v1/responses/" + id)
            #expect(under["status"] == "in_progress")
            let cancelled = try await LiveClient.post(base + "/v1/responses/\(id)/cancel", [:])
            #expect(try JSONValue(parsing: cancelled)["status"] == "cancelled")
            let events = try serverSentEvents(try await stream.value)
            #expect(events.last?.name == "response.incomplete")
            #expect(events.last?.data.at("response.status") == "cancelled")
            #expect(events.last?.data.at("response.output.0.content.0.text") == "Hel")
            try await eventually("the model stops") { server.model.counts.running == 0 }
            let kept = try await LiveClient.get(base + "/v1/responses/" + id)
            #expect(kept["status"] == "cancelled")
            #expect(kept.at("output.0.content.0.text") == "Hel")
            // Twice is as good as once.
            let again = try await LiveClient.post(base + "/v1/responses/\(id)/cancel", [:])
            #expect(try JSONValue(parsing: again)["status"] == "cancelled")
        }
    }

    @Test func `A response that has ended cannot be cancelled`() async throws {
        try await TestServer().testAll { client in
            let id = try #require(try await client.post("/v1/responses", Self.body()).json["id"]?.stringValue)
            let response = try await client.post("/v1/responses/\(id)/cancel", [:])
            #expect(response.status == .badRequest)
        }
    }

    @Test func `Items are listed in pages`() async throws {
        try await TestServer().testAll { client in
            let input = JSONValue.array((0..<5).map { ["role": "user", "content": .string("\($0)")] })
            let id = try #require(try await client.post("/v1/responses", Self.body(input)).json["id"]?.stringValue)
            func page(_ query: String) async throws -> JSONValue {
                try await client.get("/v1/responses/\(id)/input_items?" + query).json
            }
            func texts(_ page: JSONValue) -> [String?] {
                page["data"]?.arrayValue?.map { $0.at("content.0.text")?.stringValue } ?? []
            }
            #expect(texts(try await page("order=asc")) == ["0", "1", "2", "3", "4"])
            let first = try await page("limit=2")
            #expect(texts(first) == ["4", "3"])
            #expect(first["has_more"] == true)
            let last = try #require(first["last_id"]?.stringValue)
            #expect(texts(try await page("limit=3&after=" + last)) == ["2", "1", "0"])
            for query in ["limit=0", "limit=101", "limit=x", "order=up", "after=nobody"] {
                #expect(try await client.get("/v1/responses/\(id)/input_items?" + query).status == .badRequest)
            }
        }
    }

    @Test func `Tools, structure and effort reach the model`() async throws {
        let server = TestServer()
        try await server.testAll { client in
            _ = try await client.post(
                "/v1/responses",
                Self.body(
                    "Hi", ("tools", [["type": "function", "name": "f", "parameters": ["type": "object"]]]),
                    ("tool_choice", "required"), ("reasoning", ["effort": "low"]),
                    ("text", ["format": ["type": "json_object"]])))
        }
        let request = try #require(server.model.requests.first)
        #expect(request.options.thinking == true)
        #expect(request.thinkingBudget == 2048)
        if case .required = request.toolChoice {} else { Issue.record("tool choice") }
        if case .jsonObject = request.output {} else { Issue.record("output") }
    }
}

extension ResponseStore {
    /// Ids of a tenant's responses.
    func ids(tenant: String) -> [String] { all(tenant: tenant) }
}
