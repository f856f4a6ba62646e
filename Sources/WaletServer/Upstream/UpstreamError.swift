/// What goes wrong with a server that serves a model for this one.
public enum UpstreamError: Error, Sendable, Equatable, CustomStringConvertible {
    /// No connection came about.
    case unreachable(reason: String)
    /// Nothing came for so long.
    case silent(seconds: Double)
    /// The connection ended before the answer did.
    case broken(reason: String)
    /// What came is not what the API says.
    case malformed(what: String, expected: String, found: String)
    /// It does not let this server in, does not know the path or the model, or sends it elsewhere: for the operator to mend.
    case refused(status: Int, message: String)
    /// It finds the request wrong: for the client to mend.
    case rejected(status: Int, message: String, parameter: String?, code: String?)
    /// It has too much to do.
    case busy(status: Int, retryAfter: Int?)
    /// It failed.
    case failed(status: Int, message: String)
    /// It offers no model of that name.
    case noModel(name: String, offered: [String])
    /// It does not tell how long prompt and answer may be together.
    case noContextLength
    /// It has no way to do what was asked.
    case notOffered(String)

    /// For the log of the operator.
    public var description: String {
        switch self {
        case .unreachable(let reason): "cannot be reached: \(reason)"
        case .silent(let seconds): "said nothing for \(seconds) s"
        case .broken(let reason): "the answer broke off: \(reason)"
        case .malformed(let what, let expected, let found): "\(what): expected \(expected), found \(found)"
        case .refused(let status, _) where (300..<400).contains(status):
            "answered with a redirect (status \(status)), which is not followed"
        case .refused(let status, let message): "refused with status \(status): \(message)"
        case .rejected(let status, let message, _, _): "found the request wrong (status \(status)): \(message)"
        case .busy(let status, _): "is busy (status \(status))"
        case .failed(let status, let message): "failed with status \(status): \(message)"
        case .noModel(let name, let offered):
            "offers no model '\(name)', but \(offered.isEmpty ? "none" : offered.joined(separator: ", "))"
                + "; name one as in http://host:8000/v1#MODEL"
        case .noContextLength: "does not tell the length of its context: give it with --context"
        case .notOffered(let what): "does not offer \(what)"
        }
    }
}

extension UpstreamError: APIErrorConvertible {
    /// Says nothing about where the other server stands, or what it thinks of this one.
    public var apiError: APIError {
        switch self {
        case .unreachable:
            APIError(.upstream, "The server behind this model cannot be reached", code: "upstream_unreachable")
        case .silent:
            APIError(.upstream, "The server behind this model did not answer in time", code: "upstream_timeout")
        case .broken:
            APIError(
                .upstream, "The server behind this model broke off before the answer was complete",
                code: "upstream_broken")
        case .malformed:
            APIError(
                .upstream, "The server behind this model gave an answer that makes no sense", code: "upstream_invalid")
        case .refused:
            APIError(.upstream, "The server behind this model refused to serve this one", code: "upstream_refused")
        case .rejected(_, let message, let parameter, let code):
            .invalid(message, parameter: parameter, code: code ?? "rejected_by_upstream")
        case .busy(_, let retryAfter):
            APIError(
                .overloaded, "The server behind this model is busy", code: "upstream_busy",
                retryAfter: retryAfter ?? 2)
        case .failed:
            APIError(.upstream, "The server behind this model failed", code: "upstream_failed")
        case .noModel, .noContextLength:
            APIError(.server, "The model could not be loaded", parameter: "model", code: "model_load_failed")
        case .notOffered(let what):
            APIError(
                .notImplemented, "The server behind this model does not offer \(what)", code: "not_offered_by_upstream")
        }
    }
}
