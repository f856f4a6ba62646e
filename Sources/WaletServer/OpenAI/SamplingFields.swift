import Walet
import WaletJSON

/// What chat completions and completions say alike about how an answer is drawn.
struct SamplingFields {
    /// Texts that end an answer, at most, and the bytes of each.
    private static let maximumStops = 16
    private static let maximumStopBytes = 512
    private static let maximumBiases = 1024

    var options: GenerationOptions
    var logitBias: [Int: Double] = [:]

    /// - Parameter defaults: the model's own.
    init(_ fields: inout RequestFields, defaults: GenerationOptions) throws(APIError) {
        options = defaults
        var sampling = defaults.sampling
        if let value = try fields.number("temperature", 0...2) { sampling.temperature = value }
        if let value = try fields.number("top_p", 0...1) { sampling.topP = value }
        // -1 is vLLM's way to say all.
        if let value = try fields.integer("top_k", -1...1_000_000) { sampling.topK = max(0, value) }
        if let value = try fields.number("min_p", 0...1) { sampling.minP = value }
        if let value = try fields.number("repetition_penalty", 0.01...10) { sampling.repetitionPenalty = value }
        if let value = try fields.number("presence_penalty", -2...2) { sampling.presencePenalty = value }
        if let value = try fields.number("frequency_penalty", -2...2) { sampling.frequencyPenalty = value }
        if let value = try fields.integer("seed", .min ... .max) { sampling.seed = UInt64(bitPattern: Int64(value)) }
        options.sampling = sampling
        options.stop = try Self.stops(&fields)
        logitBias = try Self.biases(&fields)
    }

    private static func stops(_ fields: inout RequestFields) throws(APIError) -> [String] {
        let path = fields.path("stop")
        let texts: [JSONValue]
        switch fields.value("stop") {
        case nil: return []
        case .string(let text)?: texts = [.string(text)]
        case .array(let list)?: texts = list
        case .some(let other):
            throw APIError.invalid(
                "Expected a string or an array of strings, found \(other.kind)", parameter: path, code: "invalid_value")
        }
        guard texts.count <= maximumStops else {
            throw APIError.invalid(
                "Expected at most \(maximumStops) texts, found \(texts.count)", parameter: path,
                code: "array_above_max_length")
        }
        var stops: [String] = []
        for text in texts {
            guard let text = text.stringValue, (1...maximumStopBytes).contains(text.utf8.count) else {
                throw APIError.invalid(
                    "Expected texts of 1 to \(maximumStopBytes) bytes", parameter: path, code: "invalid_value")
            }
            stops.append(text)
        }
        return stops
    }

    private static func biases(_ fields: inout RequestFields) throws(APIError) -> [Int: Double] {
        let path = fields.path("logit_bias")
        guard let object = try fields.object("logit_bias")?.json else { return [:] }
        guard object.count <= maximumBiases else {
            throw APIError.invalid(
                "Expected at most \(maximumBiases) tokens, found \(object.count)", parameter: path,
                code: "object_above_max_length")
        }
        var biases: [Int: Double] = [:]
        for (key, value) in object.members {
            guard let token = Int(key), token >= 0, let bias = value.doubleValue, (-100...100).contains(bias) else {
                throw APIError.invalid(
                    "Expected token ids with numbers from -100 to 100", parameter: path, code: "invalid_value")
            }
            biases[token] = bias
        }
        return biases
    }

    /// The extension `ignore_eos`, which benchmarks use to get answers of a known length: the tokens that end an answer
    /// become as unlikely as `logit_bias` can make them.
    mutating func readIgnoreEnd(_ fields: inout RequestFields, endTokens: Set<Int>) throws(APIError) {
        guard try fields.boolean("ignore_eos") == true else { return }
        guard !endTokens.isEmpty else {
            throw APIError.unsupported("ignore_eos", "the tokens that end this model's answers are not known")
        }
        for token in endTokens { logitBias[token] = -100 }
    }

    /// Tokens of an answer, at most. `max_tokens` is the older name, and both may be there where they agree.
    static func maximumTokens(_ fields: inout RequestFields, minimum: Int) throws(APIError) -> Int? {
        let range = minimum...Int(Int32.max)
        let old = try fields.integer("max_tokens", range)
        let new = try fields.integer("max_completion_tokens", range)
        if let old, let new, old != new {
            throw APIError.invalid(
                "'max_tokens' and 'max_completion_tokens' contradict each other", parameter: "max_completion_tokens",
                code: "invalid_value")
        }
        return new ?? old
    }

    /// `stream_options`: whether usage is sent. `include_obfuscation` is accepted: nothing here is padded, and a client
    /// cannot tell; so is vLLM's `continuous_usage_stats`, as the usage comes once, where OpenAI's API has it.
    static func includesUsage(_ fields: inout RequestFields, isStream: Bool) throws(APIError) -> Bool {
        guard var options = try fields.object("stream_options") else { return false }
        guard isStream else {
            throw APIError.invalid(
                "'stream_options' is only allowed when 'stream' is true", parameter: "stream_options",
                code: "invalid_value")
        }
        let includes = try options.boolean("include_usage") ?? false
        _ = try options.boolean("include_obfuscation")
        _ = try options.boolean("continuous_usage_stats")
        try options.finish()
        return includes
    }

    /// What is accepted, bounded, and changes nothing: neither cache nor answer depends on what a client says it is.
    static func labels(_ fields: inout RequestFields) throws(APIError) {
        for key in ["user", "safety_identifier", "prompt_cache_key", "cache_salt"] {
            _ = try fields.string(key, maximumBytes: 1024)
        }
        _ = try fields.string("prompt_cache_retention", maximumBytes: 64)
        guard let metadata = try fields.object("metadata") else { return }
        guard metadata.keys.count <= 16 else {
            throw APIError.invalid(
                "Expected at most 16 pairs, found \(metadata.keys.count)", parameter: "metadata",
                code: "object_above_max_properties")
        }
        for (key, value) in metadata.json.members {
            guard key.utf8.count <= 64, let text = value.stringValue, text.utf8.count <= 2048 else {
                throw APIError.invalid(
                    "Expected keys of at most 64 bytes and texts of at most 2048", parameter: "metadata",
                    code: "invalid_value")
            }
        }
    }
}
