import Foundation
import Synchronization
import WaletFormats
import WaletModels
import WaletTensor

/// Runs a model on a thread of its own, one request after the other.
public final class Engine: Sendable {
    public let model: Transformer
    /// Tokens of prompt and answer together, at most.
    public let contextLength: Int
    /// Workers of a forward pass.
    public let threads: Int
    public let precision: Precision
    private let loop: EngineLoop
    private let prediction = Mutex<PredictionLayer?>(nil)

    /// The instruction set that the kernels use.
    public var instructionSet: String { Hardware.instructionSet }

    /// - Parameters:
    ///   - threads: workers; by default the physical cores.
    ///   - contextLength: at most the model's own; by default all of it. Memory is taken as sequences grow.
    ///   - precision: how passes compute.
    /// - Throws: ``EngineError/parameter(name:expected:found:)`` where there cannot be so many threads.
    public init(
        _ model: Transformer, threads: Int? = nil, contextLength: Int? = nil, precision: Precision = .exact
    ) throws(EngineError) {
        self.model = model
        self.contextLength = min(contextLength ?? .max, model.configuration.contextLength)
        let loop = EngineLoop()
        self.loop = loop
        let configuration = model.configuration
        let threads = threads ?? Hardware.physicalCores
        guard (1...1024).contains(threads) else {
            throw .parameter(name: "threads", expected: "1 to 1024", found: "\(threads)")
        }
        guard let pool = ThreadPool(threads: threads) else {
            throw .parameter(name: "threads", expected: "as many as the system lets start", found: "\(threads)")
        }
        self.threads = pool.threads
        self.precision = precision
        let thread = Thread {
            loop.run(Workspace(configuration, pool: pool, precision: precision))
        }
        thread.name = "walet-engine"
        thread.stackSize = 8 << 20
        thread.start()
    }

    deinit { loop.stop() }

    /// An empty sequence, for requests that go on from one another.
    public func makeSequence() -> SequenceState {
        SequenceState(cache: KVCache(model.configuration, capacity: contextLength, precision: precision))
    }

    /// Starts an answer.
    /// - Returns: its tokens as they are made. Ending the iteration early stops the work within one token.
    /// - Throws: before any work: parameters out of range, an empty prompt, one that does not fit the context.
    public func generate(_ request: GenerationRequest) throws(EngineError) -> AsyncThrowingStream<
        GenerationEvent, any Error
    > {
        try request.sampling.validate()
        try prepare(request.speculation)
        try check(request.prompt)
        guard request.prompt.count < contextLength else {
            throw .contextExceeded(prompt: request.prompt.count, context: contextLength)
        }
        if let maximum = request.maximumTokens, maximum < 1 {
            throw .parameter(name: "max-tokens", expected: "1 or more", found: "\(maximum)")
        }
        let sequence = request.sequence ?? makeSequence()
        let cancelled = CancellationFlag()
        let (stream, continuation) = AsyncThrowingStream.makeStream(of: GenerationEvent.self)
        continuation.onTermination = { _ in cancelled.set() }
        let generation = Generation(
            model: model, predictionLayer: prediction.withLock { $0 }, request: request, sequence: sequence,
            contextLength: contextLength, cancelled: cancelled, continuation: continuation)
        loop.submit(.init(run: generation.run, refuse: { continuation.finish(throwing: EngineError.stopped) }))
        return stream
    }

    /// Makes sure that there is what a way of speculating needs. Requests do it themselves; this tells earlier.
    /// - Throws: ``EngineError/noPredictionLayer(named:)``, or for a number of guesses out of range.
    public func prepare(_ speculation: Speculation) throws(EngineError) {
        try speculation.validate()
        guard case .mtp = speculation else { return }
        let failure: EngineError? = prediction.withLock { layer in
            guard layer == nil else { return nil }
            do throws(FormatError) {
                layer = try model.makePredictionLayer()
                return layer == nil ? .noPredictionLayer(named: model.configuration.predictionLayers) : nil
            } catch {
                return .weights(error.description)
            }
        }
        if let failure { throw failure }
    }

    /// Scores a text as the model sees it.
    /// - Parameters:
    ///   - top: how many of the likeliest next tokens to give after each token.
    ///   - chunk: rows a pass, at most; 1 goes token by token.
    /// - Throws: ``EngineError``, or `CancellationError`.
    public func score(_ tokens: [Int], top: Int = 0, chunk: Int = .max) async throws -> TokenScores {
        try check(tokens)
        guard tokens.count <= contextLength else {
            throw EngineError.contextExceeded(prompt: tokens.count, context: contextLength)
        }
        guard top >= 0 else { throw EngineError.parameter(name: "top", expected: "0 or more", found: "\(top)") }
        guard chunk >= 1 else { throw EngineError.parameter(name: "chunk", expected: "1 or more", found: "\(chunk)") }
        let cancelled = CancellationFlag()
        let scoring = Scoring(
            model: model, tokens: tokens, top: min(top, model.configuration.vocabularySize), chunk: chunk,
            cancelled: cancelled)
        return try await withTaskCancellationHandler {
            try await perform(scoring.run)
        } onCancel: {
            cancelled.set()
        }
    }

    /// Runs work on the engine's thread, when its turn comes.
    func perform<Result: Sendable>(_ work: @escaping @Sendable (Workspace) throws -> Result) async throws -> Result {
        try await withCheckedThrowingContinuation { continuation in
            loop.submit(
                .init(
                    run: { space in
                        do {
                            continuation.resume(returning: try work(space))
                        } catch let error as FormatError {
                            continuation.resume(throwing: EngineError.weights(error.description))
                        } catch {
                            continuation.resume(throwing: error)
                        }
                    },
                    refuse: { continuation.resume(throwing: EngineError.stopped) }))
        }
    }

    func check(_ tokens: [Int]) throws(EngineError) {
        guard !tokens.isEmpty else { throw .emptyPrompt }
        let vocabulary = model.configuration.vocabularySize
        for token in tokens where token < 0 || token >= vocabulary {
            throw .tokenOutOfRange(token: token, vocabulary: vocabulary)
        }
    }
}

final class CancellationFlag: Sendable {
    private let flag = Atomic(false)
    var isSet: Bool { flag.load(ordering: .relaxed) }
    func set() { flag.store(true, ordering: .relaxed) }
}

/// The engine's queue and its thread's loop.
final class EngineLoop: Sendable {
    struct Job: Sendable {
        let run: @Sendable (Workspace) -> Void
        let refuse: @Sendable () -> Void
    }

    private struct State {
        var jobs: [Job] = []
        var stopped = false
    }

    private let state = Mutex(State())
    private let signal = DispatchSemaphore(value: 0)

    func submit(_ job: Job) {
        let accepted = state.withLock { state in
            if !state.stopped { state.jobs.append(job) }
            return !state.stopped
        }
        if accepted { signal.signal() } else { job.refuse() }
    }

    func stop() {
        state.withLock { $0.stopped = true }
        signal.signal()
    }

    func run(_ space: Workspace) {
        while true {
            signal.wait()
            let (job, stopped) = state.withLock { state in
                (state.jobs.isEmpty ? nil : state.jobs.removeFirst(), state.stopped)
            }
            if stopped {
                job?.refuse()
                for job in state.withLock({ $0.jobs }) { job.refuse() }
                return
            }
            job?.run(space)
        }
    }
}

/// One answer, from prompt to finish.
private struct Generation: Sendable {
    let model: Transformer
    let predictionLayer: PredictionLayer?
    let request: GenerationRequest
    let sequence: SequenceState
    let contextLength: Int
    let cancelled: CancellationFlag
    let continuation: AsyncThrowingStream<GenerationEvent, any Error>.Continuation

    func run(_ space: Workspace) {
        do {
            try generate(space)
            continuation.finish()
        } catch {
            // The sequence may lack rows of the pass that failed.
            sequence.removeAll()
            continuation.finish(throwing: EngineError.weights(error.description))
        }
    }

    private func generate(_ space: Workspace) throws(FormatError) {
        let clock = ContinuousClock()
        let start = clock.now
        var usage = GenerationUsage(promptTokens: request.prompt.count)
        sequence.keepPrefix(of: request.prompt)
        usage.cachedTokens = sequence.tokens.count
        let limit = min(request.maximumTokens ?? .max, contextLength - request.prompt.count)
        var speculator = Speculator(
            request, predictionLayer, sequence, capacity: request.prompt.count + limit, space)

        var pending = request.prompt[usage.cachedTokens...]
        let isLong = model.isLongPrompt(fresh: pending.count, cached: usage.cachedTokens)
        while let next = pending.first {
            if cancelled.isSet { return finish(.cancelled, usage) }
            let chunk = pending.prefix(space.batch.capacity)
            try speculator.makeRoom(for: chunk.count, in: sequence, next: next, space)
            try advance(chunk, ofLongPrompt: isLong, space)
            pending = pending.dropFirst(chunk.count)
            speculator.append(rows: 0..<chunk.count - (pending.isEmpty ? 1 : 0), space)
        }
        var sampler = Sampler(request.sampling, prompt: request.prompt, forbidden: request.forbidden)
        // The row that predicts the next token; the rows after it have run the guesses.
        var row = space.batch.count - 1
        var draft: [Int] = []
        var first = clock.now
        var passStart: ContinuousClock.Instant?
        while true {
            var accepted = 0
            func finish(_ reason: FinishReason) {
                keep(accepted, of: draft, row, speculator, space)
                self.finish(reason, usage)
            }
            if cancelled.isSet { return finish(.cancelled) }
            let logits = model.logits(ofRows: row..<row + draft.count + 1, space)
            var token: Int
            repeat {
                let vocabulary = model.configuration.vocabularySize
                token = sampler.sample(.init(start: logits + accepted * vocabulary, count: vocabulary))
                let comesTrue = accepted < draft.count && token == draft[accepted]
                let now = clock.now
                if usage.answerTokens == 0 {
                    first = now
                    usage.prefillSeconds = (now - start).seconds
                }
                usage.decodeSeconds = (now - first).seconds
                if request.endTokens.contains(token) { return finish(.stop) }
                usage.answerTokens += 1
                if comesTrue { usage.acceptedTokens += 1 }
                continuation.yield(.token(token, usage))
                if usage.answerTokens >= limit { return finish(.length) }
                if cancelled.isSet { return finish(.cancelled) }
                speculator.append(token)
                guard comesTrue else { break }
                accepted += 1
            } while true
            keep(accepted, of: draft, row, speculator, space)
            let now = clock.now
            if let passStart {
                speculator.record(
                    drafted: draft.count, accepted: accepted, duration: (now - passStart).seconds)
            }
            passStart = now
            draft = try speculator.draft(after: token, in: sequence, limit: limit - usage.answerTokens - 1, space)
            usage.draftedTokens += draft.count
            try advance([token] + draft, space)
            row = 0
        }
    }

    private func advance(
        _ tokens: ArraySlice<Int>, ofLongPrompt: Bool = false, _ space: Workspace
    ) throws(FormatError) {
        space.batch.removeAll()
        space.batch.append(tokens, to: sequence.cache, ofLongPrompt: ofLongPrompt)
        try model.forward(space)
        sequence.tokens.append(contentsOf: tokens)
    }

    /// Forgets the guesses at the sequence's end that did not come true.
    /// - Parameter row: of the last pass, before those of the guesses.
    private func keep(
        _ accepted: Int, of draft: [Int], _ row: Int, _ speculator: Speculator, _ space: Workspace
    ) {
        sequence.truncate(to: sequence.tokens.count - (draft.count - accepted))
        speculator.append(rows: row..<row + accepted + 1, space)
    }

    private func finish(_ reason: FinishReason, _ usage: GenerationUsage) {
        continuation.yield(.finished(reason, usage))
    }
}

/// One text's scores.
private struct Scoring: Sendable {
    let model: Transformer
    let tokens: [Int]
    let top: Int
    let chunk: Int
    let cancelled: CancellationFlag

    func run(_ space: Workspace) throws -> TokenScores {
        let vocabulary = model.configuration.vocabularySize
        let cache = KVCache(model.configuration, capacity: tokens.count, precision: space.precision)
        var scores = TokenScores(logprobs: [nil], top: [])
        scores.logprobs.reserveCapacity(tokens.count)
        var first = 0
        while first < tokens.count {
            if cancelled.isSet { throw CancellationError() }
            let rows = min(tokens.count - first, space.batch.capacity, chunk)
            space.batch.removeAll()
            space.batch.append(
                tokens[first..<first + rows], to: cache,
                ofLongPrompt: model.isLongPrompt(fresh: tokens.count, cached: 0))
            try model.forward(space)
            var row = 0
            while row < rows {
                let count = min(space.logitRows, rows - row)
                let logits = model.logits(ofRows: row..<row + count, space)
                for index in 0..<count {
                    let position = first + row + index
                    append(
                        UnsafeBufferPointer(start: logits + index * vocabulary, count: vocabulary),
                        next: position + 1 < tokens.count ? tokens[position + 1] : nil, to: &scores)
                }
                row += count
            }
            first += rows
        }
        return scores
    }

    private func append(_ logits: UnsafeBufferPointer<Float>, next: Int?, to scores: inout TokenScores) {
        let highest = logits.max() ?? 0
        var sum = 0.0
        for logit in logits { sum += exp(Double(logit - highest)) }
        let normalizer = Double(highest) + log(sum)
        if let next { scores.logprobs.append(Float(Double(logits[next]) - normalizer)) }
        guard top > 0 else { return }
        let order = logits.indices.sorted { logits[$0] != logits[$1] ? logits[$0] > logits[$1] : $0 < $1 }
        scores.top.append(order.prefix(top).map { .init(id: $0, logprob: Float(Double(logits[$0]) - normalizer)) })
    }
}

extension Duration {
    /// The duration in seconds.
    var seconds: Double {
        let (seconds, attoseconds) = components
        return Double(seconds) + Double(attoseconds) * 1e-18
    }
}
