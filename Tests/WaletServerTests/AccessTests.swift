import HTTPTypes
import Hummingbird
import HummingbirdTesting
import Testing
import Walet
import WaletJSON

@testable import WaletServer

@Suite struct AccessTests {
    /// The only routes that need no key. A new one must be put here on purpose.
    private static let openRoutes: Set<String> = ["GET /health", "GET /ready"]

    private static func uri(_ path: String) -> String {
        path.replacing("**", with: "some/thing").replacing(#/:[a-z_]+/#, with: "thing")
    }

    @Test func everyRouteButTheListedOnesNeedsAKey() async throws {
        let server = TestServer()
        let routes = try server.frontEnd().routes
        #expect(Set(routes.filter { $0.access == .open }.map { "\($0.method) \($0.path)" }) == Self.openRoutes)
        try await server.test { client async throws in
            for route in routes {
                let isOpen = Self.openRoutes.contains("\(route.method) \(route.path)")
                for headers: HTTPFields in [
                    [:], [.authorization: "Bearer wrong"], [.apiKey: "wrong"], [.authorization: "Bearer "],
                    [.authorization: "Basic d2tfc2VjcmV0X3VzZXI6"], [.apiKey: "' OR 1=1 --"],
                    [.authorization: "Bearer \(String(repeating: "k", count: 5000))"],
                ] {
                    let status = try await client.execute(
                        uri: Self.uri(route.path), method: route.method, headers: headers
                    ) { $0.status }
                    #expect((status != .unauthorized) == isOpen, "\(route.method) \(route.path) \(headers)")
                }
            }
        }
        #expect(server.gatekeeper.reserved.isEmpty)
    }

    @Test func bothHeadersGiveTheSameAccess() async throws {
        let server = TestServer()
        let routes = try server.frontEnd().routes
        try await server.test { client async throws in
            for route in routes where route.access != .open {
                var statuses: [HTTPResponse.Status] = []
                for headers: HTTPFields in [
                    [.authorization: "Bearer \(TestServer.userKey)"], [.apiKey: TestServer.userKey],
                    [.authorization: "bearer  \(TestServer.userKey) ", .apiKey: TestServer.userKey],
                ] {
                    statuses.append(
                        try await client.execute(uri: Self.uri(route.path), method: route.method, headers: headers) {
                            $0.status
                        })
                }
                #expect(Set(statuses).count == 1 && statuses[0] != .unauthorized, "\(route.path) \(statuses)")
                #expect((statuses[0] == .forbidden) == (route.access == .operator), "\(route.path)")
            }
        }
    }

    @Test func twoDifferentKeysAreTurnedDown() async throws {
        try await TestServer().test { client async throws in
            let response = try await client.get(
                "/v1/models", headers: [.apiKey: TestServer.operatorKey])
            #expect(response.status == .unauthorized)
            #expect(try response.error["code"] == "invalid_api_key")
        }
    }

    @Test func anUnauthorizedAnswerIsInTheShapeThatTheSDKsExpect() async throws {
        try await TestServer().test { client async throws in
            let response = try await client.get("/v1/models", key: nil)
            #expect(response.status == .unauthorized)
            #expect(response.headers[.wwwAuthenticate] == "Bearer")
            let error = try response.error
            #expect(error["message"]?.stringValue?.isEmpty == false)
            #expect(error["type"] == "invalid_request_error")
            #expect(error["param"] == .null)
            #expect(error["code"] == "missing_api_key")
        }
    }

    @Test func operatorsMayMore() async throws {
        try await TestServer().test { client async throws in
            let forbidden = try await client.get("/admin/usage")
            #expect(forbidden.status == .forbidden)
            let usage = try await client.get("/admin/usage", key: TestServer.operatorKey)
            #expect(usage.status == .ok)
            #expect(try usage.json.at("keys.0.spend.day") == "1.25")
            #expect(try usage.json.at("keys.0.days.0.cached") == 20)
        }
    }

    @Test func aServerWithoutKeysIsOpenToThisMachine() async throws {
        try await TestServer(gatekeeper: MemoryGatekeeper()).test { client async throws in
            #expect(try await client.get("/v1/models", key: nil).status == .ok)
            // SDKs insist on sending a key.
            #expect(try await client.get("/v1/models", key: "unused").status == .ok)
            #expect(try await client.get("/admin/usage", key: nil).status == .forbidden)
        }
    }

    @Test func revokingTheLastKeyOpensNothing() async throws {
        let server = TestServer()
        server.gatekeeper.revokeAll()
        try await server.test { client async throws in
            #expect(try await client.get("/v1/models").status == .unauthorized)
            #expect(try await client.get("/v1/models", key: nil).status == .unauthorized)
        }
    }

    @Test func aServerThatOthersReachIsNeverOpenByItself() async throws {
        var server = TestServer(gatekeeper: MemoryGatekeeper())
        server.configuration.host = "0.0.0.0"
        try await server.test { client async throws in
            #expect(try await client.get("/v1/models", key: nil).status == .unauthorized)
        }
        server.configuration.isOpen = true
        try await server.test { client async throws in
            #expect(try await client.get("/v1/models", key: nil).status == .ok)
        }
    }

    @Test func aServerOfOthersThatHasNoKeysDoesNotStart() async throws {
        var configuration = ServerConfiguration()
        configuration.host = "0.0.0.0"
        let server = TestServer(gatekeeper: MemoryGatekeeper())
        let process = try ServerProcess(
            configuration, serving: server.serving(), providers: [], settings: server.settings, logger: server.logger,
            reload: { ServerConfiguration() })
        await #expect(throws: ConfigurationError.self) { try await process.run() }
    }

    @Test(arguments: ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8080", "192.168.1.4", "[::2]"])
    func anOpenServerDoesNotAnswerToStrangeHosts(host: String) async throws {
        try await TestServer(gatekeeper: MemoryGatekeeper()).live { port async throws in
            let connection = try await RawConnection.open(port: port)
            await connection.send("GET /v1/models HTTP/1.1\r\nHost: \(host)\r\n\r\n")
            let (text, _) = await connection.read { $0.contains("host_not_allowed") }
            #expect(text.hasPrefix("HTTP/1.1 403 "))
            await connection.close()
        }
    }

    @Test(arguments: ["localhost", "LOCALHOST:8080", "127.0.0.1:1", "[::1]:8080", "localhost."])
    func anOpenServerAnswersToThisMachinesNames(host: String) async throws {
        try await TestServer(gatekeeper: MemoryGatekeeper()).live { port async throws in
            let connection = try await RawConnection.open(port: port)
            await connection.send("GET /v1/models HTTP/1.1\r\nHost: \(host)\r\nConnection: close\r\n\r\n")
            let (text, _) = await connection.read()
            #expect(text.hasPrefix("HTTP/1.1 200 "))
            await connection.close()
        }
    }

    @Test func pagesOfStrangersMayNotCallAnOpenServer() async throws {
        try await TestServer(gatekeeper: MemoryGatekeeper()).test { client async throws in
            for origin in ["https://evil.example", "null", "http://localhost.evil.example", "http://localhost:1"] {
                let response = try await client.post(
                    "/v1/chat/completions", hello(), key: nil, headers: [.origin: origin])
                #expect(response.status == .forbidden)
                #expect(try response.error["code"] == "origin_not_allowed")
                #expect(response.headers[.accessControlAllowOrigin] == nil)
            }
            let own = try await client.post(
                "/v1/chat/completions", hello(), key: nil, headers: [.origin: "http://localhost"])
            #expect(own.status == .ok)
        }
    }

    @Test func otherOriginsAreAllowedOnlyWhereConfiguredAndNeverWithCredentials() async throws {
        var server = TestServer()
        try await server.test { client async throws in
            let response = try await client.get("/v1/models", headers: [.origin: "https://chat.example.org"])
            #expect(response.status == .ok)
            #expect(response.headers[.accessControlAllowOrigin] == nil)
            let preflight = try await client.execute(
                uri: "/v1/models", method: .options,
                headers: [.origin: "https://chat.example.org", .accessControlRequestMethod: "GET"]
            ) { $0 }
            #expect(preflight.status == .methodNotAllowed)
        }
        server.configuration.origins.allowedOrigins = ["https://chat.example.org"]
        try await server.test { client async throws in
            let preflight = try await client.execute(
                uri: "/v1/models", method: .options,
                headers: [.origin: "https://chat.example.org", .accessControlRequestMethod: "POST"]
            ) { $0 }
            #expect(preflight.status == .noContent)
            #expect(preflight.headers[.accessControlAllowOrigin] == "https://chat.example.org")
            #expect(preflight.headers[.accessControlAllowHeaders]?.contains("authorization") == true)
            #expect(preflight.headers[.accessControlAllowCredentials] == nil)
            let response = try await client.get("/v1/models", headers: [.origin: "https://chat.example.org"])
            #expect(response.headers[.accessControlAllowOrigin] == "https://chat.example.org")
            #expect(response.headers[.vary] == "Origin")
            #expect(response.headers[.accessControlAllowCredentials] == nil)
            let other = try await client.get("/v1/models", headers: [.origin: "https://evil.example"])
            #expect(other.headers[.accessControlAllowOrigin] == nil)
        }
    }

    @Test func methodsThatAPathDoesNotKnowGet405() async throws {
        try await TestServer().test { client async throws in
            for method: HTTPRequest.Method in [.get, .put, .delete, .patch, .head] {
                let response = try await client.execute(uri: "/v1/chat/completions", method: method) { $0 }
                #expect(response.status == .methodNotAllowed)
                #expect(response.headers[.allow] == "POST")
            }
        }
    }

    @Test func unknownPathsGet404InTheirDialect() async throws {
        try await TestServer().test { client async throws in
            let response = try await client.get("/v1/nothing")
            #expect(response.status == .notFound)
            #expect(try response.error["code"] == "unknown_url")
            let anthropic = try await client.get("/v1/messages/batches")
            #expect(anthropic.status == .notFound)
            #expect(try anthropic.json["type"] == "error")
            #expect(try anthropic.error["type"] == "not_found_error")
        }
    }

    @Test func pathsThatAreSpelledStrangelyGetNoFurther() async throws {
        try await TestServer().test { client async throws in
            for path in [
                "//v1//models", "/v1/./models", "/health/../v1/models", "/v1%2Fmodels", "/V1/MODELS", "/v1/models/",
                "/health/..%2f..%2fv1/models", "/v1/models;x", "/%76%31/models",
            ] {
                let status = try await client.get(path, key: nil).status
                #expect(status == .unauthorized || status == .notFound, "\(path): \(status)")
            }
        }
    }

    @Test func aKeysModelsAreTheOnlyOnesItSees() async throws {
        let limited = Principal(keyID: "wk_limited", models: ["own/er"])
        try await TestServer(gatekeeper: MemoryGatekeeper(keys: ["k": limited])).test { client async throws in
            let list = try await client.get("/v1/models", key: "k").json
            #expect(list["data"]?.arrayValue?.map { $0["id"] } == ["own/er"])
            let hidden = try await client.get("/v1/models/fake", key: "k")
            let unknown = try await client.get("/v1/models/nothing", key: "k")
            #expect(hidden.status == .notFound && unknown.status == .notFound)
            #expect(hidden.text.replacing("fake", with: "nothing") == unknown.text)
            let call = try await client.post("/v1/chat/completions", hello(), key: "k")
            #expect(call.status == .notFound)
            #expect(try call.error["code"] == "model_not_found")
        }
    }
}
