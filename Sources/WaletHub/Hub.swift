// A Hugging Face hub, or a mirror of one: where it is, who asks, and how patient the client is.

import Foundation

/// A client of a model hub that speaks Hugging Face's protocol.
///
/// ```swift
/// let hub = try Hub()                                   // HF_ENDPOINT, HF_TOKEN, WALET_OFFLINE …
/// let model = try await hub.pull("Qwen/Qwen3-0.6B", into: ModelStore()) { event in print(event) }
/// let quantized = try await hub.pull("unsloth/Qwen3-0.6B-GGUF", include: ["*Q4_K_M*"], into: ModelStore())
/// ```
///
/// A hub is a value; it opens connections only inside ``pull(_:revision:include:exclude:named:into:maximumParallel:progress:)``
/// and ``files(of:revision:)``, and closes them before these return.
public struct Hub: Sendable {
    public let endpoint: Endpoint
    /// Sent to the endpoint's own origin and nowhere else.
    public let token: Token?
    /// The setting that forbids the network, by its name, or nil. With it every call throws ``HubError/offline(setting:)``
    /// before it opens a socket or looks up a name.
    public let offline: String?
    public var limits = Limits()
    public var retry = RetryPolicy()

    public init(endpoint: Endpoint = .huggingFace, token: Token? = nil, offline: String? = nil) {
        self.endpoint = endpoint
        self.token = token
        self.offline = offline
    }

    /// The hub that the environment names: `HF_ENDPOINT` (else huggingface.co); the token from `HF_TOKEN`, else
    /// `HUGGING_FACE_HUB_TOKEN`, else the file `HF_TOKEN_PATH`, else `token` in `HF_HOME`, else
    /// `~/.cache/huggingface/token`; offline if `offline` (the option `--offline`) is true or `WALET_OFFLINE` or
    /// `HF_HUB_OFFLINE` is 1, true, yes or on.
    /// - Throws: ``HubError`` for an endpoint or a token that cannot be used.
    public init(
        environment: [String: String] = ProcessInfo.processInfo.environment, offline: Bool = false
    ) throws(HubError) {
        func value(_ key: String) -> String? {
            environment[key].flatMap { $0.isEmpty ? nil : $0 }
        }
        func isSet(_ key: String) -> Bool {
            ["1", "true", "yes", "on"].contains(environment[key]?.lowercased() ?? "")
        }
        let setting = offline ? "--offline" : ["WALET_OFFLINE", "HF_HUB_OFFLINE"].first(where: isSet)
        self.init(
            endpoint: try value("HF_ENDPOINT").map(Endpoint.init) ?? .huggingFace,
            token: try Token(environment: environment), offline: setting)
    }
}

extension Hub {
    /// The base of a hub's addresses: scheme, host, port and, for mirrors behind a path, a prefix.
    public struct Endpoint: Sendable, Equatable {
        /// Without a "/" at the end.
        public let text: String
        let origin: Origin

        /// `https://huggingface.co`
        public static let huggingFace = Endpoint(
            text: "https://huggingface.co", origin: Origin(scheme: "https", host: "huggingface.co", port: 443))

        private init(text: String, origin: Origin) {
            self.text = text
            self.origin = origin
        }

        /// - Throws: ``HubError/badEndpoint(_:reason:)`` for anything but an http or https address without a user name,
        ///   query or fragment.
        public init(_ text: String) throws(HubError) {
            var trimmed = text[...]
            while trimmed.hasSuffix("/") { trimmed.removeLast() }
            let base = String(trimmed)
            func fault(_ reason: String) -> HubError { .badEndpoint(Self.withoutUser(text), reason: reason) }
            guard base.unicodeScalars.allSatisfy({ $0.isASCII && $0.value > 0x20 && $0.value != 0x7F }) else {
                throw fault("it holds spaces, control characters or non-ASCII letters")
            }
            guard let url = URL(string: base), let origin = Origin(url) else {
                throw fault("give an address such as https://huggingface.co or http://127.0.0.1:8080/prefix")
            }
            guard url.user == nil, url.password == nil else {
                throw fault("a user name in the address is not supported; put the credential into HF_TOKEN")
            }
            guard url.query == nil, url.fragment == nil else { throw fault("it has a query or a fragment") }
            guard !url.path.split(separator: "/").contains("..") else { throw fault("its path contains '..'") }
            self.init(text: base, origin: origin)
        }

        /// The host, with its port where that is not the scheme's own.
        public var host: String { origin.description }

        private static func withoutUser(_ text: String) -> String {
            guard let at = text.lastIndex(of: "@") else { return text }
            return "…" + text[at...]
        }
    }

    /// A secret that does not print itself.
    public struct Token: Sendable, Equatable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable
    {
        let secret: String

        /// - Parameter source: where it comes from, for the message of the error.
        /// - Throws: ``HubError/badToken(source:)`` for characters that a header cannot carry.
        public init(_ secret: String, source: String = "the caller") throws(HubError) {
            guard !secret.isEmpty, secret.utf8.count <= 4096, secret.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
                throw .badToken(source: source)
            }
            self.secret = secret
        }

        init?(environment: [String: String]) throws(HubError) {
            func value(_ key: String) -> String? {
                let text = environment[key]?.trimmingCharacters(in: .whitespacesAndNewlines)
                return text.flatMap { $0.isEmpty ? nil : $0 }
            }
            for key in ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"] {
                if let text = value(key) {
                    try self.init(text, source: key)
                    return
                }
            }
            let home = value("HOME") ?? NSHomeDirectory()
            let cache = value("HF_HOME") ?? (value("XDG_CACHE_HOME") ?? home + "/.cache") + "/huggingface"
            let path = value("HF_TOKEN_PATH") ?? cache + "/token"
            guard let data = FileManager.default.contents(atPath: path), data.count <= 8192 else { return nil }
            let text = String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
            if text.isEmpty { return nil }
            try self.init(text, source: path)
        }

        public var description: String { "(token)" }
        public var debugDescription: String { "(token)" }
        public var customMirror: Mirror { Mirror(self, children: [:]) }
    }

    /// How much a server may cost.
    public struct Limits: Sendable {
        /// Bytes of a list of files.
        public var answerBytes = 32 << 20
        /// Files in a repository.
        public var files = 100_000
        public var redirects = 10
        /// Seconds until a connection stands.
        public var connectSeconds = 15.0
        /// Seconds from a request to the head of its answer, connecting included.
        public var responseSeconds = 60.0
        /// Seconds without a byte after which a connection counts as dead.
        public var idleSeconds = 30.0
    }

    /// What is tried again, and when.
    public struct RetryPolicy: Sendable {
        /// Attempts in a row that bring nothing.
        public var attempts = 6
        /// The pause after the first failure; it doubles with each, with a random part.
        public var firstDelay = Duration.seconds(1)
        public var maximumDelay = Duration.seconds(30)
        /// A longer `Retry-After` ends the pull.
        public var longestRetryAfter = Duration.seconds(300)
        /// A connection that brings fewer bytes than this before it breaks counts as one that brought nothing.
        public var worthwhileBytes = 64 << 10
        /// How to wait. Tests put in one that does not.
        public var sleep: @Sendable (Duration) async throws -> Void = { try await Task.sleep(for: $0) }

        /// The pause after `failures` failures in a row: half of it fixed, half random.
        func delay(failures: Int) -> Duration {
            let factor = Double(1 << min(max(failures - 1, 0), 20))
            let full = min(firstDelay * factor, maximumDelay)
            return full * Double.random(in: 0.5...1)
        }
    }
}

/// Scheme, host and port: what must be equal for a token to be sent.
struct Origin: Sendable, Equatable, CustomStringConvertible {
    let scheme: String
    let host: String
    let port: Int

    init(scheme: String, host: String, port: Int) {
        self.scheme = scheme
        self.host = host
        self.port = port
    }

    /// Nil for anything but http and https with a host.
    init?(_ url: URL) {
        guard let scheme = url.scheme?.lowercased(), scheme == "http" || scheme == "https",
            var host = url.host?.lowercased(), !host.isEmpty
        else { return nil }
        while host.hasSuffix(".") { host.removeLast() }
        let port = url.port ?? (scheme == "https" ? 443 : 80)
        guard (1...65535).contains(port), !host.isEmpty else { return nil }
        self.init(scheme: scheme, host: host, port: port)
    }

    var isLoopback: Bool {
        if host == "localhost" || host == "::1" || host == "[::1]" { return true }
        let numbers = host.split(separator: ".", omittingEmptySubsequences: false).map { UInt8($0) }
        return numbers.count == 4 && numbers[0] == 127 && !numbers.contains(nil)
    }

    var description: String { port == (scheme == "https" ? 443 : 80) ? host : "\(host):\(port)" }
}
