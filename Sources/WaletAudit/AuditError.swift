// What can be wrong with an audit log, its keys or its disk, each with the facts and the next step.

/// An error of the audit log.
public enum AuditError: Error, Sendable, Equatable {
    // Use.
    /// Another process holds the log.
    case locked(folder: String)
    /// The log was closed.
    case closed
    case badOption(name: String, reason: String)
    /// An entry that cannot be written as it is.
    case badEntry(field: String, reason: String)
    case entryTooLarge(bytes: Int, limit: Int)
    case noSuchEntry(index: Int, entries: Int)
    /// No checkpoint covers the entry yet.
    case notYetSigned(index: Int, covered: Int)

    // What the system said.
    case diskFull(path: String, needed: Int, free: Int?)
    case file(path: String, operation: String, reason: String)
    /// A file of the log was cut, grown or deleted by somebody else while it was open.
    case changedUnderneath(path: String, expected: Int, found: Int)

    // Keys.
    case keyMissing(path: String)
    /// The key can be read by others.
    case keyExposed(path: String, mode: Int)
    case badKey(source: String, reason: String)
    case originDiffers(expected: String, found: String)
    /// The public key beside the log is not the log's.
    case keyDiffers(path: String, expected: String, found: String)

    // The log's content.
    /// There is no log here.
    case noLog(folder: String)
    case badSegment(file: String, reason: String)
    case badHashFile(path: String, reason: String)
    case badLine(index: Int, file: String, reason: String)
    /// An entry is not the one that was logged.
    case entryChanged(index: Int, file: String)
    /// Entries are missing at the end. `witness` says how that is known.
    case truncated(expected: Int, found: Int, witness: String)
    /// What was signed is not what is there; entries before `trusted` are.
    case checkpointMismatch(size: Int, expected: String, found: String, trusted: Int)
    case badCheckpoint(source: String, reason: String)
    case badSignature(source: String, key: String)
    case badProof(reason: String)
    /// A text is not the one whose hash was logged.
    case textDiffers(what: String)
}

extension AuditError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .locked(let folder):
            "\(folder) is being written by another process; an audit log has one writer"
        case .closed:
            "the audit log was closed"
        case .badOption(let name, let reason):
            "audit option \(name): \(reason)"
        case .badEntry(let field, let reason):
            "an audit entry cannot be written: \(clean(field)): \(reason)"
        case .entryTooLarge(let bytes, let limit):
            "an audit entry of \(bytes) bytes is larger than the \(limit) that a line may have"
        case .noSuchEntry(let index, let entries):
            "there is no entry \(index): the log holds "
                + (entries == 0 ? "none" : "entries 0 to \(entries - 1)")
        case .notYetSigned(let index, let covered):
            "entry \(index) is not covered by a checkpoint yet (the last one covers \(covered) entries); wait for the "
                + "next, or sign one with 'walet audit checkpoint --sign' while no server runs"
        case .diskFull(let path, let needed, let free):
            "no room on the disk for \(path): \(needed) bytes needed" + (free.map { ", \($0) free" } ?? "")
        case .file(let path, let operation, let reason):
            "\(path): cannot \(operation): \(reason)"
        case .changedUnderneath(let path, let expected, let found):
            "\(path) was changed by somebody else while it was open: expected \(expected) bytes, found \(found); "
                + "nothing more is written to it (audit files must not be rotated, cut or moved)"
        case .keyMissing(let path):
            "the audit log's key \(path) is missing; a log cannot go on under another key: restore it, or begin a new "
                + "log in another folder"
        case .keyExposed(let path, let mode):
            "\(path) can be used by others (mode 0\(String(mode, radix: 8))); run: chmod 600 \(path)"
        case .badKey(let source, let reason):
            "\(source) is not a key of an audit log: \(reason)"
        case .originDiffers(let expected, let found):
            "the log is named \(quoted(found)), not \(quoted(expected)); a log keeps its name"
        case .keyDiffers(let path, let expected, let found):
            "\(path) is not the log's public key: expected \(clean(expected)), found \(clean(found))"
        case .noLog(let folder):
            "there is no audit log in \(folder)"
        case .badSegment(let file, let reason):
            "audit segment \(clean(file)): \(reason)"
        case .badHashFile(let path, let reason):
            "\(path): \(reason)"
        case .badLine(let index, let file, let reason):
            "entry \(index) (in \(clean(file))) is not an entry of this log: \(reason)"
        case .entryChanged(let index, let file):
            "entry \(index) (in \(clean(file))) is not what was logged: its hash differs"
        case .truncated(let expected, let found, let witness):
            "the log was cut: \(witness) knows \(expected) entries, \(found) are there; entry \(found) is the first "
                + "that is missing"
        case .checkpointMismatch(let size, let expected, let found, let trusted):
            "the first \(size) entries are not those that were signed: expected root \(expected), found \(found); "
                + "the first wrong entry is one of \(trusted) to \(max(trusted, size - 1))"
        case .badCheckpoint(let source, let reason):
            "\(source) is not a checkpoint: \(clean(reason))"
        case .badSignature(let source, let key):
            "\(source) is not signed by \(clean(key))"
        case .badProof(let reason):
            "the proof does not hold: \(clean(reason))"
        case .textDiffers(let what):
            "this is not the \(what) whose hash was logged"
        }
    }
}

/// Text from outside as it may be shown on a terminal: on one line, bounded, without control characters.
func clean(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars.prefix(300) {
        let isControl = scalar.value < 0x20 || (0x7F..<0xA0).contains(scalar.value)
        result.unicodeScalars.append(isControl ? "\u{FFFD}" : scalar)
    }
    return result
}

func quoted(_ text: String) -> String { "'\(clean(text))'" }
