import ArgumentParser
import Foundation
import Synchronization
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

    @Argument(help: "A recipe; `walet train keys` lists what may stand there.") var recipe: String?
    @Option(help: "The dial: layers, and what follows from them.") var depth: Int?
    @Option(
        name: .customLong("set"),
        help: ArgumentHelp("Another value for a key of the recipe; may be given several times.", valueName: "key=value")
    )
    var settings: [String] = []
    @Option(help: ArgumentHelp("The data set; the same as --set data.folder=…", valueName: "folder")) var data: String?
    @Option(help: ArgumentHelp("The run's folder.", valueName: "folder")) var out: String?
    @Flag(help: "Go on with the run in the folder, from its newest whole checkpoint.") var resume = false
    @Flag(help: "Print the recipe and what it comes to, and train nothing.") var dryRun = false
    @Option(help: "Worker threads; by default the physical cores. They do not change the result.") var threads: Int?
    @Flag(help: "Metrics as JSON, one a line, instead of the recipe.") var json = false
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
        if let threads, !(1...1024).contains(threads) {
            throw ValidationError("--threads: expected a number from 1 to 1024, found \(threads)")
        }
        if recipe == nil, depth == nil, !resume, !dryRun {
            throw ValidationError("expected a RECIPE.yaml or --depth N")
        }
        if out == nil, !dryRun { throw ValidationError("expected --out, the folder of the run") }
        #if MPI
            if !(patience > 0) { throw ValidationError("--patience: expected a number above 0, found \(patience)") }
        #endif
        if resume, dryRun { throw ValidationError("--resume and --dry-run exclude each other") }
    }

    func run() async throws {
        if dryRun {
            let recipe = try chosenRecipe()
            Terminal.output(recipe.yaml)
            Terminal.log(try Self.summary(recipe))
            return
        }
        guard let out else { return }
        // A limit on the size of files is then an error that names the file, as a full disk is, and not the end.
        signal(SIGXFSZ, SIG_IGN)
        let communicator = try Launch().communicator(patience: patience)
        let stop = StopSignals(isQuiet: communicator.rank > 0)
        let end: Pretraining.End
        do {
            end = try train(into: out, communicator, stop)
            try communicator.end()
        } catch {
            if communicator.size > 1 { Self.endAll(communicator, error) }
            throw error
        }
        switch end {
        case .finished(let model):
            if communicator.rank == 0 { Terminal.log("the model is in \(model): walet run --raw \(model) 'Once'") }
        case .stopped(let step):
            guard communicator.rank == 0 else { throw ExitCode.failure }
            throw StoppedTraining(signal: stop.name ?? "another process", step: step, folder: out)
        }
    }

    private func train(
        into out: String, _ communicator: Communicator, _ stop: StopSignals
    ) throws -> Pretraining.End {
        let recipe = try chosenRecipe()
        let (json, isFirst) = (json, communicator.rank == 0)
        if isFirst {
            // In full with each run; as data where nothing else is.
            json ? Terminal.log(recipe.yaml) : Terminal.output(recipe.yaml)
            Terminal.log(try Self.summary(recipe))
        }
        let run = try Pretraining(
            recipe, folder: out, resuming: resume, threads: threads, communicator: communicator
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

    /// The recipe of the file and the options; for a run that goes on, its own where nothing else is said.
    private func chosenRecipe() throws -> Recipe {
        var settings = settings
        if let data { settings.append("data.folder=\(data)") }
        if resume, recipe == nil, depth == nil, let out {
            _ = try Pretraining.recipe(of: out)
            return try Recipe(file: Pretraining.recipePath(of: out), settings: settings)
        }
        let chosen = try Recipe(depth: depth, file: recipe, settings: settings)
        // The vocabulary of the data, where the recipe names none.
        guard let size = try? TokenDataset.vocabularySize(in: chosen.data.folder) else { return chosen }
        return try Recipe(depth: depth, file: recipe, settings: settings, vocabularySize: size)
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

    private static func summary(_ recipe: Recipe) throws -> String {
        let parameters = try recipe.configuration().parameters
        let flops = try recipe.flopsPerToken() * Double(recipe.training.tokens)
        return "\(Terminal.count(parameters.total)) parameters, \(Terminal.count(parameters.active)) active a token; "
            + "\(Terminal.count(recipe.training.tokens)) tokens in \(recipe.steps) steps of "
            + "\(recipe.batch.sequences) x \(recipe.batch.length); \(String(format: "%.3g", flops)) FLOPs"
    }
}

/// The end of a run that a person or a service manager asked for.
struct StoppedTraining: Error, CustomStringConvertible {
    let signal: String
    let step: Int
    let folder: String

    var description: String {
        "stopped by \(signal) after step \(step); a checkpoint of it is in \(folder)/checkpoints, --resume goes on"
    }
}

/// SIGINT and SIGTERM, and SIGUSR1, which `mpirun` passes on and batch systems send before they end a job: noted for whoever
/// looks between two steps. A second one ends the process at once.
///
/// Not a source of signals of Dispatch: on Linux one was seen to miss a SIGTERM under `mpirun`.
private struct StopSignals {
    private static let signals: [(number: Int32, name: String)] = [
        (SIGINT, "SIGINT"), (SIGTERM, "SIGTERM"), (SIGUSR1, "SIGUSR1"),
    ]
    /// What a handler may touch: numbers that are there before it is installed.
    private static let received = Atomic<Int32>(0)
    private static let isQuiet = Atomic<Bool>(false)

    var name: String? {
        let number = Self.received.load(ordering: .relaxed)
        return Self.signals.first { $0.number == number }?.name
    }

    /// - Parameter isQuiet: whether somebody else says that the run stops.
    init(isQuiet: Bool) {
        Self.received.store(0, ordering: .relaxed)
        Self.isQuiet.store(isQuiet, ordering: .relaxed)
        for (number, _) in Self.signals {
            signal(number) { number in
                StopSignals.received.store(number, ordering: .relaxed)
                signal(number, SIG_DFL)
                if StopSignals.isQuiet.load(ordering: .relaxed) { return }
                let text: StaticString = "stopping after this step; once more ends at once\n"
                _ = write(STDERR_FILENO, text.utf8Start, text.utf8CodeUnitCount)
            }
        }
    }
}
