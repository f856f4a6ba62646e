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
            thinking: Columns.sum(a, b), answer: "\(a + b)", expected: .number(ExactDecimal(a + b)))
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
        // The smaller from the larger, whose sign is told first and last.
        var thinking = Order.line(a, b, language) + "\n" + Columns.difference(max(a, b), min(a, b))
        if a < b { thinking += "\n\(a) - \(b) = \(a - b)" }
        return TaskProblem(
            task: name, level: level, language: language, key: "\(a)-\(b)", question: question, thinking: thinking,
            answer: "\(a - b)", expected: .number(ExactDecimal(a - b)))
    }
}
