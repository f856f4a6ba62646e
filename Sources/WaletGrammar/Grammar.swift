// What a model's output must be.

import WaletJSON

/// What a model's output must be: JSON of a schema, tool calls, either with reasoning before it.
///
/// A grammar knows bytes and the ids of marks, and no vocabulary; ``TokenGrammar`` joins it with one. It is immutable
/// and can be shared between requests; ``GrammarCache`` keeps those that were used last.
///
/// ```swift
/// let grammar = try Grammar.json(schema: ["type": "object", "properties": ["city": ["type": "string"]],
///                                         "required": ["city"], "additionalProperties": false])
/// let tokens = try TokenGrammar(grammar, vocabulary: vocabulary)
/// var matcher = GrammarMatcher(tokens)
/// matcher.fillMask(&mask)
/// ```
///
/// Sources: JSON Schema 2020-12 (and what of drafts 4 and 7 is in use), OpenAI's structured outputs. Ideas: Dong et al.
/// 2024 (XGrammar) for masks by automaton state, Willard and Louf 2023 for automata over vocabularies, Scott and
/// Johnstone 2010 for the sharing of stacks.
public struct Grammar: Sendable {
    let program: Program

    /// Memory that the grammar takes, roughly.
    public var approximateBytes: Int { program.approximateBytes }

    /// Any JSON object.
    public static func jsonObject(
        thinking: ThinkingPhase? = nil, options: JSONOptions = JSONOptions()
    ) throws(GrammarError) -> Grammar {
        try json(schema: ["type": "object"], thinking: thinking, options: options)
    }

    /// JSON of a schema.
    ///
    /// Members of objects come in the order of the schema, those that it does not declare at the end, and no key twice.
    /// Values are a subset of the valid ones in a few places, so that whatever is written is valid for every reader:
    /// integers keep within 64 bits, numbers within a double; strings with a `pattern` or `format` have one spelling
    /// for each character.
    /// - Parameters:
    ///   - schema: an object or a boolean.
    ///   - thinking: reasoning that comes first.
    /// - Throws: ``GrammarError`` for a schema that is malformed, cannot be satisfied or enforced, or is too large.
    public static func json(
        schema: JSONValue, thinking: ThinkingPhase? = nil, options: JSONOptions = JSONOptions()
    ) throws(GrammarError) -> Grammar {
        var writer = try OutputWriter(options: options)
        let start = try writer.begin(thinking, forbidden: [])
        try writer.json(schema, from: start, to: writer.end, isObject: false)
        return Grammar(program: try writer.finish())
    }
}

/// Text with a meaning of its own in a model's output, such as `</think>`.
public struct OutputMark: Sendable, Hashable {
    public var text: String
    /// The token that stands for it. Nil where it is written with ordinary tokens.
    public var token: Int?

    public init(_ text: String, token: Int? = nil) {
        self.text = text
        self.token = token
    }
}

/// Reasoning before the answer.
public struct ThinkingPhase: Sendable, Hashable {
    public enum Start: Sendable, Hashable {
        /// The prompt has opened it.
        case opened
        /// The model may open it, or answer at once.
        case optional
    }

    public var start: Start
    public var opening: OutputMark
    public var closing: OutputMark

    public init(
        _ start: Start, opening: OutputMark = OutputMark("<think>"), closing: OutputMark = OutputMark("</think>")
    ) {
        self.start = start
        self.opening = opening
        self.closing = closing
    }
}

/// Writes rule 0, which is the whole output.
struct OutputWriter {
    private var builder: ProgramBuilder
    private let options: JSONOptions
    let start: Int32
    let end: Int32

    static let path = "#"

    init(options: JSONOptions) throws(GrammarError) {
        builder = ProgramBuilder(limits: options.limits)
        self.options = options
        start = try builder.rule(at: Self.path).start
        end = try builder.finalState(at: Self.path)
    }

    consuming func finish() throws(GrammarError) -> Program { try builder.finish() }

    mutating func state() throws(GrammarError) -> Int32 { try builder.state(at: Self.path) }

    mutating func empty(from: Int32, to: Int32) { builder.empty(from: from, to: to) }

    mutating func text(_ text: String, from: Int32, to: Int32) throws(GrammarError) {
        try builder.text(text, from: from, to: to, at: Self.path)
    }

    mutating func edge(_ kind: Edge.Kind, _ payload: Int, from: Int32, to: Int32) {
        builder.edge(kind, payload, from: from, to: to)
    }

    /// A mark, by its token where it has one.
    mutating func mark(_ mark: OutputMark, from: Int32, to: Int32) throws(GrammarError) {
        if let token = mark.token {
            builder.edge(.token, token, from: from, to: to)
        } else {
            try text(mark.text, from: from, to: to)
        }
    }

    mutating func literals(_ literals: LiteralTrie, from: Int32) throws(GrammarError) {
        try literals.write(from: from, at: Self.path, &builder)
    }

    /// A counter's value plus a number.
    mutating func counter(start: Int, from: Int32, to: Int32) {
        let lexer =
            builder.knownLexer(.counter(start: start))
            ?? builder.addLexer(
                .counter(start: start), .counter(start: start))
        if let lexer { builder.lexer(lexer, from: from, to: to) }
    }

    /// Any text without some marks, which may be none.
    mutating func freeText(without marks: [OutputMark], from: Int32, to: Int32) throws(GrammarError) {
        var seen: Set<[UInt8]> = []
        let texts = marks.map { Array($0.text.utf8) }.filter { seen.insert($0).inserted }
        let key = LexerKey.text(without: texts)
        let lexer: Int32?
        if let known = builder.knownLexer(key) {
            lexer = known
        } else {
            let automaton = try FreeText.automaton(without: texts, path: Self.path, budget: &builder.budget)
            lexer = builder.addLexer(key, automaton.map { .table($0) })
        }
        if let lexer { builder.lexer(lexer, from: from, to: to) }
    }

    mutating func json(
        _ schema: JSONValue, from: Int32, to: Int32, isObject: Bool, options: JSONOptions? = nil
    ) throws(GrammarError) {
        var compiler = try SchemaCompiler(schema, options: options ?? self.options)
        try compiler.write(from: from, to: to, isObject: isObject, &builder)
    }

    /// Writes the reasoning; where the answer begins.
    /// - Parameter forbidden: marks that must not occur in the reasoning.
    mutating func begin(
        _ thinking: ThinkingPhase?, forbidden: [OutputMark]
    ) throws(GrammarError) -> Int32 {
        guard let thinking else { return start }
        let inside = try state()
        let closing = try state()
        let closed = try state()
        let answer = try state()
        switch thinking.start {
        case .opened: empty(from: start, to: inside)
        case .optional:
            try mark(thinking.opening, from: start, to: inside)
            empty(from: start, to: answer)
        }
        try freeText(without: [thinking.closing] + forbidden, from: inside, to: closing)
        try mark(thinking.closing, from: closing, to: closed)
        // Line breaks that models write between reasoning and answer.
        let oneBreak = try state()
        builder.byte(UInt8(ascii: "\n"), from: closed, to: oneBreak)
        builder.byte(UInt8(ascii: "\n"), from: oneBreak, to: answer)
        empty(from: closed, to: answer)
        empty(from: oneBreak, to: answer)
        return answer
    }
}
