import ArgumentParser

/// `walet train`: text in, a published model out.
struct TrainCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "train",
        abstract: "Trains a small sparse mixture-of-experts model, and what comes before and after.",
        discussion: """
            Without a subcommand: a training run from a recipe, `walet train RECIPE.yaml` or `walet train --depth N`;
            `walet train run --help` has its options.
            """,
        subcommands: [
            TrainRunCommand.self, TrainSFTCommand.self, TrainGRPOCommand.self, TrainQATCommand.self,
            TrainTokenizerCommand.self, TrainDataCommand.self, TrainReportCommand.self,
            TrainExportCommand.self, TrainKeysCommand.self, TrainProblemsCommand.self,
            TrainConversationsCommand.self,
        ],
        defaultSubcommand: TrainRunCommand.self)
}
