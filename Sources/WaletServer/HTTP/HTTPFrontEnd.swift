import Hummingbird
import HummingbirdCore
import HummingbirdHTTP2
import HummingbirdTLS
import Logging
import NIOCore
import ServiceLifecycle
import Walet

/// The server's HTTP side: all routes and how connections are spoken with.
public struct HTTPFrontEnd {
    /// Every route, with who may use it.
    public let routes: [RouteTable.Route]
    public let application: Application<RouterResponder<ServerRequestContext>>

    /// - Parameters:
    ///   - providers: further routes.
    ///   - tls: nil for plain HTTP/1; with it HTTP/1 and HTTP/2.
    ///   - onListening: learns the port.
    public init(
        _ configuration: ServerConfiguration, serving: Serving, providers: [any RouteProvider] = [],
        tls: TLSFiles? = nil, settings: LiveSettings, drain: Drain = Drain(),
        readiness: Readiness = Readiness(isReady: true),
        logger: Logger, onListening: @escaping @Sendable (Int?) async -> Void = { _ in }
    ) throws {
        let router = Router(context: ServerRequestContext.self, options: .autoGenerateHeadEndpoints)
        router.add(
            middleware: ExchangeMiddleware(
                limits: configuration.request, settings: settings, metrics: serving.metrics, audit: serving.audit,
                isSecure: tls != nil))
        let gate = AccessGate(
            gatekeeper: serving.gatekeeper, openPolicy: Self.openPolicy(configuration), drain: drain,
            settings: settings)
        let table = RouteTable(router: router, gate: gate)
        let own: [any RouteProvider] = [
            HealthRoutes(drain: drain, readiness: readiness, audit: serving.audit), ChatRoutes(serving: serving),
            CompletionRoutes(serving: serving), ModelRoutes(serving: serving), TokenizeRoutes(serving: serving),
            AdminRoutes(gatekeeper: serving.gatekeeper),
        ]
        for provider in own + providers { provider.addRoutes(to: table) }
        table.finish()
        routes = table.routes
        application = Application(
            router: router, server: Self.server(configuration, tls),
            configuration: ApplicationConfiguration(
                address: .hostname(configuration.host, port: configuration.port), backlog: 1024,
                availableConnectionsDelegate: .maximum(configuration.connection.connections, logger: logger)),
            onServerRunning: { await onListening($0.localAddress?.port) }, logger: logger)
    }

    private static func openPolicy(_ configuration: ServerConfiguration) -> AccessGate.OpenPolicy {
        if configuration.isOpen { return .always }
        return ServerConfiguration.isLoopback(configuration.host) ? .withoutKeys : .never
    }

    private static func server(_ configuration: ServerConfiguration, _ tls: TLSFiles?) -> HTTPServerBuilder {
        let limits = configuration.connection
        let bodyBytes = configuration.request.bodyBytes
        let streams = HTTP1Channel.Configuration(
            additionalChannelHandlers: [ConnectionGuard(limits, bodyBytes: bodyBytes)],
            httpDecoderConfiguration: .init(
                maxHeaderFieldSize: limits.headerFieldBytes, maxHeaderListSize: limits.headerBytes,
                maxHeaderFieldCount: limits.headerCount))
        guard let tls else { return .http1(configuration: streams) }
        return HTTPServerBuilder { responder in
            FirstByteChannel(
                base: try HTTP2UpgradeChannel(
                    tlsConfiguration: tls.configuration(),
                    configuration: HTTP2ChannelConfiguration(
                        idleTimeout: .nanoseconds(limits.idle.nanoseconds), gracefulCloseTimeout: .seconds(10),
                        streamConfiguration: streams),
                    responder: responder), limit: limits.head)
        }
    }
}

/// A channel that closes unless it brings something in time.
private struct FirstByteChannel<Base: ServerChildChannel>: ServerChildChannel {
    let base: Base
    let limit: TimeAmount

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Base.Value> {
        let limit = limit
        return base.setup(channel: channel, logger: logger).flatMapThrowing { value in
            try channel.pipeline.syncOperations.addHandler(FirstByteDeadline(limit))
            return value
        }
    }

    func handle(value: Base.Value, logger: Logger) async { await base.handle(value: value, logger: logger) }
}
