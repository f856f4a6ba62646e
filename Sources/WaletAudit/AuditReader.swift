// Reading a log without writing to it, beside the process that writes.

/// A log as it was when this was made, for reading entries and making proofs.
public struct AuditReader: Sendable {
    /// The log's folder.
    public let folder: String
    /// Entries whose hashes are in the hash file. There may be a few more that were just written.
    public let entries: Int
    private let directory: AuditFolder
    private let hashes: HashFile?
    private let segments: [Segment]

    /// - Throws: ``AuditError/noLog(folder:)`` where there is none.
    public init(folder: String) throws(AuditError) {
        self.folder = folder
        directory = try AuditFolder(folder, create: false)
        // In this order: segments hold at least what the hash file speaks of.
        hashes = try HashFile.read(in: directory)
        entries = try hashes?.entries() ?? 0
        segments = try Segment.list(in: directory)
        guard hashes != nil || !segments.isEmpty else { throw .noLog(folder: folder) }
    }

    /// The public key that lies beside the log. Whoever can change the log can change this, too: an auditor has it
    /// from elsewhere.
    public func verifierKey() throws(AuditError) -> NoteVerifierKey {
        guard let key = try AuditKeys.verifier(in: directory) else {
            throw .keyMissing(path: directory.path(of: AuditKeys.publicKeyName))
        }
        return key
    }

    /// The last checkpoint, or nil where none was signed yet.
    public func lastCheckpoint() throws(AuditError) -> SignedCheckpoint? {
        guard let file = try directory.file(CheckpointFile.name, .read) else { return nil }
        return try CheckpointFile.last(in: file, size: file.size()).note
    }

    /// Hands over the checkpoints, oldest first.
    public func forEachCheckpoint(_ body: (SignedCheckpoint) -> Void) throws(AuditError) {
        guard let file = try directory.file(CheckpointFile.name, .read) else { return }
        var reader = CheckpointFile.Reader(file, end: try file.size())
        while let note = try reader.next() { body(note) }
    }

    /// The entries from an index on, read as they are asked for.
    public func records(from index: Int = 0) throws(AuditError) -> AuditRecords {
        try AuditRecords(directory, segments, from: index)
    }

    /// - Throws: ``AuditError/noSuchEntry(index:entries:)``.
    public func record(at index: Int) throws(AuditError) -> AuditRecord {
        var records = try records(from: index)
        guard let record = try records.next() else { throw .noSuchEntry(index: index, entries: entries) }
        return record
    }

    /// The root of the tree of the first entries.
    public func root(size: Int) throws(AuditError) -> MerkleHash {
        guard size <= entries, size >= 0 else { throw .noSuchEntry(index: max(size, 1) - 1, entries: entries) }
        guard let hashes, size > 0 else { return .empty }
        return try hashes.root(of: 0..<size)
    }

    /// A proof that an entry is in the tree of the first `size` entries; reads O(log n) hashes.
    public func inclusionProof(of index: Int, size: Int) throws(AuditError) -> InclusionProof {
        guard let hashes, size >= 1, size <= entries else {
            throw .noSuchEntry(index: max(size, 1) - 1, entries: entries)
        }
        guard index >= 0, index < size else { throw .noSuchEntry(index: index, entries: size) }
        return try hashes.inclusionProof(index: index, size: size)
    }

    /// A proof that the tree of the first `first` entries is the beginning of the one of the first `second`.
    public func consistencyProof(from first: Int, to second: Int) throws(AuditError) -> ConsistencyProof {
        guard first >= 0, first <= second, second <= entries else {
            throw .noSuchEntry(index: max(first, second, 1) - 1, entries: entries)
        }
        guard let hashes else { return ConsistencyProof(first: first, second: second, hashes: []) }
        return try hashes.consistencyProof(first: first, second: second)
    }

    /// Proves that an entry is among those that the last checkpoint covers.
    /// - Parameters:
    ///   - disclosesPrompt: whether the prompt's salt goes with the proof, so that its receiver can compare a text
    ///     with it.
    ///   - disclosesAnswer: the same for the answer.
    /// - Throws: ``AuditError/notYetSigned(index:covered:)``; or what is wrong with the log where the proof would not
    ///   hold.
    public func prove(
        _ index: Int, disclosesPrompt: Bool = false, disclosesAnswer: Bool = false
    ) throws(AuditError) -> EntryProof {
        let record = try record(at: index)
        let checkpoint = try lastCheckpoint()
        guard let checkpoint, index < checkpoint.size else {
            throw .notYetSigned(index: index, covered: checkpoint?.size ?? 0)
        }
        let inclusion = try inclusionProof(of: index, size: checkpoint.size)
        guard inclusion.proves(record.leafHash, in: checkpoint.root) else {
            throw .badProof(
                reason:
                    "entry \(index) does not lead to the root that was signed; 'walet audit verify' finds what is wrong"
            )
        }
        var salts: [String: [UInt8]] = [:]
        for (name, isWanted) in [("prompt", disclosesPrompt), ("answer", disclosesAnswer)] where isWanted {
            guard let nonce = record.value[name]?["nonce"]?.stringValue, let bytes = Hexadecimal.bytes(nonce) else {
                throw .badProof(reason: "entry \(index) has no \(name)")
            }
            guard let key = try AuditKeys.readSalts(in: directory) else {
                throw .keyMissing(path: directory.path(of: AuditKeys.saltName))
            }
            salts[name] = key.salt(for: bytes)
        }
        return EntryProof(line: record.line, inclusion: inclusion, checkpoint: checkpoint, salts: salts)
    }

    /// Proves that the last checkpoint's log is an extension of an older one's.
    public func prove(extensionOf old: SignedCheckpoint) throws(AuditError) -> ExtensionProof {
        guard let checkpoint = try lastCheckpoint() else { throw .notYetSigned(index: 0, covered: 0) }
        guard old.origin == checkpoint.origin else {
            throw .originDiffers(expected: old.origin, found: checkpoint.origin)
        }
        guard old.size <= checkpoint.size else {
            throw .truncated(expected: old.size, found: checkpoint.size, witness: "the older checkpoint")
        }
        let consistency = try consistencyProof(from: old.size, to: checkpoint.size)
        guard consistency.proves(old.root, isBeginningOf: checkpoint.root) else {
            throw .checkpointMismatch(
                size: old.size, expected: old.root.base64, found: try root(size: old.size).base64, trusted: 0)
        }
        return ExtensionProof(consistency: consistency, checkpoint: checkpoint)
    }
}

/// Entries one after the other.
public struct AuditRecords {
    private let folder: AuditFolder
    private var segments: ArraySlice<Segment>
    private var lines: LineReader?
    private var file = ""
    private var index: Int

    fileprivate init(_ folder: AuditFolder, _ segments: [Segment], from index: Int) throws(AuditError) {
        self.folder = folder
        self.index = index
        guard index >= 0, let number = segments.lastIndex(where: { $0.first <= index }) else {
            self.segments = []
            return
        }
        self.segments = segments[number...]
        // Entries before the wanted one are lines of the same segment.
        self.index = segments[number].first
        while self.index < index, try line() != nil {}
    }

    /// The next entry, or nil at the end.
    public mutating func next() throws(AuditError) -> AuditRecord? {
        guard let line = try line() else { return nil }
        do throws(AuditRecord.Problem) {
            let record = try AuditRecord(parsing: line)
            if record.index == index - 1 { return record }
            throw AuditRecord.Problem(reason: "entry \(record.index) stands in its place")
        } catch {
            throw .badLine(index: index - 1, file: file, reason: error.reason)
        }
    }

    private mutating func line() throws(AuditError) -> [UInt8]? {
        while true {
            if let line = try lines?.next() {
                index += 1
                return line.bytes
            }
            guard let segment = segments.popFirst() else { return nil }
            guard segment.first == index else {
                throw .badSegment(file: segment.name, reason: "the segment before it ends with entry \(index - 1)")
            }
            guard let file = try folder.file(segment.name, .read) else {
                throw .badSegment(file: segment.name, reason: "it vanished")
            }
            self.file = segment.name
            lines = LineReader(file, to: try file.size(), maximumLine: AuditRecord.maximumBytes)
        }
    }
}
