// What can be wrong with the files of metrics.

/// An error of a run's metrics.
public enum MetricsError: Error, Sendable, Equatable, CustomStringConvertible {
    case storage(StorageError)
    /// A line that is no record. `line` counts from 1.
    case badRecord(file: String, line: Int, reason: String)
    /// A run without a record.
    case empty(file: String)

    public var description: String {
        switch self {
        case .storage(let error): error.description
        case .badRecord(let file, let line, let reason): "\(file), line \(line): \(clean(reason))"
        case .empty(let file): "\(file) has no record yet"
        }
    }
}
