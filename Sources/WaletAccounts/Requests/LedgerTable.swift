// The ledger in the database: rows are appended, never changed.

import Foundation

/// A row of the ledger that has no place in it yet, or whose place does not matter.
struct StoredEntry: Sendable {
    let requestID: String
    let instance: String
    let keyID: String
    let tenant: String
    let model: String
    let endpoint: String
    let counts: TokenCounts
    let price: Price
    let priceID: Int64
    let reserved: Money
    let cost: Money
    let outcome: Outcome
    let timings: Timings
    let startedAt: Int64
    let settledAt: Int64
    let day: Int
    let nonce: Int64

    var charge: Charge {
        Charge(
            requestID: requestID, cost: cost, counts: counts, price: price, priceVersion: Int(priceID),
            exceededReservation: cost > reserved)
    }
}

extension StoredEntry {
    init(_ stored: StoredReservation, _ operation: SettleOperation, cost: Money, settledAt: Int64) {
        self.init(
            stored, counts: operation.counts, cost: cost, outcome: operation.outcome, timings: operation.timings,
            settledAt: settledAt, nonce: operation.nonce)
    }

    /// Of a reservation whose server died: nothing is known of its use, so nothing is charged.
    init(unsettled stored: StoredReservation, at now: Int64) {
        self.init(
            stored, counts: .none, cost: .zero, outcome: .unsettled, timings: Timings(), settledAt: now,
            nonce: stored.nonce)
    }

    private init(
        _ stored: StoredReservation, counts: TokenCounts, cost: Money, outcome: Outcome, timings: Timings,
        settledAt: Int64, nonce: Int64
    ) {
        let reservation = stored.reservation
        self.init(
            requestID: reservation.requestID, instance: stored.instance, keyID: reservation.keyID,
            tenant: reservation.tenant, model: reservation.model, endpoint: reservation.endpoint, counts: counts,
            price: reservation.price, priceID: Int64(reservation.priceVersion), reserved: reservation.worstCase,
            cost: cost, outcome: outcome, timings: timings, startedAt: stored.startedAt, settledAt: settledAt,
            day: stored.day, nonce: nonce)
    }

    /// Of a row of `LedgerTable.selection`.
    init(_ row: SQLRow) throws {
        guard let outcome = Outcome(name: try row.text(14), detail: try row.optionalText(15)) else {
            throw StoreError(
                .corrupt, "the ledger has the unknown outcome '\(AccountsError.excerpt(try row.text(14)))'")
        }
        func duration(_ index: Int) throws -> Duration { .microseconds(try row.integer(index)) }
        self.init(
            requestID: try row.text(0), instance: try row.text(1), keyID: try row.text(2), tenant: try row.text(3),
            model: try row.text(4), endpoint: try row.text(5),
            counts: TokenCounts(
                prompt: Int(try row.integer(6)), fresh: Int(try row.integer(7)), cached: Int(try row.integer(8)),
                output: Int(try row.integer(9)), reasoning: Int(try row.integer(10))),
            price: try Price(
                fresh: Money(nanodollars: try row.integer(23)), cached: Money(nanodollars: try row.integer(24)),
                output: Money(nanodollars: try row.integer(25))),
            priceID: try row.integer(11), reserved: Money(nanodollars: try row.integer(12)),
            cost: Money(nanodollars: try row.integer(13)), outcome: outcome,
            timings: Timings(queue: try duration(16), prefill: try duration(17), decode: try duration(18)),
            startedAt: try row.integer(19), settledAt: try row.integer(20), day: Int(try row.integer(21)),
            nonce: try row.integer(22))
    }
}

enum LedgerTable {
    /// What `StoredEntry` reads, and the row's place.
    static let selection = """
        SELECT l.request_id, l.instance_id, l.key_id, l.tenant, l.model, l.endpoint, l.prompt, l.fresh, l.cached, l.output,
            l.reasoning, l.price_id, l.reserved, l.cost, l.outcome, l.error, l.queue, l.prefill, l.decode, l.started_at,
            l.settled_at, l.day, l.nonce, p.fresh, p.cached, p.output, l.sequence
        FROM walet_ledger l JOIN walet_price p ON p.id = l.price_id
        """

    static func entries(_ requestIDs: [String], _ connection: any SQLConnection) throws -> [String: StoredEntry] {
        let rows = try connection.query(
            "\(selection) WHERE l.request_id \(connection.dialect.isOneOf("?1"))", [connection.dialect.list(requestIDs)]
        )
        return try Dictionary(rows.map(StoredEntry.init).map { ($0.requestID, $0) }) { $1 }
    }

    static func append(_ entries: [StoredEntry], _ connection: any SQLConnection) throws {
        try connection.execute(
            """
            INSERT INTO walet_ledger (request_id, instance_id, key_id, tenant, model, endpoint, prompt, fresh, cached, output,
                reasoning, price_id, reserved, cost, outcome, error, queue, prefill, decode, started_at, settled_at, day, nonce)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23)
            """,
            entries.map { entry in
                [
                    .text(entry.requestID), .text(entry.instance), .text(entry.keyID), .text(entry.tenant),
                    .text(entry.model), .text(entry.endpoint), SQLValue(entry.counts.prompt),
                    SQLValue(entry.counts.fresh), SQLValue(entry.counts.cached), SQLValue(entry.counts.output),
                    SQLValue(entry.counts.reasoning), .integer(entry.priceID), .integer(entry.reserved.nanodollars),
                    .integer(entry.cost.nanodollars), .text(entry.outcome.name),
                    SQLValue(entry.outcome.detail.map(Names.errorText)), .integer(entry.timings.queue.microseconds),
                    .integer(entry.timings.prefill.microseconds), .integer(entry.timings.decode.microseconds),
                    .integer(entry.startedAt), .integer(entry.settledAt), SQLValue(entry.day), .integer(entry.nonce),
                ]
            })
    }
}
