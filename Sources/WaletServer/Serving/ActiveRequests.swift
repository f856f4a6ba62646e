import Synchronization

/// The requests that models work on, so that a server that goes down can wait for them, and stop them.
public final class ActiveRequests: Sendable {
    private struct State {
        var next = 0
        var tasks: [Int: Task<Void, Never>] = [:]
        var waiters: [CheckedContinuation<Void, Never>] = []
        var isStopping = false
    }

    private let state = Mutex(State())

    public init() {}

    public var count: Int { state.withLock { $0.tasks.count } }

    /// Runs work as a task of its own, which counts until it ends.
    func start(_ work: @escaping @Sendable () async -> Void) -> Task<Void, Never> {
        state.withLock { state in
            let id = state.next
            state.next += 1
            let task = Task { [self] in
                await work()
                end(id)
            }
            state.tasks[id] = task
            return task
        }
    }

    private func end(_ id: Int) {
        let waiters = state.withLock { state -> [CheckedContinuation<Void, Never>] in
            state.tasks[id] = nil
            guard state.tasks.isEmpty else { return [] }
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resume() }
    }

    /// Whether ``cancelAll()`` was called.
    var isStopping: Bool { state.withLock { $0.isStopping } }

    /// Stops all that are under way.
    func cancelAll() {
        let tasks = state.withLock { state in
            state.isStopping = true
            return Array(state.tasks.values)
        }
        for task in tasks { task.cancel() }
    }

    /// Returns when no request is left.
    func allEnded() async {
        await withCheckedContinuation { continuation in
            let isEmpty = state.withLock { state in
                if !state.tasks.isEmpty { state.waiters.append(continuation) }
                return state.tasks.isEmpty
            }
            if isEmpty { continuation.resume() }
        }
    }
}
