// Everything again, from the first byte: is this the log that was written?

import Foundation
import WaletJSON

/// What verifying a log found.
public struct AuditReport: Sendable {
    public let folder: String
    /// The key under which checkpoints were checked.
    public let key: NoteVerifierKey
    /// Whether the caller gave the key, rather than the log's folder, which proves nothing against whoever can write
    /// there.
    public let keyWasGiven: Bool
    /// Entries that were read and are right as far as can be known.
    public internal(set) var entries = 0
    /// The root of their tree; nil where something is wrong.
    public internal(set) var root: MerkleHash?
    public internal(set) var segments = 0
    public internal(set) var bytes = 0
    /// When the first and the last entry were logged.
    public internal(set) var firstTime: String?
    public internal(set) var lastTime: String?
    /// Checkpoints of the log's own file that hold.
    public internal(set) var checkpoints = 0
    /// Entries that the last of them, or of those given, covers.
    public internal(set) var signedEntries = 0
    /// Sizes of the given checkpoints that hold: the log is an extension of each.
    public internal(set) var confirmed: [Int] = []
    /// What is wrong, first in the order of the log; nil for nothing.
    public internal(set) var problem: AuditError?
    /// The first entry that is wrong or missing, where that can be known.
    public internal(set) var firstWrongEntry: Int?
    /// What is worth knowing and is no fault.
    public internal(set) var notes: [String] = []

    public var isIntact: Bool { problem == nil }
}

/// Verifies a log as a whole.
public enum AuditVerifier {
    /// Reads every entry, computes the tree anew and compares it with the hash file, with every checkpoint of the log
    /// and with those that the caller kept elsewhere. A server may be writing meanwhile.
    /// - Parameters:
    ///   - key: the log's public key, from elsewhere; nil: the one that lies beside the log.
    ///   - checkpoints: checkpoints kept elsewhere. Only against these can a log be checked whose end was removed
    ///     together with its checkpoints.
    /// - Throws: ``AuditError`` where the log cannot be read. What is wrong with it is in the report.
    public static func verify(
        folder: String, key: NoteVerifierKey? = nil, checkpoints: [SignedCheckpoint] = []
    ) throws(AuditError) -> AuditReport {
        let directory = try AuditFolder(folder, create: false)
        guard try !directory.names().allSatisfy({ Segment(name: $0) == nil && $0 != HashFile.name }) else {
            throw .noLog(folder: folder)
        }
        // A key that was given is enough; what lies beside the log is compared with it.
        var stored: NoteVerifierKey?
        var problem: AuditError?
        do throws(AuditError) { stored = try AuditKeys.verifier(in: directory) } catch { problem = error }
        guard let used = key ?? stored else {
            throw problem ?? .keyMissing(path: directory.path(of: AuditKeys.publicKeyName))
        }
        if let stored, stored != used {
            problem = .keyDiffers(
                path: directory.path(of: AuditKeys.publicKeyName), expected: "\(used)", found: "\(stored)")
        }
        var run = Verification(
            directory, AuditReport(folder: folder, key: used, keyWasGiven: key != nil), given: checkpoints)
        if problem == nil {
            do throws(AuditError) { try run.all() } catch { problem = error }
        }
        switch problem {
        // The log could not be read, which says nothing about it.
        case .file?, .noLog?: throw problem ?? .noLog(folder: folder)
        default: return run.finish(problem)
        }
    }
}

extension AuditError {
    /// The entry that an error is about, where there is one that is known.
    var firstWrongEntry: Int? {
        switch self {
        case .badLine(let index, _, _), .entryChanged(let index, _): index
        case .truncated(_, let found, _): found
        case .checkpointMismatch(let size, _, _, let trusted): trusted == size - 1 ? trusted : nil
        default: nil
        }
    }
}

private struct Verification {
    var report: AuditReport
    private let directory: AuditFolder
    /// Entries that the hash file speaks of.
    private var hashed = 0
    private var stored: HashStream?
    private var own: CheckpointFile.Reader?
    private var nextOwn: SignedCheckpoint?
    private var lastOwnSize = 0
    private var given: ArraySlice<SignedCheckpoint>
    private var tree = MerkleFrontier()
    /// The first entry that differs from the hash file: one of the two is wrong.
    private var suspect: (index: Int, file: String)?
    /// Where it was the hash file.
    private var damagedHashes: AuditError?
    private var times = (backwards: 0, first: 0)
    private var events: [String: (count: Int, first: Int)] = [:]

    init(_ directory: AuditFolder, _ report: AuditReport, given: [SignedCheckpoint]) {
        self.report = report
        self.directory = directory
        self.given = given.sorted { $0.size < $1.size }[...]
    }

    mutating func all() throws(AuditError) {
        // In this order: while a server writes, what is looked at later holds at least what was looked at before.
        if let file = try directory.file(CheckpointFile.name, .read) {
            own = CheckpointFile.Reader(file, end: try file.size())
        }
        if let hashes = try HashFile.read(in: directory) {
            hashed = try hashes.entries()
            stored = HashStream(hashes, from: 0, entries: hashed)
        }
        let segments = try Segment.list(in: directory)
        for checkpoint in given { try checkpoint.check(by: report.key, source: "the given checkpoint") }
        try advance()
        try settle()
        for (number, segment) in segments.enumerated() {
            try read(segment, isLast: number == segments.count - 1)
            report.segments += 1
        }
        try checkNothingIsMissing()
        if let suspect { throw .entryChanged(index: suspect.index, file: suspect.file) }
        if let damagedHashes { throw damagedHashes }
    }

    /// The report, with the first thing that is wrong.
    mutating func finish(_ problem: AuditError?) -> AuditReport {
        report.problem = problem
        report.firstWrongEntry = problem?.firstWrongEntry
        report.entries = min(tree.count, report.firstWrongEntry ?? tree.count)
        report.root = problem == nil ? tree.root : nil
        if let torn = own?.torn, torn > 0 {
            report.notes.append("\(torn) bytes at the end of \(CheckpointFile.name) are no whole checkpoint yet")
        }
        if report.problem == nil, tree.count > hashed {
            report.notes.append(
                "\(tree.count - hashed) entries have no hash in \(HashFile.name) yet; an edit among them, as long as no "
                    + "checkpoint covers them, cannot be told")
        }
        if report.problem == nil, tree.count > report.signedEntries {
            report.notes.append("\(tree.count - report.signedEntries) entries are not covered by a checkpoint yet")
        }
        if times.backwards > 0 {
            report.notes.append("the clock went back \(times.backwards) times, first at entry \(times.first)")
        }
        for (event, seen) in events.sorted(by: { $0.value.first < $1.value.first }) where event != "created" {
            report.notes.append(
                "the log says '\(clean(event))' about itself \(seen.count) times, first in entry \(seen.first)")
        }
        if !report.keyWasGiven {
            report.notes.append("the key came from the log's own folder; give one that was kept elsewhere")
        }
        return report
    }

    private mutating func read(_ segment: Segment, isLast: Bool) throws(AuditError) {
        guard segment.first == tree.count else {
            if segment.first > tree.count {
                throw .badLine(
                    index: tree.count, file: segment.name,
                    reason: "the segment begins with entry \(segment.first); entries \(tree.count) to "
                        + "\(segment.first - 1) are missing")
            }
            throw .badSegment(
                file: segment.name,
                reason: "it begins with entry \(segment.first), which the segment before it has already")
        }
        guard let file = try directory.file(segment.name, .read) else {
            throw .badSegment(file: segment.name, reason: "it vanished")
        }
        let size = try file.size()
        var lines = LineReader(file, to: size, maximumLine: AuditRecord.maximumBytes)
        while let line = try lines.next() {
            try add(line.bytes, file: segment.name)
            try settle()
        }
        let torn = size - lines.offset
        report.bytes += lines.offset
        guard torn > 0 else { return }
        guard isLast else {
            throw .badLine(index: tree.count, file: segment.name, reason: "the segment ends within it")
        }
        report.notes.append(
            "\(torn) bytes at the end of \(segment.name) are no whole entry: one is being written, or the server was "
                + "killed (the next start cuts them off and says so)")
    }

    private mutating func add(_ line: [UInt8], file: String) throws(AuditError) {
        let index = tree.count
        let record: AuditRecord
        do throws(AuditRecord.Problem) {
            record = try AuditRecord(parsing: line)
        } catch {
            throw .badLine(index: index, file: file, reason: error.reason)
        }
        guard record.index == index else {
            throw .badLine(
                index: index, file: file,
                reason: record.index > index
                    ? "entry \(record.index) stands in its place: entries were removed or moved"
                    : "an entry that says it is \(record.index) stands in its place: it was repeated, inserted or moved"
            )
        }
        var completed: [MerkleHash] = []
        tree.append(.leaf(line)) { completed.append($0) }
        if index < hashed, suspect == nil, damagedHashes == nil {
            for (number, node) in completed.enumerated() where try stored?.next() != node {
                if number == 0 {
                    suspect = (index, file)
                } else {
                    damagedHashes = hashFileError(index)
                }
                break
            }
        }
        if let last = report.lastTime, record.time < last {
            if times.backwards == 0 { times.first = index }
            times.backwards += 1
        }
        if index == 0 { report.firstTime = record.time }
        report.lastTime = record.time
        if record.kind == "log", let event = record.value["event"]?.stringValue,
            events.count < 64 || events[event] != nil
        {
            events[event, default: (0, index)].count += 1
        }
    }

    private func hashFileError(_ index: Int) -> AuditError {
        .badHashFile(
            path: directory.path(of: HashFile.name),
            reason:
                "it is wrong from entry \(index) on, the entries are those that were signed; stop the server and remove "
                + "the file, then the next start makes it again")
    }

    /// Compares the tree, as it has grown to now, with every checkpoint of this size.
    private mutating func settle() throws(AuditError) {
        while let checkpoint = nextOwn, checkpoint.size == tree.count {
            try compare(checkpoint)
            report.checkpoints += 1
            try advance()
        }
        while let checkpoint = given.first, checkpoint.size == tree.count {
            try compare(checkpoint)
            report.confirmed.append(checkpoint.size)
            given.removeFirst()
        }
    }

    private mutating func compare(_ checkpoint: SignedCheckpoint) throws(AuditError) {
        let root = tree.root
        guard root == checkpoint.root else {
            if let suspect { throw .entryChanged(index: suspect.index, file: suspect.file) }
            throw .checkpointMismatch(
                size: checkpoint.size, expected: checkpoint.root.base64, found: root.base64,
                trusted: report.signedEntries)
        }
        report.signedEntries = max(report.signedEntries, checkpoint.size)
        if let suspect {
            // What was signed is what is there: so the hash file is wrong.
            damagedHashes = hashFileError(suspect.index)
            self.suspect = nil
        }
    }

    /// The next of the log's own checkpoints.
    private mutating func advance() throws(AuditError) {
        nextOwn = try own?.next()
        guard let nextOwn, let source = own?.source else { return }
        try nextOwn.check(by: report.key, source: source)
        guard nextOwn.size >= lastOwnSize else {
            throw .badCheckpoint(
                source: source, reason: "it covers \(nextOwn.size) entries, the one before it \(lastOwnSize)")
        }
        lastOwnSize = nextOwn.size
    }

    /// Whoever knows of more entries than there are.
    private mutating func checkNothingIsMissing() throws(AuditError) {
        var (expected, witness) = (hashed, HashFile.name)
        while let checkpoint = nextOwn {
            if checkpoint.size > expected {
                (expected, witness) = (checkpoint.size, own?.source ?? CheckpointFile.name)
            }
            try advance()
        }
        if let checkpoint = given.last, checkpoint.size > expected {
            (expected, witness) = (checkpoint.size, "the checkpoint that was given")
        }
        guard expected <= tree.count else {
            if let suspect { throw .entryChanged(index: suspect.index, file: suspect.file) }
            throw .truncated(expected: expected, found: tree.count, witness: witness)
        }
    }
}
