import HTTPTypes
import Hummingbird
import Walet

/// Who may use a route.
public enum RouteAccess: Sendable, Equatable {
    /// Everybody: the server's health and its page.
    case open
    /// Whoever has a key.
    case key
    /// Whoever has an operator's key.
    case `operator`
}

/// Lets requests in, or says why not: one policy for all routes.
struct AccessGate: Sendable {
    /// When requests without a key are let in.
    enum OpenPolicy: Sendable {
        case never
        /// While no key was ever made.
        case withoutKeys
        case always
    }

    let gatekeeper: any Gatekeeper
    let openPolicy: OpenPolicy
    let drain: Drain
    let settings: LiveSettings

    /// A key is longer than this in no scheme that is known here.
    private static let maximumKeyBytes = 512

    func principal(_ access: RouteAccess, _ request: Request) async throws -> Principal {
        guard access != .open else { return .nobody }
        let headers = request.headers
        if drain.isDraining {
            throw APIError(.draining, "The server is going down", code: "shutting_down", retryAfter: 10)
        }
        let secret = try Self.secret(headers)
        let principal: Principal
        if try await isOpen() {
            // Clients' libraries insist on sending some key; one that is known still counts.
            var known: Principal?
            if let secret { known = try await gatekeeper.principal(forKey: secret) }
            if let known {
                principal = known
            } else {
                try settings.origins.checkKeyless(authority: request.head.authority, headers: headers)
                principal = try await gatekeeper.openPrincipal()
            }
        } else {
            guard let secret else {
                throw APIError(
                    .authentication,
                    "You did not provide an API key: send it as 'Authorization: Bearer KEY' or as 'x-api-key: KEY'",
                    code: "missing_api_key")
            }
            guard let known = try await gatekeeper.principal(forKey: secret) else {
                throw APIError(.authentication, "Incorrect API key provided", code: "invalid_api_key")
            }
            principal = known
        }
        if access == .operator, !principal.isOperator {
            throw APIError(.permission, "This needs an operator's key", code: "operator_only")
        }
        return principal
    }

    private func isOpen() async throws -> Bool {
        switch openPolicy {
        case .never: false
        case .always: true
        case .withoutKeys: try await !gatekeeper.hasKeys()
        }
    }

    /// The key of `Authorization: Bearer` or `x-api-key`, which count the same.
    private static func secret(_ headers: HTTPFields) throws(APIError) -> String? {
        var secrets: [String] = []
        for value in headers[values: .authorization] {
            let parts = value.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: true)
            guard parts.count == 2, parts[0].lowercased() == "bearer" else {
                throw APIError(
                    .authentication, "Expected 'Authorization: Bearer KEY'", code: "invalid_authorization_header")
            }
            secrets.append(parts[1].trimmingSpaces())
        }
        secrets += headers[values: .apiKey].map { $0.trimmingSpaces() }
        secrets.removeAll(where: \.isEmpty)
        guard let first = secrets.first else { return nil }
        guard secrets.allSatisfy({ $0 == first }), first.utf8.count <= maximumKeyBytes else {
            throw APIError(
                .authentication, "Send one API key, at most \(maximumKeyBytes) bytes long", code: "invalid_api_key")
        }
        return first
    }
}
