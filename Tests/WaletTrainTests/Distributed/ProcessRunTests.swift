import Foundation
import Testing
import WaletAutodiff

@testable import WaletTrain

/// Whole runs of several processes: what they leave, how they go on, and how they end.
@Suite(.timeLimit(.minutes(10))) struct ProcessRunTests {
    private static let sequences = 6

    private func recipe(_ folder: TemporaryFolder, _ more: String...) throws -> Recipe {
        let tokens = 12 * Self.sequences * 16
        return try Recipe(
            depth: 2,
            settings: TestRun.settings.filter { !$0.hasPrefix("batch.") } + [
                "batch.length=16", "batch.sequences=\(Self.sequences)", "batch.micro_sequences=1",
                "training.tokens=\(tokens)", "data.folder=\(folder.file("data"))", "schedule.warmup_steps=2",
                "validation.every=3", "checkpoint.every=3", "samples.every=6", "model.prediction_layers=1",
            ] + more)
    }

    /// How a process's run ended; the first one's word counts.
    @discardableResult
    private func run(
        _ ranks: Int, _ recipe: Recipe, _ path: String, resuming: Bool = false, stopAfter: Int? = nil
    ) throws -> Pretraining.End {
        let ends = try results(ranks, { _ in recipe }, path, resuming: resuming, stopAfter: stopAfter).map {
            try $0.get()
        }
        #expect(ends.allSatisfy { $0 == ends[0] })
        return ends[0]
    }

    private func results(
        _ ranks: Int, _ recipe: @escaping @Sendable (Int) -> Recipe, _ path: String, resuming: Bool = false,
        stopAfter: Int? = nil, lose: (rank: Int, after: Int)? = nil
    ) -> [Result<Pretraining.End, any Error>] {
        ThreadGroup.run(ranks, lose: lose) { communicator in
            let run = try Pretraining(
                recipe(communicator.rank), folder: path, resuming: resuming, threads: 1, measuringSpeed: false,
                communicator: communicator)
            // The last one alone is asked to stop.
            let end = try run.run { communicator.rank == ranks - 1 && run.step == stopAfter }
            try communicator.end()
            return end
        }
    }

    /// The largest distance of a weight or of what the optimizer remembers, relative to the largest number of its array.
    private func distance(_ left: String, _ right: String) throws -> Double {
        let name = try #require(try TestRun.checkpoints(left).last { $0.hasPrefix("step-") })
        let (a, b) = try (
            Checkpoint(path: left + "/checkpoints/" + name), Checkpoint(path: right + "/checkpoints/" + name)
        )
        var largest = 0.0
        for (kind, arrays) in a.snapshot.arrays {
            let others = try #require(b.snapshot.arrays[kind])
            #expect(arrays.map(\.name) == others.map(\.name))
            for (one, other) in zip(arrays, others) {
                largest = max(largest, distances(other.values, one.values).largest)
            }
        }
        return largest
    }

    /// Conversations, from a model, with experts in 4 bits: parts of a step are the same whoever takes them.
    @Test(arguments: [false, true]) func fineTuningOfSeveralIsThatOfOne(_ isApart: Bool) throws {
        let folder = TemporaryFolder()
        let recipe = try ChatRun.shared.get().tuning(
            steps: 6, ["quantization.experts=int4", "parallel.experts=\(isApart)"])
        let (one, two) = (folder.file("one"), folder.file("two"))
        try run(1, recipe, one)
        #expect(try run(2, recipe, two) == .finished(model: two + "/model"))
        #expect(try distance(one, two) < 1e-5)
        let runs = try [one, two].map { try TrainingRun(folder: $0) }
        for (a, b) in zip(runs[0].steps, runs[1].steps) {
            #expect(abs(a.loss / b.loss - 1) < 1e-5 && a.tokens == b.tokens && a.expertTokens == b.expertTokens)
        }
        for (a, b) in zip(runs[0].validations, runs[1].validations) { #expect(abs(a.loss / b.loss - 1) < 1e-5) }
        #expect(runs[0].samples.map(\.prompt) == runs[1].samples.map(\.prompt))
    }

    @Test(arguments: [false, true]) func aRunOfSeveralIsThatOfOne(_ isApart: Bool) throws {
        let folder = TemporaryFolder()
        try TestData.dataset(in: folder)
        let recipe = try recipe(folder, "parallel.experts=\(isApart)")
        let one = folder.file("one")
        try run(1, recipe, one)
        for ranks in [2, 3] {
            let several = folder.file("several-\(ranks)")
            #expect(try run(ranks, recipe, several) == .finished(model: several + "/model"))
            #expect(try distance(one, several) < 1e-5)
            let (a, b) = (try TrainingRun(folder: one), try TrainingRun(folder: several))
            #expect(a.steps.map(\.step) == b.steps.map(\.step))
            #expect(zip(a.steps, b.steps).allSatisfy { abs($0.loss / $1.loss - 1) < 1e-5 })
            #expect(zip(a.steps, b.steps).allSatisfy { $0.expertTokens == $1.expertTokens })
            #expect(zip(a.validations, b.validations).allSatisfy { abs($0.loss / $1.loss - 1) < 1e-5 })
            #expect(a.samples.map(\.prompt) == b.samples.map(\.prompt) && b.samples.count == 2)
            #expect(a.steps.allSatisfy { $0.sentBytes == nil && $0.exchanges == nil })
            #expect(b.steps.allSatisfy { ($0.sentBytes ?? 0) > 0 && ($0.exchanges ?? 0) >= 12 })
            let seconds = b.journal.compactMap {
                if case .speed(let speed) = $0 { speed.communicationSeconds } else { nil }
            }
            #expect(seconds.count > 5 && seconds.allSatisfy { $0 > 0 })
            // Repeated, all of it is the same, the bytes that were sent too.
            let again = folder.file("again-\(ranks)")
            try run(ranks, recipe, again)
            try TestRun.expectSame(several, again)
            // Stopped by one, and gone on with.
            let cut = folder.file("cut-\(ranks)")
            #expect(try run(ranks, recipe, cut, stopAfter: 5) == .stopped(step: 5))
            try run(ranks, recipe, cut, resuming: true)
            try TestRun.expectSame(several, cut)
        }
    }

    @Test func aRunGoesOnWithOtherNumbersOfProcesses() throws {
        let folder = TemporaryFolder()
        try TestData.dataset(in: folder)
        let (together, apart) = (try recipe(folder), try recipe(folder, "parallel.experts=true"))
        let (one, several) = (folder.file("one"), folder.file("several"))
        try run(1, together, one)
        try run(2, apart, several, stopAfter: 4)
        try run(1, together, several, resuming: true, stopAfter: 7)
        try run(3, apart, several, resuming: true, stopAfter: 9)
        #expect(try run(2, together, several, resuming: true) == .finished(model: several + "/model"))
        #expect(try distance(one, several) < 1e-5)
        let notes = try TrainingRun(folder: several).journal.compactMap {
            if case .event(_, _, let text) = $0 { text } else { nil }
        }
        #expect(notes.contains("3 processes train, each with a part of the experts"))
    }

    @Test(arguments: [0, 1], [false, true]) func aLostProcessEndsTheOthersAndTheLastCheckpointIsWhole(
        _ rank: Int, _ isApart: Bool
    ) throws {
        let folder = TemporaryFolder()
        try TestData.dataset(in: folder)
        let recipe = try recipe(folder, "parallel.experts=\(isApart)")
        let (plain, cut) = (folder.file("plain"), folder.file("cut"))
        try run(2, recipe, plain)
        // In the middle of a step after some checkpoints.
        let exchanges = isApart ? 400 : 120
        for (index, result) in results(2, { _ in recipe }, cut, lose: (rank, exchanges)).enumerated() {
            let reason = index == rank ? "this one" : "process \(rank) is gone"
            #expect(
                throws: TrainingError.communication(.lost(operation: "exchange", reason: reason))
            ) { try result.get() }
        }
        do {
            let store = try CheckpointStore(folder: cut + "/checkpoints", keep: 3)
            let found = try #require(try store.restore())
            #expect(found.skipped.isEmpty && (3..<12).contains(found.checkpoint.snapshot.state.step))
        }
        try run(3, recipe, cut, resuming: true)
        #expect(try distance(plain, cut) < 1e-5)
    }

    @Test func processesThatDoNotAgreeSaySo() throws {
        let folder = TemporaryFolder()
        try TestData.dataset(in: folder)
        let other = TemporaryFolder()
        try TestData.dataset(in: other, documents: 290)
        let recipes = [
            try recipe(folder), try recipe(folder, "training.weight_decay=0.2"), try recipe(other),
        ]
        for (second, what) in [(1, "recipe"), (2, "data set")] {
            for result in results(2, { recipes[$0 == 0 ? 0 : second] }, folder.file("run")) {
                #expect(throws: TrainingError.communication(.differs(what: what, rank: 1))) { try result.get() }
            }
        }
        #expect(!FileManager.default.fileExists(atPath: folder.file("run")))
        // The same data elsewhere are the same.
        let copy = try folder.copy()
        let elsewhere = [recipes[0], try recipe(copy)]
        for result in results(2, { elsewhere[$0] }, folder.file("run"), stopAfter: 1) {
            #expect(try result.get() == .stopped(step: 1))
        }
    }

    @Test func whatProcessesCannotShareIsRefused() throws {
        let folder = TemporaryFolder()
        try TestData.dataset(in: folder)
        let plain = try recipe(folder)
        for result in results(4, { _ in plain }, folder.file("run")) {
            #expect(throws: TrainingError.unevenRanks(sequences: 6, ranks: 4)) { try result.get() }
        }
        let apart = try recipe(folder, "parallel.experts=true")
        for result in results(6, { _ in apart }, folder.file("run")) {
            #expect(throws: TrainingError.tooFewExperts(experts: 4, ranks: 6)) { try result.get() }
        }
        #expect(throws: RecipeError.self) { try recipe(folder, "parallel.experts=true", "model.experts=0") }
    }
}
