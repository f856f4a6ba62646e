// A model's events to the events of Anthropic's stream, and to the whole message.

import Crypto
import Foundation
import Walet
import WaletJSON

/// The answer to POST /v1/messages as it grows: takes what the model does and says what to send.
///
/// The order of events is Anthropic's: `message_start`, then for each block `content_block_start`, deltas and
/// `content_block_stop`, then `message_delta` with the reason and the usage, and `message_stop`.
struct MessageBuilder {
    struct Event: Equatable {
        var name: String
        var data: JSONValue

        init(_ name: String, _ members: [(String, JSONValue)] = []) {
            self.name = name
            data = .object(JSONObject([("type", .string(name))] + members))
        }
    }

    private struct Block {
        enum Kind: Equatable {
            case thinking, text
            case toolUse(id: String, name: String)
        }

        let kind: Kind
        /// What was thought or said, or the call's arguments.
        var text: String
    }

    private let id: String
    private let model: String
    private let hidesThinking: Bool
    private let maximumTokens: Int?
    private var blocks: [Block] = []
    /// The last block still grows.
    private var isOpen = false
    private var isStarted = false
    private var hasToolCalls = false
    /// White space before the first word of a text, which is nothing where no word follows.
    private var leadingSpace = ""
    private var usage = UsageReport()
    private var reason: FinishReason?
    private var stopSequence: String?
    /// The message was made to its end; else what there is of it was cut off by a shutdown.
    private(set) var isComplete = false

    init(id: String, model: String, hidesThinking: Bool = false, maximumTokens: Int? = nil) {
        self.id = "msg_" + id
        self.model = model
        self.hidesThinking = hidesThinking
        self.maximumTokens = maximumTokens
    }

    mutating func add(_ event: ServedEvent) -> [Event] {
        switch event {
        case .event(_, let event): return add(event)
        case .idle: return [Event("ping")]
        case .end(let report):
            usage = report
            isComplete = reason != .cancelled
            return isComplete ? finish() : []
        }
    }

    private mutating func add(_ event: ModelEvent) -> [Event] {
        switch event {
        case .started(let usage):
            self.usage.promptTokens = usage.promptTokens
            self.usage.cachedTokens = usage.cachedTokens
            return start()
        case .promptLogprobs, .logprobs: return []
        case .thinking(let text): return addThinking(text)
        case .text(let text): return addText(text)
        case .toolCallStarted(_, let id, let name): return addToolUse(id: id, name: name)
        case .toolCallArguments(_, let text): return addArguments(text)
        case .toolCallFinished: return close()
        case .finish(let reason, let usage):
            self.reason = reason
            stopSequence = usage.stopSequence
            return []
        }
    }

    private mutating func start() -> [Event] {
        if isStarted { return [] }
        isStarted = true
        return [Event("message_start", [("message", message(reason: nil))]), Event("ping")]
    }

    private mutating func open(_ kind: Block.Kind, _ text: String, _ json: JSONValue) -> [Event] {
        let events = start() + close()
        leadingSpace = ""
        blocks.append(Block(kind: kind, text: text))
        isOpen = true
        return events + [
            Event("content_block_start", [("index", .int(blocks.count - 1)), ("content_block", json)])
        ]
    }

    /// Adds to the last block where it is open and of this kind.
    private mutating func extend(_ kind: Block.Kind, _ text: String) -> Bool {
        guard isOpen, blocks.last?.kind == kind else { return false }
        blocks[blocks.count - 1].text += text
        return true
    }

    private mutating func close() -> [Event] {
        guard isOpen, let block = blocks.last else { return [] }
        isOpen = false
        var events: [Event] = []
        if block.kind == .thinking {
            events.append(delta(["type": "signature_delta", "signature": .string(Self.signature(block.text))]))
        }
        return events + [Event("content_block_stop", [("index", .int(blocks.count - 1))])]
    }

    private func delta(_ json: JSONValue) -> Event {
        Event("content_block_delta", [("index", .int(blocks.count - 1)), ("delta", json)])
    }

    private mutating func addThinking(_ text: String) -> [Event] {
        var events: [Event] = []
        if !extend(.thinking, text) {
            events = open(.thinking, text, ["type": "thinking", "thinking": "", "signature": ""])
        }
        if !hidesThinking { events.append(delta(["type": "thinking_delta", "thinking": .string(text)])) }
        return events
    }

    private mutating func addText(_ text: String) -> [Event] {
        if extend(.text, text) { return [delta(["type": "text_delta", "text": .string(text)])] }
        let whole = leadingSpace + text
        guard whole.contains(where: { !$0.isWhitespace }) else {
            leadingSpace = whole
            return []
        }
        return open(.text, whole, ["type": "text", "text": ""])
            + [delta(["type": "text_delta", "text": .string(whole)])]
    }

    private mutating func addToolUse(id: String, name: String) -> [Event] {
        hasToolCalls = true
        return open(
            .toolUse(id: id, name: name), "",
            ["type": "tool_use", "id": .string(id), "name": .string(name), "input": [:]])
    }

    private mutating func addArguments(_ text: String) -> [Event] {
        guard isOpen, case .toolUse? = blocks.last?.kind else { return [] }
        blocks[blocks.count - 1].text += text
        return [delta(["type": "input_json_delta", "partial_json": .string(text)])]
    }

    private mutating func finish() -> [Event] {
        var events = start() + close()
        let (reason, sequence) = stopReason
        events.append(
            Event(
                "message_delta",
                [
                    (
                        "delta",
                        ["stop_reason": .string(reason), "stop_sequence": sequence.map(JSONValue.string) ?? .null]
                    ),
                    ("usage", usage.anthropic),
                ]))
        events.append(Event("message_stop"))
        return events
    }

    private var stopReason: (String, String?) {
        switch reason {
        case .length:
            // Fewer tokens than were allowed: the context ended first.
            if let maximumTokens, usage.answerTokens < maximumTokens { return ("model_context_window_exceeded", nil) }
            return ("max_tokens", nil)
        case _ where hasToolCalls: return ("tool_use", nil)
        default:
            if let stopSequence { return ("stop_sequence", stopSequence) }
            return ("end_turn", nil)
        }
    }

    /// The whole message, once all events were added.
    var message: JSONValue { message(reason: stopReason) }

    private func message(reason: (String, String?)?) -> JSONValue {
        [
            "id": .string(id), "type": "message", "role": "assistant", "model": .string(model),
            "content": .array(blocks.map(json)), "stop_reason": reason.map { .string($0.0) } ?? .null,
            "stop_sequence": reason?.1.map(JSONValue.string) ?? .null, "usage": usage.anthropic,
        ]
    }

    private func json(_ block: Block) -> JSONValue {
        switch block.kind {
        case .thinking:
            [
                "type": "thinking", "thinking": .string(hidesThinking ? "" : block.text),
                "signature": .string(Self.signature(block.text)),
            ]
        case .text: ["type": "text", "text": .string(block.text)]
        case .toolUse(let id, let name):
            // Arguments that the answer's end cut off are no JSON, and a block must have an object.
            [
                "type": "tool_use", "id": .string(id), "name": .string(name),
                "input": .object((try? JSONValue(parsing: block.text))?.objectValue ?? JSONObject()),
            ]
        }
    }

    /// What a thinking block carries, since clients expect one: a digest of the text.
    private static func signature(_ text: String) -> String {
        Data(SHA256.hash(data: Data(text.utf8))).base64EncodedString()
    }
}

extension UsageReport {
    /// Anthropic's usage, whose three input counts are disjoint. Writing to the cache costs nothing extra here, so that
    /// no tokens are counted as written.
    var anthropic: JSONValue {
        [
            "input_tokens": .int(freshTokens), "cache_read_input_tokens": .int(cachedTokens),
            "cache_creation_input_tokens": 0,
            "cache_creation": ["ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0],
            "output_tokens": .int(answerTokens), "output_tokens_details": ["thinking_tokens": .int(thinkingTokens)],
            "service_tier": "standard",
        ]
    }
}
