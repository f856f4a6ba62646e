// Responses kept in memory, so that a conversation can go on from one.

import Synchronization
import Walet
import WaletJSON

/// Responses of all tenants, each within its own bounds: a tenant that stores much loses its own oldest responses, never
/// another's. Nothing is written to disk.
public final class ResponseStore: Sendable {
    public struct Limits: Sendable {
        /// Responses and bytes of one tenant.
        public var count: Int
        public var bytes: Int
        /// Bytes of all tenants together.
        public var totalBytes: Int

        /// - Parameter count: 0 keeps nothing.
        public init(count: Int = 2000, bytes: Int = 64 << 20, totalBytes: Int = 512 << 20) {
            self.count = count
            self.bytes = bytes
            self.totalBytes = totalBytes
        }
    }

    /// What is kept of a response.
    struct Entry: Sendable {
        var status: ResponseBuilder.Status
        /// The response as JSON text.
        var text: String
        /// The conversation with the answer, without instructions.
        var messages: [ChatMessage]
        /// The request's own items, as they are listed.
        var items: [JSONValue]
        /// Ends the work on it.
        var cancel: (@Sendable () -> Void)?

        /// About what it takes.
        var bytes: Int {
            var count = 512 + text.utf8.count
            for message in messages {
                count += 256 + (message.content?.utf8.count ?? 0) + (message.reasoning?.utf8.count ?? 0)
                for call in message.toolCalls { count += 128 + call.arguments.utf8.count + call.name.utf8.count }
            }
            for item in items { count += 128 + Self.bytes(of: item) }
            return count
        }

        private static func bytes(of value: JSONValue) -> Int {
            switch value {
            case .string(let text): 16 + text.utf8.count
            case .array(let elements): elements.reduce(32) { $0 + bytes(of: $1) }
            case .object(let object): object.members.reduce(64) { $0 + $1.0.utf8.count + bytes(of: $1.1) }
            default: 16
            }
        }
    }

    private struct Tenant {
        var entries: [String: (entry: Entry, bytes: Int, used: UInt64)] = [:]
        var bytes = 0

        /// The finished response that was not used for the longest time.
        var oldest: String? {
            entries.filter { $0.value.entry.status != .inProgress }.min { $0.value.used < $1.value.used }?.key
        }

        mutating func remove(_ id: String) -> Entry? {
            guard let removed = entries.removeValue(forKey: id) else { return nil }
            bytes -= removed.bytes
            return removed.entry
        }
    }

    private struct State {
        var tenants: [String: Tenant] = [:]
        var clock: UInt64 = 0
    }

    public let limits: Limits
    private let state = Mutex(State())

    public init(limits: Limits = Limits()) { self.limits = limits }

    /// Whether it keeps anything.
    var isOn: Bool { limits.count > 0 && limits.bytes > 0 && limits.totalBytes > 0 }

    /// Bytes kept now, all tenants'.
    public var bytes: Int { state.withLock { $0.tenants.values.reduce(0) { $0 + $1.bytes } } }

    /// Keeps a response, in place of what it was before, and drops old ones where there is no room.
    func set(_ id: String, _ entry: Entry, tenant name: String) {
        guard isOn else { return }
        let bytes = entry.bytes
        state.withLock { state in
            state.clock += 1
            var tenant = state.tenants.removeValue(forKey: name) ?? Tenant()
            _ = tenant.remove(id)
            tenant.entries[id] = (entry, bytes, state.clock)
            tenant.bytes += bytes
            while tenant.entries.count > limits.count || tenant.bytes > limits.bytes, let oldest = tenant.oldest {
                _ = tenant.remove(oldest)
            }
            state.tenants[name] = tenant
            var total = state.tenants.values.reduce(0) { $0 + $1.bytes }
            while total > limits.totalBytes, let largest = state.tenants.max(by: { $0.value.bytes < $1.value.bytes }),
                let oldest = largest.value.oldest
            {
                let before = largest.value.bytes
                _ = state.tenants[largest.key]?.remove(oldest)
                total -= before - (state.tenants[largest.key]?.bytes ?? 0)
            }
            state.tenants = state.tenants.filter { !$0.value.entries.isEmpty }
        }
    }

    /// The end of a response under way: nothing where it was deleted meanwhile.
    func finish(_ id: String, _ entry: Entry, tenant: String) {
        let isKept = state.withLock { $0.tenants[tenant]?.entries[id] != nil }
        if isKept { set(id, entry, tenant: tenant) }
    }

    /// A response of this tenant, which counts as used now.
    func get(_ id: String, tenant: String) -> Entry? {
        state.withLock { state in
            guard let entry = state.tenants[tenant]?.entries[id]?.entry else { return nil }
            state.clock += 1
            state.tenants[tenant]?.entries[id]?.used = state.clock
            return entry
        }
    }

    /// Ids of this tenant's responses.
    func all(tenant: String) -> [String] { state.withLock { Array($0.tenants[tenant]?.entries.keys ?? [:].keys) } }

    /// Forgets a response, and ends the work on it.
    /// - Returns: false where this tenant has none of this id.
    func delete(_ id: String, tenant: String) -> Bool {
        let removed = state.withLock { $0.tenants[tenant]?.remove(id) }
        removed?.cancel?()
        return removed != nil
    }
}
