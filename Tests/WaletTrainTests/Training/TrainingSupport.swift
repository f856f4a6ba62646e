import Foundation
import Testing
import WaletAutodiff
import WaletFormats
import WaletTrain

/// Small runs for tests: a model of some thousand parameters on a data set of some thousand tokens.
enum TestRun {
    /// Fast enough for dozens of runs: a step takes some milliseconds.
    static let settings = [
        "model.hidden_size=16", "model.heads=2", "model.kv_lora_rank=8", "model.qk_nope_head_dim=8",
        "model.qk_rope_head_dim=4", "model.v_head_dim=8", "model.dense_size=24", "model.experts=4",
        "model.expert_size=8", "model.vocabulary_size=300", "batch.length=16", "batch.sequences=4",
        "batch.micro_sequences=2", "training.learning_rate=0.01", "validation.tokens=64", "samples.tokens=4",
        "samples.prompt_tokens=4", "log.every=1",
    ]

    /// A recipe of some steps on the data set in a folder.
    static func recipe(_ folder: TemporaryFolder, steps: Int = 12, _ more: String...) throws -> Recipe {
        let usual =
            settings + [
                "training.tokens=\(steps * 64)", "data.folder=\(folder.file("data"))", "schedule.warmup_steps=2",
                "validation.every=3", "checkpoint.every=3", "samples.every=6",
            ]
        func key(_ setting: String) -> Substring { setting.prefix { $0 != "=" } }
        let given = Set(more.map(key))
        return try Recipe(depth: 2, settings: usual.filter { !given.contains(key($0)) } + more)
    }

    /// Runs to its end.
    /// - Returns: what it said.
    @discardableResult
    static func run(
        _ recipe: Recipe, _ folder: String, resuming: Bool = false, threads: Int? = 1, stopAfter: Int? = nil
    ) throws -> (end: Pretraining.End, notes: [String]) {
        let notes = Collected()
        let run = try Pretraining(recipe, folder: folder, resuming: resuming, threads: threads, measuringSpeed: false) {
            if case .note(let text) = $0 { notes.lines.append(text) }
        }
        return (try run.run { run.step == stopAfter }, notes.lines)
    }

    final class Collected { var lines: [String] = [] }

    static func error(_ body: () throws -> Void) -> TrainingError? {
        do { try body() } catch { return error as? TrainingError }
        return nil
    }

    /// Names of the checkpoints of a run.
    static func checkpoints(_ run: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: run + "/checkpoints").filter { $0 != "lock" }.sorted()
    }

    /// The bytes that two runs must have in common: all that was computed.
    static func results(_ run: String) throws -> [String: Data] {
        let last = try #require(try checkpoints(run).last { $0.hasPrefix("step-") })
        var files: [String: Data] = [:]
        for name in [
            "metrics.jsonl", "recipe.yaml", "model/model.safetensors", "model/config.json",
            "checkpoints/\(last)/weights.safetensors", "checkpoints/\(last)/optimizer.safetensors",
            "checkpoints/\(last)/state.safetensors", "checkpoints/\(last)/training.json",
        ] { files[name] = try Data(contentsOf: URL(filePath: run + "/" + name)) }
        return files
    }

    static func expectSame(_ left: String, _ right: String, _ place: SourceLocation = #_sourceLocation) throws {
        let (a, b) = (try results(left), try results(right))
        for (name, bytes) in a { #expect(b[name] == bytes, "\(name)", sourceLocation: place) }
    }
}
