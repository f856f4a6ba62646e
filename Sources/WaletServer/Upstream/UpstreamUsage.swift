import Walet
import WaletJSON

/// What another server says that an answer took, in the words of any of them.
struct UpstreamUsage: Equatable {
    var promptTokens: Int?
    var cachedTokens: Int?
    var answerTokens: Int?
    var thinkingTokens: Int?
    var draftedTokens = 0
    var acceptedTokens = 0
    var prefillSeconds: Double?
    var decodeSeconds: Double?
    /// Whether the counts are whole: `usage` came, with prompt and answer.
    var isTold = false

    private static let range = 0...Int(Int32.max)

    /// Takes what a chunk says: `usage` in the form of OpenAI, DeepSeek or Kimi, or `timings` in that of llama-server. A figure
    /// that can be none is passed over.
    mutating func take(_ chunk: JSONValue) {
        if let usage = chunk["usage"], usage.objectValue != nil { takeUsage(usage) }
        if let timings = chunk["timings"], timings.objectValue != nil { takeTimings(timings) }
    }

    private mutating func takeUsage(_ usage: JSONValue) {
        guard let prompt = Self.count(usage["prompt_tokens"]) else { return }
        promptTokens = prompt
        // vLLM says null where it does not tell.
        cachedTokens =
            Self.count(usage["prompt_tokens_details"]?["cached_tokens"]) ?? Self.count(usage["prompt_cache_hit_tokens"])
            ?? Self.count(usage["cached_tokens"]) ?? cachedTokens
        thinkingTokens = Self.count(usage["completion_tokens_details"]?["reasoning_tokens"]) ?? thinkingTokens
        // Usage of a prompt alone may say 0 or nothing.
        answerTokens = Self.count(usage["completion_tokens"]) ?? 0
        isTold = true
    }

    private mutating func takeTimings(_ timings: JSONValue) {
        if let computed = Self.count(timings["prompt_n"]), !isTold {
            cachedTokens = Self.count(timings["cache_n"]) ?? 0
            promptTokens = computed + (cachedTokens ?? 0)
            answerTokens = Self.count(timings["predicted_n"])
        }
        draftedTokens = Self.count(timings["draft_n"]) ?? draftedTokens
        acceptedTokens = Self.count(timings["draft_n_accepted"]) ?? acceptedTokens
        prefillSeconds = Self.seconds(timings["prompt_ms"]) ?? prefillSeconds
        decodeSeconds = Self.seconds(timings["predicted_ms"]) ?? decodeSeconds
    }

    private static func count(_ value: JSONValue?) -> Int? {
        value?.intValue.flatMap { range.contains($0) ? $0 : nil }
    }

    private static func seconds(_ milliseconds: JSONValue?) -> Double? {
        milliseconds?.doubleValue.flatMap { (0...1e9).contains($0) ? $0 / 1000 : nil }
    }
}
