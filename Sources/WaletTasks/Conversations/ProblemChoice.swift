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

    /// Reads a list such as `countdown:3-5=2,prices`: tasks, with some of their levels, and with a weight of each level.
    /// - Throws: ``Malformed`` for what is no list, or a task or level that there is not.
    public static func list(parsing text: String) throws(Malformed) -> [ProblemChoice] {
        var choices: [ProblemChoice] = []
        for item in text.split(separator: ",", omittingEmptySubsequences: false) {
            let found = "\"\(item.prefix(80))\""
            let halves = item.split(separator: "=", omittingEmptySubsequences: false)
            let parts = halves[0].split(separator: ":", omittingEmptySubsequences: false)
            let name = String(parts[0].drop { $0 == " " })
            guard let task = solved.first(where: { $0.name == name }) else {
                throw Malformed(expected: "one of " + solved.map(\.name).joined(separator: ", "), found: found)
            }
            let weight = halves.count == 1 ? 1 : Int(halves[1]) ?? 0
            let bounds = parts.dropFirst().first?.split(separator: "-", omittingEmptySubsequences: false).map {
                Int($0)
            }
            let (low, high) = (bounds?.first ?? task.levels.lowerBound, bounds?.last ?? task.levels.upperBound)
            guard halves.count <= 2, (1...1_000_000).contains(weight), parts.count <= 2, bounds?.count ?? 1 <= 2,
                let low, let high, low <= high, task.levels.contains(low), task.levels.contains(high)
            else {
                throw Malformed(
                    expected: "\(name), with levels as in \(name):\(task.levels.lowerBound)-\(task.levels.upperBound), "
                        + "and a weight as in =2", found: found)
            }
            choices += (low...high).compactMap { ProblemChoice(task: name, level: $0, weight: weight) }
        }
        return choices
    }

    /// What a list should have had.
    public struct Malformed: Error, Sendable, Equatable, CustomStringConvertible {
        public let expected: String
        public let found: String
        public var description: String { "expected \(expected), found \(found)" }
    }

    /// Draws one of a language, of any split.
    public func problem(_ language: TaskLanguage, _ random: inout TaskRandom) -> TaskProblem {
        Self.solved[number].problem(level: level, language, &random)
    }
}
