import Logging
import ServiceLifecycle
import UnixSignals
import Walet

/// A server from its start to its end: listens, loads the first model, reads its configuration again on SIGHUP, and drains on
/// SIGTERM and SIGINT.
public struct ServerProcess: Sendable {
    private let configuration: ServerConfiguration
    private let serving: Serving
    private let providers: [any RouteProvider]
    private let settings: LiveSettings
    private let logger: Logger
    private let tls: TLSFiles?
    private let reload: @Sendable () async throws -> ServerConfiguration
    private let onListening: @Sendable (Int?) async -> Void

    /// - Parameters:
    ///   - reload: reads the configuration and prices again.
    ///   - onListening: learns the port once connections are taken.
    /// - Throws: ``ConfigurationError`` for certificate files that are wrong, and where the server would be open to others
    ///   although nobody said so.
    public init(
        _ configuration: ServerConfiguration, serving: Serving, providers: [any RouteProvider], settings: LiveSettings,
        logger: Logger, reload: @escaping @Sendable () async throws -> ServerConfiguration,
        onListening: @escaping @Sendable (Int?) async -> Void = { _ in }
    ) throws(ConfigurationError) {
        self.configuration = configuration
        self.serving = serving
        self.providers = providers
        self.settings = settings
        self.logger = logger
        self.reload = reload
        self.onListening = onListening
        if let certificate = configuration.tlsCertificate, let key = configuration.tlsKey {
            tls = try TLSFiles(certificate: certificate, key: key)
        } else {
            tls = nil
        }
    }

    /// Runs until the process is told to end.
    public func run() async throws {
        try await checkAccess()
        let drain = Drain()
        let readiness = Readiness()
        let frontEnd = try HTTPFrontEnd(
            configuration, serving: serving, providers: providers, tls: tls, settings: settings, drain: drain,
            readiness: readiness, logger: logger, onListening: onListening)
        var group = ServiceGroupConfiguration(
            services: [
                frontEnd.application,
                ReloadService { await reloadAll() },
                PreloadService(serving: serving, model: configuration.models.first?.name, readiness: readiness),
                DrainService(
                    drain: drain, active: serving.active, limit: configuration.drainLimit, logger: logger),
            ], gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
        // What hangs beyond draining is cut.
        group.maximumGracefulShutdownDuration = configuration.drainLimit + .seconds(15)
        try await ServiceGroup(configuration: group).run()
        await serving.models.unloadAll()
    }

    /// Says loudly who may come in.
    private func checkAccess() async throws {
        let isLoopback = ServerConfiguration.isLoopback(configuration.host)
        if configuration.isOpen {
            logger.warning(
                "THE SERVER IS OPEN: whoever reaches it may use it without a key",
                metadata: ["host": .string(configuration.host)])
            return
        }
        if try await serving.gatekeeper.hasKeys() { return }
        guard isLoopback else {
            throw ConfigurationError(
                place: "--host",
                reason:
                    "there are no keys yet, so everybody who reaches \(configuration.host) could use the server: make one "
                    + "with 'walet keys create', or listen on 127.0.0.1, or say --open")
        }
        logger.warning(
            "NO KEYS EXIST: every program of this machine may use the server; 'walet keys create' ends that")
    }

    private func reloadAll() async {
        do {
            let new = try await reload()
            settings.origins = new.origins
            settings.logLevel = new.logLevel
            try tls?.reload()
            try await serving.audit?.recordReload(["origins", "log_level", "prices", "certificates"])
            logger.notice("read the configuration again")
        } catch {
            logger.error("the configuration stays as it was", metadata: ["error": .string("\(error)")])
        }
    }
}

/// Does something at each SIGHUP.
private struct ReloadService: Service {
    let action: @Sendable () async -> Void

    init(_ action: @escaping @Sendable () async -> Void) { self.action = action }

    func run() async throws {
        for await _ in await UnixSignalsSequence(trapping: .sighup).cancelOnGracefulShutdown() { await action() }
    }
}

/// Loads the first model, so that the first request need not wait; a server whose model cannot be loaded ends, but for one
/// behind another server, which may still be starting: each request asks again.
private struct PreloadService: Service {
    let serving: Serving
    let model: String?
    let readiness: Readiness

    func run() async throws {
        do {
            if let model { _ = try await serving.models.lease(model) }
        } catch let error as APIError where error.kind == .upstream || error.kind == .overloaded {}
        readiness.set()
        try? await gracefulShutdown()
    }
}
