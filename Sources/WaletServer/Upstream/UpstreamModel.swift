import AsyncHTTPClient
import Crypto
import Logging
import NIOCore
import Synchronization
import Walet
import WaletJSON

/// A model behind another server that speaks the API of OpenAI: vLLM, SGLang, llama-server, or another.
public final class UpstreamModel: ServedModel {
    private struct Counts {
        var waiting = 0
        var running = 0
        var promptTokens = 0
        var cachedTokens = 0
    }

    /// How long ``respond(to:)`` waits to learn whether the other server takes the request. Then the answer goes on, and an
    /// error comes in its course.
    static let patience = Duration.seconds(10)

    private let name: String
    private let address: UpstreamAddress
    private let key: UpstreamKey?
    private let remote: UpstreamRemote
    private let client: UpstreamClient
    private let maximumRequests: Int
    private let logger: Logger
    private let saltKey = SymmetricKey(size: .bits256)
    private let counts = Mutex(Counts())

    init(
        name: String, address: UpstreamAddress, key: UpstreamKey?, remote: UpstreamRemote, client: UpstreamClient,
        maximumRequests: Int, logger: Logger
    ) {
        self.name = name
        self.address = address
        self.key = key
        self.remote = remote
        self.client = client
        self.maximumRequests = maximumRequests
        self.logger = logger
    }

    /// Asks another server about a model.
    /// - Parameters:
    ///   - name: what clients call the model.
    ///   - contextLimit: of prompt and answer, at most; nil for what the other server says.
    ///   - maximumRequests: that may wait or be answered at once; further ones get 503.
    /// - Throws: ``UpstreamError``.
    public static func connect(
        name: String, address: UpstreamAddress, key: UpstreamKey?, client: UpstreamClient, contextLimit: Int? = nil,
        maximumRequests: Int, logger: Logger
    ) async throws -> UpstreamModel {
        if key != nil, address.isReadable {
            logger.warning(
                "the key of an upstream travels in the clear over http",
                metadata: ["model": .string(name), "upstream": .string(address.base)])
        }
        let remote = try await UpstreamRemote.ask(
            address, key: key, localName: name, contextLimit: contextLimit, client: client)
        logger.info(
            "an upstream serves a model",
            metadata: [
                "model": .string(name), "upstream": .string(address.base), "remote": .string(remote.name),
                "kind": .string("\(remote.kind)"), "context": .stringConvertible(remote.contextLength),
                "tokenizer": .string("\(remote.tokenizer)"),
            ])
        return UpstreamModel(
            name: name, address: address, key: key, remote: remote, client: client,
            maximumRequests: max(1, maximumRequests), logger: logger)
    }

    public var contextLength: Int { remote.contextLength }
    public var defaultOptions: GenerationOptions { UpstreamCall.defaults }
    public var endTokens: Set<Int> { [] }
    public var countsPrompts: Bool { remote.tokenizer.countsPrompts }

    public var snapshot: EngineSnapshot {
        let counts = counts.withLock { $0 }
        return EngineSnapshot(
            running: counts.running, waiting: counts.waiting,
            tiers: [
                EngineSnapshot.Tier(
                    name: "upstream", queryTokens: counts.promptTokens, hitTokens: counts.cachedTokens, bytes: 0)
            ])
    }

    // MARK: Answers

    public func respond(to request: ModelRequest) async throws -> AsyncThrowingStream<ModelEvent, any Error> {
        var request = request
        if case .text(_, special: false) = request.prompt {
            // Only as tokens does text stay text.
            request.prompt = .tokens(try await promptTokens(of: request))
        }
        let call = try UpstreamCall(request, remote, cacheSalt: cacheSalt(request.tenant), key: key)
        try counts.withLock { counts in
            let all = counts.waiting + counts.running
            guard all < maximumRequests else { throw EngineError.queueFull(waiting: all, limit: maximumRequests) }
            counts.waiting += 1
        }
        let (events, output) = AsyncThrowingStream.makeStream(of: ModelEvent.self)
        let (verdicts, verdict) = AsyncStream.makeStream(of: (any Error)?.self)
        let task = Task { [self] in await run(call, output, verdict) }
        output.onTermination = { reason in
            switch reason {
            case .cancelled: task.cancel()
            // What follows an answer is read, so that the connection can serve the next one.
            default:
                Task {
                    try? await Task.sleep(for: UpstreamClient.drainLimit)
                    task.cancel()
                }
            }
        }
        let impatience = Task {
            try await Task.sleep(for: Self.patience)
            verdict.finish()
        }
        defer { impatience.cancel() }
        let error = await withTaskCancellationHandler {
            await verdicts.first { _ in true } ?? nil
        } onCancel: {
            task.cancel()
        }
        if let error { throw error }
        try Task.checkCancellation()
        return events
    }

    private typealias Output = AsyncThrowingStream<ModelEvent, any Error>.Continuation
    private typealias Verdict = AsyncStream<(any Error)?>.Continuation

    private func run(_ call: UpstreamCall, _ output: Output, _ verdict: Verdict) async {
        var presence = Presence(self)
        do {
            let begun = ContinuousClock.now
            let body = try await client.open(address.base + call.path, key: key, body: call.body)
            verdict.yield(nil)
            verdict.finish()
            var answer = UpstreamAnswer(call, begun: begun)
            var iterator = body.makeAsyncIterator()
            try await follow(&iterator, &answer, &presence, output)
            for event in try answer.end() {
                if case .finish(_, let usage) = event { note(usage, isCounted: answer.isCounted) }
                output.yield(event)
            }
            output.finish()
            presence.end()
            await drain(&iterator)
        } catch {
            presence.end()
            let fault = client.fault(error)
            if !(fault is CancellationError) { log(fault) }
            verdict.yield(fault)
            verdict.finish()
            output.finish(throwing: fault)
        }
    }

    /// Reads until the answer is complete.
    private func follow(
        _ iterator: inout HTTPClientResponse.Body.AsyncIterator, _ answer: inout UpstreamAnswer,
        _ presence: inout Presence, _ output: Output
    ) async throws {
        var parser = EventStreamParser()
        var bytes = 0
        func pass(_ event: [UInt8]) throws {
            for piece in try answer.take(event) { output.yield(piece) }
            if answer.hasSpoken { presence.begin() }
        }
        while true {
            let buffer: ByteBuffer
            do {
                guard let next = try await iterator.next() else { break }
                buffer = next
            } catch {
                // All is there but what it took.
                if answer.isComplete, !Task.isCancelled { return }
                throw error
            }
            bytes += buffer.readableBytes
            guard bytes <= answer.limits.stream else {
                throw UpstreamError.malformed(
                    what: "the answer", expected: "at most \(answer.limits.stream) bytes", found: "more")
            }
            for event in try parser.push(buffer.readableBytesView) {
                try pass(event)
                if answer.isDone { return }
            }
        }
        try Task.checkCancellation()
        if let event = parser.finish() { try pass(event) }
    }

    /// Reads what comes after the last event, which is nothing but the end of the body.
    private func drain(_ iterator: inout HTTPClientResponse.Body.AsyncIterator) async {
        for _ in 0..<16 {
            guard let buffer = try? await iterator.next(), buffer.readableBytes < 4096 else { return }
        }
    }

    private func note(_ usage: Usage, isCounted: Bool) {
        counts.withLock { counts in
            counts.promptTokens = counts.promptTokens.addingClamped(usage.promptTokens)
            counts.cachedTokens = counts.cachedTokens.addingClamped(usage.cachedTokens)
        }
        guard isCounted else { return }
        logger.warning(
            "an upstream told no usage: the tokens are counted from what it said",
            metadata: [
                "model": .string(name), "prompt_tokens": .stringConvertible(usage.promptTokens),
                "answer_tokens": .stringConvertible(usage.answerTokens), "usage": "counted",
            ])
    }

    private func log(_ fault: any Error) {
        var level = Logger.Level.error
        // What the client has to mend is no fault of the other server.
        if case .rejected? = fault as? UpstreamError { level = .info }
        logger.log(
            level: level, "an upstream failed",
            metadata: [
                "model": .string(name), "upstream": .string(address.base),
                "error": .string("\(fault)".prefixed(500)),
            ])
    }

    /// The same for a tenant at each request, and nobody else's.
    private func cacheSalt(_ tenant: String) -> String {
        HMAC<SHA256>.authenticationCode(for: Array(tenant.utf8), using: saltKey).prefix(16)
            .map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    }

    /// A request among those that wait or are answered.
    private struct Presence {
        private enum State { case waiting, running, gone }

        let model: UpstreamModel
        private var state = State.waiting

        init(_ model: UpstreamModel) { self.model = model }

        mutating func begin() {
            guard state == .waiting else { return }
            state = .running
            model.counts.withLock { counts in
                counts.waiting -= 1
                counts.running += 1
            }
        }

        mutating func end() {
            let old = state
            state = .gone
            model.counts.withLock { counts in
                switch old {
                case .waiting: counts.waiting -= 1
                case .running: counts.running -= 1
                case .gone: break
                }
            }
        }
    }

    // MARK: Tokens

    public func promptTokens(of request: ModelRequest) async throws -> [Int] {
        switch request.prompt {
        case .tokens(let tokens): return tokens
        case .text(let text, let special): return try await tokens(text, isPrompt: special)
        case .chat(let messages, let tools, let variables):
            var body = JSONObject([("messages", .array(messages.map(\.json)))])
            if !tools.isEmpty, request.toolChoice != .none { body["tools"] = .array(tools) }
            UpstreamCall.addTemplate(&body, variables, thinking: request.options.thinking)
            switch remote.tokenizer {
            case .llama(hasTemplate: true):
                let url = address.root + "/apply-template"
                let bytes = JSONValue.object(body).text().utf8.count
                let answer = try await client.document(
                    url, key: key, body: .object(body), maximumBytes: Self.answerBytes(bytes, each: 8))
                guard let prompt = answer["prompt"]?.stringValue else {
                    throw UpstreamError.malformed(what: "the prompt", expected: "text", found: answer.kind)
                }
                return try await tokens(prompt, isPrompt: true)
            case .openAI(takesChats: true):
                body["model"] = .string(remote.name)
                return try await tokens(.object(body))
            default: throw UpstreamError.notOffered("the tokens of a chat")
            }
        }
    }

    public func tokenize(_ text: String) async throws -> [Int] { try await tokens(text, isPrompt: false) }

    public func text(of tokens: [Int]) async throws -> String {
        var body = JSONObject([("tokens", .array(tokens.map { .int($0) }))])
        let member: String
        switch remote.tokenizer {
        case .none: throw UpstreamError.notOffered("the text of tokens")
        case .llama: member = "content"
        case .openAI:
            member = "prompt"
            body["model"] = .string(remote.name)
        }
        let answer = try await client.document(
            address.root + "/detokenize", key: key, body: .object(body),
            maximumBytes: Self.answerBytes(tokens.count, each: 512))
        guard let text = answer[member]?.stringValue else {
            throw UpstreamError.malformed(what: "the text of tokens", expected: "text", found: answer.kind)
        }
        return text
    }

    /// What an answer may have, by what was asked: nothing that comes back is much longer.
    private static func answerBytes(_ count: Int, each bytes: Int) -> Int {
        (1 << 20) + min(count, (64 << 20) / bytes) * bytes
    }

    /// - Parameter isPrompt: with the token that begins prompts, and control tokens recognized.
    private func tokens(_ text: String, isPrompt: Bool) async throws -> [Int] {
        switch remote.tokenizer {
        case .none: throw UpstreamError.notOffered("the tokens of a text")
        case .llama:
            return try await tokens([
                "content": .string(text), "add_special": .bool(isPrompt), "parse_special": .bool(isPrompt),
            ])
        case .openAI:
            return try await tokens([
                "model": .string(remote.name), "prompt": .string(text), "add_special_tokens": .bool(isPrompt),
            ])
        }
    }

    private func tokens(_ body: JSONValue) async throws -> [Int] {
        // A token has a byte of text at least, and a number of at most ten digits.
        let answer = try await client.document(
            address.root + "/tokenize", key: key, body: body,
            maximumBytes: Self.answerBytes(body.text().utf8.count, each: 16))
        guard let list = answer["tokens"]?.arrayValue else {
            throw UpstreamError.malformed(what: "tokens", expected: "an array", found: answer.kind)
        }
        return try list.map { element in
            guard let token = element.intValue, (0...Int(Int32.max)).contains(token) else {
                throw UpstreamError.malformed(what: "tokens", expected: "token ids", found: element.kind)
            }
            return token
        }
    }
}
