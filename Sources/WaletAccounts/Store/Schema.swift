// The tables, and how those of an older version become those of this one.

/// A step from one version of the tables to the next.
package struct Migration: Sendable {
    let sqlite: [String]
    let postgres: [String]

    /// Statements with {id} for a key that counts up and {strict} for SQLite's type checks; INTEGER is written out as the
    /// 64 bits that it must be.
    package init(_ statements: [String], sqlite: [String] = [], postgres: [String] = []) {
        self.sqlite =
            statements.map {
                $0.replacing("{id}", with: "INTEGER PRIMARY KEY AUTOINCREMENT").replacing("{strict}", with: "STRICT")
            } + sqlite
        self.postgres =
            statements.map {
                $0.replacing("{id}", with: "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY")
                    .replacing("{strict}", with: "").replacing("INTEGER", with: "BIGINT")
            } + postgres
    }
}

package enum Schema {
    package static let migrations = [version1, version2]

    /// Money is in nano-dollars, time in microseconds since 1970, days in days since 1970.
    private static let version1 = Migration(
        [
            """
            CREATE TABLE walet_key (
                id TEXT PRIMARY KEY, secret TEXT UNIQUE, name TEXT NOT NULL, tenant TEXT NOT NULL, role TEXT NOT NULL,
                models TEXT, requests_per_minute INTEGER, tokens_per_minute INTEGER, concurrency INTEGER,
                day_budget INTEGER, month_budget INTEGER, priority INTEGER NOT NULL, created_at INTEGER NOT NULL,
                expires_at INTEGER, revoked_at INTEGER) {strict}
            """,
            "CREATE TABLE walet_counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) {strict}",
            "INSERT INTO walet_counter (name, value) VALUES ('keys', 1)",
            """
            CREATE TABLE walet_price (
                id {id}, model TEXT NOT NULL, fresh INTEGER NOT NULL, cached INTEGER NOT NULL, output INTEGER NOT NULL,
                created_at INTEGER NOT NULL, UNIQUE (model, fresh, cached, output)) {strict}
            """,
            """
            CREATE TABLE walet_instance (
                id TEXT PRIMARY KEY, host TEXT NOT NULL, process INTEGER NOT NULL, process_start TEXT NOT NULL,
                beat INTEGER NOT NULL, opened_at INTEGER NOT NULL) {strict}
            """,
            """
            CREATE TABLE walet_reservation (
                request_id TEXT PRIMARY KEY, instance_id TEXT NOT NULL, key_id TEXT NOT NULL, tenant TEXT NOT NULL,
                model TEXT NOT NULL, endpoint TEXT NOT NULL, prompt INTEGER NOT NULL, is_estimate INTEGER NOT NULL,
                maximum_output INTEGER NOT NULL, price_id INTEGER NOT NULL, cost INTEGER NOT NULL,
                started_at INTEGER NOT NULL, day INTEGER NOT NULL, nonce INTEGER NOT NULL) {strict}
            """,
            "CREATE INDEX walet_reservation_key ON walet_reservation (key_id)",
            "CREATE INDEX walet_reservation_instance ON walet_reservation (instance_id)",
            """
            CREATE TABLE walet_ledger (
                sequence {id}, request_id TEXT NOT NULL UNIQUE, instance_id TEXT NOT NULL, key_id TEXT NOT NULL,
                tenant TEXT NOT NULL, model TEXT NOT NULL, endpoint TEXT NOT NULL, prompt INTEGER NOT NULL,
                fresh INTEGER NOT NULL, cached INTEGER NOT NULL, output INTEGER NOT NULL, reasoning INTEGER NOT NULL,
                price_id INTEGER NOT NULL, reserved INTEGER NOT NULL, cost INTEGER NOT NULL, outcome TEXT NOT NULL,
                error TEXT, queue INTEGER NOT NULL, prefill INTEGER NOT NULL, decode INTEGER NOT NULL,
                started_at INTEGER NOT NULL, settled_at INTEGER NOT NULL, day INTEGER NOT NULL, nonce INTEGER NOT NULL,
                CHECK (fresh + cached = prompt AND reasoning <= output AND cost >= 0)) {strict}
            """,
            "CREATE INDEX walet_ledger_time ON walet_ledger (started_at)",
            """
            CREATE TABLE walet_spend (
                key_id TEXT NOT NULL, day INTEGER NOT NULL, spent INTEGER NOT NULL, reserved INTEGER NOT NULL,
                PRIMARY KEY (key_id, day)) {strict}
            """,
            """
            CREATE TABLE walet_window (
                key_id TEXT NOT NULL, second INTEGER NOT NULL, requests INTEGER NOT NULL, tokens INTEGER NOT NULL,
                PRIMARY KEY (key_id, second)) {strict}
            """,
        ],
        sqlite: ["walet_ledger", "walet_price"].flatMap { table in
            ["UPDATE", "DELETE"].map { action in
                """
                CREATE TRIGGER \(table)_no_\(action.lowercased()) BEFORE \(action) ON \(table)
                BEGIN SELECT RAISE(ABORT, '\(table) is append-only'); END
                """
            }
        },
        postgres: [
            """
            CREATE FUNCTION walet_append_only() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$
            """,
            """
            CREATE TRIGGER walet_ledger_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON walet_ledger
            FOR EACH STATEMENT EXECUTE FUNCTION walet_append_only()
            """,
            """
            CREATE TRIGGER walet_price_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON walet_price
            FOR EACH STATEMENT EXECUTE FUNCTION walet_append_only()
            """,
        ])

    /// The journal of what was done to keys. An audit log has what has a `recorded_at`; the server that `claimed_by` names
    /// is about to record it.
    private static let version2 = Migration([
        """
        CREATE TABLE walet_key_action (
            id {id}, done_at INTEGER NOT NULL, action TEXT NOT NULL, key_id TEXT NOT NULL, tenant TEXT NOT NULL,
            done_by TEXT NOT NULL, details TEXT NOT NULL, claimed_by TEXT, recorded_at INTEGER,
            CHECK (action IN ('create', 'set', 'revoke'))) {strict}
        """,
        "CREATE INDEX walet_key_action_recorded ON walet_key_action (recorded_at, id)",
    ])

    /// Brings the tables to the newest version that is known, in one transaction.
    /// - Throws: ``AccountsError/newerSchema(database:found:supported:)``, or `StoreError`: what the database says.
    package static func migrate(_ store: any Store, _ migrations: [Migration] = migrations) throws {
        // The common case needs no right to write.
        let found = try store.transaction(.lookup) { try version($0) }
        if found == migrations.count { return }
        try check(found, migrations, store)
        try store.transaction(.write) { connection in
            // Two that open a new database at the same time: the second waits, and finds the work done.
            if connection.dialect == .postgres {
                _ = try connection.query("SELECT pg_advisory_xact_lock(?1)::text", [.integer(0x77616c6574)])
            }
            let found = try version(connection)
            try check(found, migrations, store)
            if found == 0 {
                try refuseForeign(connection)
                try connection.script("CREATE TABLE walet_schema (version BIGINT PRIMARY KEY)")
            }
            for (index, migration) in migrations.enumerated().dropFirst(found) {
                let statements = connection.dialect == .sqlite ? migration.sqlite : migration.postgres
                for statement in statements { try connection.script(statement) }
                try connection.execute("INSERT INTO walet_schema (version) VALUES (?1)", [SQLValue(index + 1)])
            }
        }
    }

    private static func check(_ found: Int, _ migrations: [Migration], _ store: any Store) throws {
        if found > migrations.count {
            throw AccountsError.newerSchema(database: store.name, found: found, supported: migrations.count)
        }
    }

    /// 0 where there are no tables yet.
    private static func version(_ connection: any SQLConnection) throws -> Int {
        let exists =
            switch connection.dialect {
            case .sqlite: "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'walet_schema'"
            case .postgres: "SELECT COUNT(*) FROM pg_catalog.pg_class WHERE oid = to_regclass('walet_schema')"
            }
        guard try connection.query(exists).first?.integer(0) == 1 else { return 0 }
        let version = try connection.query("SELECT COALESCE(MAX(version), 0) FROM walet_schema").first?.integer(0) ?? 0
        return Int(clamping: version)
    }

    /// A file of SQLite belongs to one program; a PostgreSQL database may be shared.
    private static func refuseForeign(_ connection: any SQLConnection) throws {
        guard connection.dialect == .sqlite,
            let table = try connection.query("SELECT name FROM sqlite_master WHERE type = 'table' LIMIT 1").first
        else { return }
        throw StoreError(.foreign, "it has a table '\(AccountsError.excerpt(try table.text(0)))'")
    }
}
