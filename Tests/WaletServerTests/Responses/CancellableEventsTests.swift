import Testing

@testable import WaletServer

@Suite struct CancellableEventsTests {
    private struct Broken: Error {}

    @Test func `Events pass in order, and so does an error`() async throws {
        let source = AsyncThrowingStream<ServedEvent, any Error> { continuation in
            for _ in 0..<3 { continuation.yield(.idle) }
            continuation.finish(throwing: Broken())
        }
        var count = 0
        await #expect(throws: Broken.self) {
            for try await _ in CancellableEvents(source).events { count += 1 }
        }
        #expect(count == 3)
    }

    @Test(.timeLimit(.minutes(1))) func `Cancelling ends the events without an error, and the source too`() async throws
    {
        let (ended, end) = AsyncStream.makeStream(of: Void.self)
        let (source, continuation) = AsyncThrowingStream.makeStream(of: ServedEvent.self)
        continuation.onTermination = { _ in end.finish() }
        continuation.yield(.idle)
        let events = CancellableEvents(source)
        var count = 0
        for try await _ in events.events {
            count += 1
            events.cancel()
        }
        #expect(count == 1)
        for await _ in ended {}
    }

    @Test(.timeLimit(.minutes(1))) func `A reader that leaves ends the source`() async throws {
        let (ended, end) = AsyncStream.makeStream(of: Void.self)
        let (source, continuation) = AsyncThrowingStream.makeStream(of: ServedEvent.self)
        continuation.onTermination = { _ in end.finish() }
        continuation.yield(.idle)
        for try await _ in CancellableEvents(source).events { break }
        for await _ in ended {}
    }
}
