import ArgumentParser
import Foundation
import WaletTrain

/// `walet train grpo`: a model learns from its own answers.
struct TrainGRPOCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "grpo",
        abstract:
            "Reinforcement learning: a model answers problems that programs check, and learns from what was right.",
        discussion: """
            The recipe's grpo.tasks say which problems (walet train problems --list), and model.from or --model from which model.
            Each step draws problems, lets the engine give a group of answers to each, and makes those likelier that are
            better than their group. Prints a line a step; Ctrl-C ends the run with a checkpoint, --resume goes on.
            """)

    @OptionGroup var arguments: RecipeArguments

    func run() async throws {
        let recipe = try arguments.chosen()
        guard recipe.isReinforcement else {
            throw ValidationError("expected grpo.tasks in the recipe: the problems to learn from")
        }
        try arguments.show(recipe)
        guard !arguments.dryRun, let out = arguments.out else { return }
        signal(SIGXFSZ, SIG_IGN)
        let stop = StopSignals(isQuiet: false)
        let json = arguments.json
        let run = try PolicyTraining(recipe, folder: out, resuming: arguments.resume, threads: arguments.threads) {
            Self.show($0, recipe, json)
        }
        switch try await run.run(until: { stop.name != nil }) {
        case .finished(let model): Terminal.log("the model is in \(model): walet run \(model) 'What is 2 + 3?'")
        case .stopped(let step):
            throw StoppedTraining(signal: stop.name ?? "a signal", step: step, folder: out)
        }
    }

    private static func show(_ event: PolicyTraining.Event, _ recipe: Recipe, _ json: Bool) {
        switch event {
        case .step(let metrics, let seconds):
            Terminal.log(
                String(
                    format: "step %d/%d  right %.1f%%  well-formed %.1f%%  %.0f tokens  learned from %d of %d groups  "
                        + "clipped %.2f%%  engine and trainer %.1e apart  %.1f s", metrics.step, recipe.steps,
                    100 * metrics.right, 100 * metrics.wellFormed, metrics.answerTokens, metrics.learnedGroups,
                    metrics.drawnGroups, 100 * metrics.clippedFraction, metrics.differenceMean, seconds))
            if json { Terminal.output(MetricsRecord.policy(metrics).text + "\n") }
        case .validation(let metrics):
            Terminal.log(
                String(
                    format: "step %d  %.1f%% of %d held-out problems right, %.0f tokens an answer", metrics.step,
                    100 * metrics.right, metrics.problems, metrics.answerTokens))
            if json { Terminal.output(MetricsRecord.policyValidation(metrics).text + "\n") }
        case .note(let text): Terminal.log(Terminal.printable(text))
        }
    }
}
