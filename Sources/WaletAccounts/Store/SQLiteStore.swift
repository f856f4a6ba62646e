// Accounts in a file: SQLite through GRDB, with a write-ahead log.

import Foundation
import GRDB

/// One writer and several readers on one file, which other processes may use at the same time.
final class SQLiteStore: Store {
    let dialect = SQLDialect.sqlite
    let name: String
    private let pool: DatabasePool

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
        configuration.maximumReaderCount = 4
        configuration.prepareDatabase { database in
            // A trigger or view that somebody planted in the file may not call functions with side effects.
            try database.execute(sql: "PRAGMA trusted_schema = OFF")
        }
        pool = try Self.translating { try DatabasePool(path: path, configuration: configuration) }
        // FULL: a commit is on the disk when it returns. NORMAL: it is with the operating system, which keeps it when
        // this process dies, but not when the power fails. GRDB sets NORMAL at opening, hence only now.
        try Self.translating {
            try pool.writeWithoutTransaction { database in
                try database.execute(sql: "PRAGMA synchronous = \(durability == .full ? "FULL" : "NORMAL")")
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
        try Self.translating {
            switch lane {
            case .write:
                try pool.writeWithoutTransaction { database in
                    try database.beginTransaction(.immediate)
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
            case .lookup, .report:
                try pool.read { database in try body(SQLiteConnection(database: database)) }
            }
        }
    }

    func close() { try? pool.close() }

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
