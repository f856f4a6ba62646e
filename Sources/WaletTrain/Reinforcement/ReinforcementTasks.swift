// Which problems a run of reinforcement draws.

import WaletTasks

/// Tasks and levels of a recipe, in turn.
struct ReinforcementTasks: Sendable {
    private let cases: [(task: any ReasoningTask, level: Int)]
    private let languages: [TaskLanguage]

    /// - Throws: ``RecipeError/inconsistent(key:reason:)`` for a task or level that is not there.
    init(_ settings: Recipe.Reinforcement) throws(RecipeError) {
        var cases: [(task: any ReasoningTask, level: Int)] = []
        func fail(_ reason: String) -> RecipeError { .inconsistent(key: "grpo.tasks", reason: reason) }
        for item in settings.tasks.split(separator: ",", omittingEmptySubsequences: false) {
            let parts = item.split(separator: ":", omittingEmptySubsequences: false)
            let name = parts[0].filter { $0 != " " }
            guard let task = ReasoningTasks.named(name) else {
                let known = ReasoningTasks.all.map(\.name).joined(separator: ", ")
                throw fail("expected one of \(known), found \"\(name.prefix(80))\"")
            }
            guard parts.count > 1 else {
                cases += task.levels.map { (task, $0) }
                continue
            }
            let bounds = parts[1].split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
            guard parts.count == 2, bounds.count <= 2, let first = bounds.first, let low = first, let last = bounds.last,
                let high = last, low <= high, task.levels.contains(low), task.levels.contains(high)
            else {
                throw fail(
                    "\(name) has levels \(task.levels.lowerBound)-\(task.levels.upperBound), found \"\(item.prefix(80))\"")
            }
            cases += (low...high).map { (task, $0) }
        }
        self.cases = cases
        languages =
            switch settings.language {
            case .en: [.english]
            case .id: [.indonesian]
            case .both: TaskLanguage.allCases
            }
    }

    /// Draws problems, of each task and level about as many.
    /// - Parameter seed: the same seed gives the same problems.
    func problems(_ count: Int, _ split: TaskSplit, seed: UInt64) -> [TaskProblem] {
        var random = TaskRandom(seed: seed)
        var known: Set<String> = []
        var problems: [TaskProblem] = []
        // Where fewer are asked for than there are kinds, not always the first ones.
        let start = random.number(0...cases.count - 1)
        for index in 0..<count {
            let (task, level) = cases[(start + index) % cases.count]
            let language = random.pick(languages)
            if let problem = task.problem(level: level, language, split, notOf: &known, &random) {
                problems.append(problem)
            }
        }
        return problems
    }
}
