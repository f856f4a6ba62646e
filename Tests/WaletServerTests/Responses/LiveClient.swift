import AsyncHTTPClient
import NIOCore
import Testing
import WaletJSON
import Synchronization

/// Requests over a real connection, as a user.
enum LiveClient {
    static func get(_ url: String) async throws -> JSONValue {
        var request = HTTPClientRequest(url: url)
        request.headers.add(name: "authorization", value: "Bearer \(TestServer.userKey)")
        return try JSONValue(parsing: try await text(request))
    }

    /// What has arrived of an answer.
    final class Received: Sendable {
        let text = Mutex("")
    }

    /// The whole answer as text, a stream's to its end.
    static func post(_ url: String, _ body: JSONValue, _ received: Received = Received()) async throws -> String {
        var request = HTTPClientRequest(url: url)
        request.method = .POST
        request.headers.add(name: "authorization", value: "Bearer \(TestServer.userKey)")
        request.headers.add(name: "content-type", value: "application/json")
        request.body = .bytes(ByteBuffer(string: body.text()))
        return try await text(request, received)
    }

    private static func text(_ request: HTTPClientRequest, _ received: Received = Received()) async throws -> String {
        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(60))
        for try await part in response.body { received.text.withLock { $0 += String(buffer: part) } }
        return received.text.withLock { $0 }
    }
}
