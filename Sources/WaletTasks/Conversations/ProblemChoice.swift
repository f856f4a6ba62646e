/// A task and a level, and how often it is drawn among others.
public struct ProblemChoice: Sendable, Equatable {
    /// A task of ``ReasoningTasks/all``, but not `domain`, which asks these problems itself.
    public let task: String
    public let level: Int
    public let weight: Int
    private let number: Int

    /// - Parameter weight: 1 or more.
    /// - Returns: nil for a task or a level that there is not.
    public init?(task: String, level: Int, weight: Int = 1) {
        guard let number = Self.solved.firstIndex(where: { $0.name == task }), weight > 0,
            Self.solved[number].levels.contains(level)
        else { return nil }
        (self.task, self.level, self.weight, self.number) = (task, level, weight, number)
    }

    /// Every level of every task, once.
    public static let all: [ProblemChoice] = solved.flatMap { task in
        task.levels.compactMap { ProblemChoice(task: task.name, level: $0) }
    }

    private static let solved: [any ReasoningTask] = ReasoningTasks.solved

    /// Draws one of a language, of any split.
    func problem(_ language: TaskLanguage, _ random: inout TaskRandom) -> TaskProblem {
        Self.solved[number].problem(level: level, language, &random)
    }
}
