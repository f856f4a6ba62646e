// A model's chat template: messages and tools to the text of a prompt.

import WaletJSON

/// A prompt with the parts that came from outside the template.
public struct RenderedPrompt: Sendable, Equatable {
    public var text: String
    /// Ranges of UTF-8 bytes of `text` that messages, tools, documents or other arguments supplied: sorted, not
    /// empty, neither overlapping nor touching. A control token that overlaps one of them is plain text.
    public var untrusted: [Range<Int>]

    public init(text: String, untrusted: [Range<Int>]) {
        self.text = text
        self.untrusted = untrusted
    }
}

/// A compiled chat template in the subset of Jinja2 that chat templates use.
///
/// The environment is that of Hugging Face transformers: `trim_blocks` and `lstrip_blocks` are on, nothing is escaped,
/// `break`, `continue` and `generation` are known, `tojson` is Python's `json.dumps`. A template cannot reach anything
/// but its arguments, and stops at ``TemplateLimits``.
///
/// ```swift
/// let template = try ChatTemplate(source: text, bosToken: "<s>", eosToken: "</s>")
/// let prompt = try template.render(messages: [ChatMessage(role: "user", content: "Hello")])
/// ```
public struct ChatTemplate: Sendable {
    /// The template's text as published.
    public let source: String
    public let bosToken: String?
    public let eosToken: String?
    private let program: JinjaProgram

    /// Compiles a template.
    /// - Throws: ``TemplateError`` for text that is no template, or that uses a filter, test, function or tag beyond
    ///   the subset.
    public init(source: String, bosToken: String?, eosToken: String?) throws(TemplateError) {
        self.source = source
        self.bosToken = bosToken
        self.eosToken = eosToken
        program = try JinjaParser.program(of: source)
    }

    /// Renders a conversation.
    /// - Parameters:
    ///   - messages: OpenAI-style objects with `role`, `content`, `tool_calls` and so on. `reasoning_content`,
    ///     `thinking` and `reasoning` stand for each other, as in transformers.
    ///   - tools: OpenAI-style tool declarations; nil is `none` in the template.
    ///   - addGenerationPrompt: whether the prompt ends where the assistant's answer begins.
    ///   - extra: further variables, such as `enable_thinking`. They cannot replace the ones above, nor the tokens.
    ///   - now: seconds since 1970 for `strftime_now`, or nil for the present.
    /// - Throws: ``TemplateError``.
    public func render(
        messages: [JSONValue], tools: [JSONValue]? = nil, documents: [JSONValue]? = nil,
        addGenerationPrompt: Bool = true, extra: [String: JSONValue] = [:], limits: TemplateLimits = .default,
        now: Int? = nil
    ) throws(TemplateError) -> RenderedPrompt {
        let list: ([JSONValue]?) -> JinjaValue = { values in
            values.map { .list(JinjaList($0.map(JinjaValue.init(untrusted:)))) } ?? .none
        }
        var variables = extra.map { ($0.key, JinjaValue(untrusted: $0.value)) }
        variables += [
            ("messages", list(messages.map(Self.withReasoning))),
            ("tools", list(tools)),
            ("documents", list(documents)),
            ("add_generation_prompt", .bool(addGenerationPrompt)),
        ]
        if let bosToken { variables.append(("bos_token", .text(bosToken))) }
        if let eosToken { variables.append(("eos_token", .text(eosToken))) }
        let interpreter = JinjaInterpreter(program, limits: limits, now: now)
        let text = try interpreter.render(variables)
        return RenderedPrompt(text: text.string, untrusted: text.untrusted)
    }

    /// Renders a conversation of ``ChatMessage`` values.
    /// - Throws: ``TemplateError``.
    public func render(
        messages: [ChatMessage], tools: [JSONValue]? = nil, documents: [JSONValue]? = nil,
        addGenerationPrompt: Bool = true, extra: [String: JSONValue] = [:], limits: TemplateLimits = .default,
        now: Int? = nil
    ) throws(TemplateError) -> RenderedPrompt {
        try render(
            messages: messages.map(\.json), tools: tools, documents: documents,
            addGenerationPrompt: addGenerationPrompt, extra: extra, limits: limits, now: now)
    }

    /// A message whose reasoning stands under both names that templates read, as transformers fills them in.
    private static func withReasoning(_ message: JSONValue) -> JSONValue {
        guard case .object(let object) = message else { return message }
        var reasoning: JSONValue?
        for name in ["reasoning_content", "thinking", "reasoning"] where reasoning == nil {
            if let value = object[name], !value.isNull { reasoning = value }
        }
        guard let reasoning else { return message }
        var result = JSONObject()
        if object["thinking"] == nil { result["thinking"] = reasoning }
        for (key, value) in object.members { result[key] = value }
        result["reasoning_content"] = reasoning
        return .object(result)
    }
}
