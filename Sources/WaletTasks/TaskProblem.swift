/// A question with an answer that a program can check, and how one comes to it.
public struct TaskProblem: Sendable, Equatable {
    /// The task's name.
    public var task: String
    public var level: Int
    public var language: TaskLanguage
    /// What makes it another problem, whatever the words: decides which split it belongs to.
    public var key: String
    public var question: String
    /// The way to the answer, step by step, as a model may think it.
    public var thinking: String
    /// A right answer, in a sentence or alone.
    public var answer: String
    public var expected: ExpectedAnswer
    /// One in so many of its kind is held out: more where a kind has only some hundred of them.
    public var heldOutOneIn: UInt64 = 10

    /// Whether it belongs to the part that no model may be trained on: a tenth, or more by ``heldOutOneIn``.
    public var isHeldOut: Bool { TaskSplit.isHeldOut(key, oneIn: heldOutOneIn) }
}

/// What an answer is compared with.
public enum ExpectedAnswer: Sendable, Equatable {
    /// The last number of the answer.
    case number(ExactDecimal)
    /// The last numbers of the answer, in this order.
    case numbers([ExactDecimal])
    /// The last of these words that the answer has; each with all its names.
    case word(Int, of: [[String]])
    /// A day of a month: 1 to 12.
    case date(month: Int, day: Int)
    /// An expression of these numbers, each once, with + - * / and parentheses, that has this value.
    case expression(numbers: [Int], target: Int)
    /// Words that say that it cannot be done, or any other words.
    case refusal(Bool)
}

/// In which language is asked and answered.
public enum TaskLanguage: String, Sendable, CaseIterable {
    case english = "en"
    case indonesian = "id"

    func callAsFunction(_ english: String, _ indonesian: String) -> String {
        self == .english ? english : indonesian
    }
}

/// Which problems are trained on, and which are kept for measuring.
public enum TaskSplit: String, Sendable, CaseIterable {
    case train
    case heldOut = "held-out"

    /// One problem in ten, or in so many, by the hash of what makes it another problem (FNV-1a, mixed).
    static func isHeldOut(_ key: String, oneIn count: UInt64 = 10) -> Bool {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in key.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        return TaskRandom.mix(hash) % count == 0
    }

    public func contains(_ problem: TaskProblem) -> Bool { problem.isHeldOut == (self == .heldOut) }
}

/// A kind of problem.
public protocol ReasoningTask: Sendable {
    /// As commands call it.
    var name: String { get }
    /// How hard it can be, from 1.
    var levels: ClosedRange<Int> { get }
    /// What the levels are.
    var summary: String { get }
    /// Draws a problem.
    /// - Parameter level: one of `levels`.
    func problem(level: Int, _ language: TaskLanguage, _ random: inout TaskRandom) -> TaskProblem
}

extension ReasoningTask {
    /// Draws problems of a split until one comes that was not there yet.
    /// - Parameter known: keys of those that were; the new one is added.
    /// - Returns: nil where a thousand draws gave nothing new: levels with few problems are used up.
    public func problem(
        level: Int, _ language: TaskLanguage, _ split: TaskSplit, notOf known: inout Set<String>,
        _ random: inout TaskRandom
    ) -> TaskProblem? {
        for _ in 0..<1000 {
            let drawn = problem(level: level, language, &random)
            if split.contains(drawn), known.insert(drawn.key).inserted { return drawn }
        }
        return nil
    }
}

/// All tasks.
public enum ReasoningTasks {
    public static let all: [any ReasoningTask] = solved + [Domain()]

    /// Those whose answers are worked out.
    static let solved: [any ReasoningTask] = [
        Addition(), Subtraction(), Multiplication(), Comparison(), Sorting(), LetterCounting(), CalendarArithmetic(),
        Countdown(), Prices(),
    ]

    public static func named(_ name: String) -> (any ReasoningTask)? { all.first { $0.name == name } }
}
