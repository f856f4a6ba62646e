// "No" to a client, with the numbers.

/// Why a request is not taken. `message` may be sent to the client as it is.
public struct Refusal: Error, Sendable, Hashable {
    public enum Kind: String, Sendable, Hashable, CaseIterable {
        /// The key is gone or revoked.
        case unauthorized
        case expired
        /// The key may not ask this model.
        case model
        case concurrency
        case requestRate = "requests_per_minute"
        case tokenRate = "tokens_per_minute"
        case dayBudget = "day_budget"
        case monthBudget = "month_budget"
    }

    public let kind: Kind
    /// The limit that was met: requests, tokens, or nano-dollars.
    public let limit: Int64?
    /// What is used or reserved of it.
    public let used: Int64?
    /// What the request would have added.
    public let requested: Int64?
    /// Whole seconds after which the same request may be taken; nil: it will not be, so that retrying is useless (a
    /// budget, or more tokens than a minute has).
    public let retryAfter: Int?
    public let message: String

    public var isBudget: Bool { kind == .dayBudget || kind == .monthBudget }

    /// The HTTP status that fits: 401, 403 or 429.
    public var suggestedStatus: Int {
        switch kind {
        case .unauthorized, .expired: 401
        case .model: 403
        case .concurrency, .requestRate, .tokenRate, .dayBudget, .monthBudget: 429
        }
    }

    init(
        _ kind: Kind, limit: Int64? = nil, used: Int64? = nil, requested: Int64? = nil, retryAfter: Int? = nil,
        _ message: String
    ) {
        self.kind = kind
        self.limit = limit
        self.used = used
        self.requested = requested
        self.retryAfter = retryAfter
        self.message = message
    }
}

extension Refusal: CustomStringConvertible {
    public var description: String { message }
}
