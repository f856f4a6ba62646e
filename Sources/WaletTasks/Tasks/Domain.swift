/// Whether a model keeps to what it was trained for: says what it cannot do, and does not refuse what it can.
///
/// For models that are trained on ``TaskConversation``s. A general model rightly answers what is to be refused here.
struct Domain: ReasoningTask {
    static let taskName = "domain"

    enum Level: Int, CaseIterable {
        case farOutside = 1
        case nearOutside, smallTalk, wrapped
    }

    let name = Domain.taskName
    let levels = 1...Level.allCases.count
    let summary = "another subject; other problems of numbers; small talk; problems of all tasks as people ask them"

    func problem(level: Int, _ language: TaskLanguage, _ random: inout TaskRandom) -> TaskProblem {
        switch Level(rawValue: level) {
        case .farOutside: return OutsideQuestions.problem(isNear: false, language, &random)
        case .nearOutside: return OutsideQuestions.problem(isNear: true, language, &random)
        case .smallTalk: return SmallTalk.problem(nil, language, &random)
        case .wrapped, nil:
            let choice = random.pick(ProblemChoice.all)
            return Self.wrapped(choice, language, &random)
        }
    }

    /// A problem of another task, with its key, so that it is in the same split.
    private static func wrapped(
        _ choice: ProblemChoice, _ language: TaskLanguage, _ random: inout TaskRandom
    ) -> TaskProblem {
        var problem = choice.problem(language, &random)
        problem.question = ProblemWording.question(problem, &random)
        problem.task = taskName
        problem.level = Level.wrapped.rawValue
        return problem
    }
}
