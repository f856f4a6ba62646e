import WaletEngine
import WaletJSON
import WaletText

/// One request to a model, with all that a server needs; ``Session`` is for conversations within a program.
public struct ModelRequest: Sendable {
    public enum Prompt: Sendable {
        /// Through the checkpoint's chat template.
        /// - Parameters:
        ///   - tools: in the OpenAI API's form.
        ///   - variables: further variables of the template, such as `enable_thinking`.
        case chat([ChatMessage], tools: [JSONValue], variables: [String: JSONValue])
        /// As it is.
        /// - Parameter special: whether control tokens in it are recognized.
        case text(String, special: Bool)
        case tokens([Int])
    }

    /// Whether and which tools the model calls.
    public enum ToolChoice: Sendable, Equatable {
        case auto
        case none
        /// One at least.
        case required
        /// This one.
        case function(String)
    }

    public var prompt: Prompt
    public var options: GenerationOptions
    /// Pages of the prefix cache are shared by requests of one tenant.
    public var tenant = ""
    /// Requests of different owners take turns.
    public var owner = ""
    /// Higher goes first; -100 to 100.
    public var priority = 0
    public var output = OutputConstraint.free
    public var toolChoice = ToolChoice.auto
    /// Whether there may be several calls in one answer.
    public var parallelToolCalls = true
    /// Log probabilities of the answer's tokens, and of so many likeliest ones; nil for none.
    public var logprobs: Int?
    /// Log probabilities of the prompt's tokens too; the prompt is then computed as a whole.
    public var promptLogprobs = false
    /// Added to the logits of tokens.
    public var logitBias: [Int: Double] = [:]
    /// Tokens of thinking, at most: then it is closed, and the answer begins.
    public var thinkingBudget: Int?
    /// Told of what is done.
    public var progress: RequestProgress?

    public init(_ prompt: Prompt, options: GenerationOptions) {
        self.prompt = prompt
        self.options = options
    }
}

/// What a token was, and how likely.
public struct TokenLogprob: Sendable, Equatable {
    public struct Candidate: Sendable, Equatable {
        public let id: Int
        /// What it stands for; not always whole characters.
        public let bytes: [UInt8]
        /// ln p
        public let logprob: Double

        public init(id: Int, bytes: [UInt8], logprob: Double) {
            self.id = id
            self.bytes = bytes
            self.logprob = logprob
        }
    }

    public let id: Int
    public let bytes: [UInt8]
    /// ln p; nil for the first token of a prompt.
    public let logprob: Double?
    /// The likeliest ones, largest first.
    public let top: [Candidate]

    public init(id: Int, bytes: [UInt8], logprob: Double?, top: [Candidate]) {
        self.id = id
        self.bytes = bytes
        self.logprob = logprob
        self.top = top
    }
}

/// A part of what a model does about a request.
public enum ModelEvent: Sendable {
    /// Work has begun, and how much of the prompt is cached is known.
    case started(Usage)
    case promptLogprobs([TokenLogprob])
    case thinking(String)
    case text(String)
    /// A call whose name is known; its arguments follow. `index` counts the calls of this answer from 0.
    case toolCallStarted(index: Int, id: String, name: String)
    /// More of a call's arguments: JSON text as the model wrote it.
    case toolCallArguments(index: Int, String)
    /// Not complete where the answer ended first.
    case toolCallFinished(index: Int, isComplete: Bool)
    /// Of tokens whose text comes next.
    case logprobs([TokenLogprob])
    case finish(FinishReason, Usage)

    init(_ piece: ParsedPiece) {
        switch piece {
        case .thinking(let text): self = .thinking(text)
        case .text(let text): self = .text(text)
        case .toolCallStarted(let index, let id, let name): self = .toolCallStarted(index: index, id: id, name: name)
        case .toolCallArguments(let index, let text): self = .toolCallArguments(index: index, text)
        case .toolCallFinished(let index, let isComplete):
            self = .toolCallFinished(index: index, isComplete: isComplete)
        // What the model wrote is shown rather than lost.
        case .malformedToolCall(let text): self = .text(text)
        }
    }
}

/// What of a request cannot be done by this model.
public enum ModelRequestError: Error, Sendable, Equatable, CustomStringConvertible {
    /// A bound on thinking, and the model does not mark its thinking with tokens of its own.
    case noThinking(model: String)
    /// A call is wanted, and the model has no form for calls that is known here, or no tool was declared.
    case noTools(model: String, reason: String)
    /// The form that was asked for cannot be kept to.
    case output(String)

    public var description: String {
        switch self {
        case .noThinking(let model):
            "\(model) has no tokens that begin and end its thinking, so that it cannot be bounded"
        case .noTools(let model, let reason): "\(model): \(reason)"
        case .output(let message): message
        }
    }
}

extension LanguageModel {
    /// Answers a request.
    /// - Returns: what the model does, as it does it. Ending the iteration early, or cancelling its task, stops the work
    ///   within one pass.
    /// - Throws: before any work: ``EngineError`` (parameters, a prompt that is too long, a full queue),
    ///   ``ModelRequestError``, or what the template finds wrong.
    public func respond(to request: ModelRequest) throws -> AsyncThrowingStream<ModelEvent, any Error> {
        let prepared = try prepare(request)
        let events = try engine.generate(prepared.generation)
        let (stream, continuation) = AsyncThrowingStream.makeStream(of: ModelEvent.self)
        let task = Task {
            do {
                try await self.deliver(events, prepared) { continuation.yield($0) }
                continuation.finish()
            } catch {
                continuation.finish(throwing: error)
            }
        }
        continuation.onTermination = { _ in task.cancel() }
        return stream
    }

    /// The tokens that a request's prompt becomes.
    public func promptTokens(of request: ModelRequest) throws -> [Int] { try prompt(of: request).tokens }

    /// What the engine does and has done.
    public var statistics: EngineStatistics { engine.statistics }

    /// Returns when what the prefix cache keeps on disk of answered requests is there.
    public func flushCache() { engine.flushStore() }

    /// A request, ready for the engine, and how its answer is read.
    struct PreparedRequest: Sendable {
        var generation: GenerationRequest
        let decoder: AnswerDecoder
    }

    private func prompt(of request: ModelRequest) throws -> (tokens: [Int], endsInThinking: Bool) {
        switch request.prompt {
        case .tokens(let tokens): return (tokens, false)
        case .text(let text, let special): return (try requireVocabulary().tokenize(text, special: special), false)
        case .chat(let messages, let tools, let variables):
            let vocabulary = try requireVocabulary()
            // Qwen3 and its followers ask for the one name, K2.5 and V3.1 for the other.
            var variables = variables
            if let thinking = request.options.thinking {
                variables["enable_thinking"] = variables["enable_thinking"] ?? .bool(thinking)
                variables["thinking"] = variables["thinking"] ?? .bool(thinking)
            }
            // Kimi K2 copies the form of the ids that it reads, and understands but its own.
            let history = style.toolCalls == .kimi ? messages.withKimiToolCallIDs() : messages
            let shown = request.toolChoice == .none || tools.isEmpty ? nil : tools
            let prompt = try vocabulary.prompt(
                history.map(\.json), tools: shown, addGenerationPrompt: true, variables: variables)
            return (vocabulary.tokenize(prompt), prompt.endsInThinking)
        }
    }

    func prepare(_ request: ModelRequest) throws -> PreparedRequest {
        let (tokens, endsInThinking) = try prompt(of: request)
        let options = request.options
        var generation = GenerationRequest(
            prompt: tokens, sampling: options.sampling, maximumTokens: options.maximumTokens, endTokens: endTokens,
            forbidden: forbidden, speculation: options.speculation)
        generation.tenant = request.tenant
        generation.owner = request.owner
        generation.progress = request.progress
        generation.priority = request.priority
        generation.logprobs = request.logprobs
        generation.scoresPrompt = request.promptLogprobs
        generation.logitBias = request.logitBias.mapValues { Float($0) }
        generation.constraint = try constraint(of: request, endsInThinking: endsInThinking)
        var style = OutputStyle.plain
        var tools: [ToolSignature] = []
        var prefix = "call_"
        if case .chat(let messages, let declared, _) = request.prompt {
            style = self.style
            tools = declared.compactMap { ToolSignature(json: $0) }
            prefix = "call_\(messages.count)_"
        }
        let decoder = AnswerDecoder(
            try requireVocabulary().tokenizer,
            parser: OutputParser(style: style, insideThinking: endsInThinking, tools: tools, callIDPrefix: prefix),
            style: style, stops: options.stop)
        return PreparedRequest(generation: generation, decoder: decoder)
    }

    /// Turns what the engine makes into events.
    func deliver(
        _ events: AsyncThrowingStream<GenerationEvent, any Error>, _ prepared: PreparedRequest,
        _ send: (ModelEvent) -> Void
    ) async throws {
        var decoder = prepared.decoder
        var thinkingTokens = 0
        func count(_ usage: Usage) -> Usage {
            var usage = usage
            usage.thinkingTokens = thinkingTokens
            return usage
        }
        for try await event in events {
            switch event {
            case .started(let usage): send(.started(usage))
            case .promptScores(let scores):
                send(.promptLogprobs(logprobs(scores, of: prepared.generation.prompt)))
            case .logprob(let logprob):
                send(
                    .logprobs([
                        TokenLogprob(
                            id: logprob.id, bytes: bytes(logprob.id), logprob: Double(logprob.logprob),
                            top: logprob.top.map(candidate))
                    ]))
            case .token(let token, let usage):
                let pieces = decoder.append(token)
                if decoder.isThinking { thinkingTokens += 1 }
                for piece in pieces { send(ModelEvent(piece)) }
                if decoder.isStopped {
                    // Leaving the loop ends the engine's stream, and with it the work.
                    for piece in decoder.finish() { send(ModelEvent(piece)) }
                    var usage = count(usage)
                    usage.stopSequence = decoder.stopSequence
                    send(.finish(.stop, usage))
                    return
                }
            case .finished(let reason, let usage):
                for piece in decoder.finish() { send(ModelEvent(piece)) }
                send(.finish(reason, count(usage)))
            }
        }
    }

    private func logprobs(_ scores: TokenScores, of tokens: [Int]) -> [TokenLogprob] {
        zip(0..., zip(tokens, scores.logprobs)).map { index, token in
            TokenLogprob(
                id: token.0, bytes: bytes(token.0), logprob: token.1.map { Double($0) },
                top: index > 0 && index <= scores.top.count ? scores.top[index - 1].map(candidate) : [])
        }
    }

    private func candidate(_ candidate: TokenScores.Candidate) -> TokenLogprob.Candidate {
        .init(id: candidate.id, bytes: bytes(candidate.id), logprob: Double(candidate.logprob))
    }

    private func bytes(_ id: Int) -> [UInt8] { vocabulary?.tokenizer.bytes(of: id).map { Array($0) } ?? [] }
}
