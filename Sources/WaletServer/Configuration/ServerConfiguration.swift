import Logging
import NIOCore
import Walet

/// All settings of a server, from the command line, the environment and a file, in this order.
public struct ServerConfiguration: Sendable {
    public var host = "127.0.0.1"
    public var port = 8080
    /// Lets everybody in without a key, from wherever the host can be reached.
    public var isOpen = false
    public var models: [ModelSpecification] = []
    /// Bytes of all models in memory together; nil for no limit.
    public var memoryBudget: Int?
    /// Workers of each model; nil for the physical cores.
    public var threads: Int?
    /// Tokens of prompt and answer together, at most; nil for the model's own.
    public var contextLength: Int?
    /// The keys with which other servers are called, by our names of the models that they serve.
    public var upstreamKeys: [String: UpstreamKey] = [:]
    /// Silence of another server after which its answer counts as broken.
    public var upstreamTimeout = Duration.seconds(300)
    public var precision = Precision.fast
    /// How requests share each model's time and memory. A queue without an end would only make everybody wait.
    public var engine: EngineOptions = {
        var options = EngineOptions()
        options.maximumWaiting = 256
        return options
    }()
    /// Whether each model's plan is made when it is loaded, for the page of metrics.
    public var isPlanned = false
    /// What an hour of this machine costs, in US dollars.
    public var hourlyCost: Double?
    /// Where the prefix caches of all models are kept on disk; nil for nowhere.
    public var cacheFolder: String?

    /// Files in PEM form; both or none.
    public var tlsCertificate: String?
    public var tlsKey: String?

    /// Where keys and charges are kept: a path, or `postgres://…`; nil for the usual place.
    public var database: String?
    /// A JSON file with prices; nil for the standard ones.
    public var prices: String?
    /// Where the audit log is kept; nil for none.
    public var auditFolder: String?
    /// Whether requests are turned away while the audit log cannot be written.
    public var requiresAudit = false
    /// Whether the audit log keeps prompts and answers, and not only their hashes.
    public var auditsText = false
    /// Whether the process gives up its right to connect to anybody.
    public var isSovereign = false

    public var connection = ConnectionLimits()
    public var request = RequestLimits()
    public var serving = ServingOptions()
    public var origins = OriginPolicy()
    /// How long requests under way may go on after SIGTERM.
    public var drainLimit = Duration.seconds(30)
    /// Whether `/metrics` needs no key.
    public var hasOpenMetrics = false
    public var logLevel = Logger.Level.info

    public init() {}

    /// Names of all settings, as a file has them.
    public static let names: Set<String> = [
        "host", "port", "open", "model", "memory_budget", "memory", "expert_reads", "plan", "hourly_cost", "threads",
        "context", "precision", "max_running",
        "max_waiting", "cache_memory", "cache_dir", "cache_disk", "upstream_key", "upstream_timeout", "tls_cert",
        "tls_key", "database", "prices", "audit_dir", "audit_required", "audit_text", "sovereign", "max_body_bytes",
        "max_header_bytes", "max_header_count", "max_connections", "head_timeout", "body_timeout", "idle_timeout",
        "stall_timeout", "drain_timeout", "keep_alive", "max_tokens", "max_choices", "template_variables",
        "cors_origins", "allowed_hosts", "open_metrics", "log_level",
    ]

    /// Reads the settings.
    /// - Parameters:
    ///   - flags: what the command line says, by the names of ``names``.
    ///   - file: a JSON file; nil for the one that `WALET_CONFIG` names, if any.
    /// - Throws: ``ConfigurationError`` for the first that is wrong.
    public init(
        flags: [String: String] = [:], environment: [String: String] = [:], file: String? = nil
    ) throws(ConfigurationError) {
        let reader = SettingReader(
            source: try ConfigurationSource(flags: flags, environment: environment, file: file, names: Self.names))
        try readAddress(reader)
        try readModels(reader)
        try readUpstreams(reader, environment)
        try readBooks(reader)
        try readLimits(reader)
        try readServing(reader)
        if let level = try reader.choice("log_level", Logger.Level.self) { logLevel = level }
    }

    private mutating func readAddress(_ reader: SettingReader) throws(ConfigurationError) {
        host = reader.text("host") ?? host
        port = try reader.integer("port", 0...65535) ?? port
        isOpen = try reader.boolean("open") ?? isOpen
        tlsCertificate = reader.text("tls_cert")
        tlsKey = reader.text("tls_key")
        guard (tlsCertificate == nil) == (tlsKey == nil) else {
            throw ConfigurationError(
                place: tlsKey == nil ? "--tls-key" : "--tls-cert",
                reason: "is missing: TLS needs a certificate and its key")
        }
        origins.allowedOrigins = Set((reader.list("cors_origins") ?? []).map { $0.lowercased() })
        for origin in origins.allowedOrigins where origin != "*" {
            guard origin.hasPrefix("http://") || origin.hasPrefix("https://"), !origin.hasSuffix("/") else {
                throw ConfigurationError(
                    place: "--cors-origins",
                    reason: "expected origins as in https://chat.example.org, found '\(origin)'")
            }
        }
        origins.allowedHosts = Set((reader.list("allowed_hosts") ?? []).map { $0.lowercased() })
        origins.isLoopback = Self.isLoopback(host)
    }

    private mutating func readModels(_ reader: SettingReader) throws(ConfigurationError) {
        try setModels(try reader.models("model") ?? [])
        memoryBudget = try reader.bytes("memory_budget", (1 << 20)...(.max))
        engine.memoryLimit = try reader.bytes("memory", 1...(.max))
        engine.expertReads = try reader.choice("expert_reads", ExpertReads.self) ?? engine.expertReads
        isPlanned = try reader.boolean("plan") ?? isPlanned
        hourlyCost = try reader.number("hourly_cost", 1e-9...1e9)
        if hourlyCost != nil, !isPlanned {
            throw ConfigurationError(place: "--plan", reason: "is missing: --hourly-cost is for it")
        }
        threads = try reader.integer("threads", 1...1024)
        contextLength = try reader.integer("context", 1...Int(Int32.max))
        precision = try reader.choice("precision", Precision.self) ?? precision
        engine.maximumRunning = try reader.integer("max_running", 1...4096) ?? engine.maximumRunning
        engine.maximumWaiting = try reader.integer("max_waiting", 0...1_000_000) ?? engine.maximumWaiting
        engine.cacheBytes = try reader.bytes("cache_memory", 0...(.max))
        cacheFolder = reader.text("cache_dir")
        if let bytes = try reader.bytes("cache_disk", 0...(.max)) {
            guard cacheFolder != nil else {
                throw ConfigurationError(place: "--cache-dir", reason: "is missing: there is no cache on disk to bound")
            }
            engine.storeBytes = bytes
        }
    }

    private mutating func readUpstreams(
        _ reader: SettingReader, _ environment: [String: String]
    ) throws(ConfigurationError) {
        if let keys = reader.list("upstream_key") {
            upstreamKeys = try UpstreamKey.read(
                keys, environment: environment, place: reader.source.value("upstream_key")?.place ?? "--upstream-key")
        }
        let range = Duration.milliseconds(100)...Duration.seconds(86400)
        upstreamTimeout = try reader.duration("upstream_timeout", range) ?? upstreamTimeout
    }

    /// Checks what can only be said of all models together.
    /// - Throws: ``ConfigurationError`` for a key that belongs to no other server, and for another server of one that connects
    ///   to nobody.
    public func checkUpstreams() throws(ConfigurationError) {
        let names = Set(models.filter { $0.upstream != nil }.map(\.name))
        for name in upstreamKeys.keys.sorted() where !names.contains(name) {
            throw ConfigurationError(
                place: "--upstream-key", reason: "no other server serves a model named '\(name.prefix(100))'")
        }
        guard isSovereign else { return }
        for model in models {
            guard let upstream = model.upstream else { continue }
            throw ConfigurationError(
                place: "--sovereign",
                reason: "a sovereign server connects to nobody, so '\(model.name)' cannot be served by \(upstream)")
        }
    }

    /// Says which models are served.
    /// - Throws: ``ConfigurationError`` where two have one name.
    public mutating func setModels(_ models: [ModelSpecification]) throws(ConfigurationError) {
        var names: Set<String> = []
        for model in models where !names.insert(model.name).inserted {
            throw ConfigurationError(
                place: "--model", reason: "two models are named '\(model.name)'; give NAME=MODEL")
        }
        self.models = models
    }

    private mutating func readBooks(_ reader: SettingReader) throws(ConfigurationError) {
        database = reader.text("database")
        prices = reader.text("prices")
        auditFolder = reader.text("audit_dir")
        requiresAudit = try reader.boolean("audit_required") ?? requiresAudit
        auditsText = try reader.boolean("audit_text") ?? auditsText
        isSovereign = try reader.boolean("sovereign") ?? isSovereign
        if auditFolder == nil, requiresAudit || auditsText {
            throw ConfigurationError(place: "--audit-dir", reason: "is missing: there is no audit log to write")
        }
    }

    private mutating func readLimits(_ reader: SettingReader) throws(ConfigurationError) {
        request.bodyBytes = try reader.bytes("max_body_bytes", 1024...(1 << 30)) ?? request.bodyBytes
        // At least some bodies of the largest size can be read at once.
        request.bodyMemory = BodyMemory(maximum: max(512 << 20, 4 * request.bodyBytes))
        if let bytes = try reader.bytes("max_header_bytes", 1024...(1 << 20)) {
            connection.headerBytes = bytes
            connection.headerFieldBytes = min(connection.headerFieldBytes, bytes)
        }
        connection.headerCount = try reader.integer("max_header_count", 8...10000) ?? connection.headerCount
        connection.connections = try reader.integer("max_connections", 1...1_000_000) ?? connection.connections
        let range = Duration.milliseconds(100)...Duration.seconds(86400)
        func time(_ name: String, _ value: inout TimeAmount) throws(ConfigurationError) {
            if let duration = try reader.duration(name, range) { value = TimeAmount(duration) }
        }
        try time("head_timeout", &connection.head)
        try time("body_timeout", &connection.body)
        try time("idle_timeout", &connection.idle)
        try time("stall_timeout", &connection.stall)
        drainLimit = try reader.duration("drain_timeout", .zero...Duration.seconds(86400)) ?? drainLimit
    }

    private mutating func readServing(_ reader: SettingReader) throws(ConfigurationError) {
        serving.keepAlive =
            try reader.duration("keep_alive", Duration.milliseconds(100)...Duration.seconds(3600)) ?? serving.keepAlive
        serving.maximumTokens = try reader.integer("max_tokens", 1...Int(Int32.max))
        serving.maximumChoices = try reader.integer("max_choices", 1...1024) ?? serving.maximumChoices
        serving.templateVariables = Set(reader.list("template_variables") ?? [])
        hasOpenMetrics = try reader.boolean("open_metrics") ?? hasOpenMetrics
    }

    /// Whether only this machine can reach a host.
    public static func isLoopback(_ host: String) -> Bool {
        let host = host.lowercased()
        if host == "localhost" || host == "::1" || host == "[::1]" { return true }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8($0) != nil }
    }
}
