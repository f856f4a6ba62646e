import ArgumentParser
import Foundation
import WaletJSON
import WaletTrain

/// `walet train [run]`: one training run.
struct TrainRunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Trains by a recipe, or by a depth from which all else follows.",
        discussion: """
            Prints the recipe in full, then a line a step on standard error. Ctrl-C, SIGTERM or SIGUSR1 ends the run after the step
            with a checkpoint; --resume goes on, bit for bit as if nothing had been. At the end the model is in FOLDER/model,
            for `walet run` and for transformers.

            Built with the trait MPI, `mpirun -n N walet train …` trains on N processes: the first one prints and writes.
            """)

    @OptionGroup var arguments: TrainArguments

    func run() async throws { try arguments.run(.pretraining) }
}

/// `walet train sft`: a model learns to answer.
struct TrainSFTCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sft",
        abstract: "Fine-tunes a model on conversations: it learns the assistant's side.",
        discussion: """
            As `walet train run`, from the model of --model or model.from, on a data set of `walet train data --chat`. Whole
            conversations are packed one behind the other, each sees itself alone.
            """)

    @OptionGroup var arguments: TrainArguments

    func run() async throws { try arguments.run(.finetuning) }
}

/// `walet train qat`: a model learns to live with experts in 4 bits.
struct TrainQATCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "qat",
        abstract: "Trains a model with its routed experts in INT4, and stores them so.",
        discussion: """
            As `walet train run` with quantization.experts int4: each pass sees the experts as they will be stored, with a scale for
            each 32 weights, and the gradient goes straight through. The folder is compressed-tensors `pack-quantized`, as Kimi
            K2 Thinking's.
            """)

    @OptionGroup var arguments: TrainArguments

    func run() async throws { try arguments.run(.quantization) }
}

/// What all stages of training have in common.
struct RecipeArguments: ParsableArguments {
    @Argument(help: "A recipe; `walet train keys` lists what may stand there.") var recipe: String?
    @Option(
        name: .customLong("set"),
        help: ArgumentHelp("Another value for a key of the recipe; may be given several times.", valueName: "key=value")
    )
    var settings: [String] = []
    @Option(
        help: ArgumentHelp("The model to begin with; the same as --set model.from=…", valueName: "folder"))
    var model: String?
    @Option(help: ArgumentHelp("The run's folder.", valueName: "folder")) var out: String?
    @Flag(help: "Go on with the run in the folder, from its newest whole checkpoint.") var resume = false
    @Flag(help: "Print the recipe and what it comes to, and train nothing.") var dryRun = false
    @Option(help: "Worker threads; by default the physical cores. They do not change the result.") var threads: Int?
    @Flag(help: "Metrics as JSON, one a line, instead of the recipe.") var json = false

    func validate() throws {
        if let threads, !(1...1024).contains(threads) {
            throw ValidationError("--threads: expected a number from 1 to 1024, found \(threads)")
        }
        if out == nil, !dryRun { throw ValidationError("expected --out, the folder of the run") }
        if resume, dryRun { throw ValidationError("--resume and --dry-run exclude each other") }
    }

    /// The recipe of the file and the options; for a run that goes on, its own where nothing else is said.
    /// - Parameter more: further settings.
    func chosen(depth: Int? = nil, _ more: [String] = []) throws -> Recipe {
        let settings = settings + more + (model.map { ["model.from=\($0)"] } ?? [])
        if resume, recipe == nil, depth == nil, let out {
            _ = try Pretraining.recipe(of: out)
            return try Recipe(file: Pretraining.recipePath(of: out), settings: settings)
        }
        let chosen = try Recipe(depth: depth, file: recipe, settings: settings)
        // The vocabulary of the data, where the recipe names none.
        guard !chosen.isReinforcement, chosen.model.from.isEmpty,
            let size = try? TokenDataset.vocabularySize(in: chosen.data.folder)
        else { return chosen }
        return try Recipe(depth: depth, file: recipe, settings: settings, vocabularySize: size)
    }

    /// Prints a recipe in full, with each run; as data where nothing else is.
    func show(_ recipe: Recipe) throws {
        json ? Terminal.log(recipe.yaml) : Terminal.output(recipe.yaml)
        Terminal.log(try Self.summary(recipe))
    }

    private static func summary(_ recipe: Recipe) throws -> String {
        let parameters = try recipe.configuration().parameters
        let model =
            "\(Terminal.count(parameters.total)) parameters, \(Terminal.count(parameters.active)) active a token; "
        guard !recipe.isReinforcement else {
            let settings = recipe.reinforcement
            return model + "\(settings.steps) steps of \(settings.problems) problems with \(settings.answers) answers"
        }
        let flops = try recipe.flopsPerToken() * Double(recipe.training.tokens)
        return model + "\(Terminal.count(recipe.training.tokens)) tokens in \(recipe.steps) steps of "
            + "\(recipe.batch.sequences) x \(recipe.batch.length); \(String(format: "%.3g", flops)) FLOPs"
    }
}

/// What all stages that train on a data set have in common.
struct TrainArguments: ParsableArguments {
    enum Stage { case pretraining, finetuning, quantization }

    @OptionGroup var arguments: RecipeArguments
    @Option(help: "The dial: layers, and what follows from them.") var depth: Int?
    @Option(help: ArgumentHelp("The data set; the same as --set data.folder=…", valueName: "folder")) var data: String?
    #if MPI
        @Option(
            help: ArgumentHelp(
                "Under mpirun: how long another process may leave one waiting before it counts as lost.",
                valueName: "seconds"))
        var patience = 300.0
    #else
        private var patience: Double { 0 }
    #endif

    func validate() throws {
        if arguments.recipe == nil, depth == nil, !arguments.resume, !arguments.dryRun, arguments.model == nil {
            throw ValidationError("expected a RECIPE.yaml or --depth N")
        }
        #if MPI
            if !(patience > 0) { throw ValidationError("--patience: expected a number above 0, found \(patience)") }
        #endif
    }

    func run(_ stage: Stage) throws {
        if arguments.dryRun { return try arguments.show(try recipe(stage)) }
        guard let out = arguments.out else { return }
        // A limit on the size of files is then an error that names the file, as a full disk is, and not the end.
        signal(SIGXFSZ, SIG_IGN)
        let communicator = try Launch().communicator(patience: patience)
        let stop = StopSignals(isQuiet: communicator.rank > 0)
        let end: Pretraining.End
        do {
            end = try train(stage, into: out, communicator, stop)
            try communicator.end()
        } catch {
            if communicator.size > 1 { Self.endAll(communicator, error) }
            throw error
        }
        switch end {
        case .finished(let model):
            guard communicator.rank == 0 else { return }
            Terminal.log(
                "the model is in \(model): walet run "
                    + (stage == .pretraining ? "--raw \(model) 'Once'" : "\(model) 'What is 2 + 3?'"))
        case .stopped(let step):
            guard communicator.rank == 0 else { throw ExitCode.failure }
            throw StoppedTraining(signal: stop.name ?? "another process", step: step, folder: out)
        }
    }

    private func train(
        _ stage: Stage, into out: String, _ communicator: Communicator, _ stop: StopSignals
    ) throws -> Pretraining.End {
        let recipe = try recipe(stage)
        let (json, isFirst) = (arguments.json, communicator.rank == 0)
        if isFirst { try arguments.show(recipe) }
        let run = try Pretraining(
            recipe, folder: out, resuming: arguments.resume, threads: arguments.threads, communicator: communicator
        ) { event in
            if isFirst { Self.show(event, json) }
        }
        if isFirst, let peak = run.peakFlops {
            Terminal.log(
                String(format: "products of matrices reach %.0f GFLOP/s here; MFU is measured against that", peak / 1e9)
            )
        }
        return try run.run { stop.name != nil }
    }

    /// Ends all processes after an error of this one.
    private static func endAll(_ communicator: Communicator, _ error: any Error) -> Never {
        let isFirst = communicator.rank == 0
        // What is wrong for all is said by the first one, which ends this one meanwhile.
        if !isFirst, (error as? TrainingError)?.isLoss != true { Thread.sleep(forTimeInterval: 3) }
        Terminal.log("walet: " + (isFirst ? "" : "process \(communicator.rank): ") + Terminal.describe(error))
        communicator.abort(code: 1)
        Foundation.exit(1)
    }

    private func recipe(_ stage: Stage) throws -> Recipe {
        var settings: [String] = []
        if let data { settings.append("data.folder=\(data)") }
        if stage == .quantization { settings.append("quantization.experts=int4") }
        let recipe = try arguments.chosen(depth: depth, settings)
        if recipe.isReinforcement { throw ValidationError("a recipe with grpo.tasks is for walet train grpo") }
        if stage != .pretraining, recipe.model.from.isEmpty {
            throw ValidationError("expected --model, or model.from in the recipe: the model to begin with")
        }
        if stage == .finetuning, try !TokenDataset(folder: recipe.data.folder).isConversations {
            throw ValidationError(
                "\(recipe.data.folder) has documents; sft needs conversations, as walet train data --chat makes them")
        }
        return recipe
    }

    private static func show(_ event: Pretraining.Event, _ json: Bool) {
        switch event {
        case .step(let metrics, let line):
            Terminal.log(line)
            if json { Terminal.output(MetricsRecord.step(metrics).text + "\n") }
        case .validation(let metrics):
            Terminal.log(
                String(
                    format: "step %d  validation loss %.4f  %.4f bits/byte", metrics.step, metrics.loss,
                    metrics.bitsPerByte))
            if json { Terminal.output(MetricsRecord.validation(metrics).text + "\n") }
        case .sample(let metrics):
            let text = "\(metrics.prompt)|\(metrics.text)".replacing("\n", with: "↵")
            Terminal.log("step \(metrics.step)  wrote: " + Terminal.printable(text))
            if json { Terminal.output(MetricsRecord.sample(metrics).text + "\n") }
        case .note(let text): Terminal.log(Terminal.printable(text))
        }
    }
}
