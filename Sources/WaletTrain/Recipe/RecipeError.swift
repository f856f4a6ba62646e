// What can be wrong with a recipe, each with the place and the next step.

/// An error of a recipe.
public enum RecipeError: Error, Sendable, Equatable, CustomStringConvertible {
    /// Where a value comes from.
    public enum Source: Sendable, Equatable, CustomStringConvertible {
        /// A line of a file, from 1.
        case file(String, line: Int)
        /// `--set`.
        case setting

        public var description: String {
            switch self {
            case .file(let path, let line): "\(path), line \(line)"
            case .setting: "--set"
            }
        }
    }

    case storage(StorageError)
    case badYAML(Source, reason: String)
    /// `--set` without a key or a value.
    case badSetting(String)
    /// No such key; `nearest` is the known one that was most likely meant.
    case unknownKey(Source, key: String, nearest: String?)
    /// The same key twice.
    case duplicate(Source, key: String)
    case badValue(Source, key: String, expected: String, found: String)
    /// Values that do not go together.
    case inconsistent(key: String, reason: String)

    public var description: String {
        switch self {
        case .storage(let error): error.description
        case .badYAML(let source, let reason): "\(source): \(clean(reason))"
        case .badSetting(let text): "--set \(clean(text)): write key=value"
        case .unknownKey(let source, let key, let nearest):
            "\(source): a recipe has no \(clean(key))" + (nearest.map { "; did you mean \($0)?" } ?? "")
        case .duplicate(let source, let key): "\(source): \(clean(key)) is there twice"
        case .badValue(let source, let key, let expected, let found):
            "\(source): \(key) is \(clean(found)), expected \(expected)"
        case .inconsistent(let key, let reason): "\(key): \(clean(reason))"
        }
    }
}
