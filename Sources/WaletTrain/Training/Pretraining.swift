// The whole run of a recipe: data in, a published model out.

import CWaletAutodiff
import Foundation
import WaletAutodiff
import WaletFormats
import WaletJSON
import WaletText

/// A run of pretraining, from its recipe to the folder of a model that `walet run` and transformers load.
///
/// ```swift
/// let run = try Pretraining(recipe, folder: "runs/a") { event in print(event) }
/// switch try run.run() {
/// case .finished(let model): print("the model is in \(model)")
/// case .stopped(let step): print("stopped after step \(step)")
/// }
/// ```
///
/// Nothing that is computed depends on the clock, the number of threads or on interruptions: weights and `metrics.jsonl` of
/// a run that was killed and resumed are those of a run that was not, bit for bit. Several processes share the sequences of
/// a step, and with `parallel.experts` the experts; all of them make one of these, and the first one writes. Sums over other
/// numbers of processes round elsewhere.
public final class Pretraining {
    /// What a run says while it goes on.
    public enum Event: Sendable {
        /// Metrics of a step, and a line about them for a person.
        case step(StepMetrics, line: String)
        case validation(ValidationMetrics)
        case sample(SampleMetrics)
        /// Something that a person should know, such as a checkpoint that could not be written.
        case note(String)
    }

    public enum End: Sendable, Equatable {
        /// All steps are done; the model's folder.
        case finished(model: String)
        /// The caller asked for a stop; a checkpoint of this step is there.
        case stopped(step: Int)
    }

    public let recipe: Recipe
    public let trainer: Trainer
    /// Steps that are done.
    public private(set) var step = 0
    /// FLOPs a second that utilization is measured against; nil where it is not measured.
    public let peakFlops: Double?

    private let dataset: TokenDataset
    private let tokenizer: Tokenizer
    private var loader: TokenLoader
    private let validation: ValidationMeasure?
    private let prompts: SamplePrompts?
    private var generator: RandomGenerator
    private var best: TrainingState.Best?
    private let rates: Schedule
    /// Of the process that writes; nil on the others.
    private var folder: RunFolder?
    private let path: String
    private let report: (Event) -> Void
    private var progress: ProgressLine

    /// Opens the data, makes the model or takes it from the newest checkpoint.
    /// - Parameters:
    ///   - path: the run's folder. A new run makes it; a run that goes on needs its `recipe.yaml`.
    ///   - resuming: whether to go on with the run in the folder. The recipe must then be the one that it was started with,
    ///     but for where data lie and how checkpoints are kept.
    ///   - threads: workers; nil for the physical cores, or this process's part of them. They change nothing in what is
    ///     computed.
    ///   - measuringSpeed: whether to measure what ``peakFlops`` is, a fifth of a second.
    ///   - report: called on the caller's thread with what happens.
    /// - Throws: ``TrainingError``.
    public init(
        _ recipe: Recipe, folder path: String, resuming: Bool = false, threads: Int? = nil,
        measuringSpeed: Bool = true, communicator: Communicator = Communicator(),
        report: @escaping (Event) -> Void = { _ in }
    ) throws(TrainingError) {
        guard recipe.batch.sequences % communicator.size == 0 else {
            throw .unevenRanks(sequences: recipe.batch.sequences, ranks: communicator.size)
        }
        let isApart = recipe.parallel.experts && communicator.size > 1
        guard !isApart || recipe.model.experts >= communicator.size else {
            throw .tooFewExperts(experts: recipe.model.experts, ranks: communicator.size)
        }
        try TrainingError.wrapping {
            try communicator.requireAlike("recipe", recipe.shared)
            try communicator.requireAlike("choice of --resume", [resuming ? 1 : 0])
        }
        if resuming { try recipe.requireSameTraining(as: RunFolder.recipe(of: path)) }
        self.recipe = recipe
        self.path = path
        self.report = report
        dataset = try TrainingError.wrapping { try TokenDataset(folder: recipe.data.folder) }
        guard dataset.vocabularySize <= recipe.model.vocabularySize else {
            throw .vocabularyTooSmall(
                key: "model.vocabulary_size", size: recipe.model.vocabularySize, needed: dataset.vocabularySize)
        }
        let tokenizer = try TrainingError.wrapping { [dataset] in try dataset.tokenizer() }
        self.tokenizer = tokenizer
        let bytes = TokenBytes(tokenizer)
        try TrainingError.wrapping { [dataset] in
            try communicator.requireAlike("data set", dataset.fingerprint.bytes)
        }
        guard let arena = Arena(threads: threads ?? communicator.threads) else { throw .noThreads }
        let exchange = isApart ? ExpertExchange(communicator) : nil
        peakFlops =
            measuringSpeed
            ? try TrainingError.wrapping { try communicator.sum([MatrixSpeed.measured(arena)])[0] } : nil
        let model = try TrainingError.wrapping { [dataset] in
            if recipe.model.from.isEmpty {
                return try TrainableModel(
                    try recipe.configuration(), arena, seed: UInt64(recipe.seed),
                    deviation: Float(recipe.model.initialDeviation), exchange: exchange)
            }
            return try StartingModel(recipe.model.from).model(recipe, arena, dataset, exchange: exchange)
        }
        trainer = Trainer(
            model,
            Optimizer(
                model, recipe.optimizerRule, recipe.optimizerSettings, rank: communicator.rank,
                ranks: communicator.size), communicator: communicator)
        if recipe.quantization.experts == .int4 { trainer.quantization = try ExpertQuantization(model) }
        trainer.objective = recipe.objective
        trainer.keeping = recipe.keeping
        trainer.tokenBytes = bytes
        trainer.skipLimit = recipe.training.skipLimit
        loader = try TrainingError.wrapping { [dataset] in try TokenLoader(dataset, seed: UInt64(recipe.seed)) }
        let hasValidation = !dataset.isConversations && dataset.tokens(.validation) > recipe.batch.length
        validation = try TrainingError.wrapping { [dataset] in
            // A split that was asked for and is too small is an error, one that nobody asked for is not.
            guard recipe.validation.every > 0, hasValidation || dataset.documents(.validation) > 0 else { return nil }
            return try ValidationMeasure(
                dataset, length: recipe.batch.length, tokens: recipe.validation.tokens,
                part: recipe.batch.microSequences, bytes)
        }
        prompts = try TrainingError.wrapping { [dataset] in
            try SamplePrompts(dataset, tokenizer, length: recipe.samples.promptTokens)
        }
        // Apart from the order of the data, which the seed draws too.
        generator = RandomGenerator(seed: UInt64(recipe.seed) ^ 0x5A3D_7E11)
        rates = recipe.learningRates
        let stepTokens = recipe.batch.sequences * recipe.batch.length
        progress = ProgressLine(
            steps: recipe.steps, tokensPerStep: stepTokens,
            flopsPerToken: try TrainingError.wrapping { try recipe.flopsPerToken() }, peakFlops: peakFlops)
        try begin(resuming)
    }

    // MARK: Beginning

    /// The recipe of a run, as it was started.
    /// - Throws: ``TrainingError/noRun(folder:)`` where the folder has none.
    public static func recipe(of folder: String) throws(TrainingError) -> Recipe { try RunFolder.recipe(of: folder) }

    /// Where a run has its recipe.
    public static func recipePath(of folder: String) -> String { RunFolder.recipePath(of: folder) }

    private func begin(_ resuming: Bool) throws(TrainingError) {
        let report = report
        func say(_ text: String) { report(.note(text)) }
        let communicator = trainer.communicator
        var checkpoint: Checkpoint?
        if communicator.rank == 0 {
            if resuming {
                (folder, checkpoint) = try RunFolder.resume(path, keep: recipe.checkpoint.keep, say: say)
            } else {
                folder = try RunFolder.create(path, recipe, say: say)
            }
        }
        if communicator.size > 1 {
            let place = try shared(checkpoint?.path, from: 0)
            if communicator.rank > 0, let place {
                checkpoint = try TrainingError.wrapping { try Checkpoint(path: place) }
            }
        }
        if let checkpoint { try restore(checkpoint) }
        if communicator.size > 1 {
            try folder?.note(
                "\(communicator.size) processes train"
                    + (trainer.model.exchange == nil ? "" : ", each with a part of the experts"))
        }
        if recipe.validation.every > 0, validation == nil {
            try folder?.note("the data set has no documents for validation, so nothing is validated")
        }
        if resuming {
            try folder?.note(
                checkpoint.map { "resumed from \($0.path)" }
                    ?? "resumed before the first checkpoint: from the beginning")
        }
    }

    /// A text of one process, on all; nil where that has none.
    private func shared(_ text: String?, from owner: Int) throws(TrainingError) -> String? {
        var bytes = [UInt8](repeating: 0, count: 4096)
        if let text { for (index, byte) in text.utf8.prefix(4095).enumerated() { bytes[index] = byte } }
        let sent = try TrainingError.wrapping { [bytes] in try trainer.communicator.broadcast(bytes, from: owner) }
        let used = sent.prefix { $0 != 0 }
        return used.isEmpty ? nil : String(decoding: used, as: UTF8.self)
    }

    private func restore(_ checkpoint: Checkpoint) throws(TrainingError) {
        let state = checkpoint.snapshot.state
        let started = try TrainingError.wrapping { try Recipe(yaml: state.recipe, name: checkpoint.path) }
        try recipe.requireSameTraining(as: started)
        try trainer.restore(checkpoint)
        loader = try TrainingError.wrapping { try TokenLoader(dataset, resuming: state.loader) }
        if let saved = state.generators["samples"] { generator = saved }
        best = state.best
        step = state.step
    }

    /// The step of the newest checkpoint that is durable; nil where there is none, and on processes that write none.
    public var lastCheckpoint: Int? {
        folder?.collect()
        return folder?.lastSaved
    }

    // MARK: Running

    /// Trains until all steps are done or the caller asks for a stop, and writes the model at the end.
    /// - Parameter shouldStop: asked after each step. A stop on one process stops all.
    /// - Throws: ``TrainingError``; the checkpoints that are there are whole in any case.
    public func run(until shouldStop: () -> Bool = { false }) throws(TrainingError) -> End {
        do throws(TrainingError) {
            progress.note(step: step, at: Self.seconds)
            while step < recipe.steps {
                try takeStep()
                if step == recipe.steps { break }
                if try trainer.maximum([shouldStop() ? 1 : 0])[0] > 0 {
                    // Scheduled ones are under way already.
                    if !isDue(recipe.checkpoint.every) { try save(validated: nil) }
                    try folder?.finish()
                    try folder?.note("stopped after step \(step)")
                    return .stopped(step: step)
                }
            }
            try folder?.finish()
            let model = path + "/model"
            try export(to: model)
            return .finished(model: model)
        } catch {
            folder?.abandon(error)
            throw error
        }
    }

    private static var seconds: Double { Double(DispatchTime.now().uptimeNanoseconds) * 1e-9 }

    /// Whether something that happens every so many steps happens now. At the last step everything does.
    private func isDue(_ every: Int) -> Bool { every > 0 && step % every == 0 || step == recipe.steps }

    private func takeStep() throws(TrainingError) {
        let batches = try nextBatches()
        let rate = rates.rate(at: step)
        let outcome = try trainer.step(rate: rate, batches, step: step + 1)
        step += 1
        folder?.step = step
        progress.note(step: step, at: Self.seconds)
        try record(outcome, rate: rate)
        var bitsPerByte: Double?
        if recipe.validation.every > 0, isDue(recipe.validation.every) { bitsPerByte = try validate() }
        if recipe.samples.every > 0, isDue(recipe.samples.every) { try sample() }
        if isDue(recipe.checkpoint.every) { try save(validated: bitsPerByte) }
        folder?.collect()
    }

    /// This process's sequences of the next batch, in parts of one pass each.
    private func nextBatches() throws(TrainingError) -> [TrainingBatch] {
        let (rank, ranks) = (trainer.communicator.rank, trainer.communicator.size)
        let own = recipe.batch.sequences / ranks
        let length = recipe.batch.length
        if dataset.isConversations {
            let share = stride(from: 0, to: own, by: recipe.batch.microSequences).map {
                min(recipe.batch.microSequences, own - $0) * length
            }
            let parts = (0..<ranks).flatMap { _ in share }
            return try TrainingError.wrapping {
                try loader.nextConversations(
                    parts: parts, length: length, wanted: rank * share.count..<(rank + 1) * share.count)
            }
        }
        let tokens = try TrainingError.wrapping {
            try loader.next(sequences: recipe.batch.sequences, length: length, rows: rank * own..<(rank + 1) * own)
        }
        let part = recipe.batch.microSequences * length
        return stride(from: 0, to: own * length, by: part).map { first in
            let range = first..<min(own * length, first + part)
            return TrainingBatch(
                tokens: Array(tokens.inputs[range]), targets: Array(tokens.targets[range]), length: length)
        }
    }

    private func record(_ outcome: StepOutcome, rate: Double) throws(TrainingError) {
        // Steps that changed nothing are recorded in any case.
        guard isDue(recipe.log.every) || !outcome.isApplied else { return }
        let observed = outcome.observed
        let isAlone = trainer.communicator.size == 1
        let metrics = StepMetrics(
            step: step, tokens: loader.state.tokens, loss: outcome.loss, bitsPerByte: outcome.bitsPerByte,
            learningRate: rate, gradientNorm: outcome.gradientNorm,
            balanceLoss: trainer.objective.balance > 0 ? outcome.balanceLoss : nil,
            predictionLoss: outcome.predictionLoss, maximumLogits: observed.largestLogits,
            clippedHeads: outcome.clippedHeads,
            expertTokens: observed.expertCounts.sorted { $0.key < $1.key }.map(\.value),
            sentBytes: isAlone ? nil : outcome.traffic.bytes, exchanges: isAlone ? nil : outcome.traffic.calls)
        try folder?.append(.step(metrics))
        if let speed = progress.tokensPerSecond {
            try folder?.append(
                SpeedMetrics(
                    step: step, seconds: Date().timeIntervalSince1970, tokensPerSecond: speed,
                    utilization: progress.utilization,
                    communicationSeconds: isAlone ? nil : outcome.traffic.seconds))
        }
        if let place = outcome.notFinite {
            try folder?.note(
                "step \(step): \(place) is not finite; nothing was changed "
                    + "(\(trainer.skippedInARow) of at most \(trainer.skipLimit) in a row)")
        }
        report(.step(metrics, line: progress.text(metrics)))
    }

    private func validate() throws(TrainingError) -> Double? {
        guard let validation else { return nil }
        trainer.quantization?.round()
        defer { trainer.quantization?.restore() }
        let (loss, bitsPerByte) = try validation.measure(trainer)
        let metrics = ValidationMetrics(
            step: step, tokens: loader.state.tokens, loss: loss, bitsPerByte: bitsPerByte)
        try folder?.append(.validation(metrics))
        report(.validation(metrics))
        if bitsPerByte.isFinite, best.map({ bitsPerByte < $0.bitsPerByte }) ?? true {
            best = TrainingState.Best(step: step, bitsPerByte: bitsPerByte)
        }
        progress.pause(at: Self.seconds)
        return bitsPerByte
    }

    private func sample() throws(TrainingError) {
        // Drawn on all processes alike.
        let place = prompts.map { generator.next(below: $0.count) }
        trainer.quantization?.round()
        defer { trainer.quantization?.restore() }
        try TrainingError.wrapping { try trainer.model.collectExperts() }
        defer { trainer.model.releaseExperts() }
        guard trainer.communicator.rank == 0 else { return }
        let prompt = try TrainingError.wrapping { () throws -> [Int32] in
            guard let prompts, let place else { return [Int32(truncatingIfNeeded: tokenizer.bosID ?? 0)] }
            return try prompts[place]
        }
        // A generator of its own for each sample: how many numbers it takes must not matter to other processes.
        var own = RandomGenerator(seed: UInt64(recipe.seed) &+ UInt64(step) &* 0x9E37_79B9)
        let tokens = try TrainingError.wrapping {
            try TextSampler(trainer.model, endToken: prompts?.endToken ?? tokenizer.eosID).tokens(
                after: prompt, count: recipe.samples.tokens, temperature: recipe.samples.temperature, &own)
        }
        // Of conversations the marks are shown: whether a model knows them is what one wants to see.
        func text(_ tokens: [Int32]) -> String {
            tokenizer.decode(tokens.map { Int($0) }, skipSpecial: !dataset.isConversations)
        }
        let metrics = SampleMetrics(step: step, prompt: text(prompt), text: text(tokens))
        try folder?.append(.sample(metrics))
        report(.sample(metrics))
        progress.pause(at: Self.seconds)
    }

    // MARK: Saving

    private func save(validated bitsPerByte: Double?) throws(TrainingError) {
        let name = trainer.weightThatIsNotFinite
        if let owner = try TrainingError.wrapping({ try trainer.communicator.first(where: name != nil) }) {
            throw .weightNotFinite(step: step, name: try shared(name, from: owner) ?? "")
        }
        try trainer.collect()
        defer { trainer.releaseCollected() }
        try folder?.save {
            var snapshot = trainer.snapshot(
                TrainingState(
                    step: step, applied: trainer.optimizer.steps, skippedInARow: trainer.skippedInARow,
                    loader: loader.state, generators: ["samples": generator], recipe: recipe.yaml, best: best))
            snapshot.bitsPerByte = bitsPerByte
            return snapshot
        }
    }

    /// Writes the model as it is now, as a published folder with its tokenizer. Called on all processes; the first one
    /// writes.
    public func export(to path: String) throws(TrainingError) {
        try TrainingError.wrapping { try trainer.model.collectExperts() }
        defer { trainer.model.releaseExperts() }
        guard trainer.communicator.rank == 0 else { return }
        try ModelExport.write(trainer.model, recipe, tokenizer, of: dataset.folder, to: path)
    }
}
