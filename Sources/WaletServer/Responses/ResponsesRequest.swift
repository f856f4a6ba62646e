// The body of POST /v1/responses.

import Walet
import WaletJSON

/// A request in the form of OpenAI's Responses API.
///
/// Source: <https://platform.openai.com/docs/api-reference/responses/create>. What this server cannot do is refused by
/// name.
struct ResponsesRequest: Sendable {
    var model = ""
    var instructions: String?
    var input: [ResponseInputItem] = []
    var previousID: String?
    /// Whether the answer is kept for later; nil leaves it to the server.
    var stores: Bool?
    var isStream = false
    /// Tools as the client declared them.
    var tools: [JSONValue] = []
    /// Those that the model may call, in the form of chat completions, which templates know.
    var functions: [JSONValue] = []
    var toolChoice = ModelRequest.ToolChoice.auto
    /// The choice as the client spelled it.
    var spelledToolChoice: JSONValue = "auto"
    var parallelToolCalls = true
    var maximumTokens: Int?
    var temperature: Double?
    var topP: Double?
    var output = OutputConstraint.free
    var format: JSONValue = ["type": "text"]
    var effort: ReasoningEffort?
    /// The client asked for summaries of the reasoning, and how.
    var summary: String?
    /// Alternatives of each token; nil for no log probabilities.
    var logprobs: Int?
    /// Reasoning items come with a text that stands for their content.
    var sealsReasoning = false
    var metadata: JSONValue = [:]
    var user: String?
    var promptCacheKey: String?
    var safetyIdentifier: String?

    init(_ fields: RequestFields) throws(APIError) {
        var fields = fields
        model = try fields.required(try fields.string("model"), "model")
        instructions = try fields.text("instructions")
        previousID = try fields.string("previous_response_id", maximumBytes: 256)
        stores = try fields.boolean("store")
        isStream = try fields.boolean("stream") ?? false
        try readInput(&fields)
        try readTools(&fields)
        try readToolChoice(&fields)
        try readGeneration(&fields)
        try readText(&fields)
        try readReasoning(&fields)
        try readInclude(&fields)
        try readLabels(&fields)
        try refuse(&fields)
        try fields.finish()
    }

    private mutating func readInput(_ fields: inout RequestFields) throws(APIError) {
        switch try fields.required(fields.value("input"), "input") {
        case .string(let text): input = [ResponseInputItem(text: text)]
        case .array(let items):
            guard items.count <= 100_000 else { throw .invalid("Expected at most 100000 items", parameter: "input") }
            for (index, item) in items.enumerated() {
                input.append(try ResponseInputItem(item, path: "input[\(index)]"))
            }
            guard !input.isEmpty else { throw .invalid("Expected at least one element", parameter: "input") }
        case let other:
            throw .invalid("Expected text or a list of items and found \(other.kind)", parameter: "input")
        }
    }

    private mutating func readTools(_ fields: inout RequestFields) throws(APIError) {
        var names: Set<String> = []
        for (index, value) in (try fields.array("tools", maximumCount: 1024) ?? []).enumerated() {
            let path = "tools[\(index)]"
            var tool = try RequestFields.object(value, path: path)
            let type = try tool.required(try tool.string("type"), "type")
            guard type == "function" else {
                throw .unsupported(
                    path + ".type", "\"\(type.prefix(40))\" runs on OpenAI's servers; declare a function")
            }
            let name = try tool.required(try tool.string("name"), "name")
            try ToolName.check(name, parameter: path + ".name")
            guard names.insert(name).inserted else {
                throw .invalid("Two tools have the name \"\(name)\"", parameter: path + ".name")
            }
            var function = JSONObject([("name", .string(name))])
            if let description = try tool.text("description") { function["description"] = .string(description) }
            let parameters = tool.value("parameters") ?? .null
            guard parameters.isNull || parameters.objectValue != nil else {
                throw .invalid("Expected an object and found \(parameters.kind)", parameter: path + ".parameters")
            }
            function["parameters"] = parameters.isNull ? ["type": "object", "properties": [:]] : parameters
            let strict = try tool.boolean("strict")
            if let strict { function["strict"] = .bool(strict) }
            if try tool.boolean("defer_loading") == true {
                throw .unsupported(path + ".defer_loading", "tools are not searched here: all are in the prompt")
            }
            try tool.finish()
            var echoed = JSONObject([("type", "function")] + Array(function.members))
            if strict == nil { echoed["strict"] = false }
            tools.append(.object(echoed))
            functions.append(["type": "function", "function": .object(function)])
        }
    }

    private mutating func readToolChoice(_ fields: inout RequestFields) throws(APIError) {
        switch fields.value("tool_choice") {
        case nil: break
        case .string(let mode)?:
            toolChoice = try Self.mode(mode, parameter: "tool_choice")
            spelledToolChoice = .string(mode)
        case .some(let value):
            var choice = try RequestFields.object(value, path: "tool_choice")
            let type = try choice.required(try choice.string("type"), "type")
            switch type {
            case "function":
                let name = try choice.required(try choice.string("name"), "name")
                try requireTool(name, parameter: "tool_choice.name")
                toolChoice = .function(name)
                spelledToolChoice = ["type": "function", "name": .string(name)]
            case "allowed_tools": try readAllowedTools(&choice, value)
            default:
                throw .unsupported(
                    "tool_choice.type", "\"\(type.prefix(40))\" chooses a tool that runs on OpenAI's servers")
            }
            try choice.finish()
        }
        if case .required = toolChoice, functions.isEmpty {
            throw .invalid("\"required\" needs at least one tool", parameter: "tool_choice")
        }
    }

    private static func mode(_ mode: String, parameter: String) throws(APIError) -> ModelRequest.ToolChoice {
        switch mode {
        case "auto": .auto
        case "none": .none
        case "required": .required
        default:
            throw .invalid(
                "Expected \"auto\", \"none\" or \"required\" and found \"\(mode.prefix(40))\"", parameter: parameter)
        }
    }

    private func requireTool(_ name: String, parameter: String) throws(APIError) {
        guard functions.contains(where: { $0["function"]?["name"]?.stringValue == name }) else {
            throw .invalid("No tool has the name \"\(name.prefix(80))\"", parameter: parameter)
        }
    }

    /// Of the declared tools only some may be called: the model is shown those.
    private mutating func readAllowedTools(_ choice: inout RequestFields, _ value: JSONValue) throws(APIError) {
        let mode = try choice.required(try choice.string("mode"), "mode")
        guard mode == "auto" || mode == "required" else {
            throw .invalid("Expected \"auto\" or \"required\"", parameter: "tool_choice.mode")
        }
        toolChoice = try Self.mode(mode, parameter: "tool_choice.mode")
        var names: Set<String> = []
        let allowed = try choice.required(try choice.array("tools", maximumCount: 1024), "tools")
        for (index, element) in allowed.enumerated() {
            let path = "tool_choice.tools[\(index)]"
            var tool = try RequestFields.object(element, path: path)
            let type = try tool.required(try tool.string("type"), "type")
            guard type == "function" else { throw .unsupported(path + ".type", "only functions can be called here") }
            let name = try tool.required(try tool.string("name"), "name")
            try tool.finish()
            try requireTool(name, parameter: path + ".name")
            names.insert(name)
        }
        functions.removeAll { !names.contains($0["function"]?["name"]?.stringValue ?? "") }
        spelledToolChoice = value
    }

    private mutating func readGeneration(_ fields: inout RequestFields) throws(APIError) {
        maximumTokens = try fields.integer("max_output_tokens", 1...10_000_000)
        temperature = try fields.number("temperature", 0...2)
        topP = try fields.number("top_p", 0...1)
        parallelToolCalls = try fields.boolean("parallel_tool_calls") ?? true
        logprobs = try fields.integer("top_logprobs", 0...20)
    }

    private mutating func readText(_ fields: inout RequestFields) throws(APIError) {
        guard var text = try fields.object("text") else { return }
        if let verbosity = try text.string("verbosity"), verbosity != "medium" {
            throw .unsupported("text.verbosity", "only \"medium\" is served here; ask for it in the instructions")
        }
        if var format = try text.object("format") {
            let type = try format.required(try format.string("type"), "type")
            switch type {
            case "text": break
            case "json_object":
                output = .jsonObject
                self.format = ["type": "json_object"]
            case "json_schema":
                let name = try format.required(try format.string("name"), "name")
                try ToolName.check(name, parameter: "text.format.name")
                guard let schema = format.value("schema"), schema.objectValue != nil else {
                    throw .invalid("Expected an object", parameter: "text.format.schema")
                }
                let strict = try format.boolean("strict")
                let description = try format.text("description")
                output = .jsonSchema(schema, isStrict: strict ?? false)
                self.format = [
                    "type": "json_schema", "name": .string(name),
                    "description": description.map(JSONValue.string) ?? .null, "schema": schema,
                    "strict": .bool(strict ?? false),
                ]
            default:
                throw .invalid(
                    "Expected \"text\", \"json_object\" or \"json_schema\" and found \"\(type.prefix(40))\"",
                    parameter: "text.format.type")
            }
            try format.finish()
        }
        try text.finish()
    }

    private mutating func readReasoning(_ fields: inout RequestFields) throws(APIError) {
        guard var reasoning = try fields.object("reasoning") else { return }
        effort = try reasoning.choice("effort", ReasoningEffort.self)
        for key in ["summary", "generate_summary"] {
            guard let summary = try reasoning.string(key) else { continue }
            // The whole text is the most detailed summary there is; nothing here makes a shorter one.
            guard summary == "auto" || summary == "detailed" else {
                throw summary == "concise"
                    ? .unsupported("reasoning." + key, "reasoning is not shortened here; \"detailed\" gives all of it")
                    : .invalid("Expected \"auto\", \"concise\" or \"detailed\"", parameter: "reasoning." + key)
            }
            self.summary = summary
        }
        if let context = try reasoning.string("context"), context != "auto" {
            throw .unsupported("reasoning.context", "the model's template decides which reasoning it sees again")
        }
        try reasoning.finish()
    }

    private mutating func readInclude(_ fields: inout RequestFields) throws(APIError) {
        for (index, value) in (try fields.array("include", maximumCount: 64) ?? []).enumerated() {
            switch value.stringValue {
            case "message.output_text.logprobs": logprobs = logprobs ?? 0
            case "reasoning.encrypted_content": sealsReasoning = true
            default:
                throw .unsupported(
                    "include[\(index)]",
                    "only \"message.output_text.logprobs\" and \"reasoning.encrypted_content\" exist here")
            }
        }
    }

    private mutating func readLabels(_ fields: inout RequestFields) throws(APIError) {
        if let labels = try fields.object("metadata") {
            try Self.checkMetadata(labels)
            metadata = .object(labels.json)
        }
        user = try fields.string("user", maximumBytes: 1024)
        promptCacheKey = try fields.string("prompt_cache_key", maximumBytes: 1024)
        safetyIdentifier = try fields.string("safety_identifier", maximumBytes: 1024)
    }

    private static func checkMetadata(_ labels: RequestFields) throws(APIError) {
        guard labels.json.count <= 16 else { throw .invalid("Expected at most 16 members", parameter: "metadata") }
        for (key, value) in labels.json.members {
            guard key.count <= 64, let text = value.stringValue, text.count <= 512 else {
                throw .invalid(
                    "Expected keys of at most 64 and texts of at most 512 characters",
                    parameter: "metadata.\(key.prefix(64))")
            }
        }
    }

    /// Parameters of OpenAI's that this server knows and cannot serve, and those of which it serves one value.
    private func refuse(_ fields: inout RequestFields) throws(APIError) {
        if try fields.boolean("background") == true {
            throw .unsupported("background", "answers are made while the client waits; use stream")
        }
        if let truncation = try fields.string("truncation"), truncation != "disabled" {
            throw .unsupported("truncation", "a conversation is never shortened here; only \"disabled\" is served")
        }
        if let tier = try fields.string("service_tier"), tier != "auto", tier != "default" {
            throw .unsupported("service_tier", "only \"auto\" and \"default\" are served here")
        }
        if let retention = try fields.string("prompt_cache_retention") {
            // The cache keeps all that it has room for, whatever is asked.
            guard retention == "in_memory" || retention == "24h" else {
                throw .invalid("Expected \"in_memory\" or \"24h\"", parameter: "prompt_cache_retention")
            }
        }
        if var options = try fields.object("stream_options") {
            // Events are never padded, which a client cannot tell from padding that it did not need.
            _ = try options.boolean("include_obfuscation")
            try options.finish()
        }
        let reasons = [
            ("conversation", "use previous_response_id"),
            ("prompt", "this server keeps no prompts; send instructions and input"),
            ("max_tool_calls", "this server runs no tools itself"),
            ("context_management", "the conversation is taken as it is sent"),
            ("moderation", "nothing is moderated here"),
            ("image", "this server takes text only"),
            ("background_options", "answers are made while the client waits"),
            ("prompt_cache_options", "every prompt is cached, for as long as there is room"),
            ("access_programs", "this server has none"),
        ]
        for (name, reason) in reasons { try fields.refuse(name, reason) }
    }

    /// The request as the model takes it.
    /// - Parameters:
    ///   - conversation: what came before, and this request's input.
    ///   - defaults: what the model's makers recommend, for what the client left open.
    func modelRequest(_ conversation: ResponseConversation, _ defaults: GenerationOptions) -> ModelRequest {
        var options = defaults
        if let temperature { options.sampling.temperature = temperature }
        if let topP { options.sampling.topP = topP }
        options.maximumTokens = maximumTokens
        var variables: [String: JSONValue] = [:]
        if let effort {
            options.thinking = effort != .none
            if effort != .none { variables["reasoning_effort"] = .string(effort.rawValue) }
        }
        var request = ModelRequest(
            .chat(conversation.messages(instructions: instructions), tools: functions, variables: variables),
            options: options)
        request.output = output
        request.toolChoice = toolChoice
        request.parallelToolCalls = parallelToolCalls
        request.logprobs = logprobs
        if let effort, effort != .none { request.thinkingBudget = effort.budget }
        return request
    }
}
