import Hummingbird
import Walet
import WaletJSON

/// `POST /v1/chat/completions`.
struct ChatRoutes: RouteProvider {
    let serving: Serving

    func addRoutes(to routes: RouteTable) {
        let serving = serving
        routes.post("/v1/chat/completions") { request, context in
            try await Self.answer(request, context, serving)
        }
    }

    private static func answer(
        _ request: Request, _ context: ServerRequestContext, _ serving: Serving
    ) async throws -> Response {
        let fields = try await context.object(request)
        var first = fields
        let model = try await serving.model(try ChatRequest.model(&first), for: context.principal)
        let chat = try ChatRequest(fields, model, serving.options)
        let call = ModelCall(
            endpoint: .chatCompletions, model: chat.model,
            requests: ModelRequest.choices(chat.request, chat.choices), isStream: chat.isStream, body: fields.body)
        let answer = try await serving.run(call, context)
        guard chat.isStream else {
            var whole = ChatAnswer(answer, choices: chat.choices, logprobs: chat.logprobs)
            for try await event in answer.events { whole.add(event) }
            try Task.checkCancellation()
            return .json(whole.json)
        }
        return .openAIStream(answer) {
            var chunks = ChatChunks(
                answer, choices: chat.choices, logprobs: chat.logprobs, includesUsage: chat.includesUsage)
            return { event in
                switch event {
                case .idle: []
                case .event(let index, let event): chunks.add(index, event)
                case .end(let usage): chunks.end(usage)
                }
            }
        }
    }
}

extension ModelRequest {
    /// So many requests for choices of one prompt. With a seed each has its own, so that they differ and still come again.
    static func choices(_ request: ModelRequest, _ count: Int) -> [ModelRequest] {
        (0..<count).map { index in
            var choice = request
            if let seed = request.options.sampling.seed {
                choice.options.sampling.seed = seed &+ UInt64(index) &* 0x9E37_79B9_7F4A_7C15
            }
            return choice
        }
    }
}

extension Response {
    /// A stream as OpenAI's API has it: chunks, then `[DONE]`; an error in between is an event of its own and the last.
    static func openAIStream(
        _ answer: ServedAnswer,
        _ makeChunks: @escaping @Sendable () -> (ServedEvent) -> [JSONValue]
    ) -> Response {
        .eventStream { writer in
            let chunks = makeChunks()
            var isWhole = false
            do {
                for try await event in answer.events {
                    if case .idle = event { try await writer.comment() }
                    if case .end = event { isWhole = true }
                    for chunk in chunks(event) { try await writer.send(chunk) }
                }
            } catch let error as APIError {
                return try await writer.send(error.json(.openAI))
            }
            // The events of a cancelled task end early and without an error.
            guard isWhole else { throw CancellationError() }
            try await writer.send(text: "[DONE]")
        }
    }
}
