// Where blocking calls of the database happen: threads of their own, never those of Swift's tasks.

import Dispatch
import Foundation
import Synchronization

/// The lanes of a store. Errors leave it as ``AccountsError`` or ``Refusal``.
package final class Lanes: Sendable {
    package let store: any Store
    private let queues: [Lane: DispatchQueue]
    private let isClosed = Mutex(false)

    init(_ store: any Store) {
        self.store = store
        queues = Dictionary(
            uniqueKeysWithValues: Lane.allCases.map { ($0, DispatchQueue(label: "walet.accounts.\($0)")) })
    }

    /// Runs `body` on the lane's thread, without a transaction and without waiting.
    func async(_ lane: Lane, _ body: @escaping @Sendable () -> Void) {
        queues[lane]?.async(execute: body)
    }

    /// Runs `body` in a transaction, again once where the first try met a broken connection or another transaction.
    package func run<Value: Sendable>(
        _ lane: Lane, _ body: @escaping @Sendable (any SQLConnection) throws -> Value
    ) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            self.async(lane) { continuation.resume(with: self.runHere(lane, body)) }
        }
    }

    /// Ends all lanes; what is asked of them later throws ``AccountsError/closed``.
    func close() async {
        for lane in Lane.allCases {
            await withCheckedContinuation { continuation in self.async(lane) { continuation.resume() } }
        }
        isClosed.withLock { $0 = true }
        store.close()
    }

    private func runHere<Value>(_ lane: Lane, _ body: (any SQLConnection) throws -> Value) -> Result<Value, any Error> {
        if isClosed.withLock({ $0 }) { return .failure(AccountsError.closed) }
        do {
            return .success(try store.transaction(lane, body))
        } catch let error as StoreError where error.isTransient && !error.isCommitUnknown {
            return Result { try store.transaction(lane, body) }.mapError(describe)
        } catch {
            return .failure(describe(error))
        }
    }

    /// In words for whom it concerns.
    func describe(_ error: any Error) -> any Error {
        guard let error = error as? StoreError else { return error }
        return AccountsError.database(error.problem, database: store.name, detail: error.detail)
    }
}
