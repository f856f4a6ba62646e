// Many reservations and settlements in one transaction: a handful of reads, decisions in memory, a handful of writes.

import Foundation

/// What `reserve` was asked for.
package struct ReserveOperation: Sendable {
    let keyID: String
    let requestID: String
    let model: String
    let endpoint: String
    let promptTokens: Int
    let promptIsEstimate: Bool
    let maximumOutputTokens: Int
    let price: Price
    let priceID: Int64
    let cost: Money
    let instance: String
    /// Random. Where the connection broke during a commit, and the operation is tried again, it finds its own work by this.
    let nonce: Int64

    package init(
        keyID: String, requestID: String, model: String, endpoint: String, promptTokens: Int, promptIsEstimate: Bool,
        maximumOutputTokens: Int, price: Price, priceID: Int64, cost: Money, instance: String, nonce: Int64
    ) {
        self.keyID = keyID
        self.requestID = requestID
        self.model = model
        self.endpoint = endpoint
        self.promptTokens = promptTokens
        self.promptIsEstimate = promptIsEstimate
        self.maximumOutputTokens = maximumOutputTokens
        self.price = price
        self.priceID = priceID
        self.cost = cost
        self.instance = instance
        self.nonce = nonce
    }

    var demand: KeyState.Demand {
        KeyState.Demand(model: model, tokens: Int64(promptTokens + maximumOutputTokens), cost: cost.nanodollars)
    }
}

/// What `settle` was asked for.
package struct SettleOperation: Sendable {
    let requestID: String
    let keyID: String
    let counts: TokenCounts
    let outcome: Outcome
    let timings: Timings
    let nonce: Int64

    package init(
        requestID: String, keyID: String, counts: TokenCounts, outcome: Outcome, timings: Timings, nonce: Int64
    ) {
        self.requestID = requestID
        self.keyID = keyID
        self.counts = counts
        self.outcome = outcome
        self.timings = timings
        self.nonce = nonce
    }
}

/// Works on a connection within a transaction. Each operation is decided before anything is written, so that one that is
/// refused leaves no trace and the others go through.
struct RequestBatch {
    let settles: [SettleOperation]
    let reserves: [ReserveOperation]

    struct Results {
        var settles: [Result<Charge, any Error>] = []
        var reserves: [Result<Reservation, any Error>] = []
    }

    /// - Parameter clock: microseconds since 1970; asked when the keys are locked, so that nobody's earlier moment is
    ///   written after a later one.
    func run(on connection: any SQLConnection, clock: () -> Int64) throws -> Results {
        let keyIDs = Set(settles.map(\.keyID) + reserves.map(\.keyID)).sorted()
        let keys = try KeyTable.load(keyIDs, locking: true, connection)
        let now = clock()
        var work = Work(now: now)
        let requestIDs = Set(settles.map(\.requestID) + reserves.map(\.requestID)).sorted()
        work.open = try ReservationTable.load(requestIDs, connection)
        work.closed = try LedgerTable.entries(requestIDs, connection)
        work.states = try KeyStateTable.load(
            Set(reserves.map(\.keyID)).compactMap { keys[$0] }, at: now, connection)

        var results = Results()
        // What is settled makes room for what comes.
        for operation in settles {
            results.settles.append(Result { try work.settle(operation, keys[operation.keyID]) })
        }
        for operation in reserves { results.reserves.append(Result { try work.reserve(operation) }) }
        try work.write(to: connection)
        return results
    }
}

/// The state of a batch, and what is to be written of it.
private struct Work {
    let now: Int64
    var open: [String: StoredReservation] = [:]
    var closed: [String: StoredEntry] = [:]
    var states: [String: KeyState] = [:]

    private var newReservations: [StoredReservation] = []
    private var newEntries: [StoredEntry] = []
    private var spend = SpendChanges()
    private var rates = RateChanges()

    init(now: Int64) { self.now = now }

    mutating func settle(_ operation: SettleOperation, _ key: AccessKey?) throws -> Charge {
        if let entry = closed[operation.requestID] {
            if entry.nonce == operation.nonce { return entry.charge }
            throw entry.outcome == .unsettled
                ? AccountsError.abandoned(operation.requestID) : AccountsError.alreadySettled(operation.requestID)
        }
        guard let stored = open[operation.requestID] else {
            throw AccountsError.unknownReservation(operation.requestID)
        }
        let reservation = stored.reservation
        if case .completed = operation.outcome, !reservation.promptIsEstimate,
            operation.counts.prompt != reservation.promptTokens
        {
            throw AccountsError.tokensDoNotAddUp(
                "a prompt of \(operation.counts.prompt) was completed where \(reservation.promptTokens) was reserved")
        }
        let cost = try reservation.price.cost(of: operation.counts)
        let entry = StoredEntry(stored, operation, cost: cost, settledAt: now)

        open[operation.requestID] = nil
        closed[operation.requestID] = entry
        newEntries.append(entry)
        spend.add(
            key: reservation.keyID, day: stored.day, spent: cost.nanodollars,
            reserved: 0 &- reservation.worstCase.nanodollars)
        let tokens = Int64(operation.counts.prompt + operation.counts.output) &- stored.tokens
        let second = KeyState.second(stored.startedAt)
        if key?.limits.isRateLimited == true { rates.correct(key: reservation.keyID, second: second, tokens: tokens) }
        if var state = states[reservation.keyID] {
            state.running -= 1
            if let committed = state.committed[stored.day] {
                let change = cost.nanodollars &- reservation.worstCase.nanodollars
                state.committed[stored.day] = KeyState.saturatingSum(committed, change)
            }
            if let use = state.window[second] {
                state.window[second] = (use.requests, KeyState.saturatingSum(use.tokens, tokens))
            }
            states[reservation.keyID] = state
        }
        return entry.charge
    }

    mutating func reserve(_ operation: ReserveOperation) throws -> Reservation {
        if let stored = open[operation.requestID], stored.nonce == operation.nonce { return stored.reservation }
        if open[operation.requestID] != nil || closed[operation.requestID] != nil {
            throw AccountsError.duplicateRequest(operation.requestID)
        }
        guard var state = states[operation.keyID] else {
            throw Refusal(.unauthorized, "This key is not valid.")
        }
        let demand = operation.demand
        if let refusal = state.refusal(demand, at: now) { throw refusal }
        guard !(state.committed[state.today.number] ?? 0).addingReportingOverflow(demand.cost).overflow else {
            throw AccountsError.overflow("what \(operation.keyID) spends in a day")
        }
        state.take(demand, at: now)
        states[operation.keyID] = state

        let stored = StoredReservation(operation, key: state.key, standing: state.standing(at: now), startedAt: now)
        open[operation.requestID] = stored
        newReservations.append(stored)
        spend.add(key: operation.keyID, day: stored.day, spent: 0, reserved: demand.cost)
        if state.key.limits.isRateLimited {
            rates.add(key: operation.keyID, second: KeyState.second(now), tokens: demand.tokens)
        }
        return stored.reservation
    }

    func write(to connection: any SQLConnection) throws {
        try ReservationTable.insert(newReservations, connection)
        try LedgerTable.append(newEntries, connection)
        try ReservationTable.delete(newEntries.map(\.requestID), connection)
        try spend.write(to: connection)
        try rates.write(to: connection, at: now)
    }
}
