import HTTPTypes
import Hummingbird
import HummingbirdTesting
import NIOCore
import NIOEmbedded
import NIOHTTP1
import NIOHTTPTypes
import NIOHTTPTypesHTTP1
import Testing
import Walet

import struct WaletJSON.JSONObject

@testable import WaletServer

/// Requests that are almost right. Whatever comes, the answer is an answer or the client's error, never the server's.
@Suite struct MutationTests {
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

    private static let chat = #"""
        {"model": "fake", "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": [{"type": "text",
        "text": "a"}]}, {"role": "assistant", "content": null, "reasoning_content": "r", "tool_calls": [{"id": "c", "type":
        "function", "function": {"name": "f", "arguments": "{}"}}]}, {"role": "tool", "tool_call_id": "c", "content": "t"}],
        "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}}, "response_format": {"type": "json_schema",
        "json_schema": {"name": "n", "schema": {"type": "object"}}}, "n": 2, "temperature": 0.5, "stop": ["a"], "logit_bias":
        {"5": 1}, "logprobs": true, "top_logprobs": 2, "stream": true, "stream_options": {"include_usage": true}, "metadata":
        {"a": "b"}, "thinking": {"type": "enabled", "budget_tokens": 5}, "chat_template_kwargs": {"thinking": true}, "seed": 3}
        """#
    private static let completion = #"""
        {"model": "fake", "prompt": [[65, 66], [67]], "echo": true, "logprobs": 2, "max_tokens": 3, "n": 2, "best_of": 2,
        "stream": false, "stop": "x", "suffix": null, "seed": 1, "logit_bias": {"7": -1}}
        """#

    private static let odd: [JSONValue] = [
        .null, true, 0, -1, .int(.max), .int(.min), 1.5, 1e300, -0.0, "", "x", "\u{0}", "<|im_end|>", [], [[]], [:],
        ["a": [:]], [1, "a", .null], .string(String(repeating: "ü", count: 3000)),
    ]

    /// The value with one place in it changed.
    private static func mutate(_ value: JSONValue, _ generator: inout Generator) -> JSONValue {
        switch value {
        case .object(let object) where !object.isEmpty && Int.random(in: 0..<6, using: &generator) > 0:
            var members = Array(zip(object.keys, object.values))
            let index = Int.random(in: members.indices, using: &generator)
            switch Int.random(in: 0..<8, using: &generator) {
            case 0: members.remove(at: index)
            case 1: members[index].0 += "x"
            default: members[index].1 = mutate(members[index].1, &generator)
            }
            return .object(JSONObject(members))
        case .array(var elements) where !elements.isEmpty && Int.random(in: 0..<6, using: &generator) > 0:
            let index = Int.random(in: elements.indices, using: &generator)
            switch Int.random(in: 0..<8, using: &generator) {
            case 0: elements.remove(at: index)
            case 1: elements.append(elements[index])
            default: elements[index] = mutate(elements[index], &generator)
            }
            return .array(elements)
        default: return odd.randomElement(using: &generator)!
        }
    }

    @Test(arguments: [("/v1/chat/completions", chat), ("/v1/completions", completion)], [1, 2, 3, 4])
    func mutatedDocumentsAreNeverTheServersFault(request: (String, String), seed: UInt64) async throws {
        let original = try JSONValue(parsing: request.1)
        let path = request.0
        let server = TestServer()
        try await server.test { client async throws in
            #expect(try await client.post(path, original).status == .ok)
            var generator = Generator(state: seed)
            for _ in 0..<250 {
                var body = original
                for _ in 0..<Int.random(in: 1...3, using: &generator) { body = Self.mutate(body, &generator) }
                let response = try await client.post(path, body)
                let status = response.status.code
                #expect(status == 200 || (400..<500).contains(status), "\(status) for \(body.text().prefixed(2000))")
                if status != 200 {
                    #expect(try response.error["message"]?.stringValue?.isEmpty == false)
                }
            }
        }
        // What was reserved was charged.
        #expect(server.gatekeeper.reserved.count == server.gatekeeper.settled.count)
    }

    @Test(arguments: [1, 2, 3, 4])
    func mutatedBytesAreNeverTheServersFault(seed: UInt64) async throws {
        let server = TestServer()
        try await server.test { client async throws in
            var generator = Generator(state: seed)
            for _ in 0..<250 {
                var bytes = Array(Self.chat.utf8)
                for _ in 0..<Int.random(in: 1...4, using: &generator) {
                    let index = Int.random(in: bytes.indices, using: &generator)
                    switch Int.random(in: 0..<3, using: &generator) {
                    case 0: bytes[index] = UInt8.random(in: .min ... .max, using: &generator)
                    case 1: bytes.remove(at: index)
                    default: bytes.insert(contentsOf: [0x22, 0x5C, 0x7B, 0x5B].shuffled(using: &generator), at: index)
                    }
                }
                let status = try await client.execute(
                    uri: "/v1/chat/completions", method: .post,
                    headers: [.contentType: "application/json", .apiKey: TestServer.userKey],
                    body: ByteBuffer(bytes: bytes)
                ) { $0.status.code }
                #expect(status == 200 || (400..<500).contains(status), "\(status)")
            }
        }
    }

    @Test(arguments: [1, 2, 3, 4])
    func mutatedFramingNeverReachesTheApplicationHalf(seed: UInt64) throws {
        let request = Array(
            ("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                + "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
                + "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc").utf8)
        var generator = Generator(state: seed)
        for _ in 0..<1000 {
            var bytes = request
            for _ in 0..<Int.random(in: 1...5, using: &generator) {
                let index = Int.random(in: bytes.indices, using: &generator)
                switch Int.random(in: 0..<4, using: &generator) {
                case 0: bytes[index] = UInt8.random(in: .min ... .max, using: &generator)
                case 1: bytes.remove(at: index)
                case 2: bytes.insert(contentsOf: Array("\r\n".utf8), at: index)
                default: bytes = Array(bytes[..<index])
                }
                if bytes.isEmpty { bytes = [0] }
            }
            let channel = EmbeddedChannel()
            let pipeline = channel.pipeline.syncOperations
            try pipeline.configureHTTPServerPipeline(
                withPipeliningAssistance: false, withErrorHandling: false, withOutboundHeaderValidation: false)
            try pipeline.addHandler(HTTP1ToHTTPServerCodec(secure: false))
            try pipeline.addHandler(ConnectionGuard(ConnectionLimits(), bodyBytes: 100))
            channel.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 1), promise: nil)
            // In two parts, as a network may deliver them.
            let middle = Int.random(in: 0...bytes.count, using: &generator)
            for part in [bytes[..<middle], bytes[middle...]] {
                _ = try? channel.writeInbound(ByteBuffer(bytes: part))
            }
            channel.embeddedEventLoop.advanceTime(by: .hours(1))
            // Heads, bodies and ends come in this order, and no body without a head.
            var isInside = false
            while let part = try? channel.readInbound(as: HTTPRequestPart.self) {
                switch part {
                case .head:
                    #expect(!isInside)
                    isInside = true
                case .body: #expect(isInside)
                case .end:
                    #expect(isInside)
                    isInside = false
                }
            }
            _ = try? channel.finish(acceptAlreadyClosed: true)
        }
    }
}
