import AsyncHTTPClient
import NIOCore
import Testing
import WaletJSON

/// Requests over a real connection, as a user.
enum LiveClient {
    static func get(_ url: String) async throws -> JSONValue {
        var request = HTTPClientRequest(url: url)
        request.headers.add(name: "authorization", value: "Bearer \(TestServer.userKey)")
        return try JSONValue(parsing: try await text(request))
    }

    /// The whole answer as text, a stream's to its end.
    static func post(_ url: String, _ body: JSONValue) async throws -> String {
        var request = HTTPClientRequest(url: url)
        request.method = .POST
        request.headers.add(name: "authorization", value: "Bearer \(TestServer.userKey)")
        request.headers.add(name: "content-type", value: "application/json")
        request.body = .bytes(ByteBuffer(string: body.text()))
        return try await text(request)
    }

    private static func text(_ request: HTTPClientRequest) async throws -> String {
        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(60))
        return String(buffer: try await response.body.collect(upTo: 1 << 20))
    }
}
