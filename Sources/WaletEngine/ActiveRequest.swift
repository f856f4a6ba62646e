import WaletModels

/// A request and how far it has come. Only the engine's thread works with it.
final class ActiveRequest {
    enum State { case waiting, loading, running }

    /// Order of arrival.
    let id: Int
    let request: GenerationRequest
    let cancelled: CancellationFlag
    let continuation: AsyncThrowingStream<GenerationEvent, any Error>.Continuation
    let arrival: ContinuousClock.Instant
    /// Tokens of the answer, at most.
    let limit: Int

    var state = State.waiting
    /// Prompt, and the answer so far.
    private(set) var tokens: [Int]
    /// What has been run of them; nil while it waits.
    var sequence: SequenceState?
    var sampler: Sampler
    var constraint: (any TokenConstraint)?
    var speculator: Speculator?
    /// Where it speculates with one.
    let predictionLayer: PredictionLayer?
    /// Guesses that the next pass has after the tokens.
    var draft: [Int] = []
    var usage: GenerationUsage
    /// Whether full pages of the prompt are made in the expanded form.
    var expands = false
    /// So many of the sequence's first pages are canonical; see ``PrefixCache/Need``.
    var canonicalPages = 0
    /// Pages that others may hold too.
    var adoptedPages = 0
    /// Full pages that the prefix cache has been given.
    var keptPages = 0
    /// Prompt tokens that came from the disk before it was admitted.
    var loadedTokens = 0
    var promptScores: TokenScores?
    private var admitted: ContinuousClock.Instant?
    private var firstToken: ContinuousClock.Instant?
    private var passStart: ContinuousClock.Instant?

    init(
        id: Int, _ request: GenerationRequest, _ predictionLayer: PredictionLayer?, contextLength: Int,
        cancelled: CancellationFlag, continuation: AsyncThrowingStream<GenerationEvent, any Error>.Continuation
    ) {
        self.predictionLayer = predictionLayer
        self.id = id
        self.request = request
        self.cancelled = cancelled
        self.continuation = continuation
        arrival = ContinuousClock().now
        limit = min(request.maximumTokens ?? .max, contextLength - request.prompt.count)
        tokens = request.prompt
        sampler = Sampler(
            request.sampling, prompt: request.prompt, forbidden: request.forbidden, bias: request.logitBias)
        constraint = request.constraint
        usage = GenerationUsage(promptTokens: request.prompt.count)
        if request.scoresPrompt { promptScores = TokenScores(logprobs: [nil], top: []) }
    }

    var promptCount: Int { request.prompt.count }
    /// Tokens that have been run.
    var done: Int { sequence?.tokens.count ?? 0 }
    /// Tokens that have to be run before the next is drawn.
    var pending: Int { tokens.count - done }
    /// Its answer goes on: one row a pass.
    var isDecoding: Bool { state == .running && usage.answerTokens > 0 && pending == 1 }

    /// Takes it from the waiting ones.
    /// - Parameter cached: tokens that need not be run.
    func begin(cached: Int) {
        state = .running
        guard admitted == nil else { return }
        let now = ContinuousClock().now
        admitted = now
        usage.cachedTokens = cached
        usage.diskTokens = min(loadedTokens, cached)
        usage.queueSeconds = (now - arrival).seconds
        continuation.yield(.started(usage))
    }

    /// Gives up what has been run.
    func yield() {
        state = .waiting
        sequence = nil
        speculator = nil
        draft = []
        adoptedPages = 0
        keptPages = 0
        canonicalPages = 0
        // The prompt will be run from its beginning again.
        if promptScores != nil { promptScores = TokenScores(logprobs: [nil], top: []) }
    }

    /// Draws a token.
    /// - Parameter logits: `[vocabulary]`, changed.
    /// - Returns: it, and why the answer ends with it, if it does. A token that ends the answer is not part of it.
    func draw(_ logits: UnsafeMutableBufferPointer<Float>) -> (token: Int, end: FinishReason?) {
        let normalizer = request.logprobs.map { _ in TokenScores.normalizer(.init(logits)) }
        let top = normalizer.map { TokenScores.likeliest(request.logprobs ?? 0, .init(logits), $0) } ?? []
        // The sampler changes logits, so what the token's was is to be kept: nothing is where nobody asks.
        let raw = normalizer == nil ? [] : Array(logits)
        constraint?.mask(logits)
        let token = sampler.sample(logits)
        constraint?.accept(token)
        let now = ContinuousClock().now
        if usage.answerTokens == 0 {
            firstToken = now
            if let admitted { usage.prefillSeconds = (now - admitted).seconds }
        }
        if let firstToken { usage.decodeSeconds = (now - firstToken).seconds }
        if request.endTokens.contains(token) { return (token, .stop) }
        if let normalizer {
            continuation.yield(
                .logprob(TokenLogprob(id: token, logprob: Float(Double(raw[token]) - normalizer), top: top)))
        }
        usage.answerTokens += 1
        tokens.append(token)
        continuation.yield(.token(token, usage))
        speculator?.append(token)
        if usage.answerTokens >= limit { return (token, .length) }
        return (token, cancelled.isSet ? .cancelled : nil)
    }

    /// Takes in the times of passes and how guesses fared in the last one.
    func recordPass(drafted: Int, accepted: Int) {
        let now = ContinuousClock().now
        if let passStart {
            speculator?.record(drafted: drafted, accepted: accepted, duration: (now - passStart).seconds)
        }
        passStart = now
    }
}
