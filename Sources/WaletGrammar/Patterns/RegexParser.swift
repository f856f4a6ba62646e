// Regular expressions as JSON Schema has them (ECMA-262), those of them that an automaton can decide.

indirect enum RegexNode {
    case set(CharacterRanges)
    case sequence([RegexNode])
    case choice([RegexNode])
    /// Greedy or not makes no difference to what matches.
    case repetition(RegexNode, minimum: Int, maximum: Int?)
    case start
    case end
}

/// Reads a pattern. Back references, look-around and word boundaries are refused: they are not regular, or make an
/// automaton many times larger.
struct RegexParser {
    /// Counts beyond this are read as this; the automaton's size limit refuses them later.
    private static let largestCount = 1_000_000_000
    private static let maximumDepth = 200

    private let pattern: String
    private let path: String
    private let scalars: [UInt32]
    private var offset = 0
    private var depth = 0

    static func parse(_ pattern: String, path: String) throws(GrammarError) -> RegexNode {
        var parser = RegexParser(pattern, path)
        let node = try parser.choice()
        guard parser.offset == parser.scalars.count else {
            throw parser.error("the end of the pattern", "\")\" without \"(\"")
        }
        return node
    }

    private init(_ pattern: String, _ path: String) {
        self.pattern = pattern
        self.path = path
        scalars = pattern.unicodeScalars.map(\.value)
    }

    private func error(_ expected: String, _ found: String, at position: Int? = nil) -> GrammarError {
        .pattern(path: path, pattern: pattern, offset: position ?? offset, expected: expected, found: found)
    }

    private var current: Unicode.Scalar? { offset < scalars.count ? Unicode.Scalar(scalars[offset]) : nil }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard current == character else { return false }
        offset += 1
        return true
    }

    private mutating func take(_ text: String) -> Bool {
        let wanted = text.unicodeScalars.map(\.value)
        guard scalars[offset...].starts(with: wanted) else { return false }
        offset += wanted.count
        return true
    }

    private mutating func choice() throws(GrammarError) -> RegexNode {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.maximumDepth else {
            throw .limit(path: path, what: "depth of groups in a pattern", maximum: Self.maximumDepth, found: "more")
        }
        var branches = [try sequence()]
        while take("|") { branches.append(try sequence()) }
        return branches.count == 1 ? branches[0] : .choice(branches)
    }

    private mutating func sequence() throws(GrammarError) -> RegexNode {
        var items: [RegexNode] = []
        while let character = current, character != "|", character != ")" { items.append(try term()) }
        return items.count == 1 ? items[0] : .sequence(items)
    }

    private mutating func term() throws(GrammarError) -> RegexNode {
        let start = offset
        let atom = try self.atom()
        guard let (minimum, maximum) = try quantifier() else { return atom }
        switch atom {
        case .start, .end: throw error("something that can repeat", "a quantifier after an anchor", at: start)
        default: break
        }
        _ = take("?")
        let end = offset
        if try quantifier() != nil { throw error("a single quantifier", "two in a row", at: end) }
        return .repetition(atom, minimum: minimum, maximum: maximum)
    }

    private mutating func quantifier() throws(GrammarError) -> (Int, Int?)? {
        if take("*") { return (0, nil) }
        if take("+") { return (1, nil) }
        if take("?") { return (0, 1) }
        guard current == "{" else { return nil }
        let start = offset
        offset += 1
        guard let minimum = number() else {
            // A brace that begins no quantifier stands for itself.
            offset = start
            return nil
        }
        var maximum: Int? = minimum
        if take(",") { maximum = number() }
        guard take("}") else {
            offset = start
            return nil
        }
        if let maximum, maximum < minimum {
            throw error("a range of counts", "{\(minimum),\(maximum)}", at: start)
        }
        return (minimum, maximum)
    }

    private mutating func number() -> Int? {
        var value: Int?
        while let character = current, ("0"..."9").contains(character) {
            value = min((value ?? 0) * 10 + Int(character.value - 0x30), Self.largestCount)
            offset += 1
        }
        return value
    }

    private mutating func atom() throws(GrammarError) -> RegexNode {
        let start = offset
        guard let character = current else { throw error("a character", "the end") }
        offset += 1
        switch character {
        case "^": return .start
        case "$": return .end
        case ".": return .set(.dot)
        case "(": return try group(start)
        case "[": return .set(try characterClass(start))
        case "\\": return .set(try escape(start, inClass: false))
        case "*", "+", "?": throw error("something that can repeat", "\"\(character)\"", at: start)
        default: return .set(CharacterRanges(character.value))
        }
    }

    private mutating func group(_ start: Int) throws(GrammarError) -> RegexNode {
        if take("?") {
            if take("<") {
                guard current != "=", current != "!" else {
                    throw error("a pattern without look-behind", "(?<\(current ?? " ")", at: start)
                }
                while let character = current, character != ">" {
                    guard character.properties.isXIDContinue || character == "$" else { break }
                    offset += 1
                }
                guard take(">") else { throw error("a group's name and \">\"", "something else") }
            } else if !take(":") {
                let found = current.map { "(?\($0)" } ?? "(?"
                throw error("(?:, (?<name> or ( - look-ahead and flags are not supported", found, at: start)
            }
        }
        let node = try choice()
        guard take(")") else { throw error("\")\"", "the end") }
        return node
    }

    private mutating func characterClass(_ start: Int) throws(GrammarError) -> CharacterRanges {
        let isNegated = take("^")
        var ranges: [ClosedRange<UInt32>] = []
        while true {
            guard current != nil else { throw error("\"]\"", "the end", at: start) }
            if take("]") { break }
            let itemStart = offset
            let low = try classItem()
            if current == "-", offset + 1 < scalars.count, scalars[offset + 1] != 0x5D {
                offset += 1
                let high = try classItem()
                guard let first = low.only, let last = high.only, first <= last else {
                    throw error("a range of characters in ascending order", "another", at: itemStart)
                }
                ranges.append(first...last)
            } else {
                ranges += low.ranges
            }
        }
        let set = CharacterRanges(ranges)
        return isNegated ? set.inverted : set
    }

    private mutating func classItem() throws(GrammarError) -> CharacterRanges {
        let start = offset
        guard let character = current else { throw error("a character", "the end") }
        offset += 1
        return character == "\\"
            ? try escape(start, inClass: true) : CharacterRanges([character.value...character.value])
    }

    private mutating func escape(_ start: Int, inClass: Bool) throws(GrammarError) -> CharacterRanges {
        guard let character = current else { throw error("a character after \"\\\"", "the end") }
        offset += 1
        switch character {
        case "d": return .digit
        case "D": return CharacterRanges.digit.inverted
        case "w": return .word
        case "W": return CharacterRanges.word.inverted
        case "s": return .space
        case "S": return CharacterRanges.space.inverted
        case "t": return CharacterRanges(0x09)
        case "n": return CharacterRanges(0x0A)
        case "v": return CharacterRanges(0x0B)
        case "f": return CharacterRanges(0x0C)
        case "r": return CharacterRanges(0x0D)
        case "b" where inClass: return CharacterRanges(0x08)
        case "0":
            if let next = current, ("0"..."9").contains(next) { break }
            return CharacterRanges(0)
        case "x": return CharacterRanges(try hexadecimal(2, start))
        case "u": return CharacterRanges(try unicode(start))
        case "c":
            guard let letter = current, letter.properties.isAlphabetic, letter.isASCII else { break }
            offset += 1
            return CharacterRanges(letter.value % 32)
        case "b", "B": throw error("a pattern without word boundaries", "\\\(character)", at: start)
        case "k", "1"..."9": throw error("a pattern without back references", "\\\(character)", at: start)
        case "p", "P":
            throw error("explicit ranges of characters", "the property class \\\(character)", at: start)
        case "A"..."Z", "a"..."z": break
        default: return CharacterRanges(character.value)
        }
        throw error("an escape of ECMA-262", "\\\(character)", at: start)
    }

    private mutating func hexadecimal(_ count: Int, _ start: Int) throws(GrammarError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<count {
            guard let digit = current.flatMap({ $0.isASCII ? Character($0).hexDigitValue : nil }) else {
                throw error("\(count) hexadecimal digits", "fewer", at: start)
            }
            value = value << 4 | UInt32(digit)
            offset += 1
        }
        return value
    }

    private mutating func unicode(_ start: Int) throws(GrammarError) -> UInt32 {
        if take("{") {
            var value: UInt32 = 0
            while let digit = current.flatMap({ $0.isASCII ? Character($0).hexDigitValue : nil }) {
                value = min(value << 4 | UInt32(digit), 0x110000)
                offset += 1
            }
            guard take("}"), Unicode.Scalar(value) != nil else {
                throw error("a Unicode scalar in braces", "something else", at: start)
            }
            return value
        }
        let value = try hexadecimal(4, start)
        if (0xD800..<0xDC00).contains(value), take("\\u") {
            let low = try hexadecimal(4, start)
            if (0xDC00..<0xE000).contains(low) { return 0x10000 + (value - 0xD800) << 10 + (low - 0xDC00) }
        }
        guard Unicode.Scalar(value) != nil else { throw error("a Unicode scalar", "a lone surrogate", at: start) }
        return value
    }
}

extension CharacterRanges {
    /// The character of a set of one.
    fileprivate var only: UInt32? {
        ranges.count == 1 && ranges[0].count == 1 ? ranges[0].lowerBound : nil
    }
}
