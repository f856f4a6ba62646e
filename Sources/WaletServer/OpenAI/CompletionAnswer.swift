import Walet
import WaletJSON

/// Turns the pieces of completions into the documents of OpenAI's API: the whole one, or chunks.
struct CompletionAnswer {
    private struct Choice {
        var text = ""
        var logprobs: CompletionLogprobs
        var finish: FinishReason?
    }

    private let answer: ServedAnswer
    private let request: CompletionRequest
    private let echoes: [String]
    private var choices: [Choice]
    private var usage = UsageReport()

    /// - Parameter echoes: the texts of the prompts, where the prompt is echoed, else none.
    init(_ answer: ServedAnswer, _ request: CompletionRequest, _ echoes: [String]) {
        self.answer = answer
        self.request = request
        self.echoes = echoes
        choices = request.requests.indices.map { index in
            var choice = Choice(logprobs: CompletionLogprobs(alternatives: request.logprobs ?? 0))
            if request.echoes {
                let echo = echoes[index / request.choices]
                choice.text = echo
                // Without probabilities of the prompt the answer's still stand behind it.
                if request.logprobs == nil {
                    choice.logprobs = CompletionLogprobs(alternatives: 0, offset: echo.unicodeScalars.count)
                }
            }
            return choice
        }
    }

    /// - Returns: the text that a piece adds, where it adds any.
    private mutating func take(_ index: Int, _ event: ModelEvent) -> String {
        switch event {
        case .started, .toolCallStarted, .toolCallArguments, .toolCallFinished: break
        case .promptLogprobs(let tokens):
            for token in tokens { choices[index].logprobs.add(token) }
        case .logprobs(let tokens):
            if request.logprobs != nil, !request.isScoring {
                for token in tokens { choices[index].logprobs.add(token) }
            }
        case .thinking(let text), .text(let text):
            if !request.isScoring { return text }
        case .finish(let reason, _): choices[index].finish = request.isScoring ? .length : reason
        }
        return ""
    }

    /// For the whole document.
    mutating func add(_ event: ServedEvent) {
        switch event {
        case .idle: break
        case .end(let usage): self.usage = usage
        case .event(let index, let event): choices[index].text += take(index, event)
        }
    }

    var json: JSONValue {
        document(
            choices.enumerated().map { index, choice in
                [
                    "text": .string(choice.text), "index": .int(index),
                    "logprobs": request.logprobs == nil ? .null : choice.logprobs.json,
                    "finish_reason": .string((choice.finish ?? .stop).rawValue),
                ]
            }, usage: usage.openAI)
    }

    /// For a stream.
    mutating func chunks(_ event: ServedEvent) -> [JSONValue] {
        switch event {
        case .idle: return []
        case .end(let usage): return request.includesUsage ? [document([], usage: usage.openAI)] : []
        case .event(let index, let event):
            var text = take(index, event)
            var finish = JSONValue.null
            var says = !text.isEmpty
            if case .started = event, request.echoes {
                text = choices[index].text
                says = request.logprobs == nil
            }
            if case .promptLogprobs = event {
                text = choices[index].text
                says = true
            }
            if case .finish = event {
                finish = .string((choices[index].finish ?? .stop).rawValue)
                says = true
            }
            guard says else { return [] }
            let logprobs = request.logprobs == nil ? .null : choices[index].logprobs.take()
            return [
                document(
                    [
                        [
                            "text": .string(text), "index": .int(index), "logprobs": logprobs,
                            "finish_reason": finish,
                        ]
                    ], usage: .null)
            ]
        }
    }

    private func document(_ choices: [JSONValue], usage: JSONValue) -> JSONValue {
        var object = JSONObject([
            ("id", .string("cmpl-" + answer.id)), ("object", "text_completion"), ("created", .int(answer.created)),
            ("model", .string(answer.model)), ("choices", .array(choices)),
            ("system_fingerprint", .string(answer.fingerprint)),
        ])
        if !request.isStream || request.includesUsage { object["usage"] = usage }
        return .object(object)
    }
}
