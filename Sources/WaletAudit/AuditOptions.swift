// How a log is written.

import Foundation

/// When an entry counts as written.
public enum AuditSync: Sendable, Equatable {
    /// Once it is on the disk: nothing that was confirmed is lost, whatever fails. Entries that wait at the same time
    /// share one synchronization.
    case everyEntry
    /// Once the system has it: nothing that was confirmed is lost when the process dies, at most this much time when
    /// the machine does.
    case interval(Duration)
}

/// How a log is written. The defaults are for a server that must account for each request.
public struct AuditOptions: Sendable {
    /// The name of the log in its checkpoints, such as `llm.example.org/audit`: no spaces, no '+'. Nil: the name that
    /// the log has, or one drawn at random for a new log.
    public var origin: String?
    /// The file of the secret key that signs checkpoints; nil: `key` in the log's folder. Made, readable by its owner
    /// alone, for a new log.
    public var keyFile: String?
    /// When an entry counts as written.
    public var sync: AuditSync = .everyEntry
    /// A new segment begins where one would grow beyond this.
    public var segmentBytes = 64 << 20
    /// A checkpoint is signed after so many entries …
    public var checkpointEntries = 1000
    /// … or so long after the last one, where there are new entries; and when the log is closed.
    public var checkpointInterval: Duration = .seconds(60)
    /// Whether prompts and answers are logged in clear, beside their hashes.
    public var includesText = false
    /// How much of each text is logged in clear, in bytes.
    public var maximumTextBytes = 1 << 20

    /// Microseconds since 1970: tests set the clock.
    package var now: @Sendable () -> Int = { Int(Date().timeIntervalSince1970 * 1_000_000) }

    public init() {}

    package func check() throws(AuditError) {
        if let origin, let reason = NoteVerifierKey.problem(withName: origin) {
            throw .badOption(name: "origin", reason: reason)
        }
        guard (4096...1 << 40).contains(segmentBytes) else {
            throw .badOption(name: "segmentBytes", reason: "expected 4096 to 2^40, found \(segmentBytes)")
        }
        guard checkpointEntries >= 1 else {
            throw .badOption(name: "checkpointEntries", reason: "expected 1 or more, found \(checkpointEntries)")
        }
        guard checkpointInterval >= .milliseconds(10) else {
            throw .badOption(name: "checkpointInterval", reason: "expected 10 ms or more, found \(checkpointInterval)")
        }
        if case .interval(let interval) = sync, !(.milliseconds(1)...Duration.seconds(3600)).contains(interval) {
            throw .badOption(name: "sync", reason: "expected an interval of 1 ms to 1 h, found \(interval)")
        }
        guard (0...1 << 20).contains(maximumTextBytes) else {
            throw .badOption(name: "maximumTextBytes", reason: "expected 0 to 1048576, found \(maximumTextBytes)")
        }
    }

    /// How often the log looks after itself.
    var tick: Duration {
        var tick = min(.seconds(1), checkpointInterval)
        if case .interval(let interval) = sync { tick = min(tick, interval) }
        return tick
    }
}
