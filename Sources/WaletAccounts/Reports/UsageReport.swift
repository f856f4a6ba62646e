// Sums over the ledger.

import Foundation
import WaletJSON

/// What was used, by whatever it was asked for. The totals are the sums of the rows, to the last nano-dollar.
public struct UsageReport: Sendable, Hashable {
    public struct Row: Sendable, Hashable {
        /// One value for each of the report's groupings: a key's id, a tenant, "2026-11-25", …
        public var group: [String]
        /// The name of the key, where the report is by key.
        public var keyName: String?
        public var requests: Int
        /// Those of `requests` that a crash left unsettled; they have no tokens and cost nothing.
        public var unsettled: Int
        public var tokens: TokenCounts
        public var cost: Money
        /// What the same tokens would have cost elsewhere, in the order of the report's `comparison`.
        public var elsewhere: [Money]
    }

    public let groupings: [UsageQuery.Grouping]
    public let from: Date?
    public let to: Date?
    public let comparison: [ListPrice]
    public let rows: [Row]
    public let total: Row

    init(_ query: UsageQuery, rows: [Row]) throws {
        groupings = query.groupings
        from = query.from
        to = query.to
        comparison = query.comparison
        self.rows = rows
        var total = Row(
            group: query.groupings.map { _ in "" }, keyName: nil, requests: 0, unsettled: 0, tokens: .none, cost: .zero,
            elsewhere: query.comparison.map { _ in .zero })
        for row in rows { try total.add(row) }
        self.total = total
    }
}

extension UsageReport.Row {
    mutating func add(_ other: Self) throws(AccountsError) {
        requests += other.requests
        unsettled += other.unsettled
        tokens = try tokens.adding(other.tokens)
        cost = try cost.adding(other.cost, "the total cost")
        for index in elsewhere.indices {
            elsewhere[index] = try elsewhere[index].adding(other.elsewhere[index], "the total cost elsewhere")
        }
    }
}

extension Accounts {
    /// Sums the ledger.
    /// - Throws: ``AccountsError``, ``AccountsError/overflow(_:)`` for a sum beyond 64 bits.
    public func usage(_ query: UsageQuery) async throws -> UsageReport {
        try query.validate()
        return try await lanes.run(.report) { connection in
            let keyID = try query.key.map { try KeyTable.find($0, locking: false, connection).id }
            let (condition, arguments) = query.condition(keyID: keyID)
            let columns = query.groupings.map(\.column)
            // With no grouping, the sum over nothing is a row of nulls, hence the grouping by a constant.
            let grouping = columns.isEmpty ? "" : "GROUP BY " + Set(columns).sorted().joined(separator: ", ")
            let sums = ["prompt", "fresh", "cached", "output", "reasoning", "cost"].map { "SUM(l.\($0))" }
            let selection =
                columns + ["COUNT(*)", "SUM(CASE WHEN l.outcome = 'unsettled' THEN 1 ELSE 0 END)"] + sums
            let found = try connection.query(
                "SELECT \(selection.joined(separator: ", ")) FROM walet_ledger l \(condition) \(grouping)", arguments)

            let isByKey = query.groupings.contains(.key)
            let names =
                isByKey
                ? try Dictionary(KeyTable.all(connection).map { ($0.id, $0.name) }, uniquingKeysWith: { $1 }) : [:]
            // Two names that Swift takes for the same, since only their accents are composed otherwise, are two.
            var rows: [[[UInt8]]: UsageReport.Row] = [:]
            for row in found {
                let first = columns.count
                guard try row.integer(first) > 0 else { continue }
                func sum(_ index: Int) throws -> Int { Int(try row.integer(first + index)) }
                let group = try query.groupings.enumerated().map { index, grouping in
                    switch grouping {
                    case .day: UTCDay(number: Int(try row.integer(index))).description
                    case .month: UTCDay(number: Int(try row.integer(index))).monthText
                    default: try row.text(index)
                    }
                }
                let tokens = TokenCounts(
                    prompt: try sum(2), fresh: try sum(3), cached: try sum(4), output: try sum(5), reasoning: try sum(6)
                )
                let part = UsageReport.Row(
                    group: group,
                    keyName: query.groupings.firstIndex(of: .key).map { names[group[$0]] ?? "" },
                    requests: try sum(0), unsettled: try sum(1), tokens: tokens,
                    cost: Money(nanodollars: try row.integer(first + 7)), elsewhere: [])
                let place = group.map { Array($0.utf8) }
                if rows[place] == nil { rows[place] = part } else { try rows[place]?.add(part) }
            }
            let priced = try rows.values.map { row in
                var row = row
                row.elsewhere = try query.comparison.map {
                    try $0.price.cost(fresh: row.tokens.fresh, cached: row.tokens.cached, output: row.tokens.output)
                }
                return row
            }
            return try UsageReport(
                query,
                rows: priced.sorted { left, right in
                    // By bytes, the same on every store and in every locale.
                    left.group.lexicographicallyPrecedes(right.group) { $0.utf8.lexicographicallyPrecedes($1.utf8) }
                })
        }
    }
}
