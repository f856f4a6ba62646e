// GET /openapi.json: what this server understands, for people and for tools. Written by hand; a test holds it beside the
// routes.

import HTTPTypes
import Hummingbird
import NIOCore
import Walet
import WaletJSON

/// The specification of all endpoints, in OpenAPI 3.1.
public struct OpenAPIRoutes: RouteProvider {
    private let text: String

    /// - Parameter version: the server's, which the document repeats.
    public init(version: String) { text = Self.document(version: version).text() }

    /// The specification.
    static func document(version: String) -> JSONValue {
        // It is part of the program and tested; a document that does not parse is served as an empty one.
        guard let document = try? JSONValue(parsing: EmbeddedFile.bytes("openapi.json")).objectValue,
            var info = document["info"]?.objectValue
        else { return [:] }
        info["version"] = .string(version)
        var object = document
        object["info"] = .object(info)
        return .object(object)
    }

    public func addRoutes(to routes: RouteTable) {
        let text = text
        routes.get("/openapi.json", access: .open) { _, _ in
            Response(
                status: .ok, headers: [.contentType: "application/json", .cacheControl: "no-cache"],
                body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
        }
    }
}
