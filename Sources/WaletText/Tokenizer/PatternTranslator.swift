// Rewrites a pre-tokenizer pattern for PCRE2, so that it means there what it means in the engine it was written for.

/// Reads a pattern as Oniguruma (`tokenizers`) or Rust's `regex` (`tiktoken`) does and writes it for PCRE2.
///
/// Only constructs whose meaning is known to carry over are let through. What differs silently is rewritten: `&&`
/// between classes, nested classes, `\p{Han}` (PCRE2 takes script extensions), `\w`, `\b`, `\h`, `\v`, `{n,m}+`,
/// `{n}?`, `(?m)`, and `X+$`, which is quadratic as written.
struct PatternTranslator {
    enum Dialect: Sendable {
        /// Oniguruma as `tokenizers` uses it: `^` and `$` know lines.
        case oniguruma
        /// Rust's `regex` and `fancy_regex` as `tiktoken` uses them: `$` is the end of the text.
        case rust
    }

    /// A pattern for PCRE2.
    struct Translation {
        var pattern: String
        /// Code points that the pattern names itself, other than through properties.
        var explicitRanges: [ClosedRange<UInt32>]
    }

    private let source: String
    private let dialect: Dialect
    private let input: [Unicode.Scalar]
    private var position = 0
    private var depth = 0
    private var explicitRanges: [ClosedRange<UInt32>] = []

    static func translate(_ pattern: String, _ dialect: Dialect) throws(TokenizerError) -> Translation {
        guard pattern.utf8.count <= 1 << 16 else {
            throw .pattern(pattern, offset: 0, reason: "longer than 65,536 bytes")
        }
        var translator = PatternTranslator(pattern, dialect)
        let output = try translator.alternation(top: true)
        guard translator.position == translator.input.count else { throw translator.error("unmatched )") }
        return Translation(pattern: output, explicitRanges: translator.explicitRanges)
    }

    private init(_ source: String, _ dialect: Dialect) {
        self.source = source
        self.dialect = dialect
        input = Array(source.unicodeScalars)
    }

    private func error(_ reason: String) -> TokenizerError { .pattern(source, offset: position, reason: reason) }

    private var current: Unicode.Scalar? { position < input.count ? input[position] : nil }

    private func peek(_ offset: Int) -> Unicode.Scalar? {
        position + offset < input.count ? input[position + offset] : nil
    }

    private mutating func accept(_ text: String) -> Bool {
        let scalars = Array(text.unicodeScalars)
        guard input[position...].starts(with: scalars) else { return false }
        position += scalars.count
        return true
    }

    // MARK: Alternatives, sequences, quantifiers

    private mutating func alternation(top: Bool = false) throws(TokenizerError) -> String {
        depth += 1
        defer { depth -= 1 }
        guard depth <= 100 else { throw error("groups nested deeper than 100") }
        var output = ""
        var isOnlyBranch = true
        while true {
            let branch = try sequence()
            if top, isOnlyBranch, position == input.count, branch.count == 2, branch[1].text == "$",
                branch[0].isClass, branch[0].quantifier == "+"
            {
                // A run that does not reach a line's end is tried from its first character only: from a later one it
                // cannot do better, and trying would take quadratic time.
                let one = branch[0].text
                return "(?:\\G|(?<!\(one)))\(one)+$"
            }
            for atom in branch { output += atom.written }
            guard current == "|" else { return output }
            isOnlyBranch = false
            position += 1
            output += "|"
        }
    }

    private struct Atom {
        var text: String
        var isClass = false
        var quantifier = ""
        var wrapped: String?
        var written: String { wrapped ?? text + quantifier }
    }

    private mutating func sequence() throws(TokenizerError) -> [Atom] {
        var atoms: [Atom] = []
        while let scalar = current, scalar != "|", scalar != ")" {
            var atom = try atom()
            try quantify(&atom)
            atoms.append(atom)
        }
        return atoms
    }

    private mutating func quantify(_ atom: inout Atom) throws(TokenizerError) {
        guard let scalar = current else { return }
        var isInterval = false
        switch scalar {
        case "*", "+", "?":
            atom.quantifier = String(scalar)
            position += 1
        case "{":
            guard let interval = try interval() else { return }
            atom.quantifier = interval.text
            isInterval = true
            if dialect == .oniguruma, current == "?", interval.isExact {
                // Oniguruma: an optional group, not a lazy repetition.
                position += 1
                atom.wrapped = "(?:\(atom.text)\(interval.text))?"
                try noFurtherQuantifier()
                return
            }
        default: return
        }
        if current == "?" {
            position += 1
            atom.quantifier += "?"
        } else if current == "+" {
            position += 1
            if isInterval, dialect == .oniguruma {
                atom.wrapped = "(?:\(atom.text)\(atom.quantifier))+"
            } else {
                atom.quantifier += "+"
            }
        }
        try noFurtherQuantifier()
    }

    private mutating func noFurtherQuantifier() throws(TokenizerError) {
        let isInterval = current == "{" && (peek(1).map { $0 == "," || ("0"..."9").contains($0) } ?? false)
        if current == "*" || current == "+" || current == "?" || isInterval {
            throw error("a quantifier after a quantifier")
        }
    }

    /// `{n}`, `{n,}`, `{n,m}`, `{,m}`; nil, and nothing read, where the brace stands for itself.
    private mutating func interval() throws(TokenizerError) -> (text: String, isExact: Bool)? {
        let start = position
        position += 1
        let low = try number()
        var high: Int?
        var isExact = true
        if current == "," {
            isExact = false
            position += 1
            high = try number()
        }
        guard current == "}", low != nil || high != nil else {
            if dialect == .rust { throw error("a brace that is no repetition") }
            position = start
            return nil
        }
        position += 1
        if let low, let high, high < low { throw error("repetition with the bounds reversed") }
        if isExact { return ("{\(low ?? 0)}", true) }
        return ("{\(low ?? 0),\(high.map(String.init) ?? "")}", false)
    }

    private mutating func number() throws(TokenizerError) -> Int? {
        var value: Int?
        while let scalar = current, ("0"..."9").contains(scalar) {
            value = (value ?? 0) * 10 + Int(scalar.value - 48)
            guard value! <= 1000 else { throw error("repetition above 1000") }
            position += 1
        }
        return value
    }

    // MARK: Atoms

    private mutating func atom() throws(TokenizerError) -> Atom {
        guard let scalar = current else { throw error("the pattern ends where something is expected") }
        switch scalar {
        case "(": return Atom(text: try group())
        case "[": return Atom(text: try characterClass().written, isClass: true)
        case "\\": return try escape()
        case ".":
            position += 1
            return Atom(text: ".")
        case "^", "$":
            position += 1
            return Atom(text: String(scalar))
        case "*", "+", "?": throw error("nothing to repeat")
        default:
            position += 1
            return Atom(text: literal(scalar.value))
        }
    }

    /// A code point that stands for itself, outside or inside a class.
    private mutating func literal(_ value: UInt32) -> String {
        if value >= 0x80 { explicitRanges.append(value...value) }
        return Self.written(value)
    }

    private static func written(_ value: UInt32) -> String {
        switch value {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: String(Unicode.Scalar(UInt8(value)))
        default: "\\x{\(String(value, radix: 16))}"
        }
    }

    private mutating func group() throws(TokenizerError) -> String {
        position += 1
        var opening = "("
        if current == "?" {
            position += 1
            switch current {
            case ":", "=", "!", ">":
                opening = "(?\(input[position])"
                position += 1
            case "<" where peek(1) == "=" || peek(1) == "!":
                opening = "(?<\(input[position + 1])"
                position += 2
            case "<":
                position += 1
                try groupName()
            case "P" where peek(1) == "<":
                position += 2
                try groupName()
            default:
                let flags = try flags()
                if current == ")" {
                    position += 1
                    return "(?\(flags))"
                }
                position += 1
                opening = "(?\(flags):"
            }
        }
        let body = try alternation()
        guard current == ")" else { throw error("a group that is not closed") }
        position += 1
        return opening + body + ")"
    }

    private mutating func groupName() throws(TokenizerError) {
        while let scalar = current, scalar != ">" {
            guard scalar.isASCII, scalar.properties.isAlphabetic || ("0"..."9").contains(scalar) || scalar == "_"
            else { throw error("a group name with \"\(scalar)\"") }
            position += 1
        }
        guard current == ">" else { throw error("a group name that does not end") }
        position += 1
    }

    /// Up to but not with `:` or `)`.
    private mutating func flags() throws(TokenizerError) -> String {
        var flags = ""
        while let scalar = current, scalar != ":", scalar != ")" {
            switch (scalar, dialect) {
            case ("i", _), ("-", _): flags.unicodeScalars.append(scalar)
            case ("m", .oniguruma): flags += "s"
            case ("m", .rust), ("s", .rust): flags.unicodeScalars.append(scalar)
            default: throw error("unsupported group or flag (?\(scalar)")
            }
            position += 1
        }
        guard current != nil else { throw error("a group that is not closed") }
        return flags
    }

    private mutating func escape() throws(TokenizerError) -> Atom {
        let start = position
        if let expression = try classEscape() { return Atom(text: expression.written, isClass: true) }
        position = start + 1
        guard let scalar = current else { throw error("a pattern that ends with a backslash") }
        switch scalar {
        case "b", "B":
            position += 1
            let word = Self.word(dialect).written
            return Atom(
                text: scalar == "b"
                    ? "(?:(?<=\(word))(?!\(word))|(?<!\(word))(?=\(word)))"
                    : "(?:(?<=\(word))(?=\(word))|(?<!\(word))(?!\(word)))")
        case "A", "z":
            position += 1
            return Atom(text: "\\\(scalar)")
        case "Z" where dialect == .oniguruma, "G" where dialect == .oniguruma:
            position += 1
            return Atom(text: "\\\(scalar)")
        case "1"..."9":
            position += 1
            if let next = current, ("0"..."9").contains(next) { throw error("a back reference above 9") }
            return Atom(text: "\\\(scalar)")
        default:
            position = start
            return Atom(text: literal(try escapedLiteral()))
        }
    }

    /// `\n`, `\x{..}`, `\.`: an escape that stands for one code point.
    private mutating func escapedLiteral() throws(TokenizerError) -> UInt32 {
        position += 1
        guard let scalar = current else { throw error("a pattern that ends with a backslash") }
        position += 1
        switch scalar {
        case "n": return 0x0A
        case "r": return 0x0D
        case "t": return 0x09
        case "f": return 0x0C
        case "v": return 0x0B
        case "a": return 0x07
        case "e" where dialect == .oniguruma: return 0x1B
        case "x":
            if current == "{" {
                position += 1
                let value = try hexadecimal(1...6)
                guard current == "}" else { throw error("a \\x{ that does not end") }
                position += 1
                return value
            }
            return try hexadecimal(dialect == .rust ? 2...2 : 1...2)
        case "u":
            if dialect == .rust, current == "{" {
                position += 1
                let value = try hexadecimal(1...6)
                guard current == "}" else { throw error("a \\u{ that does not end") }
                position += 1
                return value
            }
            return try hexadecimal(4...4)
        case "0"..."9", "A"..."Z", "a"..."z":
            position -= 1
            throw error("unsupported escape \\\(scalar)")
        default: return scalar.value
        }
    }

    private mutating func hexadecimal(_ digits: ClosedRange<Int>) throws(TokenizerError) -> UInt32 {
        var value: UInt32 = 0
        var count = 0
        while count < digits.upperBound, let scalar = current, scalar.isASCII,
            let digit = Character(scalar).hexDigitValue
        {
            value = value << 4 | UInt32(digit)
            count += 1
            position += 1
        }
        guard count >= digits.lowerBound, Unicode.Scalar(value) != nil else {
            throw error("an escape that is no code point")
        }
        return value
    }

    // MARK: Classes

    /// A set of code points as PCRE2 can write it.
    private indirect enum ClassExpression {
        /// The inside of a class; `categories` where it is a union of general categories and nothing else.
        case set(String, negated: Bool, categories: Categories?)
        case union([ClassExpression])
        case intersection([ClassExpression])
        case complement(ClassExpression)

        static func one(_ body: String) -> ClassExpression { .set(body, negated: false, categories: nil) }

        var negation: ClassExpression {
            switch self {
            case .set(let body, let negated, let categories):
                .set(body, negated: !negated, categories: categories)
            case .complement(let inner): inner
            default: .complement(self)
            }
        }

        var written: String {
            switch self {
            case .set("", let negated, _): negated ? "[\\x{0}-\\x{10ffff}]" : "[^\\x{0}-\\x{10ffff}]"
            case .set(let body, let negated, _): "[\(negated ? "^" : "")\(body)]"
            case .union(let parts): "(?:\(parts.map(\.written).joined(separator: "|")))"
            case .intersection(let parts):
                "(?:\(parts.dropLast().map { "(?=\($0.written))" }.joined())\(parts.last?.written ?? ""))"
            case .complement(let inner): "(?:(?!\(inner.written))[\\x{0}-\\x{10ffff}])"
            }
        }
    }

    /// `position` stands at the bracket.
    private mutating func characterClass() throws(TokenizerError) -> ClassExpression {
        depth += 1
        defer { depth -= 1 }
        guard depth <= 100 else { throw error("classes nested deeper than 100") }
        position += 1
        let isNegated = accept("^")
        var operands: [ClassExpression] = []
        var body = ""
        var categories: Categories? = []
        var others: [ClassExpression] = []
        var isFirst = true

        func operand() -> ClassExpression {
            let set = ClassExpression.set(body, negated: false, categories: body.isEmpty ? nil : categories)
            if others.isEmpty { return set }
            return .union(body.isEmpty ? others : [set] + others)
        }
        func add(_ expression: ClassExpression) {
            switch expression {
            case .set(let more, negated: false, let moreCategories):
                body += more
                if let known = categories, let moreCategories {
                    categories = known.union(moreCategories)
                } else {
                    categories = nil
                }
            case .set(_, negated: true, let excluded?) where others.isEmpty && body.isEmpty:
                // A negated set of categories is a set of the other categories.
                body = excluded.complement.written
                categories = excluded.complement
            default: others.append(expression)
            }
        }

        loop: while true {
            guard let scalar = current else { throw error("a class that is not closed") }
            switch scalar {
            case "]" where !isFirst:
                position += 1
                break loop
            case "[":
                if peek(1) == ":" {
                    add(try bracketName())
                } else {
                    add(try characterClass())
                }
            case "&" where peek(1) == "&":
                position += 2
                operands.append(operand())
                body = ""
                categories = []
                others = []
            default:
                try classItem(add)
            }
            isFirst = false
        }
        operands.append(operand())
        let whole = operands.count == 1 ? operands[0] : Self.intersect(operands)
        return isNegated ? whole.negation : whole
    }

    /// A character, a range, or an escape within a class.
    private mutating func classItem(_ add: (ClassExpression) -> Void) throws(TokenizerError) {
        let start = position
        if current == "\\", let expression = try classEscape() {
            add(expression)
            return
        }
        position = start
        let low = try classCharacter()
        if current == "-", let next = peek(1), next != "]", !(next == "[" || next == "&" && peek(2) == "&") {
            position += 1
            let beforeHigh = position
            if current == "\\", try classEscape() != nil { throw error("a range that ends in a class") }
            position = beforeHigh
            let high = try classCharacter()
            guard low <= high else { throw error("a range with the bounds reversed") }
            if high >= 0x80 { explicitRanges.append(max(low, 0x80)...high) }
            add(.one("\(Self.written(low))-\(Self.written(high))"))
        } else {
            add(.one(literal(low)))
        }
    }

    private mutating func classCharacter() throws(TokenizerError) -> UInt32 {
        guard let scalar = current else { throw error("a class that is not closed") }
        if scalar == "\\" {
            if peek(1) == "b" {
                position += 2
                return 0x08
            }
            return try escapedLiteral()
        }
        position += 1
        return scalar.value
    }

    private static func intersect(_ operands: [ClassExpression]) -> ClassExpression {
        // Categories partition the code points, so that "these categories, but not those sets" is one negated class.
        // That matters: a look-ahead inside a repetition is slow and uses memory for every character.
        var included: Categories = .all
        var excluded = ""
        for operand in operands {
            switch operand {
            case .set(_, negated: false, let categories?): included.formIntersection(categories)
            case .set(let body, negated: true, _): excluded += body
            default: return .intersection(operands)
            }
        }
        return .set(included.complement.written + excluded, negated: true, categories: nil)
    }

    /// `[:alpha:]` and the like.
    private mutating func bracketName() throws(TokenizerError) -> ClassExpression {
        let start = position
        position += 2
        let isNegated = accept("^")
        var name = ""
        while let scalar = current, scalar != ":" {
            name.unicodeScalars.append(scalar)
            position += 1
        }
        guard accept(":]") else { throw error("a [: that does not end") }
        var expression: ClassExpression
        switch (name, dialect) {
        case ("space", .oniguruma): expression = .one("\\s")
        case ("word", .oniguruma): expression = Self.word(dialect)
        case ("digit", .oniguruma): expression = Self.categories([.nd])
        case ("upper", .rust): expression = .one("A-Z")
        case ("lower", .rust): expression = .one("a-z")
        case ("alpha", .rust): expression = .one("A-Za-z")
        case ("digit", .rust): expression = .one("0-9")
        case ("alnum", .rust): expression = .one("0-9A-Za-z")
        case ("xdigit", _): expression = .one("0-9A-Fa-f")
        default:
            position = start
            throw error("unsupported class [:\(name):]")
        }
        if isNegated { expression = expression.negation }
        return expression
    }

    /// `\s`, `\p{L}` and the like; nil where the escape is no class. `position` stands at the backslash.
    private mutating func classEscape() throws(TokenizerError) -> ClassExpression? {
        guard let scalar = peek(1) else { return nil }
        let expression: ClassExpression
        switch scalar {
        case "s", "S": expression = .one("\\s")
        case "d", "D": expression = Self.categories([.nd])
        case "w", "W": expression = Self.word(dialect)
        case "h" where dialect == .oniguruma, "H" where dialect == .oniguruma: expression = .one("0-9A-Fa-f")
        case "p", "P": return try property()
        default: return nil
        }
        position += 2
        return scalar.properties.isUppercase ? expression.negation : expression
    }

    private mutating func property() throws(TokenizerError) -> ClassExpression {
        var isNegated = peek(1) == "P"
        position += 2
        var name = ""
        if current == "{" {
            position += 1
            if current == "^" {
                isNegated.toggle()
                position += 1
            }
            while let scalar = current, scalar != "}" {
                name.unicodeScalars.append(scalar)
                position += 1
            }
            guard current == "}" else { throw error("a \\p{ that does not end") }
            position += 1
        } else if dialect == .rust, let scalar = current {
            name = String(scalar)
            position += 1
        }
        let key = String(name.lowercased().filter { $0 != "_" && $0 != " " && $0 != "-" })
        let expression: ClassExpression
        if let categories = Categories.named(key) {
            expression = Self.categories(categories)
        } else if let script = Self.script(key, dialect) {
            // Plain \p{Han} is Script_Extensions from PCRE2 10.40 on; the reference engines mean Script.
            expression = .one("\\p{sc:\(script)}")
        } else if key == "any" {
            expression = .set("", negated: true, categories: nil)
        } else if key == "whitespace" || key == "space" {
            expression = .one("\\s")
        } else {
            throw error("unsupported property \\p{\(name)}")
        }
        return isNegated ? expression.negation : expression
    }

    private static func categories(_ categories: Categories) -> ClassExpression {
        .set(categories.written, negated: false, categories: categories)
    }

    private static func script(_ key: String, _ dialect: Dialect) -> String? {
        var key = key
        if dialect == .rust {
            for prefix in ["script=", "sc="] where key.hasPrefix(prefix) { key.removeFirst(prefix.count) }
        }
        return scripts.contains(key) ? key : nil
    }

    private static let scripts: Set<String> = [
        "han", "hiragana", "katakana", "hangul", "latin", "greek", "cyrillic", "arabic", "hebrew", "thai",
        "devanagari", "bengali", "tamil", "telugu", "armenian", "georgian", "ethiopic", "khmer", "lao", "myanmar",
        "tibetan", "mongolian", "common", "inherited", "bopomofo", "gujarati", "gurmukhi", "kannada", "malayalam",
        "oriya", "sinhala",
    ]

    /// `\w`. Both engines take Alphabetic, marks, decimal digits and connectors; Rust adds the two joiners, Oniguruma
    /// the Latin-1 superscripts and fractions.
    private static func word(_ dialect: Dialect) -> ClassExpression {
        let circled = "\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}"
        let more =
            switch dialect {
            case .oniguruma: "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}"
            case .rust: "\\x{200c}\\x{200d}"
            }
        return .one("\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}" + circled + more)
    }
}

/// A set of Unicode general categories.
struct Categories: OptionSet, Sendable {
    let rawValue: UInt32

    static let names = [
        "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po",
        "Sm", "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co", "Cn",
    ]

    static let all = Categories(rawValue: (1 << UInt32(names.count)) - 1)
    static let nd = Categories(prefix: "Nd")

    init(rawValue: UInt32) { self.rawValue = rawValue }

    private init(prefix: String) {
        var bits: UInt32 = 0
        for (index, name) in Self.names.enumerated() where name.hasPrefix(prefix) { bits |= 1 << UInt32(index) }
        rawValue = bits
    }

    var complement: Categories { Categories.all.subtracting(self) }

    /// As items of a PCRE2 class: whole groups by their letter.
    var written: String {
        var output = ""
        for letter in ["L", "M", "N", "P", "S", "Z", "C"] {
            let group = Categories(prefix: letter)
            if isSuperset(of: group) {
                output += "\\p{\(letter)}"
            } else {
                for (index, name) in Self.names.enumerated()
                where name.hasPrefix(letter) && rawValue >> UInt32(index) & 1 == 1 {
                    output += "\\p{\(name)}"
                }
            }
        }
        return output
    }

    /// By short or long name, in lower case and without separators.
    static func named(_ key: String) -> Categories? {
        if let long = longNames[key] { return Categories(prefix: long) }
        if key == "l&" || key == "lc" || key == "casedletter" {
            return [Categories(prefix: "Lu"), Categories(prefix: "Ll"), Categories(prefix: "Lt")]
        }
        guard key.utf8.count <= 2, !key.isEmpty else { return nil }
        let name = key.prefix(1).uppercased() + key.dropFirst()
        guard names.contains(where: { $0 == name || $0.prefix(1) == name }) else { return nil }
        return Categories(prefix: name)
    }

    private static let longNames = [
        "letter": "L", "uppercaseletter": "Lu", "lowercaseletter": "Ll", "titlecaseletter": "Lt",
        "modifierletter": "Lm", "otherletter": "Lo", "mark": "M", "nonspacingmark": "Mn", "spacingmark": "Mc",
        "enclosingmark": "Me", "number": "N", "decimalnumber": "Nd", "letternumber": "Nl", "othernumber": "No",
        "punctuation": "P", "connectorpunctuation": "Pc", "dashpunctuation": "Pd", "openpunctuation": "Ps",
        "closepunctuation": "Pe", "initialpunctuation": "Pi", "finalpunctuation": "Pf", "otherpunctuation": "Po",
        "symbol": "S", "mathsymbol": "Sm", "currencysymbol": "Sc", "modifiersymbol": "Sk", "othersymbol": "So",
        "separator": "Z", "spaceseparator": "Zs", "lineseparator": "Zl", "paragraphseparator": "Zp", "other": "C",
        "control": "Cc", "format": "Cf", "surrogate": "Cs", "privateuse": "Co", "unassigned": "Cn",
    ]
}
