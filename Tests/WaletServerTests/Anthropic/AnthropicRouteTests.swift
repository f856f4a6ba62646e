import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import NIOCore
import Testing
import Walet
import WaletJSON

@testable import WaletServer

@Suite struct AnthropicRouteTests {
    private static func body(_ members: (String, JSONValue)...) -> JSONValue {
        var object = JSONObject([
            ("model", "fake"), ("max_tokens", 100), ("messages", [["role": "user", "content": "Hi"]]),
        ])
        for (key, value) in members { object[key] = value }
        return .object(object)
    }

    @Test func `A message is answered, charged and counted`() async throws {
        let server = TestServer(
            FakeModel { request in
                [
                    .event(.started(FakeModel.usage(request, cached: 1, answer: 0))), .event(.thinking("Hm")),
                    .event(.text("Hello")), .event(.text(" world")),
                    .event(.finish(.stop, FakeModel.usage(request, cached: 1, answer: 3, thinking: 1))),
                ]
            })
        try await server.testAll { client in
            let response = try await client.post("/v1/messages", Self.body())
            #expect(response.status == .ok)
            let json = try response.json
            #expect(json["id"]?.stringValue?.hasPrefix("msg_") == true)
            #expect(json.at("content.0.thinking") == "Hm")
            #expect(json.at("content.1") == ["type": "text", "text": "Hello world"])
            #expect(json["stop_reason"] == "end_turn")
            #expect(json.at("usage.input_tokens") == 1)
            #expect(json.at("usage.cache_read_input_tokens") == 1)
            #expect(json.at("usage.output_tokens") == 3)
            #expect(response.headers[HTTPField.Name("request-id")!]?.hasPrefix("req_") == true)
        }
        #expect(server.gatekeeper.settled.map(\.usage.answerTokens) == [3])
        #expect(server.model.requests.first?.tenant == "tenant-a")
    }

    @Test func `A stream has the events of Anthropic's API, each under its name`() async throws {
        try await TestServer().testAll { client in
            let response = try await client.post("/v1/messages", Self.body(("stream", true)))
            #expect(response.status == .ok)
            #expect(response.headers[.contentType]?.hasPrefix("text/event-stream") == true)
            let events = try serverSentEvents(response.text)
            #expect(
                events.map(\.name) == [
                    "message_start", "ping", "content_block_start", "content_block_delta", "content_block_delta",
                    "content_block_stop", "message_delta", "message_stop",
                ])
            for event in events { #expect(event.data["type"]?.stringValue == event.name) }
        }
    }

    @Test func `The key of x-api-key counts as in Authorization`() async throws {
        try await TestServer().testAll { client in
            let key = HTTPField.Name("x-api-key")!
            var response = try await client.post(
                "/v1/messages", Self.body(), key: nil, headers: [key: TestServer.userKey])
            #expect(response.status == .ok)
            response = try await client.post("/v1/messages", Self.body(), key: nil, headers: [key: "wrong"])
            #expect(response.status == .unauthorized)
            let json = try response.json
            #expect(json["type"] == "error")
            #expect(json.at("error.type") == "authentication_error")
            #expect(json["request_id"]?.stringValue?.hasPrefix("req_") == true)
        }
    }

    @Test func `Errors have Anthropic's shape and name the parameter`() async throws {
        try await TestServer().testAll { client in
            let image: JSONValue = [
                "role": "user",
                "content": [["type": "image", "source": ["type": "url", "url": "http://127.0.0.1:1/x.png"]]],
            ]
            var response = try await client.post("/v1/messages", Self.body(("messages", [image])))
            #expect(response.status == .badRequest)
            #expect(try response.json.at("error.type") == "invalid_request_error")
            #expect(try response.json.at("error.message")?.stringValue?.contains("messages[0].content[0]") == true)
            response = try await client.post("/v1/messages", Self.body(("model", "unknown")))
            #expect(response.status == .notFound)
            #expect(try response.json.at("error.type") == "not_found_error")
            response = try await client.post("/v1/messages", text: "{")
            #expect(response.status == .badRequest)
            #expect(try response.json["type"] == "error")
            response = try await client.get("/v1/messages")
            #expect(response.status == .methodNotAllowed)
        }
    }

    @Test func `A full queue is 529, which Anthropic's SDK knows, with the time to come again`() async throws {
        let server = TestServer(
            FakeModel { _ in throw APIError(.overloaded, "The queue is full", code: "queue_full", retryAfter: 2) })
        try await server.testAll { client in
            for isStream in [false, true] {
                let response = try await client.post("/v1/messages", Self.body(("stream", .bool(isStream))))
                #expect(response.status.code == 529)
                #expect(try response.json.at("error.type") == "overloaded_error")
                #expect(response.headers[.retryAfter] == "2")
            }
        }
    }

    @Test func `A failure in the middle is an error event, and an error without a stream`() async throws {
        let server = TestServer(
            FakeModel { request in
                [
                    .event(.started(FakeModel.usage(request))), .event(.text("Hel")),
                    .fail(APIError(.upstream, "The other server broke", code: "upstream")),
                ]
            })
        try await server.testAll { client in
            var response = try await client.post("/v1/messages", Self.body(("stream", true)))
            #expect(response.status == .ok)
            let events = try serverSentEvents(response.text)
            #expect(events.last?.name == "error")
            #expect(events.last?.data.at("error.type") == "api_error")
            #expect(events.last?.data["request_id"]?.stringValue?.hasPrefix("req_") == true)
            #expect(!events.contains { $0.name == "message_stop" })
            response = try await client.post("/v1/messages", Self.body())
            #expect(response.status == .badGateway)
            #expect(try response.json["type"] == "error")
        }
    }

    @Test func `Silence is filled with pings`() async throws {
        var server = TestServer(
            FakeModel { request in
                [.event(.started(FakeModel.usage(request))), .wait(.milliseconds(400))]
                    + FakeModel.says(["x"], request).dropFirst()
            })
        server.configuration.serving.keepAlive = .milliseconds(100)
        try await server.testAll { client in
            let response = try await client.post("/v1/messages", Self.body(("stream", true)))
            #expect(try serverSentEvents(response.text).filter { $0.name == "ping" }.count >= 2)
        }
    }

    @Test func `Tokens are counted without running the model`() async throws {
        let server = TestServer()
        try await server.testAll { client in
            let response = try await client.post(
                "/v1/messages/count_tokens",
                ["model": "fake", "system": "Be brief.", "messages": [["role": "user", "content": "Hi"]]])
            #expect(response.status == .ok)
            #expect(try response.json == ["input_tokens": 11])
        }
        #expect(server.model.counts.started == 0)
        #expect(server.gatekeeper.reserved.isEmpty)
    }

    @Test func `A stop text that ended the answer is told`() async throws {
        let server = TestServer(
            FakeModel { request in
                var usage = FakeModel.usage(request)
                usage.stopSequence = request.options.stop.first
                return [
                    .event(.started(FakeModel.usage(request))), .event(.text("One")), .event(.finish(.stop, usage)),
                ]
            })
        try await server.testAll { client in
            let response = try await client.post("/v1/messages", Self.body(("stop_sequences", ["END"])))
            #expect(try response.json["stop_reason"] == "stop_sequence")
            #expect(try response.json["stop_sequence"] == "END")
        }
    }
}
