// Reservations that are not settled, in the database.

import Foundation

/// A reservation with what only the database needs of it.
struct StoredReservation: Sendable {
    let reservation: Reservation
    let instance: String
    let startedAt: Int64
    let day: Int
    let nonce: Int64

    /// What it holds of the tokens per minute.
    var tokens: Int64 {
        KeyState.saturatingSum(Int64(reservation.promptTokens), Int64(reservation.maximumOutputTokens))
    }
}

extension StoredReservation {
    init(_ operation: ReserveOperation, key: AccessKey, standing: Standing, startedAt: Int64) {
        self.init(
            reservation: Reservation(
                requestID: operation.requestID, keyID: key.id, tenant: key.tenant, model: operation.model,
                endpoint: operation.endpoint, promptTokens: operation.promptTokens,
                promptIsEstimate: operation.promptIsEstimate, maximumOutputTokens: operation.maximumOutputTokens,
                worstCase: operation.cost, price: operation.price, priceVersion: Int(operation.priceID),
                createdAt: Date(microseconds: startedAt), standing: standing),
            instance: operation.instance, startedAt: startedAt, day: UTCDay(microseconds: startedAt).number,
            nonce: operation.nonce)
    }

    fileprivate init(_ row: SQLRow) throws {
        let startedAt = try row.integer(10)
        self.init(
            reservation: Reservation(
                requestID: try row.text(0), keyID: try row.text(2), tenant: try row.text(3), model: try row.text(4),
                endpoint: try row.text(5), promptTokens: Int(try row.integer(6)),
                promptIsEstimate: try row.integer(7) != 0, maximumOutputTokens: Int(try row.integer(8)),
                worstCase: Money(nanodollars: try row.integer(9)),
                price: try Price(
                    fresh: Money(nanodollars: try row.integer(13)), cached: Money(nanodollars: try row.integer(14)),
                    output: Money(nanodollars: try row.integer(15))),
                priceVersion: Int(try row.integer(16)), createdAt: Date(microseconds: startedAt), standing: .unlimited),
            instance: try row.text(1), startedAt: startedAt, day: Int(try row.integer(11)), nonce: try row.integer(12))
    }
}

enum ReservationTable {
    private static let selection = """
        SELECT r.request_id, r.instance_id, r.key_id, r.tenant, r.model, r.endpoint, r.prompt, r.is_estimate,
            r.maximum_output, r.cost, r.started_at, r.day, r.nonce, p.fresh, p.cached, p.output, p.id
        FROM walet_reservation r JOIN walet_price p ON p.id = r.price_id
        """

    static func load(_ requestIDs: [String], _ connection: any SQLConnection) throws -> [String: StoredReservation] {
        let rows = try connection.query(
            "\(selection) WHERE r.request_id \(connection.dialect.isOneOf("?1"))", [connection.dialect.list(requestIDs)]
        )
        return try Dictionary(rows.map(StoredReservation.init).map { ($0.reservation.requestID, $0) }) { $1 }
    }

    static func load(instance: String, _ connection: any SQLConnection) throws -> [StoredReservation] {
        try connection.query(
            "\(selection) WHERE r.instance_id = ?1 ORDER BY r.started_at, r.request_id", [.text(instance)]
        )
        .map(StoredReservation.init)
    }

    static func all(_ connection: any SQLConnection) throws -> [StoredReservation] {
        try connection.query("\(selection) ORDER BY r.started_at, r.request_id").map(StoredReservation.init)
    }

    static func insert(_ reservations: [StoredReservation], _ connection: any SQLConnection) throws {
        try connection.execute(
            """
            INSERT INTO walet_reservation (request_id, instance_id, key_id, tenant, model, endpoint, prompt, is_estimate,
                maximum_output, price_id, cost, started_at, day, nonce)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
            """,
            reservations.map { stored in
                let reservation = stored.reservation
                return [
                    .text(reservation.requestID), .text(stored.instance), .text(reservation.keyID),
                    .text(reservation.tenant), .text(reservation.model), .text(reservation.endpoint),
                    SQLValue(reservation.promptTokens), SQLValue(reservation.promptIsEstimate ? 1 : 0),
                    SQLValue(reservation.maximumOutputTokens), SQLValue(reservation.priceVersion),
                    .integer(reservation.worstCase.nanodollars), .integer(stored.startedAt), SQLValue(stored.day),
                    .integer(stored.nonce),
                ]
            })
    }

    static func delete(_ requestIDs: [String], _ connection: any SQLConnection) throws {
        try connection.execute("DELETE FROM walet_reservation WHERE request_id = ?1", requestIDs.map { [.text($0)] })
    }
}
