// What the disk can refuse, with the file and the next step.

/// Why a file could not be read or written.
public enum StorageError: Error, Sendable, Equatable, CustomStringConvertible {
    /// No room, a quota or a limit on the size of files: bytes that were still to be written, and those that are free.
    case diskFull(path: String, needed: Int, free: Int?)
    /// The system refused something else.
    case file(path: String, operation: String, reason: String)
    /// Nothing there.
    case missing(path: String)
    /// A file that is larger than any that is meant.
    case tooLarge(path: String, bytes: Int, limit: Int)
    /// Another process writes in this folder.
    case locked(folder: String)

    public var description: String {
        switch self {
        case .diskFull(let path, let needed, let free):
            "no room on the disk for \(path): \(needed) bytes needed" + (free.map { ", \($0) free" } ?? "")
        case .file(let path, let operation, let reason): "\(path): cannot \(operation): \(reason)"
        case .missing(let path): "\(path) does not exist"
        case .tooLarge(let path, let bytes, let limit): "\(path) has \(bytes) bytes, more than the \(limit) allowed"
        case .locked(let folder): "\(folder) is being written by another process; end that one, or use another folder"
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
