import Foundation
import Testing
import WaletAccounts
import WaletJSON

/// The journal of what was done to keys.
@Suite struct KeyActionTests {
    private static func count(_ accounts: Accounts, _ condition: String = "TRUE") async throws -> Int64 {
        try await accounts.lanes.run(.lookup) {
            try $0.query("SELECT COUNT(*) FROM walet_key_action WHERE \(condition)")[0].integer(0)
        }
    }

    private static func run(_ accounts: Accounts, _ sql: String) async throws {
        try await accounts.lanes.run(.write) { try $0.script(sql) }
    }

    @Test(arguments: StoreKind.available)
    func eachChangeOfAKeyStandsInTheJournalWithWhoDidWhat(kind: StoreKind) async throws {
        let clock = TestClock()
        let database = try TestDatabase(kind)
        let accounts = try await database.open(clock: clock)
        #expect(try await accounts.pendingKeyActions().isEmpty)
        let (key, secret) = try await accounts.createKey(
            KeySpecification(
                name: "payroll \"é\u{301}\"", tenant: "hr", models: ["m, 1"],
                limits: Limits(requestsPerMinute: 60, dayBudget: Money("5")), expiresAt: UTCTime.parse("2099-12-31")),
            by: "cli:ada")
        clock.advance(1)
        try await accounts.update(key.id, by: "cli:grace") {
            $0.tenant = "lab"
            $0.role = .operator
            $0.models = nil
            $0.limits.requestsPerMinute = nil
            $0.limits.monthBudget = Money("0.5")
        }
        clock.advance(1)
        try await accounts.revoke(key.id)
        let actions = try await accounts.pendingKeyActions()
        #expect(actions.map(\.kind) == [.create, .set, .revoke])
        #expect(actions.map(\.by) == ["cli:ada", "cli:grace", KeyAction.program])
        #expect(actions.map(\.tenant) == ["hr", "lab", "lab"])
        #expect(actions.allSatisfy { $0.keyID == key.id })
        #expect(
            actions.map { UTCTime.text($0.date) }
                == ["2026-11-25T12:00:00Z", "2026-11-25T12:00:01Z", "2026-11-25T12:00:02Z"])
        #expect(actions.map(\.id) == actions.map(\.id).sorted() && Set(actions.map(\.id)).count == 3)
        let details = actions.map { JSONValue.object($0.details) }
        #expect(
            details == [
                [
                    "name": "payroll \"é\u{301}\"", "role": "user", "models": ["m, 1"], "requests_per_minute": 60,
                    "budget_day_usd": "5.00", "priority": 0, "expires_at": "2099-12-31T00:00:00Z",
                ],
                [
                    "tenant": ["from": "hr", "to": "lab"], "role": ["from": "user", "to": "operator"],
                    "models": ["from": ["m, 1"], "to": .null],
                    "requests_per_minute": ["from": 60, "to": .null],
                    "budget_month_usd": ["from": .null, "to": "0.50"],
                ],
                ["name": "payroll \"é\u{301}\""],
            ])
        let stored = details.map { $0.text() }.joined()
        let hash = Secret.hexadecimal(try #require(Secret.hash(secret)))
        #expect(!stored.contains(secret.dropFirst(6)) && !stored.contains(hash))
        await accounts.close()
    }

    @Test(arguments: StoreKind.available)
    func whatChangedNothingIsNotInTheJournal(kind: StoreKind) async throws {
        let accounts = try await TestDatabase(kind).open()
        let (key, _) = try await accounts.createKey(KeySpecification(name: "a"))
        try await accounts.revoke(key.id)
        let before = try await accounts.pendingKeyActions()
        try await accounts.revoke(key.id)
        _ = await accountsError { _ = try await accounts.createKey(KeySpecification(name: "")) }
        _ = await accountsError { _ = try await accounts.update(key.id) { $0.priority = 1 } }
        _ = await accountsError { _ = try await accounts.update("nobody") { $0.priority = 1 } }
        _ = await accountsError { _ = try await accounts.revoke("nobody") }
        #expect(try await accounts.pendingKeyActions() == before && before.count == 2)
        await accounts.close()
    }

    @Test(arguments: StoreKind.available)
    func aChangeThatCannotBeWrittenDownIsNotMade(kind: StoreKind) async throws {
        let accounts = try await TestDatabase(kind).open()
        let (key, secret) = try await accounts.createKey(KeySpecification(name: "a"))
        for by in ["", "cli:a\nb", "cli:\0", "\u{202E}", String(repeating: "a", count: 257)] {
            for error in [
                await accountsError { _ = try await accounts.createKey(KeySpecification(name: "b"), by: by) },
                await accountsError { _ = try await accounts.update(key.id, by: by) { $0.priority = 1 } },
                await accountsError { _ = try await accounts.revoke(key.id, by: by) },
            ] {
                guard case .invalid("by", _, _)? = error else {
                    Issue.record("\(by.debugDescription): \(String(describing: error))")
                    continue
                }
            }
        }
        try await Self.run(accounts, "ALTER TABLE walet_key_action RENAME TO walet_elsewhere")
        for error in [
            await accountsError { _ = try await accounts.createKey(KeySpecification(name: "b")) },
            await accountsError { _ = try await accounts.update(key.id) { $0.priority = 1 } },
            await accountsError { _ = try await accounts.revoke(key.id) },
        ] {
            guard case .database(.failed, _, _)? = error else {
                Issue.record("\(String(describing: error))")
                continue
            }
        }
        #expect(try await accounts.keys(includingRevoked: true) == [key])
        #expect(try await accounts.authenticate(secret)?.priority == 0)
        await accounts.close()
    }

    @Test(arguments: StoreKind.available)
    func actionsArePendingUntilTheyAreMarked(kind: StoreKind) async throws {
        let database = try TestDatabase(kind)
        let accounts = try await database.open()
        var keys: [String] = []
        for index in 0..<7 { keys.append(try await accounts.createKey(KeySpecification(name: "k\(index)")).key.id) }
        let first = try await accounts.pendingKeyActions(limit: 3)
        #expect(first.map(\.keyID) == Array(keys[0..<3]))
        #expect(try await accounts.pendingKeyActions(limit: 3) == first)
        #expect(try await Self.count(accounts, "claimed_by IS NOT NULL") == 3)
        try await accounts.markKeyActionsRecorded(first.map(\.id))
        try await accounts.markKeyActionsRecorded(first.map(\.id) + [-1, .max])
        try await accounts.markKeyActionsRecorded([])
        #expect(try await accounts.pendingKeyActions(limit: 3).map(\.keyID) == Array(keys[3..<6]))
        #expect(try await accounts.pendingKeyActions(limit: .min).map(\.keyID) == [keys[3]])
        await accounts.close()
        let again = try await database.open()
        let rest = try await again.pendingKeyActions(limit: .max)
        #expect(rest.map(\.keyID) == Array(keys[3...]))
        try await again.markKeyActionsRecorded(rest.map(\.id))
        #expect(try await again.pendingKeyActions().isEmpty)
        #expect(try await Self.count(again, "recorded_at IS NOT NULL") == 7)
        await again.close()
    }

    @Test(arguments: StoreKind.available)
    func eachActionGoesToOneOfTheServersThatShareADatabase(kind: StoreKind) async throws {
        let database = try TestDatabase(kind)
        let tool = try await database.open()
        let servers = [try await database.open(), try await database.open(), try await database.open()]
        let total = 120
        let taken = try await withThrowingTaskGroup(of: [KeyAction].self) { group in
            group.addTask {
                for index in 0..<total { _ = try await tool.createKey(KeySpecification(name: "k\(index)")) }
                return []
            }
            for server in servers {
                group.addTask {
                    var taken: [KeyAction] = []
                    // Until all is done, by whomever.
                    while try await Self.count(server, "recorded_at IS NOT NULL") < total {
                        let actions = try await server.pendingKeyActions(limit: 5)
                        taken += actions
                        try await server.markKeyActionsRecorded(actions.map(\.id))
                        if actions.isEmpty { try await Task.sleep(for: .milliseconds(1)) }
                    }
                    return taken
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        for actions in taken { #expect(actions.map(\.id) == actions.map(\.id).sorted()) }
        let ids = taken.joined().map(\.id)
        #expect(ids.count == total && Set(ids).count == total)
        for accounts in servers + [tool] { await accounts.close() }
    }

    @Test(arguments: StoreKind.available)
    func whatAServerThatIsGoneHadTakenGoesToAnother(kind: StoreKind) async throws {
        let database = try TestDatabase(kind)
        let (one, two) = (try await database.open(), try await database.open())
        for index in 0..<4 { _ = try await one.createKey(KeySpecification(name: "k\(index)")) }
        let actions = try await one.pendingKeyActions(limit: 2)
        #expect(try await two.pendingKeyActions().map(\.id) == [3, 4])
        await one.close()
        #expect(try await two.pendingKeyActions().map(\.id) == [1, 2, 3, 4])
        // Taken for dead by somebody, although it lives: it is one of the servers again before it takes anything.
        try await Self.run(two, "DELETE FROM walet_instance")
        let three = try await database.open()
        #expect(try await three.pendingKeyActions(limit: 1) == Array(actions.prefix(1)))
        #expect(try await two.pendingKeyActions().map(\.id) == [2, 3, 4])
        #expect(try await three.pendingKeyActions().map(\.id) == [1])
        await two.close()
        await three.close()
    }

    @Test(arguments: StoreKind.available)
    func recordedActionsGoAfterNinetyDaysAndOthersStay(kind: StoreKind) async throws {
        let clock = TestClock("2026-01-01T00:00:00Z")
        let accounts = try await TestDatabase(kind).open(clock: clock)
        for name in ["a", "b"] { _ = try await accounts.createKey(KeySpecification(name: name)) }
        let first = try await accounts.pendingKeyActions(limit: 1)
        try await accounts.markKeyActionsRecorded(first.map(\.id))
        clock.advance(90 * 86_400)
        _ = try await accounts.createKey(KeySpecification(name: "c"))
        #expect(try await Self.count(accounts) == 3)
        clock.advance(0.001)
        _ = try await accounts.createKey(KeySpecification(name: "d"))
        #expect(try await Self.count(accounts) == 3)
        #expect(try await Self.count(accounts, "id = \(first[0].id)") == 0)
        let rest = try await accounts.pendingKeyActions()
        #expect(rest.map { $0.details["name"]?.stringValue } == ["b", "c", "d"])
        // A place is never given again.
        #expect(rest.allSatisfy { $0.id > first[0].id })
        // A clock that is set back removes nothing that was recorded later.
        try await accounts.markKeyActionsRecorded(rest.map(\.id))
        clock.set("2000-01-01T00:00:00Z")
        _ = try await accounts.createKey(KeySpecification(name: "e"))
        #expect(try await Self.count(accounts) == 4)
        await accounts.close()
    }

    @Test(arguments: StoreKind.available)
    func theKeyOfOpenServersIsMadeByTheServerAndOnce(kind: StoreKind) async throws {
        let accounts = try await TestDatabase(kind).open()
        for _ in 0..<2 { _ = try await accounts.openPrincipal() }
        let actions = try await accounts.pendingKeyActions()
        #expect(actions.map(\.by) == ["server"] && actions.map(\.keyID) == ["wk_open"])
        await accounts.close()
    }

    @Test(arguments: StoreKind.available)
    func aDatabaseOfTheFirstVersionGetsAnEmptyJournal(kind: StoreKind) async throws {
        let database = try TestDatabase(kind)
        let old = try await database.open()
        let (key, secret) = try await old.createKey(KeySpecification(name: "a"))
        try await Self.run(old, "DROP TABLE walet_key_action; DELETE FROM walet_schema WHERE version > 1")
        await old.close()
        let accounts = try await database.open()
        #expect(try await accounts.authenticate(secret)?.id == key.id)
        #expect(try await accounts.pendingKeyActions().isEmpty)
        try await accounts.revoke(key.id)
        #expect(try await accounts.pendingKeyActions().map(\.kind) == [.revoke])
        await accounts.close()
    }

    @Test(arguments: StoreKind.available)
    func aJournalThatSomebodyEditedIsAnErrorAndNoEntry(kind: StoreKind) async throws {
        let accounts = try await TestDatabase(kind).open()
        _ = try await accounts.createKey(KeySpecification(name: "a"))
        for details in ["", "[]", "{", "null", "{\"a\":\(String(repeating: "[", count: 100_000))"] {
            try await Self.run(accounts, "UPDATE walet_key_action SET details = '\(details)'")
            let error = await accountsError { _ = try await accounts.pendingKeyActions() }
            guard case .database(.corrupt, _, let detail)? = error else {
                Issue.record("\(details.prefix(20)): \(String(describing: error))")
                continue
            }
            #expect(detail == "action 1 of the journal of keys cannot be read")
        }
        let error = await accountsError {
            try await Self.run(accounts, "UPDATE walet_key_action SET action = 'rename'")
        }
        guard case .database(.failed, _, _)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        await accounts.close()
    }
}
