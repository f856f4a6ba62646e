// Keys in the database.

import Foundation
import WaletJSON

enum KeyTable {
    private static let columns = """
        id, name, tenant, role, models, requests_per_minute, tokens_per_minute, concurrency, day_budget, month_budget,
        priority, created_at, expires_at, revoked_at
        """

    /// Keys by id. `locking`: they stay as they are until the transaction ends; always in the order of their ids, so that
    /// two transactions cannot wait for each other.
    static func load(_ ids: some Sequence<String>, locking: Bool, _ connection: any SQLConnection) throws
        -> [String: AccessKey]
    {
        let dialect = connection.dialect
        let rows = try connection.query(
            "SELECT \(columns) FROM walet_key WHERE id \(dialect.isOneOf("?1")) ORDER BY id"
                + (locking ? dialect.lockingRows : ""), [dialect.list(ids)])
        return try Dictionary(
            rows.map { ($0, try key($0)) }.map { ($1.id, $1) }, uniquingKeysWith: { first, _ in first })
    }

    /// All keys, the oldest first.
    static func all(_ connection: any SQLConnection) throws -> [AccessKey] {
        try connection.query("SELECT \(columns) FROM walet_key ORDER BY created_at, id").map(key)
    }

    /// Keys that can authenticate, with the hashes of their secrets.
    static func live(_ connection: any SQLConnection) throws -> [(key: AccessKey, hash: [UInt8])] {
        let rows = try connection.query(
            "SELECT \(columns), secret FROM walet_key WHERE revoked_at IS NULL AND secret IS NOT NULL")
        return try rows.map { row in
            guard let hash = Secret.bytes(hexadecimal: try row.text(14)) else {
                throw StoreError(.corrupt, "the hash of a key's secret is none")
            }
            return (try key(row), hash)
        }
    }

    /// The key with this id, or the only one with this name that is not revoked.
    static func find(_ reference: String, locking: Bool, _ connection: any SQLConnection) throws -> AccessKey {
        guard reference.utf8.count <= 256, !reference.utf8.contains(0) else {
            throw AccountsError.unknownKey(reference)
        }
        let rows = try connection.query(
            "SELECT id, revoked_at FROM walet_key WHERE id = ?1 OR name = ?1 ORDER BY id", [.text(reference)])
        let found = try rows.map { (id: try $0.text(0), isRevoked: try $0.optionalInteger(1) != nil) }
        let live = found.filter { !$0.isRevoked }
        let choices = found.contains { $0.id == reference } ? [reference] : (live.isEmpty ? found : live).map(\.id)
        guard let id = choices.first else { throw AccountsError.unknownKey(reference) }
        guard choices.count == 1 else { throw AccountsError.ambiguousKey(reference, ids: choices) }
        guard let key = try load([id], locking: locking, connection)[id] else {
            throw AccountsError.unknownKey(reference)
        }
        return key
    }

    /// - Parameter hash: of the secret; nil for a key without one.
    static func insert(_ key: AccessKey, hash: [UInt8]?, _ connection: any SQLConnection) throws {
        try connection.execute(
            "INSERT INTO walet_key (\(columns), secret) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
            values(key) + [SQLValue(hash.map(Secret.hexadecimal))])
        try announceChange(connection)
    }

    static func update(_ key: AccessKey, _ connection: any SQLConnection) throws {
        try connection.execute(
            """
            UPDATE walet_key SET name = ?2, tenant = ?3, role = ?4, models = ?5, requests_per_minute = ?6,
                tokens_per_minute = ?7, concurrency = ?8, day_budget = ?9, month_budget = ?10, priority = ?11,
                created_at = ?12, expires_at = ?13, revoked_at = ?14
            WHERE id = ?1
            """, values(key))
        try announceChange(connection)
    }

    /// Grows with each change of any key; who keeps keys in memory compares it.
    static func version(_ connection: any SQLConnection) throws -> Int64 {
        guard let row = try connection.query("SELECT value FROM walet_counter WHERE name = 'keys'").first else {
            throw StoreError(.corrupt, "the counter of changes to the keys is missing")
        }
        return try row.integer(0)
    }

    private static func announceChange(_ connection: any SQLConnection) throws {
        try connection.execute("UPDATE walet_counter SET value = value + 1 WHERE name = 'keys'")
    }

    private static func values(_ key: AccessKey) -> [SQLValue] {
        let limits = key.limits
        return [
            .text(key.id), .text(key.name), .text(key.tenant), .text(key.role.rawValue),
            SQLValue(key.models.map { JSONValue.array($0.map(JSONValue.string)).text() }),
            SQLValue(limits.requestsPerMinute.map(Int64.init)), SQLValue(limits.tokensPerMinute.map(Int64.init)),
            SQLValue(limits.concurrency.map(Int64.init)), SQLValue(limits.dayBudget?.nanodollars),
            SQLValue(limits.monthBudget?.nanodollars), SQLValue(key.priority), .integer(key.createdAt.microseconds),
            SQLValue(key.expiresAt?.microseconds), SQLValue(key.revokedAt?.microseconds),
        ]
    }

    private static func key(_ row: SQLRow) throws -> AccessKey {
        guard let role = Role(rawValue: try row.text(3)) else {
            throw StoreError(.corrupt, "a key has the unknown role '\(AccountsError.excerpt(try row.text(3)))'")
        }
        func count(_ index: Int) throws -> Int? { try row.optionalInteger(index).map { Int($0) } }
        func money(_ index: Int) throws -> Money? { try row.optionalInteger(index).map(Money.init(nanodollars:)) }
        func date(_ index: Int) throws -> Date? { try row.optionalInteger(index).map(Date.init(microseconds:)) }
        let specification = KeySpecification(
            name: try row.text(1), tenant: try row.text(2), role: role,
            models: try row.optionalText(4).map(models),
            limits: Limits(
                requestsPerMinute: try count(5), tokensPerMinute: try count(6), concurrency: try count(7),
                dayBudget: try money(8), monthBudget: try money(9)),
            priority: Int(try row.integer(10)), expiresAt: try date(12))
        do {
            try specification.validate()
        } catch {
            throw StoreError(.corrupt, "a key's \(error)")
        }
        return AccessKey(
            id: try row.text(0), specification: specification,
            createdAt: Date(microseconds: try row.integer(11)), revokedAt: try date(13))
    }

    private static func models(_ text: String) throws -> [String] {
        guard let list = try? JSONValue(parsing: text, maximumDepth: 2).arrayValue else {
            throw StoreError(.corrupt, "a key's list of models is none")
        }
        return try list.map { value in
            guard let name = value.stringValue else { throw StoreError(.corrupt, "a key's list of models is none") }
            return name
        }
    }
}
