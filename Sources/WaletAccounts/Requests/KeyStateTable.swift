// What keys have used, in the database: spend by day, requests and tokens by second.

import Foundation

enum KeyStateTable {
    /// The state of keys that are locked already.
    static func load(_ keys: [AccessKey], at now: Int64, _ connection: any SQLConnection) throws -> [String: KeyState] {
        guard !keys.isEmpty else { return [:] }
        let dialect = connection.dialect
        let today = UTCDay(microseconds: now)
        var states = Dictionary(keys.map { ($0.id, KeyState(key: $0, today: today)) }) { $1 }

        for row in try connection.query(
            "SELECT key_id, day, spent, reserved FROM walet_spend WHERE key_id \(dialect.isOneOf("?1")) AND day BETWEEN ?2 AND ?3",
            [dialect.list(keys.map(\.id)), SQLValue(today.monthStart.number), SQLValue(today.monthEnd.number)])
        {
            let (sum, overflow) = try row.integer(2).addingReportingOverflow(try row.integer(3))
            states[try row.text(0)]?.committed[Int(try row.integer(1))] = overflow ? .max : sum
        }
        let concurrent = keys.filter { $0.limits.concurrency != nil }.map(\.id)
        if !concurrent.isEmpty {
            for row in try connection.query(
                "SELECT key_id, COUNT(*) FROM walet_reservation WHERE key_id \(dialect.isOneOf("?1")) GROUP BY key_id",
                [dialect.list(concurrent)])
            {
                states[try row.text(0)]?.running = Int(try row.integer(1))
            }
        }
        let rated = keys.filter(\.limits.isRateLimited).map(\.id)
        if !rated.isEmpty {
            let seconds = KeyState.window(at: now)
            for row in try connection.query(
                "SELECT key_id, second, requests, tokens FROM walet_window WHERE key_id \(dialect.isOneOf("?1")) AND second BETWEEN ?2 AND ?3",
                [dialect.list(rated), .integer(seconds.lowerBound), .integer(seconds.upperBound)])
            {
                states[try row.text(0)]?.window[try row.integer(1)] = (try row.integer(2), try row.integer(3))
            }
        }
        return states
    }
}

/// Changes of what keys have spent and reserved, summed by key and day.
struct SpendChanges {
    private struct Place: Hashable {
        let key: String
        let day: Int
    }

    private var changes: [Place: (spent: Int64, reserved: Int64)] = [:]

    mutating func add(key: String, day: Int, spent: Int64, reserved: Int64) {
        let old = changes[Place(key: key, day: day)] ?? (0, 0)
        // Within a batch of at most 256 of amounts that are each checked; what overflows even so, the database refuses.
        changes[Place(key: key, day: day)] = (old.spent &+ spent, old.reserved &+ reserved)
    }

    func write(to connection: any SQLConnection) throws {
        try connection.execute(
            """
            INSERT INTO walet_spend (key_id, day, spent, reserved) VALUES (?1, ?2, ?3, ?4)
            ON CONFLICT (key_id, day) DO UPDATE SET
                spent = walet_spend.spent + excluded.spent, reserved = walet_spend.reserved + excluded.reserved
            """,
            changes.map { [.text($0.key), SQLValue($0.day), .integer($1.spent), .integer($1.reserved)] })
    }
}

/// Changes of what keys have used in the last minute.
struct RateChanges {
    private struct Place: Hashable {
        let key: String
        let second: Int64
    }

    private var additions: [Place: (requests: Int64, tokens: Int64)] = [:]
    private var corrections: [Place: Int64] = [:]

    mutating func add(key: String, second: Int64, tokens: Int64) {
        let old = additions[Place(key: key, second: second)] ?? (0, 0)
        additions[Place(key: key, second: second)] = (old.requests + 1, old.tokens &+ tokens)
    }

    mutating func correct(key: String, second: Int64, tokens: Int64) {
        corrections[Place(key: key, second: second), default: 0] &+= tokens
    }

    func write(to connection: any SQLConnection, at now: Int64) throws {
        let seconds = KeyState.window(at: now)
        try connection.execute(
            "UPDATE walet_window SET tokens = tokens + ?3 WHERE key_id = ?1 AND second = ?2",
            corrections.compactMap { place, tokens in
                seconds.contains(place.second) && tokens != 0
                    ? [.text(place.key), .integer(place.second), .integer(tokens)] : nil
            })
        guard !additions.isEmpty else { return }
        try connection.execute(
            """
            INSERT INTO walet_window (key_id, second, requests, tokens) VALUES (?1, ?2, ?3, ?4)
            ON CONFLICT (key_id, second) DO UPDATE SET
                requests = walet_window.requests + excluded.requests, tokens = walet_window.tokens + excluded.tokens
            """,
            additions.map { [.text($0.key), .integer($0.second), .integer($1.requests), .integer($1.tokens)] })
        try connection.execute(
            "DELETE FROM walet_window WHERE key_id = ?1 AND NOT second BETWEEN ?2 AND ?3",
            Set(additions.keys.map(\.key)).map {
                [.text($0), .integer(seconds.lowerBound), .integer(seconds.upperBound)]
            })
    }
}
