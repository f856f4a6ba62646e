import HTTPTypes
import Walet

/// Which hosts and origins a request may name.
public struct OriginPolicy: Sendable, Equatable {
    /// Origins whose pages may call the server, as in `https://chat.example.org`; `*` for all. Cookies are never used, so
    /// credentials are never allowed.
    public var allowedOrigins: Set<String> = []
    /// Names by which a server without keys may be called, beside this machine's own.
    public var allowedHosts: Set<String> = []
    /// Whether only this machine can reach the server.
    public var isLoopback = true

    public init() {}

    private static let loopbackNames: Set<String> = ["localhost", "127.0.0.1", "[::1]"]

    /// Lets a request without a key in, unless a web page of a stranger sent it through its visitor's browser, be it by a
    /// name that it made point to this machine (DNS rebinding).
    /// - Throws: ``APIError``, 403.
    func checkKeyless(authority: String?, headers: HTTPFields) throws(APIError) {
        if isLoopback || !allowedHosts.isEmpty {
            let host = authority.map { Self.host(of: $0) }
            guard let host, Self.loopbackNames.contains(host) || allowedHosts.contains(host) else {
                throw APIError(
                    .permission, "This server does not answer to that host name", code: "host_not_allowed")
            }
        }
        guard let origin = headers[.origin] else { return }
        // The server's own page has the server's own origin.
        if allows(origin) || authority.map({ Self.isSame(origin, $0) }) == true { return }
        throw APIError(.permission, "Pages of this origin may not call this server", code: "origin_not_allowed")
    }

    func allows(_ origin: String) -> Bool {
        allowedOrigins.contains("*") || allowedOrigins.contains(origin.lowercased())
    }

    private static func isSame(_ origin: String, _ authority: String) -> Bool {
        let origin = origin.lowercased()
        let authority = authority.lowercased()
        return origin == "http://" + authority || origin == "https://" + authority
    }

    /// The name without its port, in lower case and without the dot of a full name.
    static func host(of authority: String) -> String {
        var name = authority.lowercased()[...]
        if name.hasPrefix("[") {
            if let end = name.firstIndex(of: "]") { name = name[...end] }
        } else if let colon = name.firstIndex(of: ":") {
            name = name[..<colon]
        }
        if name.hasSuffix(".") { name = name.dropLast() }
        return String(name)
    }

    /// The answer to what a browser asks before a page's request; nil where the page may not.
    func preflight(_ headers: HTTPFields) -> HTTPFields? {
        guard let origin = headers[.origin], headers[.accessControlRequestMethod] != nil, allows(origin) else {
            return nil
        }
        var fields = HTTPFields()
        fields[.accessControlAllowMethods] = "GET, POST, DELETE, OPTIONS"
        fields[.accessControlAllowHeaders] = Self.requestHeaders
        fields[.accessControlMaxAge] = "600"
        return fields
    }

    /// What lets a page read an answer.
    func headers(for origin: String?) -> HTTPFields {
        guard let origin, allows(origin) else { return HTTPFields() }
        var fields = HTTPFields()
        fields[.accessControlAllowOrigin] = origin
        fields[.accessControlExposeHeaders] = Self.answerHeaders
        fields[.vary] = "Origin"
        return fields
    }

    private static let requestHeaders = """
        authorization, content-type, x-api-key, anthropic-version, anthropic-beta, openai-organization, openai-project, \
        x-client-request-id, x-request-id, traceparent, x-stainless-arch, x-stainless-lang, x-stainless-os, \
        x-stainless-package-version, x-stainless-retry-count, x-stainless-runtime, x-stainless-runtime-version, \
        x-stainless-timeout
        """
    private static let answerHeaders = """
        x-request-id, request-id, retry-after, x-should-retry, x-ratelimit-limit-requests, x-ratelimit-limit-tokens, \
        x-ratelimit-remaining-requests, x-ratelimit-remaining-tokens, x-ratelimit-reset-requests, x-ratelimit-reset-tokens
        """
}
