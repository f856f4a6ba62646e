// A grammar over the tokens of a model.

import Synchronization

/// A grammar joined with a vocabulary: what matchers of many requests share. It keeps which states were reached, within
/// a bound, so that later requests find their masks made.
public final class TokenGrammar: Sendable {
    let program: Program
    let vocabulary: VocabularyTrie
    private let machineBytes: Int
    private let current: Mutex<MachineBox>

    /// - Parameter machineBytes: memory for the states that were reached, at most; then a matcher goes on with a new
    ///   table. Matchers that have not gone on yet keep the old one.
    /// - Throws: ``GrammarError/vocabulary(expected:found:)`` where a text that the grammar demands cannot be written
    ///   with the vocabulary's tokens.
    public init(
        _ grammar: Grammar, vocabulary: VocabularyTrie, machineBytes: Int = 4 << 20
    ) throws(GrammarError) {
        program = grammar.program
        self.vocabulary = vocabulary
        self.machineBytes = machineBytes
        current = Mutex(MachineBox(program, vocabulary))
        try checkVocabulary()
    }

    /// Memory that the grammar and its states take, roughly.
    public var approximateBytes: Int { program.approximateBytes + machine.approximateBytes }

    var machine: MachineBox { current.withLock { $0 } }

    /// A machine to go on with where one may be full.
    func machine(after box: MachineBox, bytes: Int) -> MachineBox {
        guard bytes > machineBytes else { return box }
        return current.withLock { current in
            if current === box { current = MachineBox(program, vocabulary) }
            return current
        }
    }

    /// Every byte that a state of the grammar waits for must be a token by itself: then what is allowed can always be
    /// gone on with, however tokens cut it.
    private func checkVocabulary() throws(GrammarError) {
        let writable = vocabulary.writableBytes
        func demand(_ condition: Bool, _ byte: UInt8) throws(GrammarError) {
            guard !condition else { return }
            throw .vocabulary(
                expected: "a token for each byte that the grammar needs", found: "none for byte \(byte)")
        }
        for edge in program.edges {
            switch edge.kind {
            case .byte: try demand(writable.contains(edge.low), edge.low)
            case .token:
                guard edge.payload >= 0, edge.payload < vocabulary.count else {
                    throw .vocabulary(
                        expected: "ids of marks below \(vocabulary.count)", found: "\(edge.payload)")
                }
            default: break
            }
        }
        for lexer in program.lexers {
            switch lexer.kind {
            case .string, .key:
                for byte in UInt8(0x20)...0x7E { try demand(writable.contains(byte), byte) }
                for byte in UInt8(0x80)...0xBF { try demand(writable.contains(byte), byte) }
            case .counter: for byte in UInt8(0x30)...0x39 { try demand(writable.contains(byte), byte) }
            case .table(let automaton), .bounded(let automaton, _):
                guard automaton.isUsable(with: writable) else {
                    throw .vocabulary(
                        expected: "tokens for the bytes of each pattern, number and format", found: "too few of them")
                }
            }
        }
    }
}

/// A machine that matchers on any thread use in turn.
final class MachineBox: Sendable {
    private let machine: Mutex<Machine>

    init(_ program: Program, _ vocabulary: VocabularyTrie) { machine = Mutex(Machine(program, vocabulary)) }

    func use<Result: Sendable>(_ body: (inout Machine) -> Result) -> Result { machine.withLock { body(&$0) } }

    var approximateBytes: Int { use { $0.approximateBytes } }
}
