// Comparing a model's files with what a signature vouches for.

import Foundation

/// What checking a signed model found.
public struct SignedModel: Sendable, Equatable {
    public enum Outcome: Sendable, Equatable {
        case ok
        case missing
        case differs(expected: String, found: String)
        /// There, and not vouched for.
        case unsigned
    }

    public struct Item: Sendable, Equatable {
        /// A path, or a piece of a file as `path:start:end`.
        public var name: String
        public var outcome: Outcome
    }

    public let manifest: SignedManifest
    public let items: [Item]

    public var isIntact: Bool { items.allSatisfy { $0.outcome == .ok } }

    /// Files that are no part of what is signed: those of Git, as the package `model_signing` has it, and Walet's own record
    /// of a pull.
    static let ignoredAlways = [".git", ".gitattributes", ".github", ".gitignore", ".walet-manifest.json"]

    /// Checks a signature, then every file of a model against it.
    /// - Parameters:
    ///   - model: a folder, or a file that is a model.
    ///   - progress: is told a file and the bytes read of it since it was last told.
    /// - Throws: ``ProvenanceError`` where the signature does not hold or a file cannot be read.
    public static func check(
        _ model: String, signature bundle: SignatureBundle, by verifier: SignatureVerifier,
        progress: ((String, Int) -> Void)? = nil
    ) async throws -> SignedModel {
        let manifest = try await verifier.verify(bundle)
        let signaturePath = path(of: bundle.file, below: model)
        let ignored = ignoredAlways + manifest.ignoredPaths.compactMap(normalized) + [signaturePath].compactMap(\.self)
        let files = try FolderFiles(model) { path in
            ignored.contains { path == $0 || path.hasPrefix($0 + "/") }
        }
        var found: [String: String] = [:]
        for entry in files.entries {
            for (name, range) in pieces(of: entry, manifest.method) {
                found[name] = try FileHash.sha256(files.location(entry), range: range) { progress?(entry.path, $0) }
            }
        }
        var items = manifest.resources.map { resource -> Item in
            guard let hash = found.removeValue(forKey: resource.name) else {
                return Item(name: resource.name, outcome: .missing)
            }
            return Item(
                name: resource.name,
                outcome: hash == resource.sha256 ? .ok : .differs(expected: resource.sha256, found: hash))
        }
        items += found.keys.sorted().map { Item(name: $0, outcome: .unsigned) }
        return SignedModel(manifest: manifest, items: items)
    }

    /// What is hashed of a file. A file of no bytes has no piece.
    private static func pieces(
        of entry: FolderFiles.Entry, _ method: SignedManifest.Method
    ) -> [(name: String, range: Range<Int>?)] {
        switch method {
        case .files: [(entry.path, nil)]
        case .shards(let size):
            stride(from: 0, to: entry.bytes, by: size).map { start in
                let end = min(entry.bytes, start + min(size, entry.bytes - start))
                return ("\(entry.path):\(start):\(end)", start..<end)
            }
        }
    }

    /// Where the signature lies in the model, or nil where it lies elsewhere.
    private static func path(of file: String, below folder: String) -> String? {
        let path = URL(filePath: file).standardizedFileURL.resolvingSymlinksInPath().path
        let root = URL(filePath: folder).standardizedFileURL.resolvingSymlinksInPath().path
        return path.hasPrefix(root + "/") ? String(path.dropFirst(root.count + 1)) : nil
    }

    /// A path below the model as its files are named; nil for one that is absolute, climbs, or is all of the model: such a
    /// path leaves nothing out.
    static func normalized(_ path: String) -> String? {
        guard !path.hasPrefix("/") else { return nil }
        let parts = path.split(separator: "/").filter { $0 != "." }
        return parts.isEmpty || parts.contains("..") ? nil : parts.joined(separator: "/")
    }
}
