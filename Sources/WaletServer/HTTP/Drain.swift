import Logging
import ServiceLifecycle
import Synchronization

/// The end of a server: from a moment on nothing new is taken; what runs may finish, but not for ever.
public final class Drain: Sendable {
    private let state = Mutex(false)

    public init() {}

    /// New requests are turned away.
    public var isDraining: Bool { state.withLock { $0 } }

    func begin() { state.withLock { $0 = true } }
}

/// Waits, when the process is told to end, until the requests under way are answered, while the listener still tells new ones
/// that the server goes down. It must be the last service of its group: services end in reverse order.
struct DrainService: Service {
    let drain: Drain
    let active: ActiveRequests
    let limit: Duration
    let logger: Logger

    func run() async throws {
        try? await gracefulShutdown()
        drain.begin()
        let count = active.count
        guard count > 0 else { return }
        logger.notice("draining", metadata: ["requests": .stringConvertible(count)])
        await withTaskGroup(of: Bool.self) { group in
            group.addTask {
                await active.allEnded()
                return true
            }
            group.addTask {
                try? await Task.sleep(for: limit)
                return false
            }
            if await group.next() == false {
                logger.warning(
                    "the time to drain is over: stopping what runs",
                    metadata: ["requests": .stringConvertible(active.count)])
                active.cancelAll()
            }
            // A wait that nobody ends would hold the group.
            if active.count > 0 { await active.allEnded() }
            group.cancelAll()
        }
    }
}
