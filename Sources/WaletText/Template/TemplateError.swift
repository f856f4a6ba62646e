// What can go wrong between a template's text and a prompt.

/// Why a chat template cannot be compiled or rendered.
public enum TemplateError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The kinds of things a template can ask for by name.
    public enum Feature: String, Sendable {
        case filter, test, function, tag
    }

    /// The text is not a template.
    case syntax(line: Int, reason: String)
    /// The template names something that Jinja2 may know and this subset does not.
    case unsupported(Feature, name: String, line: Int, supported: [String])
    /// An operation failed while rendering: a wrong type, a missing value.
    case runtime(line: Int, reason: String)
    /// The template called `raise_exception`: it refuses this conversation.
    case raised(message: String)
    /// The template wants more time, text or depth than it is given.
    case limit(what: String, limit: Int, line: Int)
    /// `chat_template` is neither a text nor a list of named texts, or has no template of the wanted name.
    case selection(reason: String)

    public var description: String {
        switch self {
        case .syntax(let line, let reason):
            return "chat template, line \(line): \(reason)"
        case .unsupported(let feature, let name, let line, let supported):
            let name = name.prefix(80)
            let list = supported.isEmpty ? "" : "; supported: " + supported.joined(separator: ", ")
            return "chat template, line \(line): unknown \(feature.rawValue) '\(name)'\(list)"
        case .runtime(let line, let reason):
            return "chat template, line \(line): \(reason)"
        case .raised(let message):
            return "the chat template refuses this conversation: \(message)"
        case .limit(let what, let limit, let line):
            return "chat template, line \(line): stopped at the limit of \(limit) \(what)"
        case .selection(let reason):
            return "chat template: \(reason)"
        }
    }
}

/// How much a template may do. The text comes from a model file, so it is treated as a stranger's program.
public struct TemplateLimits: Sendable, Equatable {
    /// Steps of evaluation; touching 64 bytes of text costs one more.
    public var steps: Int
    /// Bytes of the rendered prompt, and of any text on the way to it.
    public var outputBytes: Int
    /// Nesting of statements, expressions and macro calls while rendering.
    public var depth: Int
    /// Elements of one list or dictionary, and of one `range`.
    public var elements: Int

    public init(
        steps: Int = 4_000_000, outputBytes: Int = 16 << 20, depth: Int = 600, elements: Int = 100_000
    ) {
        self.steps = steps
        self.outputBytes = outputBytes
        self.depth = depth
        self.elements = elements
    }

    public static let `default` = TemplateLimits()

    /// The longest template text that is compiled; published ones have at most 30 KB.
    static let sourceBytes = 1 << 20
    /// Nesting of brackets and blocks in the text.
    static let sourceDepth = 80
}
