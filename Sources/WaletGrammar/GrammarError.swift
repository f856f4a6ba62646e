// Why a grammar cannot be built. Once built, a grammar never fails.

/// Why a schema, a pattern or a list of tools gives no grammar.
///
/// Paths are JSON pointers with a number sign, `#/properties/age`; those into a tool's parameters begin with the tool's
/// name.
public enum GrammarError: Error, Sendable, Equatable, CustomStringConvertible {
    /// A keyword's value is of another kind than JSON Schema wants.
    case invalid(path: String, expected: String, found: String)
    /// Something that restricts the value and cannot be enforced; ignoring it would let invalid output through.
    case unsupported(path: String, expected: String, found: String)
    /// More than ``GrammarLimits`` allows.
    case limit(path: String, what: String, maximum: Int, found: String)
    /// A `$ref` that leads nowhere, out of the document, or back to itself without a value between.
    case reference(path: String, expected: String, found: String)
    /// No value, or none of finite size, is valid.
    case unsatisfiable(path: String, reason: String)
    /// A regular expression that is malformed or not regular. `offset` counts Unicode scalars.
    case pattern(path: String, pattern: String, offset: Int, expected: String, found: String)
    /// A tool that cannot be called.
    case tool(name: String, expected: String, found: String)
    /// The vocabulary has no tokens for bytes that the grammar needs.
    case vocabulary(expected: String, found: String)

    /// Where in the schema, for the cases that concern one.
    public var path: String? {
        switch self {
        case .invalid(let path, _, _), .unsupported(let path, _, _), .limit(let path, _, _, _),
            .reference(let path, _, _), .unsatisfiable(let path, _), .pattern(let path, _, _, _, _):
            path
        case .tool, .vocabulary: nil
        }
    }

    public var description: String {
        switch self {
        case .invalid(let path, let expected, let found):
            "schema at \(path.shortened): expected \(expected), found \(found.shortened)"
        case .unsupported(let path, let expected, let found):
            "schema at \(path.shortened): \(found.shortened) is not supported; expected \(expected)"
        case .limit(let path, let what, let maximum, let found):
            "schema at \(path.shortened): \(what): at most \(maximum), found \(found.shortened)"
        case .reference(let path, let expected, let found):
            "schema at \(path.shortened): expected \(expected), found \(found.shortened)"
        case .unsatisfiable(let path, let reason): "schema at \(path.shortened): no value can be valid: \(reason)"
        case .pattern(let path, let pattern, let offset, let expected, let found):
            "schema at \(path.shortened): pattern \"\(pattern.shortened)\" at character \(offset): "
                + "expected \(expected), found \(found.shortened)"
        case .tool(let name, let expected, let found):
            "tool \"\(name.shortened)\": expected \(expected), found \(found.shortened)"
        case .vocabulary(let expected, let found): "vocabulary: expected \(expected), found \(found)"
        }
    }

    /// The same error in one of several schemas.
    func inDocument(_ name: String) -> GrammarError {
        switch self {
        case .invalid(let path, let expected, let found):
            .invalid(path: name + path, expected: expected, found: found)
        case .unsupported(let path, let expected, let found):
            .unsupported(path: name + path, expected: expected, found: found)
        case .limit(let path, let what, let maximum, let found):
            .limit(path: name + path, what: what, maximum: maximum, found: found)
        case .reference(let path, let expected, let found):
            .reference(path: name + path, expected: expected, found: found)
        case .unsatisfiable(let path, let reason): .unsatisfiable(path: name + path, reason: reason)
        case .pattern(let path, let pattern, let offset, let expected, let found):
            .pattern(path: name + path, pattern: pattern, offset: offset, expected: expected, found: found)
        case .tool, .vocabulary: self
        }
    }
}

extension String {
    /// The beginning, for messages: what is quoted came from outside and may be long.
    var shortened: String { utf8.count <= 200 ? self : String(unicodeScalars.prefix(120)) + "…" }
}
