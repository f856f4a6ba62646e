import Walet
import WaletJSON

/// Turns the events of another server's answer into ours, as they come. It knows of no connection.
struct UpstreamAnswer {
    struct Limits {
        /// Bytes of all that is said, thinking and arguments included.
        let text: Int
        /// Bytes of all events.
        let stream: Int

        /// A token of an answer has a few bytes, hardly ever 256; with what stands around it, and twenty alternatives, it has
        /// thousands.
        init(maximumTokens: Int) {
            text = (1 << 20) + 256 * min(maximumTokens, 1 << 32)
            stream = (16 << 20) + 16384 * min(maximumTokens, 1 << 32)
        }
    }

    private let call: UpstreamCall
    let limits: Limits
    private let begun: ContinuousClock.Instant
    private var firstPiece: ContinuousClock.Instant?
    private var hasStarted = false
    private var toolCalls: UpstreamToolCalls
    private var usage = UpstreamUsage()
    private var textBytes = 0
    /// Pieces that said something: a token each at least, and mostly one.
    private var pieces = 0
    private var thinkingPieces = 0
    private var reason: FinishReason?
    private var stopSequence: String?
    /// `[DONE]` came.
    private(set) var isDone = false

    /// - Parameter begun: when the request was sent.
    init(_ call: UpstreamCall, begun: ContinuousClock.Instant = .now) {
        self.call = call
        limits = Limits(maximumTokens: call.maximumTokens)
        self.begun = begun
        toolCalls = UpstreamToolCalls(prefix: call.callPrefix)
    }

    /// Whether the reason for the end came: what follows says only what it took.
    var isComplete: Bool { reason != nil }
    /// Whether something was said.
    var hasSpoken: Bool { firstPiece != nil }
    /// Whether the counts are our own, as the other server told none.
    var isCounted: Bool { !usage.isTold }

    /// Takes the data of one event.
    /// - Throws: ``UpstreamError`` for what is no chunk of an answer, and for an error that the chunk tells of.
    mutating func take(_ data: [UInt8]) throws(UpstreamError) -> [ModelEvent] {
        if isDone || data.isEmpty { return [] }
        if data.elementsEqual("[DONE]".utf8) || data.elementsEqual("[DONE] ".utf8) {
            isDone = true
            return []
        }
        let chunk: JSONValue
        do {
            chunk = try JSONValue(parsing: data, maximumDepth: 64)
        } catch {
            throw .malformed(what: "a chunk", expected: "JSON", found: error.description)
        }
        guard chunk.objectValue != nil else {
            throw .malformed(what: "a chunk", expected: "an object", found: chunk.kind)
        }
        if let error = chunk["error"], !error.isNull {
            let fault = UpstreamFault(error, key: call.key)
            throw fault.error(status: fault.status ?? 500)
        }
        usage.take(chunk)
        var events: [ModelEvent] = []
        if usage.promptTokens != nil { start(&events) }
        switch chunk["choices"] {
        case nil, .null?: break
        case .array(let choices)?:
            // One choice was asked for.
            if let choice = choices.first { try take(choice, &events) }
        case .some(let other): throw .malformed(what: "'choices'", expected: "an array", found: other.kind)
        }
        return events
    }

    private mutating func take(_ choice: JSONValue, _ events: inout [ModelEvent]) throws(UpstreamError) {
        guard choice.objectValue != nil else {
            throw .malformed(what: "a choice", expected: "an object", found: choice.kind)
        }
        if call.logprobs != nil, let value = choice["logprobs"], !value.isNull {
            let logprobs = try UpstreamLogprobs.read(value)
            if !logprobs.isEmpty {
                start(&events)
                events.append(.logprobs(logprobs))
            }
        }
        if call.isChat {
            if let delta = choice["delta"], !delta.isNull { try takeDelta(delta, &events) }
        } else if let text = try text(choice, "text") {
            try say(.text(text), text, &events)
        }
        switch choice["finish_reason"] {
        case nil, .null?: break
        case .string(let word)?: try finish(word, choice, &events)
        case .some(let other): throw .malformed(what: "'finish_reason'", expected: "text", found: other.kind)
        }
    }

    private mutating func takeDelta(_ delta: JSONValue, _ events: inout [ModelEvent]) throws(UpstreamError) {
        guard delta.objectValue != nil else {
            throw .malformed(what: "'delta'", expected: "an object", found: delta.kind)
        }
        // Two names of the same; a server that has changed from one to the other sends both for a while.
        var thinking = try text(delta, "reasoning_content")
        if thinking == nil { thinking = try text(delta, "reasoning") }
        if let thinking {
            thinkingPieces += 1
            try say(.thinking(thinking), thinking, &events)
        }
        if let text = try text(delta, "content") { try say(.text(text), text, &events) }
        switch delta["tool_calls"] {
        case nil, .null?: break
        case .array(let list)?:
            if list.isEmpty { break }
            // Their names and numbers take something too.
            let bytes = list.reduce(0) { $0 + 64 + ($1["function"]?["arguments"]?.stringValue?.utf8.count ?? 0) }
            try count(bytes)
            let calls = try toolCalls.take(list)
            if !calls.isEmpty {
                start(&events)
                speak()
                events += calls
            }
        case .some(let other): throw .malformed(what: "'tool_calls'", expected: "an array", found: other.kind)
        }
    }

    /// A member that is text and not empty.
    private func text(_ object: JSONValue, _ key: String) throws(UpstreamError) -> String? {
        switch object[key] {
        case nil, .null?: return nil
        case .string(let text)?: return text.isEmpty ? nil : text
        case .some(let other): throw .malformed(what: "'\(key)'", expected: "text", found: other.kind)
        }
    }

    private mutating func say(
        _ event: ModelEvent, _ text: String, _ events: inout [ModelEvent]
    ) throws(UpstreamError) {
        try count(text.utf8.count)
        start(&events)
        speak()
        events.append(event)
    }

    private mutating func count(_ bytes: Int) throws(UpstreamError) {
        textBytes += bytes
        guard textBytes <= limits.text else {
            throw .malformed(what: "the answer", expected: "at most \(limits.text) bytes of text", found: "more")
        }
    }

    private mutating func speak() {
        pieces += 1
        firstPiece = firstPiece ?? .now
    }

    /// Tells that work has begun, and how long the prompt is as far as that is known.
    private mutating func start(_ events: inout [ModelEvent]) {
        guard !hasStarted else { return }
        hasStarted = true
        events.append(.started(prompt))
    }

    private var prompt: Usage {
        var usage = Usage(promptTokens: self.usage.promptTokens ?? call.estimatedPromptTokens)
        usage.cachedTokens = min(self.usage.cachedTokens ?? 0, usage.promptTokens)
        return usage
    }

    private mutating func finish(
        _ word: String, _ choice: JSONValue, _ events: inout [ModelEvent]
    ) throws(UpstreamError) {
        guard reason == nil else { return }
        switch word {
        case "length": reason = .length
        case "abort", "error": throw .broken(reason: "the server ended it: \(word)")
        default: reason = .stop
        }
        // vLLM's name of it, then SGLang's; either may be a token's number.
        for key in ["stop_reason", "matched_stop"] {
            if let text = choice[key]?.stringValue, call.stops.contains(text) { stopSequence = text }
        }
        let calls = try toolCalls.finish(isCut: reason == .length)
        if !calls.isEmpty { start(&events) }
        events += calls
    }

    /// Takes the end of the stream.
    /// - Throws: ``UpstreamError/broken(reason:)`` where the answer was not complete.
    mutating func end() throws(UpstreamError) -> [ModelEvent] {
        guard let reason else { throw .broken(reason: "the stream ended before the answer was complete") }
        var events: [ModelEvent] = []
        start(&events)
        var total = prompt
        total.answerTokens = usage.answerTokens ?? pieces
        total.thinkingTokens = min(usage.thinkingTokens ?? thinkingPieces, total.answerTokens)
        total.draftedTokens = usage.draftedTokens
        total.acceptedTokens = min(usage.acceptedTokens, usage.draftedTokens)
        total.stopSequence = stopSequence
        let now = ContinuousClock.now
        let first = firstPiece ?? now
        total.prefillSeconds = usage.prefillSeconds ?? (first - begun) / .seconds(1)
        total.decodeSeconds = usage.decodeSeconds ?? (now - first) / .seconds(1)
        events.append(.finish(reason, total))
        return events
    }
}
