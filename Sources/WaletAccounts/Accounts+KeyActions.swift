// The journal of what was done to keys, as the writer of an audit log reads it.

import Foundation

extension Accounts {
    /// Actions on keys that no audit log has yet, the oldest first. Until they are marked they are this server's to record:
    /// others on the same database do not get them, unless this one is closed or taken for dead.
    /// - Parameter limit: 1 to 1000 actions at a time.
    /// - Throws: ``AccountsError``.
    public func pendingKeyActions(limit: Int = 100) async throws -> [KeyAction] {
        // The common case: nothing was done, and nothing is written.
        guard try await lanes.run(.lookup, KeyActionTable.hasPending) else { return [] }
        try await life.register()
        return try await lanes.run(.write) { [id = life.id, now] connection in
            // Who was taken for dead, though alive, must be known again before it claims anything.
            if try !InstanceTable.beat(id, connection) { try InstanceTable.register(id, at: now(), connection) }
            return try KeyActionTable.claim(id, limit: min(max(limit, 1), 1000), connection)
        }
    }

    /// Says that an audit log has these actions for good. They are removed 90 days later.
    /// - Parameter ids: of actions from ``pendingKeyActions(limit:)``. Marking one again changes nothing.
    /// - Throws: ``AccountsError``.
    public func markKeyActionsRecorded(_ ids: [Int]) async throws {
        guard !ids.isEmpty else { return }
        try await lanes.run(.write) { [now] in try KeyActionTable.markRecorded(ids, at: now(), $0) }
    }
}
