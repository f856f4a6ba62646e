/// Sums of two numbers of as many digits as the level says, or fewer.
struct Addition: ReasoningTask {
    let name = "addition"
    let levels = 1...7
    let summary = "two numbers of up to so many digits"

    func problem(level: Int, _ language: TaskLanguage, _ random: inout TaskRandom) -> TaskProblem {
        var (a, b) = (random.digits(level), random.digits(random.number(1...level)))
        if random.isTrue(oneIn: 2) { (a, b) = (b, a) }
        let question = random.pick([
            language("What is \(a) + \(b)?", "Berapa \(a) + \(b)?"),
            language("Add \(a) and \(b).", "Jumlahkan \(a) dan \(b)."),
            language("\(a) + \(b) = ?", "\(a) + \(b) = ?"),
        ])
        return TaskProblem(
            task: name, level: level, language: language, key: "\(min(a, b))+\(max(a, b))", question: question,
            thinking: Columns.sum(a, b, language), answer: "\(a + b)", expected: .number(ExactDecimal(a + b)))
    }
}

/// Differences of two such numbers; a fifth of them is below 0.
struct Subtraction: ReasoningTask {
    let name = "subtraction"
    let levels = 1...7
    let summary = "two numbers of up to so many digits, some of the results below 0"

    func problem(level: Int, _ language: TaskLanguage, _ random: inout TaskRandom) -> TaskProblem {
        var (a, b) = (random.digits(level), random.digits(random.number(1...level)))
        if (a < b) != random.isTrue(oneIn: 5) { (a, b) = (b, a) }
        let question = random.pick([
            language("What is \(a) - \(b)?", "Berapa \(a) - \(b)?"),
            language("Subtract \(b) from \(a).", "Kurangkan \(b) dari \(a)."),
            language("\(a) - \(b) = ?", "\(a) - \(b) = ?"),
        ])
        var thinking = ""
        if a < b {
            thinking =
                language(
                    "\(a) is less than \(b), so it is -(\(b) - \(a)).",
                    "\(a) lebih kecil dari \(b), jadi -(\(b) - \(a)).")
                + "\n"
        }
        thinking += Columns.difference(max(a, b), min(a, b), language)
        return TaskProblem(
            task: name, level: level, language: language, key: "\(a)-\(b)", question: question, thinking: thinking,
            answer: "\(a - b)", expected: .number(ExactDecimal(a - b)))
    }
}

/// Written arithmetic, the ones first.
enum Columns {
    /// `358 + 67`: "8 + 7 = 15, write 5, carry 1" and so on, and the digits in their order at the end.
    static func sum(_ a: Int, _ b: Int, _ language: TaskLanguage) -> String {
        let (left, right) = (Numerals.digits(of: a), Numerals.digits(of: b))
        guard left.count > 1 || right.count > 1 else { return "\(a) + \(b) = \(a + b)" }
        var lines: [String] = []
        var carry = 0
        for place in 0..<max(left.count, right.count) {
            let (x, y) = (place < left.count ? left[place] : 0, place < right.count ? right[place] : 0)
            let sum = x + y + carry
            lines.append(
                "\(x) + \(y)" + (carry > 0 ? " + \(carry)" : "") + " = \(sum), "
                    + language("write \(sum % 10)", "tulis \(sum % 10)")
                    + (sum > 9 ? language(", carry 1", ", simpan 1") : ""))
            carry = sum / 10
        }
        if carry > 0 { lines.append(language("write \(carry)", "tulis \(carry)")) }
        return lines.joined(separator: "\n") + "\n\(a) + \(b) = \(a + b)"
    }

    /// - Parameter a: not less than b.
    static func difference(_ a: Int, _ b: Int, _ language: TaskLanguage) -> String {
        let (left, right) = (Numerals.digits(of: a), Numerals.digits(of: b))
        guard left.count > 1 else { return "\(a) - \(b) = \(a - b)" }
        var lines: [String] = []
        var borrowed = 0
        for place in left.indices {
            let x = left[place] - borrowed
            let y = place < right.count ? right[place] : 0
            var line = borrowed > 0 ? "\(left[place]) - 1 = \(x), " : ""
            if x < y {
                line += language("borrow: ", "pinjam: ") + "\(x + 10) - \(y) = \(x + 10 - y)"
                borrowed = 1
            } else {
                line += "\(x) - \(y) = \(x - y)"
                borrowed = 0
            }
            lines.append(line)
        }
        return lines.joined(separator: "\n") + "\n\(a) - \(b) = \(a - b)"
    }

    /// Products by single digits, and their sum.
    static func product(_ a: Int, _ b: Int, _ language: TaskLanguage) -> String {
        let digits = Numerals.digits(of: b)
        guard a > 9 || b > 9 else { return "\(a) * \(b) = \(a * b)" }
        var lines: [String] = []
        var parts: [Int] = []
        for (place, digit) in digits.enumerated() where digit > 0 {
            let factor = digit * Numerals.power(10, place)
            var carry = 0
            var steps: [String] = []
            for x in Numerals.digits(of: a) {
                let product = x * digit + carry
                steps.append("\(x) * \(digit)" + (carry > 0 ? " + \(carry)" : "") + " = \(product)")
                carry = product / 10
            }
            lines.append(steps.joined(separator: ", "))
            if factor != b { lines.append("\(a) * \(factor) = \(a * factor)") }
            parts.append(a * factor)
        }
        var total = parts.first ?? 0
        for part in parts.dropFirst() {
            lines.append(sum(total, part, language))
            total += part
        }
        lines.append("\(a) * \(b) = \(a * b)")
        return lines.joined(separator: "\n")
    }
}
