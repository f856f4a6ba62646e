import Synchronization

/// Whether the first model is in memory, so that requests need not wait for it.
public final class Readiness: Sendable {
    private let state: Mutex<Bool>

    public init(isReady: Bool = false) { state = Mutex(isReady) }

    public var isReady: Bool { state.withLock { $0 } }

    public func set() { state.withLock { $0 = true } }
}
