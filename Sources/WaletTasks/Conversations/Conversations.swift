/// Draws conversations of one kind.
public enum Conversations {
    /// No conversation has more characters than this, thinking included: longer ones are drawn again.
    public static let longest = 900

    /// - Parameters:
    ///   - problems: which tasks and levels the problems are of; all where there is none.
    ///   - split: of every question of it. Greetings and the like between problems are of ``TaskSplit/train`` in any case.
    ///   - thinks: whether the model's turns have thinking.
    public static func conversation(
        _ kind: ConversationKind, of problems: [ProblemChoice] = ProblemChoice.all, _ split: TaskSplit,
        language: TaskLanguage, thinks: Bool, random: inout TaskRandom
    ) -> TaskConversation {
        var problems = problems.isEmpty ? ProblemChoice.all : problems
        var misses = 0
        while true {
            let exchanges = exchanges(kind, problems, split, language, &random)
            let drawn = TaskConversation(kind, language, thinks: thinks, exchanges)
            if drawn.characters < longest { return drawn }
            // Problems that never fit, such as two of the longest, give way to any.
            misses += 1
            if misses == 100 { problems = ProblemChoice.all }
        }
    }

    private static func exchanges(
        _ kind: ConversationKind, _ problems: [ProblemChoice], _ split: TaskSplit, _ language: TaskLanguage,
        _ random: inout TaskRandom
    ) -> [TaskProblem] {
        func plain() -> TaskProblem {
            drawn(split, &random) { random in
                (pick(problems.map { ($0, $0.weight) }, &random) ?? problems[0]).problem(language, &random)
            }
        }
        func wrapped() -> TaskProblem {
            let problem = plain()
            return ProblemWording.worded(problem, &random)
        }
        func talk(_ topic: SmallTalk.Topic?, _ split: TaskSplit) -> TaskProblem {
            drawn(split, &random) { SmallTalk.problem(topic, language, &$0) }
        }
        func outside() -> TaskProblem {
            let isNear = random.isTrue(oneIn: 2)
            return drawn(split, &random) { OutsideQuestions.problem(isNear: isNear, language, &$0) }
        }
        switch kind {
        case .problem: return [plain()]
        case .wrapped: return [wrapped()]
        case .smallTalk: return [talk(nil, split)]
        case .outside: return [outside()]
        case .turns:
            let first = random.pick([SmallTalk.Topic.greeting, .greeting, .wellBeing, .abilities, .help, .identity])
            let last = random.pick([SmallTalk.Topic.thanks, .thanks, .goodbye])
            switch random.number(1...8) {
            case 1: return [talk(first, .train), wrapped()]
            case 2, 3: return [wrapped(), wrapped()]
            case 4: return [wrapped(), talk(last, .train)]
            case 5: return [talk(first, .train), wrapped(), talk(last, .train)]
            case 6: return [outside(), wrapped()]
            case 7: return [wrapped(), outside()]
            default: return [wrapped(), wrapped(), talk(last, .train)]
            }
        }
    }

    /// Draws until one of the split comes. Every kind has some of both.
    private static func drawn(
        _ split: TaskSplit, _ random: inout TaskRandom, _ draw: (inout TaskRandom) -> TaskProblem
    ) -> TaskProblem {
        while true {
            let problem = draw(&random)
            if split.contains(problem) { return problem }
        }
    }

    /// One of some values, each as often as its weight says; nil where all weights are 0.
    static func pick<Value>(_ choices: [(Value, Int)], _ random: inout TaskRandom) -> Value? {
        let total = choices.reduce(0) { $0 + $1.1 }
        guard total > 0 else { return nil }
        var rest = random.number(0...total - 1)
        for (value, weight) in choices {
            if rest < weight { return value }
            rest -= weight
        }
        return nil
    }
}
