import WaletEngine
import WaletGrammar
import WaletJSON
import WaletText

/// What an answer must be.
public enum OutputConstraint: Sendable {
    case free
    /// One JSON object.
    case jsonObject
    /// JSON that the schema allows.
    /// - Parameter isStrict: whether keywords that cannot be enforced are errors; otherwise they are ignored.
    case jsonSchema(JSONValue, isStrict: Bool = true)
}

extension LanguageModel {
    /// What keeps an answer to what was asked for; nil where it is free.
    func constraint(of request: ModelRequest, endsInThinking: Bool) throws -> (any TokenConstraint)? {
        let grammar = try grammar(of: request, endsInThinking: endsInThinking).map { GrammarConstraint($0) }
        guard let budget = request.thinkingBudget else { return grammar }
        guard style.hasThinking, let open = vocabulary?.tokenizer.id(ofToken: "<think>"),
            let close = vocabulary?.tokenizer.id(ofToken: "</think>")
        else { throw ModelRequestError.noThinking(model: name) }
        return ThinkingPhase(open: open, close: close, isOpen: endsInThinking, budget: budget, answer: grammar)
    }

    private func grammar(of request: ModelRequest, endsInThinking: Bool) throws -> TokenGrammar? {
        var messages: [ChatMessage]?
        var tools: [JSONValue] = []
        if case .chat(let history, let declared, _) = request.prompt {
            messages = history
            tools = request.toolChoice == .none ? [] : declared
        }
        let isStrict = tools.contains { ($0["function"] ?? $0)["strict"]?.boolValue == true }
        let needsCalls = request.toolChoice != .auto && request.toolChoice != .none
        let holdsCalls = needsCalls || !tools.isEmpty && (isStrict || !request.parallelToolCalls)
        if needsCalls, tools.isEmpty {
            throw ModelRequestError.noTools(model: name, reason: "a call is required, and no tool was declared")
        }
        if !tools.isEmpty, callStyle == nil, vocabulary?.toolTemplate?.source.contains("tools") != true {
            throw ModelRequestError.noTools(model: name, reason: "its chat template shows no tools to it")
        }
        var thinking: WaletGrammar.ThinkingPhase?
        if messages != nil, style.hasThinking {
            thinking = .init(endsInThinking ? .opened : .optional, opening: mark("<think>"), closing: mark("</think>"))
        }
        guard holdsCalls else { return try grammar(of: request.output, thinking) }
        guard let callStyle else {
            throw ModelRequestError.noTools(model: name, reason: "how it writes calls of tools is not known")
        }
        let earlier = messages?.reduce(0) { $0 + $1.toolCalls.count } ?? 0
        let calls = Calls(
            tools: tools, style: callStyle, isStrict: isStrict, choice: request.toolChoice,
            isParallel: request.parallelToolCalls, firstIndex: callStyle == .kimi ? earlier : 0)
        return try grammar(of: calls, request.output, thinking)
    }

    private func mark(_ text: String) -> OutputMark { OutputMark(text, token: vocabulary?.tokenizer.id(ofToken: text)) }

    private var callStyle: ToolCallStyle? {
        switch style.toolCalls {
        case .none: nil
        case .kimi: .kimi
        // V3 and R1 fence the arguments; V3.1 does not.
        case .deepSeek: vocabulary?.toolTemplate?.source.contains("```json") == true ? .deepSeekV3 : .deepSeekV31
        case .hermes: .hermes
        }
    }

    private func grammar(of output: OutputConstraint, _ thinking: WaletGrammar.ThinkingPhase?) throws -> TokenGrammar? {
        switch output {
        case .free: nil
        case .jsonObject:
            try grammar("object \(key(thinking))") { () throws(GrammarError) in try .jsonObject(thinking: thinking) }
        case .jsonSchema(let schema, let isStrict):
            try grammar("schema \(isStrict) \(key(thinking)) \(schema.text())") { () throws(GrammarError) in
                try .json(schema: schema, thinking: thinking, options: JSONOptions(isStrict: isStrict))
            }
        }
    }

    /// Calls that an answer must consist of, or may.
    private struct Calls {
        let tools: [JSONValue]
        let style: ToolCallStyle
        let isStrict: Bool
        let choice: ModelRequest.ToolChoice
        let isParallel: Bool
        let firstIndex: Int
    }

    private func grammar(
        of calls: Calls, _ output: OutputConstraint, _ thinking: WaletGrammar.ThinkingPhase?
    ) throws -> TokenGrammar {
        let choice: CallChoice
        switch calls.choice {
        case .auto, .none: choice = .auto
        case .required: choice = .required
        case .function(let name): choice = .named(name)
        }
        let form: AnswerForm
        var formKey = "text"
        switch output {
        case .free: form = .text
        case .jsonObject: (form, formKey) = (.jsonObject, "object")
        case .jsonSchema(let schema, _): (form, formKey) = (.jsonSchema(schema), schema.text())
        }
        let tokenizer = vocabulary?.tokenizer
        let options = JSONOptions(isStrict: calls.isStrict)
        let texts = calls.tools.map { $0.text() }
        let key = "calls \(choice) \(calls.isParallel) \(calls.firstIndex) \(key(thinking)) \(formKey) \(texts)"
        return try grammar(key) { () throws(GrammarError) in
            var tools: [CallableTool] = []
            for declaration in calls.tools { tools.append(try CallableTool(declaration: declaration)) }
            func make(_ tools: [CallableTool]) throws(GrammarError) -> Grammar {
                try .toolCalls(
                    tools, style: calls.style, choice: choice, isParallel: calls.isParallel,
                    firstIndex: calls.firstIndex, answer: form, thinking: thinking, options: options
                ) { tokenizer?.id(ofToken: $0) }
            }
            // Where nobody insists on it, a schema that cannot be followed is none.
            let followed = zip(tools, calls.tools).map { tool, declaration in
                (declaration["function"] ?? declaration)["parameters"].map {
                    CallableTool(name: tool.name, arguments: .schema($0))
                } ?? tool
            }
            do throws(GrammarError) { return try make(followed) } catch {
                if calls.isStrict { throw error }
                return try make(tools)
            }
        }
    }

    private func key(_ thinking: WaletGrammar.ThinkingPhase?) -> String { thinking.map { "\($0.start)" } ?? "-" }

    private func grammar(
        _ key: String, _ make: () throws(GrammarError) -> Grammar
    ) throws(ModelRequestError) -> TokenGrammar {
        do throws(GrammarError) {
            let trie = tokenTrie
            return try grammars.grammar(for: key) { () throws(GrammarError) in
                try TokenGrammar(try make(), vocabulary: trie)
            }
        } catch {
            throw .output(error.description)
        }
    }

    /// The vocabulary as grammars need it, made when one is needed first.
    private var tokenTrie: VocabularyTrie {
        trie.withLock { trie in
            if let trie { return trie }
            let tokenizer = vocabulary?.tokenizer
            let made = VocabularyTrie(
                (0..<configuration.vocabularySize).map { id in
                    guard let tokenizer, !tokenizer.isSpecial(id) else { return nil }
                    return tokenizer.bytes(of: id)
                }, endTokens: endTokens)
            trie = made
            return made
        }
    }
}

/// Keeps an answer to a grammar.
struct GrammarConstraint: TokenConstraint {
    private var matcher: GrammarMatcher
    private var allowed: TokenMask

    init(_ grammar: TokenGrammar) {
        matcher = GrammarMatcher(grammar)
        allowed = TokenMask(count: 0)
    }

    mutating func mask(_ logits: UnsafeMutableBufferPointer<Float>) {
        matcher.fillMask(&allowed)
        // What is complete, in a vocabulary without a token for the end, is followed by anything.
        if !allowed.isEmpty { allowed.apply(to: logits) }
    }

    mutating func accept(_ token: Int) { _ = matcher.accept(token) }
}

/// Bounds the thinking of an answer.
package struct ThinkingPhase: TokenConstraint {
    private enum State { case before, thinking, after }

    private let open: Int
    private let close: Int
    private let budget: Int
    private var answer: (any TokenConstraint)?
    private var state: State
    private var thought = 0

    /// - Parameters:
    ///   - open: the token that begins thinking; only as the first of an answer.
    ///   - close: the one that ends it.
    ///   - isOpen: the prompt has begun it.
    ///   - budget: tokens between them, at most.
    ///   - answer: what all of it must be, the thinking included; nil for anything.
    package init(open: Int, close: Int, isOpen: Bool, budget: Int, answer: (any TokenConstraint)?) {
        self.open = open
        self.close = close
        self.budget = budget
        self.answer = answer
        state = isOpen ? .thinking : .before
    }

    package mutating func mask(_ logits: UnsafeMutableBufferPointer<Float>) {
        guard state == .thinking, thought >= budget, logits.indices.contains(close) else {
            answer?.mask(logits)
            return
        }
        // Whatever its likelihood was, nothing else is left; but in the middle of a character it has to wait.
        if !logits[close].isFinite { logits[close] = 0 }
        answer?.mask(logits)
        let closing = logits[close]
        guard closing > -.infinity else { return }
        logits.update(repeating: -.infinity)
        logits[close] = closing
    }

    package mutating func accept(_ token: Int) {
        answer?.accept(token)
        switch state {
        case .before: state = token == open ? .thinking : .after
        case .thinking: if token == close { state = .after } else { thought += 1 }
        case .after: break
        }
    }
}
