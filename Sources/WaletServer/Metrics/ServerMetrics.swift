// What the server counts, and the page that shows it.

import Synchronization

/// Where a request came in.
public enum Endpoint: String, CaseIterable, Sendable {
    case chatCompletions = "chat_completions"
    case completions, responses, messages
    case countTokens = "count_tokens"
    case tokenize, detokenize, models, other
}

/// Why a request was turned away.
public enum Refusal: String, CaseIterable, Sendable {
    case invalidRequest = "invalid_request"
    case authentication, permission
    case notFound = "not_found"
    case tooLarge = "too_large"
    case rateLimit = "rate_limit"
    case concurrency, budget
    case queueFull = "queue_full"
    case contextExceeded = "context_exceeded"
    case loading, draining, upstream, timeout
}

/// The metrics of one server process. The names follow vLLM's with the prefix `walet_`.
///
/// Values of labels are bounded: `model` shows the models that the server was told of, `key` the first keys seen, and
/// whatever is beyond is "other". Counting costs a few atomic additions; labels are looked up once a request.
public final class ServerMetrics: Sendable {
    /// What runs.
    public struct BuildInfo: Sendable {
        public var version: String
        public var instructionSet: String

        /// - Parameter instructionSet: what the kernels use, e.g. "avx512".
        public init(version: String, instructionSet: String) {
            self.version = version
            self.instructionSet = instructionSet
        }
    }

    private let build: BuildInfo
    private let now: @Sendable () -> Double
    private let process = ProcessMetrics()
    private let model: LabelBound
    private let key: LabelBound

    private let timeToFirstToken: MetricFamily<Histogram>
    private let interTokenLatency: MetricFamily<Histogram>
    private let timePerOutputToken: MetricFamily<Histogram>
    private let latency: MetricFamily<Histogram>
    private let queueTime: MetricFamily<Histogram>
    private let prefillTime: MetricFamily<Histogram>
    private let decodeTime: MetricFamily<Histogram>
    private let promptLength: MetricFamily<Histogram>
    private let answerLength: MetricFamily<Histogram>
    private let choices: MetricFamily<Histogram>
    private let maximumTokens: MetricFamily<Histogram>
    private let promptTokens: MetricFamily<Counter>
    private let cachedTokens: MetricFamily<Counter>
    private let answerTokens: MetricFamily<Counter>
    private let thinkingTokens: MetricFamily<Counter>
    private let draftedTokens: MetricFamily<Counter>
    private let acceptedTokens: MetricFamily<Counter>
    private let finished: MetricFamily<Counter>
    private let refusals: MetricFamily<Counter>
    private let inFlight: MetricFamily<Gauge>
    private let keyPromptTokens: MetricFamily<Counter>
    private let keyCachedTokens: MetricFamily<Counter>
    private let keyAnswerTokens: MetricFamily<Counter>
    private let keySpend: MetricFamily<Counter>
    private let exchanges: MetricFamily<Counter>
    private let exchangeTime: MetricFamily<Histogram>
    private let exchangesInFlight: MetricFamily<Gauge>
    private let state = Mutex(State())

    private struct State {
        var engines: [String: @Sendable () -> EngineSnapshot] = [:]
        var gauges: [(name: String, help: String, value: @Sendable () -> Double)] = []
    }

    /// - Parameter keyLimit: how many keys are shown by themselves.
    public convenience init(build: BuildInfo, keyLimit: Int = 1000) {
        let start = ContinuousClock.now
        self.init(build: build, keyLimit: keyLimit) { (ContinuousClock.now - start) / .seconds(1) }
    }

    /// - Parameter now: seconds of a clock that never goes back.
    init(build: BuildInfo, keyLimit: Int, now: @escaping @Sendable () -> Double) {
        self.build = build
        self.now = now
        let model = LabelBound("model", only: [String]())
        let key = LabelBound("key", first: keyLimit)
        let endpoint = LabelBound("endpoint", only: Endpoint.allCases.map(\.rawValue))
        let route = LabelBound("route", first: 100)
        self.model = model
        self.key = key

        func histogram(
            _ name: String, _ help: String, _ bounds: [Double], by label: LabelBound = model
        ) -> MetricFamily<Histogram> {
            MetricFamily(name, help, labels: [label]) { Histogram(bounds) }
        }
        func counter(_ name: String, _ help: String, by labels: LabelBound...) -> MetricFamily<Counter> {
            MetricFamily(name, help, labels: labels, make: Counter.init)
        }
        timeToFirstToken = histogram(
            "walet_time_to_first_token_seconds", "From a request's admission to its first output.", Buckets.firstToken)
        interTokenLatency = histogram(
            "walet_inter_token_latency_seconds", "Between two pieces of output of one request.", Buckets.token)
        timePerOutputToken = histogram(
            "walet_time_per_output_token_seconds",
            "Decode time of a request divided by its output tokens after the first.", Buckets.token)
        latency = histogram(
            "walet_e2e_request_latency_seconds", "From a request's admission to its end.", Buckets.request)
        queueTime = histogram(
            "walet_request_queue_time_seconds", "Time a request waited for the engine.", Buckets.request)
        prefillTime = histogram(
            "walet_request_prefill_time_seconds", "Time a request's prompt was worked on.", Buckets.request)
        decodeTime = histogram(
            "walet_request_decode_time_seconds", "From a request's first token to its last.", Buckets.request)
        promptLength = histogram(
            "walet_request_prompt_tokens", "Tokens of a request's prompt, cached ones included.", Buckets.tokens)
        answerLength = histogram(
            "walet_request_generation_tokens", "Tokens of a request's answers, thinking included.", Buckets.tokens)
        choices = histogram("walet_request_params_n", "Answers that a request asked for.", [1, 2, 5, 10, 20])
        maximumTokens = histogram(
            "walet_request_params_max_tokens", "Output tokens that a request allowed.", Buckets.tokens)
        promptTokens = counter("walet_prompt_tokens", "Prompt tokens, cached ones included.", by: model)
        cachedTokens = counter(
            "walet_prompt_tokens_cached", "Prompt tokens that came from the prefix cache.", by: model)
        answerTokens = counter("walet_generation_tokens", "Output tokens, thinking included.", by: model)
        thinkingTokens = counter("walet_reasoning_tokens", "Output tokens of thinking.", by: model)
        draftedTokens = counter("walet_spec_decode_num_draft_tokens", "Tokens guessed ahead.", by: model)
        acceptedTokens = counter(
            "walet_spec_decode_num_accepted_tokens", "Tokens guessed ahead that came true.", by: model)
        finished = counter(
            "walet_request_success", "Requests that ran, by how they ended.", by: model,
            LabelBound("finished_reason", only: RequestObservation.Finish.allCases.map(\.rawValue)))
        refusals = counter(
            "walet_requests_refused", "Requests turned away, by cause.",
            by: LabelBound("kind", only: Refusal.allCases.map(\.rawValue)), endpoint)
        inFlight = MetricFamily(
            "walet_requests_in_flight", "Requests between admission and end.", labels: [model, endpoint],
            make: Gauge.init)
        keyPromptTokens = counter("walet_key_prompt_tokens", "Prompt tokens of a key.", by: key, model)
        keyCachedTokens = counter(
            "walet_key_prompt_tokens_cached", "Prompt tokens of a key that came from the prefix cache.", by: key, model)
        keyAnswerTokens = counter("walet_key_generation_tokens", "Output tokens of a key.", by: key, model)
        keySpend = counter("walet_key_spend_usd", "What a key's settled requests cost, in USD.", by: key, model)
        let methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
        exchanges = counter(
            "walet_http_requests", "HTTP requests that were answered.", by: route,
            LabelBound("method", only: methods), LabelBound("status", only: (100...599).map(String.init)))
        exchangeTime = histogram(
            "walet_http_request_duration_seconds", "From an HTTP request's head to the end of its answer.",
            Buckets.request, by: route)
        exchangesInFlight = MetricFamily(
            "walet_http_requests_in_flight", "HTTP requests under way.", labels: [], make: Gauge.init)
    }

    /// Names the values of the label `model`; others are shown as "other".
    public func setModels(_ names: [String]) { model.admit(only: names) }

    /// Sets where the state of a model's engine comes from, which is asked at each scrape; nil where the model is
    /// unloaded.
    public func setEngine(_ model: String, _ snapshot: (@Sendable () -> EngineSnapshot)?) {
        state.withLock { $0.engines[model] = snapshot }
    }

    /// Adds a gauge that somebody else owns and that is read at each scrape, in place of one of the same name.
    public func gauge(_ name: String, _ help: String, _ value: @escaping @Sendable () -> Double) {
        state.withLock { state in
            state.gauges.removeAll { $0.name == name }
            state.gauges.append((name, help, value))
        }
    }

    public func httpStarted() { exchangesInFlight().add(1) }

    /// - Parameter route: the route's pattern, never the path that the client sent; nil where there is none.
    public func httpFinished(route: String?, method: String, status: Int, seconds: Double) {
        let route = route ?? LabelBound.other
        exchangesInFlight().add(-1)
        exchanges(route, method, String(status)).add()
        exchangeTime(route).observe(seconds)
    }

    /// A request was admitted and goes to a model.
    /// - Parameters:
    ///   - key: the key's public name, never its secret.
    ///   - n: answers that it asks for.
    public func begin(
        _ endpoint: Endpoint, model: String, key: String, n: Int = 1, maximumTokens: Int? = nil
    ) -> RequestObservation {
        choices(model).observe(Double(n))
        if let maximumTokens { self.maximumTokens(model).observe(Double(maximumTokens)) }
        let finished = finished
        let meters = RequestObservation.Meters(
            timeToFirstToken: timeToFirstToken(model), interTokenLatency: interTokenLatency(model),
            timePerOutputToken: timePerOutputToken(model), latency: latency(model), queueTime: queueTime(model),
            prefillTime: prefillTime(model), decodeTime: decodeTime(model), promptLength: promptLength(model),
            answerLength: answerLength(model), promptTokens: promptTokens(model), cachedTokens: cachedTokens(model),
            answerTokens: answerTokens(model), thinkingTokens: thinkingTokens(model),
            draftedTokens: draftedTokens(model), acceptedTokens: acceptedTokens(model),
            keyPromptTokens: keyPromptTokens(key, model), keyCachedTokens: keyCachedTokens(key, model),
            keyAnswerTokens: keyAnswerTokens(key, model), inFlight: inFlight(model, endpoint.rawValue),
            finished: { finished(model, $0.rawValue) })
        return RequestObservation(meters, now: now)
    }

    /// A request was turned away.
    public func refused(_ kind: Refusal, endpoint: Endpoint?) {
        refusals(kind.rawValue, (endpoint ?? .other).rawValue).add()
    }

    /// A request was settled in the ledger.
    public func spent(_ usd: Double, key: String, model: String) { keySpend(key, model).add(usd) }

    /// The page of a scrape.
    /// - Parameter accept: the header `Accept`, which picks the format.
    public func page(accept: String?) -> (contentType: String, body: String) {
        let format = MetricsPage.Format(accept: accept)
        return (format.contentType, MetricsPage(families()).text(format))
    }

    /// All families, in the order of the page. Each has its name and kind there even while it has no samples.
    func families() -> [MetricsPage.Family] {
        let (engines, gauges) = state.withLock { ($0.engines, $0.gauges) }
        let snapshots = engines.sorted { $0.key < $1.key }.map { (model: $0.key, snapshot: $0.value()) }
        let sources: [any MetricSource] = [
            finished, refusals, inFlight, promptTokens, cachedTokens, answerTokens, thinkingTokens, draftedTokens,
            acceptedTokens, timeToFirstToken, interTokenLatency, timePerOutputToken, latency, queueTime, prefillTime,
            decodeTime, promptLength, answerLength, choices, maximumTokens, keyPromptTokens, keyCachedTokens,
            keyAnswerTokens, keySpend, exchanges, exchangeTime, exchangesInFlight,
        ]
        let labels = [
            MetricLabel("version", build.version), MetricLabel("instruction_set", build.instructionSet),
        ]
        var families = [
            MetricsPage.Family("walet_build_info", .gauge, "What runs; always 1.", [MetricSample("", labels, 1)])
        ]
        families += EngineSnapshot.families(snapshots)
        families += sources.flatMap { $0.collect() }
        families += gauges.map { MetricsPage.Family($0.name, .gauge, $0.help, [MetricSample("", [], $0.value())]) }
        families += process.collect()
        return families
    }
}

/// Upper bounds of the histograms: vLLM's, begun lower, since small models on a CPU answer within a millisecond.
private enum Buckets {
    static let firstToken: [Double] = [
        0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160,
        640, 2560,
    ]
    static let token: [Double] = [
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20,
        40, 80,
    ]
    static let request: [Double] = [
        0.001, 0.005, 0.01, 0.05, 0.1, 0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480,
        960, 1920, 7680,
    ]
    static let tokens: [Double] = [
        1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000,
        1_000_000,
    ]
}
