import Foundation
import HummingbirdTesting
import Testing
import WaletJSON

@testable import WaletServer

@Suite struct OpenAPITests {
    /// Every object below a value.
    private func objects(_ value: JSONValue) -> [JSONObject] {
        switch value {
        case .object(let object): [object] + object.values.flatMap(objects)
        case .array(let elements): elements.flatMap(objects)
        default: []
        }
    }

    @Test func `The specification is served to everybody with the server's version`() async throws {
        try await TestServer().testAll { client in
            let response = try await client.get("/openapi.json", key: nil)
            #expect(response.status == .ok)
            #expect(response.headers[.contentType] == "application/json")
            #expect(try response.json["openapi"] == "3.1.0")
            #expect(try response.json.at("info.version") == "1.2.3")
        }
    }

    @Test func `The specification has the routes of the server, and no others`() throws {
        let document = OpenAPIRoutes.document(version: "1")
        var specified: Set<String> = []
        for (path, item) in try #require(document["paths"]?.objectValue).members {
            for method in item.objectValue?.keys ?? [] where method != "parameters" {
                specified.insert("\(method.uppercased()) \(path)")
            }
        }
        let routes = try TestServer().allRoutes().routes.map { route in
            let path = route.path.split(separator: "/").map { part in
                part == "**" ? "{model}" : part.hasPrefix(":") ? "{\(part.dropFirst())}" : String(part)
            }.joined(separator: "/")
            return "\(route.method.rawValue) /\(path)"
        }
        // The operator's page has its own form.
        #expect(Set(routes).subtracting(["GET /admin/usage"]) == specified)
    }

    @Test func `Every reference in the specification leads somewhere, and nothing is unused`() throws {
        let document = OpenAPIRoutes.document(version: "1")
        let references = Set(objects(document).compactMap { $0["$ref"]?.stringValue })
        for reference in references {
            let target = reference.dropFirst(2).split(separator: "/").reduce(Optional(document)) { $0?[String($1)] }
            #expect(target != nil, "\(reference)")
        }
        for kind in ["schemas", "responses"] {
            for name in try #require(document.at("components.\(kind)")?.objectValue).keys {
                #expect(references.contains("#/components/\(kind)/\(name)"), "\(name)")
            }
        }
    }
}
