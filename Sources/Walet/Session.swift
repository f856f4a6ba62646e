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
        var variables: [String: JSONValue] = [:]
        if let thinking = options.thinking {
            // Qwen3 and its followers ask for the one, K2.5 and V3.1 for the other.
            variables["enable_thinking"] = .bool(thinking)
            variables["thinking"] = .bool(thinking)
        }
        let vocabulary = try model.requireVocabulary()
        let style = model.style
        // Kimi K2 copies the form of the ids that it reads, and understands but its own.
        let history = style.toolCalls == .kimi ? messages.withKimiToolCallIDs() : messages
        let prompt = try vocabulary.prompt(
            history.map(\.json), tools: tools.isEmpty ? nil : tools, addGenerationPrompt: true, variables: variables)
        let decoder = AnswerDecoder(
            vocabulary.tokenizer,
            parser: OutputParser(
                style: style, insideThinking: prompt.endsInThinking,
                tools: tools.compactMap { ToolSignature(json: $0) },
                callIDPrefix: "call_\(messages.count)_"),
            style: style, stops: options.stop)
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
        try await model.run(
            vocabulary.tokenize(prompt), options, decoder, sequence: sequence,
            { answer = $0 }, { continuation.yield($0) })
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

extension LanguageModel {
    /// Runs the engine on a prompt and turns its tokens into events.
    /// - Parameter progress: receives the answer so far, whenever it has grown; nothing where the prompt is refused.
    func run(
        _ prompt: [Int], _ options: GenerationOptions, _ decoder: AnswerDecoder, sequence: SequenceState?,
        _ progress: (Answer) -> Void, _ send: (ResponseEvent) -> Void
    ) async throws {
        let request = GenerationRequest(
            prompt: prompt, sampling: options.sampling, maximumTokens: options.maximumTokens, endTokens: endTokens,
            forbidden: forbidden, sequence: sequence, speculation: options.speculation)
        var decoder = decoder
        var answer = Answer()
        func deliver(_ events: [ResponseEvent]) {
            for event in events {
                answer.add(event)
                send(event)
            }
            if !events.isEmpty { progress(answer) }
        }
        for try await event in try engine.generate(request) {
            switch event {
            case .token(let token, let usage):
                deliver(decoder.append(token))
                if decoder.isStopped {
                    // Leaving the loop ends the engine's stream, and with it the work.
                    deliver(decoder.finish())
                    send(.finish(.stop, usage))
                    return
                }
            case .finished(let reason, let usage):
                deliver(decoder.finish())
                progress(answer)
                send(.finish(reason, usage))
            }
        }
    }
}
