import Foundation
import Synchronization
import WaletFormats
import WaletModels
import WaletTensor

/// Runs a model on a thread of its own, for many requests at once: each pass has rows of all of them.
///
/// What a request gets does not depend on the others, bit for bit. Requests share the pages of what they begin alike
/// with (``EngineOptions/cacheBytes``).
public final class Engine: Sendable {
    public let model: Transformer
    /// Tokens of prompt and answer together, at most.
    public let contextLength: Int
    /// Workers of a forward pass.
    public let threads: Int
    public let precision: Precision
    private let mailbox: Mailbox
    private let pool: PagePool
    private let options: EngineOptions
    package let store: PageStore?
    private let prediction = Mutex<PredictionLayer?>(nil)

    /// The instruction set that the kernels use.
    public static var instructionSet: String { Hardware.instructionSet }

    /// - Parameters:
    ///   - threads: workers; by default the physical cores.
    ///   - contextLength: at most the model's own; by default all of it. Memory is taken as sequences grow.
    ///   - precision: how passes compute.
    ///   - options: how requests share time and memory.
    /// - Throws: ``EngineError/parameter(name:expected:found:)`` where there cannot be so many threads, or for an option;
    ///   ``EngineError/store(_:)`` where the disk tier cannot be opened.
    public init(
        _ model: Transformer, threads: Int? = nil, contextLength: Int? = nil, precision: Precision = .exact,
        options: EngineOptions = EngineOptions()
    ) throws(EngineError) {
        try options.validate()
        self.model = model
        let contextLength = min(contextLength ?? .max, model.configuration.contextLength)
        self.contextLength = contextLength
        let mailbox = Mailbox()
        self.mailbox = mailbox
        self.options = options
        let configuration = model.configuration
        let pageBytes = KVCache(configuration, capacity: 0, precision: precision).pageBytes
        let bytes = options.cacheBytes ?? Int(clamping: ProcessInfo.processInfo.physicalMemory / 4)
        let pool = PagePool(pageBytes: pageBytes, limit: max(1, bytes / pageBytes))
        self.pool = pool
        // Numbers differ in their last bits from one instruction set to another.
        let secret = PageKey.secret(
            options.cacheSecret, model: options.modelIdentity,
            computing: "\(precision) \(Hardware.instructionSet) \(pageBytes)")
        var store: PageStore?
        if let root = options.storeFolder {
            let folder = root.appending(path: PageKey.folder(of: secret))
            do {
                store = try PageStore(folder: folder, pageBytes: pageBytes, limit: options.storeBytes)
            } catch {
                throw .store("\(folder.path): \(error.localizedDescription)")
            }
        }
        self.store = store
        let threads = threads ?? Hardware.physicalCores
        guard (1...1024).contains(threads) else {
            throw .parameter(name: "threads", expected: "1 to 1024", found: "\(threads)")
        }
        guard let workers = ThreadPool(threads: threads) else {
            throw .parameter(name: "threads", expected: "as many as the system lets start", found: "\(threads)")
        }
        self.threads = workers.threads
        self.precision = precision
        let thread = Thread { [store] in
            let space = Workspace(
                configuration, pool: workers, precision: precision, logitRows: min(64, max(16, options.maximumRunning)))
            EngineCore(
                model, space, mailbox, options: options, pool: pool, store: store, secret: secret,
                contextLength: contextLength
            ).run()
        }
        thread.name = "walet-engine"
        thread.stackSize = 8 << 20
        thread.start()
    }

    deinit { mailbox.stop() }

    /// An empty sequence, for requests that go on from one another.
    public func makeSequence() -> SequenceState {
        SequenceState(cache: KVCache(model.configuration, capacity: contextLength, precision: precision))
    }

    /// What it does and has done, as of the last pass.
    public var statistics: EngineStatistics {
        var statistics = mailbox.statistics
        statistics.store = store?.statistics
        statistics.experts = model.expertStore?.statistics
        statistics.pageBytes = pool.pageBytes
        statistics.pageLimit = pool.limit
        return statistics
    }

    /// Returns when the pages of requests that have ended are on disk.
    public func flushStore() { store?.flush() }

    /// Starts an answer.
    /// - Returns: its tokens as they are made. Ending the iteration early stops the work within one pass.
    /// - Throws: before any work: parameters out of range, an empty prompt, one that does not fit the context or the
    ///   cache, too many requests that wait.
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
        try check(request)
        let cancelled = CancellationFlag()
        let (stream, continuation) = AsyncThrowingStream.makeStream(of: GenerationEvent.self)
        continuation.onTermination = { _ in cancelled.set() }
        try mailbox.post(
            Mailbox.Arrival(
                request: request, predictionLayer: prediction.withLock { $0 }, cancelled: cancelled,
                continuation: continuation),
            options)
        return stream
    }

    private func check(_ request: GenerationRequest) throws(EngineError) {
        guard GenerationRequest.priorities.contains(request.priority) else {
            throw .parameter(name: "priority", expected: "-100 to 100", found: "\(request.priority)")
        }
        if let count = request.logprobs, !GenerationRequest.logprobCounts.contains(count) {
            throw .parameter(name: "logprobs", expected: "0 to 100", found: "\(count)")
        }
        for (token, value) in request.logitBias {
            try check([token])
            guard value.isFinite else {
                throw .parameter(name: "logit bias of token \(token)", expected: "a number", found: "\(value)")
            }
        }
        guard request.sequence == nil else { return }
        let capacity = pool.limit * KVCache.pageTokens
        guard request.prompt.count < capacity else {
            throw .contextExceeded(prompt: request.prompt.count, context: capacity)
        }
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
    ///   - routing: is told which experts the tokens choose.
    /// - Throws: ``EngineError``, or `CancellationError`.
    public func score(
        _ tokens: [Int], top: Int = 0, chunk: Int = .max, routing: RoutingTrace? = nil
    ) async throws -> TokenScores {
        try check(tokens)
        guard tokens.count <= contextLength else {
            throw EngineError.contextExceeded(prompt: tokens.count, context: contextLength)
        }
        guard top >= 0 else { throw EngineError.parameter(name: "top", expected: "0 or more", found: "\(top)") }
        guard chunk >= 1 else { throw EngineError.parameter(name: "chunk", expected: "1 or more", found: "\(chunk)") }
        let cancelled = CancellationFlag()
        let scoring = Scoring(
            model: model, tokens: tokens, top: min(top, model.configuration.vocabularySize), chunk: chunk,
            routing: routing, cancelled: cancelled)
        return try await withTaskCancellationHandler {
            try await perform(scoring.run)
        } onCancel: {
            cancelled.set()
        }
    }

    /// Runs work on the engine's thread, when its turn comes.
    func perform<Result: Sendable>(_ work: @escaping @Sendable (Workspace) throws -> Result) async throws -> Result {
        try await withCheckedThrowingContinuation { continuation in
            let job = Mailbox.Job(
                run: { space in
                    do {
                        continuation.resume(returning: try work(space))
                    } catch let error as FormatError {
                        continuation.resume(throwing: EngineError.weights(error.description))
                    } catch {
                        continuation.resume(throwing: error)
                    }
                },
                refuse: { continuation.resume(throwing: EngineError.stopped) })
            if !mailbox.post(job) { job.refuse() }
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
