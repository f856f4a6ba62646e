import Hummingbird
import Walet
import WaletJSON

/// `POST /v1/completions`.
struct CompletionRoutes: RouteProvider {
    let serving: Serving

    func addRoutes(to routes: RouteTable) {
        let serving = serving
        routes.post("/v1/completions") { request, context in
            try await Self.answer(request, context, serving)
        }
    }

    private static func answer(
        _ request: Request, _ context: ServerRequestContext, _ serving: Serving
    ) async throws -> Response {
        let fields = try await context.object(request)
        var first = fields
        let model = try await serving.model(try ChatRequest.model(&first), for: context.principal)
        let completion = try CompletionRequest(fields, model, serving.options)
        let echoes = completion.echoes ? try await Self.echoes(completion, model) : []
        let call = ModelCall(
            endpoint: .completions, model: completion.model, requests: completion.requests,
            isStream: completion.isStream, body: fields.body, choicesPerPrompt: completion.choices,
            countsAnswer: !completion.isScoring)
        let answer = try await serving.run(call, context)
        guard completion.isStream else {
            var whole = CompletionAnswer(answer, completion, echoes)
            for try await event in answer.events { whole.add(event) }
            try Task.checkCancellation()
            return .json(whole.json)
        }
        return .openAIStream(answer) {
            var chunks = CompletionAnswer(answer, completion, echoes)
            return { chunks.chunks($0) }
        }
    }

    private static func echoes(
        _ completion: CompletionRequest, _ model: any ServedModel
    ) async throws -> [String] {
        var echoes: [String] = []
        for prompt in completion.prompts {
            switch prompt {
            case .text(let text, _): echoes.append(text)
            case .tokens(let tokens): echoes.append(try await model.text(of: tokens))
            case .chat: break
            }
        }
        return echoes
    }
}
