// The body of POST /v1/messages, and of count_tokens.

import Walet
import WaletJSON

/// A request in Anthropic's form.
///
/// Source: <https://platform.claude.com/docs/en/api/messages>. What this server cannot do is refused by name; what it does
/// anyway (caching), or what has only one value here (the service tier), is checked and accepted.
struct MessagesRequest {
    enum Thinking: Equatable {
        /// As the model's template has it.
        case automatic
        case on(budget: Int?)
        case off
    }

    var model = ""
    var messages: [ChatMessage] = []
    /// In the OpenAI API's form, which templates know.
    var tools: [JSONValue] = []
    var toolChoice = ModelRequest.ToolChoice.auto
    var parallelToolCalls = true
    /// Nil only where tokens are counted.
    var maximumTokens: Int?
    var stop: [String] = []
    var temperature: Double?
    var topK: Int?
    var topP: Double?
    var thinking = Thinking.automatic
    /// Thinking blocks come without their text.
    var hidesThinking = false
    var effort: ReasoningEffort?
    var schema: JSONValue?
    var isStream = false

    /// - Parameter isCount: the request only wants its tokens counted, and has no parameters of generation.
    init(_ fields: RequestFields, isCount: Bool = false) throws(APIError) {
        var fields = fields
        model = try fields.required(try fields.string("model"), "model")
        var conversation = AnthropicConversation()
        if let system = fields.value("system") {
            try conversation.addSystem(system, path: "system")
        }
        let turns = try fields.required(try fields.array("messages", maximumCount: 100_000), "messages")
        for (index, turn) in turns.enumerated() { try conversation.add(turn, path: "messages[\(index)]") }
        messages = conversation.messages
        try checkTurns(count: turns.count)

        try readTools(&fields)
        try readThinking(&fields)
        try readOutput(&fields)
        try AnthropicFields.cacheControl(&fields)
        try refuse(&fields)
        if !isCount { try readGeneration(&fields) }
        try fields.finish()
    }

    private func checkTurns(count: Int) throws(APIError) {
        guard count > 0 else { throw .invalid("Expected at least one message", parameter: "messages") }
        guard let last = messages.last, last.role == "user" || last.role == "tool" else {
            throw .unsupported(
                "messages[\(count - 1)].role",
                "an answer cannot be begun for the model here: the conversation must end with a user message")
        }
        if last.role == "user", last.content?.isEmpty ?? true {
            throw .invalid("The last user message is empty", parameter: "messages[\(count - 1)].content")
        }
    }

    private mutating func readGeneration(_ fields: inout RequestFields) throws(APIError) {
        maximumTokens = try fields.required(try fields.integer("max_tokens", 1...10_000_000), "max_tokens")
        temperature = try fields.number("temperature", 0...2)
        topP = try fields.number("top_p", 0...1)
        topK = try fields.integer("top_k", 0...1_000_000)
        isStream = try fields.boolean("stream") ?? false
        for (index, value) in (try fields.array("stop_sequences", maximumCount: 64) ?? []).enumerated() {
            guard let text = value.stringValue, !text.isEmpty, text.utf8.count <= 1024 else {
                throw .invalid("Expected a text of 1 to 1024 bytes", parameter: "stop_sequences[\(index)]")
            }
            stop.append(text)
        }
        if case .on(let budget?) = thinking, let maximumTokens, budget >= maximumTokens {
            throw .invalid(
                "\(budget) thinking tokens leave nothing of max_tokens \(maximumTokens) for the answer",
                parameter: "thinking.budget_tokens")
        }
        if var metadata = try fields.object("metadata") {
            // Whose request it is, the key tells; the client's own word for it counts for nothing.
            _ = try metadata.string("user_id", maximumBytes: 1024)
            try metadata.finish()
        }
        if let tier = try fields.string("service_tier"), tier != "auto", tier != "standard_only" {
            throw .invalid("Expected \"auto\" or \"standard_only\"", parameter: "service_tier")
        }
    }

    private mutating func readTools(_ fields: inout RequestFields) throws(APIError) {
        var names: Set<String> = []
        for (index, value) in (try fields.array("tools", maximumCount: 1024) ?? []).enumerated() {
            let path = "tools[\(index)]"
            let (name, tool) = try Self.tool(value, path: path)
            guard names.insert(name).inserted else {
                throw .invalid("Two tools have the name \"\(name)\"", parameter: path + ".name")
            }
            tools.append(tool)
        }
        guard var choice = try fields.object("tool_choice") else { return }
        let type = try choice.required(try choice.string("type"), "type")
        switch type {
        case "auto": toolChoice = .auto
        case "any": toolChoice = .required
        case "none": toolChoice = .none
        case "tool":
            let name = try choice.required(try choice.string("name"), "name")
            guard names.contains(name) else {
                throw .invalid("No tool has the name \"\(name.prefix(80))\"", parameter: "tool_choice.name")
            }
            toolChoice = .function(name)
        default:
            throw .invalid(
                "Expected \"auto\", \"any\", \"tool\" or \"none\" and found \"\(type.prefix(40))\"",
                parameter: "tool_choice.type")
        }
        if type != "none" { parallelToolCalls = try choice.boolean("disable_parallel_tool_use") != true }
        try choice.finish()
        if type == "any", tools.isEmpty {
            throw .invalid("\"any\" needs at least one tool", parameter: "tool_choice.type")
        }
    }

    /// A tool of the client as the OpenAI API declares it.
    private static func tool(_ value: JSONValue, path: String) throws(APIError) -> (String, JSONValue) {
        var fields = try RequestFields.object(value, path: path)
        if let type = try fields.string("type"), type != "custom" {
            throw .unsupported(
                path + ".type", "\"\(type.prefix(60))\" is a tool that Anthropic's servers run; declare a custom tool")
        }
        let name = try fields.required(try fields.string("name"), "name")
        try ToolName.check(name, parameter: path + ".name")
        var function = JSONObject([("name", .string(name))])
        if let description = try fields.text("description") { function["description"] = .string(description) }
        guard let schema = fields.value("input_schema"), schema.objectValue != nil else {
            throw .invalid("Expected an object", parameter: path + ".input_schema")
        }
        function["parameters"] = schema
        if let strict = try fields.boolean("strict") { function["strict"] = .bool(strict) }
        try AnthropicFields.cacheControl(&fields)
        // Arguments always come as they are made.
        _ = try fields.boolean("eager_input_streaming")
        if try fields.boolean("defer_loading") == true {
            throw .unsupported(path + ".defer_loading", "tools are not searched here: all are in the prompt")
        }
        if let examples = try fields.array("input_examples", maximumCount: 1000), !examples.isEmpty {
            throw .unsupported(path + ".input_examples", "write the examples into the description")
        }
        for (index, caller) in (try fields.array("allowed_callers", maximumCount: 16) ?? []).enumerated() {
            guard caller == "direct" else {
                throw .unsupported("\(path).allowed_callers[\(index)]", "only \"direct\" is supported here")
            }
        }
        try fields.finish()
        return (name, ["type": "function", "function": .object(function)])
    }

    private mutating func readThinking(_ fields: inout RequestFields) throws(APIError) {
        guard var thinking = try fields.object("thinking") else { return }
        let type = try thinking.required(try thinking.string("type"), "type")
        switch type {
        case "enabled":
            let budget = try thinking.required(
                try thinking.integer("budget_tokens", 1...10_000_000), "budget_tokens")
            self.thinking = .on(budget: budget)
        case "adaptive": self.thinking = .on(budget: nil)
        case "disabled": self.thinking = .off
        default:
            throw .invalid(
                "Expected \"enabled\", \"adaptive\" or \"disabled\" and found \"\(type.prefix(40))\"",
                parameter: "thinking.type")
        }
        if type != "disabled", let display = try thinking.string("display") {
            // Nothing here summarizes: what is called a summary is the whole text.
            guard display == "summarized" || display == "omitted" else {
                throw .invalid("Expected \"summarized\" or \"omitted\"", parameter: "thinking.display")
            }
            hidesThinking = display == "omitted"
        }
        try thinking.finish()
    }

    private mutating func readOutput(_ fields: inout RequestFields) throws(APIError) {
        guard var output = try fields.object("output_config") else { return }
        if let effort = try output.choice("effort", ReasoningEffort.self) {
            guard effort != .none, effort != .minimal else {
                throw .invalid(
                    "Expected \"low\", \"medium\", \"high\", \"xhigh\" or \"max\"", parameter: "output_config.effort")
            }
            self.effort = effort
        }
        if var format = try output.object("format") {
            let type = try format.required(try format.string("type"), "type")
            guard type == "json_schema" else {
                throw .invalid("Expected \"json_schema\"", parameter: "output_config.format.type")
            }
            guard let schema = format.value("schema"), schema.objectValue != nil else {
                throw .invalid("Expected an object", parameter: "output_config.format.schema")
            }
            try format.finish()
            self.schema = schema
        }
        try output.finish()
    }

    /// Parameters of Anthropic's that this server knows and cannot serve.
    private func refuse(_ fields: inout RequestFields) throws(APIError) {
        if let speed = try fields.string("speed"), speed != "standard" {
            throw .unsupported("speed", "only \"standard\" is served here")
        }
        let reasons = [
            ("container", "code is not run here"),
            ("mcp_servers", "this server calls no other servers"),
            ("context_management", "the conversation is taken as it is sent"),
            ("diagnostics", "cache misses are not explained here; see usage"),
            ("inference_geo", "this server is in one place"),
        ]
        for (name, reason) in reasons { try fields.refuse(name, reason) }
    }

    /// The request as the model takes it.
    /// - Parameter defaults: what the model's makers recommend, for what the client left open.
    func modelRequest(_ defaults: GenerationOptions) -> ModelRequest {
        var options = defaults
        if let temperature { options.sampling.temperature = temperature }
        if let topP { options.sampling.topP = topP }
        if let topK { options.sampling.topK = topK }
        options.maximumTokens = maximumTokens
        options.stop = stop
        var budget: Int?
        switch thinking {
        case .automatic: break
        case .on(let tokens): (options.thinking, budget) = (true, tokens ?? effort?.budget)
        case .off: options.thinking = false
        }
        var variables: [String: JSONValue] = [:]
        if let effort { variables["reasoning_effort"] = .string(effort.rawValue) }
        var request = ModelRequest(.chat(messages, tools: tools, variables: variables), options: options)
        if let schema { request.output = .jsonSchema(schema) }
        request.toolChoice = toolChoice
        request.parallelToolCalls = parallelToolCalls
        request.thinkingBudget = budget
        return request
    }
}
