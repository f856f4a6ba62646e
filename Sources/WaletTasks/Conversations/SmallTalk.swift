/// Greetings, thanks, and questions about the model: what it may talk of besides its problems.
///
/// The name and the size are those of `walet-nano`, the model that is trained on these conversations.
enum SmallTalk {
    /// What a user wants to hear.
    enum Topic: String, CaseIterable {
        case greeting, wellBeing, identity, abilities, thanks, goodbye, walet, size, privacy, languages, training
        case mistakes, help
    }

    /// What is said to it, how it is thought of, and what it answers.
    struct Talk {
        let thinking: String
        let questions: [String]
        let answers: [String]
    }

    /// Draws a question about a topic, or about any, with an answer.
    static func problem(
        _ topic: Topic? = nil, _ language: TaskLanguage, _ random: inout TaskRandom
    ) -> TaskProblem {
        let topic = topic ?? random.pick(Topic.allCases)
        guard let talk = (language == .english ? english : indonesian)[topic] else {
            return problem(.greeting, language, &random)
        }
        let said = random.pick(talk.questions)
        // Capitals and marks come and go, and make no other question.
        let key = said.lowercased().filter { $0.isLetter || $0 == " " }
        return TaskProblem(
            task: Domain.taskName, level: Domain.Level.smallTalk.rawValue, language: language, key: "talk \(key)",
            question: careless(said, &random), thinking: talk.thinking, answer: random.pick(talk.answers),
            expected: expected(topic), heldOutOneIn: 4)
    }

    /// Who it is must be said by name; anything but a refusal does elsewhere.
    private static func expected(_ topic: Topic) -> ExpectedAnswer {
        topic == .identity || topic == .walet ? .word(0, of: [["walet"]]) : .refusal(false)
    }

    /// As people type it: without a mark, without capitals, with a mark more.
    private static func careless(_ text: String, _ random: inout TaskRandom) -> String {
        var text = text
        if random.isTrue(oneIn: 3), let last = text.last, ".?!".contains(last) { text.removeLast() }
        if random.isTrue(oneIn: 8) { text += random.pick(["!", " :)", "..", "!!"]) }
        switch random.number(1...6) {
        case 1, 2: return text.lowercased()
        case 3: return Phrases.lowercasedFirst(text)
        default: return text
        }
    }
}
