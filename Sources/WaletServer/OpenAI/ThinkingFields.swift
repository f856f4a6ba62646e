import Walet
import WaletJSON

/// Whether, and how long, a model thinks before it answers: in OpenAI's words, DeepSeek's, Kimi's, Qwen's and vLLM's.
struct ThinkingFields {
    private enum Effort: String, CaseIterable {
        case none, minimal, low, medium, high, xhigh, max
    }

    /// Nil leaves it to the model's template.
    var isOn: Bool?
    /// Tokens of thinking, at most.
    var budget: Int?
    /// For the template.
    var variables: [String: JSONValue] = [:]

    /// Names of a template's own inputs, which no request may set.
    private static let internals: Set<String> = [
        "messages", "tools", "documents", "add_generation_prompt", "continue_final_message", "bos_token", "eos_token",
        "unk_token", "pad_token", "chat_template", "tokenize", "raise_exception", "strftime_now",
    ]
    /// What an effort may think, in tokens; above, there is no limit.
    private static let budgets: [Effort: Int] = [.minimal: 256, .low: 2048, .medium: 8192]

    /// - Parameter declared: further variables of the template that the operator lets requests set.
    init(_ fields: inout RequestFields, declared: Set<String>) throws(APIError) {
        var switches: [(String, Bool)] = []
        if let effort = try fields.choice("reasoning_effort", Effort.self) {
            switches.append(("reasoning_effort", effort != .none))
            budget = Self.budgets[effort]
            if effort != .none { variables["reasoning_effort"] = .string(effort.rawValue) }
        }
        if var thinking = try fields.object("thinking") {
            let type = try thinking.required(try thinking.string("type", maximumBytes: 32), "type")
            switch type {
            case "enabled": switches.append(("thinking.type", true))
            case "disabled": switches.append(("thinking.type", false))
            case "auto", "adaptive": break
            default:
                throw APIError.invalid(
                    "Expected \"enabled\", \"disabled\" or \"auto\"", parameter: thinking.path("type"),
                    code: "invalid_value")
            }
            if let tokens = try thinking.integer("budget_tokens", 0...Int(Int32.max)) { budget = tokens }
            try thinking.finish()
        }
        if let value = try fields.boolean("enable_thinking") { switches.append(("enable_thinking", value)) }
        for key in ["thinking_budget", "thinking_token_budget"] {
            if let tokens = try fields.integer(key, 0...Int(Int32.max)) { budget = tokens }
        }
        try readTemplateVariables(&fields, declared, &switches)
        isOn = switches.first?.1
        if let other = switches.first(where: { $0.1 != isOn }) {
            throw APIError.invalid(
                "'\(switches[0].0)' and '\(other.0)' contradict each other", parameter: other.0, code: "invalid_value")
        }
    }

    private mutating func readTemplateVariables(
        _ fields: inout RequestFields, _ declared: Set<String>, _ switches: inout [(String, Bool)]
    ) throws(APIError) {
        guard var arguments = try fields.object("chat_template_kwargs") else { return }
        for key in arguments.keys {
            switch key {
            case "enable_thinking", "thinking":
                if let value = try arguments.boolean(key) { switches.append(("chat_template_kwargs.\(key)", value)) }
            case _ where declared.contains(key) && !Self.internals.contains(key):
                guard let value = arguments.value(key) else { continue }
                switch value {
                case .bool, .int, .double: variables[key] = value
                case .string(let text) where text.utf8.count <= 1024: variables[key] = value
                default:
                    throw arguments.mismatch(key, "a boolean, a number or a text of at most 1024 bytes", value)
                }
            default:
                throw APIError.unsupported(
                    arguments.path(String(key.prefix(100))),
                    "only 'enable_thinking', 'thinking' and what the operator declares may be set")
            }
        }
    }
}
