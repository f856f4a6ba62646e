// A model's events to the events of the Responses API, and to the whole response.

import Foundation
import Walet
import WaletJSON

/// The answer to POST /v1/responses as it grows: takes what the model does and says what to send.
///
/// Source: <https://platform.openai.com/docs/api-reference/responses-streaming>. Each event has its own type and the next
/// sequence number.
struct ResponseBuilder: Sendable {
    enum Status: String, Sendable {
        case inProgress = "in_progress"
        case completed, incomplete, failed, cancelled
    }

    private struct Item {
        enum Kind: Equatable {
            case reasoning, message
            case functionCall(callID: String, name: String)
        }

        let kind: Kind
        let id: String
        /// What was thought or said, or the call's arguments.
        var text = ""
        var logprobs: [JSONValue] = []
        var status = Status.inProgress
    }

    let id: String
    private let request: ResponsesRequest
    private let created: Int
    private let model: String
    private let isStored: Bool
    private var items: [Item] = []
    /// The last item still grows.
    private var isOpen = false
    private var sequence = 0
    /// White space before the first word of a text, which is nothing where no word follows.
    private var leadingSpace = ""
    /// Of tokens whose text has not come yet.
    private var pendingLogprobs: [JSONValue] = []
    private var reason: FinishReason?
    private var usage: UsageReport?
    private(set) var status = Status.inProgress
    private var completed: Int?
    private var error: JSONValue = .null

    init(id: String, model: String, created: Int, request: ResponsesRequest, isStored: Bool) {
        self.id = "resp_" + id
        self.model = model
        self.created = created
        self.request = request
        self.isStored = isStored
    }

    /// The events that open the stream.
    mutating func begin() -> [JSONValue] {
        [event("response.created", [("response", json)]), event("response.in_progress", [("response", json)])]
    }

    /// - Parameter now: in seconds since 1970.
    mutating func add(_ event: ServedEvent, now: Int) -> [JSONValue] {
        switch event {
        case .event(_, let event): return add(event)
        case .idle: return []
        case .end(let report):
            usage = report
            return finish(now: now)
        }
    }

    private mutating func add(_ event: ModelEvent) -> [JSONValue] {
        switch event {
        case .started, .promptLogprobs: return []
        case .thinking(let text):
            pendingLogprobs = []
            return addReasoning(text)
        case .text(let text): return addText(text)
        case .toolCallStarted(_, let id, let name):
            pendingLogprobs = []
            return open(.functionCall(callID: id, name: name), prefix: "fc_")
        case .toolCallArguments(_, let text): return addArguments(text)
        case .toolCallFinished(_, let isComplete): return close(isComplete ? .completed : .incomplete)
        case .logprobs(let logprobs):
            pendingLogprobs += logprobs.map { LogprobsJSON.entry($0, alternatives: request.logprobs ?? 0) }
            return []
        case .finish(let reason, _):
            self.reason = reason
            return []
        }
    }

    // MARK: Items

    private mutating func event(_ type: String, _ members: [(String, JSONValue)]) -> JSONValue {
        defer { sequence += 1 }
        return .object(JSONObject([("type", .string(type)), ("sequence_number", .int(sequence))] + members))
    }

    /// An event about a part of the last item.
    private mutating func partEvent(_ type: String, _ members: [(String, JSONValue)]) -> JSONValue {
        let isSummary = items.last?.kind == .reasoning && request.summary != nil
        let place: [(String, JSONValue)] = [
            ("item_id", .string(items.last?.id ?? "")), ("output_index", .int(items.count - 1)),
            (isSummary ? "summary_index" : "content_index", 0),
        ]
        return event(type, place + members)
    }

    private mutating func itemEvent(_ type: String) -> JSONValue {
        event(type, [("output_index", .int(items.count - 1)), ("item", items.last.map(json) ?? .null)])
    }

    private mutating func open(_ kind: Item.Kind, prefix: String) -> [JSONValue] {
        var events = close(.completed)
        leadingSpace = ""
        items.append(Item(kind: kind, id: "\(prefix)\(id.dropFirst("resp_".count))_\(items.count)"))
        isOpen = true
        events.append(itemEvent("response.output_item.added"))
        switch kind {
        case .reasoning where request.summary != nil:
            events.append(partEvent("response.reasoning_summary_part.added", [("part", Self.summary(""))]))
        case .reasoning:
            events.append(partEvent("response.content_part.added", [("part", Self.reasoning(""))]))
        case .message:
            events.append(partEvent("response.content_part.added", [("part", Self.text("", logprobs: []))]))
        case .functionCall: break
        }
        return events
    }

    private mutating func close(_ status: Status) -> [JSONValue] {
        guard isOpen, let last = items.last else { return [] }
        isOpen = false
        items[items.count - 1].status = status
        let text = JSONValue.string(last.text)
        var events: [JSONValue] = []
        switch last.kind {
        case .reasoning where request.summary != nil:
            events.append(partEvent("response.reasoning_summary_text.done", [("text", text)]))
            events.append(partEvent("response.reasoning_summary_part.done", [("part", Self.summary(last.text))]))
        case .reasoning:
            events.append(partEvent("response.reasoning_text.done", [("text", text)]))
            events.append(partEvent("response.content_part.done", [("part", Self.reasoning(last.text))]))
        case .message:
            let logprobs = JSONValue.array(last.logprobs)
            events.append(partEvent("response.output_text.done", [("text", text), ("logprobs", logprobs)]))
            events.append(
                partEvent("response.content_part.done", [("part", Self.text(last.text, logprobs: last.logprobs))]))
        case .functionCall(_, let name):
            events.append(
                event(
                    "response.function_call_arguments.done",
                    [
                        ("item_id", .string(last.id)), ("output_index", .int(items.count - 1)),
                        ("name", .string(name)), ("arguments", text),
                    ]))
        }
        events.append(itemEvent("response.output_item.done"))
        return events
    }

    private mutating func addReasoning(_ text: String) -> [JSONValue] {
        var events: [JSONValue] = []
        if !isOpen || items.last?.kind != .reasoning { events = open(.reasoning, prefix: "rs_") }
        items[items.count - 1].text += text
        let type = request.summary == nil ? "response.reasoning_text.delta" : "response.reasoning_summary_text.delta"
        events.append(partEvent(type, [("delta", .string(text))]))
        return events
    }

    private mutating func addText(_ text: String) -> [JSONValue] {
        var events: [JSONValue] = []
        var text = text
        if !isOpen || items.last?.kind != .message {
            text = leadingSpace + text
            guard text.contains(where: { !$0.isWhitespace }) else {
                leadingSpace = text
                return []
            }
            events = open(.message, prefix: "msg_")
        }
        let logprobs = pendingLogprobs
        pendingLogprobs = []
        items[items.count - 1].text += text
        items[items.count - 1].logprobs += logprobs
        events.append(
            partEvent("response.output_text.delta", [("delta", .string(text)), ("logprobs", .array(logprobs))]))
        return events
    }

    private mutating func addArguments(_ text: String) -> [JSONValue] {
        guard isOpen, case .functionCall? = items.last?.kind else { return [] }
        items[items.count - 1].text += text
        return [
            event(
                "response.function_call_arguments.delta",
                [
                    ("item_id", .string(items[items.count - 1].id)), ("output_index", .int(items.count - 1)),
                    ("delta", .string(text)),
                ])
        ]
    }

    // MARK: The end

    private mutating func finish(now: Int) -> [JSONValue] {
        switch reason {
        case .cancelled: return cancel()
        case .length:
            let events = close(.incomplete)
            status = .incomplete
            return events + [event("response.incomplete", [("response", json)])]
        default:
            let events = close(.completed)
            status = .completed
            completed = now
            return events + [event("response.completed", [("response", json)])]
        }
    }

    /// The client or somebody else ended it; what there is stays.
    mutating func cancel() -> [JSONValue] {
        let events = close(.incomplete)
        status = .cancelled
        return events + [event("response.incomplete", [("response", json)])]
    }

    /// The model failed in the middle.
    mutating func fail(_ error: APIError) -> [JSONValue] {
        let events = close(.incomplete)
        status = .failed
        self.error = [
            "code": .string(error.kind == .rateLimit ? "rate_limit_exceeded" : "server_error"),
            "message": .string(error.message),
        ]
        return events + [event("response.failed", [("response", json)])]
    }

    /// The messages of the answer, for a conversation that goes on.
    func add(to conversation: inout ResponseConversation) {
        for item in items {
            switch item.kind {
            case .reasoning: conversation.add(ResponseInputItem(.reasoning(item.text)))
            case .message: conversation.add(ResponseInputItem(.message(role: "assistant", text: item.text)))
            case .functionCall(let callID, let name):
                // Arguments that the answer's end cut off are no call that could be answered.
                if item.status == .completed {
                    conversation.add(
                        ResponseInputItem(
                            .functionCall(ToolCall(id: callID, name: name, arguments: item.text))))
                }
            }
        }
    }

    // MARK: JSON

    /// The response as it stands.
    var json: JSONValue {
        func text(_ value: String?) -> JSONValue { value.map(JSONValue.string) ?? .null }
        return [
            "id": .string(id), "object": "response", "created_at": .int(created), "status": .string(status.rawValue),
            "completed_at": completed.map(JSONValue.int) ?? .null, "background": false, "error": error,
            "incomplete_details": status == .incomplete ? ["reason": "max_output_tokens"] : .null,
            "instructions": text(request.instructions),
            "max_output_tokens": request.maximumTokens.map(JSONValue.int) ?? .null, "max_tool_calls": .null,
            "model": .string(model), "output": .array(items.map(json)),
            "parallel_tool_calls": .bool(request.parallelToolCalls),
            "previous_response_id": text(request.previousID), "prompt_cache_key": text(request.promptCacheKey),
            "reasoning": ["effort": text(request.effort?.rawValue), "summary": text(request.summary)],
            "safety_identifier": text(request.safetyIdentifier), "service_tier": "default",
            "store": .bool(isStored), "temperature": request.temperature.map(JSONValue.double) ?? .null,
            "text": ["format": request.format, "verbosity": "medium"], "tool_choice": request.spelledToolChoice,
            "tools": .array(request.tools), "top_logprobs": .int(request.logprobs ?? 0),
            "top_p": request.topP.map(JSONValue.double) ?? .null, "truncation": "disabled",
            "usage": usage?.responses ?? .null, "user": text(request.user), "metadata": request.metadata,
        ]
    }

    private func json(_ item: Item) -> JSONValue {
        let id = JSONValue.string(item.id)
        let status = JSONValue.string(item.status.rawValue)
        switch item.kind {
        case .reasoning:
            let isSummary = request.summary != nil
            var object = JSONObject([
                ("id", id), ("type", "reasoning"),
                ("summary", isSummary && !isOpening(item) ? [Self.summary(item.text)] : []),
                ("content", isSummary || isOpening(item) ? [] : [Self.reasoning(item.text)]), ("status", status),
            ])
            if request.sealsReasoning {
                object["encrypted_content"] =
                    item.status == .inProgress ? .null : .string(ResponseInputItem.seal(item.text))
            }
            return .object(object)
        case .message:
            return [
                "id": id, "type": "message", "status": status, "role": "assistant",
                "content": isOpening(item) ? [] : [Self.text(item.text, logprobs: item.logprobs)],
            ]
        case .functionCall(let callID, let name):
            return [
                "id": id, "type": "function_call", "status": status, "call_id": .string(callID),
                "name": .string(name), "arguments": .string(item.text),
            ]
        }
    }

    /// The item has no part yet.
    private func isOpening(_ item: Item) -> Bool { item.status == .inProgress && item.text.isEmpty }

    private static func reasoning(_ text: String) -> JSONValue { ["type": "reasoning_text", "text": .string(text)] }

    private static func summary(_ text: String) -> JSONValue { ["type": "summary_text", "text": .string(text)] }

    private static func text(_ text: String, logprobs: [JSONValue]) -> JSONValue {
        ["type": "output_text", "text": .string(text), "annotations": [], "logprobs": .array(logprobs)]
    }
}

extension ResponseInputItem {
    init(_ content: Content) {
        id = nil
        self.content = content
    }
}

extension UsageReport {
    /// The usage of the Responses API, where every field is required. Writing to the cache is not counted: it costs
    /// nothing here.
    var responses: JSONValue {
        [
            "input_tokens": .int(promptTokens),
            "input_tokens_details": ["cached_tokens": .int(cachedTokens), "cache_write_tokens": 0],
            "output_tokens": .int(answerTokens),
            "output_tokens_details": ["reasoning_tokens": .int(thinkingTokens)],
            "total_tokens": .int(promptTokens + answerTokens),
        ]
    }
}
