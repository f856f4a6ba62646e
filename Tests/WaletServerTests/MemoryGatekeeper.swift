import Synchronization
import Walet

@testable import WaletServer

/// Keys, limits and charges in memory.
final class MemoryGatekeeper: Gatekeeper {
    struct Settlement: Sendable, Equatable {
        var claim: Claim
        var usage: UsageReport
        var outcome: Outcome
    }

    private struct State {
        var keys: [String: Principal] = [:]
        var hadKeys = false
        /// How many more reservations there are for a key; nil for no limit.
        var allowance: [String: Int] = [:]
        var refusal: APIError?
        var limits: RateLimits?
        var reserved: [Claim] = []
        var settled: [Settlement] = []
        var failuresToCome = 0
    }

    private let state = Mutex(State())

    init(keys: [String: Principal] = [:]) {
        state.withLock { state in
            state.keys = keys
            state.hadKeys = !keys.isEmpty
        }
    }

    var settled: [Settlement] { state.withLock { $0.settled } }
    var reserved: [Claim] { state.withLock { $0.reserved } }

    func revokeAll() { state.withLock { $0.keys = [:] } }
    func allow(_ count: Int, for keyID: String) { state.withLock { $0.allowance[keyID] = count } }
    func refuse(_ error: APIError?) { state.withLock { $0.refusal = error } }
    func show(_ limits: RateLimits) { state.withLock { $0.limits = limits } }
    /// The next settlements fail, as when the disk is full.
    func failSettlements(_ count: Int) { state.withLock { $0.failuresToCome = count } }

    func hasKeys() async throws -> Bool { state.withLock { $0.hadKeys } }

    func principal(forKey secret: String) async throws -> Principal? { state.withLock { $0.keys[secret] } }

    func openPrincipal() async throws -> Principal { Principal(keyID: "open") }

    func reserve(_ claim: Claim, for principal: Principal) async throws -> Reservation {
        try state.withLock { state in
            if let refusal = state.refusal { throw refusal }
            if let left = state.allowance[principal.keyID] {
                guard left > 0 else {
                    throw APIError(.budget, "The budget of this key is used up", code: "insufficient_quota")
                }
                state.allowance[principal.keyID] = left - 1
            }
            state.reserved.append(claim)
            return Reservation(claim: claim, limits: state.limits)
        }
    }

    func settle(_ reservation: Reservation, _ usage: UsageReport, _ outcome: Outcome) async throws {
        struct DiskFull: Error {}
        try state.withLock { state in
            if state.failuresToCome > 0 {
                state.failuresToCome -= 1
                throw DiskFull()
            }
            state.settled.append(Settlement(claim: reservation.claim, usage: usage, outcome: outcome))
        }
    }

    func price(of model: String) async -> ModelPrice? {
        ModelPrice(input: "0.56", cachedInput: "0.14", output: "2.24")
    }

    func spending(days: Int) async throws -> Spending {
        var key = Spending.Key(
            id: "wk_1", name: "Finance", tenant: "finance", state: "active", spentToday: "1.25",
            spentThisMonth: "20.5", running: 1)
        key.days = [Spending.Day(day: "2026-11-25", requests: 3, fresh: 10, cached: 20, output: 5, cost: "1.25")]
        return Spending(days: ["2026-11-24", "2026-11-25"], keys: [key])
    }
}

/// Audit entries in memory.
final class MemoryAudit: AuditSink {
    private let state = Mutex<(entries: [AuditEntry], isBroken: Bool)>(([], false))

    var entries: [AuditEntry] { state.withLock { $0.entries } }
    func breakDown() { state.withLock { $0.isBroken = true } }

    func ready() async throws {
        if state.withLock({ $0.isBroken }) {
            throw APIError(.overloaded, "The audit log cannot be written", code: "audit_unavailable", retryAfter: 10)
        }
    }

    func record(_ entry: AuditEntry) async throws { state.withLock { $0.entries.append(entry) } }
    func recordReload(_ changes: [String]) async throws {}
}
