// Opening a log: what a crash left is put in order, and what no crash leaves is refused.

import Crypto
import WaletJSON

/// What opening a log had to put in order.
public struct AuditRecovery: Sendable, Equatable {
    /// Whether the log was made by this.
    public internal(set) var isNew = false
    /// Entries that were whole, and whose hashes were not yet in the hash file.
    public internal(set) var completed = 0
    /// Bytes at the end that were no whole entry. They were cut off and lie in ``cutFile``.
    public internal(set) var cutBytes = 0
    /// The name of the file, in the log's folder, that has the bytes that were cut off.
    public internal(set) var cutFile: String?
    /// Bytes at the end of the checkpoints that were no whole checkpoint, and were cut off.
    public internal(set) var cutCheckpointBytes = 0
    /// Whether the key of the salts was missing: hashes of earlier texts can no longer be compared with a text.
    public internal(set) var saltWasMissing = false

    /// Whether the log was as a regular end leaves it.
    public var isClean: Bool {
        completed == 0 && cutBytes == 0 && cutCheckpointBytes == 0 && !saltWasMissing
    }
}

extension AuditRecovery: CustomStringConvertible {
    public var description: String {
        if isNew { return "a new log" }
        if isClean { return "the log was closed regularly" }
        var parts: [String] = []
        if completed > 0 { parts.append("\(completed) entries that had been written without their hashes were kept") }
        if cutBytes > 0 {
            parts.append("\(cutBytes) bytes of an entry that was never whole were cut off, into \(cutFile ?? "a file")")
        }
        if cutCheckpointBytes > 0 {
            parts.append("\(cutCheckpointBytes) bytes of an unfinished checkpoint were cut off")
        }
        if saltWasMissing { parts.append("the salt key was missing and made anew: earlier texts cannot be opened") }
        return "the log had not been closed: " + parts.joined(separator: "; ")
    }
}

extension AuditWriter {
    static let lockName = "lock"

    /// Opens a log, or makes it where there is none.
    ///
    /// Only the last segment is read, unless the hash file lacks more.
    /// - Throws: ``AuditError`` where the log is in use, or is not as any crash can leave it.
    static func open(_ path: String, options: AuditOptions) throws(AuditError) -> (AuditWriter, AuditRecovery) {
        try options.check()
        let folder = try AuditFolder(path, create: true)
        guard let lock = try folder.file(lockName, .create(mode: 0o640)) else { throw .noLog(folder: path) }
        guard try lock.tryLock() else { throw .locked(folder: path) }

        let names = try folder.names()
        let segments = try Segment.list(in: folder)
        var recovery = AuditRecovery()
        recovery.isNew =
            segments.isEmpty && !names.contains(HashFile.name) && !names.contains(CheckpointFile.name)
        // The key comes first: a log without one is a log whose key was lost.
        let signer = try AuditKeys.signer(in: folder, options: options, isNew: recovery.isNew)
        let hashes = try HashFile.open(in: folder)
        guard let checkpoints = try folder.file(CheckpointFile.name, .create(mode: 0o640)) else {
            throw .noLog(folder: path)
        }
        let checkpointBytes = try checkpoints.size()
        let (last, checkpointEnd) = try CheckpointFile.last(in: checkpoints, size: checkpointBytes)
        try last?.check(by: signer.verifier, source: "the last checkpoint in \(checkpoints.path)")

        var scan = Scan(folder: folder, hashes: hashes, checkpoint: last)
        try scan.run(segments)
        let (salts, isNewSalt) = try AuditKeys.salts(in: folder)
        recovery.saltWasMissing = isNewSalt && scan.tree.count > 0
        recovery.completed = scan.tree.count - scan.hashed
        try scan.cut(into: &recovery)
        try scan.writeHashes()
        try hashes.truncate(toEntries: scan.tree.count)
        if checkpointEnd < checkpointBytes {
            recovery.cutCheckpointBytes = checkpointBytes - checkpointEnd
            try checkpoints.truncate(to: checkpointEnd)
            try checkpoints.synchronize()
        }
        let segment: AuditFile
        if let file = scan.lastFile {
            segment = file
        } else {
            let name = Segment.name(first: 0)
            guard let file = try folder.file(name, .create(mode: 0o640)) else { throw .noLog(folder: path) }
            try folder.synchronize()
            segment = file
        }
        var writer = AuditWriter(
            folder: folder, lock: lock, options: options, signer: signer, salts: salts, segment: segment,
            segmentBytes: try segment.size(), tree: scan.tree, durable: scan.tree.count, hashes: hashes,
            hashed: scan.tree.count, checkpoints: checkpoints, checkpointBytes: checkpointEnd, lastCheckpoint: last)
        for body in writer.openingEntries(recovery, cutHash: scan.cutHash) {
            for result in writer.append([body]) { _ = try result.get() }
        }
        return (writer, recovery)
    }

    /// What the log says about this opening: nothing, where there was nothing to do.
    private func openingEntries(_ recovery: AuditRecovery, cutHash: MerkleHash?) -> [JSONObject] {
        var entries: [JSONObject] = []
        let salt: (String, JSONValue) = ("salt", .string(salts.fingerprint))
        if tree.count == 0 {
            let key: (String, JSONValue) = ("key", .string("\(signer.verifier)"))
            entries.append(AuditEntry.ofLog(event: "created", Dictionary(uniqueKeysWithValues: [salt, key])))
        } else if recovery.saltWasMissing {
            entries.append(AuditEntry.ofLog(event: "salt", Dictionary(uniqueKeysWithValues: [salt])))
        }
        if recovery.cutBytes > 0 || recovery.cutCheckpointBytes > 0 {
            entries.append(
                AuditEntry.ofLog(
                    event: "recovery",
                    [
                        "cut_bytes": .int(recovery.cutBytes), "cut_file": recovery.cutFile.map { .string($0) } ?? .null,
                        "cut_sha256": cutHash.map { .string($0.hexadecimal) } ?? .null,
                        "cut_checkpoint_bytes": .int(recovery.cutCheckpointBytes),
                    ]))
        }
        return entries
    }
}

/// Reads what is there: hashes where the hash file has them, entries where it does not.
private struct Scan {
    let folder: AuditFolder
    let hashes: HashFile
    let checkpoint: SignedCheckpoint?
    var tree = MerkleFrontier()
    /// Entries whose hashes are in the file, all of which must be there.
    var hashed = 0
    var lastFile: AuditFile?
    /// The end of the last segment that is no whole entry.
    private var torn: Range<Int>?
    private(set) var cutHash: MerkleHash?
    private var nodes: [MerkleHash] = []
    /// Entries whose nodes are in the file or were put there.
    private var flushed = 0
    private var rootAtCheckpoint: MerkleHash?

    init(folder: AuditFolder, hashes: HashFile, checkpoint: SignedCheckpoint?) {
        self.folder = folder
        self.hashes = hashes
        self.checkpoint = checkpoint
    }

    mutating func run(_ segments: [Segment]) throws(AuditError) {
        hashed = try hashes.entries()
        if let first = segments.first, first.first != 0 {
            throw .badSegment(
                file: first.name,
                reason: "it is the first that is there, and entries 0 to \(first.first - 1) are missing")
        }
        let begin = segments.lastIndex { $0.first <= hashed } ?? 0
        for (number, segment) in segments.enumerated().dropFirst(begin) {
            if number == begin {
                tree = try hashes.frontier(of: segment.first)
                flushed = segment.first
                noteRoot()
            }
            try read(segment, isLast: number == segments.count - 1)
        }
        guard tree.count >= hashed else {
            throw .truncated(expected: hashed, found: tree.count, witness: HashFile.name)
        }
        try checkCheckpoint()
    }

    private mutating func read(_ segment: Segment, isLast: Bool) throws(AuditError) {
        guard segment.first == tree.count else {
            throw .badSegment(file: segment.name, reason: "the segment before it ends with entry \(tree.count - 1)")
        }
        guard let file = try folder.file(segment.name, .write) else {
            throw .badSegment(file: segment.name, reason: "it vanished")
        }
        // The hash file speaks of durable entries only.
        try file.synchronize()
        lastFile = file
        let size = try file.size()
        var stored = HashStream(hashes, from: tree.count, entries: hashed)
        var lines = LineReader(file, to: size, maximumLine: AuditRecord.maximumBytes)
        var end = 0
        while let line = try lines.next() {
            let index = tree.count
            if index >= hashed {
                do throws(AuditRecord.Problem) {
                    let record = try AuditRecord(parsing: line.bytes)
                    guard record.index == index else {
                        throw AuditRecord.Problem(reason: "expected index \(index), found \(record.index)")
                    }
                } catch {
                    // After a loss of power, pages of the last writes may be missing, whole lines behind them there.
                    guard isLast else { throw .badLine(index: index, file: segment.name, reason: error.reason) }
                    break
                }
            }
            var completed: [MerkleHash] = []
            tree.append(.leaf(line.bytes)) { completed.append($0) }
            end = lines.offset
            if index < hashed { try compare(completed, with: &stored, index: index, file: segment.name) }
            if index >= hashed { nodes += completed } else { flushed = tree.count }
            noteRoot()
            if nodes.count > 1 << 16 { try writeHashes() }
        }
        if end < size {
            guard isLast else {
                throw .badLine(index: tree.count, file: segment.name, reason: "the segment ends within it")
            }
            torn = end..<size
        }
    }

    /// Compares what an entry completes with the hash file.
    private mutating func compare(
        _ completed: [MerkleHash], with stored: inout HashStream, index: Int, file: String
    ) throws(AuditError) {
        for (number, node) in completed.enumerated() {
            let found = try stored.next()
            if found == node { continue }
            guard let found, !found.isZero else {
                // A page of the hash file that never reached the disk.
                hashed = index
                return
            }
            if number == 0 { throw .entryChanged(index: index, file: file) }
            throw .badHashFile(
                path: hashes.file.path,
                reason:
                    "a node that entry \(index) completes is wrong; if 'walet audit verify' finds the entries right, "
                    + "remove the file and it is made again")
        }
    }

    private mutating func noteRoot() {
        if tree.count == checkpoint?.size { rootAtCheckpoint = tree.root }
    }

    private func checkCheckpoint() throws(AuditError) {
        guard let checkpoint else { return }
        guard checkpoint.size <= tree.count else {
            throw .truncated(
                expected: checkpoint.size, found: tree.count, witness: "the last checkpoint in \(CheckpointFile.name)")
        }
        let root: MerkleHash
        if let rootAtCheckpoint {
            root = rootAtCheckpoint
        } else {
            // It ends before what was read.
            root = try hashes.root(of: 0..<checkpoint.size)
        }
        guard root == checkpoint.root else {
            throw .checkpointMismatch(
                size: checkpoint.size, expected: checkpoint.root.base64, found: root.base64, trusted: 0)
        }
    }

    /// Puts the nodes that the file lacks into it.
    mutating func writeHashes() throws(AuditError) {
        guard !nodes.isEmpty else { return }
        try hashes.write(nodes, after: flushed)
        flushed = tree.count
        nodes = []
    }

    /// Cuts off what is no whole entry, after a copy of it is safe.
    mutating func cut(into recovery: inout AuditRecovery) throws(AuditError) {
        guard let torn, let file = lastFile else { return }
        let name = "cut-\(Segment.name(first: tree.count).dropLast(Segment.suffix.count)).bin"
        try folder.remove(name)
        guard let copy = try folder.file(name, .createNew(mode: 0o640)) else { throw .noLog(folder: folder.path) }
        var hasher = SHA256()
        var offset = torn.lowerBound
        while offset < torn.upperBound {
            let bytes = try file.bytes(offset..<min(torn.upperBound, offset + 1 << 20))
            if bytes.isEmpty { break }
            hasher.update(data: bytes)
            try copy.write(bytes, at: offset - torn.lowerBound)
            offset += bytes.count
        }
        try copy.synchronize()
        try folder.synchronize()
        cutHash = MerkleHash(hasher.finalize())
        try file.truncate(to: torn.lowerBound)
        try file.synchronize()
        recovery.cutBytes = torn.count
        recovery.cutFile = name
    }
}
