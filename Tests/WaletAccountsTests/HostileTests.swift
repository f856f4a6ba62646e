import Foundation
import GRDB
import Testing
import WaletAccounts

/// Texts, numbers and databases that mean no good.
@Suite struct HostileTests {
    static let texts = [
        "'; DROP TABLE walet_key; --", "\" OR \"1\"=\"1", "a' || (SELECT secret FROM walet_key) || '", "%", "_", "\\",
        "\\'",
        "$1", "?1", ":a", "@b", "{a,b}", "[\"a\"]", "{\"a\"}", "NULL", "null", "a\\\",\\\"b", "😀", "é", "e\u{301}",
        "Robert');", "\"\u{301}; x",
        String(repeating: "ÿ", count: 128), " ", "/*", "-- ", "1e999", "0x41", "${jndi:ldap://x}", "%s%n",
    ]

    @Test(arguments: StoreKind.available)
    func namesAreDataWhateverTheySay(kind: StoreKind) async throws {
        let accounts = try await TestDatabase(kind).open()
        for (index, text) in Self.texts.enumerated() {
            let (key, secret) = try await accounts.createKey(
                KeySpecification(name: text, tenant: text, models: [text, "x"], limits: Limits(concurrency: 1)))
            #expect(try await accounts.key(text).id == key.id)
            let principal = try #require(try await accounts.authenticate(secret))
            #expect(principal.tenant == text && principal.key.models == [text, "x"])
            // As an id of a request, as far as it is one; as model and endpoint.
            let id = text.utf8.allSatisfy { (0x21...0x7E).contains($0) } && !text.isEmpty ? text : "id\(index)"
            let reservation = try await accounts.reserve(
                principal, model: text, endpoint: text, promptTokens: 10, maximumOutputTokens: 10, requestID: id)
            #expect(try await accounts.refusal(principal, "other", model: "x")?.kind == .concurrency)
            try await accounts.settle(
                reservation, TokenCounts(prompt: 10, cached: 0, output: 1), outcome: .failed(text))
            let rows = try await accounts.ledger(LedgerQuery(UsageQuery(key: text, tenant: text, model: text)))
            #expect(rows.map(\.requestID) == [id] && rows[0].endpoint == text && rows[0].outcome.detail == text)
        }
        let report = try await accounts.usage(UsageQuery(by: [.tenant, .model]))
        #expect(Set(report.rows.map(\.group)) == Set(Self.texts.map { [$0, $0] }))
        #expect(report.rows.count == Self.texts.count)
        #expect(try await accounts.keys().count == Self.texts.count)
        #expect(try await accounts.verifyLedger().mistakes == [])
        await accounts.close()
    }

    @Test(arguments: StoreKind.available)
    func impossibleRequestsAreErrorsBeforeAnythingIsWritten(kind: StoreKind) async throws {
        let accounts = try await TestDatabase(kind).open()
        let principal = try await accounts.makePrincipal()
        for id in ["", " ", "a b", "é", "a\n", String(repeating: "a", count: 129), "\0", "\u{7F}"] {
            #expect(await accountsError { _ = try await accounts.reserve(principal, id) } != nil)
        }
        for model in ["", "a\0b", "a\nb", String(repeating: "m", count: 257), "\u{202E}"] {
            #expect(await accountsError { _ = try await accounts.reserve(principal, "r", model: model) } != nil)
        }
        for (prompt, output) in [(-1, 0), (0, -1), (.max, 1), (1, .max), (.min, .min), (1 << 40 + 1, 0)] {
            let error = await accountsError {
                _ = try await accounts.reserve(principal, "r", prompt: prompt, output: output)
            }
            #expect(error.map { "\($0)" }?.contains("tokens") == true)
        }
        #expect(try await accounts.inFlight().isEmpty)
        await accounts.close()
    }

    @Test(arguments: StoreKind.available)
    func amountsBeyondSixtyFourBitsAreErrorsAndHarmNothing(kind: StoreKind) async throws {
        let dear = try Price(fresh: Price.maximum, cached: Price.maximum, output: Price.maximum)
        let accounts = try await TestDatabase(kind).open(
            prices: PriceList(fallback: dear, models: ["cheap": .standard]))
        let principal = try await accounts.makePrincipal()
        let beyond = await accountsError { _ = try await accounts.reserve(principal, "r1", prompt: 1 << 40, output: 0) }
        guard case .overflow? = beyond else {
            Issue.record("\(String(describing: beyond))")
            return
        }
        // 6 billion dollars twice are more than a day's sum can hold.
        _ = try await accounts.reserve(principal, "r2", prompt: 6_000_000_000, output: 0)
        let second = await accountsError {
            _ = try await accounts.reserve(principal, "r3", prompt: 6_000_000_000, output: 0)
        }
        guard case .overflow? = second else {
            Issue.record("\(String(describing: second))")
            return
        }
        #expect(try await accounts.refusal(principal, "r4", model: "cheap") == nil)
        #expect(try await accounts.verifyLedger().mistakes == [])
        await accounts.close()
    }

    @Test(arguments: StoreKind.available)
    func aSumBeyondSixtyFourBitsIsAnErrorOfTheReport(kind: StoreKind) async throws {
        let dear = try Price(fresh: Price.maximum, cached: Price.maximum, output: Price.maximum)
        let clock = TestClock()
        let accounts = try await TestDatabase(kind).open(prices: PriceList(fallback: dear, models: [:]), clock: clock)
        let principal = try await accounts.makePrincipal()
        for id in ["r1", "r2"] {
            let reservation = try await accounts.reserve(principal, id, prompt: 6_000_000_000, output: 0)
            try await accounts.settle(
                reservation, TokenCounts(prompt: 6_000_000_000, cached: 0, output: 0), outcome: .completed)
            clock.advance(86_400)
        }
        for groupings in [[], [UsageQuery.Grouping.day], [.month]] {
            let error = await accountsError { _ = try await accounts.usage(UsageQuery(by: groupings)) }
            switch error {
            case .overflow?, .database(.overflow, _, _)?: break
            default: Issue.record("\(groupings): \(String(describing: error))")
            }
        }
        await accounts.close()
    }

    @Test(arguments: StoreKind.available)
    func aLockedDatabaseIsAnErrorThatSaysWhatToDo(kind: StoreKind) async throws {
        let database = try TestDatabase(kind)
        let accounts = try await database.open()
        let principal = try await accounts.makePrincipal()
        _ = try await accounts.reserve(principal, "r0")
        let holder = try await database.open()
        let (holds, released) = (AsyncStream<Void>.makeStream(), DispatchSemaphore(value: 0))
        async let held: Void = holder.lanes.run(.write) { connection in
            // On SQLite the transaction is enough.
            let lock = connection.dialect == .postgres ? " FOR UPDATE" : ""
            _ = try connection.query("SELECT id FROM walet_key WHERE id = ?1\(lock)", [.text(principal.id)])
            holds.continuation.yield()
            released.wait()
        }
        for await _ in holds.stream { break }
        let error = await accountsError { _ = try await accounts.reserve(principal, "r1") }
        released.signal()
        try await held
        guard case .database(.locked, _, _)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect("\(error!)".contains("another process holds the database; end that, or try again"))
        // Nothing is left of it, and now it works.
        #expect(try await accounts.refusal(principal, "r1") == nil)
        await holder.close()
        await accounts.close()
    }

    @Test(arguments: StoreKind.available)
    func aDatabaseThatIsFullOrReadOnlyIsAnErrorAndTheSettlementCanBeRepeated(kind: StoreKind) async throws {
        let accounts = try await TestDatabase(kind).open()
        let principal = try await accounts.makePrincipal()
        let reservation = try await accounts.reserve(principal, "r0")
        let counts = TokenCounts(prompt: 1000, cached: 0, output: 1)
        for (problem, code) in [(AccountsError.Problem.full, "53100"), (.readOnly, "25006")] {
            switch kind {
            case .sqlite:
                // Comes at the end: nothing that may only read can take that back.
                if problem == .readOnly { continue }
                try await accounts.lanes.run(.write) { connection in
                    let pages = try connection.query("PRAGMA page_count")[0].integer(0)
                    try connection.script("PRAGMA max_page_count = \(pages)")
                }
            case .postgres:
                // What a server with a full disk, or a standby, says.
                try await accounts.lanes.run(.write) {
                    try $0.script(
                        """
                        CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
                        $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '\(code)'; END $$;
                        CREATE TRIGGER refuse BEFORE INSERT ON walet_reservation FOR EACH ROW EXECUTE FUNCTION refuse();
                        CREATE TRIGGER refuse BEFORE INSERT ON walet_ledger FOR EACH ROW EXECUTE FUNCTION refuse();
                        """)
                }
            }
            // On SQLite the last pages fill up with reservations first.
            var error: AccountsError?
            for index in 0..<2000 where error == nil {
                error = await accountsError { _ = try await accounts.reserve(principal, "\(code)-\(index)") }
            }
            guard case .database(problem, _, _)? = error else {
                Issue.record("\(problem): \(String(describing: error))")
                continue
            }
            if kind == .postgres {
                let failed = await accountsError { try await accounts.settle(reservation, counts, outcome: .completed) }
                guard case .database(problem, _, _)? = failed else {
                    Issue.record("\(problem): \(String(describing: failed))")
                    continue
                }
            }
            // Reading goes on.
            #expect(try await accounts.inFlight().contains { $0.requestID == "r0" })
            try await accounts.lanes.run(.write) { connection in
                switch kind {
                case .sqlite: try connection.script("PRAGMA max_page_count = 1000000")
                case .postgres:
                    try connection.script(
                        "DROP TRIGGER refuse ON walet_reservation; DROP TRIGGER refuse ON walet_ledger")
                }
            }
        }
        #expect(try await accounts.settle(reservation, counts, outcome: .completed).cost == Money("0.00056224"))
        #expect(try await accounts.verifyLedger().mistakes == [])
        if kind == .sqlite {
            try await accounts.lanes.run(.write) { try $0.script("PRAGMA query_only = ON") }
            let error = await accountsError { _ = try await accounts.reserve(principal, "last") }
            if case .database(.readOnly, _, _)? = error {} else { Issue.record("\(String(describing: error))") }
        }
        await accounts.close()
    }

    @Test func aFileThatIsNoDatabaseOrDamagedIsAnError() async throws {
        let database = try TestDatabase(.sqlite)
        try Data("this is a text, and no database of anything at all".utf8).write(to: URL(filePath: database.text))
        var error = await accountsError { _ = try await database.open() }
        guard case .database(.corrupt, let name, _)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(name == database.text && "\(error!)".contains("restore it from a backup"))

        let other = try TestDatabase(.sqlite)
        let accounts = try await other.open()
        let principal = try await accounts.makePrincipal()
        for index in 0..<200 {
            let reservation = try await accounts.reserve(principal, "r\(index)")
            try await accounts.settle(reservation, .none, outcome: .cancelled)
        }
        await accounts.close()
        let good = try Data(contentsOf: URL(filePath: other.text))
        var random = SplitMix(state: 3)
        // Whole pages and single bytes: an error or a right answer, but never a crash.
        for round in 0..<60 {
            var bytes = good
            for _ in 0..<(round % 2 == 0 ? 1 : 20) {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                let length = round % 2 == 0 ? 4096 : 1
                for offset in place..<min(place + length, bytes.count) {
                    bytes[offset] = .random(in: 0...255, using: &random)
                }
            }
            try bytes.write(to: URL(filePath: other.text))
            for suffix in ["-wal", "-shm"] { try? FileManager.default.removeItem(atPath: other.text + suffix) }
            do {
                let damaged = try await other.open()
                _ = try? await damaged.verifyLedger()
                _ = try? await damaged.keys()
                _ = try? await damaged.reserve(principal, "x\(round)")
                await damaged.close()
            } catch {
                #expect(error is AccountsError, "\(error)")
            }
        }
        // A length that ends within a page.
        try good.prefix(good.count / 2 + 100).write(to: URL(filePath: other.text))
        error = await accountsError {
            let damaged = try await other.open()
            _ = try await damaged.verifyLedger()
        }
        guard case .database(.corrupt, _, _)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test func aFileOfAnotherProgramIsLeftAlone() async throws {
        let database = try TestDatabase(.sqlite)
        let foreign = try DatabaseQueue(path: database.text)
        try await foreign.write { try $0.execute(sql: "CREATE TABLE photos (id INTEGER)") }
        try foreign.close()
        let error = await accountsError { _ = try await database.open() }
        guard case .database(.foreign, _, let detail)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(detail == "it has a table 'photos'")
    }

    @Test func aPlaceWhereNoFileCanBeIsAnError() async throws {
        let database = try TestDatabase(.sqlite)
        let folder = database.folder.path
        for path in [folder, "/dev/null/x/accounts.sqlite", "/proc/accounts.sqlite"] {
            let error = await accountsError { _ = try await Accounts.open(.sqlite(path)) }
            guard case .database? = error else {
                Issue.record("\(path): \(String(describing: error))")
                continue
            }
        }
        let missing = "\(folder)/missing.sqlite"
        #expect(
            await accountsError { _ = try await Accounts.open(.sqlite(missing), create: false) }
                == .noDatabase(path: missing))
        #expect(!FileManager.default.fileExists(atPath: missing))
        // Names that mean something to SQLite are files like others.
        let accounts = try await Accounts.open(.sqlite("\(folder)/:memory:"))
        await accounts.close()
        #expect(FileManager.default.fileExists(atPath: "\(folder)/:memory:"))
    }

    @Test(arguments: StoreKind.available)
    func tablesOfAnOlderVersionAreBroughtForwardAndOfANewerOneRefused(kind: StoreKind) async throws {
        let database = try TestDatabase(kind)
        let accounts = try await database.open()
        let principal = try await accounts.makePrincipal()
        let reservation = try await accounts.reserve(principal, "r1")
        try await accounts.settle(reservation, TokenCounts(prompt: 1000, cached: 0, output: 0), outcome: .completed)
        let next =
            Schema.migrations + [
                Migration([
                    "ALTER TABLE walet_key ADD COLUMN colour TEXT",
                    "CREATE TABLE walet_extra (id {id}, n INTEGER) {strict}",
                ])
            ]
        let (newer, known, name) = (next.count, Schema.migrations.count, accounts.lanes.store.name)
        try Schema.migrate(accounts.lanes.store, next)
        try Schema.migrate(accounts.lanes.store, next)
        #expect(try await accounts.ledger().count == 1)
        #expect(throws: AccountsError.newerSchema(database: name, found: newer, supported: known)) {
            try Schema.migrate(accounts.lanes.store)
        }
        await accounts.close()
        let error = await accountsError { _ = try await database.open() }
        guard case .newerSchema(_, found: newer, supported: known)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect("\(error!)".contains("use the newer Walet that made it"))
    }

    @Test(arguments: StoreKind.available)
    func aStepForwardThatFailsLeavesTheTablesAsTheyWere(kind: StoreKind) async throws {
        let database = try TestDatabase(kind)
        let accounts = try await database.open()
        let broken = Schema.migrations + [Migration(["CREATE TABLE walet_extra (n INTEGER)", "THIS IS NOT SQL"])]
        #expect(throws: (any Error).self) { try Schema.migrate(accounts.lanes.store, broken) }
        try Schema.migrate(accounts.lanes.store)
        let whole = Schema.migrations + [Migration(["CREATE TABLE walet_extra (n INTEGER)"])]
        try Schema.migrate(accounts.lanes.store, whole)
        await accounts.close()
    }

    @Test(arguments: StoreKind.available)
    func manyThatOpenANewDatabaseAtOnceAllGetIt(kind: StoreKind) async throws {
        let database = try TestDatabase(kind)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for index in 0..<8 {
                group.addTask {
                    let accounts = try await database.open()
                    let principal = try await accounts.openPrincipal()
                    _ = try await accounts.reserve(principal, "r\(index)")
                    await accounts.close()
                }
            }
            try await group.waitForAll()
        }
        let accounts = try await database.open()
        #expect(try await accounts.ledger().count == 8)
        await accounts.close()
    }

    @Test func locationsAreReadAndOddOnesRefused() throws {
        #expect(try Accounts.Location(parsing: "/a/b.sqlite") == .sqlite("/a/b.sqlite"))
        #expect(try Accounts.Location(parsing: "postgres://u@h/d") == .postgres("postgres://u@h/d"))
        #expect(try Accounts.Location(parsing: "postgresql:///d") == .postgres("postgresql:///d"))
        for text in ["", "mysql://u:secret@h/d", "http://x", "a\0b"] {
            do {
                _ = try Accounts.Location(parsing: text)
                Issue.record("\(text)")
            } catch {
                #expect(!"\(error)".contains("secret"))
            }
        }
        #expect(try Accounts.Location.standard(environment: ["WALET_DATABASE": "/x"]) == .sqlite("/x"))
        #expect(
            try Accounts.Location.standard(environment: ["XDG_DATA_HOME": "/data"])
                == .sqlite("/data/walet/accounts.sqlite"))
    }
}
