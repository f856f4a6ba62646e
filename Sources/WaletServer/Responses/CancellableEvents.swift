// Events of an answer that somebody else than its reader may end.

import Walet

/// Passes events on until the answer ends, the reader leaves, or ``cancel()`` is called; then the model stops too.
final class CancellableEvents: Sendable {
    let events: AsyncThrowingStream<ServedEvent, any Error>
    private let task: Task<Void, Never>

    init(_ source: AsyncThrowingStream<ServedEvent, any Error>) {
        let (stream, continuation) = AsyncThrowingStream.makeStream(of: ServedEvent.self)
        let task = Task {
            do {
                for try await event in source { continuation.yield(event) }
                continuation.finish()
            } catch {
                // What somebody ends is no failure, even where the source takes it for one.
                continuation.finish(throwing: Task.isCancelled ? nil : error)
            }
        }
        continuation.onTermination = { _ in task.cancel() }
        self.task = task
        events = stream
    }

    func cancel() { task.cancel() }
}
