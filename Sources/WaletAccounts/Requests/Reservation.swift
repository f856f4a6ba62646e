// A request's money: what is held for it, what it used, what it is charged.

import Foundation

/// A request that has been let in, and the worst that it can cost.
public struct Reservation: Sendable, Hashable {
    public let requestID: String
    public let keyID: String
    public let tenant: String
    public let model: String
    public let endpoint: String
    public let promptTokens: Int
    /// `promptTokens` is a guess.
    public let promptIsEstimate: Bool
    public let maximumOutputTokens: Int
    /// What is held: the whole prompt uncached and the longest output.
    public let worstCase: Money
    /// Stays the request's price, whatever happens to the price list.
    public let price: Price
    /// Which stored price that is.
    public let priceVersion: Int
    public let createdAt: Date
    /// What the key has left of its limits, with this request let in.
    public let standing: Standing
}

/// What is left of a key's limits per minute; nil where there is no such limit.
public struct Standing: Sendable, Hashable {
    public struct Rate: Sendable, Hashable {
        public let limit: Int
        public let remaining: Int
        /// Whole seconds until all of it is free again.
        public let resetAfter: Int

        package init(limit: Int, remaining: Int, resetAfter: Int) {
            self.limit = limit
            self.remaining = remaining
            self.resetAfter = resetAfter
        }
    }

    public let requests: Rate?
    public let tokens: Rate?

    package static let unlimited = Standing(requests: nil, tokens: nil)
}

/// How a request ended.
public enum Outcome: Sendable, Hashable {
    case completed
    /// By the server or its operator.
    case cancelled
    /// The client left.
    case disconnected
    /// With what went wrong, of which the ledger keeps one line of at most 200 characters.
    case failed(String)
    /// Its server died before it ended. Read from the ledger only.
    case unsettled

    /// The word in the ledger.
    public var name: String {
        switch self {
        case .completed: "completed"
        case .cancelled: "cancelled"
        case .disconnected: "disconnected"
        case .failed: "failed"
        case .unsettled: "unsettled"
        }
    }

    /// The error of a failure.
    public var detail: String? {
        if case .failed(let error) = self { error } else { nil }
    }

    package init?(name: String, detail: String?) {
        switch name {
        case "completed": self = .completed
        case "cancelled": self = .cancelled
        case "disconnected": self = .disconnected
        case "failed": self = .failed(detail ?? "")
        case "unsettled": self = .unsettled
        default: return nil
        }
    }
}

/// How long the parts of a request took.
public struct Timings: Sendable, Hashable {
    public var queue: Duration
    public var prefill: Duration
    public var decode: Duration

    public init(queue: Duration = .zero, prefill: Duration = .zero, decode: Duration = .zero) {
        self.queue = queue
        self.prefill = prefill
        self.decode = decode
    }
}

extension Duration {
    /// Whole microseconds from 0 to a million days; a duration outside is taken to the nearest.
    var microseconds: Int64 {
        let (seconds, attoseconds) = components
        return if seconds < 0 || attoseconds < 0 {
            0
        } else if seconds > 86_400_000_000 {
            86_400_000_000_000_000
        } else {
            seconds * 1_000_000 + attoseconds / 1_000_000_000_000
        }
    }
}

/// What a request was charged.
public struct Charge: Sendable, Hashable {
    public let requestID: String
    public let cost: Money
    public let counts: TokenCounts
    public let price: Price
    public let priceVersion: Int
    /// It cost more than what was held for it, since its prompt was only estimated or its output was longer than announced.
    public let exceededReservation: Bool
}
