import Walet
import WaletJSON

/// A request as another server understands it. What a request does not say is not sent, so that the other server's own
/// defaults hold.
struct UpstreamCall: Sendable {
    /// Below the address's base.
    let path: String
    let body: JSONValue
    /// A chat, and not a completion.
    let isChat: Bool
    let stops: [String]
    let logprobs: Int?
    let maximumTokens: Int
    /// Where no figure ever comes.
    let estimatedPromptTokens: Int
    /// Of the ids of calls that come without one.
    let callPrefix: String
    /// Kept out of what errors say.
    let key: UpstreamKey?

    /// Values that no request can name, and that mean the same as the ones beside them: what a request leaves out is told from
    /// what it asks for.
    static let defaults = GenerationOptions(
        sampling: SamplingParameters(
            temperature: 1.0.nextUp, topK: -1, topP: 1.0.nextDown, minP: .leastNonzeroMagnitude,
            repetitionPenalty: 1.0.nextUp, presencePenalty: .leastNonzeroMagnitude,
            frequencyPenalty: .leastNonzeroMagnitude))

    /// - Parameter cacheSalt: keeps the tenant's prefixes apart from others' in the other server's cache.
    /// - Throws: ``APIError`` and `ModelRequestError` for what the other server cannot do.
    init(_ request: ModelRequest, _ remote: UpstreamRemote, cacheSalt: String, key: UpstreamKey?) throws {
        guard !request.promptLogprobs else {
            throw APIError.unsupported("echo", "the server behind this model tells no log probabilities of prompts")
        }
        self.key = key
        stops = request.options.stop
        logprobs = request.logprobs
        maximumTokens = min(request.options.maximumTokens ?? remote.contextLength, remote.contextLength)
        estimatedPromptTokens = Self.estimate(request.prompt)
        var body = JSONObject([("model", .string(remote.name)), ("stream", true)])
        body["stream_options"] =
            remote.kind.countsWhileStreaming
            ? ["include_usage": true, "continuous_usage_stats": true] : ["include_usage": true]
        switch request.prompt {
        case .chat(let messages, let tools, let variables):
            isChat = true
            path = "/chat/completions"
            callPrefix = "call_\(messages.count)_"
            Self.addChat(&body, messages, request.toolChoice == .none ? [] : tools, request, remote.kind)
            Self.addTemplate(&body, variables, thinking: request.options.thinking)
            try Self.addThinkingBudget(&body, request, variables, remote)
            if maximumTokens < remote.contextLength { body["max_tokens"] = .int(maximumTokens) }
            if let logprobs {
                body["logprobs"] = true
                body["top_logprobs"] = .int(max(logprobs, remote.kind == .llama ? 1 : 0))
            }
        case .text(let text, _):
            isChat = false
            path = "/completions"
            callPrefix = ""
            body["prompt"] = .string(text)
        case .tokens(let tokens):
            isChat = false
            path = "/completions"
            callPrefix = ""
            body["prompt"] = .array(tokens.map { .int($0) })
        }
        if !isChat {
            // Servers differ in what they do without it.
            body["max_tokens"] = .int(maximumTokens)
            // llama-server tells nothing of a token when no alternative is asked for.
            if let logprobs { body["logprobs"] = .int(max(logprobs, remote.kind == .llama ? 1 : 0)) }
        }
        Self.addSampling(&body, request, remote.kind)
        if remote.kind == .llama { body["timings_per_token"] = true }
        if remote.kind.separatesCaches { body["cache_salt"] = .string(cacheSalt) }
        self.body = .object(body)
    }

    private static func addChat(
        _ body: inout JSONObject, _ messages: [ChatMessage], _ tools: [JSONValue], _ request: ModelRequest,
        _ kind: UpstreamKind
    ) {
        body["messages"] = .array(messages.map(\.json))
        var tools = tools
        switch request.toolChoice {
        case .auto, .none: break
        case .required: body["tool_choice"] = "required"
        case .function(let name) where kind == .llama:
            // It knows no choice by name; of one tool, some tool is this one.
            tools = tools.filter { $0["function"]?["name"]?.stringValue == name }
            body["tool_choice"] = "required"
        case .function(let name):
            body["tool_choice"] = ["type": "function", "function": ["name": .string(name)]]
        }
        if !tools.isEmpty {
            body["tools"] = .array(tools)
            if !request.parallelToolCalls { body["parallel_tool_calls"] = false }
        }
        switch request.output {
        case .free: break
        case .jsonObject: body["response_format"] = ["type": "json_object"]
        case .jsonSchema(let schema, let isStrict):
            body["response_format"] = [
                "type": "json_schema",
                "json_schema": ["name": "answer", "schema": schema, "strict": .bool(isStrict)],
            ]
        }
    }

    /// The variables of the chat template: a switch by all its names, as LanguageModel does.
    static func addTemplate(_ body: inout JSONObject, _ variables: [String: JSONValue], thinking: Bool?) {
        var variables = variables
        if let thinking {
            for name in ["enable_thinking", "thinking"] { variables[name] = variables[name] ?? .bool(thinking) }
        }
        guard !variables.isEmpty else { return }
        body["chat_template_kwargs"] = .object(JSONObject(variables.sorted { $0.key < $1.key }))
        // Where thinking is not the template's affair, the parameter counts; these words every server knows.
        if let effort = variables["reasoning_effort"], ["low", "medium", "high"].contains(effort) {
            body["reasoning_effort"] = effort
        }
    }

    private static func addThinkingBudget(
        _ body: inout JSONObject, _ request: ModelRequest, _ variables: [String: JSONValue], _ remote: UpstreamRemote
    ) throws {
        // An effort is left to the other server, and the budget that it would mean here.
        guard let budget = request.thinkingBudget, variables["reasoning_effort"] == nil else { return }
        switch remote.kind {
        case .llama: body["thinking_budget_tokens"] = .int(budget)
        case .vllm: body["thinking_token_budget"] = .int(budget)
        case .sglang, .other: throw ModelRequestError.noThinking(model: "The server behind this model")
        }
    }

    private static func addSampling(_ body: inout JSONObject, _ request: ModelRequest, _ kind: UpstreamKind) {
        let sampling = request.options.sampling
        let unsaid = defaults.sampling
        func add(_ name: String, _ value: Double, _ unsaid: Double) {
            if value != unsaid { body[name] = .double(value) }
        }
        add("temperature", sampling.temperature, unsaid.temperature)
        add("top_p", sampling.topP, unsaid.topP)
        add("min_p", sampling.minP, unsaid.minP)
        add("presence_penalty", sampling.presencePenalty, unsaid.presencePenalty)
        add("frequency_penalty", sampling.frequencyPenalty, unsaid.frequencyPenalty)
        add(
            kind == .llama ? "repeat_penalty" : "repetition_penalty", sampling.repetitionPenalty,
            unsaid.repetitionPenalty)
        if sampling.topK != unsaid.topK {
            // All of them are 0 to the one, -1 to the others.
            body["top_k"] = .int(sampling.topK == 0 && kind != .llama ? -1 : sampling.topK)
        }
        if let seed = sampling.seed { body["seed"] = .int(Self.seed(seed)) }
        if !request.options.stop.isEmpty { body["stop"] = .array(request.options.stop.map { .string($0) }) }
        if !request.logitBias.isEmpty {
            body["logit_bias"] = .object(
                JSONObject(
                    request.logitBias.sorted { $0.key < $1.key }.map { (String($0.key), .double($0.value)) }))
        }
    }

    /// Servers take seeds of 31 bits; a larger one becomes one, always the same.
    private static func seed(_ seed: UInt64) -> Int {
        let limit = UInt64(Int32.max)
        return Int(seed < limit ? seed : (seed ^ (seed >> 33)) % limit)
    }

    /// A token has about four bytes of text.
    private static func estimate(_ prompt: ModelRequest.Prompt) -> Int {
        switch prompt {
        case .tokens(let tokens): tokens.count
        case .text(let text, _): max(1, text.utf8.count / 4)
        case .chat(let messages, let tools, _):
            max(
                1,
                messages.reduce(0) { $0 + ($1.content?.utf8.count ?? 0) + ($1.reasoning?.utf8.count ?? 0) + 16 } / 4
                    + tools.reduce(0) { $0 + $1.text().utf8.count } / 4)
        }
    }
}
