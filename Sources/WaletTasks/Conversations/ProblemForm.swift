/// A problem taken apart, so that it can be asked in other words.
///
/// Numbers come from the problem's key where their order does not matter, and from its question where the worked solution
/// follows the order of the question.
struct ProblemForm {
    /// Which wordings fit it.
    enum Name: String, CaseIterable {
        case addition, subtraction, multiplication
        case largest, smallest, ascending, descending
        case letters
        case weekdayLater, weekdayEarlier, dateLater, daysBetween, weekdayOfDate
        case countdown
        case pieces, onePiece, packs, tokens
    }

    var name: Name
    var values: [String: String]

    /// - Returns: nil for a problem that is asked in one way only.
    init?(_ problem: TaskProblem) {
        let found: ProblemForm? =
            switch problem.task {
            case "addition", "subtraction", "multiplication": Self.arithmetic(problem)
            case "comparison", "sorting": Self.list(problem)
            case "letters": Self.letters(problem)
            case "calendar": Self.calendar(problem)
            case "countdown": Self.countdown(problem)
            case "prices": Self.prices(problem)
            default: nil
            }
        guard let found else { return nil }
        self = found
    }

    private init(_ name: Name, _ values: [String: String]) {
        self.name = name
        self.values = values
    }

    /// The stretches of digits of a text.
    private static func integers(_ text: String) -> [String] {
        text.split { !($0.isASCII && $0.isNumber) }.map(String.init)
    }

    private static func arithmetic(_ problem: TaskProblem) -> ProblemForm? {
        var numbers = integers(problem.question)
        guard numbers.count == 2, let name = Name(rawValue: problem.task) else { return nil }
        if problem.question.hasPrefix("Subtract ") || problem.question.hasPrefix("Kurangkan ") { numbers.reverse() }
        let sign = ["addition": "+", "subtraction": "-"][problem.task] ?? "*"
        return ProblemForm(name, ["a": numbers[0], "b": numbers[1], "sign": sign])
    }

    /// The list is what is between the first number and the last.
    private static func list(_ problem: TaskProblem) -> ProblemForm? {
        func isPart(_ character: Character) -> Bool { character == "-" || (character.isASCII && character.isNumber) }
        guard let first = problem.question.firstIndex(where: isPart),
            let last = problem.question.lastIndex(where: isPart),
            let order = problem.key.split(separator: " ").first
        else { return nil }
        let names: [Substring: Name] = ["max": .largest, "min": .smallest, "up": .ascending, "down": .descending]
        return names[order].map { ProblemForm($0, ["l": String(problem.question[first...last])]) }
    }

    private static func letters(_ problem: TaskProblem) -> ProblemForm? {
        let parts = problem.key.split(separator: " ").map(String.init)
        guard parts.count == 3 else { return nil }
        return ProblemForm(.letters, ["c": parts[0], "w": parts[2]])
    }

    private static func calendar(_ problem: TaskProblem) -> ProblemForm? {
        let numbers = integers(problem.key).compactMap { Int($0) }
        let language = problem.language
        func date(_ place: Int) -> String { Calendar.date(numbers[place], numbers[place + 1], language) }
        switch (problem.level, numbers.count) {
        case (1...2, 2):
            let values = ["d": Calendar.weekday(numbers[0], language), "n": "\(numbers[1])"]
            return ProblemForm(problem.key.contains("-") ? .weekdayEarlier : .weekdayLater, values)
        case (3, 3): return ProblemForm(.dateLater, ["t": date(0), "n": "\(numbers[2])"])
        case (4, 4): return ProblemForm(.daysBetween, ["t": date(0), "u": date(2)])
        case (5, 5):
            let day = Calendar.weekday(numbers[0], language)
            return ProblemForm(.weekdayOfDate, ["d": day, "t": date(1), "u": date(3)])
        default: return nil
        }
    }

    private static func countdown(_ problem: TaskProblem) -> ProblemForm? {
        guard case .expression(let numbers, let target) = problem.expected, numbers.count == 3 else { return nil }
        let signs = problem.key.split(separator: " ").dropFirst(5).joined(separator: " ")
        let list = "\(numbers[0]), \(numbers[1])" + problem.language(" and ", " dan ") + "\(numbers[2])"
        return ProblemForm(.countdown, ["t": "\(target)", "l": list, "s": signs])
    }

    private static func prices(_ problem: TaskProblem) -> ProblemForm? {
        let numbers = integers(problem.key)
        switch (problem.level, numbers.count) {
        case (1, 2): return ProblemForm(.pieces, ["n": numbers[0], "p": numbers[1]])
        case (2, 3): return ProblemForm(.onePiece, ["n": numbers[1], "p": numbers[2]])
        case (3, 4):
            return ProblemForm(.packs, ["a": numbers[0], "x": numbers[1], "b": numbers[2], "y": numbers[3]])
        case (4, 2):
            // The price as the question writes it, with its point.
            let words = problem.question.split(separator: " ").map(String.init)
            guard let price = words.first(where: { $0.contains(".") && $0.first?.isNumber == true }) else { return nil }
            return ProblemForm(.tokens, ["n": numbers[0], "p": price])
        default: return nil
        }
    }
}
