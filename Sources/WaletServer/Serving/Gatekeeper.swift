import Walet

/// Knows the keys, their limits, and what they owe.
public protocol Gatekeeper: Sendable {
    /// Whether a key was ever made; those that are revoked or expired count, so that revoking the last one opens nothing.
    func hasKeys() async throws -> Bool

    /// Who has this key; nil where nobody has it any more.
    func principal(forKey secret: String) async throws -> Principal?

    /// Who a caller without a key is, on a server that lets such in.
    func openPrincipal() async throws -> Principal

    /// Checks the limits and sets the worst case aside. Once this returns, ``settle(_:_:_:)`` must be called.
    /// - Throws: ``APIError``: 429 for a limit, 404 for a model that the key may not use.
    func reserve(_ claim: Claim, for principal: Principal) async throws -> Reservation

    /// Charges what was used. When it returns, the charge is durable.
    func settle(_ reservation: Reservation, _ usage: UsageReport, _ outcome: Outcome) async throws

    /// What a model costs; nil where nothing is charged.
    func price(of model: String) async -> ModelPrice?

    /// What all keys used and spent in the last days, today included.
    func spending(days: Int) async throws -> Spending
}

/// What a request may use at most.
public struct Claim: Sendable, Equatable {
    public var requestID: String
    /// The route, as in `/v1/chat/completions`.
    public var endpoint: String
    public var model: String
    /// Tokens of the prompt, or of all prompts of the request.
    public var promptTokens: Int
    /// The prompt's length is only known afterwards.
    public var isEstimate: Bool
    /// Tokens of all answers together, at most.
    public var maximumTokens: Int
}

/// What a claim was granted.
public struct Reservation: Sendable {
    public var claim: Claim
    public var limits: RateLimits?
    /// What the gatekeeper needs to find it again.
    public var token: any Sendable

    public init(claim: Claim, limits: RateLimits? = nil, token: any Sendable = ()) {
        self.claim = claim
        self.limits = limits
        self.token = token
    }
}

/// How a request ended.
public enum Outcome: Sendable, Equatable {
    case completed
    /// By the server.
    case cancelled
    /// The client left.
    case disconnected
    /// With the error's code.
    case failed(String)
}

/// What is left of a key's minute, for the headers `x-ratelimit-…`.
public struct RateLimits: Sendable, Equatable {
    public struct Limit: Sendable, Equatable {
        public var limit: Int
        public var remaining: Int
        /// Seconds until all of it is there again.
        public var reset: Double

        public init(limit: Int, remaining: Int, reset: Double) {
            self.limit = limit
            self.remaining = remaining
            self.reset = reset
        }
    }

    public var requests: Limit?
    public var tokens: Limit?

    public init(requests: Limit? = nil, tokens: Limit? = nil) {
        self.requests = requests
        self.tokens = tokens
    }
}
