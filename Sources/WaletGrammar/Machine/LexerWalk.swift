// How the lexers that depend on nothing but their own bytes step, in a form that loops over a vocabulary can inline.

/// A lexer's state and what it counts as one number, and the steps between them.
protocol LexerWalk {
    /// The state after a byte, or -1.
    func next(_ state: Int64, _ byte: UInt8) -> Int64
    /// Whether the lexer may end in a state.
    func matches(_ state: Int64) -> Bool
    /// Whether a byte may follow.
    func goesOn(_ state: Int64) -> Bool
}

enum LexerState {
    @inline(__always)
    static func pack(_ state: Int32, _ count: Int32) -> Int64 { Int64(state) << 32 | Int64(count) }

    @inline(__always)
    static func state(_ value: Int64) -> Int32 { Int32(truncatingIfNeeded: value >> 32) }

    @inline(__always)
    static func count(_ value: Int64) -> Int32 { Int32(truncatingIfNeeded: value) }
}

struct TableWalk: LexerWalk {
    let automaton: ByteAutomaton

    @inline(__always)
    func next(_ state: Int64, _ byte: UInt8) -> Int64 {
        let next = automaton.next(LexerState.state(state), byte)
        return next < 0 ? -1 : LexerState.pack(next, 0)
    }

    @inline(__always)
    func matches(_ state: Int64) -> Bool { automaton.accepting[Int(LexerState.state(state))] }

    @inline(__always)
    func goesOn(_ state: Int64) -> Bool { automaton.continues[Int(LexerState.state(state))] }
}

/// A table with a maximum of characters: a step must leave room for those that are needed to the end.
struct BoundedWalk: LexerWalk {
    let automaton: ByteAutomaton
    let maximum: Int32

    @inline(__always)
    func next(_ state: Int64, _ byte: UInt8) -> Int64 {
        let next = automaton.next(LexerState.state(state), byte)
        guard next >= 0 else { return -1 }
        let count = LexerState.count(state) + (automaton.isBoundary[Int(next)] ? 1 : 0)
        return count > maximum - automaton.needed[Int(next)] ? -1 : LexerState.pack(next, count)
    }

    @inline(__always)
    func matches(_ state: Int64) -> Bool { automaton.accepting[Int(LexerState.state(state))] }

    @inline(__always)
    func goesOn(_ state: Int64) -> Bool { automaton.continues[Int(LexerState.state(state))] }
}

struct StringWalk: LexerWalk {
    let minimum: Int32
    let maximum: Int32
    private let table = StringBody.free

    init(minimum: Int32, maximum: Int32) {
        self.minimum = minimum
        self.maximum = maximum
    }

    @inline(__always)
    func next(_ value: Int64, _ byte: UInt8) -> Int64 {
        let (state, count) = (LexerState.state(value), LexerState.count(value))
        let next = Int32(table[Int(state) * 256 + Int(byte)])
        guard next >= 0 else { return -1 }
        if state == StringBody.boundary {
            guard next == StringBody.closed ? count >= minimum : count < maximum else { return -1 }
        }
        guard next == StringBody.boundary else { return LexerState.pack(next, count) }
        // Without a maximum, what is beyond the minimum makes no difference.
        return LexerState.pack(next, maximum == Lexer.unlimited ? min(count + 1, minimum) : count + 1)
    }

    @inline(__always)
    func matches(_ state: Int64) -> Bool { LexerState.state(state) == StringBody.closed }

    @inline(__always)
    func goesOn(_ state: Int64) -> Bool { LexerState.state(state) != StringBody.closed }
}
