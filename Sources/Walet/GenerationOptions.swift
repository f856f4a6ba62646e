import WaletEngine

/// How an answer is made.
public struct GenerationOptions: Sendable {
    public var sampling: SamplingParameters
    /// Tokens of the answer, thinking included, at most; nil for as many as the context holds.
    public var maximumTokens: Int?
    /// Texts that end the answer and are not part of it.
    public var stop: [String]
    /// Whether a model that can do both thinks first; nil leaves it to the model's template.
    public var thinking: Bool?
    /// Whether tokens are guessed ahead; the answer is the same, and where guesses come true it is there sooner.
    public var speculation: Speculation

    public init(
        sampling: SamplingParameters = .greedy, maximumTokens: Int? = nil, stop: [String] = [], thinking: Bool? = nil,
        speculation: Speculation = .off
    ) {
        self.sampling = sampling
        self.maximumTokens = maximumTokens
        self.stop = stop
        self.thinking = thinking
        self.speculation = speculation
    }
}

/// A piece of an answer, as it is made.
public enum ResponseEvent: Sendable {
    /// Reasoning before the answer.
    case thinking(String)
    /// The answer.
    case text(String)
    /// A whole call of a tool.
    case toolCall(ToolCall)
    /// The end.
    case finish(FinishReason, Usage)
}
