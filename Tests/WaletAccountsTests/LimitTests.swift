import Foundation
import Testing
import WaletAccounts

/// The limits of keys, over both stores.
@Suite struct LimitTests {
    @Test(arguments: StoreKind.available)
    func aKeyAsksOnlyTheModelsThatItMay(kind: StoreKind) async throws {
        let accounts = try await TestDatabase(kind).open()
        let principal = try await accounts.makePrincipal(KeySpecification(name: "a", models: ["m", "n"]))
        #expect(try await accounts.refusal(principal, "r1", model: "m") == nil)
        #expect(try await accounts.refusal(principal, "r2", model: "n") == nil)
        let refusal = try #require(try await accounts.refusal(principal, "r3", model: "m2"))
        #expect(refusal.kind == .model && refusal.suggestedStatus == 403 && refusal.retryAfter == nil)
        #expect(refusal.message == "This key may not use the model 'm2'.")
        // Limits are those of now, not of when the key was authenticated.
        try await accounts.update(principal.id) { $0.models = ["m2"] }
        #expect(try await accounts.refusal(principal, "r4", model: "m2") == nil)
        #expect(try await accounts.refusal(principal, "r5", model: "m")?.kind == .model)
        await accounts.close()
    }

    @Test(arguments: StoreKind.available)
    func aKeyRunsOnlySoManyRequestsAtOnce(kind: StoreKind) async throws {
        let accounts = try await TestDatabase(kind).open()
        let principal = try await accounts.makePrincipal(Limits(concurrency: 2))
        let first = try await accounts.reserve(principal, "r1")
        _ = try await accounts.reserve(principal, "r2")
        let refusal = try #require(try await accounts.refusal(principal, "r3"))
        #expect(refusal.kind == .concurrency && refusal.limit == 2 && refusal.used == 2 && refusal.retryAfter == 1)
        #expect(refusal.suggestedStatus == 429 && !refusal.isBudget)
        try await accounts.settle(first, .none, outcome: .cancelled)
        #expect(try await accounts.refusal(principal, "r3") == nil)
        #expect(try await accounts.refusal(principal, "r4")?.kind == .concurrency)
        #expect(try await accounts.inFlight().map(\.requestID).sorted() == ["r2", "r3"])
        await accounts.close()
    }

    @Test(arguments: StoreKind.available)
    func aKeyBeginsOnlySoManyRequestsInAnySixtySeconds(kind: StoreKind) async throws {
        let clock = TestClock()
        let accounts = try await TestDatabase(kind).open(clock: clock)
        let principal = try await accounts.makePrincipal(Limits(requestsPerMinute: 2))
        let first = try await accounts.reserve(principal, "r1")
        #expect(first.standing.requests == Standing.Rate(limit: 2, remaining: 1, resetAfter: 61))
        clock.advance(30)
        #expect(try await accounts.refusal(principal, "r2") == nil)
        let refusal = try #require(try await accounts.refusal(principal, "r3"))
        #expect(refusal.kind == .requestRate && refusal.limit == 2 && refusal.used == 2 && refusal.retryAfter == 31)
        // Settling does not give a request back: it has begun.
        try await accounts.settle(first, .none, outcome: .cancelled)
        clock.advance(30)
        #expect(try await accounts.refusal(principal, "r3")?.retryAfter == 1)
        clock.advance(1)
        #expect(try await accounts.refusal(principal, "r3") == nil)
        #expect(try await accounts.refusal(principal, "r4")?.kind == .requestRate)
        await accounts.close()
    }

    @Test(arguments: StoreKind.available)
    func tokensPerMinuteCountTheWorstFirstAndThenWhatWasUsed(kind: StoreKind) async throws {
        let clock = TestClock()
        let accounts = try await TestDatabase(kind).open(clock: clock)
        let principal = try await accounts.makePrincipal(Limits(tokensPerMinute: 2000))
        let first = try await accounts.reserve(principal, "r1", prompt: 1000, output: 1000)
        #expect(first.standing.tokens == Standing.Rate(limit: 2000, remaining: 0, resetAfter: 61))
        #expect(try await accounts.refusal(principal, "r2", prompt: 1, output: 0)?.kind == .tokenRate)
        // Cached tokens count like all others.
        try await accounts.settle(first, TokenCounts(prompt: 1000, cached: 900, output: 100), outcome: .completed)
        #expect(try await accounts.refusal(principal, "r3", prompt: 800, output: 101)?.kind == .tokenRate)
        #expect(try await accounts.refusal(principal, "r4", prompt: 800, output: 100) == nil)
        clock.advance(61)
        #expect(try await accounts.refusal(principal, "r5", prompt: 2000, output: 0) == nil)
        let never = try #require(try await accounts.refusal(principal, "r6", prompt: 2000, output: 1))
        #expect(never.kind == .tokenRate && never.retryAfter == nil)
        await accounts.close()
    }

    @Test(arguments: StoreKind.available)
    func aDaysBudgetHoldsTheWorstAndEndsWithTheDay(kind: StoreKind) async throws {
        let clock = TestClock("2026-11-25T23:59:00Z")
        let accounts = try await TestDatabase(kind).open(clock: clock)
        // A request holds 1000 * 0.56 + 100 * 2.24 per million: 0.000784.
        let principal = try await accounts.makePrincipal(Limits(dayBudget: Money("0.0015")))
        let first = try await accounts.reserve(principal, "r1")
        #expect(first.worstCase == Money("0.000784"))
        let refusal = try #require(try await accounts.refusal(principal, "r2"))
        #expect(refusal.kind == .dayBudget && refusal.isBudget && refusal.retryAfter == nil)
        #expect(refusal.limit == 1_500_000 && refusal.used == 784_000 && refusal.requested == 784_000)
        #expect(
            refusal.message
                == "This key's budget is 0.0015 USD a day: 0.000784 USD are spent or reserved, this request may cost 0.000784 USD."
        )
        // What was not used is free again.
        try await accounts.settle(first, TokenCounts(prompt: 1000, cached: 1000, output: 10), outcome: .completed)
        let second = try await accounts.reserve(principal, "r3")
        #expect(try await accounts.refusal(principal, "r4")?.kind == .dayBudget)
        // Settled after midnight: the cost belongs to the day before.
        clock.set("2026-11-26T00:00:00Z")
        try await accounts.settle(second, TokenCounts(prompt: 1000, cached: 0, output: 100), outcome: .completed)
        let status = try await accounts.status(of: principal.id)
        #expect(status.spentToday == .zero && status.spentThisMonth == Money("0.0009464") && status.reserved == .zero)
        #expect(try await accounts.refusal(principal, "r5") == nil)
        #expect(try await accounts.refusal(principal, "r6")?.kind == .dayBudget)
        #expect(try await accounts.verifyLedger().mistakes == [])
        await accounts.close()
    }

    @Test(arguments: StoreKind.available)
    func aMonthsBudgetSumsItsDaysAndEndsWithTheMonth(kind: StoreKind) async throws {
        let clock = TestClock("2026-11-01T00:00:00Z")
        let accounts = try await TestDatabase(kind).open(clock: clock)
        let principal = try await accounts.makePrincipal(Limits(monthBudget: Money("0.0016")))
        for (index, day) in ["2026-11-01T00:00:00Z", "2026-11-30T23:59:59Z"].enumerated() {
            clock.set(day)
            let reservation = try await accounts.reserve(principal, "r\(index)")
            try await accounts.settle(
                reservation, TokenCounts(prompt: 1000, cached: 0, output: 100), outcome: .completed)
        }
        let refusal = try #require(try await accounts.refusal(principal, "x"))
        #expect(refusal.kind == .monthBudget && refusal.used == 1_568_000 && refusal.retryAfter == nil)
        clock.set("2026-12-01T00:00:00Z")
        #expect(try await accounts.refusal(principal, "y") == nil)
        await accounts.close()
    }

    @Test(arguments: StoreKind.available)
    func aBudgetCanBeUsedToTheLastNanodollar(kind: StoreKind) async throws {
        let accounts = try await TestDatabase(kind).open()
        let principal = try await accounts.makePrincipal(Limits(dayBudget: Money("0.001568")))
        #expect(try await accounts.refusal(principal, "r1") == nil)
        #expect(try await accounts.refusal(principal, "r2") == nil)
        #expect(try await accounts.refusal(principal, "r3", prompt: 0, output: 0) == nil)
        #expect(try await accounts.refusal(principal, "r4", prompt: 1, output: 0)?.kind == .dayBudget)
        await accounts.close()
    }

    @Test(arguments: StoreKind.available)
    func keysDoNotUseEachOthersLimits(kind: StoreKind) async throws {
        let accounts = try await TestDatabase(kind).open()
        let limits = Limits(
            requestsPerMinute: 1, tokensPerMinute: 1100, concurrency: 1, dayBudget: Money("0.000784"),
            monthBudget: Money("0.000784"))
        let (first, second) = (try await accounts.makePrincipal(limits), try await accounts.makePrincipal(limits))
        #expect(try await accounts.refusal(first, "r1") == nil)
        #expect(try await accounts.refusal(first, "r2") != nil)
        #expect(try await accounts.refusal(second, "r3") == nil)
        await accounts.close()
    }

    @Test(arguments: StoreKind.available)
    func aClockThatGoesBackNeitherOpensTheLimitsNorShutsAKeyOut(kind: StoreKind) async throws {
        let clock = TestClock()
        let accounts = try await TestDatabase(kind).open(clock: clock)
        let principal = try await accounts.makePrincipal(Limits(requestsPerMinute: 1))
        let first = try await accounts.reserve(principal, "r1")
        // A little, as clocks of several servers differ: what was counted still counts.
        clock.advance(-30)
        #expect(try await accounts.refusal(principal, "r2")?.kind == .requestRate)
        // Hours: what was counted then does not keep the key out until the clock is there again.
        clock.advance(-7200)
        #expect(try await accounts.refusal(principal, "r2") == nil)
        #expect(try await accounts.refusal(principal, "r3")?.kind == .requestRate)
        // A request may end before it began.
        let charge = try await accounts.settle(
            first, TokenCounts(prompt: 1000, cached: 0, output: 1), outcome: .completed)
        #expect(charge.cost == Money("0.00056224"))
        #expect(try await accounts.verifyLedger().mistakes == [])
        await accounts.close()
    }

    @Test(arguments: StoreKind.available)
    func aClockThatGoesBackADayDoesNotRefillTheMonth(kind: StoreKind) async throws {
        let clock = TestClock("2026-11-25T00:10:00Z")
        let accounts = try await TestDatabase(kind).open(clock: clock)
        let principal = try await accounts.makePrincipal(Limits(monthBudget: Money("0.001")))
        #expect(try await accounts.refusal(principal, "r1") == nil)
        clock.set("2026-11-24T23:50:00Z")
        #expect(try await accounts.refusal(principal, "r2")?.kind == .monthBudget)
        await accounts.close()
    }

    /// The attack that a budget which is checked afterwards lets through.
    @Test(arguments: StoreKind.available)
    func ofSixtyFourRequestsAtOnceABudgetForSixtyThreeLetsSixtyThreeThrough(kind: StoreKind) async throws {
        let database = try TestDatabase(kind)
        // Over two connections, as two servers have them.
        let servers = [try await database.open(), try await database.open()]
        let principal = try await servers[0].makePrincipal(
            Limits(dayBudget: Money(nanodollars: 63 * 784_000 + 783_999)))
        let refusals = try await withThrowingTaskGroup(of: Refusal?.self) { group in
            for index in 0..<64 {
                group.addTask { try await servers[index % 2].refusal(principal, "r\(index)") }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(refusals.filter { $0 == nil }.count == 63)
        #expect(refusals.compactMap(\.?.kind) == [.dayBudget])
        #expect(try await servers[1].status(of: principal.id).reserved == Money(nanodollars: 63 * 784_000))
        #expect(try await servers[0].verifyLedger().mistakes == [])
        for server in servers { await server.close() }
    }

    @Test(arguments: StoreKind.available)
    func aBudgetHoldsOverProcessesThatRace(kind: StoreKind) async throws {
        let database = try TestDatabase(kind)
        let accounts = try await database.open()
        let (key, secret) = try await accounts.createKey(
            KeySpecification(name: "a", limits: Limits(dayBudget: Money(nanodollars: 63 * 784_000))))
        let workers = try (0..<2).map { _ in try Worker("race", database.text, secret, "40") }
        let granted = try workers.map { worker in
            let line = try #require(worker.nextLine())
            return try #require(Int(line.dropFirst("granted ".count)))
        }
        #expect(granted.reduce(0, +) == 63)
        #expect(try await accounts.inFlight().count == 63)
        #expect(try await accounts.status(of: key.id).reserved == Money(nanodollars: 63 * 784_000))
        for worker in workers { worker.end() }
        // Both ended properly: what they had not settled is unsettled and free.
        #expect(try await accounts.inFlight().isEmpty)
        let verification = try await accounts.verifyLedger()
        #expect(verification.mistakes == [] && verification.unsettled == 63 && verification.cost == .zero)
        await accounts.close()
    }
}
