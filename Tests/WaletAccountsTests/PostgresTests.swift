import Foundation
import Testing
import WaletAccounts

/// What only a server can do to its clients.
@Suite(.enabled(if: PostgresServer.programs != nil, "PostgreSQL's server is not installed"))
struct PostgresTests {
    @Test func aConnectionThatBreaksIsOpenedAgain() async throws {
        let database = try TestDatabase(.postgres)
        let accounts = try await database.open()
        let principal = try await accounts.makePrincipal()
        let killer = try await database.open()
        for round in 0..<3 {
            _ = try await accounts.reserve(principal, "a\(round)")
            _ = try await accounts.keys()
            let killed = try await killer.lanes.run(.lookup) { connection in
                try connection.query(
                    "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'walet' AND datname = current_database() AND pid <> pg_backend_pid()"
                )[0].integer(0)
            }
            #expect(killed > 0)
            let reservation = try await accounts.reserve(principal, "b\(round)")
            try await accounts.settle(reservation, TokenCounts(prompt: 1000, cached: 0, output: 1), outcome: .completed)
            #expect(try await accounts.keys().count == 1)
        }
        #expect(try await accounts.verifyLedger().mistakes == [])
        await killer.close()
        await accounts.close()
    }

    @Test func aServerThatIsNotThereIsAnErrorWithoutThePassword() async throws {
        for (url, problem) in [
            ("postgres://walet:geheim@127.0.0.1:1/x", AccountsError.Problem.unreachable),
            ("postgres://walet:geheim@/x?host=/nowhere", .unreachable),
            (
                "postgres://walet:geheim@/missing?"
                    + (try PostgresServer.running.get().url("x")).split(separator: "?")[1], .cannotOpen
            ),
            (
                "postgres://nobody:geheim@/postgres?"
                    + (try PostgresServer.running.get().url("x")).split(separator: "?")[1], .denied
            ),
        ] {
            let error = await accountsError { _ = try await Accounts.open(.postgres(url)) }
            guard case .database(problem, let name, _)? = error else {
                Issue.record("\(url): \(String(describing: error))")
                continue
            }
            #expect(!"\(error!)".contains("geheim") && name.hasPrefix("PostgreSQL database '"))
        }
        for url in ["postgres://walet:ge%heim@h/x", "postgres://walet:geheim@h:port:x/x", "postgres://h/x?geheim=1"] {
            let error = await accountsError { _ = try await Accounts.open(.postgres(url)) }
            #expect(error != nil && !"\(error!)".contains("heim"), "\(String(describing: error))")
        }
    }

    @Test func statementsThatFailInTheMiddleOfManyLeaveTheConnectionUsable() async throws {
        let accounts = try await TestDatabase(.postgres).open()
        let error = await accountsError {
            try await accounts.lanes.run(.write) { connection in
                try connection.execute(
                    "INSERT INTO walet_counter (name, value) VALUES (?1, ?2)",
                    [[.text("a"), .integer(1)], [.text("a"), .integer(2)], [.text("b"), .integer(3)]])
            }
        }
        guard case .database(.failed, _, _)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        let rows = try await accounts.lanes.run(.write) { connection in
            try connection.execute(
                "INSERT INTO walet_counter (name, value) VALUES (?1, ?2)",
                (0..<1000).map { [.text("n\($0)"), SQLValue($0)] })
            return try connection.query("SELECT COUNT(*), SUM(value) FROM walet_counter WHERE name LIKE 'n%'")
        }
        #expect(try rows[0].integer(0) == 1000 && rows[0].integer(1) == 499_500)
        await accounts.close()
    }

    @Test func twoServersOnOneDatabaseDoNotStealFromEachOther() async throws {
        let database = try TestDatabase(.postgres)
        let one = try await database.open(rhythm: Accounts.Rhythm(interval: .milliseconds(10), timeout: .seconds(600)))
        let two = try await database.open(rhythm: Accounts.Rhythm(interval: .milliseconds(10), timeout: .seconds(600)))
        let principal = try await one.makePrincipal()
        var reservations: [Reservation] = []
        for index in 0..<50 {
            reservations.append(try await [one, two][index % 2].reserve(principal, "r\(index)"))
            try await Task.sleep(for: .milliseconds(2))
        }
        for (index, reservation) in reservations.enumerated() {
            try await [one, two][index % 2].settle(
                reservation, TokenCounts(prompt: 1000, cached: 0, output: 1), outcome: .completed)
        }
        #expect(try await one.verifyLedger().mistakes == [])
        #expect(try await two.ledger(LedgerQuery(outcome: .unsettled)).isEmpty)
        await one.close()
        await two.close()
    }
}
