/// Why a model's files or their signature cannot be vouched for.
public enum ProvenanceError: Error, Sendable, Equatable, CustomStringConvertible {
    /// A file or folder cannot be used.
    case file(path: String, reason: String)
    /// The signature, key or certificate file is not what it should be.
    case invalid(file: String, field: String, expected: String, found: String)
    /// The signature is sound as a document, and does not hold.
    case refused(file: String, reason: String)

    public var description: String {
        switch self {
        case .file(let path, let reason): "\(path): \(reason)"
        case .invalid(let file, let field, let expected, let found):
            "\(file): \(field): expected \(expected), found \(found)"
        case .refused(let file, let reason): "\(file): \(reason)"
        }
    }
}
