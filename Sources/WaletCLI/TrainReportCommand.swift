import ArgumentParser
import Foundation
import WaletFormats
import WaletJSON
import WaletTrain

/// `walet train report`: runs as one page, and side by side.
struct TrainReportCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "report",
        abstract: "Compares runs in a table, and draws their curves into one HTML page that needs nothing else.",
        discussion: "Tools/plot_metrics.py draws the same curves as a PNG.")

    @Argument(help: "Folders of runs, also of one that is going on.") var runs: [String]
    @Option(help: ArgumentHelp("The page to write.", valueName: "file.html")) var out: String?
    @Flag(help: "The comparison as one JSON object.") var json = false

    func validate() throws {
        guard !runs.isEmpty else { throw ValidationError("expected a RUN") }
    }

    func run() async throws {
        let report = TrainingReport(try runs.map { try TrainingRun(folder: $0) })
        if let out {
            try report.write(to: out)
            Terminal.log("the report is in \(out)")
        }
        let comparison = report.comparison
        if json {
            Terminal.output(comparison.json.text() + "\n")
            return
        }
        let heads = [
            "RUN", "STEPS", "TOKENS", "LAST LOSS", "BEST BITS/BYTE", "TOKENS TO COMMON", "LARGEST LOGIT", "CLIPS",
            "DEAD EXPERTS", "TOKENS/S",
        ]
        let taught = comparison.summaries.filter { $0.lastRight != nil }
        func number(_ value: Double?, _ digits: Int) -> String {
            value.map { String(format: "%.\(digits)f", $0) } ?? "-"
        }
        let rows = comparison.summaries.map { run -> [String] in
            [
                run.name, "\(run.steps)", "\(run.tokens)", number(run.loss.isFinite ? run.loss : nil, 4),
                number(run.bestBitsPerByte, 4),
                number(run.tokensToCommon, 0), number(run.maximumLogit, 1), "\(run.clips)", "\(run.deadExperts)",
                number(run.tokensPerSecond, 0),
            ]
        }
        Terminal.output(Terminal.table([heads] + rows) + "\n")
        if !taught.isEmpty {
            let rows = taught.map { run in
                [run.name, number(run.firstRight.map { 100 * $0 }, 1), number(run.lastRight.map { 100 * $0 }, 1)]
            }
            Terminal.output("\n" + Terminal.table([["RUN", "% RIGHT AT FIRST", "% RIGHT AT LAST"]] + rows) + "\n")
        }
        guard runs.count > 1, !comparison.differences.isEmpty else { return }
        let names = comparison.summaries.map(\.name)
        let differences = comparison.differences.map { key, values in [key] + values.map { $0 ?? "-" } }
        Terminal.output("\n" + Terminal.table([["WHERE THE RECIPES DIFFER"] + names] + differences) + "\n")
    }
}

/// `walet train export`: a checkpoint as a published model.
struct TrainExportCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export", abstract: "Writes a checkpoint as a model folder, for `walet run` and transformers.")

    @Argument(help: "The folder of a run that is not going on.") var run: String
    @Argument(help: "The folder to write.") var out: String
    @Flag(help: "The checkpoint with the fewest bits per byte, not the newest.") var best = false
    @Flag(help: "BF16 weights, half the size, instead of fp32.") var half = false
    @Option(help: ArgumentHelp("Where the data set lies now, for its tokenizer.", valueName: "folder")) var data:
        String?

    func run() async throws {
        let step = try ModelExport.write(
            run: run, best: best, dataFolder: data, as: half ? .bf16 : .f32, to: out)
        Terminal.log("the model of step \(step) is in \(out)")
    }
}

/// `walet train keys`: what may stand in a recipe.
struct TrainKeysCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "keys", abstract: "Lists the keys of a recipe: what may stand there, and what it is for.")

    func run() async throws {
        let rows = Recipe.fields.map { [$0.name, $0.expected, $0.help] }
        Terminal.output(Terminal.table([["KEY", "VALUE", "WHAT IT IS"]] + rows) + "\n")
    }
}
