/// Three numbers, a target, and the signs between them to be found.
struct Countdown: ReasoningTask {
    let name = "countdown"
    let levels = 1...5
    let summary = "three numbers and a target: + and - up to 9; times too; over too; numbers up to 25; up to 100"

    func problem(level: Int, _ language: TaskLanguage, _ random: inout TaskRandom) -> TaskProblem {
        let signs: [Character] = level == 1 ? ["+", "-"] : level == 2 ? ["+", "-", "*"] : ["+", "-", "*", "/"]
        let largest = level <= 3 ? 9 : level == 4 ? 25 : 100
        while true {
            let numbers = (0..<3).map { _ in random.number(1...largest) }
            let targets = Self.beginnings(numbers, signs).flatMap { $0.ends.map(\.value) }.filter { $0 > 0 }
            guard !targets.isEmpty else { continue }
            return problem(level, language, numbers, random.pick(targets), signs, &random)
        }
    }

    private func problem(
        _ level: Int, _ language: TaskLanguage, _ numbers: [Int], _ target: Int, _ signs: [Character],
        _ random: inout TaskRandom
    ) -> TaskProblem {
        let list = "\(numbers[0]), \(numbers[1])" + language(" and ", " dan ") + "\(numbers[2])"
        let allowed = signs.map(String.init).joined(separator: " ")
        let question = random.pick([
            language(
                "Use \(list), each once, with \(allowed) to make \(target).",
                "Pakai \(list), masing-masing sekali, dengan \(allowed) supaya menjadi \(target)."),
            language(
                "Make \(target) of \(list): each number once, with \(allowed) and parentheses.",
                "Buat \(target) dari \(list): tiap angka sekali, dengan \(allowed) dan kurung."),
        ])
        let (lines, answer) = Self.search(numbers, target, signs)
        return TaskProblem(
            task: name, level: level, language: language,
            key: "\(target) of \(numbers.sorted().map(String.init).joined(separator: " ")) \(allowed)",
            question: question,
            thinking: lines.joined(separator: "\n"), answer: answer,
            expected: .expression(numbers: numbers, target: target))
    }

    /// Two of the numbers in every way, in the order of ``beginnings(_:_:)``, and each result with the third in every way, until
    /// one is the target:
    ///
    ///     7 + 4 = 11: 11 + 9 = 20, 11 - 9 = 2, 11 * 9 = 99!
    ///     (7 + 4) * 9 = 99
    ///
    /// The mark stands where the target is met, so that whether it is needs to be seen in one place alone. Always the same order, so that none
    /// is tried twice: the line before says which comes next.
    private static func search(
        _ numbers: [Int], _ target: Int, _ signs: [Character]
    ) -> (lines: [String], answer: String) {
        var lines: [String] = []
        for beginning in beginnings(numbers, signs) {
            let place = beginning.ends.firstIndex { $0.value == target }
            let tried = beginning.ends.prefix((place ?? beginning.ends.count - 1) + 1)
            lines.append(
                "\(beginning.text): " + tried.map { "\($0.step) = \($0.value)" }.joined(separator: ", ")
                    + (place == nil ? "" : "!"))
            if let place {
                let answer = beginning.ends[place].text
                return (lines + ["\(answer) = \(target)"], answer)
            }
        }
        return (lines, "")
    }

    /// Two of the numbers with a sign, and what becomes of that with the third.
    private struct Beginning {
        /// With its result, as in `7 + 4 = 11`.
        var text: String
        /// The last step, the whole expression, and its value.
        var ends: [(step: String, text: String, value: Int)]
    }

    /// Always in the same order. Results are whole and not below 0, products at most 999.
    private static func beginnings(_ numbers: [Int], _ signs: [Character]) -> [Beginning] {
        var beginnings: [Beginning] = []
        for (i, j, rest) in [(0, 1, 2), (0, 2, 1), (1, 2, 0)] {
            let (large, small) = (max(numbers[i], numbers[j]), min(numbers[i], numbers[j]))
            for sign in signs {
                guard let value = result(sign, large, small) else { continue }
                let text = "\(large) \(sign) \(small)"
                let beginning = Beginning(
                    text: "\(text) = \(value)",
                    ends: signs.compactMap { end($0, text, isSum: sign == "+" || sign == "-", value, numbers[rest]) })
                // Equal numbers have equal beginnings.
                if !beginnings.contains(where: { $0.text == beginning.text }), !beginning.ends.isEmpty {
                    beginnings.append(beginning)
                }
            }
        }
        return beginnings
    }

    /// A result with the third number, the larger of the two first.
    private static func end(
        _ sign: Character, _ inner: String, isSum: Bool, _ value: Int, _ third: Int
    ) -> (step: String, text: String, value: Int)? {
        guard let whole = result(sign, max(value, third), min(value, third)) else { return nil }
        if value >= third {
            let text = isSum && (sign == "*" || sign == "/") ? "(\(inner))" : inner
            return ("\(value) \(sign) \(third)", "\(text) \(sign) \(third)", whole)
        }
        let text = sign == "+" || sign == "*" && !isSum ? inner : "(\(inner))"
        return ("\(third) \(sign) \(value)", "\(third) \(sign) \(text)", whole)
    }

    private static func result(_ sign: Character, _ large: Int, _ small: Int) -> Int? {
        switch sign {
        case "+": large + small
        case "-": large - small
        case "*": large * small > 999 ? nil : large * small
        default: small == 0 || large % small != 0 ? nil : large / small
        }
    }
}
