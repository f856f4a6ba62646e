import HTTPTypes
import Hummingbird
import HummingbirdTesting
import NIOCore
import Testing
import Walet
import WaletJSON

@testable import WaletServer

@Suite struct BodyTests {
    private static let path = "/v1/chat/completions"

    private static func chat(_ member: String) -> String {
        #"{"model":"fake","messages":[{"role":"user","content":"Hi"}],\#(member)}"#
    }

    @Test(arguments: [
        "", " ", "null", "[]", "1", "\"text\"", "{", "{]", "{}}", "{\"model\":\"fake\",}", "{'model':'fake'}",
        chat(#""temperature":1e999"#), chat(#""temperature":NaN"#), chat(#""temperature":Infinity"#),
        chat(#""temperature":-Infinity"#), chat(#""temperature":.5"#), chat(#""temperature":01"#),
        chat(#""user":"\ud800""#), chat(#""user":"\udc00x""#), chat(#""user":"\ud800\ud800""#),
        chat(#""user":"\x""#), chat("\"user\":\"\u{01}\""), chat(#""model":"other""#), chat(#""n":1,"n":1"#),
        "\u{FEFF}{}", "{\"a\":1} {\"b\":2}",
    ])
    func whatIsNoStrictJSONGets400(text: String) async throws {
        let server = TestServer()
        try await server.test { client async throws in
            let response = try await client.post(Self.path, text: text)
            #expect(response.status == .badRequest)
            let error = try response.error
            #expect(error["type"] == "invalid_request_error")
            #expect(["invalid_json", "empty_body"].contains(error["code"]), "\(error.text())")
        }
        #expect(server.model.requests.isEmpty)
    }

    @Test func bytesThatAreNoUTF8Get400() async throws {
        let bytes: [[UInt8]] = [[0xFF], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xE2, 0x82]]
        try await TestServer().test { client async throws in
            for invalid in bytes {
                let body = Array(#"{"model":"fake","user":""#.utf8) + invalid + Array(#""}"#.utf8)
                let response = try await client.execute(
                    uri: Self.path, method: .post,
                    headers: [.contentType: "application/json", .apiKey: TestServer.userKey],
                    body: ByteBuffer(bytes: body)
                ) { $0 }
                #expect(response.status == .badRequest)
                #expect(try response.error["code"] == "invalid_json")
            }
        }
    }

    @Test(arguments: ["[", "{\"a\":"])
    func aHundredThousandLevelsGet400(opening: String) async throws {
        try await TestServer().test { client async throws in
            let text = "{\"messages\":" + String(repeating: opening, count: 100_000)
            let response = try await client.post(Self.path, text: text)
            #expect(response.status == .badRequest)
            #expect(try response.error["message"]?.stringValue?.contains("deeper") == true)
        }
    }

    @Test func moreValuesThanMemoryIsWorthGet413() async throws {
        try await TestServer().test { client async throws in
            let text = "{\"messages\":[" + String(repeating: "0,", count: 2_000_000) + "0]}"
            let response = try await client.post(Self.path, text: text)
            #expect(response.status == .contentTooLarge)
            #expect(try response.error["code"] == "too_many_values")
        }
    }

    @Test func bracketsAndCommasInTextsAreNoValues() {
        var limits = RequestLimits()
        limits.jsonValues = 4
        #expect(throws: Never.self) { try limits.checkShape(Array(#"{"a":"[,,,,{\",,,,","b":"\\"}"#.utf8)) }
        #expect(throws: APIError.self) { try limits.checkShape(Array(#"{"a":"\\",1,2,3}"#.utf8)) }
    }

    @Test func aBodyBeyondTheLimitGets413() async throws {
        var server = TestServer()
        server.configuration.request.bodyBytes = 1000
        let model = server.model
        try await server.test { client async throws in
            let response = try await client.post(
                Self.path, hello(("user", .string(String(repeating: "u", count: 900)))))
            #expect(response.status == .ok)
            for size in [1000, 100_000] {
                let response = try await client.post(
                    Self.path, hello(("user", .string(String(repeating: "u", count: size)))))
                #expect(response.status == .contentTooLarge)
                #expect(try response.error["code"] == "request_too_large")
            }
        }
        #expect(model.requests.count == 1)
    }

    @Test func bodiesThatTakeTooMuchTogetherWait() throws {
        let memory = BodyMemory(maximum: 100)
        var first: BodyMemory.Ticket? = try memory.take(60)
        #expect(throws: APIError.self) { try memory.take(60) }
        let second = try memory.take(40)
        #expect(first != nil)
        first = nil
        #expect(throws: Never.self) { try memory.take(60) }
        withExtendedLifetime(second) {}
    }

    @Test(arguments: [
        "text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "", "application/jsonx",
        "json",
    ])
    func otherTypesGet415(type: String) async throws {
        try await TestServer().test { client async throws in
            let response = try await client.post(Self.path, text: hello().text(), headers: [.contentType: type])
            #expect(response.status == .unsupportedMediaType)
            #expect(try response.error["code"] == "unsupported_content_type")
        }
    }

    @Test(arguments: [
        "application/json", "application/json; charset=utf-8", "APPLICATION/JSON", "application/vnd.x+json",
    ])
    func jsonTypesAreTaken(type: String) async throws {
        try await TestServer().test { client async throws in
            let response = try await client.post(Self.path, text: hello().text(), headers: [.contentType: type])
            #expect(response.status == .ok)
        }
    }

    @Test(arguments: ["gzip", "br", "deflate", "zstd", "gzip, gzip", "GZIP"])
    func compressedBodiesAreNotUnpacked(encoding: String) async throws {
        try await TestServer().test { client async throws in
            // A bomb would not be worth its name: nothing is unpacked.
            let response = try await client.post(
                Self.path, text: hello().text(), headers: [.contentEncoding: encoding])
            #expect(response.status == .unsupportedMediaType)
            #expect(try response.error["code"] == "unsupported_content_encoding")
        }
    }

    @Test func aHundredMegabytesOfMessageGet413BeforeTheyAreRead() async throws {
        try await TestServer().live { port async throws in
            let connection = try await RawConnection.open(port: port)
            await connection.send(postHead(Self.path, ["Content-Length: 104857600"]) + "{\"model\":\"")
            let (text, _) = await connection.read { $0.contains("request_too_large") }
            #expect(text.hasPrefix("HTTP/1.1 413 "))
            #expect(text.lowercased().contains("connection: close"))
            await connection.close()
        }
    }
}
