import Walet
import WaletJSON

/// Gathers the pieces of a chat's answer into the document that chat completions answer with.
struct ChatAnswer {
    fileprivate struct Choice {
        var reasoning = ""
        var content = ""
        var calls: [(id: String, name: String, arguments: String)] = []
        var finish: FinishReason?
        var pending: [JSONValue] = []
        var contentLogprobs: [JSONValue] = []
        var reasoningLogprobs: [JSONValue] = []
    }

    private let answer: ServedAnswer
    private let logprobs: Int?
    private var choices: [Choice]
    private var usage = UsageReport()

    init(_ answer: ServedAnswer, choices: Int, logprobs: Int?) {
        self.answer = answer
        self.logprobs = logprobs
        self.choices = Array(repeating: Choice(), count: choices)
    }

    mutating func add(_ event: ServedEvent) {
        switch event {
        case .idle: break
        case .end(let usage): self.usage = usage
        case .event(let index, let event): choices[index].add(event, alternatives: logprobs ?? 0)
        }
    }

    var json: JSONValue {
        [
            "id": .string("chatcmpl-" + answer.id), "object": "chat.completion", "created": .int(answer.created),
            "model": .string(answer.model),
            "choices": .array(
                choices.enumerated().map { index, choice in
                    [
                        "index": .int(index), "message": choice.message,
                        "logprobs": logprobs == nil ? .null : choice.logprobs,
                        "finish_reason": .string(
                            Self.finishReason(choice.finish ?? .stop, callsTools: !choice.calls.isEmpty)),
                    ]
                }),
            "usage": usage.openAI, "service_tier": "default", "system_fingerprint": .string(answer.fingerprint),
        ]
    }

    /// `length` where the answer was cut, whatever it was about to do.
    static func finishReason(_ reason: FinishReason, callsTools: Bool) -> String {
        reason == .length ? "length" : callsTools ? "tool_calls" : "stop"
    }

    static func toolCall(_ call: (id: String, name: String, arguments: String)) -> JSONValue {
        [
            "id": .string(call.id), "type": "function",
            "function": ["name": .string(call.name), "arguments": .string(call.arguments)],
        ]
    }
}

extension ChatAnswer.Choice {
    fileprivate mutating func add(_ event: ModelEvent, alternatives: Int) {
        switch event {
        case .started, .promptLogprobs, .toolCallFinished: break
        case .logprobs(let tokens):
            pending += tokens.map { LogprobsJSON.entry($0, alternatives: alternatives) }
        case .thinking(let text):
            reasoning += text
            reasoningLogprobs += takePending()
        case .text(let text):
            content += text
            contentLogprobs += takePending()
        case .toolCallStarted(_, let id, let name):
            calls.append((id, name, ""))
            pending = []
        case .toolCallArguments(let index, let text):
            if calls.indices.contains(index) { calls[index].arguments += text }
            pending = []
        case .finish(let reason, _): finish = reason
        }
    }

    private mutating func takePending() -> [JSONValue] {
        defer { pending = [] }
        return pending
    }

    fileprivate var message: JSONValue {
        var message = JSONObject([
            ("role", "assistant"),
            ("content", content.isEmpty && !calls.isEmpty ? .null : .string(content)), ("refusal", .null),
            ("annotations", []),
        ])
        if !reasoning.isEmpty { message["reasoning_content"] = .string(reasoning) }
        if !calls.isEmpty { message["tool_calls"] = .array(calls.map(ChatAnswer.toolCall)) }
        return .object(message)
    }

    fileprivate var logprobs: JSONValue {
        var object = JSONObject([("content", .array(contentLogprobs)), ("refusal", .null)])
        if !reasoningLogprobs.isEmpty { object["reasoning_content"] = .array(reasoningLogprobs) }
        return .object(object)
    }
}
