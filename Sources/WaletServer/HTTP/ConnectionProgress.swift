import NIOCore

/// Where a connection (or an HTTP/2 stream) stands between requests and answers. A value without input or output: each
/// method says what to do next.
struct ConnectionProgress {
    /// What of a request is being received.
    enum Phase: Equatable {
        /// Nothing: between requests.
        case idle
        case head
        case body
        /// The answer is out and the connection is to close, but the request still comes in.
        case lingering
        /// Nothing counts any more.
        case closed
    }

    enum Action: Equatable {
        case nothing
        case close
        /// Answer the request at hand with this error, then close.
        case refuse(ProtocolFault)
    }

    private(set) var phase = Phase.idle
    /// Heads received whose answers are not complete.
    private(set) var unanswered = 0
    /// The head of the oldest unanswered request's answer is out.
    private(set) var hasBegunAnswer = false
    /// The connection closes after the answers to what was received.
    private(set) var closesAfterAnswer = false
    private var phaseStart: NIODeadline
    /// A fault in a request behind others, told once those are answered, and how many stay unanswered then.
    private var pending: (fault: ProtocolFault, remaining: Int)?
    private var isFirst = true
    private let limits: ConnectionLimits
    private let isMultiplexed: Bool

    /// - Parameter isMultiplexed: an HTTP/2 stream, which has one request and whose head is whole when it begins.
    init(_ limits: ConnectionLimits, isMultiplexed: Bool, now: NIODeadline) {
        self.limits = limits
        self.isMultiplexed = isMultiplexed
        phaseStart = now
    }

    /// When something must have happened; nil where nothing is awaited of the client.
    var deadline: NIODeadline? {
        switch phase {
        case .idle:
            if unanswered > 0 || isMultiplexed { return nil }
            return phaseStart + (isFirst ? limits.head : limits.idle)
        case .head: return phaseStart + limits.head
        case .body: return phaseStart + limits.body
        case .lingering: return phaseStart + limits.linger
        case .closed: return nil
        }
    }

    /// Whether what comes in still counts.
    var isReceiving: Bool { phase != .lingering && phase != .closed && pending == nil }

    mutating func receivedBytes(now: NIODeadline) {
        guard phase == .idle else { return }
        phase = .head
        phaseStart = now
    }

    mutating func receivedHead(now: NIODeadline) {
        guard isReceiving else { return }
        phase = .body
        phaseStart = now
        isFirst = false
        unanswered += 1
    }

    mutating func receivedEnd(now: NIODeadline) -> Action {
        switch phase {
        case .lingering:
            phase = .closed
            return .close
        case .head, .body, .idle:
            phase = .idle
            phaseStart = now
            return .nothing
        case .closed: return .nothing
        }
    }

    /// The connection is to close after the answer at hand.
    mutating func closeAfterAnswer() { closesAfterAnswer = true }

    /// - Returns: whether the head should say that the connection closes.
    mutating func beginsAnswer() -> Bool {
        hasBegunAnswer = true
        // What is left of the body is of no use, and no next request can be told from it.
        if phase == .body, unanswered == 1 { closesAfterAnswer = true }
        return closesAfterAnswer
    }

    mutating func endedAnswer(now: NIODeadline) -> Action {
        guard phase != .closed else { return .nothing }
        unanswered = max(0, unanswered - 1)
        hasBegunAnswer = false
        if let pending, unanswered == pending.remaining {
            phase = .closed
            return .refuse(pending.fault)
        }
        if phase == .body, unanswered == 0 {
            phase = .lingering
            phaseStart = now
            return .nothing
        }
        // A stream of HTTP/2 ends by itself.
        if closesAfterAnswer, unanswered == 0, !isMultiplexed {
            phase = .closed
            return .close
        }
        if phase == .idle { phaseStart = now }
        return .nothing
    }

    /// What came in is no HTTP.
    mutating func failed(_ fault: ProtocolFault) -> Action {
        guard isReceiving else { return .nothing }
        let isInBody = phase == .body
        let remaining = isInBody ? 1 : 0
        if unanswered > remaining || (isInBody && hasBegunAnswer) {
            // Answers go out in the order of requests.
            if isInBody, unanswered == 1 {
                phase = .closed
                return .close
            }
            pending = (fault, remaining)
            return .nothing
        }
        phase = .closed
        return .refuse(fault)
    }

    /// The deadline may have passed.
    mutating func checkDeadline(now: NIODeadline) -> Action {
        guard let deadline, deadline <= now else { return .nothing }
        switch phase {
        case .idle, .lingering:
            phase = .closed
            return .close
        case .head where unanswered > 0, .body where unanswered > 1:
            // An earlier request is being answered, so the connection is held anyway.
            phaseStart = now
            return .nothing
        case .head:
            phase = .closed
            return .refuse(.headTimeout)
        case .body:
            let begun = hasBegunAnswer
            phase = .closed
            return begun ? .close : .refuse(.bodyTimeout)
        case .closed: return .nothing
        }
    }

    mutating func closed() { phase = .closed }
}

/// What is wrong with a request as HTTP.
enum ProtocolFault: Error, Equatable, APIErrorConvertible {
    case headTimeout, bodyTimeout, headerTooLarge, malformed(String), version, missingHost, transferCoding

    var apiError: APIError {
        switch self {
        case .headTimeout, .bodyTimeout:
            APIError(.timeout, "The request did not arrive in time", code: "request_timeout")
        case .headerTooLarge:
            APIError(.invalidRequest, "The request's header is too large", code: "header_too_large")
        case .malformed(let what): .invalid("The request is not valid HTTP: \(what)", code: "malformed_request")
        case .version: .invalid("Only HTTP/1.0, HTTP/1.1 and HTTP/2 are spoken here", code: "http_version")
        case .missingHost: .invalid("The request must have exactly one Host", code: "malformed_request")
        case .transferCoding:
            APIError(.notImplemented, "Only the transfer coding 'chunked' is supported", code: "transfer_coding")
        }
    }

    /// The status line's code, which some faults have of their own.
    var status: Int {
        switch self {
        case .headerTooLarge: 431
        case .version: 505
        default: apiError.status.code
        }
    }
}
