import Walet
import WaletJSON

/// The body of `POST /v1/chat/completions`. Every parameter of OpenAI's API either works, or is turned down by name, or is
/// accepted because it cannot change the answer; the latter are `store`, `user`, `safety_identifier`, `metadata`,
/// `prompt_cache_key`, `prompt_cache_retention` and `stream_options.include_obfuscation`.
struct ChatRequest {
    private enum ServiceTier: String, CaseIterable {
        case auto, `default`
    }

    let model: String
    let isStream: Bool
    let includesUsage: Bool
    let request: ModelRequest
    let choices: Int
    /// Alternatives to tell of each token; nil where no log probabilities are asked for.
    let logprobs: Int?

    /// The model's name, which must be known before the rest is read: the defaults are the model's.
    static func model(_ fields: inout RequestFields) throws(APIError) -> String {
        try fields.required(try fields.string("model", maximumBytes: 512), "model")
    }

    init(_ source: RequestFields, _ served: any ServedModel, _ options: ServingOptions) throws(APIError) {
        var fields = source
        model = try Self.model(&fields)
        try Self.refuse(&fields)
        try SamplingFields.labels(&fields)
        _ = try fields.choice("service_tier", ServiceTier.self)
        _ = try fields.boolean("store")
        isStream = try fields.boolean("stream") ?? false
        includesUsage = try SamplingFields.includesUsage(&fields, isStream: isStream)
        choices = try fields.integer("n", 1...options.maximumChoices) ?? 1

        let messages = try ChatMessages.read(&fields)
        let tools = try ChatTools(&fields)
        let thinking = try ThinkingFields(&fields, declared: options.templateVariables)
        var sampling = try SamplingFields(&fields, defaults: served.defaultOptions)
        try sampling.readIgnoreEnd(&fields, endTokens: served.endTokens)
        sampling.options.maximumTokens = try SamplingFields.maximumTokens(&fields, minimum: 1)
        sampling.options.thinking = thinking.isOn
        logprobs = try Self.logprobs(&fields)

        var request = ModelRequest(
            .chat(messages, tools: tools.tools, variables: thinking.variables), options: sampling.options)
        request.output = try Self.output(&fields)
        request.toolChoice = tools.choice
        request.parallelToolCalls = tools.allowsParallelCalls
        request.logprobs = logprobs
        request.logitBias = sampling.logitBias
        request.thinkingBudget = thinking.budget
        self.request = request
        try fields.finish()
    }

    private static func refuse(_ fields: inout RequestFields) throws(APIError) {
        try fields.refuse("audio", "only text is answered")
        try fields.refuse("modalities", "only text is answered", unless: ["text"])
        try fields.refuse("prediction", "predicted outputs are not used; speculation needs no hint")
        try fields.refuse("web_search_options", "this server calls out to nobody")
        try fields.refuse("moderation", "this server moderates nothing")
        try fields.refuse("verbosity", "the models here know no verbosity", unless: "medium")
    }

    private static func logprobs(_ fields: inout RequestFields) throws(APIError) -> Int? {
        let isOn = try fields.boolean("logprobs") ?? false
        let top = try fields.integer("top_logprobs", 0...20)
        guard isOn else {
            if let top, top > 0 {
                throw APIError.invalid(
                    "'top_logprobs' is only allowed when 'logprobs' is true", parameter: "top_logprobs",
                    code: "invalid_value")
            }
            return nil
        }
        return top ?? 0
    }

    private static func output(_ fields: inout RequestFields) throws(APIError) -> OutputConstraint {
        guard var format = try fields.object("response_format") else { return .free }
        let type = try format.required(try format.string("type", maximumBytes: 64), "type")
        switch type {
        case "text":
            try format.finish()
            return .free
        case "json_object":
            try format.finish()
            return .jsonObject
        case "json_schema":
            var schema = try format.required(try format.object("json_schema"), "json_schema")
            let name = try schema.required(try schema.string("name", maximumBytes: 256), "name")
            try ChatTools.check(name, schema.path("name"))
            _ = try schema.string("description", maximumBytes: 65536)
            // It is followed in any case; strictly, or but for what cannot be enforced.
            let isStrict = try schema.boolean("strict") ?? false
            let value = try schema.required(try schema.object("schema"), "schema").json
            try schema.finish()
            try format.finish()
            return .jsonSchema(.object(value), isStrict: isStrict)
        default:
            throw APIError.invalid(
                "Expected \"text\", \"json_object\" or \"json_schema\"", parameter: format.path("type"),
                code: "invalid_value")
        }
    }
}
