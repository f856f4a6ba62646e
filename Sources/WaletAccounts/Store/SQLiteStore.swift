// Accounts in a file: SQLite through GRDB, with a write-ahead log.

import Foundation
import GRDB

/// A connection for each lane to one file, which other processes may use at the same time: one that writes, two that read
/// while it does.
final class SQLiteStore: Store {
    let dialect = SQLDialect.sqlite
    let name: String
    private let writer: DatabaseQueue
    private let lookups: DatabaseQueue
    private let reports: DatabaseQueue

    /// How long a writer waits for another process's.
    static let lockTimeout = 5.0

    /// - Throws: ``AccountsError/noDatabase(path:)``, or `StoreError` for the rest.
    init(path: String, durability: Durability, create: Bool) throws {
        // An absolute path is never one of the names that mean something to SQLite (":memory:", "file:…").
        let path = URL(filePath: path).standardizedFileURL.path
        name = path
        try Self.prepareFile(path, create: create)

        var configuration = GRDB.Configuration()
        configuration.label = "walet.accounts"
        configuration.busyMode = .timeout(Self.lockTimeout)
        configuration.foreignKeysEnabled = false
        configuration.prepareDatabase { database in
            // A trigger or view that somebody planted in the file may not call functions with side effects.
            try database.execute(sql: "PRAGMA trusted_schema = OFF")
        }
        // Not opened as read-only: who reads first after a crash must be able to put the log in order.
        var readerConfiguration = configuration
        readerConfiguration.prepareDatabase { database in try database.execute(sql: "PRAGMA query_only = ON") }
        (writer, lookups, reports) = try Self.translating {
            let writer = try DatabaseQueue(path: path, configuration: configuration)
            try writer.writeWithoutTransaction { database in
                try Self.turnToWriteAheadLog(database)
                // FULL: a commit is on the disk when it returns. NORMAL: it is with the operating system, which keeps it
                // when this process dies, but not when the power fails.
                try database.execute(sql: "PRAGMA synchronous = \(durability == .full ? "FULL" : "NORMAL")")
            }
            return (
                writer, try DatabaseQueue(path: path, configuration: readerConfiguration),
                try DatabaseQueue(path: path, configuration: readerConfiguration)
            )
        }
    }

    /// Readers and a writer at the same time. The file remembers it, so that this changes only a new one.
    private static func turnToWriteAheadLog(_ database: Database) throws {
        let end = ContinuousClock.now + .seconds(lockTimeout)
        while true {
            do {
                let mode = try String.fetchOne(database, sql: "PRAGMA journal_mode")
                if mode == "wal" { return }
                let changed = try String.fetchOne(database, sql: "PRAGMA journal_mode = WAL")
                guard changed == "wal" else {
                    throw StoreError(
                        .cannotOpen, "its file system has no write-ahead log (journal mode \(changed ?? "?"))")
                }
                return
            } catch let error as DatabaseError where error.resultCode == .SQLITE_BUSY && ContinuousClock.now < end {
                // SQLite does not wait here by itself while others open the same new file.
                usleep(10_000)
            }
        }
    }

    /// The file holds hashes and everybody's usage: for its owner only. SQLite gives its other files the same mode.
    private static func prepareFile(_ path: String, create: Bool) throws {
        guard !FileManager.default.fileExists(atPath: path) else { return }
        guard create else { throw AccountsError.noDatabase(path: path) }
        let folder = URL(filePath: path).deletingLastPathComponent().path
        do {
            try FileManager.default.createDirectory(
                atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            throw StoreError(.cannotOpen, "its folder \(folder) cannot be made")
        }
        guard makePrivateFile(path) else { throw StoreError(.cannotOpen, String(cString: strerror(errno))) }
    }

    func transaction<Value>(_ lane: Lane, _ body: (any SQLConnection) throws -> Value) throws -> Value {
        let (queue, kind): (DatabaseQueue, Database.TransactionKind) =
            switch lane {
            case .write: (writer, .immediate)
            case .lookup: (lookups, .deferred)
            case .report: (reports, .deferred)
            }
        return try Self.translating {
            try queue.writeWithoutTransaction { database in
                try database.beginTransaction(kind)
                do {
                    let value = try body(SQLiteConnection(database: database))
                    try database.commit()
                    return value
                } catch {
                    // Fails where SQLite has rolled back by itself, which it does when the disk is full.
                    try? database.rollback()
                    throw error
                }
            }
        }
    }

    /// The writer last: the last connection of all folds the log into the file and removes it, if it may write.
    func close() {
        for queue in [lookups, reports, writer] { try? queue.close() }
    }

    /// Runs `body`, and says GRDB's errors in our words.
    private static func translating<Value>(_ body: () throws -> Value) throws -> Value {
        do {
            return try body()
        } catch let error as DatabaseError {
            throw StoreError(error)
        }
    }
}

private func makePrivateFile(_ path: String) -> Bool {
    let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    return descriptor >= 0 && close(descriptor) == 0
}

extension StoreError {
    init(_ error: DatabaseError) {
        let message = error.message ?? "no message"
        let problem: AccountsError.Problem =
            switch error.resultCode {
            case .SQLITE_BUSY, .SQLITE_LOCKED: .locked
            case .SQLITE_READONLY: .readOnly
            case .SQLITE_CORRUPT, .SQLITE_NOTADB: .corrupt
            case .SQLITE_FULL: .full
            case .SQLITE_CANTOPEN, .SQLITE_PERM, .SQLITE_AUTH: .cannotOpen
            case .SQLITE_ERROR where message == "integer overflow": .overflow
            default: .failed
            }
        self.init(problem, "SQLite \(error.extendedResultCode.rawValue): \(message)")
    }
}

private struct SQLiteConnection: SQLConnection {
    let database: Database
    var dialect: SQLDialect { .sqlite }

    func query(_ sql: String, _ arguments: [SQLValue]) throws -> [SQLRow] {
        let statement = try database.cachedStatement(sql: sql)
        let cursor = try Row.fetchCursor(statement, arguments: StatementArguments(arguments.map(\.databaseValue)))
        var rows: [SQLRow] = []
        while let row = try cursor.next() {
            rows.append(SQLRow(values: try row.databaseValues.map { try SQLValue($0) }))
        }
        return rows
    }

    func execute(_ sql: String, _ argumentSets: [[SQLValue]]) throws {
        let statement = try database.cachedStatement(sql: sql)
        for arguments in argumentSets {
            try statement.execute(arguments: StatementArguments(arguments.map(\.databaseValue)))
        }
    }

    func script(_ sql: String) throws { try database.execute(sql: sql) }
}

extension SQLValue {
    fileprivate var databaseValue: DatabaseValue {
        switch self {
        case .null: .null
        case .integer(let value): value.databaseValue
        case .text(let value): value.databaseValue
        }
    }

    fileprivate init(_ value: DatabaseValue) throws {
        switch value.storage {
        case .null: self = .null
        case .int64(let integer): self = .integer(integer)
        case .string(let string): self = .text(string)
        case .double, .blob: throw StoreError(.corrupt, "a column holds neither an integer nor text")
        }
    }
}
