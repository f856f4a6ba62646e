// The keys in memory, so that a request is authenticated without asking the database.

import Foundation
import Synchronization

/// All keys that can authenticate, at most `maximumAge` old.
package final class KeyDirectory: Sendable {
    private struct Snapshot {
        let version: Int64
        /// Keys by the first eight bytes of their hash. Who does not know a secret cannot choose these bytes, so that a
        /// look-up by them tells an attacker nothing; the rest is compared in constant time.
        let entries: [UInt64: [(key: AccessKey, hash: [UInt8])]]
        /// When it was compared with the database, before it was asked. Of the clock that never goes back.
        let confirmedAt: ContinuousClock.Instant
    }

    private struct State {
        var snapshot: Snapshot?
        var refresh: Task<Snapshot, any Error>?
        /// Grows when this process changes a key: what was read before that is not to be used.
        var generation = 0
    }

    /// Half of the second that is promised, which leaves the other half for the question itself.
    package static let maximumAge = Duration.milliseconds(500)

    private let lanes: Lanes
    private let state = Mutex(State())

    init(lanes: Lanes) { self.lanes = lanes }

    /// The key with this secret's hash.
    /// - Throws: ``AccountsError/database(_:database:detail:)`` where the keys in memory are too old and the database
    ///   does not answer: a key that was revoked meanwhile must not get in.
    func key(hash: [UInt8]) async throws -> AccessKey? {
        let snapshot = try await current()
        return snapshot.entries[Self.index(hash)]?.first { Secret.areEqual($0.hash, hash) }?.key
    }

    /// Makes the next look-up ask the database.
    func invalidate() {
        state.withLock {
            $0.snapshot = nil
            $0.refresh = nil
            $0.generation += 1
        }
    }

    private func current() async throws -> Snapshot {
        let (snapshot, refresh) = state.withLock { state -> (Snapshot?, Task<Snapshot, any Error>?) in
            let now = ContinuousClock.now
            if let snapshot = state.snapshot, now - snapshot.confirmedAt < Self.maximumAge { return (snapshot, nil) }
            // Many may wait, one asks.
            if let refresh = state.refresh { return (nil, refresh) }
            let (old, generation) = (state.snapshot, state.generation)
            let refresh = Task {
                let result = await Result { try await self.read(old, at: now) }
                self.state.withLock { state in
                    guard state.generation == generation else { return }
                    state.refresh = nil
                    if case .success(let snapshot) = result { state.snapshot = snapshot }
                }
                return try result.get()
            }
            state.refresh = refresh
            return (nil, refresh)
        }
        if let snapshot { return snapshot }
        guard let refresh else { throw AccountsError.closed }
        return try await refresh.value
    }

    private func read(_ old: Snapshot?, at now: ContinuousClock.Instant) async throws -> Snapshot {
        try await lanes.run(.lookup) { connection in
            // The version first: a change in between is read twice rather than never.
            let version = try KeyTable.version(connection)
            if let old, old.version == version {
                return Snapshot(version: version, entries: old.entries, confirmedAt: now)
            }
            let entries = Dictionary(grouping: try KeyTable.live(connection)) { Self.index($0.hash) }
            return Snapshot(version: version, entries: entries, confirmedAt: now)
        }
    }

    private static func index(_ hash: [UInt8]) -> UInt64 { hash.prefix(8).reduce(0) { $0 << 8 | UInt64($1) } }
}

extension Result where Failure == any Error {
    fileprivate init(catching body: () async throws -> Success) async {
        do { self = .success(try await body()) } catch { self = .failure(error) }
    }
}
