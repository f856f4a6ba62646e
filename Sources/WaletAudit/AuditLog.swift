// The audit log: an append-only list of entries whose every change, but growth, can be found.

import Dispatch
import Foundation
import Synchronization
import WaletJSON

/// An append-only log with a Merkle tree over its entries (RFC 6962) and signed checkpoints of it.
///
///     let log = try AuditLog.open(folder: "/var/lib/walet/audit")
///     var prompt = log.recorder()
///     prompt.add("How high is Merapi?")
///     try await log.append(.request(AuditRequest(
///         id: "req_1", endpoint: "/v1/chat/completions", status: 200, outcome: "stop", prompt: prompt.finish())))
///     try await log.close()
///
/// Entries are lines of JSON in segments (`000000000000.jsonl`, …); `hashes.bin` holds the tree, `checkpoints.txt` the
/// checkpoints, `key` signs them, `salt` is behind the hashes of texts. A process that dies, by `kill -9` too, leaves
/// a log that opens again with every entry that was confirmed. One process at a time can have the log open.
public final class AuditLog: Sendable {
    /// The log's folder.
    public let folder: String
    /// The key under which checkpoints are checked. Its description is what to give to an auditor.
    public let verifierKey: NoteVerifierKey
    /// What opening had to put in order.
    public let recovery: AuditRecovery

    private let options: AuditOptions
    private let salts: SaltKey
    private let queue = DispatchQueue(label: "walet.audit")
    private let jobs = Mutex(Jobs())
    /// Used on the queue only; the lock says so to the compiler.
    private let writer: Mutex<AuditWriter?>
    private let inboxTaken: Mutex<Set<String>>
    private let published: Mutex<AuditStatus>

    /// `$WALET_AUDIT`, else `walet/audit` in `$XDG_DATA_HOME`, else in `~/.local/share`.
    public static var defaultFolder: String {
        let environment = ProcessInfo.processInfo.environment
        func value(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
        if let folder = value("WALET_AUDIT") { return folder }
        let data = value("XDG_DATA_HOME") ?? NSHomeDirectory() + "/.local/share"
        return data + "/walet/audit"
    }

    /// Opens a log, or makes it where there is none. Blocks for as long as reading the last segment takes.
    /// - Throws: ``AuditError`` where another process has the log, where a key is missing or can be read by others, or
    ///   where
    ///   the log is not as any crash can leave it: then it was tampered with, or its disk is failing.
    public static func open(folder: String, options: AuditOptions = AuditOptions()) throws(AuditError) -> AuditLog {
        let (opened, recovery) = try AuditWriter.open(folder, options: options)
        var writer = opened
        var taken = try writer.submissionsTaken()
        try writer.takeInbox(known: &taken)
        let log = AuditLog(writer, recovery: recovery, taken: taken)
        log.scheduleTick()
        return log
    }

    private init(_ writer: AuditWriter, recovery: AuditRecovery, taken: Set<String>) {
        folder = writer.folder.path
        verifierKey = writer.signer.verifier
        self.recovery = recovery
        options = writer.options
        salts = writer.salts
        published = Mutex(writer.status)
        self.writer = Mutex(writer)
        inboxTaken = Mutex(taken)
    }

    /// Takes a prompt or an answer piece by piece. Nothing of it is in the log before an entry with it is appended.
    public func recorder() -> AuditTextRecorder {
        AuditTextRecorder(salts: salts, maximumKept: options.includesText ? options.maximumTextBytes : nil)
    }

    /// Writes an entry. Returns once it is as durable as ``AuditOptions/sync`` says; entries that wait together are
    /// synchronized together. Entries stand in the order of the calls.
    ///
    /// Cancellation of the task does not keep the entry from being written.
    /// - Throws: ``AuditError/diskFull(path:needed:free:)`` and others. Then the entry is not in the log, and the next
    ///   one
    ///   that can be written comes after one that says how many are missing.
    @discardableResult
    public func append(_ entry: AuditEntry) async throws(AuditError) -> AuditReceipt {
        let body = entry.body
        return try await submit { .append(body, $0) }
    }

    /// Throws where entries cannot be written now. Cheap where all is well, else it tries.
    public func ready() async throws(AuditError) {
        let _: Bool = try await submit { .ready($0) }
    }

    /// Signs the log as it is. Where there is nothing new, the last checkpoint comes back.
    @discardableResult
    public func checkpoint() async throws(AuditError) -> SignedCheckpoint { try await submit { .checkpoint($0) } }

    /// Writes what waits, signs it and lets the log go. Entries after this throw ``AuditError/closed``; closing again
    /// does nothing.
    public func close() async throws(AuditError) {
        do throws(AuditError) {
            let _: Bool = try await submit { .close($0) }
        } catch .closed {
            return
        }
    }

    /// How the log is doing, as of its last write. Does not wait for a write that is under way.
    public var status: AuditStatus { published.withLock { $0 } }

    /// Leaves an entry for a log that another process may have open: appends it where none has, else puts it into the
    /// log's inbox, from where the process that has it takes it within a second, or whoever opens the log next.
    public static func submit(
        _ entry: AuditEntry, folder: String, options: AuditOptions = AuditOptions()
    ) async throws(AuditError) {
        let log: AuditLog
        do throws(AuditError) {
            log = try open(folder: folder, options: options)
        } catch .locked {
            try AuditInbox.put(entry.body, in: AuditFolder(folder, create: false), time: options.now())
            return
        }
        try await log.append(entry)
        try await log.close()
    }
}

extension AuditLog {
    private typealias Reply<Value> = CheckedContinuation<Result<Value, AuditError>, Never>

    private enum Job {
        case append(JSONObject, Reply<AuditReceipt>)
        case ready(Reply<Bool>)
        case checkpoint(Reply<SignedCheckpoint>)
        case close(Reply<Bool>)
    }

    private struct Jobs {
        var waiting: [Job] = []
        /// Whether the queue is working on them or about to.
        var isScheduled = false
        var isClosed = false
    }

    /// Entries that are written together at most.
    private static let maximumGroup = 4096

    /// Hands a job to the queue and waits for its result.
    private func submit<Value: Sendable>(
        _ job: (Reply<Value>) -> Job
    ) async throws(AuditError) -> Value {
        let result = await withCheckedContinuation { (reply: Reply<Value>) in
            let job = job(reply)
            let (isAccepted, mustSchedule) = jobs.withLock { jobs in
                guard !jobs.isClosed else { return (false, false) }
                if case .close = job { jobs.isClosed = true }
                jobs.waiting.append(job)
                defer { jobs.isScheduled = true }
                return (true, !jobs.isScheduled)
            }
            if !isAccepted { return reply.resume(returning: .failure(.closed)) }
            if mustSchedule { queue.async { self.work() } }
        }
        return try result.get()
    }

    /// On the queue: works until nothing waits. What comes in meanwhile shares the next synchronization.
    private func work() {
        while true {
            let group = jobs.withLock { jobs -> [Job] in
                let group = Array(jobs.waiting.prefix(Self.maximumGroup))
                jobs.waiting.removeFirst(group.count)
                if group.isEmpty { jobs.isScheduled = false }
                return group
            }
            if group.isEmpty { return }
            var entries: [(body: JSONObject, reply: Reply<AuditReceipt>)] = []
            for job in group {
                switch job {
                case .append(let body, let reply): entries.append((body, reply))
                case .ready(let reply):
                    append(&entries)
                    reply.resume(
                        returning: withWriter { writer throws(AuditError) in
                            try writer.ready(); return true
                        })
                case .checkpoint(let reply):
                    append(&entries)
                    reply.resume(returning: withWriter { writer throws(AuditError) in try writer.checkpoint() })
                case .close(let reply):
                    append(&entries)
                    let result = withWriter { writer throws(AuditError) in
                        try writer.finish(); return true
                    }
                    // The files close and the lock goes with this.
                    writer.withLock { $0 = nil }
                    reply.resume(returning: result)
                }
            }
            append(&entries)
        }
    }

    private func append(_ entries: inout [(body: JSONObject, reply: Reply<AuditReceipt>)]) {
        guard !entries.isEmpty else { return }
        let bodies = entries.map(\.body)
        let results = writer.withLock { writer -> [Result<AuditReceipt, AuditError>] in
            guard writer != nil else { return bodies.map { _ in .failure(.closed) } }
            return writer!.append(bodies)
        }
        publish()
        for (entry, result) in zip(entries, results) { entry.reply.resume(returning: result) }
        entries = []
    }

    private func withWriter<Value>(
        _ body: (inout AuditWriter) throws(AuditError) -> Value
    ) -> Result<Value, AuditError> {
        let result = writer.withLock { writer -> Result<Value, AuditError> in
            guard var open = writer.take() else { return .failure(.closed) }
            defer { writer = open }
            do throws(AuditError) { return .success(try body(&open)) } catch { return .failure(error) }
        }
        publish()
        return result
    }

    private func publish() {
        guard let status = writer.withLock({ $0?.status }) else { return }
        published.withLock { $0 = status }
    }

    /// Looks after the log from time to time, until it is closed or nobody has it any more.
    private func scheduleTick() {
        let tick = options.tick.components
        let nanoseconds = Int(tick.seconds) * 1_000_000_000 + Int(tick.attoseconds / 1_000_000_000)
        queue.asyncAfter(deadline: .now() + .nanoseconds(nanoseconds)) { [weak self] in
            guard let self, !self.jobs.withLock({ $0.isClosed }) else { return }
            _ = self.withWriter { writer throws(AuditError) in
                writer.tick()
                do throws(AuditError) {
                    try self.inboxTaken.withLock { taken throws(AuditError) in try writer.takeInbox(known: &taken) }
                } catch {
                    writer.upkeepFailure = error
                }
            }
            self.scheduleTick()
        }
    }
}
