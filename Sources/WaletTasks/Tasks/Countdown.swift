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
            let ways = Self.ways(numbers, signs)
            // What is reached in some way, whole, and neither tiny nor enormous.
            let targets = ways.filter { $0.value.denominator == 1 && (1...999).contains($0.value.numerator) }
            guard !targets.isEmpty else { continue }
            let target = random.pick(targets).value.numerator
            return problem(level, language, numbers, target, signs, &random)
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
        // Some tries that are not it, in no order, and one that is: whoever goes on trying finds it.
        var ways = Self.ways(numbers, signs)
        random.shuffle(&ways)
        let wrong = ways.filter { $0.value.denominator == 1 && $0.value != Fraction(target) }
        var lines = wrong.prefix(random.number(0...8)).map { way in
            "\(way.text) = \(Self.text(way.value))" + language(" no", " bukan")
        }
        let answer = ways.first { $0.value == Fraction(target) }?.text ?? ""
        lines.append("\(answer) = \(target)")
        return TaskProblem(
            task: name, level: level, language: language,
            key: "\(target) of \(numbers.sorted().map(String.init).joined(separator: " ")) \(allowed)",
            question: question,
            thinking: lines.joined(separator: "\n"), answer: answer,
            expected: .expression(numbers: numbers, target: target))
    }

    /// All ways, always in the same order: two of the numbers first, then the third.
    static func ways(_ numbers: [Int], _ signs: [Character]) -> [(text: String, value: Fraction)] {
        var ways: [(text: String, value: Fraction)] = []
        for third in [2, 1, 0] {
            let pair = [0, 1, 2].filter { $0 != third }
            for (i, j) in [(pair[0], pair[1]), (pair[1], pair[0])] {
                for first in signs where i < j || first == "-" || first == "/" {
                    guard let a = Fraction(numbers[i]), let b = Fraction(numbers[j]), let c = Fraction(numbers[third]),
                        let inner = Fraction.apply(first, a, b)
                    else { continue }
                    let text = "\(numbers[i]) \(first) \(numbers[j])"
                    for second in signs {
                        let needs = (second == "*" || second == "/") && (first == "+" || first == "-")
                        if let value = Fraction.apply(second, inner, c) {
                            ways.append(
                                (
                                    needs
                                        ? "(\(text)) \(second) \(numbers[third])"
                                        : "\(text) \(second) \(numbers[third])", value
                                ))
                        }
                        if second == "-" || second == "/", let value = Fraction.apply(second, c, inner) {
                            ways.append(("\(numbers[third]) \(second) (\(text))", value))
                        }
                    }
                }
            }
        }
        return ways
    }

    private static func text(_ value: Fraction) -> String {
        value.denominator == 1 ? "\(value.numerator)" : "\(value.numerator)/\(value.denominator)"
    }
}
