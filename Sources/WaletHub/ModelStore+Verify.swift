// Comparing a model's files with what was pulled.

import Foundation

/// What ``ModelStore/verify(_:progress:)`` found.
public struct Verification: Sendable, Equatable {
    public enum Outcome: Sendable, Equatable {
        case ok
        case missing
        case sizeDiffers(expected: Int, found: Int)
        case hashDiffers(expected: String, found: String)
        /// A folder, link or device where a file should be.
        case notAFile
        /// There, and not in the manifest: somebody added it after the pull.
        case extra
        /// The model has no manifest, so the hash is only told.
        case unknown
    }

    public struct File: Sendable, Equatable {
        public let path: String
        public let outcome: Outcome
        /// Of the file on disk; nil where it was not read to the end (missing, of another size, extra).
        public let sha256: String?
    }

    public let name: String
    /// What the files were compared with, or nil: the model was not pulled, there is nothing to compare with.
    public let manifest: PullManifest?
    public let files: [File]

    /// Whether every file of the manifest is as it was pulled. Files that were added do not count against it.
    /// False without a manifest.
    public var isIntact: Bool {
        manifest != nil && files.allSatisfy { $0.outcome == .ok || $0.outcome == .extra }
    }
}

extension ModelStore {
    /// Reads every file of a model and compares it with the manifest that the pull wrote. Memory stays bounded whatever
    /// the size of the files.
    /// - Parameter progress: is told the path, the bytes read so far and the file's size.
    /// - Throws: ``HubError`` for a name that is none, no such model, or a file that cannot be read;
    ///   `CancellationError`.
    public func verify(
        _ name: String, progress: (@Sendable (String, Int, Int) -> Void)? = nil
    ) async throws -> Verification {
        if let reason = FileName.faultOfModel(name) { throw HubError.badName(name, reason: reason) }
        guard try model(named: name) != nil, let (folder, _) = try open(name) else {
            throw HubError.notFound(model: name, root: root.path)
        }
        let manifest = try PullManifest(in: folder)
        let present = try folder.tree(skipping: [FileName.staging, FileName.manifest])
        var files: [Verification.File] = []
        guard let manifest else {
            for (path, status) in present where status.kind == .file {
                let hash = try await Self.sha256(of: path, in: folder, size: status.size, progress: progress)
                files.append(.init(path: path, outcome: .unknown, sha256: hash))
            }
            return Verification(name: name, manifest: nil, files: files)
        }
        let found = Dictionary(uniqueKeysWithValues: present.map { ($0.path, $0.status) })
        for file in manifest.files {
            try Task.checkCancellation()
            // What is not among the files may still be a folder.
            guard let status = try found[file.path] ?? folder.status(at: file.path) else {
                files.append(.init(path: file.path, outcome: .missing, sha256: nil))
                continue
            }
            guard status.kind == .file else {
                files.append(.init(path: file.path, outcome: .notAFile, sha256: nil))
                continue
            }
            guard status.size == file.size else {
                let outcome = Verification.Outcome.sizeDiffers(expected: file.size, found: status.size)
                files.append(.init(path: file.path, outcome: outcome, sha256: nil))
                continue
            }
            let hash = try await Self.sha256(of: file.path, in: folder, size: status.size, progress: progress)
            let outcome: Verification.Outcome =
                hash == file.sha256 ? .ok : .hashDiffers(expected: file.sha256, found: hash)
            files.append(.init(path: file.path, outcome: outcome, sha256: hash))
        }
        let listed = Set(manifest.files.map(\.path))
        for (path, _) in present where !listed.contains(path) {
            files.append(.init(path: path, outcome: .extra, sha256: nil))
        }
        return Verification(name: name, manifest: manifest, files: files)
    }

    private static func sha256(
        of path: String, in folder: Folder, size: Int, progress: ((String, Int, Int) -> Void)?
    ) async throws -> String {
        guard let (parent, name) = try folder.parent(of: path, create: false) else {
            throw HubError.file(path: folder.path + "/" + path, operation: "open the file", reason: "it is gone")
        }
        var digest = Digest()
        _ = try await parent.file(name, write: false).feed(&digest, count: size) { progress?(path, $0, size) }
        return digest.finish().sha256
    }
}
