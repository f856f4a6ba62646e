// That this server lives, so that others leave its reservations alone; and that others died, so that theirs are freed.

import Foundation
import Synchronization

/// One opened set of accounts, among others on the same database.
///
/// Who died on this machine is seen at once: its process is gone. Of a server elsewhere only its heart is known: it is dead
/// when this server has watched that stand still for `timeout`, by a clock that nobody sets. No two machines' clocks are
/// compared.
package final class Life: Sendable {
    private struct State {
        var isRegistered = false
        /// Since when each other's heart was seen at this beat.
        var watched: [String: (beat: Int64, since: ContinuousClock.Instant)] = [:]
    }

    package let id: String
    private let lanes: Lanes
    private let clock: @Sendable () -> Int64
    private let timeout: Duration
    private let state = Mutex(State())

    init(lanes: Lanes, timeout: Duration, clock: @escaping @Sendable () -> Int64) {
        id = String(UInt64.random(in: .min ... .max), radix: 36) + String(UInt64.random(in: .min ... .max), radix: 36)
        self.lanes = lanes
        self.timeout = timeout
        self.clock = clock
    }

    /// Before the first reservation. Those that only look never appear.
    func register() async throws {
        if state.withLock({ $0.isRegistered }) { return }
        try await lanes.run(.write) { [id, clock] in try InstanceTable.register(id, at: clock(), $0) }
        state.withLock { $0.isRegistered = true }
    }

    /// One beat of the heart.
    package func beat() async throws {
        guard state.withLock({ $0.isRegistered }) else { return }
        try await lanes.run(.write) { [id, clock] connection in
            if try !InstanceTable.beat(id, connection) { try InstanceTable.register(id, at: clock(), connection) }
        }
    }

    /// Frees what dead servers hold.
    /// - Returns: the requests that became unsettled.
    @discardableResult
    package func sweep() async throws -> [String] {
        let others = try await lanes.run(.lookup) { [id] in try InstanceTable.others(than: id, $0) }
        let dead = state.withLock { state -> [StoredInstance] in
            let now = ContinuousClock.now
            state.watched = Dictionary(
                others.map { other in
                    let old = state.watched[other.id]
                    return (other.id, old?.beat == other.beat ? old! : (other.beat, now))
                }, uniquingKeysWith: { $1 })
            return others.filter { other in
                other.process.hasEnded || state.watched[other.id].map { now - $0.since >= timeout } ?? false
            }
        }
        var requests: [String] = []
        for instance in dead {
            requests += try await lanes.run(.write) { [clock] connection in
                guard try InstanceTable.isUnchanged(instance, connection) else { return [String]() }
                let marked = try Unsettled.mark(
                    { try ReservationTable.load(instance: instance.id, $0) }, at: clock(), connection)
                try InstanceTable.remove(instance.id, connection)
                return marked
            }
        }
        return requests
    }

    /// Marks some of this server's own requests, which were reserved without anybody learning of it.
    package func release(_ requestIDs: [String]) async throws {
        try await lanes.run(.write) { [id, clock] connection in
            _ = try Unsettled.mark(
                { try ReservationTable.load(requestIDs, $0).values.filter { $0.instance == id } }, at: clock(),
                connection)
        }
    }

    /// The end of this server: what it has not settled will not be.
    package func end() async throws {
        guard state.withLock({ $0.isRegistered }) else { return }
        try await lanes.run(.write) { [id, clock] connection in
            _ = try Unsettled.mark({ try ReservationTable.load(instance: id, $0) }, at: clock(), connection)
            try InstanceTable.remove(id, connection)
        }
        state.withLock { $0.isRegistered = false }
    }
}
