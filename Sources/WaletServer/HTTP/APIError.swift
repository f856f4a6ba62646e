import HTTPTypes
import Hummingbird
import Walet
import WaletJSON

/// The shape in which a route tells its errors.
public enum Dialect: Sendable {
    /// `{"error": {"message", "type", "param", "code"}}`
    case openAI
    /// `{"type": "error", "error": {"type", "message"}}`
    case anthropic
    /// One line of text.
    case plain
}

/// An error as a client sees it: what is wrong, where, and whether trying again helps.
public struct APIError: Error, Sendable, Equatable, CustomStringConvertible {
    public enum Kind: Sendable, CaseIterable {
        case invalidRequest, authentication, permission, notFound, methodNotAllowed, tooLarge, mediaType, timeout
        case notImplemented
        /// Too many requests or tokens a minute, or at once.
        case rateLimit
        /// The money is used up; trying again is useless until the period ends.
        case budget
        /// The queue is full.
        case overloaded
        /// The server is going down.
        case draining
        /// The model is not in memory yet.
        case loading
        /// The model's weights cannot be read, or do not fit.
        case unavailable
        /// Another server, which this one asks, failed.
        case upstream
        case server
        /// The client left: nobody reads the answer.
        case clientClosed
    }

    public var kind: Kind
    /// For a person; never holds secrets, prompts or paths of this machine.
    public var message: String
    /// The parameter by its path, as in `messages[2].content`.
    public var parameter: String?
    /// For a program, as in `context_length_exceeded`.
    public var code: String?
    /// Seconds after which to try again; nil where that is useless or unknown.
    public var retryAfter: Int?
    /// Methods that the path knows, for ``Kind/methodNotAllowed``.
    public var allowed: [String] = []

    public init(
        _ kind: Kind, _ message: String, parameter: String? = nil, code: String? = nil, retryAfter: Int? = nil
    ) {
        self.kind = kind
        self.message = message
        self.parameter = parameter
        self.code = code
        self.retryAfter = retryAfter
    }

    public static func invalid(_ message: String, parameter: String? = nil, code: String? = nil) -> APIError {
        APIError(.invalidRequest, message, parameter: parameter, code: code)
    }

    /// A parameter that this server knows and does not offer.
    public static func unsupported(_ parameter: String, _ message: String) -> APIError {
        APIError(
            .invalidRequest, "'\(parameter)' is not supported: \(message)", parameter: parameter,
            code: "unsupported_parameter")
    }

    /// In OpenAI's words: programs that turn to a model with a longer context know it by them.
    static func contextExceeded(prompt: Int, context: Int) -> APIError {
        .invalid(
            "This model's maximum context length is \(context) tokens. However, your prompt has \(prompt), "
                + "which leaves no room for an answer.", code: "context_length_exceeded")
    }

    public var description: String {
        parameter.map { "\($0): \(message)" } ?? message
    }
}

/// An error that knows how a client should see it.
public protocol APIErrorConvertible: Error {
    var apiError: APIError { get }
}

extension APIError {
    /// Any error as a client may see it. What nobody foresaw becomes a 500 that says nothing about the inside.
    public init(_ error: any Error) {
        switch error {
        case let error as APIError: self = error
        case let error as any APIErrorConvertible: self = error.apiError
        case let error as EngineError: self.init(engine: error)
        case let error as ChatMessageError:
            self = .invalid(error.description, parameter: error.path)
        case let error as JSONError:
            self = .invalid("The body is \(error)", code: "invalid_json")
        case let error as LanguageModelError: self.init(model: error)
        case let error as HTTPError: self.init(http: error)
        case is CancellationError:
            self.init(.clientClosed, "The client left", code: "disconnected")
        default:
            self.init(.server, "The server failed to answer this request", code: "internal_error")
        }
    }

    private init(engine error: EngineError) {
        switch error {
        case .parameter(let name, _, _):
            self = .invalid(error.description, parameter: Self.parameterNames[name] ?? name)
        case .emptyPrompt: self = .invalid(error.description, code: "empty_prompt")
        case .tokenOutOfRange: self = .invalid(error.description, code: "token_out_of_range")
        case .contextExceeded(let prompt, let context):
            self = .contextExceeded(prompt: prompt, context: context)
        case .noPredictionLayer: self = .invalid(error.description)
        case .queueFull:
            self.init(.overloaded, error.description, code: "queue_full", retryAfter: 2)
        case .stopped:
            self.init(.draining, "The server is going down", code: "shutting_down", retryAfter: 10)
        case .store: self.init(.server, "The cache's disk tier cannot be used", code: "cache")
        case .weights:
            // The text names files of this machine.
            self.init(.unavailable, "The model's weights could not be read", code: "weights", retryAfter: 30)
        }
    }

    /// The engine's names of parameters, as the API spells them.
    private static let parameterNames = [
        "top-p": "top_p", "top-k": "top_k", "min-p": "min_p", "repetition penalty": "repetition_penalty",
        "presence penalty": "presence_penalty", "frequency penalty": "frequency_penalty", "max-tokens": "max_tokens",
        "logit bias": "logit_bias",
    ]

    private init(model error: LanguageModelError) {
        switch error {
        case .noTemplate:
            self = .invalid(
                "This model has no chat template: only /v1/completions can be used with it", parameter: "model",
                code: "no_chat_template")
        case .noTokenizer:
            self = .invalid(
                "This model has no tokenizer: only token arrays can be given to it", parameter: "model",
                code: "no_tokenizer")
        default: self.init(.server, "The model could not be loaded", code: "model_load_failed")
        }
    }

    private init(http error: HTTPError) {
        switch error.status {
        case .notFound: self.init(.notFound, "There is no such path", code: "unknown_url")
        case .contentTooLarge: self.init(.tooLarge, "The body is too large", code: "request_too_large")
        case .requestTimeout: self.init(.timeout, "The request did not arrive in time", code: "request_timeout")
        case _ where error.status.kind == .clientError:
            self = .invalid(error.body ?? error.status.reasonPhrase)
        default: self.init(.server, "The server failed to answer this request", code: "internal_error")
        }
    }
}
