// Accounts on a server that several machines share: PostgreSQL through libpq.

import CPQ
import Foundation
import Synchronization

/// A connection a lane, opened when it is first used, and again after it broke.
final class PostgresStore: Store {
    let dialect = SQLDialect.postgres
    let name: String
    private let url: String
    private let durability: Durability
    private let connections = Mutex<[Lane: PostgresConnection]>([:])

    /// - Throws: `AccountsError` where the URL is none.
    init(url: String, durability: Durability) throws(AccountsError) {
        self.url = url
        self.durability = durability
        name = try Self.describe(url)
    }

    func transaction<Value>(_ lane: Lane, _ body: (any SQLConnection) throws -> Value) throws -> Value {
        let connection = try connection(lane)
        do {
            try connection.begin(lane)
            let value = try body(connection)
            try connection.commit()
            return value
        } catch {
            connection.rollback()
            if connection.isBroken { connections.withLock { $0[lane] = nil } }
            throw error
        }
    }

    private func connection(_ lane: Lane) throws -> PostgresConnection {
        if let connection = connections.withLock({ $0[lane] }), !connection.isBroken { return connection }
        // Outside of the lock, since it may take seconds. A lane has one thread, so that nobody else opens the same.
        let connection = try PostgresConnection(url: url, lane: lane, durability: durability)
        connections.withLock { $0[lane] = connection }
        return connection
    }

    func close() { connections.withLock { $0.removeAll() } }

    /// The database in words: whose, where, but no password. libpq reads the URL, so that it cannot be misunderstood.
    private static func describe(_ url: String) throws(AccountsError) -> String {
        var message: UnsafeMutablePointer<CChar>?
        guard let options = PQconninfoParse(url, &message) else {
            // libpq's message quotes parts of the URL, which may be the password.
            PQfreemem(message)
            throw .invalid(
                field: "database", expected: "postgres://USER@HOST:PORT/NAME as libpq reads it",
                found: "a URL that it cannot read")
        }
        defer { PQconninfoFree(options) }
        var values: [String: String] = [:]
        var option = options
        while let keyword = option.pointee.keyword {
            if let value = option.pointee.val { values[String(cString: keyword)] = String(cString: value) }
            option += 1
        }
        var text = "PostgreSQL"
        if let name = values["dbname"] { text += " database '\(AccountsError.excerpt(name))'" }
        if let host = values["host"] ?? values["hostaddr"] { text += " on \(AccountsError.excerpt(host))" }
        if let port = values["port"] { text += ":\(AccountsError.excerpt(port))" }
        return text
    }
}

/// One connection of libpq.
///
/// `@unchecked Sendable`: libpq allows any thread to use a connection as long as one does at a time, and a lane has one
/// thread. The store hands a connection to nobody else.
private final class PostgresConnection: SQLConnection, @unchecked Sendable {
    let dialect = SQLDialect.postgres
    private let handle: OpaquePointer
    /// Prepared statements by their text.
    private var statements: [String: String] = [:]

    init(url: String, lane: Lane, durability: Durability) throws {
        // `dbname` is expanded, so that what the URL says comes after, and counts more than, what stands before it.
        let parameters = [
            ("fallback_application_name", "walet"), ("connect_timeout", "5"), ("tcp_user_timeout", "10000"),
            ("keepalives_idle", "30"), ("dbname", url), ("client_encoding", "UTF8"),
        ]
        let connected = Self.withCStrings(parameters.map(\.0)) { keywords in
            Self.withCStrings(parameters.map(\.1)) { values in PQconnectdbParams(keywords, values, 1) }
        }
        guard let connected else { throw StoreError(.failed, "out of memory") }
        // From here on deinit closes it, also where this throws.
        handle = connected
        guard PQstatus(handle) == CONNECTION_OK else {
            let message = String(cString: PQerrorMessage(handle)).trimmingCharacters(in: .whitespacesAndNewlines)
            throw Self.connectionError(message)
        }
        // Notices would go to standard error.
        PQsetNoticeProcessor(handle, { _, _ in }, nil)
        guard PQserverVersion(handle) >= 120_000 else {
            throw StoreError(.failed, "PostgreSQL 12 or newer is needed")
        }
        guard PQparameterStatus(handle, "server_encoding").map({ String(cString: $0) }) == "UTF8" else {
            throw StoreError(.failed, "the database's encoding must be UTF8")
        }
        try script(
            """
            SET statement_timeout = '\(lane == .report ? "10min" : "10s")';
            SET lock_timeout = '5s';
            SET idle_in_transaction_session_timeout = '60s';
            SET synchronous_commit = \(durability == .full ? "on" : "off");
            SET bytea_output = 'hex';
            """)
    }

    deinit { PQfinish(handle) }

    var isBroken: Bool { PQstatus(handle) != CONNECTION_OK }

    func begin(_ lane: Lane) throws {
        switch lane {
        case .write: try script("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
        case .lookup: try script("BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY")
        case .report: try script("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        }
    }

    func commit() throws {
        let result = PQexec(handle, "COMMIT")
        defer { PQclear(result) }
        do {
            try check(result)
        } catch var error as StoreError {
            error.isCommitUnknown = isBroken
            throw error
        }
        // A transaction in which a statement failed is "committed" by being rolled back.
        guard PQcmdStatus(result).map({ String(cString: $0) }) == "COMMIT" else {
            throw StoreError(.failed, "the transaction was rolled back")
        }
    }

    func rollback() {
        guard !isBroken, PQtransactionStatus(handle) != PQTRANS_IDLE else { return }
        PQclear(PQexec(handle, "ROLLBACK"))
    }

    func query(_ sql: String, _ arguments: [SQLValue]) throws -> [SQLRow] {
        let statement = try prepare(sql)
        let result = try Self.withArguments(arguments) { values in
            PQexecPrepared(handle, statement, Int32(arguments.count), values, nil, nil, 0)
        }
        defer { PQclear(result) }
        try check(result)
        let columns = PQnfields(result)
        return try (0..<PQntuples(result)).map { row in
            SQLRow(values: try (0..<columns).map { column in try Self.value(result, row, column) })
        }
    }

    func execute(_ sql: String, _ argumentSets: [[SQLValue]]) throws {
        guard argumentSets.count > 1 else {
            if let arguments = argumentSets.first { _ = try query(sql, arguments) }
            return
        }
        // All sets travel at once, and so do the answers: one round trip instead of one a set.
        let statement = try prepare(sql)
        guard PQenterPipelineMode(handle) == 1 else { throw lastError() }
        var failure: (any Error)?
        for arguments in argumentSets {
            let sent = try Self.withArguments(arguments) { values in
                PQsendQueryPrepared(handle, statement, Int32(arguments.count), values, nil, nil, 0)
            }
            if sent != 1 {
                failure = lastError()
                break
            }
        }
        guard PQpipelineSync(handle) == 1 else { throw failure ?? lastError() }
        // Each statement answers with a result and a nil; the end of the pipeline with a result of its own.
        var isDone = false
        while !isDone, !isBroken {
            while let result = PQgetResult(handle) {
                switch PQresultStatus(result) {
                case PGRES_PIPELINE_SYNC: isDone = true
                case PGRES_PIPELINE_ABORTED: break
                default:
                    do { try check(result) } catch { failure = failure ?? error }
                }
                PQclear(result)
                if isDone { break }
            }
        }
        if isBroken { throw failure ?? lastError() }
        guard PQexitPipelineMode(handle) == 1 else { throw failure ?? lastError() }
        if let failure { throw failure }
    }

    func script(_ sql: String) throws {
        let result = PQexec(handle, sql)
        defer { PQclear(result) }
        try check(result)
    }

    private func prepare(_ sql: String) throws -> String {
        if let name = statements[sql] { return name }
        let name = "walet_\(statements.count)"
        // ?1 is SQLite's, $1 PostgreSQL's. No statement has a question mark elsewhere.
        let result = PQprepare(handle, name, sql.replacing("?", with: "$"), 0, nil)
        defer { PQclear(result) }
        try check(result)
        statements[sql] = name
        return name
    }

    private func check(_ result: OpaquePointer?) throws {
        guard let result else { throw lastError() }
        switch PQresultStatus(result) {
        case PGRES_COMMAND_OK, PGRES_TUPLES_OK: return
        default:
            let state = PQresultErrorField(result, Int32(UInt8(ascii: "C"))).map { String(cString: $0) } ?? ""
            let message =
                PQresultErrorField(result, Int32(UInt8(ascii: "M"))).map { String(cString: $0) }
                ?? String(cString: PQerrorMessage(handle))
            throw Self.error(state: state, message, isBroken: isBroken)
        }
    }

    private func lastError() -> StoreError {
        Self.error(
            state: "", String(cString: PQerrorMessage(handle)).trimmingCharacters(in: .whitespacesAndNewlines),
            isBroken: isBroken)
    }

    /// SQLSTATE to our words (PostgreSQL's documentation, appendix A).
    private static func error(state: String, _ message: String, isBroken: Bool) -> StoreError {
        let detail = state.isEmpty ? message : "\(state): \(message)"
        if isBroken || state.hasPrefix("08") || state.hasPrefix("57P") {
            return StoreError(.unreachable, detail, isTransient: true)
        }
        return switch state {
        case "40001", "40P01": StoreError(.locked, detail, isTransient: true)
        case "55P03", "57014": StoreError(.locked, detail)
        case "53100": StoreError(.full, detail)
        case "25006": StoreError(.readOnly, detail)
        case "42501": StoreError(.denied, detail)
        case "22003": StoreError(.overflow, detail)
        case "XX001", "XX002": StoreError(.corrupt, detail)
        default: StoreError(state.hasPrefix("28") ? .denied : .failed, detail)
        }
    }

    /// A connection that failed has no SQLSTATE, only a message.
    private static func connectionError(_ message: String) -> StoreError {
        let denials = ["password", "authentication", "pg_hba", "role \""]
        if denials.contains(where: message.contains) { return StoreError(.denied, message) }
        if message.contains("does not exist") { return StoreError(.cannotOpen, message) }
        return StoreError(.unreachable, message)
    }

    private static func value(_ result: OpaquePointer?, _ row: Int32, _ column: Int32) throws -> SQLValue {
        guard PQgetisnull(result, row, column) == 0, let bytes = PQgetvalue(result, row, column) else { return .null }
        let text = String(cString: bytes)
        switch PQftype(result, column) {
        // int8, int4, int2, and numeric, which a sum of int8 is.
        case 20, 23, 21, 1700:
            guard let integer = Int64(text) else { throw StoreError(.overflow, "a sum of \(text)") }
            return .integer(integer)
        default: return .text(text)
        }
    }

    private static func withArguments<Value>(
        _ arguments: [SQLValue], _ body: (UnsafePointer<UnsafePointer<CChar>?>) throws -> Value
    ) throws -> Value {
        let texts = try arguments.map { argument -> String? in
            switch argument {
            case .null: return nil
            case .integer(let value): return "\(value)"
            case .text(let text):
                guard !text.utf8.contains(0) else { throw StoreError(.failed, "text holds the character NUL") }
                return text
            }
        }
        return try withCStrings(texts, body)
    }

    /// Calls `body` with an array of C strings that ends with nil.
    private static func withCStrings<Value>(
        _ texts: [String?], _ body: (UnsafePointer<UnsafePointer<CChar>?>) throws -> Value
    ) rethrows -> Value {
        let copies = texts.map { $0.flatMap { strdup($0) } }
        defer { for copy in copies { free(copy) } }
        let pointers = copies.map { UnsafePointer($0) } + [nil]
        return try pointers.withUnsafeBufferPointer { buffer in
            // Never empty, so that it has an address.
            try body(buffer.baseAddress!)
        }
    }
}
