// What a report is asked for.

import Foundation

/// Which of the ledger's rows are summed, and by what.
public struct UsageQuery: Sendable, Hashable {
    /// What rows of a report stand for.
    public enum Grouping: String, Sendable, Hashable, CaseIterable {
        case key
        case tenant
        case model
        case endpoint
        case outcome
        case day
        case month
    }

    /// In this order; a row for each combination that occurs.
    public var groupings: [Grouping]
    /// Requests that were reserved at this moment or later.
    public var from: Date?
    /// Requests that were reserved before this moment.
    public var to: Date?
    /// Only of this key, by id or name.
    public var key: String?
    public var tenant: String?
    public var model: String?
    /// Prices of others, to compare with.
    public var comparison: [ListPrice]

    public init(
        by groupings: [Grouping] = [.key], from: Date? = nil, to: Date? = nil, key: String? = nil,
        tenant: String? = nil, model: String? = nil, comparison: [ListPrice] = []
    ) {
        self.groupings = groupings
        self.from = from
        self.to = to
        self.key = key
        self.tenant = tenant
        self.model = model
        self.comparison = comparison
    }

    func validate() throws(AccountsError) {
        guard Set(groupings).count == groupings.count else {
            throw .invalid(
                field: "by", expected: "each grouping once", found: groupings.map(\.rawValue).joined(separator: ","))
        }
        if let from, let to, from > to {
            throw .invalid(
                field: "to", expected: "a moment after \(UTCTime.text(from))", found: UTCTime.text(to))
        }
    }

    /// The condition on the ledger, `l`, and its parameters. - Parameter keyID: of `key`.
    func condition(keyID: String?) -> (sql: String, arguments: [SQLValue]) {
        var conditions: [String] = []
        var arguments: [SQLValue] = []
        func add(_ condition: String, _ value: SQLValue?) {
            guard let value else { return }
            arguments.append(value)
            conditions.append("\(condition) ?\(arguments.count)")
        }
        add("l.started_at >=", from.map { .integer($0.microseconds) })
        add("l.started_at <", to.map { .integer($0.microseconds) })
        add("l.key_id =", keyID.map(SQLValue.text))
        add("l.tenant =", tenant.map(SQLValue.text))
        add("l.model =", model.map(SQLValue.text))
        return (conditions.isEmpty ? "" : "WHERE " + conditions.joined(separator: " AND "), arguments)
    }
}

extension UsageQuery.Grouping {
    /// What stands in the ledger for it; a month is summed from its days.
    var column: String {
        switch self {
        case .key: "l.key_id"
        case .tenant: "l.tenant"
        case .model: "l.model"
        case .endpoint: "l.endpoint"
        case .outcome: "l.outcome"
        case .day, .month: "l.day"
        }
    }
}
