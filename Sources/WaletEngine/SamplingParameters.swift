/// How the next token is drawn from the model's distribution.
///
/// The steps, in this order: penalties, temperature, top-k, top-p, min-p, draw. With the defaults the distribution is the
/// model's own; `temperature` 0 takes the likeliest token.
public struct SamplingParameters: Sendable, Equatable {
    /// Divides the logits; 0 is greedy.
    public var temperature: Double
    /// Only the k likeliest tokens; 0 for all.
    public var topK: Int
    /// Only the likeliest tokens whose probabilities reach this sum; 1 for all.
    public var topP: Double
    /// Only tokens at least this likely, as a fraction of the likeliest one's probability; 0 for all.
    public var minP: Double
    /// Logits of tokens in the prompt or the answer are divided (if positive) or multiplied by this; 1 for none.
    public var repetitionPenalty: Double
    /// Taken from the logit of a token that the answer has already.
    public var presencePenalty: Double
    /// Taken from the logit of a token for each time that the answer has it.
    public var frequencyPenalty: Double
    /// The same seed gives the same answer; nil draws one.
    public var seed: UInt64?

    public init(
        temperature: Double = 1, topK: Int = 0, topP: Double = 1, minP: Double = 0, repetitionPenalty: Double = 1,
        presencePenalty: Double = 0, frequencyPenalty: Double = 0, seed: UInt64? = nil
    ) {
        self.temperature = temperature
        self.topK = topK
        self.topP = topP
        self.minP = minP
        self.repetitionPenalty = repetitionPenalty
        self.presencePenalty = presencePenalty
        self.frequencyPenalty = frequencyPenalty
        self.seed = seed
    }

    public static let greedy = SamplingParameters(temperature: 0)

    /// - Throws: ``EngineError/parameter(name:expected:found:)`` for the first value out of its range.
    public func validate() throws(EngineError) {
        func check(_ name: String, _ value: Double, _ range: ClosedRange<Double>) throws(EngineError) {
            guard range.contains(value) else {
                throw .parameter(
                    name: name, expected: "a number from \(range.lowerBound) to \(range.upperBound)", found: "\(value)")
            }
        }
        try check("temperature", temperature, 0...100)
        try check("top-p", topP, 0...1)
        try check("min-p", minP, 0...1)
        try check("repetition penalty", repetitionPenalty, 0.01...100)
        try check("presence penalty", presencePenalty, -100...100)
        try check("frequency penalty", frequencyPenalty, -100...100)
        guard topK >= 0 else { throw .parameter(name: "top-k", expected: "0 or more", found: "\(topK)") }
    }
}

/// What cannot be done, known before any work starts, or what stopped it.
public enum EngineError: Error, Sendable, Equatable, CustomStringConvertible {
    case parameter(name: String, expected: String, found: String)
    case emptyPrompt
    case tokenOutOfRange(token: Int, vocabulary: Int)
    /// Prompt and answer do not fit the context.
    case contextExceeded(prompt: Int, context: Int)
    /// Speculation with a prediction layer that is not there, though the configuration may name so many.
    case noPredictionLayer(named: Int)
    /// The weights could not be read to the end.
    case weights(String)
    /// So many requests wait already.
    case queueFull(waiting: Int, limit: Int)
    /// The cache's disk tier cannot be used.
    case store(String)
    /// The engine was shut down while work was waiting.
    case stopped

    public var description: String {
        switch self {
        case .parameter(let name, let expected, let found): "\(name): expected \(expected), found \(found)"
        case .emptyPrompt: "the prompt is empty: the model needs at least one token to go on from"
        case .tokenOutOfRange(let token, let vocabulary):
            "token \(token) is not in the vocabulary of 0 to \(vocabulary - 1)"
        case .contextExceeded(let prompt, let context):
            "the prompt has \(prompt) tokens, and the context of \(context) tokens leaves no room for an answer"
        case .noPredictionLayer(0):
            "speculation: this checkpoint has no multi-token-prediction layer; 'lookup' needs none"
        case .noPredictionLayer(let named):
            "speculation: the configuration names \(named) multi-token-prediction layer\(named == 1 ? "" : "s"), but "
                + "the files have none; 'lookup' needs none"
        case .weights(let message): message
        case .queueFull(let waiting, let limit): "\(waiting) requests are waiting, and \(limit) may"
        case .store(let message): "the cache's folder cannot be used: \(message)"
        case .stopped: "the engine was shut down"
        }
    }
}
