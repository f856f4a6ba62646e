import ArgumentParser
import Foundation
import Logging
import Walet
import WaletAccounts
import WaletAudit
import WaletServer
import WaletSystem

/// `walet serve`: models behind an HTTP endpoint.
struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve", abstract: "Serves models with the APIs of OpenAI and Anthropic.",
        discussion: """
            Each option may also be given in the environment (--max-waiting as WALET_MAX_WAITING) or in a file of JSON \
            ({"max_waiting": 64}), which --config or WALET_CONFIG names; the command line goes before the environment, and that \
            before the file.

            While no key exists, every program of this machine may use the server, and nobody else; 'walet keys create' ends \
            that.
            NAME=http://host:8000/v1 is a model of another server with the API of OpenAI, such as vLLM, SGLang or \
            llama-server; #MODEL behind it is what it is called there.
            SIGHUP reads prices, certificates, allowed origins and the log's level again; keys count within a second anyway.
            SIGTERM ends the server when the requests under way are answered.
            """)

    @Argument(
        help: ArgumentHelp(
            "What to serve; the first one is loaded at once. Default: walet-nano.", valueName: "NAME=MODEL|MODEL"))
    var models: [String] = []
    @Option(
        name: .customLong("model"), help: ArgumentHelp("The same, may be given several times.", valueName: "name=model")
    )
    var named: [String] = []
    @Option(help: "The file of settings, JSON.") var config: String?

    @OptionGroup(title: "Address") var address: Address
    @OptionGroup(title: "Models") var engine: EngineSettings
    @OptionGroup(title: "Keys, charges, audit") var books: Books
    @OptionGroup(title: "Limits") var limits: LimitSettings

    struct Address: ParsableArguments {
        @Option(help: "The address to listen on; default: 127.0.0.1.") var host: String?
        @Option(help: "The port; default: 8080, 0 takes a free one.") var port: String?
        @Option(help: "Certificates in PEM form: HTTPS with HTTP/1.1 and HTTP/2.") var tlsCert: String?
        @Option(help: "The certificate's key in PEM form.") var tlsKey: String?
        @Flag(help: "Let everybody in without a key, from wherever the address can be reached.") var open = false
        @Flag(help: "Give up the right to connect to anybody, for good.") var sovereign = false
        @Option(help: ArgumentHelp("Origins whose pages may call the server.", valueName: "https://…,…"))
        var corsOrigins: String?
        @Option(help: ArgumentHelp("Further names by which a server without keys may be called.", valueName: "name,…"))
        var allowedHosts: String?
        @Flag(help: "Show /metrics without a key.") var openMetrics = false
        @Option(help: "trace, debug, info, notice, warning, error or critical; default: info.") var logLevel: String?
    }

    struct EngineSettings: ParsableArguments {
        @Option(help: "All models in memory together, at most, as in 64G; idle ones make room.") var memoryBudget:
            String?
        @Option(
            help:
                "Weights of each model in memory, at most, as in 16G; experts that do not fit are read when they are chosen."
        )
        var memory: String?
        @Option(help: "With --memory: 'direct' reads past the page cache, 'buffered' through it, 'auto' tries both.")
        var expertReads: String?
        @Flag(
            help: "Show each model's plan in /metrics, beside what it does; the machine is measured for it."
        )
        var plan = false
        @Option(help: ArgumentHelp("With --plan: what an hour of this machine costs.", valueName: "USD"))
        var hourlyCost: String?
        @Option(help: "Worker threads of each model; default: the physical cores.") var threads: String?
        @Option(help: "Tokens of prompt and answer together, at most; default: the model's own.") var context: String?
        @Option(help: "'fast' multiplies integers, 'exact' keeps to fp32.") var precision: String?
        @Option(help: "Requests that a model works on at once; default: 64.") var maxRunning: String?
        @Option(help: "Requests that wait for a model, before further ones get 503; default: 256.") var maxWaiting:
            String?
        @Option(help: "Memory for what attention remembers, as in 8G; default: a quarter of the machine's.")
        var cacheMemory: String?
        @Option(help: "A folder for prompts' caches, which then survive a restart.") var cacheDir: String?
        @Option(help: "Bytes of each model's cache on disk, as in 50G; default: 16G.") var cacheDisk: String?
        @Option(
            help: ArgumentHelp(
                "The key for another server that serves a model, in a file or a variable; may be given several times.",
                valueName: "name=file|name=env:variable"))
        var upstreamKey: [String] = []
        @Option(help: "Silence of another server after which its answer counts as broken; default: 300s.")
        var upstreamTimeout: String?
        @Option(help: "Tokens of one answer, at most.") var maxTokens: String?
        @Option(help: "Choices of one request, at most; default: 128.") var maxChoices: String?
        @Option(
            help: ArgumentHelp("Further variables of the chat template that requests may set.", valueName: "name,…"))
        var templateVariables: String?
    }

    struct Books: ParsableArguments {
        @Option(help: "Keys and charges: a file, or postgres://…; default: accounts.sqlite in Walet's data folder.")
        var database: String?
        @Option(help: "A JSON file of prices.") var prices: String?
        @Option(help: "A folder for the audit log; without it there is none.") var auditDir: String?
        @Flag(help: "Turn requests away while the audit log cannot be written.") var auditRequired = false
        @Flag(help: "Keep prompts and answers in the audit log, not only their hashes.") var auditText = false
    }

    struct LimitSettings: ParsableArguments {
        @Option(help: "Bytes of a request's body; default: 16M.") var maxBodyBytes: String?
        @Option(help: "Bytes of a request's header; default: 64K.") var maxHeaderBytes: String?
        @Option(help: "Fields of a request's header; default: 100.") var maxHeaderCount: String?
        @Option(help: "Connections at once; default: 1024.") var maxConnections: String?
        @Option(help: "For a request's header to arrive; default: 15s.") var headTimeout: String?
        @Option(help: "For a request's body to arrive; default: 120s.") var bodyTimeout: String?
        @Option(help: "Between requests of a connection; default: 75s.") var idleTimeout: String?
        @Option(help: "For a client to read what was sent; default: 60s.") var stallTimeout: String?
        @Option(help: "For requests under way to end after SIGTERM; default: 30s.") var drainTimeout: String?
        @Option(help: "Silence in a stream after which a comment is sent; default: 15s.") var keepAlive: String?
    }

    /// What the command line says, by the names of ``ServerConfiguration/names``.
    private var flags: [String: String] {
        let options: [(String, String?)] = [
            ("host", address.host), ("port", address.port), ("tls_cert", address.tlsCert), ("tls_key", address.tlsKey),
            ("cors_origins", address.corsOrigins), ("allowed_hosts", address.allowedHosts),
            ("log_level", address.logLevel), ("memory_budget", engine.memoryBudget), ("memory", engine.memory),
            ("expert_reads", engine.expertReads), ("hourly_cost", engine.hourlyCost), ("threads", engine.threads),
            ("context", engine.context), ("precision", engine.precision), ("max_running", engine.maxRunning),
            ("max_waiting", engine.maxWaiting), ("cache_memory", engine.cacheMemory), ("cache_dir", engine.cacheDir),
            ("cache_disk", engine.cacheDisk),
            ("upstream_key", engine.upstreamKey.isEmpty ? nil : engine.upstreamKey.joined(separator: ",")),
            ("upstream_timeout", engine.upstreamTimeout), ("max_tokens", engine.maxTokens),
            ("max_choices", engine.maxChoices),
            ("template_variables", engine.templateVariables), ("database", books.database), ("prices", books.prices),
            ("audit_dir", books.auditDir), ("max_body_bytes", limits.maxBodyBytes),
            ("max_header_bytes", limits.maxHeaderBytes), ("max_header_count", limits.maxHeaderCount),
            ("max_connections", limits.maxConnections), ("head_timeout", limits.headTimeout),
            ("body_timeout", limits.bodyTimeout), ("idle_timeout", limits.idleTimeout),
            ("stall_timeout", limits.stallTimeout), ("drain_timeout", limits.drainTimeout),
            ("keep_alive", limits.keepAlive),
        ]
        let switches = [
            ("open", address.open), ("plan", engine.plan), ("sovereign", address.sovereign),
            ("open_metrics", address.openMetrics),
            ("audit_required", books.auditRequired), ("audit_text", books.auditText),
        ]
        var flags: [String: String] = [:]
        for (name, value) in options { flags[name] = value }
        for (name, isOn) in switches where isOn { flags[name] = "true" }
        return flags
    }

    /// The settings from all places.
    private func settings() throws -> ServerConfiguration {
        var settings = try ServerConfiguration(
            flags: flags, environment: ProcessInfo.processInfo.environment, file: config)
        let given = try (models + named).map { try ModelSpecification(parsing: $0, place: "--model") }
        if !given.isEmpty { try settings.setModels(given) }
        if settings.models.isEmpty {
            try settings.setModels([try ModelSpecification(parsing: EmbeddedModel.name, place: "--model")])
        }
        try settings.checkUpstreams()
        return settings
    }

    func validate() throws {
        do {
            _ = try settings()
        } catch let error as ConfigurationError {
            throw ValidationError(error.description)
        }
    }

    func run() async throws {
        let configuration = try settings()
        if configuration.isSovereign {
            try Self.checkSovereign(configuration)
            try Sovereign.enforce()
        } else {
            for model in configuration.models where model.upstream == nil { try await Puller.pullIfNamed(model.source) }
        }
        let live = LiveSettings(origins: configuration.origins, logLevel: configuration.logLevel)
        LoggingSystem.bootstrap { JSONLogHandler(label: $0, settings: live) }
        try await ServeRun(configuration, live) { try settings() }.run()
    }

    /// What would have to call out cannot be part of a server that does not.
    private static func checkSovereign(_ configuration: ServerConfiguration) throws {
        if let database = configuration.database, case .postgres = try Accounts.Location(parsing: database) {
            throw ConfigurationError(
                place: "--database", reason: "a sovereign server connects to nobody, so its accounts must be a file")
        }
        for model in configuration.models { _ = try ModelDescription.read(model.source) }
    }
}

/// One server: everything that it is made of, put together.
private struct ServeRun {
    private let configuration: ServerConfiguration
    private let live: LiveSettings
    private let readSettings: @Sendable () throws -> ServerConfiguration
    private let logger = Logger(label: "walet")

    init(
        _ configuration: ServerConfiguration, _ live: LiveSettings,
        readSettings: @escaping @Sendable () throws -> ServerConfiguration
    ) {
        self.configuration = configuration
        self.live = live
        self.readSettings = readSettings
    }

    func run() async throws {
        let location = try configuration.database.map { try Accounts.Location(parsing: $0) } ?? .standard()
        let prices = try configuration.prices.map { try PriceList(file: $0) } ?? .standard
        let audit = try openAudit()
        let accounts = try await Accounts.open(location, prices: prices)
        do {
            _ = try await audit?.append(.server(.start(version: Version.current, details: auditDetails)))
            try await serve(accounts, audit)
            _ = try? await audit?.append(.server(.stop(reason: "signal")))
        } catch {
            _ = try? await audit?.append(.server(.stop(reason: "error")))
            await close(accounts, audit)
            throw error
        }
        await close(accounts, audit)
    }

    private func close(_ accounts: Accounts, _ audit: AuditLog?) async {
        await accounts.close()
        do {
            try await audit?.close()
        } catch {
            logger.error("the audit log did not close well", metadata: ["error": "\(error)"])
        }
    }

    private func openAudit() throws -> AuditLog? {
        guard let folder = configuration.auditFolder else { return nil }
        var options = AuditOptions()
        options.includesText = configuration.auditsText
        let log = try AuditLog.open(folder: folder, options: options)
        if !log.recovery.isClean { logger.warning("the audit log was repaired", metadata: ["what": "\(log.recovery)"]) }
        return log
    }

    private var auditDetails: [String: JSONValue] {
        [
            "listen": .string("\(configuration.host):\(configuration.port)"), "open": .bool(configuration.isOpen),
            "sovereign": .bool(configuration.isSovereign),
            "models": .array(configuration.models.map { .string($0.name) }),
        ]
    }

    private func serve(_ accounts: Accounts, _ audit: AuditLog?) async throws {
        let metrics = ServerMetrics(
            build: ServerMetrics.BuildInfo(version: Version.current, instructionSet: LanguageModel.instructionSet))
        var options = configuration.serving
        options.version = Version.current
        let serving = Serving(
            models: try registry(metrics), gatekeeper: AccountsGatekeeper(accounts, logger: logger),
            audit: audit.map { AuditLogSink($0, isRequired: configuration.requiresAudit) }, metrics: metrics,
            options: options)
        let readSettings = readSettings
        let (logger, host, isSecure) = (logger, configuration.host, configuration.tlsCertificate != nil)
        let recorder = audit.map { KeyActionRecorder(accounts, $0, logger: logger) }
        let process = try ServerProcess(
            configuration, serving: serving,
            providers: [
                AnthropicRoutes(serving: serving), ResponsesRoutes(serving: serving),
                OpenAPIRoutes(version: Version.current),
                MetricsRoutes(metrics: metrics, access: configuration.hasOpenMetrics ? .open : .operator), WebPage(),
            ], settings: live, logger: logger,
            reload: {
                await recorder?.record()
                let new = try readSettings()
                try await accounts.setPrices(try new.prices.map { try PriceList(file: $0) } ?? .standard)
                return new
            },
            onListening: { port in
                let name = host.contains(":") ? "[\(host)]" : host
                logger.notice(
                    "listening", metadata: ["url": "\(isSecure ? "https" : "http")://\(name):\(port ?? 0)"])
            })
        if let recorder {
            try await recorder.recording { try await process.run() }
        } else {
            try await process.run()
        }
    }

    private func registry(_ metrics: ServerMetrics) throws -> ModelRegistry {
        let configuration = configuration
        let logger = logger
        let folders = try configuration.cacheFolder.map { try CacheFolders($0) }
        let cache =
            configuration.engine.cacheBytes ?? Int(clamping: ProcessInfo.processInfo.physicalMemory / 4)
        let upstreams = UpstreamClient(silence: configuration.upstreamTimeout)
        @Sendable func bytes(_ model: ModelSpecification) -> Int {
            if model.upstream != nil { return 0 }
            let weights = (try? ModelDescription.read(model.source).weightBytes.total) ?? 0
            return min(weights, configuration.engine.memoryLimit ?? .max) + cache
        }
        return ModelRegistry(
            configuration.models, memoryBudget: configuration.memoryBudget, metrics: metrics, logger: logger,
            estimate: bytes
        ) { specification in
            if let address = specification.upstream {
                let model = try await UpstreamModel.connect(
                    name: specification.name, address: address, key: configuration.upstreamKeys[specification.name],
                    client: upstreams, contextLimit: configuration.contextLength,
                    maximumRequests: configuration.engine.maximumRunning + (configuration.engine.maximumWaiting ?? 256),
                    logger: logger)
                return LoadedModel(model, residentBytes: 0)
            }
            var engine = configuration.engine
            if let folders {
                engine.cacheSecret = folders.secret
                engine.storeFolder = folders.folder(of: specification.name)
            }
            var figures: PlannedFigures?
            if configuration.isPlanned {
                do {
                    (figures, engine.forecast) = try await PlannedRun.forServing(specification.source, configuration)
                } catch {
                    // A model that cannot be planned can be served.
                    logger.warning(
                        "no plan", metadata: ["model": "\(specification.name)", "error": "\(error)"])
                }
            }
            let model = try await LanguageModel.load(
                specification.source, name: specification.name, threads: configuration.threads,
                contextLength: configuration.contextLength,
                precision: configuration.precision, engine: engine)
            return LoadedModel(LocalModel(model, plan: figures), residentBytes: bytes(specification))
        }
    }
}
