/// Written arithmetic, the ones first, in lines that a small model can follow.
///
/// Each line begins with what is left of the numbers and ends, behind a semicolon, with the digits of the result so far: whoever
/// writes the next line has to look no further than the one before.
enum Columns {
    /// `358 + 67`:
    ///
    ///     358 + 67: 8 + 7 = 15; 5
    ///     35 + 6 + 1: 5 + 6 + 1 = 12; 25
    ///     3 + 1: 3 + 1 = 4; 425
    ///     358 + 67 = 425
    static func sum(_ a: Int, _ b: Int) -> String {
        let whole = "\(a) + \(b) = \(a + b)"
        guard a > 9 || b > 9 else { return whole }
        var (left, right, carry) = (a, b, 0)
        var (lines, result): ([String], String) = ([], "")
        while left > 0 || right > 0 || carry > 0 {
            let terms = lines.isEmpty ? [left, right] : [left, right, carry].filter { $0 > 0 }
            // What is left alone stays as it is.
            if terms.count == 1 {
                lines.append("\(terms[0]); \(terms[0])\(result)")
                break
            }
            let digits = terms.map { $0 % 10 }
            let total = digits.reduce(0, +)
            result = "\(total % 10)\(result)"
            lines.append("\(text(terms, "+")): \(text(digits, "+")) = \(total); \(result)")
            (left, right, carry) = (left / 10, right / 10, total / 10)
        }
        return lines.joined(separator: "\n") + "\n" + whole
    }

    /// `305 - 67`:
    ///
    ///     305 - 67: 5 - 7 + 10 = 8; 8
    ///     30 - 6 - 1: 0 - 6 - 1 + 10 = 3; 38
    ///     3 - 1: 3 - 1 = 2; 238
    ///     305 - 67 = 238
    ///
    /// - Parameter a: not less than b.
    static func difference(_ a: Int, _ b: Int) -> String {
        let whole = "\(a) - \(b) = \(a - b)"
        guard a > 9 else { return whole }
        var (left, right, borrowed) = (a, b, 0)
        var (lines, result): ([String], String) = ([], "")
        while left > 0 {
            let terms = lines.isEmpty ? [left, right] : [left] + [right, borrowed].filter { $0 > 0 }
            if terms.count == 1 {
                lines.append("\(left); \(left)\(result)")
                break
            }
            let digits = terms.map { $0 % 10 }
            let difference = digits.dropFirst().reduce(digits[0], -)
            let digit = (difference + 10) % 10
            result = "\(digit)\(result)"
            lines.append(
                "\(text(terms, "-")): \(text(digits, "-"))\(difference < 0 ? " + 10" : "") = \(digit); \(result)")
            (left, right, borrowed) = (left / 10, right / 10, difference < 0 ? 1 : 0)
        }
        return lines.joined(separator: "\n") + "\n" + whole
    }

    /// `37 * 42`:
    ///
    ///     37 * 2: 7 * 2 = 14; 4
    ///     3 * 2 + 1: 3 * 2 + 1 = 7; 74
    ///     37 * 4: 7 * 4 = 28; 80
    ///     3 * 4 + 2: 3 * 4 + 2 = 14; 1480
    ///     74 + 1480: …
    ///     37 * 42 = 1554
    static func product(_ a: Int, _ b: Int) -> String {
        let whole = "\(a) * \(b) = \(a * b)"
        guard a > 9 || b > 9 else { return whole }
        var lines: [String] = []
        var total: Int?
        for (place, digit) in Numerals.digits(of: b).enumerated() where digit > 0 {
            var result = String(repeating: "0", count: place)
            var (left, carry) = (a, 0)
            repeat {
                let rest = carry > 0 ? " + \(carry)" : ""
                let product = left % 10 * digit + carry
                result = (left > 9 ? "\(product % 10)" : "\(product)") + result
                lines.append("\(left) * \(digit)\(rest): \(left % 10) * \(digit)\(rest) = \(product); \(result)")
                (left, carry) = (left / 10, product / 10)
            } while left > 0
            let part = a * digit * Numerals.power(10, place)
            if let before = total { lines.append(sum(before, part)) }
            total = (total ?? 0) + part
        }
        return lines.joined(separator: "\n") + (lines.isEmpty ? "" : "\n") + whole
    }

    /// `414 / 9`, the first digit first: what is divided, what is not yet, and the digits of the result so far.
    ///
    ///     4, 14: 4 / 9 = 0, 0 * 9 = 0, 4 - 0 = 4; 0
    ///     41, 4: 41 / 9 = 4, 4 * 9 = 36, 41 - 36 = 5; 04
    ///     54: 54 / 9 = 6, 6 * 9 = 54, 54 - 54 = 0; 046
    ///     414 / 9 = 46
    ///
    /// - Parameter divisor: 2 to 9.
    static func quotient(_ a: Int, _ divisor: Int, _ language: TaskLanguage) -> String {
        let digits = Numerals.digits(of: a).reversed()
        var rest = 0
        var (lines, result): ([String], String) = ([], "")
        for (place, digit) in digits.enumerated() {
            let number = rest * 10 + digit
            let times = number / divisor
            rest = number - times * divisor
            result += "\(times)"
            let later = digits.dropFirst(place + 1).map { "\($0)" }.joined()
            lines.append(
                "\(number)\(later.isEmpty ? "" : ", \(later)"): \(number) / \(divisor) = \(times), "
                    + "\(times) * \(divisor) = \(times * divisor), \(number) - \(times * divisor) = \(rest); \(result)")
        }
        let remainder = rest > 0 ? language(", \(rest) left", ", sisa \(rest)") : ""
        return lines.joined(separator: "\n") + "\n\(a) / \(divisor) = \(a / divisor)" + remainder
    }

    private static func text(_ numbers: [Int], _ sign: String) -> String {
        numbers.map { "\($0)" }.joined(separator: " \(sign) ")
    }
}
