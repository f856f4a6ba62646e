// What can be wrong with checkpoints, each with the facts and the next step.

/// An error of writing or reading checkpoints.
public enum CheckpointError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The disk refused; the checkpoints that were there are untouched.
    case storage(StorageError)
    /// A snapshot that cannot be stored.
    case badSnapshot(name: String, reason: String)
    /// A checkpoint that is not whole or not as it was written.
    case damaged(checkpoint: String, file: String, reason: String)
    /// There are checkpoints, and none of them is whole.
    case noneIntact(folder: String, reasons: [String])

    public var description: String {
        switch self {
        case .storage(let error): error.description
        case .badSnapshot(let name, let reason): "the array \(clean(name)) cannot be saved: \(clean(reason))"
        case .damaged(let checkpoint, let file, let reason):
            "the checkpoint \(checkpoint) is damaged: \(clean(file)): \(clean(reason))"
        case .noneIntact(let folder, let reasons):
            "none of the \(reasons.count) checkpoints in \(folder) is whole: "
                + reasons.map(clean).joined(separator: "; ")
        }
    }
}
