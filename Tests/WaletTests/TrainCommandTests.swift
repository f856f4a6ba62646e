import Foundation
import Testing
import Walet

/// `walet train`: from text to a model that `walet run` runs, what it prints, with which exit code.
@Suite(.timeLimit(.minutes(10))) struct TrainCommandTests {
    private func start(_ arguments: [String]) throws -> (process: Process, output: Pipe, errors: Pipe) {
        let process = Process()
        process.executableURL = ToolRun.tool
        process.arguments = arguments
        let (output, errors) = (Pipe(), Pipe())
        process.standardOutput = output
        process.standardError = errors
        process.standardInput = FileHandle.nullDevice
        try process.run()
        return (process, output, errors)
    }

    private func walet(_ arguments: [String]) async throws -> ToolRun { try await ToolRun(arguments) }

    /// A vocabulary and a data set of made-up text.
    private func prepare(_ folder: CommandFolder) async throws {
        let words = ["river", "stone", "the", "runs", "over", "swiftlet", "a", "nest"]
        let lines = (0..<400).map { number in
            let text = (0..<20).map { words[(number * 7 + $0 * $0) % words.count] }.joined(separator: " ")
            return "{\"text\": \"\(text) \(number)\"}\n"
        }
        try folder.write("text.jsonl", lines.joined())
        let tokenizer = try await walet([
            "train", "tokenizer", folder.file("text.jsonl"), "--out", folder.file("tokenizer"), "--vocabulary-size",
            "300",
        ])
        #expect(tokenizer.code == 0 && tokenizer.errors.contains("300 tokens from"), "\(tokenizer.errors)")
        let data = try await walet([
            "train", "data", folder.file("text.jsonl"), "--tokenizer", folder.file("tokenizer"), "--out",
            folder.file("data"), "--validation-fraction", "0.1",
        ])
        #expect(data.code == 0 && data.output.contains("validation"), "\(data.errors)")
    }

    private func run(
        _ folder: CommandFolder, _ name: String, _ more: String..., tokens: Int = 1280, checkpoints: Int = 5
    ) -> [String] {
        let settings = [
            "model.hidden_size=16", "model.heads=2", "model.expert_size=8", "batch.length=16", "batch.sequences=4",
            "training.tokens=\(tokens)", "checkpoint.every=\(checkpoints)", "validation.every=5", "samples.tokens=4",
            "log.every=1",
        ]
        return [
            "train", "--depth", "2", "--data", folder.file("data"), "--out", folder.file(name), "--threads", "1",
        ] + settings.flatMap { ["--set", $0] } + more
    }

    @Test func textBecomesAModelThatWaletRuns() async throws {
        let folder = try CommandFolder("train")
        try await prepare(folder)
        let dry = try await walet(run(folder, "run", "--dry-run"))
        #expect(dry.code == 0 && dry.output.contains("\n  hidden_size: 16\n"))
        // The vocabulary is the data's where the recipe names none.
        #expect(dry.output.contains("\n  vocabulary_size: 300\n"))
        #expect(dry.errors.contains("in 20 steps of 4 x 16"))
        try folder.write("recipe.yaml", dry.output)
        let done = try await walet([
            "train", folder.file("recipe.yaml"), "--out", folder.file("run"), "--threads", "1",
        ])
        #expect(done.code == 0, "\(done.errors)")
        #expect(done.output == dry.output)
        #expect(done.errors.contains("step 20/20") && done.errors.contains("MFU"))
        #expect(done.errors.contains("bits/byte"))
        #expect(done.errors.contains("the model is in \(folder.file("run"))/model"))

        let answer = try await walet([
            "run", "--raw", folder.file("run/model"), "the river", "--max-tokens", "3", "--json",
        ])
        #expect(answer.code == 0 && answer.output.contains("\"finish\""), "\(answer.errors)")

        // The same again, other numbers: a report on both, and a model of a checkpoint.
        let second = try await walet(run(folder, "second", "--set", "training.optimizer=adamw", "--json"))
        #expect(second.code == 0, "\(second.errors)")
        let records = try second.output.split(separator: "\n").map { try JSONValue(parsing: String($0)) }
        #expect(records.count { $0["kind"] == "step" } == 20 && records.contains { $0["kind"] == "validation" })
        let page = folder.file("report.html")
        let report = try await walet(["train", "report", folder.file("run"), folder.file("second"), "--out", page])
        #expect(report.code == 0 && report.output.contains("TOKENS TO COMMON"))
        #expect(report.output.contains("training.optimizer") && report.output.contains("adamw"))
        let html = try String(contentsOfFile: page, encoding: .utf8)
        #expect(html.contains("<svg") && !html.contains("://"))
        let json = try await walet(["train", "report", folder.file("run"), "--json"]).json
        #expect(json?["runs"]?.arrayValue?.first?["steps"] == 20)
        let export = try await walet(["train", "export", folder.file("run"), folder.file("half"), "--best", "--half"])
        #expect(export.code == 0 && export.errors.contains("the model of step"), "\(export.errors)")
        let show = try await walet(["show", folder.file("half"), "--json"])
        #expect(show.code == 0, "\(show.errors)")
    }

    @Test func aSignalEndsARunWithACheckpointAndItGoesOn() async throws {
        let folder = try CommandFolder("train")
        try await prepare(folder)
        let (process, output, errors) = try start(run(folder, "run", tokens: 640_000, checkpoints: 0))
        let drain = Task.detached { output.fileHandleForReading.readDataToEndOfFile() }
        var text = ""
        while !text.contains("step     3/") {
            let bytes = errors.fileHandleForReading.availableData
            if bytes.isEmpty { break }
            text += String(decoding: bytes, as: UTF8.self)
        }
        kill(process.processIdentifier, SIGTERM)
        text += String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        _ = await drain.value
        process.waitUntilExit()
        #expect(process.terminationReason == .exit && process.terminationStatus == 1)
        #expect(text.contains("walet: stopped by SIGTERM after step"), "\(text)")
        let checkpoints = try FileManager.default.contentsOfDirectory(atPath: folder.file("run/checkpoints"))
        #expect(checkpoints.count { $0.hasPrefix("step-") } == 1)

        let other = try await walet([
            "train", "--resume", "--out", folder.file("run"), "--set", "seed=2", "--threads", "1",
        ])
        #expect(other.code == 1 && other.errors.contains("seed 1, not 2"), "\(other.errors)")
        let again = try start(["train", "--resume", "--out", folder.file("run"), "--threads", "1"])
        let rest = Task.detached { again.output.fileHandleForReading.readDataToEndOfFile() }
        var said = ""
        while !said.contains("resumed from") {
            let bytes = again.errors.fileHandleForReading.availableData
            if bytes.isEmpty { break }
            said += String(decoding: bytes, as: UTF8.self)
        }
        kill(again.process.processIdentifier, SIGKILL)
        _ = again.errors.fileHandleForReading.readDataToEndOfFile()
        _ = await rest.value
        again.process.waitUntilExit()
        #expect(said.contains("resumed from \(folder.file("run"))/checkpoints/step-"), "\(said)")
    }

    @Test func whatIsWrongIsSaidOnOneLineThatNamesIt() async throws {
        let folder = try CommandFolder("train")
        try folder.write("bad.yaml", "training:\n  learning_rat: 0.01\n")
        let bad = try await walet(["train", folder.file("bad.yaml"), "--out", folder.file("run")])
        #expect(bad.code == 1)
        #expect(
            bad.errors == "walet: \(folder.file("bad.yaml")), line 2: a recipe has no training.learning_rat; "
                + "did you mean training.learning_rate?\n")
        let set = try await walet(["train", "--depth", "2", "--set", "seed", "--out", folder.file("run")])
        #expect(set.code == 1 && set.errors.contains("--set seed: write key=value"))
        let data = try await walet(["train", "--depth", "2", "--data", folder.file("no"), "--out", folder.file("run")])
        #expect(data.code == 1 && data.errors.contains("no/dataset.json is not a data set"))
        let resume = try await walet(["train", "--resume", "--out", folder.file("no")])
        #expect(resume.code == 1 && resume.errors.contains("has no training run to go on with"))
        try folder.write("text.jsonl", "{\"text\": 1}\n")
        let text = try await walet([
            "train", "tokenizer", folder.file("text.jsonl"), "--out", folder.file("tokenizer"),
        ])
        #expect(text.code == 1 && text.errors.contains("text.jsonl, line 1: it has no string \"text\""))
        let report = try await walet(["train", "report", folder.path])
        #expect(report.code == 1 && report.errors.contains("metrics.jsonl does not exist"))
        for usage in [["train"], ["train", "--depth", "2"], ["train", "report"], ["train", "--depth", "x"]] {
            #expect(try await walet(usage).code == 2, "\(usage)")
        }
        #expect(!FileManager.default.fileExists(atPath: folder.file("run")))
    }

    #if !MPI
        /// Each of them would train a model of its own.
        @Test func severalProcessesWithoutMPIAreRefused() async throws {
            let folder = try CommandFolder("train")
            try await prepare(folder)
            let started = try await ToolRun(
                run(folder, "run"), environment: ["OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"])
            #expect(started.code == 1 && started.output == "")
            #expect(
                started.errors.hasPrefix("walet: mpirun started 2 processes")
                    && started.errors.contains("--traits MPI"), "\(started.errors)")
            #expect(!FileManager.default.fileExists(atPath: folder.file("run")))
        }
    #endif

    @Test func theKeysOfARecipeAreListed() async throws {
        let keys = try await walet(["train", "keys"])
        #expect(keys.code == 0 && keys.output.contains("training.learning_rate") && keys.output.contains("tau"))
    }
}
