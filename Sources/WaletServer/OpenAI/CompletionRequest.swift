import Walet
import WaletJSON

/// The body of `POST /v1/completions`. What OpenAI's API has and this does not (`suffix`, `best_of` other than `n`) is turned
/// down by name.
struct CompletionRequest {
    private static let maximumPrompts = 128

    let model: String
    let isStream: Bool
    let includesUsage: Bool
    /// Whether the prompt comes before the answer.
    let echoes: Bool
    /// Nothing is to be made: only the prompt's log probabilities are asked for.
    let isScoring: Bool
    let logprobs: Int?
    let prompts: [ModelRequest.Prompt]
    let choices: Int
    let requests: [ModelRequest]

    init(_ source: RequestFields, _ served: any ServedModel, _ options: ServingOptions) throws(APIError) {
        var fields = source
        model = try ChatRequest.model(&fields)
        try fields.refuse("suffix", "text cannot be inserted, only gone on with", unless: "")
        try SamplingFields.labels(&fields)
        isStream = try fields.boolean("stream") ?? false
        includesUsage = try SamplingFields.includesUsage(&fields, isStream: isStream)
        prompts = try Self.prompts(&fields)
        choices = try fields.integer("n", 1...options.maximumChoices) ?? 1
        if let best = try fields.integer("best_of", 1...options.maximumChoices), best != choices {
            throw APIError.unsupported("best_of", "every choice that is made is returned; it may only equal 'n'")
        }
        guard prompts.count * choices <= options.maximumChoices else {
            throw APIError.invalid(
                "Expected at most \(options.maximumChoices) choices over all prompts, found \(prompts.count * choices)",
                parameter: "n", code: "invalid_value")
        }
        echoes = try fields.boolean("echo") ?? false
        logprobs = try fields.integer("logprobs", 0...20)
        var sampling = try SamplingFields(&fields, defaults: served.defaultOptions)
        try sampling.readIgnoreEnd(&fields, endTokens: served.endTokens)
        // OpenAI's default of this endpoint.
        let maximum = try SamplingFields.maximumTokens(&fields, minimum: 0) ?? 16
        guard maximum > 0 || echoes else {
            throw APIError.invalid(
                "Nothing to answer: 'max_tokens' is 0 and 'echo' is not set", parameter: "max_tokens",
                code: "invalid_value")
        }
        isScoring = maximum == 0
        // The engine makes one token at least; it is neither shown nor counted.
        sampling.options.maximumTokens = max(1, maximum)
        try fields.finish()
        var requests: [ModelRequest] = []
        for prompt in prompts {
            var request = ModelRequest(prompt, options: sampling.options)
            request.logitBias = sampling.logitBias
            request.logprobs = logprobs
            request.promptLogprobs = echoes && logprobs != nil
            requests += ModelRequest.choices(request, choices)
        }
        self.requests = requests
    }

    /// A text, texts, tokens, or lists of tokens.
    private static func prompts(_ fields: inout RequestFields) throws(APIError) -> [ModelRequest.Prompt] {
        let value = try fields.required(fields.value("prompt"), "prompt")
        let path = fields.path("prompt")
        switch value {
        case .string(let text): return [try self.text(text, path)]
        case .array(let list):
            guard let first = list.first else { throw empty(path) }
            if first.intValue != nil { return [.tokens(try tokens(list, path))] }
            guard list.count <= maximumPrompts else {
                throw APIError.invalid(
                    "Expected at most \(maximumPrompts) prompts, found \(list.count)", parameter: path,
                    code: "array_above_max_length")
            }
            var prompts: [ModelRequest.Prompt] = []
            for (index, element) in list.enumerated() {
                let place = "\(path)[\(index)]"
                switch element {
                case .string(let text): prompts.append(try self.text(text, place))
                case .array(let list): prompts.append(.tokens(try tokens(list, place)))
                default:
                    throw APIError.invalid(
                        "Expected texts, or lists of tokens, found \(element.kind)", parameter: place,
                        code: "invalid_value")
                }
            }
            return prompts
        default:
            throw APIError.invalid(
                "Expected text, texts, tokens or lists of tokens, found \(value.kind)", parameter: path,
                code: "invalid_value")
        }
    }

    private static func empty(_ path: String) -> APIError {
        .invalid("The prompt is empty", parameter: path, code: "empty_prompt")
    }

    private static func text(_ text: String, _ path: String) throws(APIError) -> ModelRequest.Prompt {
        if text.isEmpty { throw empty(path) }
        // The whole prompt is the caller's, as the model reads it: with its control tokens.
        return .text(text, special: true)
    }

    static func tokens(_ list: [JSONValue], _ path: String) throws(APIError) -> [Int] {
        if list.isEmpty { throw empty(path) }
        var tokens: [Int] = []
        tokens.reserveCapacity(list.count)
        for (index, element) in list.enumerated() {
            guard case .int(let token) = element, (0...Int(Int32.max)).contains(token) else {
                throw APIError.invalid(
                    "Expected token ids, found \(element.kind)", parameter: "\(path)[\(index)]", code: "invalid_value")
            }
            tokens.append(token)
        }
        return tokens
    }
}
