// Where white space may stand.

/// Writes the white space that ``JSONWhitespace`` admits.
struct WhitespaceWriter {
    private let policy: JSONWhitespace

    /// Spaces or tabs after a line break, at most.
    private static let indentation = 64

    init(_ policy: JSONWhitespace) { self.policy = policy }

    /// The colon and what may follow it.
    func colon(_ state: Int32, at path: String, _ builder: inout ProgramBuilder) throws(GrammarError) -> Int32 {
        let value = try builder.state(at: path)
        builder.byte(UInt8(ascii: ":"), from: state, to: value)
        guard policy != .none else { return value }
        return try space(value, at: path, &builder)
    }

    func afterComma(_ state: Int32, at path: String, _ builder: inout ProgramBuilder) throws(GrammarError) -> Int32 {
        switch policy {
        case .none: return state
        case .spaced: return try space(state, at: path, &builder)
        case .indented:
            let next = try lineBreak(state, at: path, &builder)
            builder.byte(UInt8(ascii: " "), from: state, to: next)
            return next
        }
    }

    func afterOpening(_ state: Int32, at path: String, _ builder: inout ProgramBuilder) throws(GrammarError) -> Int32 {
        policy == .indented ? try lineBreak(state, at: path, &builder) : state
    }

    func beforeClosing(
        _ state: Int32, at path: String, _ builder: inout ProgramBuilder
    ) throws(GrammarError) -> Int32 {
        policy == .indented ? try lineBreak(state, at: path, &builder) : state
    }

    private func space(_ state: Int32, at path: String, _ builder: inout ProgramBuilder) throws(GrammarError) -> Int32 {
        let next = try builder.state(at: path)
        builder.byte(UInt8(ascii: " "), from: state, to: next)
        builder.empty(from: state, to: next)
        return next
    }

    /// At most one line break with what indents the next line.
    private func lineBreak(
        _ state: Int32, at path: String, _ builder: inout ProgramBuilder
    ) throws(GrammarError) -> Int32 {
        let next = try builder.state(at: path)
        let lexer: Int32?
        if let known = builder.knownLexer(.lineBreak) {
            lexer = known
        } else {
            let automaton = try ByteAutomaton.exploring(
                from: 0, alphabet: [0x09, 0x0A, 0x20], path: path, budget: &builder.budget, accepts: { _ in true },
                step: { count, byte in
                    if count == 0 { return byte == 0x0A ? 1 : nil }
                    return byte == 0x0A || count > Self.indentation ? nil : count + 1
                })
            lexer = builder.addLexer(.lineBreak, automaton.map { .table($0) })
        }
        if let lexer { builder.lexer(lexer, from: state, to: next) }
        return next
    }
}
