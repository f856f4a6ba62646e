// How a schema is read, and how its values are written.

/// Where white space may stand in JSON output. It is bounded everywhere, so that a model cannot write white space
/// without an end.
public enum JSONWhitespace: Sendable, Hashable {
    /// Nowhere: `{"a":1,"b":[2,3]}`
    case none
    /// At most one space after a colon or a comma: `{"a": 1, "b": [2, 3]}`
    case spaced
    /// That, or a line break and up to 64 spaces or tabs wherever a pretty printer breaks lines.
    case indented
}

/// How a schema is read, and how its values are written.
public struct JSONOptions: Sendable, Hashable {
    public var whitespace: JSONWhitespace
    /// Whether keywords that restrict values and cannot be enforced are errors. Otherwise they are ignored, and the
    /// output is valid but for them.
    public var isStrict: Bool
    /// Whether objects whose schema lists properties and does not mention `additionalProperties` take others too, as
    /// JSON Schema says. Otherwise they take only those that are listed, which keeps a model from inventing some.
    public var admitsUndeclaredProperties: Bool
    public var limits: GrammarLimits

    public init(
        whitespace: JSONWhitespace = .spaced, isStrict: Bool = true, admitsUndeclaredProperties: Bool = false,
        limits: GrammarLimits = GrammarLimits()
    ) {
        self.whitespace = whitespace
        self.isStrict = isStrict
        self.admitsUndeclaredProperties = admitsUndeclaredProperties
        self.limits = limits
    }
}
