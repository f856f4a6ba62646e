// Whether a request is let in: a value that knows a key's state and decides, without a database.

/// One key at one moment: what it may use and what it has used.
package struct KeyState {
    package let key: AccessKey
    package let today: UTCDay
    /// Spent and reserved nano-dollars by day, for the days of this month.
    package var committed: [Int: Int64] = [:]
    /// Reservations that are not settled.
    package var running = 0
    /// Requests and tokens by the second in which the requests began.
    package var window: [Int64: (requests: Int64, tokens: Int64)] = [:]

    /// A second's use counts until the second 61 later has begun: then the shortest span that holds more than the limit is
    /// longer than 60 seconds, wherever it begins.
    static let windowSeconds: Int64 = 61

    package init(key: AccessKey, today: UTCDay) {
        self.key = key
        self.today = today
    }

    package struct Demand {
        package let model: String
        package let tokens: Int64
        package let cost: Int64

        package init(model: String, tokens: Int64, cost: Int64) {
            self.model = model
            self.tokens = tokens
            self.cost = cost
        }
    }

    /// - Parameter now: microseconds since 1970.
    package func refusal(_ demand: Demand, at now: Int64) -> Refusal? {
        if key.isRevoked { return Refusal(.unauthorized, "This key is not valid.") }
        if let expiry = key.expiresAt, now >= expiry.microseconds {
            return Refusal(.expired, "This key expired on \(UTCTime.text(expiry)).")
        }
        guard key.allows(model: demand.model) else {
            return Refusal(.model, "This key may not use the model '\(AccountsError.excerpt(demand.model))'.")
        }
        if let limit = key.limits.concurrency, running >= limit {
            return Refusal(
                .concurrency, limit: Int64(limit), used: Int64(running), requested: 1, retryAfter: 1,
                "This key may run \(limit) requests at once, and \(running) are running.")
        }
        return rateRefusal(.requestRate, key.limits.requestsPerMinute, 1, \.requests, "requests", at: now)
            ?? rateRefusal(.tokenRate, key.limits.tokensPerMinute, demand.tokens, \.tokens, "tokens", at: now)
            ?? budgetRefusal(.dayBudget, key.limits.dayBudget, committed[today.number] ?? 0, demand.cost, "day")
            ?? budgetRefusal(
                .monthBudget, key.limits.monthBudget, committed.values.reduce(0, Self.saturatingSum), demand.cost,
                "month")
    }

    /// Counts a request that was let in.
    package mutating func take(_ demand: Demand, at now: Int64) {
        running += 1
        committed[today.number] = Self.saturatingSum(committed[today.number] ?? 0, demand.cost)
        if key.limits.isRateLimited {
            let second = Self.second(now)
            let (requests, tokens) = window[second] ?? (0, 0)
            window[second] = (Self.saturatingSum(requests, 1), Self.saturatingSum(tokens, demand.tokens))
        }
    }

    /// What is left of the limits per minute.
    package func standing(at now: Int64) -> Standing {
        func rate(_ limit: Int?, _ path: KeyPath<(requests: Int64, tokens: Int64), Int64>) -> Standing.Rate? {
            guard let limit else { return nil }
            let used = window.values.map { $0[keyPath: path] }.reduce(0, Self.saturatingSum)
            let last = window.keys.max() ?? Self.second(now)
            return Standing.Rate(
                limit: limit, remaining: Int(max(0, Int64(limit) - used)),
                resetAfter: used == 0 ? 0 : Int(last + Self.windowSeconds - Self.second(now)))
        }
        return Standing(
            requests: rate(key.limits.requestsPerMinute, \.requests), tokens: rate(key.limits.tokensPerMinute, \.tokens)
        )
    }

    package static func second(_ microseconds: Int64) -> Int64 { microseconds.floorDivided(by: 1_000_000) }

    /// The seconds whose use counts at a moment. Those a little ahead do too: the clock of another server may be.
    /// What is further ahead was counted before this machine's clock was set back, and must not shut a key out until then.
    package static func window(at now: Int64) -> ClosedRange<Int64> {
        let second = second(now)
        return second - windowSeconds + 1...second + windowSeconds - 1
    }

    private func rateRefusal(
        _ kind: Refusal.Kind, _ limit: Int?, _ requested: Int64,
        _ path: KeyPath<(requests: Int64, tokens: Int64), Int64>, _ what: String, at now: Int64
    ) -> Refusal? {
        guard let limit = limit.map(Int64.init) else { return nil }
        let used = window.values.map { $0[keyPath: path] }.reduce(0, Self.saturatingSum)
        let excess = Self.saturatingSum(used, requested).subtractingReportingOverflow(limit).partialValue
        guard excess > 0 else { return nil }
        guard requested <= limit else {
            return Refusal(
                kind, limit: limit, used: used, requested: requested,
                "This key has \(limit) \(what) a minute, and this request alone may need \(requested).")
        }
        // The oldest use leaves first: as long as it takes until enough of it has left.
        var freed: Int64 = 0
        var wait: Int64 = 1
        for (second, use) in window.sorted(by: { $0.key < $1.key }) {
            freed = Self.saturatingSum(freed, use[keyPath: path])
            wait = max(1, second + Self.windowSeconds - Self.second(now))
            if freed >= excess { break }
        }
        return Refusal(
            kind, limit: limit, used: used, requested: requested, retryAfter: Int(wait),
            "This key has \(limit) \(what) a minute: \(used) are used, this request needs \(requested). Try again in \(wait) s."
        )
    }

    private func budgetRefusal(
        _ kind: Refusal.Kind, _ budget: Money?, _ committed: Int64, _ cost: Int64, _ period: String
    ) -> Refusal? {
        guard let budget, Self.saturatingSum(committed, cost) > budget.nanodollars else { return nil }
        return Refusal(
            kind, limit: budget.nanodollars, used: committed, requested: cost,
            """
            This key's budget is \(budget) USD a \(period): \(Money(nanodollars: committed)) USD are spent or reserved, \
            this request may cost \(Money(nanodollars: cost)) USD.
            """)
    }

    /// What a database holds that somebody edited must not trap.
    static func saturatingSum(_ left: Int64, _ right: Int64) -> Int64 {
        let (sum, overflow) = left.addingReportingOverflow(right)
        return overflow ? .max : sum
    }
}
