// A run on disk while it goes on: its recipe, what it says of itself, its checkpoints.

import Foundation

/// The folder of a run that this process writes: `recipe.yaml`, `metrics.jsonl`, `journal.jsonl`, `checkpoints`, `model`.
///
/// It keeps the order that makes a run resumable: metrics are on the disk before the checkpoint of their step is begun.
final class RunFolder {
    static let checkpointsName = "checkpoints"

    let path: String
    private let store: CheckpointStore
    private var log: MetricsLog
    /// The step of the newest checkpoint that is durable; nil where there is none.
    private(set) var lastSaved: Int?
    /// The step that the journal's events are of.
    var step = 0
    /// Called with what a person should know.
    private let say: (String) -> Void

    /// Begins a run.
    /// - Throws: ``TrainingError/runExists(folder:)``, and what the disk refuses.
    static func create(
        _ path: String, _ recipe: Recipe, say: @escaping (String) -> Void
    ) throws(TrainingError) -> RunFolder {
        let path = trimmed(path)
        let hasRun = [TrainingRun.recipeName, MetricsLog.metricsName].contains {
            FileManager.default.fileExists(atPath: path + "/" + $0)
        }
        guard !hasRun else { throw .runExists(folder: path) }
        return try TrainingError.wrapping {
            // Its lock keeps another process out.
            let store = try CheckpointStore(folder: path + "/" + checkpointsName, keep: recipe.checkpoint.keep)
            // Before anything else that counts: from here on the run can be gone on with.
            try TrainingRun.write(recipe, to: path)
            return RunFolder(path, store, try MetricsLog(folder: path, resumingAt: 0), say)
        }
    }

    /// Goes on with a run.
    /// - Returns: the folder, and the newest whole checkpoint; nil where the run ended before its first.
    /// - Throws: ``TrainingError/checkpoint(_:)`` where all checkpoints are damaged.
    static func resume(
        _ path: String, keep: Int, say: @escaping (String) -> Void
    ) throws(TrainingError) -> (folder: RunFolder, checkpoint: Checkpoint?) {
        let path = trimmed(path)
        return try TrainingError.wrapping {
            let store = try CheckpointStore(folder: path + "/" + checkpointsName, keep: keep)
            let found = try store.restore()
            let step = found?.checkpoint.snapshot.state.step
            // From the beginning, what was measured before the first step is measured again.
            let run = RunFolder(path, store, try MetricsLog(folder: path, resumingAt: step ?? -1), say)
            run.step = step ?? 0
            run.lastSaved = step
            for skipped in found?.skipped ?? [] {
                try run.note("\(skipped); it is set aside as damaged-…, the one before is taken")
            }
            return (run, found?.checkpoint)
        }
    }

    /// The recipe of a run.
    /// - Throws: ``TrainingError/noRun(folder:)`` where the folder has none.
    static func recipe(of path: String) throws(TrainingError) -> Recipe {
        let file = recipePath(of: path)
        guard FileManager.default.fileExists(atPath: file) else { throw .noRun(folder: trimmed(path)) }
        return try TrainingError.wrapping { try Recipe(file: file) }
    }

    static func recipePath(of path: String) -> String { trimmed(path) + "/" + TrainingRun.recipeName }

    private static func trimmed(_ path: String) -> String {
        path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
    }

    private init(_ path: String, _ store: CheckpointStore, _ log: MetricsLog, _ say: @escaping (String) -> Void) {
        self.path = path
        self.store = store
        self.log = log
        self.say = say
    }

    // MARK: Records

    func append(_ record: MetricsRecord) throws(TrainingError) {
        do throws(MetricsError) { try log.append(record) } catch { throw .metrics(error) }
    }

    func append(_ speed: SpeedMetrics) throws(TrainingError) {
        do throws(MetricsError) { try log.append(.speed(speed)) } catch { throw .metrics(error) }
    }

    /// Says what happened, and keeps it in the journal.
    func note(_ text: String) throws(TrainingError) {
        say(text)
        do throws(MetricsError) {
            try log.append(.event(step: step, seconds: Date().timeIntervalSince1970, text: text))
        } catch {
            throw .metrics(error)
        }
    }

    /// The same where the disk may be what is wrong: it is said in any case.
    private func noteIfPossible(_ text: String) {
        do throws(TrainingError) { try note(text) } catch {
            // The event was said; a disk without room for a line has been said by it.
        }
    }

    // MARK: Checkpoints

    /// Begins to write a checkpoint behind the training. One before it that could not be written is said, and does not end
    /// the run: the checkpoints that are there are whole, and the next one is tried.
    /// - Parameter snapshot: called when the one before is written, so that one at a time is in memory.
    func save(_ snapshot: () throws(TrainingError) -> CheckpointSnapshot) throws(TrainingError) {
        do throws(MetricsError) { try log.synchronize() } catch { throw .metrics(error) }
        do throws(CheckpointError) { try store.finish() } catch { sayFailure(error) }
        let snapshot = try snapshot()
        do throws(CheckpointError) { try store.save(snapshot) } catch { throw .checkpoint(error) }
        collect()
    }

    /// Takes note of checkpoints that became durable, or could not, since the last call. Does not wait.
    func collect() {
        for saved in store.takeSaved() { lastSaved = saved.step }
        if let failure = store.takeFailure() { sayFailure(failure) }
    }

    private func sayFailure(_ error: CheckpointError) {
        for saved in store.takeSaved() { lastSaved = saved.step }
        noteIfPossible(
            "a checkpoint could not be written: \(error); "
                + (lastSaved.map { "the last good one is of step \($0)" } ?? "there is none yet") + ", training goes on"
        )
    }

    /// Returns when the last checkpoint is durable.
    /// - Throws: ``TrainingError/checkpoint(_:)`` where it could not be written.
    func finish() throws(TrainingError) {
        do throws(CheckpointError) { try store.finish() } catch { throw .checkpoint(error) }
        collect()
        do throws(MetricsError) { try log.synchronize() } catch { throw .metrics(error) }
    }

    /// What is left to do when a run ends with an error: a checkpoint under way is waited for.
    func abandon(_ error: TrainingError) {
        do throws(CheckpointError) { try store.finish() } catch { sayFailure(error) }
        collect()
        say(
            lastSaved.map { "the last good checkpoint is of step \($0), in \(path); --resume goes on from it" }
                ?? "there is no checkpoint yet")
        do throws(MetricsError) {
            try log.append(.event(step: step, seconds: Date().timeIntervalSince1970, text: "ended: \(error)"))
            try log.synchronize()
        } catch {
            // What ended the run is thrown to the caller, who says it.
        }
    }
}
