import Foundation
import Testing
import WaletAccounts

/// What is charged, exactly once.
@Suite struct SettleTests {
    @Test(arguments: StoreKind.available)
    func aRequestIsChargedWhatItUsedAndTheLedgerSaysWhatFor(kind: StoreKind) async throws {
        let clock = TestClock()
        let accounts = try await TestDatabase(kind).open(clock: clock)
        let principal = try await accounts.makePrincipal(KeySpecification(name: "a", tenant: "hr"))
        let reservation = try await accounts.reserve(
            principal, model: "kimi-k2", endpoint: "chat.completions", promptTokens: 1200, maximumOutputTokens: 500,
            requestID: "req_1")
        #expect(reservation.worstCase == Money("0.001792") && reservation.price == .standard)
        #expect(reservation.tenant == "hr" && reservation.keyID == principal.id && reservation.standing == .unlimited)
        #expect(try await accounts.inFlight() == [reservation])
        clock.advance(2.5)
        let counts = TokenCounts(prompt: 1200, cached: 1024, output: 93, reasoning: 60)
        let timings = Timings(queue: .milliseconds(5), prefill: .seconds(1), decode: .microseconds(1_234_567))
        let charge = try await accounts.settle(reservation, counts, outcome: .completed, timings: timings)
        // 176 * 0.56 + 1024 * 0.14 + 93 * 2.24 per million.
        #expect(charge.cost == Money("0.00045024") && charge.counts == counts && !charge.exceededReservation)
        #expect(try await accounts.inFlight().isEmpty)
        let rows = try await accounts.ledger()
        let row = try #require(rows.first)
        #expect(rows.count == 1 && row.requestID == "req_1" && row.keyID == principal.id && row.tenant == "hr")
        #expect(row.model == "kimi-k2" && row.endpoint == "chat.completions" && row.counts == counts)
        #expect(row.price == .standard && row.priceVersion == charge.priceVersion && row.reserved == Money("0.001792"))
        #expect(row.cost == charge.cost && row.outcome == .completed && row.timings == timings)
        #expect(UTCTime.text(row.startedAt) == "2026-11-25T12:00:00Z")
        #expect(row.settledAt.timeIntervalSince(row.startedAt) == 2.5)
        await accounts.close()
    }

    @Test(arguments: StoreKind.available)
    func aSecondSettlementIsAnErrorAndChargesNothing(kind: StoreKind) async throws {
        let accounts = try await TestDatabase(kind).open()
        let principal = try await accounts.makePrincipal()
        let reservation = try await accounts.reserve(principal, "r1")
        let counts = TokenCounts(prompt: 1000, cached: 0, output: 100)
        try await accounts.settle(reservation, counts, outcome: .completed)
        #expect(
            await accountsError { try await accounts.settle(reservation, counts, outcome: .completed) }
                == .alreadySettled("r1"))
        #expect(
            await accountsError { try await accounts.settle(reservation, .none, outcome: .cancelled) }
                == .alreadySettled("r1"))
        // Also where many try at the same moment.
        let other = try await accounts.reserve(principal, "r2")
        let settled = await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<32 {
                group.addTask { (try? await accounts.settle(other, counts, outcome: .completed)) != nil }
            }
            return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(settled == 1)
        #expect(try await accounts.status(of: principal.id).spentToday == Money("0.001568"))
        #expect(try await accounts.ledger().count == 2)
        await accounts.close()
    }

    @Test(arguments: StoreKind.available)
    func aRequestsIdIsUsedOnce(kind: StoreKind) async throws {
        let accounts = try await TestDatabase(kind).open()
        let principal = try await accounts.makePrincipal()
        let reservation = try await accounts.reserve(principal, "r1")
        #expect(await accountsError { _ = try await accounts.reserve(principal, "r1") } == .duplicateRequest("r1"))
        try await accounts.settle(reservation, .none, outcome: .cancelled)
        #expect(await accountsError { _ = try await accounts.reserve(principal, "r1") } == .duplicateRequest("r1"))
        // Of many at the same moment, one.
        let granted = await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<32 { group.addTask { (try? await accounts.reserve(principal, "r2")) != nil } }
            return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(granted == 1)
        #expect(try await accounts.verifyLedger().mistakes == [])
        await accounts.close()
    }

    @Test(arguments: StoreKind.available)
    func anOperationThatIsTriedAgainAfterALostAnswerFindsItsOwnWork(kind: StoreKind) async throws {
        let accounts = try await TestDatabase(kind).open()
        let principal = try await accounts.makePrincipal()
        let first = try await accounts.reserve(principal, "r0")
        let reserve = ReserveOperation(
            keyID: principal.id, requestID: "r1", model: "m", endpoint: "e", promptTokens: 1000,
            promptIsEstimate: false, maximumOutputTokens: 100, price: .standard, priceID: Int64(first.priceVersion),
            cost: Money("0.000784"), instance: accounts.life.id, nonce: 42)
        let reservation = try await accounts.queue.reserve(reserve)
        #expect(try await accounts.queue.reserve(reserve).requestID == reservation.requestID)
        let settle = SettleOperation(
            requestID: "r1", keyID: principal.id, counts: TokenCounts(prompt: 1000, cached: 10, output: 1),
            outcome: .completed, timings: Timings(), nonce: 43)
        let charge = try await accounts.queue.settle(settle)
        #expect(try await accounts.queue.settle(settle) == charge)
        let verification = try await accounts.verifyLedger()
        #expect(verification.mistakes == [] && verification.rows == 1 && verification.reservations == 1)
        await accounts.close()
    }

    @Test(arguments: StoreKind.available)
    func whatDoesNotAddUpIsAnErrorAndTheReservationStays(kind: StoreKind) async throws {
        let accounts = try await TestDatabase(kind).open()
        let principal = try await accounts.makePrincipal()
        let reservation = try await accounts.reserve(principal, "r1")
        for counts in [
            TokenCounts(prompt: 999, cached: 0, output: 1), TokenCounts(prompt: 1001, cached: 0, output: 1),
            TokenCounts(prompt: 1000, fresh: 1000, cached: 1, output: 1, reasoning: 0),
            TokenCounts(prompt: 1000, cached: 1001, output: 1), TokenCounts(prompt: 1000, cached: -1, output: 1),
            TokenCounts(prompt: 1000, cached: 0, output: -5), TokenCounts(prompt: 1000, cached: 0, output: .max),
            TokenCounts(prompt: 1000, cached: 0, output: 5, reasoning: 6),
        ] {
            #expect(await accountsError { try await accounts.settle(reservation, counts, outcome: .completed) } != nil)
        }
        #expect(await accountsError { try await accounts.settle(reservation, .none, outcome: .unsettled) } != nil)
        #expect(try await accounts.inFlight() == [reservation])
        #expect(try await accounts.ledger().isEmpty)
        // One that did not complete may have done a part of its prompt.
        let charge = try await accounts.settle(
            reservation, TokenCounts(prompt: 512, cached: 256, output: 0), outcome: .disconnected)
        #expect(charge.cost == Money("0.0001792"))
        await accounts.close()
    }

    @Test(arguments: StoreKind.available)
    func moreThanWasReservedIsChargedAndSaid(kind: StoreKind) async throws {
        let accounts = try await TestDatabase(kind).open()
        let principal = try await accounts.makePrincipal()
        let reservation = try await accounts.reserve(
            principal, model: "upstream", endpoint: "chat.completions", promptTokens: 100, maximumOutputTokens: 10,
            requestID: "r1", promptIsEstimate: true)
        let charge = try await accounts.settle(
            reservation, TokenCounts(prompt: 130, cached: 0, output: 10), outcome: .completed)
        #expect(charge.cost == Money("0.0000952") && charge.exceededReservation)
        #expect(try await accounts.status(of: principal.id).spentToday == charge.cost)
        #expect(try await accounts.verifyLedger().mistakes == [])
        await accounts.close()
    }

    @Test(arguments: StoreKind.available)
    func aReservationThatNobodyMadeIsAnError(kind: StoreKind) async throws {
        let (one, other) = (try await TestDatabase(kind).open(), try await TestDatabase(kind).open())
        let reservation = try await one.reserve(try await one.makePrincipal(), "r1")
        #expect(
            await accountsError { try await other.settle(reservation, .none, outcome: .cancelled) }
                == .unknownReservation("r1"))
        await one.close()
        await other.close()
    }

    @Test(arguments: StoreKind.available)
    func aRunningRequestKeepsThePriceAtWhichItWasReserved(kind: StoreKind) async throws {
        let database = try TestDatabase(kind)
        let accounts = try await database.open()
        let principal = try await accounts.makePrincipal()
        let counts = TokenCounts(prompt: 1000, cached: 0, output: 100)
        let before = try await accounts.reserve(principal, "r1")
        let dear = try PriceList(
            fallback: .standard, models: ["m": Price(fresh: Money("10"), cached: Money("1"), output: Money("20"))])
        try await accounts.setPrices(dear)
        #expect(
            accounts.prices == dear && accounts.price(of: "m").fresh == Money("10")
                && accounts.price(of: "x") == .standard)
        let after = try await accounts.reserve(principal, "r2")
        let (old, new) = (
            try await accounts.settle(before, counts, outcome: .completed),
            try await accounts.settle(after, counts, outcome: .completed)
        )
        #expect(old.cost == Money("0.000784") && new.cost == Money("0.012") && old.priceVersion != new.priceVersion)
        // The old price again is the old version again, also after a restart.
        try await accounts.setPrices(.standard)
        let again = try await accounts.settle(try await accounts.reserve(principal, "r3"), counts, outcome: .completed)
        #expect(again.priceVersion == old.priceVersion)
        await accounts.close()
        let reopened = try await database.open(prices: dear)
        let last = try await reopened.settle(try await reopened.reserve(principal, "r4"), counts, outcome: .completed)
        #expect(last.priceVersion == new.priceVersion)
        let verification = try await reopened.verifyLedger()
        #expect(verification.mistakes == [] && verification.cost == Money("0.025568") && verification.rows == 4)
        await reopened.close()
    }

    @Test(arguments: StoreKind.available)
    func outcomesAndTheirErrorsAreKeptAsOneLine(kind: StoreKind) async throws {
        let accounts = try await TestDatabase(kind).open()
        let principal = try await accounts.makePrincipal()
        let outcomes: [Outcome] = [
            .completed, .cancelled, .disconnected, .failed("disk\nfull\0\u{1B}[31m"),
            .failed(String(repeating: "é", count: 5000)),
            .failed("'; DROP TABLE walet_ledger; --"), .failed(""),
        ]
        for (index, outcome) in outcomes.enumerated() {
            let reservation = try await accounts.reserve(principal, "r\(index)", prompt: 1, output: 0)
            try await accounts.settle(reservation, TokenCounts(prompt: 1, cached: 1, output: 0), outcome: outcome)
        }
        #expect(
            try await accounts.ledger().map(\.outcome) == [
                .completed, .cancelled, .disconnected, .failed("disk full  [31m"),
                .failed(String(repeating: "é", count: 200)), .failed("'; DROP TABLE walet_ledger; --"), .failed(""),
            ])
        #expect(try await accounts.ledger(LedgerQuery(outcome: .failed("any"))).count == 4)
        #expect(try await accounts.ledger(LedgerQuery(after: 0, limit: 2)).map(\.requestID) == ["r0", "r1"])
        await accounts.close()
    }

    @Test(arguments: StoreKind.available)
    func theLedgerCanOnlyGrow(kind: StoreKind) async throws {
        let accounts = try await TestDatabase(kind).open()
        let principal = try await accounts.makePrincipal()
        let reservation = try await accounts.reserve(principal, "r1")
        try await accounts.settle(reservation, TokenCounts(prompt: 1000, cached: 0, output: 0), outcome: .completed)
        let attacks = [
            "UPDATE walet_ledger SET cost = 0", "DELETE FROM walet_ledger", "UPDATE walet_price SET fresh = 0",
            "DELETE FROM walet_price",
        ]
        for attack in attacks + (kind == .postgres ? ["TRUNCATE walet_ledger"] : []) {
            let error = await accountsError { try await accounts.lanes.run(.write) { try $0.script(attack) } }
            #expect(error.map { "\($0)" }?.contains("append-only") == true, "\(attack)")
        }
        #expect(try await accounts.verifyLedger().cost == Money("0.00056"))
        await accounts.close()
    }

    @Test(arguments: StoreKind.available)
    func closedAccountsTakeNothingMore(kind: StoreKind) async throws {
        let database = try TestDatabase(kind)
        let accounts = try await database.open()
        let principal = try await accounts.makePrincipal()
        let reservation = try await accounts.reserve(principal, "r1")
        await accounts.close()
        #expect(await accountsError { _ = try await accounts.reserve(principal, "r2") } == .closed)
        #expect(await accountsError { try await accounts.settle(reservation, .none, outcome: .cancelled) } == .closed)
        #expect(await accountsError { _ = try await accounts.keys() } == .closed)
        let again = try await database.open()
        #expect(try await again.ledger().map(\.outcome) == [.unsettled])
        #expect(
            await accountsError { try await again.settle(reservation, .none, outcome: .cancelled) } == .abandoned("r1"))
        #expect(try await again.status(of: principal.id).reserved == .zero)
        await again.close()
    }
}
