import WaletModels

/// A sequence that may go on in later requests: its tokens and what attention remembers of them.
public final class SequenceState: @unchecked Sendable {
    // Unchecked: only the engine's thread reads or writes it, one request at a time.
    let cache: KVCache
    /// The tokens whose rows the cache holds.
    var tokens: [Int] = []
    /// What the prediction layer remembers of it, once one was asked for.
    private(set) var prediction: PredictionDrafter?

    /// A request works on it; the next one waits.
    var isBusy = false

    init(cache: KVCache) { self.cache = cache }

    /// Tokens that attention remembers. Only while no request is under way.
    package var count: Int { tokens.count }

    /// Keeps the longest part that `prompt` begins with, but one token less than all of it, so that there is a row left
    /// to predict from.
    func keepPrefix(of prompt: [Int]) {
        var common = 0
        while common < min(tokens.count, prompt.count - 1), tokens[common] == prompt[common] { common += 1 }
        prediction?.truncate(to: common)
        truncate(to: common)
    }

    /// Forgets all but the first `count` tokens, as far as the model is concerned.
    func truncate(to count: Int) {
        tokens.removeLast(tokens.count - count)
        cache.truncate(to: count)
    }

    func removeAll() {
        tokens = []
        cache.truncate(to: 0)
        prediction = nil
    }

    /// The drafter of this sequence, ready for the rows that come now.
    func drafter(_ layer: PredictionLayer, _ space: Workspace) -> PredictionDrafter {
        let drafter =
            prediction ?? PredictionDrafter(layer, cache.makeSibling(layers: 1), from: tokens.count, space)
        drafter.goOn(from: tokens.count)
        prediction = drafter
        return drafter
    }
}

/// A prompt, and how to go on from it.
public struct GenerationRequest: Sendable {
    public var prompt: [Int]
    public var sampling: SamplingParameters
    /// Tokens of the answer, at most; nil for as many as the context holds.
    public var maximumTokens: Int?
    /// Tokens that end the answer. They are not part of it.
    public var endTokens: Set<Int>
    /// Ids that must never be drawn.
    public var forbidden: [Int]
    /// Where to go on; nil starts anew.
    public var sequence: SequenceState?
    /// Whether tokens are guessed ahead; the answer is the same.
    public var speculation: Speculation
    /// Pages of the prefix cache are shared by requests of one tenant.
    public var tenant = ""
    /// Requests of different owners take turns.
    public var owner = ""
    /// Higher goes first; -100 to 100.
    public var priority = 0
    /// Whether the answer must not depend on what is cached. Where attention has two forms, only pages that this request
    /// would compute bit for bit the same are then taken from the cache. By default where there is a seed.
    public var isReproducible: Bool
    /// Told of what is done.
    public var progress: RequestProgress?
    /// Further log probabilities: nil for none, else of each token of the answer and of so many likeliest ones.
    public var logprobs: Int?
    /// Log probabilities of the prompt's tokens too; the prompt is then computed as a whole.
    public var scoresPrompt = false
    /// Added to logits.
    public var logitBias: [Int: Float] = [:]
    /// What the answer may be; nil for anything.
    public var constraint: (any TokenConstraint)?
    /// Whether there are fewer guesses where they do not pay. Tests say no, as the clock has a say in it.
    package var pacesDrafts = true

    public init(
        prompt: [Int], sampling: SamplingParameters = .init(), maximumTokens: Int? = nil, endTokens: Set<Int> = [],
        forbidden: [Int] = [], sequence: SequenceState? = nil, speculation: Speculation = .off
    ) {
        self.prompt = prompt
        self.sampling = sampling
        self.maximumTokens = maximumTokens
        self.endTokens = endTokens
        self.forbidden = forbidden
        self.sequence = sequence
        self.speculation = speculation
        isReproducible = sampling.seed != nil
    }

    /// So many likeliest tokens can be asked for.
    public static let logprobCounts = 0...100
    public static let priorities = -100...100
}

/// Says which tokens may come next in an answer. A value, which is told of each token that was drawn.
public protocol TokenConstraint: Sendable {
    /// Sets the logits of tokens that may not come next to minus infinity; at least one stays.
    /// - Parameter logits: `[vocabulary]`
    mutating func mask(_ logits: UnsafeMutableBufferPointer<Float>)
    /// Takes in the token that was drawn.
    mutating func accept(_ token: Int)
}

/// Why an answer ended.
public enum FinishReason: String, Sendable {
    /// An end token, or a stop string.
    case stop
    /// The maximum of tokens, or the end of the context.
    case length
    case cancelled
}

/// What a request took.
public struct GenerationUsage: Sendable, Equatable {
    public var promptTokens = 0
    /// Prompt tokens that were not computed again.
    public var cachedTokens = 0
    /// Those of them that came from the disk.
    public var diskTokens = 0
    public var answerTokens = 0
    /// Those of them that were thinking, as far as who reads the answer can tell.
    public var thinkingTokens = 0
    /// Tokens that were guessed ahead, and those of them that came true: passes that the answer did without.
    public var draftedTokens = 0
    public var acceptedTokens = 0
    /// From the request to when work on it began, in seconds.
    public var queueSeconds = 0.0
    /// From then to the first token of the answer, in seconds.
    public var prefillSeconds = 0.0
    /// From the first token of the answer to the last, in seconds.
    public var decodeSeconds = 0.0
    /// The stop string that ended the answer; nil where something else did.
    public var stopSequence: String?

    public init(promptTokens: Int = 0) { self.promptTokens = promptTokens }

    /// Prompt tokens a second, those that were not cached.
    public var prefillRate: Double { prefillSeconds > 0 ? Double(promptTokens - cachedTokens) / prefillSeconds : 0 }
    /// Answer tokens a second after the first.
    public var decodeRate: Double { decodeSeconds > 0 ? Double(max(0, answerTokens - 1)) / decodeSeconds : 0 }
}

public enum GenerationEvent: Sendable {
    /// Work has begun, and how much of the prompt is cached is known; at most once, before all others.
    case started(GenerationUsage)
    /// The log probabilities of the prompt, where they were asked for.
    case promptScores(TokenScores)
    /// Those of the token that comes next, where they were asked for.
    case logprob(TokenLogprob)
    /// A token of the answer, and what it took until then.
    case token(Int, GenerationUsage)
    case finished(FinishReason, GenerationUsage)
}

/// How likely a token of an answer was, before sampling's parameters and constraints.
public struct TokenLogprob: Sendable, Equatable {
    public let id: Int
    /// ln p
    public let logprob: Float
    /// The likeliest ones, largest first.
    public let top: [TokenScores.Candidate]
}

/// The distribution after each token of a text.
public struct TokenScores: Sendable {
    public struct Candidate: Sendable, Equatable {
        public let id: Int
        /// ln p
        public let logprob: Float
    }
    /// ln p(tokens[i] | tokens[..<i]); nil for the first.
    public var logprobs: [Float?] = []
    /// The likeliest next tokens after tokens[...i], largest first; empty where none were asked for.
    public var top: [[Candidate]] = []
}
