import Dispatch
import Synchronization
import WaletModels

/// What comes to the engine's thread from others, and what it tells them.
final class Mailbox: Sendable {
    struct Job: Sendable {
        let run: @Sendable (Workspace) -> Void
        let refuse: @Sendable () -> Void
    }

    struct Arrival: Sendable {
        let request: GenerationRequest
        let predictionLayer: PredictionLayer?
        let cancelled: CancellationFlag
        let continuation: AsyncThrowingStream<GenerationEvent, any Error>.Continuation
    }

    /// Pages that a request's prompt has on disk.
    struct Load: Sendable {
        let id: Int
        /// The pages before them, in memory.
        let before: [KVPage]
        let canonicalPages: Int
        var pages: [KVPage] = []
    }

    struct Mail {
        var arrivals: [Arrival] = []
        var loads: [Load] = []
        var jobs: [Job] = []
    }

    private struct State {
        var mail = Mail()
        var isStopped = false
        var statistics = EngineStatistics()
        /// Requests that have been taken and have not ended.
        var present = 0
    }

    private let state = Mutex(State())
    private let signal = DispatchSemaphore(value: 0)

    /// - Returns: false where the engine has stopped.
    func post(_ job: Job) -> Bool { post { $0.jobs.append(job) } }

    func post(_ load: Load) { _ = post { $0.loads.append(load) } }

    /// - Throws: ``EngineError/stopped``, ``EngineError/queueFull(waiting:limit:)``.
    func post(_ arrival: Arrival, _ options: EngineOptions) throws(EngineError) {
        let failure: EngineError? = state.withLock { state in
            if state.isStopped { return .stopped }
            let waiting = state.present + state.mail.arrivals.count - options.maximumRunning
            if let limit = options.maximumWaiting, waiting >= limit {
                return .queueFull(waiting: waiting, limit: limit)
            }
            state.mail.arrivals.append(arrival)
            return nil
        }
        if let failure { throw failure }
        signal.signal()
    }

    private func post(_ add: (inout sending Mail) -> Void) -> Bool {
        let isAccepted = state.withLock { state in
            if !state.isStopped { add(&state.mail) }
            return !state.isStopped
        }
        if isAccepted { signal.signal() }
        return isAccepted
    }

    func stop() {
        state.withLock { $0.isStopped = true }
        signal.signal()
    }

    /// All that has come.
    /// - Parameter waits: until something does.
    /// - Returns: nil where the engine is to stop.
    func take(waits: Bool) -> Mail? {
        if waits { signal.wait() }
        let (mail, isStopped) = state.withLock { state in
            state.present += state.mail.arrivals.count
            defer { state.mail = Mail() }
            return (state.mail, state.isStopped)
        }
        guard isStopped else { return mail }
        for job in mail.jobs { job.refuse() }
        for arrival in mail.arrivals { arrival.continuation.finish(throwing: EngineError.stopped) }
        return nil
    }

    func publish(_ statistics: EngineStatistics) {
        state.withLock { state in
            state.statistics = statistics
            state.present = statistics.running + statistics.waiting
        }
    }

    var statistics: EngineStatistics {
        state.withLock { state in
            var statistics = state.statistics
            statistics.waiting += state.mail.arrivals.count
            return statistics
        }
    }
}
