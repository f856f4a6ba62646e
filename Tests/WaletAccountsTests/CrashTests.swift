import Foundation
import Testing
import WaletAccounts

/// What becomes of reservations whose server dies, and of everything else meanwhile.
@Suite struct CrashTests {
    /// The run: 2,000 requests of all kinds, a `kill -9` in the middle, and a ledger that equals what the clients
    /// received. What is expected is computed here, in Foundation's decimal arithmetic, from what the clients saw.
    @Test(arguments: StoreKind.available)
    func theReplayedLedgerOfTwoThousandRequestsEqualsWhatClientsReceived(kind: StoreKind) async throws {
        let database = try TestDatabase(kind)
        let fine = try Price(
            fresh: Money("0.123456789"), cached: Money("0.000000003"), output: Money("1.000000007"))
        let accounts = try await database.open(prices: PriceList(fallback: .standard, models: ["fine": fine]))
        let (key, secret) = try await accounts.createKey(KeySpecification(name: "a", tenant: "t"))
        let principal = try #require(try await accounts.authenticate(secret))

        // A server of its own, killed when it has come half way, while this one goes on.
        let worker = try Worker("load", database.text, secret, "1", "1200")
        async let own = Self.load(accounts, principal, seed: 2, count: 1400)
        var seen = Seen()
        let reader = Task.detached {
            var seen = Seen()
            while let line = worker.nextLine() {
                seen.read(line)
                if seen.charges.count == 300 { worker.kill() }
            }
            return seen
        }
        let ownCharges = try await own
        seen = await reader.value
        #expect(seen.charges.count >= 300 && seen.charges.count < 1200 && seen.errors.isEmpty)

        // The next start on this machine finds it dead. The server that lives keeps what is its.
        let running = try await accounts.reserve(principal, "still-running").requestID
        let again = try await database.open()
        #expect(try await again.inFlight().map(\.requestID) == [running])

        let rows = try await Self.all(again)
        let byID = Dictionary(grouping: rows, by: \.requestID)
        #expect(byID.values.allSatisfy { $0.count == 1 }, "a request is in the ledger twice")
        let unsettled = Set(rows.filter { $0.outcome == .unsettled }.map(\.requestID))
        #expect(
            Set(try await again.ledger(LedgerQuery(limit: 10_000, outcome: .unsettled)).map(\.requestID)) == unsettled)

        // Who was told of a charge was charged that.
        for (id, cost) in seen.charges.merging(ownCharges.mapValues(\.cost), uniquingKeysWith: { $1 }) {
            #expect(byID[id]?.first?.cost == cost)
            #expect(!unsettled.contains(id))
        }
        // Only what was in flight at the kill is unsettled: at most one for each of its eight tasks.
        #expect(unsettled.count <= 8)
        #expect(unsettled.isSubset(of: seen.begun.subtracting(seen.charges.keys)))
        for id in seen.reserved.subtracting(seen.charges.keys) { #expect(byID[id] != nil, "\(id) was lost") }

        // Every row against the tokens that its client saw.
        var expected = Decimal(0)
        for row in rows {
            #expect(row.counts.fresh + row.counts.cached == row.counts.prompt)
            if row.outcome == .unsettled {
                #expect(row.counts == .none && row.cost == .zero && row.reserved > .zero)
                continue
            }
            let use = try #require(seen.uses[row.requestID] ?? ownCharges[row.requestID]?.use)
            #expect(row.counts.fresh == use.fresh && row.counts.cached == use.cached && row.counts.output == use.output)
            #expect(row.outcome.name == use.outcome)
            let cost = use.cost()
            #expect(Decimal(string: row.cost.text(minimumDecimals: 9)) == cost)
            expected += cost
        }
        let verification = try await again.verifyLedger()
        #expect(verification.mistakes == [])
        #expect(verification.rows == rows.count && verification.unsettled == unsettled.count)
        #expect(Decimal(string: verification.cost.text(minimumDecimals: 9)) == expected)
        let total = try await again.usage(UsageQuery(by: [.day, .model])).total
        #expect(total.cost == verification.cost && total.tokens == verification.tokens)
        #expect(total.requests == rows.count && total.unsettled == unsettled.count)
        #expect(rows.count >= 1700)
        let status = try await again.status(of: key.id)
        #expect(status.spentThisMonth <= verification.cost && status.running == 1)
        await again.close()
        await accounts.close()
    }

    @Test(arguments: StoreKind.available)
    func whatAKilledServerHeldIsFreedAtTheNextStart(kind: StoreKind) async throws {
        let database = try TestDatabase(kind)
        let accounts = try await database.open()
        let (key, secret) = try await accounts.createKey(
            KeySpecification(name: "a", limits: Limits(concurrency: 5, dayBudget: Money("0.00392"))))
        let worker = try Worker("race", database.text, secret, "9")
        #expect(worker.nextLine() == "granted 5")
        let principal = try #require(try await accounts.authenticate(secret))
        #expect(try await accounts.refusal(principal, "r1")?.kind == .concurrency)
        // A start while it lives takes nothing from it.
        await (try await database.open()).close()
        #expect(try await accounts.status(of: key.id).running == 5)
        worker.kill()
        await (try await database.open()).close()
        let status = try await accounts.status(of: key.id)
        #expect(status.running == 0 && status.reserved == .zero && status.spentToday == .zero)
        #expect(try await accounts.ledger(LedgerQuery(outcome: .unsettled)).count == 5)
        #expect(try await accounts.refusal(principal, "r1") == nil)
        #expect(try await accounts.verifyLedger().mistakes == [])
        await accounts.close()
    }

    /// Two servers on machines that cannot see each other's processes.
    @Test(arguments: StoreKind.available)
    func aServerElsewhereIsDeadOnlyWhenItsHeartStandsStill(kind: StoreKind) async throws {
        let database = try TestDatabase(kind)
        // No heart beats by itself here, and any time without a beat is too long: the test decides.
        let rhythm = Accounts.Rhythm(interval: .seconds(3600), timeout: .nanoseconds(1))
        let one = try await database.open(rhythm: rhythm)
        let principal = try await one.makePrincipal()
        let reservation = try await one.reserve(principal, "r1")
        try await one.lanes.run(.write) { try $0.execute("UPDATE walet_instance SET host = 'elsewhere'") }
        let two = try await database.open(rhythm: rhythm)
        let own = try await two.reserve(principal, "r2")

        // Seen for the first time at opening; whenever it has beaten since, it lives.
        for _ in 0..<5 {
            try await one.life.beat()
            #expect(try await two.life.sweep() == [])
        }
        #expect(try await one.inFlight().count == 2)
        #expect(try await two.life.sweep() == ["r1"])
        #expect(try await two.inFlight().map(\.requestID) == ["r2"])

        // It was not dead after all: it learns that nothing was charged, and goes on.
        #expect(
            await accountsError { try await one.settle(reservation, .none, outcome: .cancelled) } == .abandoned("r1"))
        let after = try await one.reserve(principal, "r3")
        try await one.life.beat()
        try await one.lanes.run(.write) { try $0.execute("UPDATE walet_instance SET host = 'elsewhere'") }
        #expect(try await two.life.sweep() == [])
        try await one.settle(after, TokenCounts(prompt: 1000, cached: 0, output: 1), outcome: .completed)
        try await two.settle(own, TokenCounts(prompt: 1000, cached: 0, output: 1), outcome: .completed)
        #expect(try await two.verifyLedger().mistakes == [])
        await one.close()
        await two.close()
    }

    @Test(arguments: StoreKind.available)
    func aReservationOfAServerThatNobodyKnowsIsFreedToo(kind: StoreKind) async throws {
        let database = try TestDatabase(kind)
        let rhythm = Accounts.Rhythm(interval: .seconds(3600), timeout: .nanoseconds(1))
        let one = try await database.open(rhythm: rhythm)
        _ = try await one.reserve(try await one.makePrincipal(), "r1")
        try await one.lanes.run(.write) { try $0.execute("DELETE FROM walet_instance") }
        let two = try await database.open(rhythm: rhythm)
        #expect(try await two.life.sweep() == ["r1"])
        await one.close()
        await two.close()
    }

    @Test(arguments: StoreKind.available)
    func doubtfulReservationsAreReleased(kind: StoreKind) async throws {
        let accounts = try await TestDatabase(kind).open()
        let principal = try await accounts.makePrincipal()
        _ = try await accounts.reserve(principal, "r1")
        _ = try await accounts.reserve(principal, "r2")
        try await accounts.life.release(["r1", "never written"])
        #expect(try await accounts.inFlight().map(\.requestID) == ["r2"])
        #expect(try await accounts.verifyLedger().mistakes == [])
        await accounts.close()
    }

    @Test func aProcessKnowsItselfAndTheDead() throws {
        #expect(!ProcessIdentity.current.hasEnded)
        let process = Process()
        process.executableURL = URL(filePath: "/bin/cat")
        process.standardInput = Pipe()
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        let identity = ProcessIdentity(
            host: ProcessIdentity.current.host, number: Int(process.processIdentifier), start: "1")
        // Its number is in use, but by a process that began at another time.
        #expect(identity.hasEnded || ProcessIdentity.current.host.isEmpty)
        // A signal that the thread that begins a process blocks is blocked in it too; this one cannot be.
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
        #expect(!ProcessIdentity(host: "elsewhere", number: 1, start: "1").hasEnded)
        #expect(!ProcessIdentity(host: "", number: 0, start: "").hasEnded)
    }

    // MARK: What clients saw

    struct Use {
        let model: String
        let fresh: Int
        let cached: Int
        let output: Int
        let outcome: String

        /// Nine decimals, half to even, by Foundation.
        func cost() -> Decimal {
            func decimal(_ text: String) -> Decimal { Decimal(string: text)! }
            let price =
                model == "fine"
                ? ("0.123456789", "0.000000003", "1.000000007") : ("0.56", "0.14", "2.24")
            var exact =
                (decimal(price.0) * Decimal(fresh) + decimal(price.1) * Decimal(cached) + decimal(price.2)
                    * Decimal(output))
                / Decimal(1_000_000)
            var rounded = Decimal()
            NSDecimalRound(&rounded, &exact, 9, .bankers)
            return rounded
        }
    }

    /// What a killed worker had printed.
    struct Seen: Sendable {
        var begun: Set<String> = []
        var reserved: Set<String> = []
        var uses: [String: Use] = [:]
        var charges: [String: Money] = [:]
        var errors: [String] = []

        mutating func read(_ line: String) {
            let words = line.split(separator: " ").map(String.init)
            switch words.first {
            case "reserving": begun.insert(words[1])
            case "reserved": reserved.insert(words[1])
            case "settling":
                uses[words[1]] = Use(
                    model: "m", fresh: Int(words[2])!, cached: Int(words[3])!, output: Int(words[4])!, outcome: words[5]
                )
            case "settled": charges[words[1]] = Money(nanodollars: Int64(words[2])!)
            default: errors.append(line)
            }
        }
    }

    /// Requests of all kinds from sixteen tasks of this process.
    private static func load(_ accounts: Accounts, _ principal: Principal, seed: UInt64, count: Int) async throws
        -> [String: (cost: Money, use: Use)]
    {
        try await withThrowingTaskGroup(of: [String: (cost: Money, use: Use)].self) { group in
            for lane in 0..<16 {
                group.addTask {
                    var random = SplitMix(state: seed &* 1000 &+ UInt64(lane))
                    var charges: [String: (cost: Money, use: Use)] = [:]
                    for index in stride(from: lane, to: count, by: 16) {
                        let id = "own-\(index)"
                        let (prompt, most) = (
                            Int.random(in: 1...100_000, using: &random), Int.random(in: 0...8000, using: &random)
                        )
                        let model = ["fine", "m"][Int.random(in: 0...1, using: &random)]
                        let reservation = try await accounts.reserve(
                            principal, id, model: model, prompt: prompt, output: most)
                        let outcomes: [Outcome] = [.completed, .cancelled, .disconnected, .failed("x")]
                        let outcome = outcomes[Int.random(in: 0..<4, using: &random)]
                        // One that was cut short has done a part.
                        let done =
                            outcome == .completed ? prompt : Int.random(in: 0...prompt, using: &random)
                        let cached = Int.random(in: 0...done, using: &random)
                        let output = Int.random(in: 0...most, using: &random)
                        let charge = try await accounts.settle(
                            reservation, TokenCounts(prompt: done, cached: cached, output: output), outcome: outcome)
                        charges[id] = (
                            charge.cost,
                            Use(
                                model: model, fresh: done - cached, cached: cached, output: output,
                                outcome: outcome.name)
                        )
                        if index % 50 == 0 {
                            // A client that asks again with the same id, and a server that settles twice.
                            _ = try? await accounts.settle(reservation, .none, outcome: .cancelled)
                            _ = try? await accounts.reserve(principal, id, model: model)
                        }
                    }
                    return charges
                }
            }
            return try await group.reduce(into: [:]) { $0.merge($1) { $1 } }
        }
    }

    private static func all(_ accounts: Accounts) async throws -> [LedgerRow] {
        var rows: [LedgerRow] = []
        while true {
            let page = try await accounts.ledger(LedgerQuery(after: rows.last?.sequence ?? 0, limit: 500))
            if page.isEmpty { return rows }
            rows += page
        }
    }
}
