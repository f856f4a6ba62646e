import Foundation
import Logging
import Walet

/// A request to a model, as all dialects make it.
public struct ModelCall: Sendable {
    public var endpoint: Endpoint
    /// As the client named it.
    public var model: String
    /// One for each choice: those of the first prompt, then those of the second.
    public var requests: [ModelRequest]
    public var isStream: Bool
    /// The body as it came, for the audit.
    public var body: [UInt8]
    /// How many choices each prompt has; nil: all requests are choices of one prompt.
    public var choicesPerPrompt: Int?
    /// Whether the answers' tokens are charged; not where only the prompt's log probabilities were asked for.
    public var countsAnswer: Bool

    public init(
        endpoint: Endpoint, model: String, requests: [ModelRequest], isStream: Bool, body: [UInt8],
        choicesPerPrompt: Int? = nil, countsAnswer: Bool = true
    ) {
        self.endpoint = endpoint
        self.model = model
        self.requests = requests
        self.isStream = isStream
        self.body = body
        self.choicesPerPrompt = choicesPerPrompt
        self.countsAnswer = countsAnswer
    }

    /// The requests of each prompt.
    var prompts: [Range<Int>] {
        let size = max(1, choicesPerPrompt ?? requests.count)
        return stride(from: 0, to: requests.count, by: size).map { $0..<min($0 + size, requests.count) }
    }
}

/// What a handler gets: pieces of the answer as they are made.
public enum ServedEvent: Sendable {
    /// A choice's ``ModelEvent/finish(_:_:)`` is its last one.
    case event(choice: Int, ModelEvent)
    /// Nothing came for a while: keep the connection alive.
    case idle
    /// All choices are finished and charged. The last one.
    case end(UsageReport)
}

/// An answer under way.
public struct ServedAnswer: Sendable {
    /// 24 letters and digits, for ids such as `chatcmpl-…`.
    public let id: String
    public let model: String
    /// Seconds since 1970.
    public let created: Int
    /// Changes with the server's version and the model.
    public let fingerprint: String
    /// For one reader. Dropping it, cancelling its task, or the client's leaving stops the model within one step.
    public let events: AsyncThrowingStream<ServedEvent, any Error>
}

/// What requests may take of the models.
public struct ServingOptions: Sendable {
    /// Silence after which ``ServedEvent/idle`` comes.
    public var keepAlive: Duration = .seconds(15)
    /// Tokens of one answer, at most, whatever is asked; nil for as many as the context holds.
    public var maximumTokens: Int?
    /// Choices of one request, over all its prompts.
    public var maximumChoices = 128
    /// Variables of a chat template, beside those that every server knows, that a request may set.
    public var templateVariables: Set<String> = []
    /// Part of the fingerprint.
    public var version = ""

    public init() {}
}

/// Runs requests on models, with everything around: access, limits, charges, the audit, the metrics.
public struct Serving: Sendable {
    public let models: ModelRegistry
    public let options: ServingOptions
    let gatekeeper: any Gatekeeper
    let audit: (any AuditSink)?
    let metrics: ServerMetrics
    let active: ActiveRequests

    public init(
        models: ModelRegistry, gatekeeper: any Gatekeeper, audit: (any AuditSink)? = nil, metrics: ServerMetrics,
        active: ActiveRequests = ActiveRequests(), options: ServingOptions = ServingOptions()
    ) {
        self.models = models
        self.gatekeeper = gatekeeper
        self.audit = audit
        self.metrics = metrics
        self.active = active
        self.options = options
    }

    /// A model by its name, loaded where it was not.
    /// - Throws: ``APIError``: 404 for a name that is unknown or not for this caller, which look the same; 503 or 500 where
    ///   it cannot be loaded.
    public func model(_ name: String, for principal: Principal) async throws -> any ServedModel {
        try await lease(name, principal).model
    }

    private func lease(_ name: String, _ principal: Principal) async throws -> ModelLease {
        guard principal.allows(model: name) else { throw ModelRegistry.unknown(name) }
        return try await models.lease(name)
    }

    /// Starts an answer. What throws here does so before anything was sent.
    ///
    /// However the answer ends (finished, failed, the client gone, the server going down), it is charged, audited and metered
    /// once, and ``ServedEvent/end(_:)`` comes after the charge is durable.
    /// - Throws: ``APIError``.
    public func run(_ call: ModelCall, _ context: ServerRequestContext) async throws -> ServedAnswer {
        let principal = context.principal
        guard !call.requests.isEmpty, call.requests.count <= options.maximumChoices else {
            throw APIError.invalid(
                "Expected 1 to \(options.maximumChoices) choices in all, found \(call.requests.count)",
                parameter: "n")
        }
        let lease = try await lease(call.model, principal)
        context.exchange.note { $0.model = lease.name }
        let (requests, promptTokens, maximumTokens) = try await prepare(call, lease.model, principal)
        try await audit?.ready()
        let claim = Claim(
            requestID: context.requestID, endpoint: context.exchange.notes.route ?? call.endpoint.rawValue,
            model: lease.name, promptTokens: promptTokens, isEstimate: !lease.model.countsPrompts,
            maximumTokens: maximumTokens)
        let reservation = try await gatekeeper.reserve(claim, for: principal)
        if let limits = reservation.limits {
            context.exchange.note { notes in
                for field in limits.headers { notes.headers[field.name] = field.value }
            }
        }
        let observation = metrics.begin(
            call.endpoint, model: lease.name, key: principal.keyID, n: requests.count, maximumTokens: maximumTokens)
        let run = AnswerRun(
            serving: self, call: call, requests: requests, lease: lease, reservation: reservation,
            observation: observation, exchange: context.exchange, principal: principal, logger: context.logger)
        return try await run.start(context.client)
    }

    /// Says whose the requests are and bounds their answers.
    private func prepare(
        _ call: ModelCall, _ model: any ServedModel, _ principal: Principal
    ) async throws -> (requests: [ModelRequest], promptTokens: Int, maximumTokens: Int) {
        var requests = call.requests
        var promptTokens = 0
        var maximumTokens = 0
        let context = model.contextLength
        for choices in call.prompts {
            var room = context
            if model.countsPrompts {
                let count = try await model.promptTokens(of: requests[choices.lowerBound]).count
                guard count < context else {
                    throw APIError.contextExceeded(prompt: count, context: context)
                }
                promptTokens += count
                room -= count
            } else {
                // Text of any language has fewer tokens than this.
                promptTokens += call.body.count / 2 / call.prompts.count
            }
            for index in choices {
                requests[index].tenant = principal.tenant
                requests[index].owner = principal.keyID
                requests[index].priority = principal.priority
                let limit = min(requests[index].options.maximumTokens ?? room, options.maximumTokens ?? room, room)
                requests[index].options.maximumTokens = limit
                maximumTokens = maximumTokens.addingClamped(limit)
            }
        }
        return (requests, promptTokens, maximumTokens)
    }
}

extension Int {
    func addingClamped(_ other: Int) -> Int {
        let (sum, overflows) = addingReportingOverflow(other)
        return overflows ? .max : sum
    }
}
