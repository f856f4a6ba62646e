// A process for the tests of WaletTrain: to kill it while it saves, to fill its disk, to train a vocabulary beside the
// reference.

import Foundation
import WaletTrain

@main struct WaletTrainWorker {
    static func main() {
        let arguments = Array(CommandLine.arguments.dropFirst())
        do {
            switch arguments.first {
            case "save": try save(arguments[1], numbers: Int(arguments[2]) ?? 0)
            case "fill": try fill(arguments[1], limit: Int(arguments[2]) ?? 0)
            case "fill-data": try fillData(arguments[1], limit: Int(arguments[2]) ?? 0)
            case "hold": try hold(arguments[1])
            case "pretrain":
                try pretrain(
                    arguments[1], arguments[2], resuming: arguments.contains("resume"),
                    until: arguments.count > 4 ? Int(arguments[4]) : nil)
            case "pretrain-full":
                try pretrain(
                    arguments[1], arguments[2], resuming: false, until: nil,
                    limit: (Int(arguments[3]) ?? 0, Int(arguments[4]) ?? 0))
            case "tokenizer": try tokenizer(Int(arguments[1]) ?? 0, arguments[2], Array(arguments[3...]))
            default:
                fail(
                    "save FOLDER NUMBERS | fill FOLDER BYTES | fill-data FOLDER BYTES | hold FOLDER | "
                        + "pretrain RECIPE FOLDER [resume | until STEP] | pretrain-full RECIPE FOLDER STEP BYTES | "
                        + "tokenizer SIZE OUT FILE…")
            }
        } catch {
            fail("\(error)")
        }
    }

    static func fail(_ message: String) -> Never {
        FileHandle.standardError.write(Data("\(message)\n".utf8))
        exit(1)
    }

    /// At once: whoever kills this process must have read what it has confirmed.
    static func say(_ line: String) { FileHandle.standardOutput.write(Data("\(line)\n".utf8)) }

    /// A run whose numbers follow from those before alone.
    static func snapshot(after snapshot: CheckpointSnapshot?, numbers: Int) -> CheckpointSnapshot {
        var next =
            snapshot
            ?? CheckpointSnapshot(
                state: TrainingState(
                    step: 0, loader: LoaderState(dataset: Checksum(of: []), seed: 1),
                    generators: ["numbers": RandomGenerator(seed: 2)], recipe: "depth: 2\n"),
                arrays: [
                    .weights: [
                        CheckpointArray(name: "w", shape: [numbers], values: .init(repeating: 0, count: numbers))
                    ],
                    .optimizer: [CheckpointArray(name: "m", shape: [2], values: [0, 0])],
                    .state: [],
                ])
        next.state.step += 1
        var generator = next.state.generators["numbers"] ?? RandomGenerator(seed: 2)
        for index in 0..<numbers {
            next.arrays[.weights]?[0].values[index] += Float(generator.next(below: 1000)) / 7
        }
        next.state.generators["numbers"] = generator
        next.bitsPerByte = 1 + Double(generator.next(below: 1000)) / 1000
        return next
    }

    /// Goes on from the newest checkpoint, saves each step, and says which are durable, until it is killed.
    static func save(_ folder: String, numbers: Int) throws {
        let store = try CheckpointStore(folder: folder, keep: 2)
        let found = try store.restore()
        say("from \(found?.checkpoint.snapshot.state.step ?? 0) \(found?.skipped.count ?? 0)")
        var current = found?.checkpoint.snapshot
        while true {
            let next = snapshot(after: current, numbers: numbers)
            try store.save(next)
            try store.finish()
            for saved in store.takeSaved() { say("saved \(saved.step)") }
            current = next
        }
    }

    /// Saves one step, then others with a limit on the size of files, then lifts it.
    static func fill(_ folder: String, limit: Int) throws {
        let store = try CheckpointStore(folder: folder, keep: 2)
        let first = snapshot(after: nil, numbers: 5000)
        try store.save(first)
        try store.finish()
        let before = limitFiles(to: limit)
        let second = snapshot(after: first, numbers: 5000)
        for _ in 0..<2 {
            do {
                try store.save(second)
                try store.finish()
                say("saved in spite of the limit")
            } catch {
                say("refused \(error)")
            }
        }
        say("left \(try store.restore()?.checkpoint.snapshot.state.step ?? 0)")
        limitFiles(to: before)
        try store.save(second)
        try store.finish()
        say("left \(try store.restore()?.checkpoint.snapshot.state.step ?? 0)")
    }

    /// Limits the size of files, which then looks like a full disk.
    /// - Returns: the limit before.
    @discardableResult
    static func limitFiles(to limit: Int) -> Int {
        signal(SIGXFSZ, SIG_IGN)
        var value = rlimit()
        #if os(Linux)
            let resource = __rlimit_resource_t(RLIMIT_FSIZE.rawValue)
        #else
            let resource = RLIMIT_FSIZE
        #endif
        getrlimit(resource, &value)
        let before = Int(truncatingIfNeeded: value.rlim_cur)
        value.rlim_cur = rlim_t(truncatingIfNeeded: limit)
        setrlimit(resource, &value)
        return before
    }

    /// Trains, and says which steps are done and which checkpoints are durable.
    /// - Parameters:
    ///   - last: stop after this step.
    ///   - limit: once a checkpoint of the step is durable, files may not become larger than so many bytes.
    static func pretrain(
        _ recipe: String, _ folder: String, resuming: Bool, until last: Int?, limit: (step: Int, bytes: Int)? = nil
    ) throws {
        do {
            let run = try Pretraining(
                try Recipe(file: recipe), folder: folder, resuming: resuming, threads: 1, measuringSpeed: false
            ) {
                if case .note(let text) = $0 { say("note \(text)") }
            }
            var durable: Int?
            let end = try run.run {
                say("step \(run.step)")
                if let limit, limit.step == run.step {
                    while run.lastCheckpoint != limit.step {}
                    limitFiles(to: limit.bytes)
                }
                if let step = run.lastCheckpoint, step != durable {
                    say("durable \(step)")
                    durable = step
                }
                return run.step == last
            }
            say("end \(end)")
        } catch {
            say("error \(error)")
            exit(1)
        }
    }

    /// Prepares a data set that is larger than a limit on the size of files.
    static func fillData(_ folder: String, limit: Int) throws {
        limitFiles(to: limit)
        let builder = try DatasetBuilder(
            folder: folder + "/data", tokenizerFolder: folder + "/tokenizer", validationFraction: 0)
        try builder.add((0..<20_000).map { "the river runs over stone \($0)" })
        _ = try builder.finish()
        say("written in spite of the limit")
    }

    /// Holds the folder until its standard input ends.
    static func hold(_ folder: String) throws {
        let store = try CheckpointStore(folder: folder, keep: 1)
        say("open")
        _ = readLine()
        try store.finish()
    }

    static func tokenizer(_ size: Int, _ folder: String, _ files: [String]) throws {
        var trainer = try TokenizerTrainer(vocabularySize: size, split: .deepseek, minimumCount: 0)
        let clock = ContinuousClock()
        let begin = clock.now
        try DocumentReader(files).forEachBatch { (texts) throws(DataError) in trainer.add(texts) }
        let counted = clock.now
        let vocabulary = trainer.train()
        let trained = clock.now
        try vocabulary.write(to: folder)
        say(
            "\(trainer.wordCount) words, \(vocabulary.merges.count) merges: counted in \(counted - begin), "
                + "merged in \(trained - counted)")
    }
}
