import HTTPTypes
import Hummingbird
import NIOCore
import WaletJSON

extension APIError {
    /// The status in OpenAI's dialect, and in Anthropic's but for overload.
    public var status: HTTPResponse.Status {
        switch kind {
        case .invalidRequest: .badRequest
        case .authentication: .unauthorized
        case .permission: .forbidden
        case .notFound: .notFound
        case .methodNotAllowed: .methodNotAllowed
        case .tooLarge: .contentTooLarge
        case .mediaType: .unsupportedMediaType
        case .timeout: .requestTimeout
        case .notImplemented: .notImplemented
        case .rateLimit, .budget: .tooManyRequests
        case .overloaded, .draining, .loading, .unavailable: .serviceUnavailable
        case .upstream: .badGateway
        case .server: .internalServerError
        // As nginx counts them; nobody sees it.
        case .clientClosed: .init(code: 499, reasonPhrase: "Client Closed Request")
        }
    }

    /// - Returns: 529 for overload in Anthropic's dialect, whose SDK knows it, else ``status``.
    public func status(in dialect: Dialect) -> HTTPResponse.Status {
        dialect == .anthropic && kind == .overloaded ? .init(code: 529, reasonPhrase: "Overloaded") : status
    }

    /// The body.
    public func json(_ dialect: Dialect, requestID: String? = nil) -> JSONValue {
        switch dialect {
        case .openAI, .plain:
            return [
                "error": [
                    "message": .string(namesParameter ? message : description), "type": .string(openAIType),
                    "param": parameter.map { .string($0) } ?? .null, "code": code.map { .string($0) } ?? .null,
                ]
            ]
        case .anthropic:
            var object = JSONObject([
                ("type", "error"),
                ("error", ["type": .string(anthropicType), "message": .string(description)]),
            ])
            if let requestID { object["request_id"] = .string(requestID) }
            return .object(object)
        }
    }

    /// Many logs keep nothing but the message.
    private var namesParameter: Bool { parameter.map { message.contains($0) } ?? true }

    private var openAIType: String {
        switch kind {
        case .invalidRequest, .authentication, .notFound, .methodNotAllowed, .tooLarge, .mediaType, .timeout,
            .notImplemented:
            "invalid_request_error"
        case .permission: "permission_error"
        case .rateLimit: "rate_limit_error"
        case .budget: "insufficient_quota"
        case .overloaded, .draining, .loading: "overloaded_error"
        case .unavailable, .upstream, .server, .clientClosed: "server_error"
        }
    }

    private var anthropicType: String {
        switch kind {
        case .invalidRequest, .methodNotAllowed, .mediaType, .notImplemented: "invalid_request_error"
        case .authentication: "authentication_error"
        case .permission: "permission_error"
        case .notFound: "not_found_error"
        case .tooLarge: "request_too_large"
        case .timeout: "timeout_error"
        case .rateLimit: "rate_limit_error"
        case .budget: "billing_error"
        case .overloaded, .draining, .loading: "overloaded_error"
        case .unavailable, .upstream, .server, .clientClosed: "api_error"
        }
    }

    /// The headers that tell a client whether to try again.
    var headers: HTTPFields {
        var fields = HTTPFields()
        if let retryAfter { fields[.retryAfter] = String(retryAfter) }
        switch kind {
        case .budget: fields[.shouldRetry] = "false"
        // Without a time to wait there is nothing to wait for.
        case .rateLimit where retryAfter == nil: fields[.shouldRetry] = "false"
        case .authentication: fields[.wwwAuthenticate] = "Bearer"
        case .methodNotAllowed: fields[.allow] = allowed.joined(separator: ", ")
        case .draining: fields[.connection] = "close"
        default: break
        }
        return fields
    }

    /// The whole answer.
    public func response(_ dialect: Dialect, requestID: String? = nil) -> Response {
        var response: Response
        if dialect == .plain {
            response = Response(
                status: status, headers: [.contentType: "text/plain; charset=utf-8"],
                body: ResponseBody(byteBuffer: ByteBuffer(string: description + "\n")))
        } else {
            response = .json(json(dialect, requestID: requestID), status: status(in: dialect))
        }
        for field in headers { response.headers[field.name] = field.value }
        return response
    }
}

extension HTTPField.Name {
    static let shouldRetry = HTTPField.Name("x-should-retry")!
    static let requestID = HTTPField.Name("x-request-id")!
    static let anthropicRequestID = HTTPField.Name("request-id")!
    static let anthropicVersion = HTTPField.Name("anthropic-version")!
    static let apiKey = HTTPField.Name("x-api-key")!
    static let traceParent = HTTPField.Name("traceparent")!
    static let traceState = HTTPField.Name("tracestate")!
    static let host = HTTPField.Name("host")!
    static let te = HTTPField.Name("transfer-encoding")!
    static let accelBuffering = HTTPField.Name("x-accel-buffering")!
    static let clientRequestID = HTTPField.Name("x-client-request-id")!
}
