import WaletEngine
import WaletJSON
import WaletText

/// What an answer must be.
public enum OutputConstraint: Sendable {
    case free
    /// One JSON object.
    case jsonObject
    /// JSON that the schema allows.
    case jsonSchema(JSONValue)
}

extension LanguageModel {
    /// What keeps an answer to what was asked for; nil where it is free.
    func constraint(of request: ModelRequest, endsInThinking: Bool) throws -> (any TokenConstraint)? {
        guard case .free = request.output else {
            throw ModelRequestError.output("this version cannot hold an answer to JSON or to a schema")
        }
        guard request.toolChoice == .auto || request.toolChoice == .none, request.parallelToolCalls else {
            throw ModelRequestError.noTools(
                model: name, reason: "this version cannot hold an answer to calls of tools, nor to one call")
        }
        guard let budget = request.thinkingBudget else { return nil }
        guard style.hasThinking, let open = vocabulary?.tokenizer.id(ofToken: "<think>"),
            let close = vocabulary?.tokenizer.id(ofToken: "</think>")
        else { throw ModelRequestError.noThinking(model: name) }
        return ThinkingPhase(
            open: open, close: close, isOpen: endsInThinking, budget: budget, endTokens: endTokens, answer: nil)
    }
}

/// Keeps an answer free while the model thinks, bounds the thinking, and hands over to what the rest must be.
package struct ThinkingPhase: TokenConstraint {
    private enum State { case before, thinking, after }

    private let open: Int
    private let close: Int
    private let budget: Int?
    private let endTokens: Set<Int>
    private var answer: (any TokenConstraint)?
    private var state: State
    private var thought = 0

    /// - Parameters:
    ///   - open: the token that begins thinking; only as the first of an answer.
    ///   - close: the one that ends it.
    ///   - isOpen: the prompt has begun it.
    ///   - budget: tokens between them, at most; nil for any number.
    ///   - answer: what comes after; nil for anything.
    package init(
        open: Int, close: Int, isOpen: Bool, budget: Int?, endTokens: Set<Int>, answer: (any TokenConstraint)?
    ) {
        self.open = open
        self.close = close
        self.budget = budget
        self.endTokens = endTokens
        self.answer = answer
        state = isOpen ? .thinking : .before
    }

    package mutating func mask(_ logits: UnsafeMutableBufferPointer<Float>) {
        switch state {
        case .before:
            guard logits.indices.contains(open) else { return }
            let opening = logits[open]
            answer?.mask(logits)
            logits[open] = opening
        case .thinking:
            if let budget, thought >= budget, logits.indices.contains(close) {
                let closing = logits[close]
                logits.update(repeating: -.infinity)
                // Whatever it was, nothing else is left.
                logits[close] = closing.isFinite ? closing : 0
            } else if answer != nil {
                // An answer of a certain form is still to come.
                for token in endTokens where logits.indices.contains(token) { logits[token] = -.infinity }
            }
        case .after: answer?.mask(logits)
        }
    }

    package mutating func accept(_ token: Int) {
        switch state {
        case .before:
            if token == open {
                state = .thinking
            } else {
                state = .after
                answer?.accept(token)
            }
        case .thinking:
            if token == close { state = .after } else { thought += 1 }
        case .after: answer?.accept(token)
        }
    }
}
