import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import Logging
import NIOCore
import ServiceLifecycle
import Synchronization
import Testing
import Walet
import WaletJSON

@testable import WaletServer

/// A server around fakes.
struct TestServer: Sendable {
    static let userKey = "wk_secret_user"
    static let operatorKey = "wk_secret_operator"

    static let keys: [String: Principal] = [
        userKey: Principal(keyID: "wk_user", name: "User", tenant: "tenant-a", priority: 3),
        operatorKey: Principal(keyID: "wk_operator", name: "Operator", isOperator: true),
    ]

    var configuration = ServerConfiguration()
    var model: FakeModel
    /// What is served instead of ``model``, where it is no fake.
    var served: (any ServedModel)?
    var gatekeeper: MemoryGatekeeper
    var audit = MemoryAudit()
    var metrics = ServerMetrics(build: ServerMetrics.BuildInfo(version: "test", instructionSet: "generic"))
    var active = ActiveRequests()
    var drain = Drain()
    var settings = LiveSettings()
    var log = LogLines()

    init(_ model: FakeModel = FakeModel(), gatekeeper: MemoryGatekeeper = MemoryGatekeeper(keys: keys)) {
        self.model = model
        self.gatekeeper = gatekeeper
    }

    var logger: Logger {
        let log = log
        let settings = settings
        return Logger(label: "test") { label in
            JSONLogHandler(label: label, settings: settings) { log.append($0) }
        }
    }

    var registry: ModelRegistry {
        let model = served ?? model
        return ModelRegistry(
            [ModelSpecification(name: "fake", source: "fake"), ModelSpecification(name: "own/er", source: "fake")],
            memoryBudget: nil, metrics: metrics, logger: logger, created: Date(timeIntervalSince1970: 1_750_000_000)
        ) { _ in LoadedModel(model, residentBytes: 1) }
    }

    func serving() -> Serving {
        Serving(
            models: registry, gatekeeper: gatekeeper, audit: audit, metrics: metrics, active: active,
            options: configuration.serving)
    }

    func frontEnd(
        tls: TLSFiles? = nil, readiness: Readiness = Readiness(isReady: true),
        onListening: @escaping @Sendable (Int?) async -> Void = { _ in }
    ) throws -> HTTPFrontEnd {
        settings.origins = configuration.origins
        return try HTTPFrontEnd(
            configuration, serving: serving(), providers: [], tls: tls, settings: settings, drain: drain,
            readiness: readiness, logger: logger, onListening: onListening)
    }

    /// Without a socket.
    func test<Value: Sendable>(
        _ body: @escaping @Sendable (any TestClientProtocol) async throws -> Value
    ) async throws -> Value {
        try await frontEnd().application.test(.router, body)
    }

    /// On a real port, as the process runs it.
    func live<Value: Sendable>(
        tls: TLSFiles? = nil, _ body: @escaping @Sendable (Int) async throws -> Value
    ) async throws -> Value {
        var server = self
        server.configuration.port = 0
        let (ports, continuation) = AsyncStream.makeStream(of: Int.self)
        let frontEnd = try server.frontEnd(tls: tls) { port in
            if let port { continuation.yield(port) }
        }
        return try await withThrowingTaskGroup(of: Void.self) { group in
            let services = ServiceGroup(
                configuration: ServiceGroupConfiguration(services: [frontEnd.application], logger: logger))
            group.addTask { try await services.run() }
            var iterator = ports.makeAsyncIterator()
            let port = try #require(await iterator.next())
            do {
                let value = try await body(port)
                group.cancelAll()
                return value
            } catch {
                group.cancelAll()
                throw error
            }
        }
    }
}

/// Log lines, for tests that look at them.
final class LogLines: Sendable {
    private let lines = Mutex<[String]>([])

    func append(_ line: String) { lines.withLock { $0.append(line) } }
    var all: [String] { lines.withLock { $0 } }

    /// The lines that tell of requests.
    var requests: [JSONValue] {
        get throws {
            try all.map { try JSONValue(parsing: $0) }.filter { $0["message"] == "request" }
        }
    }
}

extension TestClientProtocol {
    /// Posts a JSON document as a user.
    func post(
        _ path: String, _ body: JSONValue, key: String? = TestServer.userKey, headers: HTTPFields = [:]
    ) async throws -> TestResponse {
        try await post(path, text: body.text(), key: key, headers: headers)
    }

    func post(
        _ path: String, text: String, key: String? = TestServer.userKey, headers: HTTPFields = [:]
    ) async throws -> TestResponse {
        var fields: HTTPFields = [.contentType: "application/json"]
        if let key { fields[.authorization] = "Bearer \(key)" }
        for field in headers { fields[field.name] = field.value }
        return try await execute(uri: path, method: .post, headers: fields, body: ByteBuffer(string: text)) { $0 }
    }

    func get(_ path: String, key: String? = TestServer.userKey, headers: HTTPFields = [:]) async throws -> TestResponse
    {
        var fields = headers
        if let key { fields[.authorization] = "Bearer \(key)" }
        return try await execute(uri: path, method: .get, headers: fields, body: nil) { $0 }
    }
}

extension TestResponse {
    var text: String { String(buffer: body) }

    var json: JSONValue {
        get throws { try JSONValue(parsing: text) }
    }

    /// The error's members.
    var error: JSONValue {
        get throws { try #require(try json["error"]) }
    }

    /// The data of server-sent events, `[DONE]` left out but required.
    var chunks: [JSONValue] {
        get throws {
            var data = text.components(separatedBy: "\n\n").filter { $0.hasPrefix("data: ") }
                .map { String($0.dropFirst(6)) }
            #expect(data.last == "[DONE]")
            if data.last == "[DONE]" { data.removeLast() }
            return try data.map { try JSONValue(parsing: $0) }
        }
    }
}

extension JSONValue {
    subscript(index: Int) -> JSONValue? {
        guard let array = arrayValue, array.indices.contains(index) else { return nil }
        return array[index]
    }

    /// Looks a member up by its path, as in `choices.0.message.content`.
    func at(_ path: String) -> JSONValue? {
        path.split(separator: ".").reduce(self) { value, key in
            Int(key).map { value?[$0] } ?? value?[String(key)]
        }
    }
}

/// A chat that says hello.
func hello(_ members: (String, JSONValue)...) -> JSONValue {
    var object = JSONObject([
        ("model", "fake"), ("messages", [["role": "user", "content": "Hi"]]),
    ])
    for (key, value) in members { object[key] = value }
    return .object(object)
}

/// Waits until something is true, for at most some seconds.
func eventually(
    _ what: Comment, within limit: Duration = .seconds(20), _ condition: @Sendable () async throws -> Bool
) async throws {
    let end = ContinuousClock.now + limit
    while ContinuousClock.now < end {
        if try await condition() { return }
        try await Task.sleep(for: .milliseconds(5))
    }
    Issue.record(what)
}
