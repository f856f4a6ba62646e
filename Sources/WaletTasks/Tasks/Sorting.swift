/// The larger, or the smaller, of some numbers.
struct Comparison: ReasoningTask {
    let name = "comparison"
    let levels = 1...5
    let summary = "whole numbers, decimals, three decimals, decimals below 0 too"

    func problem(level: Int, _ language: TaskLanguage, _ random: inout TaskRandom) -> TaskProblem {
        let count = level >= 4 ? 3 : 2
        var numbers: [ExactDecimal] = []
        while numbers.count < count {
            let number = draw(level, &random)
            if !numbers.contains(number) { numbers.append(number) }
        }
        let wantsLargest = random.isTrue(oneIn: 2)
        let list = Self.list(numbers, language)
        let question =
            wantsLargest
            ? random.pick([
                language("Which is largest: \(list)?", "Mana yang terbesar: \(list)?"),
                language("What is the greatest of \(list)?", "Berapa yang paling besar dari \(list)?"),
            ])
            : random.pick([
                language("Which is smallest: \(list)?", "Mana yang terkecil: \(list)?"),
                language("What is the least of \(list)?", "Berapa yang paling kecil dari \(list)?"),
            ])
        // One after the other against the best so far.
        var best = numbers[0]
        var lines: [String] = []
        for number in numbers.dropFirst() {
            lines.append(Order.line(best, number, language))
            if (number > best) == wantsLargest { best = number }
        }
        return TaskProblem(
            task: name, level: level, language: language,
            key: (wantsLargest ? "max " : "min ") + numbers.sorted().map { "\($0)" }.joined(separator: " "),
            question: question, thinking: lines.joined(separator: "\n"), answer: "\(best)", expected: .number(best))
    }

    private func draw(_ level: Int, _ random: inout TaskRandom) -> ExactDecimal {
        switch level {
        case 1: return ExactDecimal(random.digits(random.number(1...3)))
        case 2: return ExactDecimal(random.digits(random.number(3...6)))
        default:
            let places = random.number(0...3)
            let digits = random.digits(places + 1)
            let isNegative = level == 5 && random.isTrue(oneIn: 2)
            return ExactDecimal(isNegative ? -digits : digits, places: places)
        }
    }

    static func list(_ numbers: [ExactDecimal], _ language: TaskLanguage) -> String {
        numbers.dropLast().map { "\($0)" }.joined(separator: ", ") + language(" or ", " atau ")
            + "\(numbers[numbers.count - 1])"
    }
}

/// Numbers in order.
struct Sorting: ReasoningTask {
    let name = "sorting"
    let levels = 1...5
    let summary = "3 to 7 numbers, the larger levels with more digits"

    func problem(level: Int, _ language: TaskLanguage, _ random: inout TaskRandom) -> TaskProblem {
        var numbers: [Int] = []
        while numbers.count < level + 2 {
            let number = random.digits(random.number(1...min(4, level + 1)))
            if !numbers.contains(number) { numbers.append(number) }
        }
        let isUp = !random.isTrue(oneIn: 3)
        let list = numbers.map(String.init).joined(separator: ", ")
        let question =
            isUp
            ? random.pick([
                language("Sort these numbers: \(list).", "Urutkan angka ini: \(list)."),
                language("Put \(list) in ascending order.", "Susun \(list) dari yang terkecil."),
            ])
            : random.pick([
                language("Sort these numbers, largest first: \(list).", "Urutkan dari yang terbesar: \(list)."),
                language("Put \(list) in descending order.", "Susun \(list) dari yang terbesar."),
            ])
        // One number after the other is put where it belongs among those before it.
        var sorted: [Int] = []
        var lines: [String] = []
        for number in numbers {
            sorted.insert(number, at: sorted.firstIndex { isUp ? number < $0 : number > $0 } ?? sorted.count)
            lines.append("\(number): " + sorted.map(String.init).joined(separator: ", "))
        }
        return TaskProblem(
            task: name, level: level, language: language,
            key: (isUp ? "up " : "down ") + numbers.sorted().map(String.init).joined(separator: " "),
            question: question,
            thinking: lines.joined(separator: "\n"), answer: sorted.map(String.init).joined(separator: ", "),
            expected: .numbers(sorted.map { ExactDecimal($0) }))
    }
}
