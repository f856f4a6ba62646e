// How large a schema, its automata and its output may become.

/// Bounds on what a grammar may cost. The defaults admit every schema that OpenAI's strict mode admits (5,000
/// properties, 1,000 enumeration values, 120,000 characters of names and values) and compile within a tenth of a second.
public struct GrammarLimits: Sendable, Equatable, Hashable {
    /// Bytes of a schema, all its keys, strings and numbers together.
    public var schemaBytes = 1 << 20
    /// How deep a schema's own JSON may nest.
    public var schemaDepth = 128
    /// Values in all `enum` lists of a schema together.
    public var enumValues = 5_000
    /// Alternatives of one value, once `anyOf` and `allOf` are multiplied out.
    public var alternatives = 1_000
    /// The largest `minLength` and `minItems`, which force a model to go on.
    public var demanded = 50_000
    /// States of the grammar.
    public var states = 400_000
    /// Cells of the tables behind patterns, formats and numbers.
    public var tableCells = 4_000_000
    /// Steps of compilation, each some tens of nanoseconds.
    public var work = 3_000_000
    /// How deep the output may nest.
    public var outputDepth = 64
    /// Calls in one answer.
    public var toolCalls = 128

    public init() {}
}

/// What compilation may still spend.
struct CompileBudget {
    private var work: Int
    private var cells: Int
    private let limits: GrammarLimits

    init(_ limits: GrammarLimits) {
        self.limits = limits
        work = limits.work
        cells = limits.tableCells
    }

    mutating func spend(_ steps: Int, at path: String) throws(GrammarError) {
        work -= steps
        if work < 0 {
            throw .limit(path: path, what: "steps of compilation", maximum: limits.work, found: "more")
        }
    }

    mutating func allocate(cells count: Int, at path: String) throws(GrammarError) {
        cells -= count
        if cells < 0 {
            throw .limit(
                path: path, what: "table cells of patterns, formats and numbers", maximum: limits.tableCells,
                found: "more")
        }
    }

    var remainingCells: Int { cells }
}
