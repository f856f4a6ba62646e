/// How much a model should think, in the words of OpenAI's and Anthropic's APIs.
enum ReasoningEffort: String, CaseIterable {
    case none, minimal, low, medium, high, xhigh, max

    /// Tokens of thinking, at most; nil for as many as it takes.
    var budget: Int? {
        switch self {
        case .none: 0
        case .minimal: 256
        case .low: 2048
        case .medium: 8192
        case .high, .xhigh, .max: nil
        }
    }
}
