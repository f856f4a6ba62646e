// One request to a model as the metrics see it: begun, first output, further output, ended once.

import Synchronization

/// What a request took in the end.
public struct RequestTotals: Sendable, Equatable {
    public var promptTokens: Int
    /// Those of the prompt's tokens that came from the prefix cache.
    public var cachedTokens: Int
    /// Tokens of the answer, thinking included.
    public var answerTokens: Int
    public var thinkingTokens: Int
    public var draftedTokens: Int
    public var acceptedTokens: Int
    public var queueSeconds: Double
    public var prefillSeconds: Double
    public var decodeSeconds: Double

    public init(
        promptTokens: Int = 0, cachedTokens: Int = 0, answerTokens: Int = 0, thinkingTokens: Int = 0,
        draftedTokens: Int = 0, acceptedTokens: Int = 0, queueSeconds: Double = 0, prefillSeconds: Double = 0,
        decodeSeconds: Double = 0
    ) {
        self.promptTokens = promptTokens
        self.cachedTokens = cachedTokens
        self.answerTokens = answerTokens
        self.thinkingTokens = thinkingTokens
        self.draftedTokens = draftedTokens
        self.acceptedTokens = acceptedTokens
        self.queueSeconds = queueSeconds
        self.prefillSeconds = prefillSeconds
        self.decodeSeconds = decodeSeconds
    }
}

/// One request under way, from ``ServerMetrics/begin(_:model:key:n:maximumTokens:)`` to ``finish(_:_:)``, which counts
/// once. One that is dropped unfinished counts as ended by an error, so that none is lost.
public final class RequestObservation: Sendable {
    /// How a request ended.
    public enum Finish: String, CaseIterable, Sendable {
        case stop, length
        case toolCalls = "tool_calls"
        /// The client left or cancelled.
        case abort
        case error
    }

    /// The metrics that this request's labels lead to, looked up once.
    struct Meters: Sendable {
        let timeToFirstToken: Histogram
        let interTokenLatency: Histogram
        let timePerOutputToken: Histogram
        let latency: Histogram
        let queueTime: Histogram
        let prefillTime: Histogram
        let decodeTime: Histogram
        let promptLength: Histogram
        let answerLength: Histogram
        let promptTokens: Counter
        let cachedTokens: Counter
        let answerTokens: Counter
        let thinkingTokens: Counter
        let draftedTokens: Counter
        let acceptedTokens: Counter
        let keyPromptTokens: Counter
        let keyCachedTokens: Counter
        let keyAnswerTokens: Counter
        let inFlight: Gauge
        let finished: @Sendable (Finish) -> Counter
    }

    private let meters: Meters
    private let now: @Sendable () -> Double
    private let begun: Double
    private let state: Mutex<State>

    private struct State {
        var promptTokens = 0
        var cachedTokens = 0
        var lastOutput: Double?
        var isFinished = false
    }

    init(_ meters: Meters, now: @escaping @Sendable () -> Double) {
        self.meters = meters
        self.now = now
        begun = now()
        state = Mutex(State())
        meters.inFlight.add(1)
    }

    deinit { finish(.error) }

    /// The prompt is tokenized, and its cached part known.
    public func started(promptTokens: Int, cachedTokens: Int) {
        state.withLock { state in
            state.promptTokens = promptTokens
            state.cachedTokens = cachedTokens
        }
    }

    /// A piece of the answer came: thinking, text or a part of a tool call.
    public func output() {
        let time = now()
        let last = state.withLock { state in
            defer { state.lastOutput = time }
            return state.lastOutput
        }
        if let last {
            meters.interTokenLatency.observe(time - last)
        } else {
            meters.timeToFirstToken.observe(time - begun)
        }
    }

    /// The request ended before its totals were known; the prompt counts as far as it was told.
    public func finish(_ reason: Finish) {
        let (prompt, cached) = state.withLock { ($0.promptTokens, $0.cachedTokens) }
        finish(reason, RequestTotals(promptTokens: prompt, cachedTokens: cached))
    }

    /// The request ended.
    public func finish(_ reason: Finish, _ totals: RequestTotals) {
        let isFirst = state.withLock { state in
            defer { state.isFinished = true }
            return !state.isFinished
        }
        guard isFirst else { return }
        meters.inFlight.add(-1)
        meters.finished(reason).add()
        meters.latency.observe(now() - begun)
        meters.promptTokens.add(Double(totals.promptTokens))
        meters.cachedTokens.add(Double(totals.cachedTokens))
        meters.answerTokens.add(Double(totals.answerTokens))
        meters.thinkingTokens.add(Double(totals.thinkingTokens))
        meters.draftedTokens.add(Double(totals.draftedTokens))
        meters.acceptedTokens.add(Double(totals.acceptedTokens))
        meters.keyPromptTokens.add(Double(totals.promptTokens))
        meters.keyCachedTokens.add(Double(totals.cachedTokens))
        meters.keyAnswerTokens.add(Double(totals.answerTokens))
        // Times and lengths of requests that never ran would draw the distributions towards zero.
        guard totals.answerTokens > 0 else { return }
        meters.queueTime.observe(totals.queueSeconds)
        meters.prefillTime.observe(totals.prefillSeconds)
        meters.decodeTime.observe(totals.decodeSeconds)
        meters.promptLength.observe(Double(totals.promptTokens))
        meters.answerLength.observe(Double(totals.answerTokens))
        if totals.answerTokens > 1 {
            meters.timePerOutputToken.observe(totals.decodeSeconds / Double(totals.answerTokens - 1))
        }
    }
}
