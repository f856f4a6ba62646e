// The terminals of a grammar that are more than a few bytes: strings, numbers, patterns, free text.

/// A terminal that is matched by a small machine of its own. None of them has a dead end.
struct Lexer: Sendable {
    enum Kind: Sendable {
        case table(ByteAutomaton)
        /// The same for an automaton of strings, of a number of characters at most.
        case bounded(ByteAutomaton, maximum: Int32)
        /// The rest of a JSON string, its closing quote included, of a number of characters.
        case string(minimum: Int32, maximum: Int32)
        /// The rest of an object's key, its closing quote included. It differs from these spellings, each with its
        /// closing quote, and from the undeclared keys that the object has already.
        case key(excluded: [[UInt8]])
        /// A counter's value plus this number, in decimal digits.
        case counter(start: Int)
    }

    /// A maximum that is none.
    static let unlimited = Int32.max

    let kind: Kind
    /// Bytes that can follow where the terminal may end anywhere; nil where all are worth a try.
    var exits: ByteSet?

    /// Whether nothing at all matches.
    var acceptsNothing: Bool {
        if case .table(let automaton) = kind { automaton.accepting[0] } else { false }
    }

    var firstBytes: ByteSet {
        var bytes = ByteSet()
        switch kind {
        case .table(let automaton), .bounded(let automaton, _): return automaton.nextBytes(0)
        case .string, .key:
            for byte in UInt8.min...UInt8.max where StringBody.free[Int(byte)] >= 0 { bytes.insert(byte) }
        case .counter: bytes.insert(UInt8(ascii: "0")...UInt8(ascii: "9"))
        }
        return bytes
    }

    /// The digits that a counter stands for.
    static func digits(start: Int, count: Int32) -> [UInt8] {
        let (sum, overflows) = start.addingReportingOverflow(Int(count))
        return Array(String(overflows ? Int.max : sum).utf8)
    }
}

/// Tells lexers apart while a grammar is built, so that equal ones are made once.
enum LexerKey: Hashable {
    case string(minimum: Int32, maximum: Int32)
    case key(excluded: [[UInt8]])
    case counter(start: Int)
    case number(NumberConstraint)
    case pattern([String], [StringFormat], minimum: Int, maximum: Int32)
    case text(without: [[UInt8]])
    case lineBreak
    case lineBreaks
}
