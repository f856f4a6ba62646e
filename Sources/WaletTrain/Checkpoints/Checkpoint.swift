// One checkpoint on disk: a folder that has its name only when all of it is durable.

import Foundation
import WaletFormats

/// A checkpoint that was read back whole.
public struct Checkpoint: Sendable {
    public let path: String
    public let snapshot: CheckpointSnapshot

    static let stateName = "training.json"

    static func fileName(_ kind: CheckpointSnapshot.Kind) -> String { kind.rawValue + ".safetensors" }

    /// Opens a checkpoint and compares every file with its hash.
    /// - Throws: ``CheckpointError/damaged(checkpoint:file:reason:)``, ``CheckpointError/storage(_:)``.
    public init(path: String) throws(CheckpointError) {
        let folder: StorageFolder
        do throws(StorageError) { folder = try StorageFolder(path, create: false) } catch { throw .storage(error) }
        try self.init(folder)
    }

    init(_ folder: StorageFolder) throws(CheckpointError) {
        func damaged(_ file: String, _ reason: String) -> CheckpointError {
            .damaged(checkpoint: folder.path, file: file, reason: reason)
        }
        path = folder.path
        let manifest = try Self.manifest(folder)
        for file in manifest.files {
            let found: Checksum
            do throws(StorageError) {
                let opened = try folder.file(file.name, .read)
                let size = try opened.size()
                guard size == file.bytes else {
                    throw .file(path: file.name, operation: "read it", reason: "\(size) bytes, not \(file.bytes)")
                }
                found = try Self.checksum(opened, size)
            } catch {
                switch error {
                case .missing: throw damaged(file.name, "it is missing")
                case .file(_, _, let reason): throw damaged(file.name, reason)
                default: throw damaged(file.name, error.description)
                }
            }
            guard found == file.checksum else {
                throw damaged(file.name, "its SHA-256 is \(found), not \(file.checksum)")
            }
        }
        let names = Set(manifest.files.map(\.name))
        for name in [Self.stateName] + CheckpointSnapshot.Kind.allCases.map(Self.fileName) where !names.contains(name) {
            throw damaged(name, "the manifest does not list it")
        }
        let state: TrainingState
        do {
            let bytes = try folder.contents(Self.stateName, limit: SealedJSON.maximumBytes)
            state = try JSONDecoder().decode(TrainingState.self, from: Data(bytes))
        } catch {
            throw damaged(Self.stateName, "it is no training state: \(error)")
        }
        guard state.step == manifest.step else {
            throw damaged(Self.stateName, "it is of step \(state.step), the manifest of \(manifest.step)")
        }
        var arrays: [CheckpointSnapshot.Kind: [CheckpointArray]] = [:]
        for kind in CheckpointSnapshot.Kind.allCases {
            let name = Self.fileName(kind)
            do throws(FormatError) { arrays[kind] = try ArrayFile.read(folder.path(of: name)) } catch {
                throw damaged(name, "expected \(error.expected), found \(error.found)")
            }
        }
        snapshot = CheckpointSnapshot(state: state, arrays: arrays, bitsPerByte: manifest.bitsPerByte)
    }

    static func manifest(_ folder: StorageFolder) throws(CheckpointError) -> CheckpointManifest {
        do {
            return try CheckpointManifest(
                try folder.contents(CheckpointManifest.name, limit: SealedJSON.maximumBytes))
        } catch let error as SealedJSON.Broken {
            throw .damaged(checkpoint: folder.path, file: CheckpointManifest.name, reason: error.reason)
        } catch {
            throw .damaged(checkpoint: folder.path, file: CheckpointManifest.name, reason: "\(error)")
        }
    }

    private static func checksum(_ file: StorageFile, _ size: Int) throws(StorageError) -> Checksum {
        var hasher = ChecksumHasher()
        var offset = 0
        while offset < size {
            let part = try file.bytes(offset..<min(offset + 4 << 20, size))
            guard !part.isEmpty else { break }
            hasher.update(part)
            offset += part.count
        }
        return hasher.finish()
    }

    /// Writes all files of a snapshot into an empty folder and makes them durable, the manifest last.
    static func write(_ snapshot: CheckpointSnapshot, into folder: StorageFolder) throws(CheckpointError) {
        var files: [CheckpointManifest.File] = []
        for kind in CheckpointSnapshot.Kind.allCases {
            let name = fileName(kind)
            let (bytes, checksum) = try ArrayFile.write(snapshot.arrays[kind] ?? [], name, in: folder)
            files.append(.init(name: name, bytes: bytes, checksum: checksum))
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted]
        let state: [UInt8]
        do { state = Array(try encoder.encode(snapshot.state)) } catch {
            throw .badSnapshot(name: stateName, reason: "\(error)")
        }
        files.append(.init(name: stateName, bytes: state.count, checksum: Checksum(of: state)))
        let manifest = CheckpointManifest(
            step: snapshot.state.step, bitsPerByte: snapshot.bitsPerByte, files: files)
        do throws(StorageError) {
            for (name, bytes) in [(stateName, state), (CheckpointManifest.name, manifest.encoded)] {
                let file = try folder.file(name, .createNew)
                try file.write(bytes, at: 0)
                try file.synchronize()
            }
            try folder.synchronize()
        } catch {
            throw .storage(error)
        }
    }
}
