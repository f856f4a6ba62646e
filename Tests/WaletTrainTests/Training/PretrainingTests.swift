import Foundation
import Testing
import WaletAutodiff
import WaletFormats
import WaletJSON

@testable import WaletTrain

/// Whole runs: what they leave, and what they refuse.
@Suite(.timeLimit(.minutes(10))) struct PretrainingTests {
    @Test(arguments: ["muonclip", "adamw", "muon"]) func aRunLeavesARecordAndAModel(_ optimizer: String) throws {
        let folder = TemporaryFolder()
        try TestData.dataset(in: folder)
        let recipe = try TestRun.recipe(
            folder, steps: 40, "training.optimizer=\(optimizer)", "model.prediction_layers=1",
            "training.learning_rate=0.03", "samples.every=20", "checkpoint.keep=2")
        let path = folder.file("run")
        #expect(try TestRun.run(recipe, path).end == .finished(model: path + "/model"))
        let run = try TrainingRun(folder: path)
        #expect(run.recipe == recipe && run.steps.map(\.step) == Array(1...40))
        #expect(run.validations.map(\.step) == stride(from: 3, through: 39, by: 3) + [40])
        #expect(run.samples.map(\.step) == [20, 40] && run.samples.allSatisfy { !$0.prompt.isEmpty })
        let (first, last) = (try #require(run.steps.first), try #require(run.steps.last))
        #expect(last.loss < first.loss - 0.5)
        #expect(last.bitsPerByte.isFinite && last.gradientNorm > 0 && last.tokens == 40 * 64)
        #expect(last.predictionLoss != nil && (last.balanceLoss ?? 0) > 0)
        // The model's layers and the prediction layer's.
        #expect(last.maximumLogits.count == 3 && last.clippedHeads.count == (optimizer == "muonclip" ? 3 : 0))
        #expect(last.expertTokens.map { $0.reduce(0, +) } == [128, 120])
        let best = try #require(run.validations.map(\.bitsPerByte).min())
        let checkpoints = try TestRun.checkpoints(path)
        #expect(checkpoints.suffix(2) == ["step-000000039", "step-000000040"])
        let kept = try #require(try CheckpointStore(folder: path + "/checkpoints", keep: 2).best())
        #expect(kept.snapshot.bitsPerByte == best && kept.snapshot.state.best?.bitsPerByte == best)

        let saved = try ModelFolder(path + "/model")
        let again = try TrainableModel(saved, try #require(Arena(threads: 1)))
        let newest = try Checkpoint(path: path + "/checkpoints/step-000000040")
        let weights = try #require(newest.snapshot.arrays[.weights])
        for array in weights {
            #expect(again.parameters.first { $0.name == array.name }?.tensor.values == array.values)
        }
        #expect(saved.configuration.endTokens == [1] && saved.configuration.beginToken == 0)
        #expect(try saved.tokenizerFiles().tokenizer != nil)
        #expect(try TestRun.run(recipe, path, resuming: true).end == .finished(model: path + "/model"))
    }

    @Test func threadsChangeNothing() throws {
        let folder = TemporaryFolder()
        try TestData.dataset(in: folder)
        let recipe = try TestRun.recipe(folder)
        try TestRun.run(recipe, folder.file("one"), threads: 1)
        try TestRun.run(recipe, folder.file("two"), threads: 2)
        try TestRun.expectSame(folder.file("one"), folder.file("two"))
    }

    @Test func aRunThatWasStoppedGoesOnAsIfNothingHadBeen() throws {
        let folder = TemporaryFolder()
        try TestData.dataset(in: folder)
        for recipe in [
            try TestRun.recipe(folder), try TestRun.recipe(folder, "training.optimizer=adamw", "memory.recompute=true"),
            try TestRun.recipe(folder, "memory.recompute=true", "memory.activations=bf16"),
        ] {
            let (plain, cut) = (folder.file("plain"), folder.file("cut"))
            try TestRun.run(recipe, plain)
            // Between two checkpoints, and at one.
            #expect(try TestRun.run(recipe, cut, stopAfter: 5).end == .stopped(step: 5))
            #expect(try TestRun.run(recipe, cut, resuming: true, stopAfter: 9).end == .stopped(step: 9))
            let (end, notes) = try TestRun.run(recipe, cut, resuming: true)
            #expect(end == .finished(model: cut + "/model"))
            #expect(notes.contains { $0.hasPrefix("resumed from \(cut)/checkpoints/step-000000009") })
            try TestRun.expectSame(plain, cut)
            try folder.remove("plain")
            try folder.remove("cut")
        }
    }

    @Test func aDamagedNewestCheckpointFallsBackAndSaysSo() throws {
        let folder = TemporaryFolder()
        try TestData.dataset(in: folder)
        let recipe = try TestRun.recipe(folder)
        let (plain, cut) = (folder.file("plain"), folder.file("cut"))
        try TestRun.run(recipe, plain)
        try TestRun.run(recipe, cut, stopAfter: 9)
        let newest = "cut/checkpoints/step-000000009/"
        var bytes = try folder.read(newest + "weights.safetensors")
        bytes[bytes.count / 2] ^= 1
        try folder.write(newest + "weights.safetensors", bytes)
        let (_, notes) = try TestRun.run(recipe, cut, resuming: true)
        #expect(notes.contains { $0.contains("step-000000009 is damaged: weights.safetensors") })
        #expect(notes.contains { $0.contains("resumed from") && $0.contains("step-000000006") })
        #expect(try TestRun.checkpoints(cut).contains("damaged-step-000000009"))
        let journal = try TrainingRun(folder: cut).journal
        #expect(journal.contains { if case .event(_, _, let text) = $0 { text.contains("damaged") } else { false } })
        try TestRun.expectSame(plain, cut)

        // All of them: an error that names each.
        for name in try TestRun.checkpoints(cut) where name.hasPrefix("step-") {
            try folder.remove("cut/checkpoints/\(name)/manifest.json")
        }
        guard
            case .checkpoint(.noneIntact(_, let reasons)) = TestRun.error({
                try TestRun.run(recipe, cut, resuming: true)
            })
        else {
            Issue.record("no error")
            return
        }
        #expect(reasons.count >= 3)
    }

    @Test func aRunIsNotBegunOnAnotherOneNorGoneOnWithWhereThereIsNone() throws {
        let folder = TemporaryFolder()
        try TestData.dataset(in: folder)
        let recipe = try TestRun.recipe(folder, steps: 3)
        let path = folder.file("run")
        #expect(TestRun.error { try TestRun.run(recipe, path, resuming: true) } == .noRun(folder: path))
        try TestRun.run(recipe, path)
        #expect(TestRun.error { try TestRun.run(recipe, path) } == .runExists(folder: path))
        // Two processes in one folder.
        let store = try CheckpointStore(folder: path + "/checkpoints", keep: 1)
        guard case .checkpoint(.storage(.locked)) = TestRun.error({ try TestRun.run(recipe, path, resuming: true) })
        else {
            Issue.record("no error")
            return
        }
        try store.finish()
    }

    @Test func aRunGoesOnWithItsRecipeAlone() throws {
        let folder = TemporaryFolder()
        try TestData.dataset(in: folder)
        let path = folder.file("run")
        try TestRun.run(try TestRun.recipe(folder), path, stopAfter: 6)
        #expect(
            TestRun.error {
                try TestRun.run(
                    try TestRun.recipe(folder, "training.weight_decay=0.2"), path, resuming: true)
            } == .recipeDiffers(key: "training.weight_decay", expected: "0.1", found: "0.2"))
        // How checkpoints are kept may change.
        let end = try TestRun.run(try TestRun.recipe(folder, "checkpoint.every=1"), path, resuming: true).end
        #expect(end == .finished(model: path + "/model"))
    }

    @Test func aRunGoesOnWithItsDataAlone() throws {
        let folder = TemporaryFolder()
        try TestData.dataset(in: folder)
        let path = folder.file("run")
        let recipe = try TestRun.recipe(folder)
        try TestRun.run(recipe, path, stopAfter: 6)
        // A shard that is gone.
        let shard = try #require(
            try FileManager.default.contentsOfDirectory(atPath: folder.file("data")).first {
                $0.hasPrefix("train-")
            })
        let bytes = try folder.read("data/" + shard)
        try folder.remove("data/" + shard)
        #expect(
            TestRun.error { try TestRun.run(recipe, path, resuming: true) }
                == .data(.shardMissing(path: folder.file("data/" + shard))))
        // One that was changed.
        var changed = bytes
        changed[146] ^= 1
        try folder.write("data/" + shard, changed)
        guard case .data(.shardDamaged) = TestRun.error({ try TestRun.run(recipe, path, resuming: true) }) else {
            Issue.record("no error")
            return
        }
        // Another data set of the same name.
        for name in ["data", "tokenizer"] { try folder.remove(name) }
        try TestData.dataset(in: folder, documents: 290)
        guard case .data(.datasetDiffers) = TestRun.error({ try TestRun.run(recipe, path, resuming: true) }) else {
            Issue.record("no error")
            return
        }
    }

    @Test func aModelWithFewerTokensThanTheDataIsRefused() throws {
        let folder = TemporaryFolder()
        try TestData.dataset(in: folder)
        let recipe = try Recipe(
            depth: 1, settings: ["model.vocabulary_size=290", "data.folder=\(folder.file("data"))"])
        #expect(
            TestRun.error { try TestRun.run(recipe, folder.file("run")) }
                == .vocabularyTooSmall(key: "model.vocabulary_size", size: 290, needed: 300))
        #expect(!FileManager.default.fileExists(atPath: folder.file("run")))
    }

    /// Decay beyond 1 makes each step turn the weights over and grow them: in the end nothing is finite.
    @Test func aRunThatDivergesEndsWithAnErrorAndKeepsGoodCheckpoints() throws {
        let folder = TemporaryFolder()
        try TestData.dataset(in: folder)
        let recipe = try TestRun.recipe(
            folder, steps: 200, "training.learning_rate=10", "training.weight_decay=10", "training.optimizer=adamw",
            "training.skip_limit=2", "checkpoint.every=1", "validation.every=0", "samples.every=0")
        let path = folder.file("run")
        let error = try #require(TestRun.error { try TestRun.run(recipe, path) })
        switch error {
        case .notFinite(let step, let inARow, _):
            #expect(inARow == 3)
            let run = try TrainingRun(folder: path)
            #expect(run.steps.suffix(2).allSatisfy { !$0.loss.isFinite || !$0.gradientNorm.isFinite })
            let events = run.journal.compactMap { if case .event(_, _, let text) = $0 { text } else { nil } }
            #expect(events.count { $0.contains("is not finite; nothing was changed") } == 2)
            #expect(events.last?.hasPrefix("ended: step \(step)") ?? false)
        case .weightNotFinite: break
        default: Issue.record("\(error)")
        }
        // What is kept is finite, and a run may go on from it.
        let store = try CheckpointStore(folder: path + "/checkpoints", keep: 3)
        let found = try #require(try store.restore())
        #expect(found.skipped.isEmpty)
        for array in found.checkpoint.snapshot.arrays[.weights] ?? [] {
            let isFinite = array.values.allSatisfy(\.isFinite)
            #expect(isFinite, "\(array.name)")
        }
    }

    @Test func theErrorsSayWhatToDo() {
        #expect("\(TrainingError.noRun(folder: "a"))".contains("no recipe.yaml"))
        #expect("\(TrainingError.runExists(folder: "a"))".contains("--resume"))
        #expect("\(TrainingError.unevenRanks(sequences: 3, ranks: 2))".contains("batch.sequences is 3"))
        #expect("\(CommunicationError.lost(operation: "sum", reason: "gone"))".contains("--resume"))
    }
}
