// The folder that holds the models of this machine, and what can be done with them without a network.

import Foundation

/// A folder of models, each a folder of its own: `NAME/` or `OWNER/NAME/`, with a safetensors model (`config.json` and
/// what belongs to it) or `.gguf` files in it. Names are compared exactly.
///
/// ```swift
/// let store = ModelStore()
/// for model in try store.list() { print(model.name, ByteCount.text(model.bytes)) }
/// let url = try store.resolve("moonshotai/Kimi-K2-Thinking")
/// ```
public struct ModelStore: Sendable, Equatable {
    /// Where the models are. The folder need not exist yet.
    public let root: URL

    public init(root: URL) { self.root = root.standardizedFileURL }

    /// The store of this user: `root` where it is given, else `WALET_MODELS`, else `$XDG_DATA_HOME/walet/models`, else
    /// `~/.local/share/walet/models`. Empty variables count as unset; as the XDG rules ask, a relative `XDG_DATA_HOME`
    /// does too.
    public init(root: String? = nil, environment: [String: String] = ProcessInfo.processInfo.environment) {
        func value(_ key: String) -> String? { environment[key].flatMap { $0.isEmpty ? nil : $0 } }
        let home = value("HOME") ?? NSHomeDirectory()
        let path: String
        if let root, !root.isEmpty {
            path = root
        } else if let models = value("WALET_MODELS") {
            path = models
        } else if let data = value("XDG_DATA_HOME"), data.hasPrefix("/") {
            path = data + "/walet/models"
        } else {
            path = home + "/.local/share/walet/models"
        }
        let expanded = path == "~" || path.hasPrefix("~/") ? home + path.dropFirst() : path
        self.init(root: URL(fileURLWithPath: expanded, isDirectory: true))
    }
}

/// A model in the store, as ``ModelStore/list()`` finds it.
public struct StoredModel: Sendable, Equatable {
    public enum Kind: String, Sendable {
        case safetensors, gguf
        /// No weights: a configuration alone, or a pull that has not come far.
        case other
    }

    public let name: String
    public let folder: URL
    public let kind: Kind
    /// Of all files, without the manifest and without what is still being pulled.
    public let bytes: Int
    public let fileCount: Int
    /// When the newest file was written.
    public let date: Date
    /// The commit on the hub that was pulled, if it was.
    public let revision: String?
    /// The repository on the hub that was pulled, if it was.
    public let repository: String?
    /// Whether a pull has begun and not ended. Pull again to go on with it.
    public let isIncomplete: Bool
    /// Whether the model's folder is a symbolic link that somebody put into the store.
    public let isLink: Bool
}

extension ModelStore {
    /// The models in the store, sorted by name. Folders that hold none are left out; a store that does not exist is empty.
    /// - Throws: ``HubError`` where a folder cannot be read.
    public func list() throws(HubError) -> [StoredModel] {
        guard FileManager.default.fileExists(atPath: root.path) else { return [] }
        let top = try Folder(root: root.path, create: false)
        var models: [StoredModel] = []
        for name in try top.names() where FileName.faultOfModel(name) == nil {
            guard let (folder, isLink) = try open(name) else { continue }
            if try Self.isModel(folder) {
                models.append(try describe(name, folder, isLink: isLink))
                continue
            }
            for inner in try folder.names() where FileName.faultOfModel(inner) == nil {
                let full = name + "/" + inner
                guard let (folder, isLink) = try open(full), try Self.isModel(folder, nested: true) else { continue }
                models.append(try describe(full, folder, isLink: isLink))
            }
        }
        return models
    }

    /// One model by its exact name, or nil.
    public func model(named name: String) throws(HubError) -> StoredModel? {
        guard FileName.faultOfModel(name) == nil, let (folder, isLink) = try open(name),
            try Self.isModel(folder, nested: name.contains("/"))
        else { return nil }
        return try describe(name, folder, isLink: isLink)
    }

    /// What to load for a name: the folder of a safetensors model, or the `.gguf` file of a GGUF model (of a file in
    /// parts, the first part). Nil where the store has no such model. `NAME/FILE.gguf` names one of several files.
    /// - Throws: ``HubError/severalModels(name:choices:)`` where a folder holds several GGUF models.
    public func resolve(_ name: String) throws(HubError) -> URL? {
        if name.hasSuffix(".gguf"), name.contains("/") {
            guard FileName.faultOfPath(name) == nil else { return nil }
            let url = root.appendingPathComponent(name, isDirectory: false)
            var isFolder: ObjCBool = false
            let exists = FileManager.default.fileExists(atPath: url.path, isDirectory: &isFolder)
            if exists, !isFolder.boolValue { return url }
        }
        guard FileName.faultOfModel(name) == nil, let (folder, _) = try open(name),
            try Self.isModel(folder, nested: name.contains("/"))
        else { return nil }
        let url = root.appendingPathComponent(name, isDirectory: true)
        let top = try folder.names()
        if top.contains(where: { $0.hasSuffix(".safetensors") }) { return url }
        let files = try folder.tree(skipping: [FileName.staging]).map(\.path)
        let choices = GGUFSet.sets(in: files.map { ($0, 0) }).map(\.first)
        guard let first = choices.first else { return top.contains("config.json") ? url : nil }
        guard choices.count == 1 else { throw .severalModels(name: name, choices: choices) }
        return url.appendingPathComponent(first, isDirectory: false)
    }

    /// Deletes a model: its folder with everything in it, and the owner's folder if that becomes empty.
    /// - Returns: the bytes that were freed.
    /// - Throws: ``HubError``: a name that is none, no such model, a symbolic link on the way, a pull under way.
    @discardableResult
    public func remove(_ name: String) throws(HubError) -> Int {
        if let reason = FileName.faultOfModel(name) { throw .badName(name, reason: reason) }
        let missing = HubError.notFound(model: name, root: root.path)
        guard FileManager.default.fileExists(atPath: root.path) else { throw missing }
        let top = try Folder(root: root.path, create: false)
        guard let (parent, last) = try top.parent(of: name, create: false), let status = try parent.status(last) else {
            throw missing
        }
        if status.kind == .link { throw .symlink(path: parent.path + "/" + last) }
        guard status.kind == .folder else { throw .notAModel(name: name, reason: "it is not a folder") }
        let folder = try parent.folder(last, create: false)
        guard try Self.isModel(folder, nested: name.contains("/")) else {
            throw .notAModel(name: name, reason: "the folder holds no model files")
        }
        guard folder.lock() else { throw .locked(model: name) }
        let bytes = try folder.tree().reduce(0) { $0 &+ $1.status.size }
        // Out of sight in one step: a deletion that is cut short must not leave half a model under its name.
        let grave = ".removed-" + UUID().uuidString
        guard try top.status(grave) == nil else { throw .file(path: grave, operation: "delete", reason: "it exists") }
        try parent.moveFolder(last, to: top, grave)
        try top.deleteTree(grave)
        if let owner = name.split(separator: "/").dropLast().first { top.deleteIfEmpty(String(owner)) }
        return bytes
    }

    /// The folder of a model held open, and whether a symbolic link led there. Links at this level are the user's own
    /// (a model kept on another disk); below it none is followed.
    func open(_ name: String) throws(HubError) -> (Folder, isLink: Bool)? {
        let path = root.appendingPathComponent(name, isDirectory: false).path
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue else {
            return nil
        }
        let top = try Folder(root: root.path, create: false)
        var (linked, walked) = (false, top)
        for component in name.split(separator: "/").map(String.init) {
            if try walked.status(component)?.kind == .link { linked = true }
            walked = try Folder(root: walked.path + "/" + component, create: false)
        }
        return (walked, linked)
    }

    /// Whether a folder is a model and not an owner's folder of models.
    private static func isModel(_ folder: Folder, nested: Bool = false) throws(HubError) -> Bool {
        let names = try folder.names()
        if names.contains(where: isModelFile) { return true }
        // Repositories of GGUF files often keep each quantization in a folder of its own.
        guard nested else { return false }
        return try folder.tree().contains { $0.path.hasSuffix(".gguf") }
    }

    private static func isModelFile(_ name: String) -> Bool {
        name == "config.json" || name == FileName.manifest || name == FileName.staging
            || name.hasSuffix(".safetensors") || name.hasSuffix(".gguf")
    }

    private func describe(_ name: String, _ folder: Folder, isLink: Bool) throws(HubError) -> StoredModel {
        let files = try folder.tree(skipping: [FileName.staging, FileName.manifest])
        let manifest = try? PullManifest(in: folder)
        let kind: StoredModel.Kind =
            if files.contains(where: { $0.path.hasSuffix(".safetensors") }) {
                .safetensors
            } else if files.contains(where: { $0.path.hasSuffix(".gguf") }) {
                .gguf
            } else {
                .other
            }
        let date = if let newest = files.map(\.status.modified).max() { newest } else { try folder.modified() }
        return StoredModel(
            name: name, folder: root.appendingPathComponent(name, isDirectory: true), kind: kind,
            bytes: files.reduce(0) { $0 &+ $1.status.size }, fileCount: files.count,
            date: date,
            revision: manifest.flatMap { $0.commit.isEmpty ? $0.revision : $0.commit },
            repository: manifest?.repository, isIncomplete: try folder.status(FileName.staging) != nil, isLink: isLink)
    }
}
