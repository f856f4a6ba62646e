// POST /v1/messages and /v1/messages/count_tokens

import HTTPTypes
import Hummingbird
import Walet
import WaletJSON

/// The endpoints of Anthropic's Messages API.
public struct AnthropicRoutes: RouteProvider {
    private let serving: Serving

    public init(serving: Serving) { self.serving = serving }

    public func addRoutes(to routes: RouteTable) {
        let serving = serving
        routes.post("/v1/messages", dialect: .anthropic) { request, context in
            try await Self.answer(request, context, serving)
        }
        routes.post("/v1/messages/count_tokens", dialect: .anthropic) { request, context in
            try await Self.count(request, context, serving)
        }
    }

    private static func answer(
        _ request: Request, _ context: ServerRequestContext, _ serving: Serving
    ) async throws -> Response {
        let fields = try await context.object(request)
        let parameters = try MessagesRequest(fields)
        let model = try await serving.model(parameters.model, for: context.principal)
        let call = ModelCall(
            endpoint: .messages, model: parameters.model,
            requests: [parameters.modelRequest(model.defaultOptions)], isStream: parameters.isStream,
            body: fields.body)
        let answer = try await serving.run(call, context)
        var builder = MessageBuilder(
            id: answer.id, model: answer.model, hidesThinking: parameters.hidesThinking,
            maximumTokens: parameters.maximumTokens)
        guard parameters.isStream else {
            for try await event in answer.events { _ = builder.add(event) }
            guard builder.isComplete else { throw cutOff }
            return .json(builder.message)
        }
        let started = builder
        return .eventStream { writer in
            var builder = started
            do {
                for try await event in answer.events {
                    for event in builder.add(event) { try await writer.send(event.data, event: event.name) }
                }
                if !builder.isComplete { throw cutOff }
            } catch let error as CancellationError {
                // The client is gone.
                throw error
            } catch {
                try await writer.send(APIError(error).json(.anthropic, requestID: context.requestID), event: "error")
            }
        }
    }

    private static var cutOff: APIError {
        APIError(.draining, "The server stopped before the answer was complete")
    }

    private static func count(
        _ request: Request, _ context: ServerRequestContext, _ serving: Serving
    ) async throws -> Response {
        let parameters = try MessagesRequest(try await context.object(request), isCount: true)
        let model = try await serving.model(parameters.model, for: context.principal)
        let tokens = try await model.promptTokens(of: parameters.modelRequest(model.defaultOptions))
        return .json(["input_tokens": .int(tokens.count)])
    }
}
