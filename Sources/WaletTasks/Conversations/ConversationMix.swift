/// Draws conversations in given shares, always the same from the same seed.
///
/// ```swift
/// var mix = ConversationMix()
/// mix.problems = ProblemChoice.all.filter { $0.level <= 3 }
/// var random = TaskRandom(seed: 1)
/// let conversation = mix.conversation(.train, &random)
/// ```
public struct ConversationMix: Sendable {
    /// How often each kind is drawn among the others; a kind that is not here is not drawn.
    public var kinds: [ConversationKind: Int] = [.problem: 8, .wrapped: 6, .turns: 2, .smallTalk: 2, .outside: 3]
    /// Problems of which tasks and levels; at least one.
    public var problems = ProblemChoice.all
    /// The same for conversations without thinking, where a small model can do less; nil for no difference.
    public var problemsWithoutThinking: [ProblemChoice]?
    /// The part without thinking, in hundredths.
    public var percentWithoutThinking = 30
    /// The part in Indonesian, in hundredths.
    public var percentIndonesian = 50
    /// By task, the part of the problems, in hundredths, whose thinking is the last line of the way alone: as somebody writes it who sees
    /// at once what it comes to, and is right less often. Which of two ways is the better one is left for reinforcement to find.
    public var percentBrief: [String: Int] = [:]

    public init() {}

    /// Draws a kind, a language and whether there is thinking, and a conversation of that.
    public func conversation(_ split: TaskSplit, _ random: inout TaskRandom) -> TaskConversation {
        // A dictionary has no order that is the same in every run.
        let choices = ConversationKind.allCases.map { ($0, max(0, kinds[$0] ?? 0)) }
        let kind = Conversations.pick(choices, &random) ?? .problem
        let language: TaskLanguage = random.number(1...100) <= percentIndonesian ? .indonesian : .english
        let thinks = random.number(1...100) > percentWithoutThinking
        var conversation = Conversations.conversation(
            kind, of: thinks ? problems : problemsWithoutThinking ?? problems, split, language: language,
            thinks: thinks, random: &random)
        for index in conversation.turns.indices {
            guard let thinking = conversation.turns[index].thinking,
                let percent = conversation.turns[index].problem.flatMap({ percentBrief[$0.task] }),
                random.number(1...100) <= percent, let last = thinking.split(separator: "\n").last
            else { continue }
            conversation.turns[index].thinking = String(last)
        }
        return conversation
    }
}
