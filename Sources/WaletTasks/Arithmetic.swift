// Expressions of whole numbers, computed without rounding.

/// A fraction with a positive denominator, in its lowest terms.
struct Fraction: Sendable, Hashable {
    let numerator: Int
    let denominator: Int

    /// - Returns: nil for a denominator of 0, and for what does not fit.
    init?(_ numerator: Int, _ denominator: Int = 1) {
        guard denominator != 0, numerator != .min, denominator != .min else { return nil }
        var (a, b) = (abs(numerator), abs(denominator))
        while b != 0 { (a, b) = (b, a % b) }
        let sign = (numerator < 0) != (denominator < 0) ? -1 : 1
        self.numerator = sign * abs(numerator) / max(1, a)
        self.denominator = abs(denominator) / max(1, a)
    }

    /// - Returns: nil for a division by 0, and for what does not fit.
    static func apply(_ sign: Character, _ left: Fraction, _ right: Fraction) -> Fraction? {
        func times(_ a: Int, _ b: Int) -> Int? {
            let (product, overflow) = a.multipliedReportingOverflow(by: b)
            return overflow ? nil : product
        }
        switch sign {
        case "+", "-":
            guard let a = times(left.numerator, right.denominator), let b = times(right.numerator, left.denominator),
                let below = times(left.denominator, right.denominator)
            else { return nil }
            let (sum, overflow) =
                sign == "+" ? a.addingReportingOverflow(b) : a.subtractingReportingOverflow(b)
            return overflow ? nil : Fraction(sum, below)
        case "*":
            guard let above = times(left.numerator, right.numerator),
                let below = times(left.denominator, right.denominator)
            else { return nil }
            return Fraction(above, below)
        default:
            guard let above = times(left.numerator, right.denominator),
                let below = times(left.denominator, right.numerator)
            else { return nil }
            return Fraction(above, below)
        }
    }
}

enum Arithmetic {
    /// Reads the last expression of an answer and computes it.
    static func read(_ answer: String, _ numbers: [Int], _ target: Int) -> AnswerReading {
        guard let text = lastExpression(in: answer) else { return AnswerReading(value: nil, isRight: false) }
        var parser = ExpressionParser(text)
        guard let value = parser.parse() else { return AnswerReading(value: nil, isRight: false) }
        let isRight = parser.numbers.sorted() == numbers.sorted() && value == Fraction(target)
        return AnswerReading(value: text.filter { $0 != " " }, isRight: isRight)
    }

    /// The last stretch of digits, signs and parentheses that has a sign between numbers; what follows "=" is its value, not
    /// a part of it.
    static func lastExpression(in answer: String) -> String? {
        // TeX's marks of a formula are no parentheses of it.
        var text = answer
        for mark in ["\\(", "\\)", "\\[", "\\]"] { text = text.split(separator: mark).joined(separator: "\n") }
        let plain = text.map { character -> Character in
            switch character {
            case "×", "·", "⋅", "∗": "*"
            case "÷", ":": "/"
            case "−", "–": "-"
            default: character
            }
        }
        let stretches = plain.split { !($0.isASCII && $0.isNumber) && !" +-*/()".contains($0) }
        for stretch in stretches.reversed() {
            let found = trimmed(stretch)
            if found.split(whereSeparator: { !$0.isNumber }).count >= 2, found.contains(where: { "+-*/".contains($0) })
            {
                return String(found)
            }
        }
        return nil
    }

    /// Without spaces and signs that belong to the text around it, such as the "- " of a list's item.
    private static func trimmed(_ text: ArraySlice<Character>) -> ArraySlice<Character> {
        var text = text.drop { "+*/ ".contains($0) }
        if text.starts(with: "- ") { text = text.dropFirst(2) }
        while let last = text.last, "+-*/ ".contains(last) { text.removeLast() }
        return text
    }
}

/// Parses and computes at once: sums of products of numbers, signed ones, and sums in parentheses.
struct ExpressionParser {
    private let characters: [Character]
    private var place = 0
    private var depth = 0
    /// The numbers that were used.
    private(set) var numbers: [Int] = []

    init(_ text: String) { characters = text.filter { $0 != " " } }

    /// The value, or nil for what is no expression.
    mutating func parse() -> Fraction? {
        guard let value = sum(), place == characters.count else { return nil }
        return value
    }

    private func peek() -> Character? { place < characters.count ? characters[place] : nil }

    private mutating func sum() -> Fraction? {
        guard var value = product() else { return nil }
        while let sign = peek(), sign == "+" || sign == "-" {
            place += 1
            guard let right = product(), let result = Fraction.apply(sign, value, right) else { return nil }
            value = result
        }
        return value
    }

    private mutating func product() -> Fraction? {
        guard var value = factor() else { return nil }
        while let sign = peek(), sign == "*" || sign == "/" {
            place += 1
            guard let right = factor(), let result = Fraction.apply(sign, value, right) else { return nil }
            value = result
        }
        return value
    }

    private mutating func factor() -> Fraction? {
        // Deeper than any answer that uses each number once.
        guard depth < 64 else { return nil }
        depth += 1
        defer { depth -= 1 }
        switch peek() {
        case "(":
            place += 1
            guard let value = sum(), peek() == ")" else { return nil }
            place += 1
            return value
        case "-":
            place += 1
            guard let value = factor(), let zero = Fraction(0) else { return nil }
            return Fraction.apply("-", zero, value)
        default:
            let digits = characters[place...].prefix { $0.isNumber && $0.isASCII }
            guard (1...9).contains(digits.count), let number = Int(String(digits)) else { return nil }
            place += digits.count
            numbers.append(number)
            return Fraction(number)
        }
    }
}
