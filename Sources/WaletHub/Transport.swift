// One request to a hub: redirects followed by our rules, the token kept at home, faults sorted by what to do about them.

import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix

/// The head of an answer after all redirects, with its body still to be read.
struct Reply: Sendable {
    let status: Int
    let headers: HTTPHeaders
    let body: HTTPClientResponse.Body
    /// Whether the endpoint itself answered, not a host it sent us to.
    let isHome: Bool
    let tokenSent: Bool

    /// The value of a header, or nil where it is missing or stands there several times with different values.
    func header(_ name: String) -> String? {
        let values = Set(headers[name])
        return values.count == 1 ? values.first : nil
    }

    /// A header that holds a size, at most 18 digits long.
    func integer(_ name: String) -> Int? {
        header(name).flatMap { text in
            text.utf8.count <= 18 && text.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
                ? Int(text) : nil
        }
    }
}

/// A fault that may pass: what to say if it does not, and how long the server asks to wait.
struct Passing: Error {
    let error: @Sendable (_ attempts: Int) -> HubError
    var retryAfter: Duration?
}

struct Transport: Sendable {
    let client: HTTPClient
    let hub: Hub
    let repository: String

    init(hub: Hub, repository: String, connections: Int) {
        var configuration = HTTPClient.Configuration()
        configuration.redirectConfiguration = .disallow
        configuration.decompression = .disabled
        // HTTP/1 gives each file a connection of its own, with the kernel's flow control.
        configuration.httpVersion = .http1Only
        configuration.timeout = .init(
            connect: Self.amount(hub.limits.connectSeconds), read: Self.amount(hub.limits.idleSeconds))
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = connections
        client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
        self.hub = hub
        self.repository = repository
    }

    private static func amount(_ seconds: Double) -> TimeAmount { .nanoseconds(Int64(seconds * 1e9)) }

    /// Sends a request and follows redirects.
    /// - Parameters:
    ///   - path: below the endpoint, percent-encoded.
    ///   - start: the first byte that is wanted.
    ///   - leavesHome: false to stop at a redirect to another origin and return it.
    /// - Throws: ``HubError``, or ``Passing`` for what may be tried again, or `CancellationError`.
    func send(
        _ method: HTTPMethod, _ path: String, what: String, start: Int = 0, leavesHome: Bool = true
    ) async throws -> Reply {
        let home = hub.endpoint.origin
        guard var url = URL(string: hub.endpoint.text + path) else {
            throw HubError.badAnswer(what: what, reason: "no address can be made of \(path)")
        }
        var origin = home
        var isHome = true
        // Once away, the token stays away: whoever sent us there also chose where we come back to.
        var mayAuthorize = mayAuthorize
        var redirects = 0
        while true {
            var request = HTTPClientRequest(url: url.absoluteString)
            request.method = method
            request.headers.add(name: "User-Agent", value: "walet/1")
            request.headers.add(name: "Accept-Encoding", value: "identity")
            if start > 0 { request.headers.add(name: "Range", value: "bytes=\(start)-") }
            if mayAuthorize, let token = hub.token {
                request.headers.add(name: "Authorization", value: "Bearer \(token.secret)")
            }
            let response: HTTPClientResponse
            do {
                response = try await client.execute(request, timeout: Self.amount(hub.limits.responseSeconds))
            } catch {
                throw passing(error, what: what, host: origin)
            }
            let reply = Reply(
                status: Int(response.status.code), headers: response.headers, body: response.body, isHome: isHome,
                tokenSent: mayAuthorize && hub.token != nil)
            guard [301, 302, 303, 307, 308].contains(reply.status) else { return reply }
            guard let location = reply.header("Location") else {
                throw HubError.badAnswer(what: what, reason: "a redirect (\(reply.status)) that names no place")
            }
            redirects += 1
            guard redirects <= hub.limits.redirects else {
                throw HubError.tooManyRedirects(what: what, limit: hub.limits.redirects)
            }
            let (next, nextOrigin) = try target(location, of: url, from: origin, what: what)
            if nextOrigin != home {
                if !leavesHome { return reply }
                isHome = false
                mayAuthorize = false
            }
            (url, origin) = (next, nextOrigin)
        }
    }

    /// Whether the endpoint may see the token: over TLS, or on this very machine.
    var mayAuthorize: Bool {
        hub.endpoint.origin.scheme == "https" || hub.endpoint.origin.isLoopback
    }

    /// Where a redirect leads, if it may be followed.
    private func target(
        _ location: String, of url: URL, from origin: Origin, what: String
    ) throws(HubError) -> (URL, Origin) {
        func refused(_ to: String, _ reason: String) -> HubError {
            .unsafeRedirect(what: what, from: origin.description, to: clean(String(to.prefix(100))), reason: reason)
        }
        guard let next = URL(string: location, relativeTo: url)?.absoluteURL, let nextOrigin = Origin(next) else {
            // Not the address itself: it may carry a signature.
            throw refused("another address", "it is no http or https address")
        }
        guard next.user == nil, next.password == nil else {
            throw refused(nextOrigin.description, "the address carries a user name")
        }
        if nextOrigin.scheme == "http" {
            if origin.scheme == "https" {
                throw refused("http://\(nextOrigin)", "it leaves TLS for plain http")
            }
            if hub.endpoint.origin.isLoopback, !nextOrigin.isLoopback {
                throw refused("http://\(nextOrigin)", "it leaves this machine over plain http")
            }
        }
        return (next, nextOrigin)
    }

    /// Sorts a fault of the connection.
    func passing(_ error: any Error, what: String, host: Origin) -> any Error {
        if Task.isCancelled || error is CancellationError { return CancellationError() }
        if error is HubError || error is Passing { return error }
        let reason = "\(host): \(Self.reason(error, hub.limits))"
        return Passing { .unreachable(what: what, attempts: $0, reason: reason) }
    }

    private static func reason(_ error: any Error, _ limits: Hub.Limits) -> String {
        switch error {
        case let error as HTTPClientError where error == .connectTimeout: "no connection within the time"
        case let error as HTTPClientError where error == .readTimeout: "no byte for \(limits.idleSeconds) s"
        case let error as HTTPClientError where error == .deadlineExceeded: "no answer within \(limits.responseSeconds) s"
        case let error as HTTPClientError where error == .remoteConnectionClosed: "the server closed the connection"
        case let error as NIOConnectionError where error.connectionErrors.isEmpty: "the host name is not known"
        case let error as NIOConnectionError: "\(error.connectionErrors.first.map { "\($0.error)" } ?? "no connection")"
        default: String("\(error)".prefix(200))
        }
    }

    /// Nothing for an answer that holds what was asked for (2xx) or 416; the fault otherwise.
    func check(_ reply: Reply, what: String, revision: String, file: String? = nil) throws {
        let status = reply.status
        switch status {
        case 200..<300, 416: return
        case 408, 429, 500...599:
            let wait = RetryAfter.duration(reply.headers, now: Date())
            if let wait, wait > hub.retry.longestRetryAfter {
                throw HubError.busy(
                    what: what, status: status, attempts: 1, retryAfter: Int(wait.components.seconds))
            }
            throw Passing(
                error: {
                    .busy(
                        what: what, status: status, attempts: $0, retryAfter: wait.map { Int($0.components.seconds) })
                }, retryAfter: wait)
        case 401, 403, 404:
            // An address signed for us that ran out: the hub signs another.
            if !reply.isHome {
                throw Passing { _ in .refused(what: what, status: status, message: "from the host it sent us to") }
            }
            let code = reply.header("X-Error-Code")
            if code == "RevisionNotFound" {
                throw HubError.revisionNotFound(repository: repository, revision: revision)
            }
            if status != 404 {
                let unsent = hub.token != nil && !mayAuthorize
                throw HubError.accessDenied(
                    repository: repository, status: status, tokenSent: reply.tokenSent, gated: code == "GatedRepo",
                    note: unsent ? "The token was not sent: it would travel in the clear over http" : nil)
            }
            if let file { throw HubError.fileNotFound(repository: repository, file: file) }
            throw HubError.repositoryNotFound(repository: repository, endpoint: hub.endpoint.host)
        default:
            throw HubError.refused(what: what, status: status, message: reply.header("X-Error-Message"))
        }
    }

    /// Runs a request that brings all or nothing until it succeeds, as often as the policy allows.
    func retrying<Value>(_ body: () async throws -> Value) async throws -> Value {
        var failures = 0
        while true {
            do {
                return try await body()
            } catch let fault as Passing {
                failures += 1
                try await pause(fault, failures: failures)
            }
        }
    }

    /// Waits as the policy and the server say.
    /// - Throws: the fault's error after the last attempt.
    func pause(_ fault: Passing, failures: Int) async throws {
        guard failures < hub.retry.attempts else { throw fault.error(failures) }
        try await hub.retry.sleep(fault.retryAfter ?? hub.retry.delay(failures: failures))
    }
}

/// How long a server asks to wait.
enum RetryAfter {
    /// From `Retry-After`, in seconds or as a date, or from the `RateLimit` header of the hub
    /// (`"api";r=0;t=55`: nothing remains for 55 seconds).
    static func duration(_ headers: HTTPHeaders, now: Date) -> Duration? {
        if let text = headers.first(name: "Retry-After")?.trimmingCharacters(in: .whitespaces) {
            if let seconds = UInt32(text) { return .seconds(Int(seconds)) }
            let formatter = DateFormatter()
            formatter.locale = Locale(identifier: "en_US_POSIX")
            formatter.timeZone = TimeZone(secondsFromGMT: 0)
            formatter.dateFormat = "EEE, dd MMM yyyy HH:mm:ss 'GMT'"
            if let date = formatter.date(from: text) {
                return .seconds(Int(min(max(date.timeIntervalSince(now).rounded(.up), 0), 1e9)))
            }
        }
        guard let text = headers.first(name: "RateLimit") else { return nil }
        var values: [Substring: UInt32] = [:]
        for part in text.split(separator: ";").dropFirst() {
            let pair = part.split(separator: "=", maxSplits: 1)
            if pair.count == 2, let value = UInt32(pair[1]) {
                values[pair[0].drop(while: { $0 == " " })] = value
            }
        }
        guard values["r"] == 0, let seconds = values["t"] else { return nil }
        return .seconds(Int(seconds))
    }
}

extension String {
    /// Percent-encoded for a path; "/" stays where `keepingSlashes`.
    func percentEncoded(keepingSlashes: Bool) -> String {
        let digits = Array("0123456789ABCDEF".utf8)
        var result: [UInt8] = []
        for byte in utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."),
                UInt8(ascii: "~"):
                result.append(byte)
            case UInt8(ascii: "/") where keepingSlashes: result.append(byte)
            default: result += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: result, as: UTF8.self)
    }
}
