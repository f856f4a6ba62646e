import Synchronization
import WaletEngine
import WaletJSON
import WaletText

/// A conversation: the messages so far, and what the model remembers of them, so that a turn costs only what is new.
public final class Session: Sendable {
    public let model: LanguageModel
    private let state: Mutex<State>

    private struct State {
        var messages: [ChatMessage]
        var tools: [JSONValue]
        var sequence: SequenceState
        /// The answer under way: the next one waits for it.
        var current: Task<Void, Never>?
    }

    init(_ model: LanguageModel, system: String?, tools: [JSONValue]) {
        self.model = model
        let messages = system.map { [ChatMessage(role: "system", content: $0)] } ?? []
        state = Mutex(State(messages: messages, tools: tools, sequence: model.engine.makeSequence()))
    }

    /// The messages so far, those of a finished or cancelled answer included.
    public var messages: [ChatMessage] { state.withLock { $0.messages } }

    /// Forgets all messages but the system's.
    public func clear() {
        state.withLock { state in state.messages.removeAll { $0.role != "system" } }
    }

    /// Adds a message without asking for an answer: a tool's result, or history from elsewhere.
    public func append(_ message: ChatMessage) {
        state.withLock { $0.messages.append(message) }
    }

    /// Adds a user's message and answers it.
    /// - Returns: thinking, text and tool calls as they are made, then ``ResponseEvent/finish(_:_:)``. Errors come
    ///   through the stream. Ending the iteration, or cancelling its task, stops the model within one token; what was
    ///   said until then stays in the conversation.
    public func respond(to text: String, options: GenerationOptions? = nil) -> AsyncThrowingStream<
        ResponseEvent, any Error
    > {
        respond(adding: ChatMessage(role: "user", content: text), options: options)
    }

    /// Answers the messages so far, such as after a tool's result was appended.
    public func respond(options: GenerationOptions? = nil) -> AsyncThrowingStream<ResponseEvent, any Error> {
        respond(adding: nil, options: options)
    }

    private func respond(adding message: ChatMessage?, options: GenerationOptions?) -> AsyncThrowingStream<
        ResponseEvent, any Error
    > {
        let options = options ?? model.defaultOptions
        let (stream, continuation) = AsyncThrowingStream.makeStream(of: ResponseEvent.self)
        let previous = state.withLock { $0.current }
        let task = Task {
            await previous?.value
            do {
                try await self.answer(message, options, continuation)
                continuation.finish()
            } catch {
                continuation.finish(throwing: error)
            }
        }
        continuation.onTermination = { _ in task.cancel() }
        state.withLock { $0.current = task }
        return stream
    }

    private func answer(
        _ message: ChatMessage?, _ options: GenerationOptions,
        _ continuation: AsyncThrowingStream<ResponseEvent, any Error>.Continuation
    ) async throws {
        let (messages, tools, sequence) = state.withLock { state in
            (state.messages + (message.map { [$0] } ?? []), state.tools, state.sequence)
        }
        var prepared = try model.prepare(
            ModelRequest(.chat(messages, tools: tools, variables: [:]), options: options))
        prepared.generation.sequence = sequence
        // From here on the turn counts: until now nothing was said, and an error leaves the conversation as it was.
        state.withLock { state in if let message { state.messages.append(message) } }
        var answer: Answer?
        defer {
            state.withLock { state in
                if let answer {
                    state.messages.append(answer.message)
                } else if message != nil {
                    // Refused, failed or cancelled before a word: a question without an answer would break the turns.
                    state.messages.removeLast()
                }
            }
        }
        var assembler = EventAssembler()
        try await model.deliver(try model.engine.generate(prepared.generation), prepared) { event in
            guard let event = assembler.add(event) else { return }
            var said = answer ?? Answer()
            said.add(event)
            answer = said
            continuation.yield(event)
        }
    }
}

/// What a model has said so far.
struct Answer: Sendable {
    var thinking = ""
    var text = ""
    var toolCalls: [ToolCall] = []

    var message: ChatMessage {
        ChatMessage(
            role: "assistant", content: text, reasoning: thinking.isEmpty ? nil : thinking, toolCalls: toolCalls)
    }

    mutating func add(_ event: ResponseEvent) {
        switch event {
        case .thinking(let piece): thinking += piece
        case .text(let piece): text += piece
        case .toolCall(let call): toolCalls.append(call)
        case .finish: break
        }
    }
}

/// Puts the parts of tool calls together, for those who want whole ones.
struct EventAssembler {
    private var call: ToolCall?

    mutating func add(_ event: ModelEvent) -> ResponseEvent? {
        switch event {
        case .thinking(let text): return .thinking(text)
        case .text(let text): return .text(text)
        case .toolCallStarted(_, let id, let name): call = ToolCall(id: id, name: name, arguments: "")
        case .toolCallArguments(_, let text): call?.arguments += text
        case .toolCallFinished:
            defer { call = nil }
            return call.map { .toolCall($0) }
        case .finish(let reason, let usage): return .finish(reason, usage)
        case .started, .promptLogprobs, .logprobs: break
        }
        return nil
    }
}
