// What a hub says that a repository holds. Nothing in it is believed before it is checked.

import WaletJSON

/// A file of a repository on a hub.
public struct HubFile: Sendable, Equatable {
    /// Its path in the repository, as the hub spells it. Checked only when the file is selected for a pull.
    public let path: String
    /// In bytes; nil where a mirror does not tell.
    public var size: Int?
    /// What its content must hash to; nil where a mirror does not tell.
    public var hash: ExpectedHash?
}

/// The files of a repository at one commit.
public struct HubListing: Sendable, Equatable {
    public let repository: String
    /// The branch, tag or commit that was asked for.
    public let revision: String
    /// What it is now: a commit, in hexadecimal, or nil where a mirror does not tell.
    public let commit: String?
    public let files: [HubFile]

    /// 16 TiB, more than any file of a model has. Sums over as many files as a list may have cannot overflow.
    static let largestFile = 1 << 44

    /// Reads the answer to `GET /api/models/REPOSITORY/revision/REVISION?blobs=true`.
    package init(
        parsing bytes: some Collection<UInt8>, repository: String, revision: String, limits: Hub.Limits
    ) throws(HubError) {
        let what = "the list of files of \(repository)"
        func fault(_ reason: String) -> HubError { .badAnswer(what: what, reason: reason) }
        let json: JSONValue
        do {
            json = try JSONValue(parsing: bytes, maximumDepth: 64)
        } catch {
            throw fault("\(error)")
        }
        guard let siblings = json["siblings"]?.arrayValue else { throw fault("it has no array \"siblings\"") }
        guard siblings.count <= limits.files else { throw fault("\(siblings.count) files") }
        if let sha = json["sha"]?.stringValue {
            guard FileName.isCommit(sha) else { throw fault("\"sha\" is no commit: \(quoted(sha))") }
            commit = sha.lowercased()
        } else {
            commit = nil
        }
        self.repository = repository
        self.revision = revision
        var files: [HubFile] = []
        var seen: Set<[UInt8]> = []
        for entry in siblings {
            guard let path = entry["rfilename"]?.stringValue else { throw fault("a file without \"rfilename\"") }
            if FileName.isForged(path) {
                throw .unsafeFileName(path, reason: FileName.faultOfPath(path) ?? "the path leads out of its folder")
            }
            guard seen.insert(Array(path.utf8)).inserted else { throw fault("it lists \(quoted(path)) twice") }
            files.append(try Self.file(path, entry, fault))
        }
        self.files = files
    }

    private static func file(
        _ path: String, _ entry: JSONValue, _ fault: (String) -> HubError
    ) throws(HubError) -> HubFile {
        func size(_ value: JSONValue?) throws(HubError) -> Int? {
            guard let value, !value.isNull else { return nil }
            guard let size = value.intValue, (0...largestFile).contains(size) else {
                throw fault("\(quoted(path)) has the size \(clean(value.text()))")
            }
            return size
        }
        func digits(_ value: JSONValue?, _ count: Int) throws(HubError) -> String? {
            guard let value, !value.isNull else { return nil }
            guard let text = value.stringValue, text.utf8.count == count, FileName.isHexadecimal(text) else {
                throw fault("\(quoted(path)) has the hash \(clean(value.text()))")
            }
            return text.lowercased()
        }
        let plain = try size(entry["size"])
        if let lfs = entry["lfs"], !lfs.isNull {
            let large = try size(lfs["size"])
            if let plain, let large, plain != large { throw fault("\(quoted(path)) has two sizes, \(plain) and \(large)") }
            // `blobId` is the pointer's hash here, not the content's.
            let hash = try digits(lfs["sha256"], 64)
            return HubFile(path: path, size: large ?? plain, hash: hash.map(ExpectedHash.sha256))
        }
        return HubFile(path: path, size: plain, hash: try digits(entry["blobId"], 40).map(ExpectedHash.gitBlob))
    }

    /// The files that are about to be written, checked against each other.
    /// - Throws: ``HubError/unsafeFileName(_:reason:)``.
    package static func check(_ files: [HubFile]) throws(HubError) {
        var spellings: [String: String] = [:]
        for file in files {
            if let fault = FileName.faultOfPath(file.path) { throw .unsafeFileName(file.path, reason: fault) }
            // One file on a disk that ignores case.
            if let other = spellings.updateValue(file.path, forKey: file.path.lowercased()) {
                throw .unsafeFileName(file.path, reason: "it differs from \(quoted(other)) in case only")
            }
        }
        for file in files {
            var folder = file.path.lowercased()[...]
            while let slash = folder.lastIndex(of: "/") {
                folder = folder[..<slash]
                if let other = spellings[String(folder)] {
                    throw .unsafeFileName(file.path, reason: "\(quoted(other)) is a file, not a folder")
                }
            }
        }
    }
}
