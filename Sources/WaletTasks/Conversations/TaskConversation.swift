/// Turns of a user and of a model that knows the tasks: what such a model is trained on.
public struct TaskConversation: Sendable, Equatable {
    /// What one of the two says.
    public struct Turn: Sendable, Equatable {
        public enum Role: String, Sendable { case user, assistant }

        public var role: Role
        public var content: String
        /// What the model thinks before it answers; nil for the user, and in a conversation without thinking.
        public var thinking: String?
        /// In the model's turns: what was asked in the turn before, and what a right answer to it is.
        public var problem: TaskProblem?
    }

    public var kind: ConversationKind
    public var language: TaskLanguage
    public var thinks: Bool
    /// The user first, then by turns.
    public var turns: [Turn]

    /// - Parameter exchanges: what is asked, with its answers; at least one.
    init(_ kind: ConversationKind, _ language: TaskLanguage, thinks: Bool, _ exchanges: [TaskProblem]) {
        self.kind = kind
        self.language = language
        self.thinks = thinks
        turns = exchanges.flatMap { exchange in
            [
                Turn(role: .user, content: exchange.question),
                Turn(
                    role: .assistant, content: exchange.answer, thinking: thinks ? exchange.thinking : nil,
                    problem: exchange),
            ]
        }
    }

    /// What is asked, one after the other.
    public var problems: [TaskProblem] { turns.compactMap(\.problem) }

    /// Whether any of it must not be trained on.
    public var isHeldOut: Bool { problems.contains(where: \.isHeldOut) }

    /// Of all turns, thinking included.
    public var characters: Int {
        turns.reduce(0) { $0 + $1.content.utf8.count + ($1.thinking?.utf8.count ?? 0) }
    }
}

/// What a conversation is about.
public enum ConversationKind: String, Sendable, CaseIterable {
    /// A problem in the words of its task, and its bare answer.
    case problem
    /// A problem as people ask it, and an answer in a short sentence.
    case wrapped
    /// Two or three questions: a greeting or thanks among them, or a second problem.
    case turns
    /// Greetings, and what the model says about itself.
    case smallTalk = "small-talk"
    /// What the model cannot do, and says so.
    case outside
}
