// A key and what it has used, for its operator.

import Foundation

/// What a key has used at a moment.
public struct KeyStatus: Sendable, Hashable {
    public let key: AccessKey
    /// Of requests of this UTC day and month that are settled.
    public let spentToday: Money
    public let spentThisMonth: Money
    /// Held for requests of this month that are not.
    public let reserved: Money
    /// Requests that are reserved and not settled.
    public let running: Int
    /// Requests that began within the last 60 seconds, and their tokens so far: prompts, and the output of those that ended.
    public let requestsLastMinute: Int
    public let tokensLastMinute: Int

    static func load(_ keys: [AccessKey], at now: Int64, _ connection: any SQLConnection) throws -> [KeyStatus] {
        let dialect = connection.dialect
        let ids = dialect.list(keys.map(\.id))
        let today = UTCDay(microseconds: now)
        let isOne = "key_id \(dialect.isOneOf("?1"))"

        var spent: [String: (today: Money, month: Money, reserved: Money)] = [:]
        for row in try connection.query(
            "SELECT key_id, day, spent, reserved FROM walet_spend WHERE \(isOne) AND day BETWEEN ?2 AND ?3",
            [ids, SQLValue(today.monthStart.number), SQLValue(today.monthEnd.number)])
        {
            var sums = spent[try row.text(0)] ?? (.zero, .zero, .zero)
            let amount = Money(nanodollars: try row.integer(2))
            if try row.integer(1) == today.number { sums.today = amount }
            sums.month = try sums.month.adding(amount, "a key's spend")
            sums.reserved = try sums.reserved.adding(Money(nanodollars: try row.integer(3)), "a key's reservations")
            spent[try row.text(0)] = sums
        }
        var running: [String: Int] = [:]
        for row in try connection.query(
            "SELECT key_id, COUNT(*) FROM walet_reservation WHERE \(isOne) GROUP BY key_id", [ids])
        {
            running[try row.text(0)] = Int(try row.integer(1))
        }
        var recent: [String: (requests: Int, tokens: Int)] = [:]
        for (table, tokens) in [("walet_reservation", "prompt"), ("walet_ledger", "prompt + output")] {
            for row in try connection.query(
                "SELECT key_id, COUNT(*), SUM(\(tokens)) FROM \(table) WHERE started_at > ?2 AND \(isOne) GROUP BY key_id",
                [ids, .integer(now - 60_000_000)])
            {
                let old = recent[try row.text(0)] ?? (0, 0)
                recent[try row.text(0)] = (old.0 + Int(try row.integer(1)), old.1 &+ Int(try row.integer(2)))
            }
        }
        return keys.map { key in
            let sums = spent[key.id] ?? (.zero, .zero, .zero)
            return KeyStatus(
                key: key, spentToday: sums.today, spentThisMonth: sums.month, reserved: sums.reserved,
                running: running[key.id] ?? 0, requestsLastMinute: recent[key.id]?.requests ?? 0,
                tokensLastMinute: recent[key.id]?.tokens ?? 0)
        }
    }
}
