import Foundation

/// Where another server stands that serves a model: `http://host:port/v1`, and after `#` what the model is called there.
public struct UpstreamAddress: Sendable, Equatable, CustomStringConvertible {
    /// With scheme, host and path, without a slash at its end: `/chat/completions` follows.
    public let base: String
    /// The base without `/v1`: what engines offer beside the API of OpenAI stands there.
    public let root: String
    /// What the other server calls the model; nil leaves it to what that server offers.
    public let remoteModel: String?
    /// Whether what is sent can be read on its way: no TLS, and not within this machine.
    public let isReadable: Bool

    public var description: String { base }

    /// Whether a model's source is an address, and no path or name.
    public static func isAddress(_ source: String) -> Bool {
        let source = source.lowercased()
        return source.hasPrefix("http://") || source.hasPrefix("https://")
    }

    /// Reads an address.
    /// - Parameter place: where it stands, for the error.
    /// - Throws: ``ConfigurationError`` for anything but scheme, host, port, path and fragment. A user and a password are
    ///   refused, as addresses are shown in logs.
    public init(parsing text: String, place: String) throws(ConfigurationError) {
        func fail(_ reason: String) -> ConfigurationError {
            ConfigurationError(
                place: place,
                reason: "expected the address of a server as in http://host:8000/v1#MODEL, \(reason)")
        }
        let parts = text.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false)
        // Foundation would encode what an address may not have in it.
        let isPlain = parts[0].utf8.allSatisfy { byte in
            byte > 0x20 && byte < 0x7F && !"\"<>\\^`{|}%".utf8.contains(byte)
        }
        guard isPlain, let url = URLComponents(string: String(parts[0])) else {
            throw fail("found '\(text.prefix(100))'")
        }
        if url.user != nil || url.password != nil {
            throw fail("found one with a user in it: give the key with --upstream-key")
        }
        if url.query != nil { throw fail("found one with a query") }
        guard let scheme = url.scheme?.lowercased(), scheme == "http" || scheme == "https", let host = url.host,
            !host.isEmpty
        else { throw fail("found '\(text.prefix(100))'") }
        var authority = host.contains(":") && !host.hasPrefix("[") ? "[\(host)]" : host
        if let port = url.port {
            guard (1...65535).contains(port) else { throw fail("found port \(port)") }
            authority += ":\(port)"
        }
        var path = url.path
        while path.hasSuffix("/") { path.removeLast() }
        if path.isEmpty { path = "/v1" }
        if parts.count == 2 {
            let name = String(parts[1])
            guard (1...512).contains(name.utf8.count), name.unicodeScalars.allSatisfy({ $0.value >= 0x20 }) else {
                throw fail("found no name of a model after '#'")
            }
            remoteModel = name
        } else {
            remoteModel = nil
        }
        let origin = "\(scheme)://\(authority)"
        base = origin + path
        root = origin + (path.hasSuffix("/v1") ? String(path.dropLast(3)) : path)
        isReadable = scheme == "http" && !ServerConfiguration.isLoopback(host)
    }
}

extension ModelSpecification {
    /// The other server that serves the model; nil where this process does.
    public var upstream: UpstreamAddress? {
        UpstreamAddress.isAddress(source) ? try? UpstreamAddress(parsing: source, place: name) : nil
    }
}
