// Which problems a run of reinforcement draws.

import WaletTasks

/// Tasks and levels of a recipe.
struct ReinforcementTasks: Sendable {
    private let choices: [ProblemChoice]
    private let languages: [TaskLanguage]

    /// - Throws: ``RecipeError/inconsistent(key:reason:)`` for a task or level that is not there.
    init(_ settings: Recipe.Reinforcement) throws(RecipeError) {
        do throws(ProblemChoice.Malformed) {
            choices = try ProblemChoice.list(parsing: settings.tasks).flatMap { choice in
                [ProblemChoice](repeating: choice, count: min(choice.weight, 1000))
            }
        } catch {
            throw .inconsistent(key: "grpo.tasks", reason: error.description)
        }
        languages =
            switch settings.language {
            case .en: [.english]
            case .id: [.indonesian]
            case .both: TaskLanguage.allCases
            }
    }

    /// Draws problems, of each task and level as many as its weight says, or nearly.
    /// - Parameter seed: the same seed gives the same problems.
    func problems(_ count: Int, _ split: TaskSplit, seed: UInt64) -> [TaskProblem] {
        var random = TaskRandom(seed: seed)
        var known: Set<String> = []
        var problems: [TaskProblem] = []
        var order = choices
        for index in 0..<count {
            // In a new order each round, so that few problems are of all kinds in turn.
            if index % order.count == 0 { random.shuffle(&order) }
            let choice = order[index % order.count]
            let language = random.pick(languages)
            // Levels with few problems give one again rather than none.
            for attempt in 0..<1000 {
                let problem = choice.problem(language, &random)
                guard split.contains(problem), known.insert(problem.key).inserted || attempt == 999 else { continue }
                problems.append(problem)
                break
            }
        }
        return problems
    }
}
