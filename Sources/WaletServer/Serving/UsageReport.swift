import Walet
import WaletJSON

/// What a request used: of all its choices together.
public struct UsageReport: Sendable, Equatable {
    /// All tokens of the prompt, those from the cache too. ``freshTokens`` + ``cachedTokens`` is always this.
    public var promptTokens = 0
    public var cachedTokens = 0
    /// Tokens of the answers, thinking included.
    public var answerTokens = 0
    public var thinkingTokens = 0
    public var draftedTokens = 0
    public var acceptedTokens = 0
    public var queueSeconds = 0.0
    public var prefillSeconds = 0.0
    public var decodeSeconds = 0.0

    public init() {}

    public init(
        promptTokens: Int, cachedTokens: Int = 0, answerTokens: Int = 0, thinkingTokens: Int = 0
    ) {
        self.promptTokens = promptTokens
        self.cachedTokens = cachedTokens
        self.answerTokens = answerTokens
        self.thinkingTokens = thinkingTokens
    }

    /// Tokens of the prompt that were computed.
    public var freshTokens: Int { promptTokens - cachedTokens }
    public var totalTokens: Int { promptTokens + answerTokens }

    /// Adds what one choice took.
    /// - Parameter countsPrompt: no for further choices of the same prompt, which is one prompt however often it is
    ///   answered.
    mutating func add(_ usage: Usage, countsPrompt: Bool) {
        if countsPrompt {
            promptTokens += max(0, usage.promptTokens)
            // A figure from elsewhere must not make the sum come out wrong.
            cachedTokens += min(max(0, usage.cachedTokens), max(0, usage.promptTokens))
        }
        answerTokens += max(0, usage.answerTokens)
        thinkingTokens += min(max(0, usage.thinkingTokens), max(0, usage.answerTokens))
        draftedTokens += usage.draftedTokens
        acceptedTokens += usage.acceptedTokens
        queueSeconds = max(queueSeconds, usage.queueSeconds)
        prefillSeconds += usage.prefillSeconds
        decodeSeconds = max(decodeSeconds, usage.decodeSeconds)
    }

    /// `usage` of chat completions and completions: OpenAI's fields, and beside them those of DeepSeek
    /// (`prompt_cache_hit_tokens`, `prompt_cache_miss_tokens`) and Kimi (`cached_tokens`), which do not contradict them.
    public var openAI: JSONValue {
        [
            "prompt_tokens": .int(promptTokens), "completion_tokens": .int(answerTokens),
            "total_tokens": .int(totalTokens),
            "prompt_tokens_details": [
                "cached_tokens": .int(cachedTokens), "cache_write_tokens": 0, "audio_tokens": 0,
                "text_tokens": .int(promptTokens), "image_tokens": 0,
            ],
            "completion_tokens_details": [
                "reasoning_tokens": .int(thinkingTokens), "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0, "audio_tokens": 0,
                "text_tokens": .int(answerTokens - thinkingTokens),
            ],
            "prompt_cache_hit_tokens": .int(cachedTokens), "prompt_cache_miss_tokens": .int(freshTokens),
            "cached_tokens": .int(cachedTokens),
        ]
    }
}
