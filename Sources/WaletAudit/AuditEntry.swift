// What is logged: requests, actions on keys, changes of the configuration, the server's own life.

import WaletJSON

/// One event for the log. The log adds the index, the time and nothing else.
public enum AuditEntry: Sendable {
    case request(AuditRequest)
    case key(AuditKeyAction)
    case configuration(AuditConfigurationChange)
    case server(AuditServerEvent)
}

/// A request that was answered or refused.
public struct AuditRequest: Sendable {
    /// The request's id, as the client saw it.
    public var id: String
    /// The id of the key, never the key; nil where the request had none.
    public var key: String?
    public var tenant: String?
    public var model: String?
    /// The route, such as `/v1/chat/completions`.
    public var endpoint: String
    /// The HTTP status.
    public var status: Int
    /// How it ended: the finish reason, "cancelled", or the error's code.
    public var outcome: String
    public var promptTokens: Int
    /// Those of the prompt's tokens that came from a cache.
    public var cachedTokens: Int
    public var answerTokens: Int
    public var thinkingTokens: Int
    /// From the request's arrival to the answer's end.
    public var milliseconds: Int
    /// The engine that answered, where it was not this one.
    public var upstream: String?
    public var prompt: AuditText?
    public var answer: AuditText?

    public init(
        id: String, key: String? = nil, tenant: String? = nil, model: String? = nil, endpoint: String, status: Int,
        outcome: String, promptTokens: Int = 0, cachedTokens: Int = 0, answerTokens: Int = 0, thinkingTokens: Int = 0,
        milliseconds: Int = 0, upstream: String? = nil, prompt: AuditText? = nil, answer: AuditText? = nil
    ) {
        self.id = id
        self.key = key
        self.tenant = tenant
        self.model = model
        self.endpoint = endpoint
        self.status = status
        self.outcome = outcome
        self.promptTokens = promptTokens
        self.cachedTokens = cachedTokens
        self.answerTokens = answerTokens
        self.thinkingTokens = thinkingTokens
        self.milliseconds = milliseconds
        self.upstream = upstream
        self.prompt = prompt
        self.answer = answer
    }
}

/// Something done to a key.
public struct AuditKeyAction: Sendable {
    public enum Action: String, Sendable, CaseIterable { case create, revoke, set }

    public var action: Action
    /// The id of the key, never the key.
    public var key: String
    public var tenant: String?
    /// Who did it: "cli:ada", "reload".
    public var by: String
    /// What was set to what.
    public var details: [String: JSONValue]

    public init(_ action: Action, key: String, tenant: String? = nil, by: String, details: [String: JSONValue] = [:]) {
        self.action = action
        self.key = key
        self.tenant = tenant
        self.by = by
        self.details = details
    }
}

/// A setting that changed.
public struct AuditConfigurationChange: Sendable {
    public var setting: String
    public var from: JSONValue
    public var to: JSONValue
    public var by: String

    /// - Parameters:
    ///   - from: the value before; null where there was none.
    ///   - to: the value now; null where there is none.
    public init(_ setting: String, from: JSONValue, to: JSONValue, by: String) {
        self.setting = setting
        self.from = from
        self.to = to
        self.by = by
    }
}

/// The server's own life.
public enum AuditServerEvent: Sendable {
    case start(version: String, details: [String: JSONValue] = [:])
    case stop(reason: String)
    case reload(details: [String: JSONValue] = [:])
}

extension AuditEntry {
    /// The kinds that a caller can log. A log writes entries of kind "log" about itself, too.
    static let kinds: Set<String> = ["request", "key", "configuration", "server"]

    /// The entry's own members: all but what the log adds.
    var body: JSONObject {
        switch self {
        case .request(let request): request.body
        case .key(let action):
            Self.object([
                ("kind", "key"), ("action", .string(action.action.rawValue)), ("key", .string(action.key)),
                ("tenant", Self.text(action.tenant)), ("by", .string(action.by)),
                ("details", Self.details(action.details)),
            ])
        case .configuration(let change):
            // Null means something here and is kept.
            JSONObject([
                ("kind", "configuration"), ("setting", .string(change.setting)), ("from", change.from),
                ("to", change.to), ("by", .string(change.by)),
            ])
        case .server(.start(let version, let details)):
            Self.object([
                ("kind", "server"), ("event", "start"), ("version", .string(version)),
                ("details", Self.details(details)),
            ])
        case .server(.stop(let reason)):
            Self.object([("kind", "server"), ("event", "stop"), ("reason", .string(reason))])
        case .server(.reload(let details)):
            Self.object([("kind", "server"), ("event", "reload"), ("details", Self.details(details))])
        }
    }

    /// An entry about the log itself.
    static func ofLog(event: String, _ details: [String: JSONValue]) -> JSONObject {
        object([("kind", "log"), ("event", .string(event)), ("details", Self.details(details))])
    }

    /// Members without those that say nothing.
    fileprivate static func object(_ members: [(String, JSONValue)]) -> JSONObject {
        JSONObject(members.filter { $0.1 != .null })
    }

    fileprivate static func text(_ text: String?) -> JSONValue { text.map { .string($0) } ?? .null }

    private static func details(_ details: [String: JSONValue]) -> JSONValue {
        details.isEmpty ? .null : .object(JSONObject(details.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }))
    }
}

extension AuditRequest {
    fileprivate var body: JSONObject {
        AuditEntry.object([
            ("kind", "request"), ("request", .string(id)), ("key", AuditEntry.text(key)),
            ("tenant", AuditEntry.text(tenant)), ("model", AuditEntry.text(model)), ("endpoint", .string(endpoint)),
            ("status", .int(status)), ("outcome", .string(outcome)), ("prompt_tokens", .int(promptTokens)),
            ("cached_tokens", .int(cachedTokens)), ("answer_tokens", .int(answerTokens)),
            ("thinking_tokens", .int(thinkingTokens)), ("milliseconds", .int(milliseconds)),
            ("upstream", AuditEntry.text(upstream)), ("prompt", prompt?.json ?? .null),
            ("answer", answer?.json ?? .null),
        ])
    }
}
