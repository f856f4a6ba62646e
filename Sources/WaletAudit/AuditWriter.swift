// The one that writes: lines into segments, hashes after them, checkpoints after these.

import WaletJSON

/// Where an entry went.
public struct AuditReceipt: Sendable, Equatable {
    /// The entry's place in the log, from 0.
    public let index: Int
    /// Its leaf in the tree.
    public let leafHash: MerkleHash
}

/// How a log is doing.
public struct AuditStatus: Sendable, Equatable {
    /// Entries in the log.
    public internal(set) var entries = 0
    /// Those that are on the disk for sure.
    public internal(set) var durableEntries = 0
    /// Those that the last checkpoint covers.
    public internal(set) var checkpointSize = 0
    /// Entries that could not be written since one last could.
    public internal(set) var lost = 0
    /// Why the last thing that the log tried failed; nil where it did not.
    public internal(set) var failure: AuditError?
}

/// The open log. A value without threads: ``AuditLog`` calls it from one place at a time.
///
/// The order of writes makes every crash harmless: lines, then (once they are durable) their hashes, then (once these
/// are) a checkpoint. What a file says is thus always backed by the one before.
struct AuditWriter {
    let folder: AuditFolder
    /// Held as long as the log is open.
    let lock: AuditFile
    let options: AuditOptions
    let signer: NoteSigner
    let salts: SaltKey

    /// The segment that grows.
    var segment: AuditFile
    var segmentBytes: Int
    var tree: MerkleFrontier
    /// Entries that are on the disk.
    var durable: Int

    let hashes: HashFile
    /// Entries whose nodes are in the hash file.
    var hashed: Int
    /// The nodes that come after these, in their order.
    var unhashed: [MerkleHash] = []

    let checkpoints: AuditFile
    var checkpointBytes: Int
    var lastCheckpoint: SignedCheckpoint?
    var lastCheckpointTime = ContinuousClock.now

    /// Set for good where it is no longer known what a file holds.
    var broken: AuditError?
    /// Why the last entries could not be written.
    var failure: AuditError?
    /// Why the hash file or a checkpoint could not be: both are made up for later.
    var upkeepFailure: AuditError?
    var lost = 0
    var lostSince: String?

    /// Lines in memory before they are written; a batch may be larger by one line.
    private static let maximumBatch = 4 << 20

    var status: AuditStatus {
        AuditStatus(
            entries: tree.count, durableEntries: durable, checkpointSize: lastCheckpoint?.size ?? 0, lost: lost,
            failure: broken ?? failure ?? upkeepFailure)
    }

    func time() -> String { AuditTime.text(microseconds: options.now()) }

    /// Writes entries in their order; each is written by itself or not at all.
    /// - Parameter countsLosses: whether entries that cannot be written are lost, rather than tried again by the
    ///   caller.
    mutating func append(_ bodies: [JSONObject], countsLosses: Bool = true) -> [Result<AuditReceipt, AuditError>] {
        var results = [Result<AuditReceipt, AuditError>?](repeating: nil, count: bodies.count)
        var (waiting, written): ([(slot: Int, receipt: AuditReceipt)], [(slot: Int, receipt: AuditReceipt)]) = ([], [])
        var problem: AuditError?
        do throws(AuditError) {
            if let broken { throw broken }
            var batch = Batch(tree: tree)
            if lost > 0 { _ = batch.add(try gapLine(), isGap: true) }
            for (slot, body) in bodies.enumerated() {
                let line: [UInt8]
                do throws(AuditError) {
                    line = try AuditRecord.line(body, index: batch.tree.count, time: time())
                } catch {
                    // This entry's own fault.
                    results[slot] = .failure(error)
                    continue
                }
                let bytes = segmentBytes + batch.bytes.count
                let isFull = bytes > 0 && bytes + line.count + 1 > options.segmentBytes
                if isFull || batch.bytes.count >= Self.maximumBatch {
                    try write(batch)
                    written += waiting
                    waiting = []
                    batch = Batch(tree: tree)
                    if isFull { try beginSegment() }
                }
                waiting.append((slot, batch.add(line)))
            }
            try write(batch)
            written += waiting
        } catch {
            problem = error
        }
        if options.sync == .everyEntry, durable < tree.count || hashed < durable {
            do throws(AuditError) {
                try synchronize()
            } catch {
                problem = error
                written = []
            }
        }
        for (slot, receipt) in written { results[slot] = .success(receipt) }
        if countsLosses, problem != nil {
            if lost == 0 { lostSince = time() }
            for case nil in results { lost += 1 }
        }
        failure = problem
        if problem == nil { signIfDue() }
        let failed = Result<AuditReceipt, AuditError>.failure(problem ?? .closed)
        return results.map { $0 ?? failed }
    }

    /// Throws where the log cannot be written, after trying.
    mutating func ready() throws(AuditError) {
        if let broken { throw broken }
        guard failure != nil || lost > 0 else { return }
        _ = append([])
        if let failure = broken ?? failure { throw failure }
    }

    /// What the log says where entries before could not be written.
    private func gapLine() throws(AuditError) -> [UInt8] {
        let details: [String: JSONValue] = [
            "lost": .int(lost), "since": .string(lostSince ?? ""),
            "reason": .string(clean(failure.map { "\($0)" } ?? "unknown")),
        ]
        return try AuditRecord.line(AuditEntry.ofLog(event: "gap", details), index: tree.count, time: time())
    }

    /// Lines that go to the file together.
    private struct Batch {
        var tree: MerkleFrontier
        var bytes: [UInt8] = []
        var nodes: [MerkleHash] = []
        var hasGap = false

        init(tree: MerkleFrontier) { self.tree = tree }

        mutating func add(_ line: [UInt8], isGap: Bool = false) -> AuditReceipt {
            let receipt = AuditReceipt(index: tree.count, leafHash: .leaf(line))
            tree.append(receipt.leafHash) { nodes.append($0) }
            bytes += line
            bytes.append(0x0A)
            if isGap { hasGap = true }
            return receipt
        }
    }

    private mutating func write(_ batch: Batch) throws(AuditError) {
        guard !batch.bytes.isEmpty else { return }
        try checkUnchanged(segment, segmentBytes)
        do throws(AuditError) {
            try segment.write(batch.bytes, at: segmentBytes)
        } catch {
            // Half a batch must not stay. A full disk has room for less.
            do throws(AuditError) { try segment.truncate(to: segmentBytes) } catch { broken = error }
            throw error
        }
        segmentBytes += batch.bytes.count
        tree = batch.tree
        unhashed += batch.nodes
        if batch.hasGap { (lost, lostSince) = (0, nil) }
    }

    /// Somebody who cuts or removes a file that is being written leaves a hole where the next write goes.
    private mutating func checkUnchanged(_ file: AuditFile, _ size: Int) throws(AuditError) {
        let status = try file.status()
        guard status.size == size, status.isLinked else {
            let error = AuditError.changedUnderneath(
                path: file.path, expected: size, found: status.isLinked ? status.size : 0)
            broken = error
            throw error
        }
    }

    /// Brings all entries to the disk, and then their hashes into the hash file.
    mutating func synchronize() throws(AuditError) {
        if let broken { throw broken }
        if durable < tree.count {
            do throws(AuditError) {
                try segment.synchronize()
            } catch {
                // Which pages the system still has to write is unknown after this; the next open finds out.
                broken = error
                throw error
            }
            durable = tree.count
        }
        // The hashes can be made again, so that a full disk here loses nothing: they wait.
        do throws(AuditError) { try writeHashes() } catch { upkeepFailure = error }
    }

    private mutating func writeHashes() throws(AuditError) {
        guard hashed < durable else { return }
        try hashes.write(unhashed, after: hashed)
        hashed = durable
        unhashed = []
        upkeepFailure = nil
    }

    private mutating func beginSegment() throws(AuditError) {
        try synchronize()
        // Opening relies on the hashes of all segments but the last.
        try writeHashes()
        try hashes.file.synchronize()
        let segment = Segment(first: tree.count)
        guard let file = try folder.file(segment.name, .create(mode: 0o640)) else { throw .noLog(folder: folder.path) }
        guard try file.size() == 0 else {
            throw .badSegment(file: segment.name, reason: "it is there before its time")
        }
        try folder.synchronize()
        self.segment = file
        segmentBytes = 0
    }

    /// Signs what the log is now, unless that is signed.
    mutating func checkpoint() throws(AuditError) -> SignedCheckpoint {
        if let broken { throw broken }
        if let lastCheckpoint, lastCheckpoint.size == tree.count { return lastCheckpoint }
        lastCheckpointTime = .now
        try synchronize()
        try writeHashes()
        try hashes.file.synchronize()
        let note = try SignedCheckpoint(
            origin: signer.verifier.name, size: tree.count, root: tree.root, signer: signer)
        try checkUnchanged(checkpoints, checkpointBytes)
        let bytes = Array("\(note)\n".utf8)
        do throws(AuditError) {
            try checkpoints.write(bytes, at: checkpointBytes)
            try checkpoints.synchronize()
        } catch {
            do throws(AuditError) { try checkpoints.truncate(to: checkpointBytes) } catch { broken = error }
            throw error
        }
        checkpointBytes += bytes.count
        lastCheckpoint = note
        upkeepFailure = nil
        return note
    }

    private mutating func signIfDue() {
        let new = tree.count - (lastCheckpoint?.size ?? 0)
        guard new >= options.checkpointEntries || (new > 0 && isCheckpointTime) else { return }
        do throws(AuditError) { _ = try checkpoint() } catch { upkeepFailure = error }
    }

    private var isCheckpointTime: Bool { ContinuousClock.now - lastCheckpointTime >= options.checkpointInterval }

    /// What time brings: synchronization by interval, a checkpoint, another try at what failed.
    mutating func tick() {
        guard broken == nil else { return }
        if durable < tree.count || hashed < durable {
            do throws(AuditError) { try synchronize() } catch { failure = error }
        }
        signIfDue()
    }

    /// The last of all: everything durable and signed.
    mutating func finish() throws(AuditError) {
        try synchronize()
        if tree.count > 0 { _ = try checkpoint() }
    }
}
