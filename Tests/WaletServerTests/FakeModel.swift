import Foundation
import Synchronization
import Walet

@testable import WaletServer

/// A model that says what a script tells it to. Its tokens are bytes.
final class FakeModel: ServedModel {
    enum Step: Sendable {
        case event(ModelEvent)
        case wait(Duration)
        /// Until the request is cancelled.
        case hang
        case fail(any Error)
    }

    struct Counts: Sendable, Equatable {
        var started = 0
        var running = 0
        var cancelled = 0
    }

    let contextLength: Int
    let endTokens: Set<Int> = [2]
    let defaultOptions = GenerationOptions(sampling: SamplingParameters(temperature: 0.5))
    let countsPrompts: Bool
    private let script: @Sendable (ModelRequest) throws -> [Step]
    private let state = Mutex<(requests: [ModelRequest], counts: Counts)>(([], Counts()))

    init(
        contextLength: Int = 100_000, countsPrompts: Bool = true,
        _ script: @escaping @Sendable (ModelRequest) throws -> [Step] = { FakeModel.says("Hello", " world", $0) }
    ) {
        self.contextLength = contextLength
        self.countsPrompts = countsPrompts
        self.script = script
    }

    var requests: [ModelRequest] { state.withLock { $0.requests } }
    var counts: Counts { state.withLock { $0.counts } }
    var snapshot: EngineSnapshot { EngineSnapshot(running: counts.running) }

    func respond(to request: ModelRequest) throws -> AsyncThrowingStream<ModelEvent, any Error> {
        let steps = try script(request)
        let (stream, continuation) = AsyncThrowingStream.makeStream(of: ModelEvent.self)
        state.withLock { state in
            state.requests.append(request)
            state.counts.started += 1
            state.counts.running += 1
        }
        let task = Task {
            do {
                for step in steps {
                    switch step {
                    case .event(let event): continuation.yield(event)
                    case .wait(let duration): try await Task.sleep(for: duration)
                    case .hang: try await Task.sleep(for: .seconds(3600))
                    case .fail(let error): throw error
                    }
                }
                continuation.finish()
            } catch {
                continuation.finish(throwing: error)
            }
        }
        continuation.onTermination = { [self] reason in
            task.cancel()
            state.withLock { state in
                state.counts.running -= 1
                if case .cancelled = reason { state.counts.cancelled += 1 }
            }
        }
        return stream
    }

    func promptTokens(of request: ModelRequest) async throws -> [Int] { Self.tokens(of: request) }

    func tokenize(_ text: String) async throws -> [Int] { text.utf8.map { Int($0) } }

    func text(of tokens: [Int]) async throws -> String {
        guard let outside = tokens.first(where: { $0 > 255 }) else {
            return String(decoding: tokens.map { UInt8($0) }, as: UTF8.self)
        }
        throw EngineError.tokenOutOfRange(token: outside, vocabulary: 256)
    }

    static func tokens(of request: ModelRequest) -> [Int] {
        switch request.prompt {
        case .text(let text, let special): (special ? [1] : []) + text.utf8.map { Int($0) }
        case .tokens(let tokens): tokens
        case .chat(let messages, _, _): messages.flatMap { ($0.content ?? "").utf8.map { Int($0) } }
        }
    }

    static func usage(_ request: ModelRequest, cached: Int = 0, answer: Int = 2, thinking: Int = 0) -> Usage {
        var usage = Usage()
        usage.promptTokens = tokens(of: request).count
        usage.cachedTokens = cached
        usage.answerTokens = answer
        usage.thinkingTokens = thinking
        return usage
    }

    static func says(_ pieces: String..., to request: ModelRequest) -> [Step] { says(pieces, request) }

    static func says(_ first: String, _ second: String, _ request: ModelRequest) -> [Step] {
        says([first, second], request)
    }

    static func says(_ pieces: [String], _ request: ModelRequest) -> [Step] {
        [.event(.started(usage(request, answer: 0)))] + pieces.map { .event(.text($0)) } + [
            .event(.finish(.stop, usage(request, answer: pieces.count)))
        ]
    }
}
