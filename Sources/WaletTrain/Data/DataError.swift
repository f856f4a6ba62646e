// What can be wrong with training data, each with the facts and the next step.

/// An error of a vocabulary's training, of a data set, or of the place in one.
public enum DataError: Error, Sendable, Equatable, CustomStringConvertible {
    case storage(StorageError)
    /// A vocabulary that cannot be trained or used as asked.
    case badVocabulary(reason: String)
    case badOption(name: String, reason: String)
    /// A file of documents that cannot be read. `line` counts from 1.
    case badDocument(file: String, line: Int, reason: String)
    /// The folder has a data set already.
    case alreadyThere(folder: String)
    /// No data set, or one whose list of shards is damaged.
    case badDataset(path: String, reason: String)
    /// The list has a shard that is not there.
    case shardMissing(path: String)
    /// A file that is no whole shard.
    case badShard(path: String, reason: String)
    /// A whole shard, but not the one that the list means.
    case shardChanged(path: String, expected: String, found: String)
    /// The shard's bytes are not those that were written.
    case shardDamaged(path: String, expected: Checksum, found: Checksum)
    /// The run was started with other data.
    case datasetDiffers(path: String, expected: Checksum, found: Checksum)
    /// The data were made with another vocabulary.
    case vocabularyDiffers(path: String, expected: Checksum, found: Checksum)
    /// A saved place that is not in the data.
    case badPosition(reason: String)
    case tooFewTokens(split: String, tokens: Int, needed: Int)

    public var description: String {
        switch self {
        case .storage(let error): error.description
        case .badVocabulary(let reason): "the vocabulary cannot be used: \(clean(reason))"
        case .badOption(let name, let reason): "\(name): \(reason)"
        case .badDocument(let file, let line, let reason): "\(file), line \(line): \(clean(reason))"
        case .alreadyThere(let folder):
            "\(folder) has a data set already; name another folder, or remove that one"
        case .badDataset(let path, let reason): "\(path) is not a data set: \(clean(reason))"
        case .shardMissing(let path):
            "the shard \(path) is missing; put it back, or prepare the data set anew"
        case .badShard(let path, let reason): "\(path) is not a token shard: \(clean(reason))"
        case .shardChanged(let path, let expected, let found):
            "\(path) is not the shard of this data set: expected \(clean(expected)), found \(clean(found))"
        case .shardDamaged(let path, let expected, let found):
            "\(path) is damaged: its SHA-256 is \(found), not \(expected); restore it, or prepare the data set anew"
        case .datasetDiffers(let path, let expected, let found):
            "\(path) is not the data set that this run was started with (\(found), not \(expected)); name that one, or "
                + "start a new run"
        case .vocabularyDiffers(let path, let expected, let found):
            "\(path) was made with another vocabulary (\(found), not \(expected))"
        case .badPosition(let reason): "the saved place is not in the data: \(clean(reason))"
        case .tooFewTokens(let split, let tokens, let needed):
            "the \(split) split has \(tokens) tokens; one sequence needs \(needed)"
        }
    }
}
