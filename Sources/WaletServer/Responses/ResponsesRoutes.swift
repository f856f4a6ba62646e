// POST /v1/responses, and the responses that are kept.

import Foundation
import HTTPTypes
import Hummingbird
import NIOCore
import Synchronization
import Walet
import WaletJSON

/// The endpoints of OpenAI's Responses API.
public struct ResponsesRoutes: RouteProvider {
    private let serving: Serving
    private let store: ResponseStore

    public init(serving: Serving, store: ResponseStore = ResponseStore()) {
        self.serving = serving
        self.store = store
    }

    public func addRoutes(to routes: RouteTable) {
        let (serving, store) = (serving, store)
        routes.post("/v1/responses") { request, context in
            try await Self.create(request, context, serving, store)
        }
        routes.get("/v1/responses/:id") { request, context in
            if let value = request.uri.queryParameters["stream"], value != "false" {
                throw APIError.unsupported("stream", "a response that is kept comes whole")
            }
            return Self.json(try Self.entry(context, store).text)
        }
        routes.delete("/v1/responses/:id") { _, context in
            let id = try Self.id(context)
            guard store.delete(id, tenant: context.principal.tenant) else { throw Self.notFound(id) }
            return .json(["id": .string(id), "object": "response", "deleted": true])
        }
        routes.post("/v1/responses/:id/cancel") { _, context in
            let entry = try Self.entry(context, store)
            switch entry.status {
            case .inProgress:
                entry.cancel?()
                return Self.json(try Self.cancelled(entry.text))
            case .cancelled: return Self.json(entry.text)
            case .completed, .incomplete, .failed:
                throw APIError.invalid("The response has ended already: it is \(entry.status.rawValue)")
            }
        }
        routes.get("/v1/responses/:id/input_items") { request, context in
            try Self.list(try Self.entry(context, store).items, request)
        }
    }

    // MARK: Making a response

    private static func create(
        _ request: Request, _ context: ServerRequestContext, _ serving: Serving, _ store: ResponseStore
    ) async throws -> Response {
        let fields = try await context.object(request)
        let parameters = try ResponsesRequest(fields)
        if parameters.stores == true, !store.isOn {
            throw APIError.unsupported("store", "this server keeps no responses")
        }
        let tenant = context.principal.tenant
        var conversation = ResponseConversation(try previous(parameters, store, tenant: tenant))
        for item in parameters.input { conversation.add(item) }

        let model = try await serving.model(parameters.model, for: context.principal)
        let call = ModelCall(
            endpoint: .responses, model: parameters.model,
            requests: [parameters.modelRequest(conversation, model.defaultOptions)], isStream: parameters.isStream,
            body: fields.body)
        let answer = try await serving.run(call, context)
        let isStored = parameters.stores ?? store.isOn
        let events = CancellableEvents(answer.events)
        let builder = ResponseBuilder(
            id: answer.id, model: answer.model, created: answer.created, request: parameters, isStored: isStored)
        let keeper = Keeper(
            builder, in: isStored ? store : nil, tenant: tenant, conversation: conversation,
            items: parameters.input.enumerated().map { $1.json(id: "msg_\(answer.id)_in\($0)") },
            cancel: events.cancel)

        guard parameters.isStream else {
            var builder = builder
            defer { keeper.finish(builder) }
            do {
                for try await event in events.events { _ = builder.add(event, now: now) }
            } catch let error as CancellationError {
                _ = builder.cancel()
                throw error
            } catch {
                _ = builder.fail(APIError(error))
                throw error
            }
            if builder.status == .inProgress { _ = builder.cancel() }
            return .json(builder.json)
        }
        return .eventStream { writer in
            var builder = builder
            // Whatever ends the stream, a client that has left included, is what the kept response shows.
            defer {
                if builder.status == .inProgress { _ = builder.cancel() }
                keeper.finish(builder)
            }
            for event in builder.begin() { try await send(event, to: &writer) }
            do {
                for try await event in events.events {
                    if case .idle = event { try? await writer.comment() }
                    for event in builder.add(event, now: now) { try await send(event, to: &writer) }
                }
                if builder.status == .inProgress {
                    for event in builder.cancel() { try await send(event, to: &writer) }
                }
            } catch let error where error is ClientLeft || error is CancellationError {
                throw error
            } catch {
                for event in builder.fail(APIError(error)) { try await send(event, to: &writer) }
            }
        }
    }

    private static var now: Int { Int(Date().timeIntervalSince1970) }

    /// What was sent did not go out, which is not the model's failure.
    private struct ClientLeft: Error {}

    private static func send(_ event: JSONValue, to writer: inout EventStreamWriter) async throws {
        do {
            try await writer.send(event, event: event["type"]?.stringValue)
        } catch {
            throw ClientLeft()
        }
    }

    /// The conversation that the request goes on from.
    private static func previous(
        _ parameters: ResponsesRequest, _ store: ResponseStore, tenant: String
    ) throws(APIError) -> [ChatMessage] {
        guard let id = parameters.previousID else { return [] }
        guard let entry = store.get(id, tenant: tenant) else {
            var error = APIError(
                .notFound, "There is no response \"\(id.prefix(80))\": it was not stored, was deleted, or made room")
            error.parameter = "previous_response_id"
            error.code = "previous_response_not_found"
            throw error
        }
        guard entry.status != .inProgress else {
            throw .invalid("That response is not complete yet", parameter: "previous_response_id")
        }
        return entry.messages
    }

    /// Keeps a response from its beginning to its end, where that is wanted. Dropped before the end, as when the client
    /// leaves before the stream's head, the response is cancelled.
    private final class Keeper: Sendable {
        private let start: ResponseBuilder
        private let store: ResponseStore?
        private let tenant: String
        private let conversation: ResponseConversation
        private let items: [JSONValue]
        private let isFinished = Mutex(false)

        init(
            _ builder: ResponseBuilder, in store: ResponseStore?, tenant: String, conversation: ResponseConversation,
            items: [JSONValue], cancel: @escaping @Sendable () -> Void
        ) {
            start = builder
            self.store = store
            self.tenant = tenant
            self.conversation = conversation
            self.items = items
            store?.set(builder.id, entry(builder, cancel: cancel), tenant: tenant)
        }

        deinit {
            guard !isFinished.withLock({ $0 }) else { return }
            var builder = start
            _ = builder.cancel()
            store?.finish(builder.id, entry(builder, cancel: nil), tenant: tenant)
        }

        func finish(_ builder: ResponseBuilder) {
            isFinished.withLock { $0 = true }
            store?.finish(builder.id, entry(builder, cancel: nil), tenant: tenant)
        }

        private func entry(
            _ builder: ResponseBuilder, cancel: (@Sendable () -> Void)?
        ) -> ResponseStore.Entry {
            var conversation = conversation
            builder.add(to: &conversation)
            return ResponseStore.Entry(
                status: builder.status, text: builder.json.text(), messages: conversation.messages, items: items,
                cancel: cancel)
        }
    }

    // MARK: Kept responses

    private static func id(_ context: ServerRequestContext) throws -> String { try context.parameters.require("id") }

    private static func entry(_ context: ServerRequestContext, _ store: ResponseStore) throws -> ResponseStore.Entry {
        let id = try id(context)
        guard let entry = store.get(id, tenant: context.principal.tenant) else { throw notFound(id) }
        return entry
    }

    private static func notFound(_ id: String) -> APIError {
        APIError(.notFound, "There is no response \"\(id.prefix(80))\"")
    }

    private static func json(_ text: String) -> Response {
        Response(
            status: .ok, headers: [.contentType: "application/json; charset=utf-8"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
    }

    /// A response under way as it is once it is cancelled.
    private static func cancelled(_ text: String) throws -> String {
        guard var object = try JSONValue(parsing: text).objectValue else { return text }
        object["status"] = .string(ResponseBuilder.Status.cancelled.rawValue)
        return JSONValue.object(object).text()
    }

    /// A page of items, newest first unless asked otherwise.
    private static func list(_ items: [JSONValue], _ request: Request) throws -> Response {
        let query = request.uri.queryParameters
        let order = query["order"].map(String.init) ?? "desc"
        guard order == "asc" || order == "desc" else {
            throw APIError.invalid("Expected \"asc\" or \"desc\"", parameter: "order")
        }
        let limit = query["limit"].map { Int($0) ?? 0 } ?? 20
        guard (1...100).contains(limit) else { throw APIError.invalid("Expected 1 to 100", parameter: "limit") }
        var items = order == "asc" ? items : items.reversed()
        if let after = query["after"].map(String.init) {
            guard let position = items.firstIndex(where: { $0["id"]?.stringValue == after }) else {
                throw APIError.invalid("There is no such item in this response", parameter: "after")
            }
            items.removeFirst(position + 1)
        }
        let page = items.prefix(limit)
        return .json([
            "object": "list", "data": .array(Array(page)), "first_id": page.first?["id"] ?? .null,
            "last_id": page.last?["id"] ?? .null, "has_more": .bool(items.count > limit),
        ])
    }
}
