import Foundation
import NIOCore
import Testing
import Walet

@testable import WaletServer

@Suite struct ConfigurationTests {
    private static func file(_ text: String) throws -> String {
        let url = FileManager.default.temporaryDirectory.appending(path: "walet-\(UUID().uuidString).json")
        try Data(text.utf8).write(to: url)
        return url.path
    }

    @Test func theCommandLineGoesBeforeTheEnvironmentBeforeTheFile() throws {
        let file = try Self.file(#"{"host": "1.1.1.1", "port": 1, "max_body_bytes": "2M", "open": true}"#)
        defer { try? FileManager.default.removeItem(atPath: file) }
        let configuration = try ServerConfiguration(
            flags: ["port": "3"], environment: ["WALET_PORT": "2", "WALET_HOST": "2.2.2.2"], file: file)
        #expect(configuration.port == 3)
        #expect(configuration.host == "2.2.2.2")
        #expect(configuration.request.bodyBytes == 2 << 20)
        #expect(configuration.isOpen)
    }

    @Test func theEnvironmentMayNameTheFile() throws {
        let file = try Self.file(#"{"port": 7}"#)
        defer { try? FileManager.default.removeItem(atPath: file) }
        #expect(try ServerConfiguration(environment: ["WALET_CONFIG": file]).port == 7)
    }

    @Test func everySettingCanBeReadFromEverywhere() throws {
        let key = try Self.file("secret\n")
        defer { try? FileManager.default.removeItem(atPath: key) }
        let values: [String: String] = [
            "host": "127.0.0.1", "port": "8081", "open": "false", "model": "a=/x/y,b=z", "memory_budget": "16G",
            "max_running": "8", "max_waiting": "9", "cache_memory": "1G", "cache_dir": "/cache", "cache_disk": "5G",
            "upstream_key": "b=\(key)", "upstream_timeout": "90s",
            "memory": "1.5G", "expert_reads": "direct", "plan": "true", "hourly_cost": "0.35",
            "threads": "4", "context": "4096", "precision": "exact", "tls_cert": "/c", "tls_key": "/k",
            "database": "/d", "prices": "/p", "audit_dir": "/a", "audit_required": "true", "audit_text": "yes",
            "sovereign": "1", "max_body_bytes": "1MiB", "max_header_bytes": "8K", "max_header_count": "50",
            "max_connections": "10", "head_timeout": "5", "body_timeout": "6s", "idle_timeout": "7000ms",
            "stall_timeout": "1m", "drain_timeout": "1h", "keep_alive": "3s", "max_tokens": "100", "max_choices": "4",
            "template_variables": "style, tone", "cors_origins": "https://a.example,http://b.example:8080",
            "allowed_hosts": "walet.example", "open_metrics": "on", "log_level": "debug",
        ]
        #expect(Set(values.keys) == ServerConfiguration.names)
        let environment = Dictionary(uniqueKeysWithValues: values.map { ("WALET_" + $0.key.uppercased(), $0.value) })
        let members = values.map { "\"\($0.key)\": \"\($0.value)\"" }.joined(separator: ",")
        let file = try Self.file("{\(members)}")
        defer { try? FileManager.default.removeItem(atPath: file) }
        for configuration in [
            try ServerConfiguration(flags: values), try ServerConfiguration(environment: environment),
            try ServerConfiguration(file: file),
        ] {
            #expect(configuration.port == 8081)
            #expect(
                configuration.models == [
                    ModelSpecification(name: "a", source: "/x/y"), ModelSpecification(name: "b", source: "z"),
                ])
            #expect(configuration.memoryBudget == 16 << 30)
            #expect(configuration.threads == 4 && configuration.contextLength == 4096)
            #expect(configuration.precision == .exact)
            #expect(configuration.engine.memoryLimit == 3 << 29 && configuration.engine.expertReads == .direct)
            #expect(configuration.isPlanned && configuration.hourlyCost == 0.35)
            #expect(configuration.upstreamKeys.mapValues(\.secret) == ["b": "secret"])
            #expect(configuration.upstreamTimeout == .seconds(90))
            #expect(configuration.engine.maximumRunning == 8 && configuration.engine.maximumWaiting == 9)
            #expect(configuration.engine.cacheBytes == 1 << 30 && configuration.engine.storeBytes == 5 << 30)
            #expect(configuration.cacheFolder == "/cache")
            #expect(configuration.tlsCertificate == "/c" && configuration.tlsKey == "/k")
            #expect(configuration.database == "/d" && configuration.prices == "/p")
            #expect(configuration.auditFolder == "/a" && configuration.requiresAudit && configuration.auditsText)
            #expect(configuration.isSovereign)
            #expect(configuration.request.bodyBytes == 1 << 20)
            #expect(configuration.connection.headerBytes == 8192)
            #expect(configuration.connection.headerFieldBytes == 8192)
            #expect(configuration.connection.headerCount == 50)
            #expect(configuration.connection.connections == 10)
            #expect(configuration.connection.head == .seconds(5))
            #expect(configuration.connection.body == .seconds(6))
            #expect(configuration.connection.idle == .seconds(7))
            #expect(configuration.connection.stall == .minutes(1))
            #expect(configuration.drainLimit == .seconds(3600))
            #expect(configuration.serving.keepAlive == .seconds(3))
            #expect(configuration.serving.maximumTokens == 100 && configuration.serving.maximumChoices == 4)
            #expect(configuration.serving.templateVariables == ["style", "tone"])
            #expect(configuration.origins.allowedOrigins == ["https://a.example", "http://b.example:8080"])
            #expect(configuration.origins.allowedHosts == ["walet.example"])
            #expect(configuration.hasOpenMetrics)
            #expect(configuration.logLevel == .debug)
        }
    }

    @Test func listsAndObjectsOfAFileCountAsLists() throws {
        let file = try Self.file(
            #"{"model": {"a": "/x", "b": "/y"}, "cors_origins": ["https://a.example"], "max_tokens": 5}"#)
        defer { try? FileManager.default.removeItem(atPath: file) }
        let configuration = try ServerConfiguration(file: file)
        #expect(configuration.models.map(\.name) == ["a", "b"])
        #expect(configuration.origins.allowedOrigins == ["https://a.example"])
        #expect(configuration.serving.maximumTokens == 5)
    }

    static let wrong: [(String, String)] = [
        ("port", "65536"), ("port", "x"), ("port", "-1"), ("open", "maybe"), ("memory_budget", "1"),
        ("hourly_cost", "0"), ("hourly_cost", "dear"),
        ("memory_budget", "1X"), ("memory_budget", "99999999999T"), ("threads", "0"), ("context", "0"),
        ("precision", "bf16"), ("max_body_bytes", "0"), ("max_header_bytes", "1G"), ("max_header_count", "1"),
        ("max_connections", "0"), ("head_timeout", "0"), ("head_timeout", "-1"), ("head_timeout", "1e99"),
        ("head_timeout", "nan"), ("drain_timeout", "x"), ("keep_alive", "1ms"), ("max_choices", "0"),
        ("log_level", "loud"), ("cors_origins", "a.example"), ("cors_origins", "https://a.example/"),
        ("model", "=x"), ("model", "a="), ("model", "a b=x"), ("model", "a=x,a=y"), ("max_running", "0"),
        ("max_waiting", "-1"), ("cache_memory", "x"), ("cache_disk", "1G"),
    ]

    @Test(arguments: wrong)
    func whatIsWrongIsNamedWithItsPlace(name: String, value: String) throws {
        let flag = "--" + name.replacing("_", with: "-")
        for (configure, place): (() throws -> ServerConfiguration, String) in [
            ({ try ServerConfiguration(flags: [name: value]) }, flag),
            (
                { try ServerConfiguration(environment: ["WALET_" + name.uppercased(): value]) },
                "WALET_" + name.uppercased()
            ),
        ] {
            do {
                _ = try configure()
                Issue.record("expected an error")
            } catch let error as ConfigurationError {
                #expect([place, flag, "--cache-dir"].contains(error.place), "\(error)")
            }
        }
    }

    @Test(arguments: [
        "", "[]", "{", #"{"prot": 1}"#, #"{"port": 1, "port": 2}"#, #"{"port": null}"#, #"{"model": [[1]]}"#,
        #"{"model": {"a": {"b": 1}}}"#,
    ])
    func filesThatAreWrongAreTurnedDown(text: String) throws {
        let file = try Self.file(text)
        defer { try? FileManager.default.removeItem(atPath: file) }
        #expect(throws: ConfigurationError.self) { try ServerConfiguration(file: file) }
    }

    @Test func aFileThatIsNotThereIsAnError() {
        #expect(throws: ConfigurationError.self) { try ServerConfiguration(file: "/nowhere/walet.json") }
    }

    @Test func halfOfAPairIsAnError() {
        #expect(throws: ConfigurationError.self) { try ServerConfiguration(flags: ["tls_cert": "/c"]) }
        #expect(throws: ConfigurationError.self) { try ServerConfiguration(flags: ["tls_key": "/k"]) }
        #expect(throws: ConfigurationError.self) { try ServerConfiguration(flags: ["audit_required": "true"]) }
        #expect(throws: ConfigurationError.self) { try ServerConfiguration(flags: ["model": "a=x,a=y"]) }
    }

    static let models: [(String, String, String)] = [
        ("kimi=/models/k2", "kimi", "/models/k2"), ("/models/k2.gguf", "k2.gguf", "/models/k2.gguf"),
        ("./k2", "k2", "./k2"), ("smollm2", "smollm2", "smollm2"), ("owner/name", "owner/name", "owner/name"),
        ("a=b=c", "a", "b=c"),
    ]

    @Test(arguments: models)
    func modelsAreNamed(text: String, name: String, source: String) throws {
        let model = try ModelSpecification(parsing: text, place: "models")
        #expect(model == ModelSpecification(name: name, source: source))
    }

    @Test(arguments: ["127.0.0.1", "localhost", "::1", "127.1.2.3", "LOCALHOST"])
    func theseHostsAreThisMachine(host: String) { #expect(ServerConfiguration.isLoopback(host)) }

    @Test(arguments: ["0.0.0.0", "::", "127.0.0.1.evil.example", "128.0.0.1", "127.0.0", "127.0.0.256", ""])
    func theseAreNot(host: String) { #expect(!ServerConfiguration.isLoopback(host)) }
}

@Suite struct CacheFoldersTests {
    @Test func theSecretStaysAndIsNobodyElses() throws {
        let root = FileManager.default.temporaryDirectory.appending(path: "walet-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: root) }
        let first = try CacheFolders(root)
        #expect(first.secret.count == 32)
        #expect(try CacheFolders(root).secret == first.secret)
        let attributes = try FileManager.default.attributesOfItem(atPath: root + "/secret")
        #expect(attributes[.posixPermissions] as? Int == 0o600)
        #expect(try FileManager.default.contentsOfDirectory(atPath: root) == ["secret"])
        try Data([1, 2, 3]).write(to: URL(fileURLWithPath: root + "/secret"))
        #expect(throws: ConfigurationError.self) { try CacheFolders(root) }
    }

    @Test func everyModelHasItsOwnFolderInside() throws {
        let root = FileManager.default.temporaryDirectory.appending(path: "walet-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: root) }
        let folders = try CacheFolders(root)
        let names = [
            "a", "../a", "..", ".", "a/b", "a%2fb", "A", "é", String(repeating: "x", count: 200) + "1",
            String(repeating: "x", count: 200) + "2", String(repeating: "/", count: 200),
        ]
        let paths = names.map { folders.folder(of: $0).path }
        #expect(Set(paths).count == names.count)
        for path in paths {
            #expect((path as NSString).deletingLastPathComponent == (root as NSString).standardizingPath)
            #expect((path as NSString).lastPathComponent.utf8.count < 255)
        }
    }

    @Test func aFolderThatCannotBeMadeIsNamed() {
        #expect(throws: ConfigurationError.self) { try CacheFolders("/proc/walet") }
    }
}
