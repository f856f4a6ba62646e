// Whether the ledger adds up: everything computed again from tokens and prices.

/// What a replay of the ledger found.
public struct LedgerVerification: Sendable, Hashable {
    public fileprivate(set) var rows = 0
    public fileprivate(set) var unsettled = 0
    /// Requests that run, and what is held for them.
    public fileprivate(set) var reservations = 0
    public fileprivate(set) var reserved = Money.zero
    public fileprivate(set) var tokens = TokenCounts.none
    public fileprivate(set) var cost = Money.zero
    /// What does not add up, the first hundred.
    public fileprivate(set) var mistakes: [String] = []
    public fileprivate(set) var mistakeCount = 0

    public var isCorrect: Bool { mistakeCount == 0 }

    fileprivate mutating func report(_ mistake: String) {
        mistakeCount += 1
        if mistakes.count < 100 { mistakes.append(mistake) }
    }
}

extension Accounts {
    /// Computes each row's cost again from its tokens and the price that it names, and from these what each key has spent
    /// and reserved each day, as of one moment.
    /// - Throws: ``AccountsError`` where the ledger cannot be read. What does not add up is in the answer.
    public func verifyLedger() async throws -> LedgerVerification {
        try await lanes.run(.report) { connection in
            var result = LedgerVerification()
            var replayed: [Place: (spent: Money, reserved: Money)] = [:]
            var last = 0
            while true {
                let page = try connection.query(
                    "\(LedgerTable.selection) WHERE l.sequence > ?1 ORDER BY l.sequence LIMIT 5000", [SQLValue(last)])
                for row in page {
                    last = Int(try row.integer(26))
                    let entry = try StoredEntry(row)
                    result.rows += 1
                    do {
                        let cost = try entry.price.cost(of: entry.counts)
                        if cost != entry.cost {
                            result.report("\(entry.requestID): costs \(cost) USD, and was charged \(entry.cost) USD")
                        }
                        if entry.outcome == .unsettled {
                            result.unsettled += 1
                            if entry.counts != .none { result.report("\(entry.requestID): unsettled, and has tokens") }
                        }
                        if entry.day != UTCDay(microseconds: entry.startedAt).number {
                            result.report("\(entry.requestID): counts against another day than its own")
                        }
                        result.tokens = try result.tokens.adding(entry.counts)
                        result.cost = try result.cost.adding(cost, "the total cost")
                        let place = Place(key: entry.keyID, day: entry.day)
                        replayed[place, default: (.zero, .zero)].spent =
                            try (replayed[place]?.spent ?? .zero).adding(cost, "a day's cost")
                    } catch let error as AccountsError {
                        result.report("\(entry.requestID): \(error)")
                    }
                }
                if page.isEmpty { break }
            }
            for stored in try ReservationTable.all(connection) {
                let reservation = stored.reservation
                result.reservations += 1
                result.reserved = try result.reserved.adding(reservation.worstCase, "the total reserved")
                let place = Place(key: reservation.keyID, day: stored.day)
                replayed[place, default: (.zero, .zero)].reserved =
                    try (replayed[place]?.reserved ?? .zero).adding(reservation.worstCase, "a day's reservations")
            }
            for row in try connection.query("SELECT key_id, day, spent, reserved FROM walet_spend ORDER BY key_id, day")
            {
                let place = Place(key: try row.text(0), day: Int(try row.integer(1)))
                let stored = (Money(nanodollars: try row.integer(2)), Money(nanodollars: try row.integer(3)))
                let expected = replayed.removeValue(forKey: place) ?? (.zero, .zero)
                if stored != expected {
                    result.report(
                        "\(place.key) on \(UTCDay(number: place.day)): spent \(expected.spent) and reserved \(expected.reserved) USD by its rows, \(stored.0) and \(stored.1) by its sum"
                    )
                }
            }
            for (place, sums) in replayed where sums != (.zero, .zero) {
                result.report("\(place.key) on \(UTCDay(number: place.day)): its sum is missing")
            }
            return result
        }
    }
}

private struct Place: Hashable {
    let key: String
    let day: Int
}
