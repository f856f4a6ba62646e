// The checkpoints of a run: written behind the training, rotated, and found again after whatever happened.

import Foundation
import Synchronization

/// The folder of a run's checkpoints, with one writer.
///
/// A checkpoint is written under another name, made durable file by file, and then renamed: at any moment, also after
/// `kill -9` or with a full disk, the folder holds whole checkpoints, and at most one more that does not count.
///
/// ```swift
/// let store = try CheckpointStore(folder: "run/checkpoints", keep: 3)
/// if let found = try store.restore() {
///     for skipped in found.skipped { log("\(skipped)") }
///     resume(found.checkpoint.snapshot)
/// }
/// try store.save(snapshot)    // returns at once
/// try store.finish()          // at the end of the run
/// ```
public final class CheckpointStore: Sendable {
    /// A checkpoint that was found, and those after it that could not be used.
    public struct Restored: Sendable {
        public let checkpoint: Checkpoint
        /// Newest first. Each has been renamed to `damaged-…`, so that nothing takes it for a checkpoint again.
        public let skipped: [CheckpointError]
    }

    /// A checkpoint that is durable.
    public struct Saved: Sendable, Equatable {
        public let step: Int
        public let path: String
        /// From the call of ``CheckpointStore/save(_:)`` until it was durable.
        public let seconds: Double
    }

    private struct State {
        var failure: CheckpointError?
        var saved: [Saved] = []
    }

    private let folder: StorageFolder
    private let keep: Int
    private let lock: StorageFile
    private let queue = DispatchQueue(label: "walet-checkpoint", qos: .utility)
    private let state = Mutex(State())

    static let prefix = "step-"
    static let temporaryPrefix = ".writing-"
    static let removedPrefix = ".removing-"
    static let damagedPrefix = "damaged-"

    /// Opens the folder, makes it where it is missing, and removes what an interrupted run left half-written.
    /// - Parameter keep: how many of the newest checkpoints stay, beside the best one.
    /// - Throws: ``CheckpointError/storage(_:)``; ``StorageError/locked(folder:)`` in it where another process has it.
    public init(folder path: String, keep: Int) throws(CheckpointError) {
        precondition(keep >= 1)
        self.keep = keep
        do throws(StorageError) {
            folder = try StorageFolder(path, create: true)
            lock = try folder.lock()
            for name in try folder.names()
            where name.hasPrefix(Self.temporaryPrefix) || name.hasPrefix(Self.removedPrefix) {
                try folder.removeFolder(name)
            }
        } catch {
            throw .storage(error)
        }
    }

    /// A step that is saved a second time, as after a fall back to an older checkpoint, gets a number behind it.
    static func name(step: Int, attempt: Int) -> String {
        let digits = String(step)
        return prefix + String(repeating: "0", count: max(0, 9 - digits.count)) + digits
            + (attempt == 1 ? "" : ".\(attempt)")
    }

    private struct Place {
        let name: String
        let step: Int
        let attempt: Int

        init?(_ name: String) {
            guard name.hasPrefix(CheckpointStore.prefix) else { return nil }
            let parts = name.dropFirst(CheckpointStore.prefix.count).split(
                separator: ".", omittingEmptySubsequences: false)
            guard let step = Int(parts[0]), parts.count <= 2, let attempt = parts.count == 2 ? Int(parts[1]) : 1,
                name == CheckpointStore.name(step: step, attempt: attempt)
            else { return nil }
            self.name = name
            self.step = step
            self.attempt = attempt
        }
    }

    /// Checkpoints, oldest first.
    private func places() throws(StorageError) -> [Place] {
        try folder.names().compactMap { Place($0) }.sorted { ($0.step, $0.attempt) < ($1.step, $1.attempt) }
    }

    private func onDisk<Value>(
        _ body: () throws(StorageError) -> Value
    ) throws(CheckpointError) -> Value {
        do throws(StorageError) { return try body() } catch { throw .storage(error) }
    }

    // MARK: Saving

    /// Writes a snapshot in the background. A save that is still under way is waited for, so that at most one snapshot
    /// is held.
    /// - Throws: what went wrong with a save before this one, once; the new one is not begun then.
    public func save(_ snapshot: CheckpointSnapshot) throws(CheckpointError) {
        try finish()
        let begin = ContinuousClock.now
        queue.async { [self] in
            do throws(CheckpointError) {
                let name = try write(snapshot)
                let seconds = (ContinuousClock.now - begin) / .seconds(1)
                state.withLock {
                    $0.saved.append(
                        Saved(step: snapshot.state.step, path: folder.path(of: name), seconds: seconds))
                }
            } catch {
                state.withLock { $0.failure = error }
            }
        }
    }

    /// Returns when nothing is under way any more.
    /// - Throws: what went wrong since the last call, once.
    public func finish() throws(CheckpointError) {
        queue.sync {}
        if let failure = takeFailure() { throw failure }
    }

    /// Checkpoints that became durable since the last call, for the log. Does not wait.
    public func takeSaved() -> [Saved] {
        state.withLock { state in
            defer { state.saved = [] }
            return state.saved
        }
    }

    /// What went wrong since the last call, for the log. Does not wait, and ``save(_:)`` does not throw it again.
    public func takeFailure() -> CheckpointError? {
        state.withLock { state in
            defer { state.failure = nil }
            return state.failure
        }
    }

    private func write(_ snapshot: CheckpointSnapshot) throws(CheckpointError) -> String {
        let step = snapshot.state.step
        let attempts = try onDisk { () throws(StorageError) -> [Place] in try places() }.filter { $0.step == step }
        let name = Self.name(step: step, attempt: (attempts.last?.attempt ?? 0) + 1)
        let temporary = Self.temporaryPrefix + name
        do throws(CheckpointError) {
            let inner = try onDisk { () throws(StorageError) -> StorageFolder in
                try folder.removeFolder(temporary)
                return try folder.makeFolder(temporary)
            }
            try Checkpoint.write(snapshot, into: inner)
            try onDisk { () throws(StorageError) -> Void in
                try folder.rename(temporary, to: name)
                try folder.synchronize()
            }
        } catch {
            try? folder.removeFolder(temporary)
            throw error
        }
        try onDisk { () throws(StorageError) -> Void in
            for place in attempts { try remove(place.name) }
            try rotate()
        }
        return name
    }

    /// Removes a checkpoint so that it counts no more from the first moment on.
    private func remove(_ name: String) throws(StorageError) {
        let removed = Self.removedPrefix + name
        try folder.removeFolder(removed)
        try folder.rename(name, to: removed)
        try folder.removeFolder(removed)
    }

    private func rotate() throws(StorageError) {
        let places = try places()
        let best = try best(places)
        for place in places.dropLast(keep) where place.name != best { try remove(place.name) }
    }

    /// The checkpoint with the fewest bits per byte, the newest of equals.
    private func best(_ places: [Place]) throws(StorageError) -> String? {
        var best: (name: String, value: Double)?
        for place in places {
            let inner = try folder.folder(place.name)
            guard let value = (try? Checkpoint.manifest(inner))?.bitsPerByte else { continue }
            if best.map({ value <= $0.value }) ?? true { best = (place.name, value) }
        }
        return best?.name
    }

    // MARK: Restoring

    /// The newest checkpoint that is whole, all of its files compared with their hashes.
    /// - Returns: nil where there is none at all.
    /// - Throws: ``CheckpointError/noneIntact(folder:reasons:)`` where there are some, and all are damaged.
    public func restore() throws(CheckpointError) -> Restored? {
        try finish()
        var skipped: [CheckpointError] = []
        for place in try onDisk({ () throws(StorageError) -> [Place] in try places() }).reversed() {
            let path = folder.path(of: place.name)
            let checkpoint: Checkpoint
            do throws(CheckpointError) {
                let inner: StorageFolder
                do throws(StorageError) { inner = try folder.folder(place.name) } catch {
                    throw .damaged(checkpoint: path, file: place.name, reason: error.description)
                }
                checkpoint = try Checkpoint(inner)
            } catch {
                skipped.append(error)
                continue
            }
            for error in skipped { try setAside(error) }
            return Restored(checkpoint: checkpoint, skipped: skipped)
        }
        guard skipped.isEmpty else {
            throw .noneIntact(folder: folder.path, reasons: skipped.map(\.description))
        }
        return nil
    }

    private func setAside(_ error: CheckpointError) throws(CheckpointError) {
        guard case .damaged(let path, _, _) = error, let slash = path.lastIndex(of: "/") else { return }
        let name = String(path[path.index(after: slash)...])
        try onDisk { () throws(StorageError) -> Void in
            var target = Self.damagedPrefix + name
            var number = 1
            while folder.exists(target) {
                number += 1
                target = Self.damagedPrefix + name + "-\(number)"
            }
            try folder.rename(name, to: target)
            try folder.synchronize()
        }
    }

    /// The checkpoint with the fewest bits per byte on the validation split; nil where none was measured.
    /// - Throws: ``CheckpointError/damaged(checkpoint:file:reason:)`` where that one is not whole.
    public func best() throws(CheckpointError) -> Checkpoint? {
        try finish()
        let inner = try onDisk { () throws(StorageError) -> StorageFolder? in
            guard let name = try best(try places()) else { return nil }
            return try folder.folder(name)
        }
        return try inner.map { (folder) throws(CheckpointError) in try Checkpoint(folder) }
    }
}
