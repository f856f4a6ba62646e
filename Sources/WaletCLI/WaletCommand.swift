import ArgumentParser
import Foundation
import Walet
import WaletPlan

/// `walet`: parse, call the library, print.
@main
struct WaletCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "walet",
        abstract: "Runs sparse mixture-of-experts reasoning models on hardware you own.",
        discussion: """
            MODEL is a folder of safetensors, a .gguf file, a name that `walet list` shows, or OWNER/NAME on a hub, which is
            pulled first. walet-nano, a small reasoning model, comes with Walet.
            Data goes to standard output, progress and logs to standard error.
            Exit codes: 0 done, 1 failed, 2 wrong usage.
            """,
        version: Version.current,
        subcommands: [
            RunCommand.self, ScoreCommand.self, TokenizeCommand.self, TemplateCommand.self, ShowCommand.self,
            ListCommand.self, PullCommand.self, RemoveCommand.self, VerifyCommand.self, PackCommand.self,
            BenchCommand.self, EvalCommand.self, ServeCommand.self, AuditCommand.self, KeysCommand.self,
            UsageCommand.self, PlanCommand.self, CostCommand.self, TrainCommand.self, ExportCommand.self,
        ])

    /// ArgumentParser's own `main` exits with 64 for wrong usage; the contract with scripts says 2.
    static func main() async {
        do {
            var command = try parseAsRoot()
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
        } catch {
            let code = exitCode(for: error)
            if code == .success || code == .validationFailure {
                let message = fullMessage(for: error)
                if !message.isEmpty { code == .success ? print(message) : Terminal.log(message) }
                Foundation.exit(code == .success ? 0 : 2)
            }
            if let exit = error as? ExitCode { Foundation.exit(exit.rawValue) }
            Terminal.log("walet: \(Terminal.describe(error))")
            Foundation.exit(1)
        }
    }
}

/// Which model, and how it is loaded: what several commands share.
struct ModelArguments: ParsableArguments {
    @Argument(help: "A folder of safetensors, a .gguf file, or a name that `walet list` shows.")
    var model = EmbeddedModel.name

    @Option(help: "Worker threads; by default the physical cores.")
    var threads: Int?

    @Option(help: "Arithmetic: 'fast' multiplies integers, 'exact' unpacks the weights and keeps all else in fp32.")
    var precision: Precision = .fast

    @Option(
        help: ArgumentHelp(
            "Weights in memory, at most, as in 3G: experts that do not fit are read from the files when they are chosen.",
            valueName: "size"))
    var memory: String?

    @Option(help: "With --memory: 'direct' reads past the page cache, 'buffered' through it, 'auto' tries both.")
    var expertReads: ExpertReads = .auto

    func validate() throws {
        _ = try memoryLimit
        if let threads, !(1...1024).contains(threads) {
            throw ValidationError("--threads: expected a number from 1 to 1024, found \(threads)")
        }
    }

    /// Bytes.
    var memoryLimit: Int? { get throws { try SizeOption.bytes(memory, "--memory") } }

    func load(contextLength: Int? = nil) async throws -> LanguageModel {
        try await Puller.pullIfNamed(model)
        var engine = EngineOptions()
        engine.memoryLimit = try memoryLimit
        engine.expertReads = expertReads
        return try await LanguageModel.load(
            model, threads: threads, contextLength: contextLength, precision: precision, engine: engine)
    }
}

extension ExpertReads: ExpressibleByArgument {}

extension Precision: ExpressibleByArgument {}

/// Options such as `64G`.
enum SizeOption {
    /// - Returns: bytes; nil for an option that was not given.
    /// - Throws: `ValidationError` for what is no size.
    static func bytes(_ text: String?, _ name: String) throws -> Int? {
        do throws(PlanError) {
            return try text.map { text throws(PlanError) in try Quantity.bytes(text, field: name) }
        } catch {
            throw ValidationError("\(error)")
        }
    }
}
