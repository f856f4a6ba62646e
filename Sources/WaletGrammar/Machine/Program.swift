// A compiled grammar: rules, each an automaton whose edges are bytes, tokens, lexers and calls of rules.

/// An edge of a rule's automaton.
struct Edge: Sendable {
    enum Kind: UInt8, Sendable {
        /// One byte between `low` and `high`.
        case byte
        /// The token `payload`, whatever its bytes are.
        case token
        /// The lexer `payload`.
        case lexer
        /// A whole of rule `payload`.
        case call
        /// Nothing. Those below too, which read or change the rule's counter.
        case empty
        /// Only while the counter is below `payload`.
        case whenBelow
        /// Only once the counter has reached `payload`.
        case whenAtLeast
        /// Adds one to the counter, up to `payload`.
        case increment
        /// Only while the object has fewer than `payload` undeclared keys.
        case whenKeysBelow
    }

    var kind: Kind
    var low: UInt8 = 0
    var high: UInt8 = 0
    var target: Int32
    var payload: Int32 = 0
}

struct Rule: Sendable {
    var start: Int32
    /// Levels of nesting that its smallest match needs below its own.
    var height: Int32
    /// Where in which schema it comes from.
    var path: String
}

/// Immutable. Every state can still reach the end of its rule, by calls of rules that can be completed, so that whoever
/// follows the edges never comes to a dead end.
final class Program: Sendable {
    /// Edges of a state lie together: first those without bytes, then those with bytes by ascending `low`.
    let edges: [Edge]
    /// Where a state's edges begin, and one more at the end.
    let edgeStart: [Int32]
    /// Where its edges with bytes begin.
    let byteStart: [Int32]
    /// Whether it has edges of bytes or tokens.
    let scans: [Bool]
    /// Whether its rule may end there.
    let isFinal: [Bool]
    /// Levels of nesting that are needed to reach the end of its rule from there.
    let height: [Int32]
    let rules: [Rule]
    let lexers: [Lexer]
    /// Levels that output may nest.
    let depth: Int32

    init(
        edges: [Edge], edgeStart: [Int32], byteStart: [Int32], scans: [Bool], isFinal: [Bool], height: [Int32],
        rules: [Rule], lexers: [Lexer], depth: Int32
    ) {
        self.edges = edges
        self.edgeStart = edgeStart
        self.byteStart = byteStart
        self.scans = scans
        self.isFinal = isFinal
        self.height = height
        self.rules = rules
        self.lexers = lexers
        self.depth = depth
    }

    var stateCount: Int { isFinal.count }

    var approximateBytes: Int {
        var bytes = edges.count * MemoryLayout<Edge>.stride + stateCount * 14 + rules.count * 64
        for lexer in lexers {
            switch lexer.kind {
            case .table(let automaton), .bounded(let automaton, _): bytes += automaton.approximateBytes
            case .key(let excluded): bytes += excluded.reduce(0) { $0 + $1.count + 32 }
            case .string, .counter: bytes += 32
            }
        }
        return bytes
    }
}
