// The record of a pull that stands beside the files: where they came from and what they must be.

import Foundation
import WaletJSON

/// `.walet-manifest.json` in a model's folder. It is written last, so that a folder that has one is complete.
public struct PullManifest: Sendable, Equatable {
    public struct File: Sendable, Equatable {
        /// How much the hub had told about the content when it arrived.
        public enum Checked: String, Sendable {
            case sha256, git, size
        }

        public let path: String
        public let size: Int
        /// Of the content as it arrived, 64 hexadecimal digits.
        public let sha256: String
        public let checked: Checked
        /// The Git blob hash, for files that the hub keeps in Git itself.
        public let gitBlob: String?

        func matches(_ expected: ExpectedHash?, size: Int) -> Bool {
            guard size == self.size else { return false }
            switch expected {
            case .sha256(let digits): return digits == sha256
            case .gitBlob(let digits): return digits == gitBlob
            case nil: return checked == .size
            }
        }
    }

    public let repository: String
    /// The branch, tag or commit that was asked for.
    public let revision: String
    /// The commit that this was when it was pulled; empty where a mirror did not say.
    public let commit: String
    /// The hub's host, with its port where that is unusual. Never a token.
    public let endpoint: String
    public let pulled: Date
    public let files: [File]
}

extension PullManifest {
    static let sizeLimit = 16 << 20

    /// Reads the manifest of a folder, or nil where there is none.
    init?(in folder: Folder) throws(HubError) {
        guard let status = try folder.status(FileName.manifest) else { return nil }
        let path = folder.path + "/" + FileName.manifest
        guard status.kind == .file else { throw .badManifest(path: path, reason: "it is not a regular file") }
        guard status.size <= Self.sizeLimit else { throw .badManifest(path: path, reason: "\(status.size) bytes") }
        let file = try folder.file(FileName.manifest, write: false)
        var bytes = [UInt8](repeating: 0, count: status.size)
        let count: Result<Int, HubError> = bytes.withUnsafeMutableBytes { buffer in
            do throws(HubError) { return .success(try file.read(into: buffer, at: 0)) } catch { return .failure(error) }
        }
        try self.init(parsing: bytes[..<count.get()], path: path)
    }

    package init(parsing bytes: some Collection<UInt8>, path: String) throws(HubError) {
        do {
            try self.init(JSONValue(parsing: bytes, maximumDepth: 16))
        } catch {
            throw .badManifest(path: path, reason: "\(error)")
        }
    }

    private struct Fault: Error, CustomStringConvertible {
        let description: String
    }

    private init(_ json: JSONValue) throws {
        func text(_ json: JSONValue, _ key: String) throws -> String {
            guard let text = json[key]?.stringValue else { throw Fault(description: "\"\(key)\" is missing") }
            return text
        }
        guard json["version"]?.intValue == 1 else { throw Fault(description: "\"version\" is not 1") }
        repository = try text(json, "repository")
        revision = try text(json, "revision")
        commit = try text(json, "commit")
        endpoint = try text(json, "endpoint")
        guard let date = try? Date(text(json, "pulled"), strategy: .iso8601) else {
            throw Fault(description: "\"pulled\" is not a date")
        }
        pulled = date
        var seen: Set<String> = []
        files = try (json["files"]?.arrayValue ?? []).map { entry in
            let path = try text(entry, "path")
            if let fault = FileName.faultOfPath(path) { throw Fault(description: "\(quoted(path)): \(fault)") }
            guard seen.insert(path).inserted else { throw Fault(description: "\(quoted(path)) stands there twice") }
            guard let size = entry["size"]?.intValue, (0...HubListing.largestFile).contains(size) else { throw Fault(description: "\(quoted(path)): size") }
            let sha256 = try text(entry, "sha256")
            guard sha256.utf8.count == 64, FileName.isHexadecimal(sha256) else {
                throw Fault(description: "\(quoted(path)): sha256")
            }
            guard let checked = File.Checked(rawValue: try text(entry, "checked")) else {
                throw Fault(description: "\(quoted(path)): checked")
            }
            let git = entry["git"]?.stringValue
            guard git == nil || git?.utf8.count == 40 && FileName.isHexadecimal(git ?? "") else {
                throw Fault(description: "\(quoted(path)): git")
            }
            return File(path: path, size: size, sha256: sha256, checked: checked, gitBlob: git)
        }
    }

    package var json: JSONValue {
        [
            "version": 1, "repository": .string(repository), "revision": .string(revision),
            "commit": .string(commit), "endpoint": .string(endpoint), "pulled": .string(pulled.formatted(.iso8601)),
            "files": .array(
                files.map { file in
                    var object = JSONObject([
                        ("path", .string(file.path)), ("size", .int(file.size)), ("sha256", .string(file.sha256)),
                        ("checked", .string(file.checked.rawValue)),
                    ])
                    if let git = file.gitBlob { object["git"] = .string(git) }
                    return .object(object)
                }),
        ]
    }

    /// Writes the manifest so that a reader finds the old one or the new one, whole.
    func write(to folder: Folder, through staging: Folder) throws(HubError) {
        let text = Array((json.text(.pretty) + "\n").utf8)
        let file = try staging.file(FileName.manifest, write: true)
        try file.truncate(to: 0)
        let result: Result<Void, HubError> = text.withUnsafeBytes { bytes in
            do throws(HubError) { return .success(try file.write(bytes, at: 0)) } catch { return .failure(error) }
        }
        try result.get()
        try file.synchronize()
        try staging.move(FileName.manifest, to: folder, FileName.manifest)
        folder.synchronize()
    }
}
