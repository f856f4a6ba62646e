/// Products, written out.
struct Multiplication: ReasoningTask {
    let name = "multiplication"
    let levels = 1...5
    let summary = "1 x 1, 2 x 1, 3 x 1, 2 x 2 and 3 x 2 digits"
    private static let sizes = [(1, 1), (2, 1), (3, 1), (2, 2), (3, 2)]

    func problem(level: Int, _ language: TaskLanguage, _ random: inout TaskRandom) -> TaskProblem {
        let size = Self.sizes[level - 1]
        let (a, b) = (random.digits(size.0), random.digits(size.1))
        let (first, second) = random.isTrue(oneIn: 2) ? (a, b) : (b, a)
        let question = random.pick([
            language("What is \(first) * \(second)?", "Berapa \(first) * \(second)?"),
            language("Multiply \(first) by \(second).", "Kalikan \(first) dengan \(second)."),
            language("\(first) * \(second) = ?", "\(first) * \(second) = ?"),
        ])
        return TaskProblem(
            task: name, level: level, language: language, key: "\(min(a, b))*\(max(a, b))", question: question,
            thinking: Columns.product(a, b), answer: "\(a * b)", expected: .number(ExactDecimal(a * b)))
    }
}
