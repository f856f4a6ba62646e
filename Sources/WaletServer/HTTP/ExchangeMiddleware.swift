import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import NIOHTTP1
import Walet

/// What surrounds every request: its id, its trace, what pages of other origins may read, headers for all answers, one line in the
/// log and one observation in the metrics at its end.
struct ExchangeMiddleware: RouterMiddleware {
    typealias Context = ServerRequestContext

    let limits: RequestLimits
    let settings: LiveSettings
    let metrics: ServerMetrics
    let audit: (any AuditSink)?
    let isSecure: Bool

    func handle(
        _ request: Request, context: Context, next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        var context = context
        begin(request, &context)
        let dialect = Self.dialect(request)
        context.dialect = dialect
        var response: Response
        do {
            if request.method == .options, let fields = settings.origins.preflight(request.headers) {
                response = Response(status: .noContent, headers: fields)
            } else {
                response = try await next(request, context)
            }
        } catch {
            response = try context.answer(to: error, dialect)
            await recordRefusal(response.status.code, context)
        }
        decorate(&response, request, context)
        return reported(response, context.exchange)
    }

    private func begin(_ request: Request, _ context: inout Context) {
        let exchange = context.exchange
        exchange.limits = limits
        let method = request.method.rawValue
        let path = String(request.uri.path.prefix(200))
        exchange.note { notes in
            notes.method = method
            notes.path = path
        }
        if let header = request.headers[.traceParent], let trace = TraceContext(header: header) {
            context.trace = trace
            context.logger[metadataKey: "trace_id"] = .string(trace.traceID)
            context.logger[metadataKey: "parent_id"] = .string(trace.parentID)
        }
        if let id = request.headers[.clientRequestID], id.utf8.count <= 128 {
            context.logger[metadataKey: "client_request_id"] = .string(id)
        }
        metrics.httpStarted()
        let logger = context.logger
        let metrics = metrics
        exchange.begin { notes, duration in
            let seconds = duration / .seconds(1)
            if let kind = notes.errorKind, let refusal = Self.refusal(kind, notes.errorCode) {
                metrics.refused(refusal, endpoint: notes.route.flatMap { Self.endpoints[$0] })
            }
            metrics.httpFinished(route: notes.route, method: notes.method, status: notes.status, seconds: seconds)
            // Probes come every few seconds and tell nothing while all is well.
            let isProbe = notes.status < 400 && notes.route.map { Self.probes.contains($0) } == true
            logger.log(level: isProbe ? .debug : .info, "request", metadata: notes.metadata(seconds))
        }
    }

    /// A request of somebody who is known, which came to nothing before a model was asked. Those of strangers are counted
    /// in the metrics only: anybody could fill the log with them.
    private func recordRefusal(_ status: Int, _ context: Context) async {
        let notes = context.exchange.notes
        guard let audit, notes.usage == nil, !notes.keyID.isEmpty, notes.method == "POST" else { return }
        let entry = AuditEntry(
            requestID: context.requestID, keyID: notes.keyID, tenant: notes.tenant, model: notes.model ?? "",
            endpoint: notes.route ?? notes.path, status: status, outcome: notes.errorCode ?? "error",
            usage: UsageReport(), duration: context.exchange.duration, prompt: [], answer: "")
        do {
            try await audit.record(entry)
        } catch {
            context.logger.error(
                "a refusal could not be audited", metadata: ["error": .string("\(error)".prefixed(500))])
        }
    }

    private static let probes: Set<String> = ["/health", "/ready", "/metrics"]

    private static let endpoints: [String: Endpoint] = [
        "/v1/chat/completions": .chatCompletions, "/v1/completions": .completions, "/v1/responses": .responses,
        "/v1/messages": .messages, "/v1/messages/count_tokens": .countTokens, "/tokenize": .tokenize,
        "/detokenize": .detokenize, "/v1/models": .models, "/v1/models/**": .models,
    ]

    /// How the metrics call an error; nil for those that are no refusals.
    private static func refusal(_ kind: APIError.Kind, _ code: String?) -> Refusal? {
        switch kind {
        case .invalidRequest: code == "context_length_exceeded" ? .contextExceeded : .invalidRequest
        case .methodNotAllowed, .mediaType, .notImplemented: .invalidRequest
        case .authentication: .authentication
        case .permission: .permission
        case .notFound: .notFound
        case .tooLarge: .tooLarge
        case .timeout: .timeout
        case .rateLimit: code == "concurrency_limit_exceeded" ? .concurrency : .rateLimit
        case .budget: .budget
        case .overloaded: .queueFull
        case .draining: .draining
        case .loading: .loading
        case .upstream: .upstream
        case .server, .unavailable, .clientClosed: nil
        }
    }

    private func decorate(_ response: inout Response, _ request: Request, _ context: Context) {
        response.headers[.requestID] = context.requestID
        if context.dialect == .anthropic { response.headers[.anthropicRequestID] = context.requestID }
        response.headers[.xContentTypeOptions] = "nosniff"
        if response.headers[.cacheControl] == nil { response.headers[.cacheControl] = "no-store" }
        if isSecure { response.headers[.strictTransportSecurity] = "max-age=31536000" }
        for field in context.exchange.notes.headers { response.headers[field.name] = field.value }
        for field in settings.origins.headers(for: request.headers[.origin]) {
            response.headers[field.name] = field.value
        }
        let status = response.status.code
        context.exchange.note { $0.status = status }
    }

    /// The same answer; its end is the exchange's end.
    private func reported(_ response: Response, _ exchange: Exchange) -> Response {
        let body = response.body
        // What is complete now is written at once, and in one piece.
        guard body.contentLength == nil else {
            exchange.finish()
            return response
        }
        var response = response
        response.body = ResponseBody(contentLength: body.contentLength) { writer in
            do {
                try await body.write(writer)
                exchange.finish()
            } catch {
                exchange.note { notes in
                    if notes.errorCode == nil { notes.errorCode = "disconnected" }
                }
                exchange.finish()
                throw error
            }
        }
        return response
    }

    private static func dialect(_ request: Request) -> Dialect {
        request.headers[.anthropicVersion] != nil || request.uri.path.hasPrefix("/v1/messages") ? .anthropic : .openAI
    }
}

extension ServerRequestContext {
    /// The answer to an error, which is noted for the log.
    func answer(to error: any Error, _ dialect: Dialect) throws -> Response {
        // The connection is answered and closed by its guard already.
        if error is HTTPParserError { throw error }
        let apiError = APIError(error)
        if apiError.kind == .server || apiError.kind == .upstream {
            logger.error("request failed", metadata: ["error": .string("\(error)".prefixed(500))])
        }
        exchange.note { notes in
            notes.errorCode = apiError.code ?? "\(apiError.kind)"
            notes.errorKind = apiError.kind
            for field in apiError.headers { notes.headers[field.name] = field.value }
        }
        return apiError.response(dialect, requestID: requestID)
    }
}

extension Exchange.Notes {
    /// What the log says of a request: neither its text nor its key.
    fileprivate func metadata(_ seconds: Double) -> Logger.Metadata {
        var metadata: Logger.Metadata = [
            "method": .string(method), "path": .string(path), "status": .stringConvertible(status),
            "milliseconds": .stringConvertible(Int(seconds * 1000)),
        ]
        if !keyID.isEmpty { metadata["key"] = .string(keyID) }
        if !tenant.isEmpty { metadata["tenant"] = .string(tenant) }
        if let model { metadata["model"] = .string(model) }
        if let errorCode { metadata["error_code"] = .string(errorCode) }
        if let usage {
            metadata["prompt_tokens"] = .stringConvertible(usage.promptTokens)
            metadata["cached_tokens"] = .stringConvertible(usage.cachedTokens)
            metadata["answer_tokens"] = .stringConvertible(usage.answerTokens)
        }
        return metadata
    }
}

extension String {
    func prefixed(_ count: Int) -> String { String(prefix(count)) }
}
