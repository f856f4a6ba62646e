// Follows one output through a grammar.

/// Where an output stands in its grammar. A value: a copy goes its own way, so that tokens drafted ahead are tried on
/// a copy and thrown away with it.
///
/// Whatever ``fillMask(_:)`` allows can be gone on with until the output is complete; there are no dead ends. A matcher
/// is used by one thread at a time; copies may be used by several.
public struct GrammarMatcher: Sendable {
    public let grammar: TokenGrammar
    private var machine: MachineBox
    private var frontier: Frontier
    /// Whether an end token was accepted.
    public private(set) var isFinished = false

    /// Before any output.
    public init(_ grammar: TokenGrammar) {
        self.grammar = grammar
        machine = grammar.machine
        frontier = machine.use { $0.start() }
    }

    /// Whether the output may end here.
    public var canEnd: Bool { frontier.isComplete && !isFinished }

    /// Whether the output is complete and nothing may follow it.
    public var mustEnd: Bool { frontier.isComplete && frontier.readings.isEmpty }

    /// Goes on by a token.
    /// - Returns: false, and nothing has changed, where the grammar does not allow it.
    public mutating func accept(_ token: Int) -> Bool {
        guard !isFinished else { return false }
        if grammar.vocabulary.isEnd(token) {
            guard frontier.isComplete else { return false }
            isFinished = true
            return true
        }
        return goOn { $0.accept(token, $1.readings) }
    }

    /// Goes on by bytes, whatever the tokens are that they come from.
    /// - Returns: false, and nothing has changed, where the grammar does not allow them.
    public mutating func accept(bytes: some Sequence<UInt8> & Sendable) -> Bool {
        guard !isFinished else { return false }
        return goOn { machine, frontier in
            machine.limited(machine.accept(bytes, frontier))
        }
    }

    private mutating func goOn(_ step: (inout Machine, Frontier) -> Frontier) -> Bool {
        let before = frontier
        let (after, bytes) = machine.use { (step(&$0, before), $0.approximateBytes) }
        guard !after.isDead else { return false }
        let next = grammar.machine(after: machine, bytes: bytes)
        if next === machine {
            frontier = after
        } else {
            let portable = machine.use { $0.export(after) }
            frontier = next.use { $0.adopt(portable) }
            machine = next
        }
        return true
    }

    /// Sets the mask to the tokens that may come next, end tokens included where the output is complete. It is empty
    /// where the output is finished, or must end and there is no end token.
    /// - Parameter mask: of the vocabulary's count; another one is replaced.
    public func fillMask(_ mask: inout TokenMask) {
        let count = grammar.vocabulary.count
        if mask.count != count { mask = TokenMask(count: count) } else { mask.removeAll() }
        guard !isFinished else { return }
        if !frontier.readings.isEmpty {
            mask.words.withUnsafeMutableBufferPointer { words in
                machine.use { $0.fill(words, frontier.readings) }
            }
        }
        if frontier.isComplete {
            for token in grammar.vocabulary.endTokens { mask.insert(token) }
        }
    }

    /// Whether a token may come next.
    public func allows(_ token: Int) -> Bool {
        guard !isFinished else { return false }
        if grammar.vocabulary.isEnd(token) { return frontier.isComplete }
        // A question does not move the matcher to another machine: that would be most of its cost.
        return machine.use { !$0.accept(token, frontier.readings).isDead }
    }

    /// The bytes that must come next, as many as there is no choice of; empty where there is a choice or the output may
    /// end. Tokens that go beyond them may be allowed too.
    /// - Parameter limit: bytes at most.
    public func forcedBytes(limit: Int = 256) -> [UInt8] {
        guard !isFinished else { return [] }
        return machine.use { machine in
            var frontier = frontier
            var bytes: [UInt8] = []
            while bytes.count < limit, !frontier.isComplete, machine.markTokens(frontier.readings).isEmpty,
                let byte = machine.nextBytes(frontier.readings).only
            {
                frontier = machine.step(frontier.readings, byte)
                bytes.append(byte)
            }
            return bytes
        }
    }

    /// The token of a mark that must come next, where there is no other choice.
    public var forcedToken: Int? {
        guard !isFinished, !frontier.isComplete else { return nil }
        return machine.use { machine in
            let tokens = Set(machine.markTokens(frontier.readings))
            return tokens.count == 1 && machine.nextBytes(frontier.readings).isEmpty ? tokens.first : nil
        }
    }
}
