// What the accounts need of a database: a few statements of SQL that SQLite and PostgreSQL both understand.

package enum SQLValue: Sendable, Hashable {
    case null
    case integer(Int64)
    case text(String)

    package init(_ value: Int) { self = .integer(Int64(value)) }
    init(_ value: Int64?) { self = value.map(SQLValue.integer) ?? .null }
    init(_ value: String?) { self = value.map(SQLValue.text) ?? .null }
}

/// One row of an answer. Each read checks the type: a file that somebody edited must not make numbers of nothing.
package struct SQLRow: Sendable {
    let values: [SQLValue]

    package func integer(_ index: Int) throws(StoreError) -> Int64 {
        guard case .integer(let value) = try value(index) else { throw wrong(index, "an integer") }
        return value
    }

    package func text(_ index: Int) throws(StoreError) -> String {
        guard case .text(let value) = try value(index) else { throw wrong(index, "text") }
        return value
    }

    func optionalInteger(_ index: Int) throws(StoreError) -> Int64? {
        try value(index) == .null ? nil : try integer(index)
    }

    func optionalText(_ index: Int) throws(StoreError) -> String? {
        try value(index) == .null ? nil : try text(index)
    }

    private func value(_ index: Int) throws(StoreError) -> SQLValue {
        guard values.indices.contains(index) else { throw wrong(index, "a value") }
        return values[index]
    }

    private func wrong(_ index: Int, _ expected: String) -> StoreError {
        StoreError(.corrupt, "expected \(expected) in column \(index) of a row")
    }
}

/// What a database said instead of doing it.
package struct StoreError: Error {
    let problem: AccountsError.Problem
    let detail: String
    /// Nothing is wrong with the statements: the connection broke or two transactions met. The same may work now.
    var isTransient = false
    /// The connection broke while the transaction was being committed, so that nobody knows whether it was.
    var isCommitUnknown = false

    init(_ problem: AccountsError.Problem, _ detail: String, isTransient: Bool = false) {
        self.problem = problem
        self.detail = detail.split(whereSeparator: \.isNewline).joined(separator: "; ")
        self.isTransient = isTransient
    }

    /// It would be the same for any other statement, so that trying others is a waste of time.
    var concernsAll: Bool {
        switch problem {
        case .locked, .readOnly, .full, .cannotOpen, .unreachable, .denied, .foreign: true
        case .corrupt, .overflow, .failed: false
        }
    }
}

/// The differences between the two languages.
package enum SQLDialect: Sendable {
    case sqlite
    case postgres

    /// A condition's right side: "is one of", for a parameter that `list` made.
    func isOneOf(_ parameter: String) -> String {
        switch self {
        case .sqlite: "IN (SELECT value FROM json_each(\(parameter)))"
        case .postgres: "= ANY(\(parameter)::text[])"
        }
    }

    func list(_ values: some Sequence<String>) -> SQLValue {
        // Scalar by scalar: with an accent upon it, a quotation mark would be another character, and not escaped.
        func quoted(_ text: String) -> String {
            var result = "\""
            for scalar in text.unicodeScalars {
                if scalar == "\\" || scalar == "\"" { result.unicodeScalars.append("\\") }
                result.unicodeScalars.append(scalar)
            }
            return result + "\""
        }
        let items = values.map(quoted).joined(separator: ",")
        return switch self {
        case .sqlite: .text("[\(items)]")
        case .postgres: .text("{\(items)}")
        }
    }

    /// At the end of a SELECT: the rows stay as they are until the transaction ends. SQLite's writers are alone anyway.
    var lockingRows: String {
        switch self {
        case .sqlite: ""
        case .postgres: " FOR UPDATE"
        }
    }
}

/// A connection, within a transaction. Parameters are written ?1, ?2, …
package protocol SQLConnection {
    var dialect: SQLDialect { get }
    func query(_ sql: String, _ arguments: [SQLValue]) throws -> [SQLRow]
    /// Runs a statement once for each set of arguments.
    func execute(_ sql: String, _ argumentSets: [[SQLValue]]) throws
    /// Runs statements without parameters.
    func script(_ sql: String) throws
}

extension SQLConnection {
    package func query(_ sql: String) throws -> [SQLRow] { try query(sql, []) }
    package func execute(_ sql: String, _ arguments: [SQLValue] = []) throws { try execute(sql, [arguments]) }
}

/// What a connection is for. Each lane has a connection and a thread of its own, so that a long report holds up nobody.
package enum Lane: Sendable, CaseIterable {
    /// All that changes something.
    case write
    /// Short questions that a request waits for.
    case lookup
    /// Reads for people: one consistent state of the database, as long as it takes.
    case report
}

/// A database. A lane is used by one thread at a time.
package protocol Store: AnyObject, Sendable {
    var dialect: SQLDialect { get }
    /// Names the database in errors, without its password.
    var name: String { get }
    /// Runs `body` in a transaction; rolled back where it throws. Blocks.
    func transaction<Value>(_ lane: Lane, _ body: (any SQLConnection) throws -> Value) throws -> Value
    func close()
}
