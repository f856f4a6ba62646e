// What becomes of reservations whose server died.

enum Unsettled {
    /// Puts reservations into the ledger as unsettled: nothing is charged, and what was held is free again.
    /// - Returns: their requests.
    static func mark(
        _ find: (any SQLConnection) throws -> [StoredReservation], at now: Int64, _ connection: any SQLConnection
    ) throws -> [String] {
        // The keys are locked in their order, and then the reservations read again: one may have been settled meanwhile.
        let keys = Set(try find(connection).map(\.reservation.keyID)).sorted()
        guard !keys.isEmpty else { return [] }
        _ = try KeyTable.load(keys, locking: true, connection)
        let reservations = try find(connection).filter { keys.contains($0.reservation.keyID) }
        var spend = SpendChanges()
        for stored in reservations {
            spend.add(
                key: stored.reservation.keyID, day: stored.day, spent: 0,
                reserved: 0 &- stored.reservation.worstCase.nanodollars)
        }
        try LedgerTable.append(reservations.map { StoredEntry(unsettled: $0, at: now) }, connection)
        try ReservationTable.delete(reservations.map(\.reservation.requestID), connection)
        try spend.write(to: connection)
        return reservations.map(\.reservation.requestID)
    }
}
