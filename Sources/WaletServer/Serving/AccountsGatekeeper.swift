import Foundation
import Logging
import Synchronization
import Walet
import WaletAccounts

/// The keys, limits and charges of ``Accounts``, as the server asks for them.
public final class AccountsGatekeeper: Gatekeeper {
    private struct State {
        /// Those who were let in, by key: what reserves needs more than a ``Principal`` holds.
        var principals: [String: WaletAccounts.Principal] = [:]
        var open: (principal: WaletAccounts.Principal, until: ContinuousClock.Instant)?
        /// Keys do not disappear, so that yes is for ever, and no for a moment.
        var hasKeys = false
        var noKeysUntil = ContinuousClock.now
    }

    /// What another process changes counts after so long, as it does for keys.
    private static let memory = Duration.seconds(1)
    /// The key of callers without one is no key that anybody made.
    private static let openKeyID = "wk_open"

    private let accounts: Accounts
    private let logger: Logger
    private let state = Mutex(State())

    public init(_ accounts: Accounts, logger: Logger) {
        self.accounts = accounts
        self.logger = logger
    }

    public func hasKeys() async throws -> Bool {
        let known: Bool? = state.withLock { state in
            state.hasKeys ? true : ContinuousClock.now < state.noKeysUntil ? false : nil
        }
        if let known { return known }
        let found = try await translating { try await accounts.keys(includingRevoked: true) }
            .contains { $0.id != Self.openKeyID }
        state.withLock { state in
            state.hasKeys = found
            state.noKeysUntil = .now + Self.memory
        }
        return found
    }

    public func principal(forKey secret: String) async throws -> Principal? {
        guard let principal = try await translating({ try await accounts.authenticate(secret) }) else { return nil }
        return remember(principal)
    }

    public func openPrincipal() async throws -> Principal {
        let known = state.withLock { state in
            state.open.flatMap { ContinuousClock.now < $0.until ? $0.principal : nil }
        }
        if let known { return remember(known) }
        let principal = try await translating { try await accounts.openPrincipal() }
        state.withLock { $0.open = (principal, .now + Self.memory) }
        return remember(principal)
    }

    private func remember(_ principal: WaletAccounts.Principal) -> Principal {
        state.withLock { $0.principals[principal.id] = principal }
        let key = principal.key
        return Principal(
            keyID: key.id, name: key.name, tenant: key.tenant, models: key.models.map { Set($0) },
            priority: key.priority, isOperator: key.role >= .operator)
    }

    public func reserve(_ claim: Claim, for principal: Principal) async throws -> Reservation {
        guard let known = state.withLock({ $0.principals[principal.keyID] }) else {
            throw APIError(.authentication, "Incorrect API key provided", code: "invalid_api_key")
        }
        let reservation = try await translating {
            try await accounts.reserve(
                known, model: claim.model, endpoint: claim.endpoint, promptTokens: claim.promptTokens,
                maximumOutputTokens: claim.maximumTokens, requestID: claim.requestID,
                promptIsEstimate: claim.isEstimate)
        }
        return Reservation(claim: claim, limits: RateLimits(reservation.standing), token: reservation)
    }

    public func settle(_ reservation: Reservation, _ usage: UsageReport, _ outcome: Outcome) async throws {
        guard let token = reservation.token as? WaletAccounts.Reservation else { return }
        var counts = TokenCounts(
            prompt: usage.promptTokens, cached: usage.cachedTokens, output: usage.answerTokens,
            reasoning: usage.thinkingTokens)
        if outcome == .completed, !reservation.claim.isEstimate, counts.prompt != reservation.claim.promptTokens {
            logger.error(
                "the model counts another prompt than was reserved; what was reserved is charged",
                metadata: [
                    "reserved": .stringConvertible(reservation.claim.promptTokens),
                    "counted": .stringConvertible(counts.prompt),
                ])
            let prompt = reservation.claim.promptTokens
            counts = TokenCounts(
                prompt: prompt, cached: min(counts.cached, prompt), output: counts.output, reasoning: counts.reasoning)
        }
        let timings = Timings(
            queue: .seconds(usage.queueSeconds), prefill: .seconds(usage.prefillSeconds),
            decode: .seconds(usage.decodeSeconds))
        do {
            try await accounts.settle(token, counts, outcome: outcome.accounts, timings: timings)
        } catch AccountsError.alreadySettled {
            // A repetition of one whose confirmation was lost.
        } catch let error as AccountsError {
            if case .database = error { throw error }
            // Repeating it would change nothing.
            throw APIError(.server, error.description, code: "charge_failed")
        }
    }

    public func price(of model: String) async -> ModelPrice? {
        let price = accounts.price(of: model)
        return ModelPrice(
            input: Self.perMillion(price.fresh), cachedInput: Self.perMillion(price.cached),
            output: Self.perMillion(price.output))
    }

    /// - Parameter price: as ``Price`` has it, for a million tokens.
    private static func perMillion(_ price: Money) -> String { price.description }

    public func spending(days: Int) async throws -> Spending {
        try await translating {
            let now = Date.now
            let last = UTCDay(now)
            let first = UTCDay(last.start.addingTimeInterval(-86400 * Double(max(1, days) - 1)))
            var texts: [String] = []
            var day = first
            while day <= last {
                texts.append(day.description)
                day = day.next
            }
            var rows: [String: [Spending.Day]] = [:]
            for row in try await accounts.usage(UsageQuery(by: [.key, .day], from: first.start)).rows {
                rows[row.group[0], default: []].append(
                    Spending.Day(
                        day: row.group[1], requests: row.requests, fresh: row.tokens.fresh, cached: row.tokens.cached,
                        output: row.tokens.output, cost: row.cost.description))
            }
            let keys = try await accounts.statuses(includingRevoked: true).map { status in
                Self.key(status, rows[status.key.id] ?? [], now)
            }
            return Spending(days: texts, keys: keys)
        }
    }

    private static func key(_ status: KeyStatus, _ days: [Spending.Day], _ now: Date) -> Spending.Key {
        let key = status.key
        func sum(_ money: Money) -> String {
            Money(nanodollars: money.nanodollars &+ status.reserved.nanodollars).description
        }
        var result = Spending.Key(
            id: key.id, name: key.name, tenant: key.tenant,
            state: key.isRevoked ? "revoked" : key.isExpired(at: now) ? "expired" : "active",
            spentToday: sum(status.spentToday), spentThisMonth: sum(status.spentThisMonth), running: status.running)
        result.requestsPerMinute = key.limits.requestsPerMinute
        result.tokensPerMinute = key.limits.tokensPerMinute
        result.concurrency = key.limits.concurrency
        result.dayBudget = key.limits.dayBudget?.description
        result.monthBudget = key.limits.monthBudget?.description
        result.days = days.sorted { $0.day < $1.day }
        return result
    }

    /// Runs something of the accounts; a refusal becomes what the client sees, and trouble with the database a 503.
    private func translating<Value>(_ body: () async throws -> Value) async throws -> Value {
        do {
            return try await body()
        } catch let refusal as WaletAccounts.Refusal {
            throw refusal.apiError
        } catch let error as AccountsError {
            logger.error("the accounts do not answer", metadata: ["error": .string("\(error)")])
            throw APIError(
                .overloaded, "The server's accounts do not answer", code: "accounts_unavailable", retryAfter: 5)
        }
    }
}

extension RateLimits {
    /// Nil where the key has no limits per minute.
    fileprivate init?(_ standing: Standing) {
        if standing.requests == nil, standing.tokens == nil { return nil }
        func limit(_ rate: Standing.Rate?) -> Limit? {
            rate.map { Limit(limit: $0.limit, remaining: $0.remaining, reset: Double($0.resetAfter)) }
        }
        self.init(requests: limit(standing.requests), tokens: limit(standing.tokens))
    }
}

extension Outcome {
    fileprivate var accounts: WaletAccounts.Outcome {
        switch self {
        case .completed: .completed
        case .cancelled: .cancelled
        case .disconnected: .disconnected
        case .failed(let code): .failed(code)
        }
    }
}

extension WaletAccounts.Refusal: APIErrorConvertible {
    public var apiError: APIError {
        switch kind {
        case .unauthorized, .expired:
            APIError(.authentication, "Incorrect API key provided", code: "invalid_api_key")
        case .model:
            APIError(
                .notFound, "The model does not exist or you do not have access to it", parameter: "model",
                code: "model_not_found")
        case .concurrency:
            APIError(.rateLimit, message, code: "concurrency_limit_exceeded", retryAfter: retryAfter ?? 1)
        case .requestRate, .tokenRate:
            APIError(.rateLimit, message, code: "rate_limit_exceeded", retryAfter: retryAfter)
        case .dayBudget, .monthBudget: APIError(.budget, message, code: "insufficient_quota")
        }
    }
}
