import Hummingbird
import Walet
import WaletJSON

/// `POST /tokenize` and `POST /detokenize`, in vLLM's form: they run nothing and cost nothing.
struct TokenizeRoutes: RouteProvider {
    let serving: Serving

    func addRoutes(to routes: RouteTable) {
        let serving = serving
        routes.post("/tokenize") { request, context in
            try await Self.tokenize(try await context.object(request), context, serving)
        }
        routes.post("/detokenize") { request, context in
            var fields = try await context.object(request)
            let model = try await serving.model(try ChatRequest.model(&fields), for: context.principal)
            let list = try fields.required(try fields.array("tokens", maximumCount: .max), "tokens")
            try fields.finish()
            let tokens = list.isEmpty ? [] : try CompletionRequest.tokens(list, "tokens")
            return .json(["prompt": .string(try await model.text(of: tokens))])
        }
    }

    /// `{"model", "prompt", "add_special_tokens"}` or `{"model", "messages", "tools"}`.
    private static func tokenize(
        _ source: RequestFields, _ context: ServerRequestContext, _ serving: Serving
    ) async throws -> Response {
        var fields = source
        let model = try await serving.model(try ChatRequest.model(&fields), for: context.principal)
        let prompt: ModelRequest.Prompt
        let spells = try fields.boolean("return_token_strs") ?? false
        if let text = try fields.string("prompt", maximumBytes: .max) {
            prompt = .text(text, special: try fields.boolean("add_special_tokens") ?? true)
        } else {
            let messages = try ChatMessages.read(&fields)
            let tools = try ChatTools(&fields)
            let thinking = try ThinkingFields(&fields, declared: serving.options.templateVariables)
            var variables = thinking.variables
            if let isOn = thinking.isOn {
                variables["enable_thinking"] = .bool(isOn)
                variables["thinking"] = .bool(isOn)
            }
            prompt = .chat(messages, tools: tools.tools, variables: variables)
        }
        try fields.finish()
        let tokens = try await model.promptTokens(of: ModelRequest(prompt, options: model.defaultOptions))
        var object = JSONObject([
            ("count", .int(tokens.count)), ("max_model_len", .int(model.contextLength)),
            ("tokens", .array(tokens.map { .int($0) })),
        ])
        if spells {
            var pieces: [JSONValue] = []
            for token in tokens { pieces.append(.string(try await model.text(of: [token]))) }
            object["token_strs"] = .array(pieces)
        }
        return .json(.object(object))
    }
}
