// Reservations and settlements of many tasks, committed together: while one batch is being written to the disk, the next
// one gathers.

import Foundation
import Synchronization

package final class RequestQueue: Sendable {
    private enum Operation: Sendable {
        case reserve(ReserveOperation, CheckedContinuation<Reservation, any Error>)
        case settle(SettleOperation, CheckedContinuation<Charge, any Error>)

        func fail(_ error: any Error) {
            switch self {
            case .reserve(_, let continuation): continuation.resume(throwing: error)
            case .settle(_, let continuation): continuation.resume(throwing: error)
            }
        }
    }

    private struct State {
        var waiting: [Operation] = []
        var isScheduled = false
        var isClosed = false
        /// Reservations that may or may not have been written, and whose callers were told that they failed.
        var doubtful: [String] = []
    }

    /// The most operations of a transaction.
    static let batchSize = 256

    private let lanes: Lanes
    private let clock: @Sendable () -> Int64
    private let state = Mutex(State())

    init(lanes: Lanes, clock: @escaping @Sendable () -> Int64) {
        self.lanes = lanes
        self.clock = clock
    }

    package func reserve(_ operation: ReserveOperation) async throws -> Reservation {
        try await withCheckedThrowingContinuation { submit(.reserve(operation, $0)) }
    }

    package func settle(_ operation: SettleOperation) async throws -> Charge {
        try await withCheckedThrowingContinuation { submit(.settle(operation, $0)) }
    }

    /// Takes the requests whose reservations may stand in the database though nobody holds them.
    func takeDoubtful() -> [String] {
        state.withLock { state in
            defer { state.doubtful = [] }
            return state.doubtful
        }
    }

    /// Puts them back, where nothing could be done about them.
    func returnDoubtful(_ requestIDs: [String]) { state.withLock { $0.doubtful += requestIDs } }

    /// Refuses what comes from now on. What waits is still done.
    func close() { state.withLock { $0.isClosed = true } }

    private func submit(_ operation: Operation) {
        enum Next { case wait, schedule, refuse }
        let next: Next = state.withLock { state in
            if state.isClosed { return .refuse }
            state.waiting.append(operation)
            if state.isScheduled { return .wait }
            state.isScheduled = true
            return .schedule
        }
        switch next {
        case .wait: break
        case .schedule: lanes.async(.write) { self.runBatch() }
        case .refuse: operation.fail(AccountsError.closed)
        }
    }

    /// One batch; then again where more came meanwhile, behind others that want to write.
    private func runBatch() {
        let batch = state.withLock { state in
            let batch = Array(state.waiting.prefix(Self.batchSize))
            state.waiting.removeFirst(batch.count)
            return batch
        }
        run(batch)
        let goesOn = state.withLock { state in
            state.isScheduled = !state.waiting.isEmpty
            return state.isScheduled
        }
        if goesOn { lanes.async(.write) { self.runBatch() } }
    }

    private func run(_ operations: [Operation]) {
        guard !operations.isEmpty else { return }
        do {
            try attempt(operations)
        } catch let error as StoreError {
            // An operation that the database does not take must not fail the others: each on its own, then. But where
            // the disk is full or the server away, that would only take long.
            guard operations.count > 1, !error.concernsAll else {
                for operation in operations { operation.fail(lanes.describe(error)) }
                return
            }
            for operation in operations {
                do { try attempt([operation]) } catch { operation.fail(lanes.describe(error)) }
            }
        } catch {
            for operation in operations { operation.fail(error) }
        }
    }

    /// Commits the operations and resumes who waits for them; throws, and has resumed nobody, where it cannot.
    private func attempt(_ operations: [Operation]) throws {
        var settles: [(SettleOperation, CheckedContinuation<Charge, any Error>)] = []
        var reserves: [(ReserveOperation, CheckedContinuation<Reservation, any Error>)] = []
        for operation in operations {
            switch operation {
            case .settle(let settle, let continuation): settles.append((settle, continuation))
            case .reserve(let reserve, let continuation): reserves.append((reserve, continuation))
            }
        }
        let batch = RequestBatch(settles: settles.map(\.0), reserves: reserves.map(\.0))
        let results: RequestBatch.Results
        do {
            results = try lanes.store.transaction(.write) { try batch.run(on: $0, clock: clock) }
        } catch let first as StoreError where first.isTransient {
            // Even if the commit may have happened: an operation knows its own work.
            do {
                results = try lanes.store.transaction(.write) { try batch.run(on: $0, clock: clock) }
            } catch let second as StoreError {
                if first.isCommitUnknown || second.isCommitUnknown {
                    state.withLock { $0.doubtful += batch.reserves.map(\.requestID) }
                }
                throw second
            }
        }
        for ((_, continuation), result) in zip(settles, results.settles) {
            continuation.resume(with: result.mapError(lanes.describe))
        }
        for ((_, continuation), result) in zip(reserves, results.reserves) {
            continuation.resume(with: result.mapError(lanes.describe))
        }
    }
}
