import Walet
import WaletJSON

/// Turns the pieces of a chat's answer into the chunks of a stream.
struct ChatChunks {
    private struct Choice {
        var hasRole = false
        var callsTools = false
        var pending: [JSONValue] = []
    }

    private let answer: ServedAnswer
    private let logprobs: Int?
    private let includesUsage: Bool
    private var choices: [Choice]

    init(_ answer: ServedAnswer, choices: Int, logprobs: Int?, includesUsage: Bool) {
        self.answer = answer
        self.logprobs = logprobs
        self.includesUsage = includesUsage
        self.choices = Array(repeating: Choice(), count: choices)
    }

    /// The chunks that a piece becomes: none, or one, or the role's and its own.
    mutating func add(_ index: Int, _ event: ModelEvent) -> [JSONValue] {
        switch event {
        case .started:
            return role(index)
        case .promptLogprobs, .toolCallFinished: return []
        case .logprobs(let tokens):
            choices[index].pending += tokens.map { LogprobsJSON.entry($0, alternatives: logprobs ?? 0) }
            return []
        case .thinking(let text):
            return role(index) + [chunk(index, ["reasoning_content": .string(text)], logprobs: "reasoning_content")]
        case .text(let text):
            return role(index) + [chunk(index, ["content": .string(text)], logprobs: "content")]
        case .toolCallStarted(let call, let id, let name):
            choices[index].callsTools = true
            choices[index].pending = []
            let delta: JSONValue = [
                "index": .int(call), "id": .string(id), "type": "function",
                "function": ["name": .string(name), "arguments": ""],
            ]
            return role(index) + [chunk(index, ["tool_calls": [delta]])]
        case .toolCallArguments(let call, let text):
            choices[index].pending = []
            let delta: JSONValue = ["index": .int(call), "function": ["arguments": .string(text)]]
            return role(index) + [chunk(index, ["tool_calls": [delta]])]
        case .finish(let reason, _):
            let reason = ChatAnswer.finishReason(reason, callsTools: choices[index].callsTools)
            return role(index) + [chunk(index, [:], finish: reason)]
        }
    }

    private mutating func role(_ index: Int) -> [JSONValue] {
        guard !choices[index].hasRole else { return [] }
        choices[index].hasRole = true
        return [chunk(index, ["role": "assistant", "content": "", "refusal": .null])]
    }

    private mutating func chunk(
        _ index: Int, _ delta: JSONValue, logprobs key: String? = nil, finish: String? = nil
    ) -> JSONValue {
        var probabilities = JSONValue.null
        if let key, logprobs != nil {
            probabilities =
                key == "content"
                ? ["content": .array(choices[index].pending), "refusal": .null]
                : ["content": [], "refusal": .null, "reasoning_content": .array(choices[index].pending)]
            choices[index].pending = []
        }
        return document(
            [
                [
                    "index": .int(index), "delta": delta, "logprobs": probabilities,
                    "finish_reason": finish.map { .string($0) } ?? .null,
                ]
            ], usage: .null)
    }

    /// The last chunk, where usage was asked for: no choices, and all counts.
    func end(_ usage: UsageReport) -> [JSONValue] {
        includesUsage ? [document([], usage: usage.openAI)] : []
    }

    private func document(_ choices: [JSONValue], usage: JSONValue) -> JSONValue {
        var object = JSONObject([
            ("id", .string("chatcmpl-" + answer.id)), ("object", "chat.completion.chunk"),
            ("created", .int(answer.created)), ("model", .string(answer.model)), ("choices", .array(choices)),
            ("service_tier", "default"), ("system_fingerprint", .string(answer.fingerprint)),
        ])
        if includesUsage { object["usage"] = usage }
        return .object(object)
    }
}
