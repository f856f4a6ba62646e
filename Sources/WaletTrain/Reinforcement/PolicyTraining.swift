// A run of reinforcement: a model learns from its own answers to problems that a program checks.

import Foundation
import WaletAutodiff
import WaletTasks
import WaletText

/// A run of GRPO (DeepSeekMath, arXiv 2402.03300) with what DAPO and Dr. GRPO made of it, from its recipe to the folder of a
/// model.
///
/// A step draws problems, lets the model give a group of answers to each with the engine, rewards those that are right, and
/// makes the better ones of a group likelier. Groups that are all right or all wrong say nothing, so that other problems are
/// drawn in their place. The same recipe gives the same run, bit for bit, also when it was stopped and resumed.
public final class PolicyTraining {
    public enum Event: Sendable {
        case step(PolicyMetrics, seconds: Double)
        case validation(PolicyValidationMetrics)
        case note(String)
    }

    public let recipe: Recipe
    /// Steps that are done.
    public private(set) var step = 0
    private let settings: Recipe.Reinforcement
    private let tasks: ReinforcementTasks
    private let trainer: Trainer
    private let rollouts: PolicyRollouts
    private let tokenizer: Tokenizer
    private let objective: PolicyObjective
    /// The model that the run began with, where the divergence from it counts.
    private let reference: TrainableModel?
    private let rates: Schedule
    private let vocabulary: Checksum
    private var tokens = 0
    private let folder: RunFolder
    private let path: String
    private let report: (Event) -> Void

    /// Loads the model, or takes it from the newest checkpoint.
    /// - Parameters:
    ///   - path: the run's folder.
    ///   - resuming: whether to go on with the run in the folder.
    ///   - report: called with what happens.
    /// - Throws: ``TrainingError``.
    public init(
        _ recipe: Recipe, folder path: String, resuming: Bool = false, threads: Int? = nil,
        report: @escaping (Event) -> Void = { _ in }
    ) throws(TrainingError) {
        if resuming { try recipe.requireSameTraining(as: RunFolder.recipe(of: path)) }
        self.recipe = recipe
        self.path = path
        self.report = report
        settings = recipe.reinforcement
        tasks = try TrainingError.wrapping { try ReinforcementTasks(recipe.reinforcement) }
        guard let arena = threads.map({ Arena(threads: $0) }) ?? Arena() else { throw .noThreads }
        let from = recipe.model.from
        let encoder = try TrainingError.wrapping { try ConversationEncoder(folder: from) }
        tokenizer = encoder.tokenizer
        vocabulary = try TrainingError.wrapping {
            Checksum(of: try StorageFolder(from, create: false).contents(TokenDataset.vocabularyName, limit: 1 << 30))
        }
        let models = try TrainingError.wrapping {
            let start = try StartingModel(from)
            return (
                try start.model(recipe, arena),
                recipe.reinforcement.divergence > 0 ? try start.model(recipe, arena) : nil
            )
        }
        reference = models.1
        trainer = Trainer(models.0, Optimizer(models.0, recipe.optimizerRule, recipe.optimizerSettings))
        trainer.objective = recipe.objective
        trainer.keeping = recipe.keeping
        trainer.skipLimit = recipe.training.skipLimit
        if recipe.quantization.experts == .int4 { trainer.quantization = try ExpertQuantization(models.0) }
        rollouts = try PolicyRollouts(models.0, encoder, answerTokens: settings.answerTokens)
        objective = PolicyObjective(
            clipLow: Float(settings.clipLow), clipHigh: Float(settings.clipHigh),
            divergence: Float(settings.divergence))
        rates = recipe.learningRates
        func say(_ text: String) { report(.note(text)) }
        var checkpoint: Checkpoint?
        if resuming {
            (folder, checkpoint) = try RunFolder.resume(path, keep: recipe.checkpoint.keep, say: say)
        } else {
            folder = try RunFolder.create(path, recipe, say: say)
        }
        if let checkpoint {
            try trainer.restore(checkpoint)
            step = checkpoint.snapshot.state.step
            tokens = checkpoint.snapshot.state.loader.tokens
        }
        if resuming {
            try folder.note(
                checkpoint.map { "resumed from \($0.path)" }
                    ?? "resumed before the first checkpoint: from the beginning")
        }
    }

    /// Trains until all steps are done or the caller asks for a stop, and writes the model at the end.
    /// - Parameter shouldStop: asked after each step.
    /// - Throws: ``TrainingError``; the checkpoints that are there are whole in any case.
    public func run(until shouldStop: () -> Bool = { false }) async throws -> Pretraining.End {
        do {
            if step == 0 { try await validate() }
            while step < recipe.steps {
                try await takeStep()
                if step == recipe.steps { break }
                if shouldStop() {
                    if !isDue(recipe.checkpoint.every) { try save() }
                    try folder.finish()
                    try folder.note("stopped after step \(step)")
                    return .stopped(step: step)
                }
            }
            try folder.finish()
            let model = path + "/model"
            try ModelExport.write(trainer.model, recipe, tokenizer, of: recipe.model.from, to: model)
            return .finished(model: model)
        } catch {
            // What the engine or the formats refuse ends the run as its own errors do: a checkpoint under way is waited for.
            let error = error as? TrainingError ?? .reinforcement("\(error)")
            folder.abandon(error)
            throw error
        }
    }

    private func isDue(_ every: Int) -> Bool { every > 0 && step % every == 0 || step == recipe.steps }

    /// Of what is drawn at a step.
    private func seed(_ round: Int) -> UInt64 {
        (UInt64(recipe.seed) &* 0x2545_F491_4F6C_DD1D) ^ (UInt64(step) << 20 &+ UInt64(round)) &* 0x9E37_79B9_7F4A_7C15
    }

    private func takeStep() async throws {
        let begin = DispatchTime.now().uptimeNanoseconds
        let rate = rates.rate(at: step)
        var (drawn, learned): ([PolicyGroup], [PolicyGroup]) = ([], [])
        for round in 0...settings.redraws where learned.count < settings.problems {
            let problems = tasks.problems(settings.problems - learned.count, .train, seed: seed(round))
            let groups = try await shown {
                try await rollouts.groups(
                    problems, count: settings.answers, temperature: 1, seed: seed(1000 + round))
            }
            drawn += groups
            learned += groups.filter { !$0.isEven }
        }
        var metrics = PolicyMetrics(step: step + 1, learningRate: rate, drawn)
        metrics.learnedGroups = learned.count
        step += 1
        folder.step = step
        if !learned.isEmpty { try learn(from: learned, rate: rate, &metrics) }
        tokens += drawn.reduce(0) { $0 + $1.answers.reduce(0) { $0 + $1.tokens.count } }
        metrics.tokens = tokens
        if isDue(recipe.log.every) { try folder.append(.policy(metrics)) }
        report(.step(metrics, seconds: Double(DispatchTime.now().uptimeNanoseconds - begin) * 1e-9))
        if recipe.validation.every > 0, isDue(recipe.validation.every) { try await validate() }
        if isDue(recipe.checkpoint.every) { try save() }
        folder.collect()
    }

    /// Runs something with the weights as they will be stored.
    private func shown<Result>(_ body: () async throws -> Result) async throws -> Result {
        trainer.quantization?.round()
        defer { trainer.quantization?.restore() }
        return try await body()
    }

    private func learn(from groups: [PolicyGroup], rate: Double, _ metrics: inout PolicyMetrics) throws {
        let updates = min(settings.updates, groups.count)
        var findings = PolicyFindings()
        for number in 0..<updates {
            let part = groups[groups.count * number / updates..<groups.count * (number + 1) / updates]
            var update = PolicyUpdate(
                Array(part), settings, rows: recipe.batch.microSequences * recipe.batch.length)
            if let reference { update.addReference(reference) }
            let outcome = try trainer.step(rate: rate, parts: update.parts.count, step: step) { index, tape in
                let part = update.parts[index]
                let result = pass(part, tape)
                findings.add(part, result.tokenLosses, objective)
                return (result, part.batch, part.share)
            }
            metrics.loss = outcome.loss
            metrics.gradientNorm = outcome.gradientNorm
            if let place = outcome.notFinite {
                try folder.note("step \(step): \(place) is not finite; nothing was changed")
            }
            if number == 0 {
                // Before the first update the weights are those that answered.
                metrics.differenceMean = findings.differenceSum / Double(max(1, findings.tokens))
                metrics.differenceMaximum = findings.differenceMaximum
                guard metrics.differenceMean <= settings.agreement else {
                    throw TrainingError.policiesDiffer(
                        step: step, mean: metrics.differenceMean, bound: settings.agreement)
                }
            }
        }
        metrics.clippedFraction = Double(findings.clipped) / Double(max(1, findings.tokens))
    }

    private func pass(_ part: PolicyUpdate.Part, _ tape: Tape) -> TrainingPass {
        let model = trainer.model
        var objective = trainer.objective
        objective.share = Float(part.share)
        // What a prediction layer learns is the text, which is not given here.
        objective.prediction = 0
        var (states, pass) = model.hiddenStates(tape, part.batch, objective, keeping: trainer.keeping)
        let (rule, terms) = (self.objective, part.terms)
        let result = tape.crossEntropy(states, head: model.outputHead, targets: part.batch.targets) { row, loss in
            terms[row].map { rule($0, tokenLoss: loss) } ?? (0, 0)
        }
        pass.tokenLosses = result.tokenLosses
        // The trainer multiplies by the share again.
        pass.loss = part.share > 0 ? result.loss / part.share : 0
        return pass
    }

    private func validate() async throws {
        guard settings.validationProblems > 0 else { return }
        // The same ones each time.
        let problems = tasks.problems(settings.validationProblems, .heldOut, seed: UInt64(recipe.seed) &+ 77)
        let groups = try await shown {
            try await rollouts.groups(problems, count: 1, temperature: 0, seed: 0)
        }
        let answers = groups.flatMap(\.answers)
        let metrics = PolicyValidationMetrics(
            step: step, problems: answers.count,
            right: Double(answers.count { $0.isRight }) / Double(max(1, answers.count)),
            answerTokens: Double(answers.reduce(0) { $0 + $1.tokens.count }) / Double(max(1, answers.count)))
        try folder.append(.policyValidation(metrics))
        report(.validation(metrics))
    }

    private func save() throws(TrainingError) {
        if let name = trainer.weightThatIsNotFinite { throw .weightNotFinite(step: step, name: name) }
        var loader = LoaderState(dataset: vocabulary, seed: UInt64(recipe.seed))
        loader.tokens = tokens
        try folder.save {
            trainer.snapshot(
                TrainingState(
                    step: step, applied: trainer.optimizer.steps, skippedInARow: trainer.skippedInARow, loader: loader,
                    recipe: recipe.yaml))
        }
    }
}
