import Hummingbird
import HummingbirdTesting
import Logging
import ServiceLifecycle
import Testing
import Walet
import WaletJSON

@testable import WaletServer

extension TestServer {
    /// The server with the routes of all dialects.
    func allRoutes(
        store: ResponseStore = ResponseStore(), metricsAccess: RouteAccess = .open,
        onListening: @escaping @Sendable (Int?) async -> Void = { _ in }
    ) throws -> HTTPFrontEnd {
        settings.origins = configuration.origins
        let serving = serving()
        return try HTTPFrontEnd(
            configuration, serving: serving,
            providers: [
                AnthropicRoutes(serving: serving), ResponsesRoutes(serving: serving, store: store),
                MetricsRoutes(metrics: metrics, access: metricsAccess), OpenAPIRoutes(version: "1.2.3"),
            ], settings: settings, drain: drain, logger: logger, onListening: onListening)
    }

    /// Without a socket.
    func testAll<Value: Sendable>(
        store: ResponseStore = ResponseStore(), metricsAccess: RouteAccess = .open,
        _ body: @escaping @Sendable (any TestClientProtocol) async throws -> Value
    ) async throws -> Value {
        try await allRoutes(store: store, metricsAccess: metricsAccess).application.test(.router, body)
    }

    /// On a real port.
    func liveAll(
        store: ResponseStore = ResponseStore(), _ body: @escaping @Sendable (Int) async throws -> Void
    ) async throws {
        var server = self
        server.configuration.port = 0
        let (ports, continuation) = AsyncStream.makeStream(of: Int.self)
        let frontEnd = try server.allRoutes(store: store) { port in
            if let port { continuation.yield(port) }
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            let services = ServiceGroup(
                configuration: ServiceGroupConfiguration(services: [frontEnd.application], logger: logger))
            group.addTask { try await services.run() }
            defer { group.cancelAll() }
            var iterator = ports.makeAsyncIterator()
            try await body(try #require(await iterator.next()))
        }
    }
}

/// The events of a stream: their names and data.
func serverSentEvents(_ text: String) throws -> [(name: String?, data: JSONValue)] {
    try text.components(separatedBy: "\n\n").filter { $0.contains("data: ") }.map { block in
        let lines = block.split(separator: "\n")
        let name = lines.first { $0.hasPrefix("event: ") }.map { String($0.dropFirst(7)) }
        let data = lines.first { $0.hasPrefix("data: ") }.map { String($0.dropFirst(6)) }
        return (name, try JSONValue(parsing: try #require(data)))
    }
}
