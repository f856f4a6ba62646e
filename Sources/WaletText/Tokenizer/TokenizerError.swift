// Why a tokenizer cannot be built from the files of a checkpoint.

import WaletJSON

/// Why a tokenizer cannot be built. Encoding and decoding never fail.
public enum TokenizerError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The bytes are no JSON document.
    case json(JSONError)
    /// A field is missing or of another kind. `path` is written like `model.merges[3]`.
    case field(path: String, expected: String, found: String)
    /// A part that Walet does not know, and ignoring it would change the ids.
    case unsupported(part: String, name: String, supported: [String])
    /// A token that contradicts the others or cannot be stored.
    case token(name: String, id: Int, reason: String)
    /// A merge that names no token, or no pair. `index` counts from 0.
    case merge(index: Int, reason: String)
    /// A line of a `tiktoken.model` file. `number` counts from 1.
    case line(number: Int, reason: String)
    /// A pre-tokenizer pattern that cannot be honoured. `offset` counts Unicode scalars of the pattern.
    case pattern(String, offset: Int, reason: String)

    public var description: String {
        switch self {
        case .json(let error): "the tokenizer's JSON is \(error)"
        case .field(let path, let expected, let found):
            "tokenizer field \(path): expected \(expected), found \(found)"
        case .unsupported(let part, let name, let supported):
            "unsupported \(part) \"\(name.prefix(120))\"; supported: \(supported.joined(separator: ", "))"
        case .token(let name, let id, let reason):
            "token \"\(name.prefix(120))\" with id \(id): \(reason)"
        case .merge(let index, let reason): "merge \(index): \(reason)"
        case .line(let number, let reason): "tiktoken.model line \(number): \(reason)"
        case .pattern(let pattern, let offset, let reason):
            "pre-tokenizer pattern \"\(pattern.prefix(120))\" at character \(offset): \(reason)"
        }
    }
}
