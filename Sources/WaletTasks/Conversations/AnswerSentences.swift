/// Answers in a short sentence, in which nothing comes after the answer that could be taken for it.
enum AnswerSentences {
    static func sentence(for problem: TaskProblem, _ random: inout TaskRandom) -> String {
        let (language, answer) = (problem.language, problem.answer)
        var sentences = [
            language("The answer is \(answer).", "Jawabannya \(answer)."),
            language("The answer: \(answer)", "Jawaban: \(answer)"),
        ]
        sentences += own(problem)
        return random.pick(sentences)
    }

    /// What fits this kind of problem only.
    private static func own(_ problem: TaskProblem) -> [String] {
        let (language, answer) = (problem.language, problem.answer)
        let form = ProblemForm(problem)
        let values = form?.values ?? [:]
        switch form?.name {
        case .addition, .subtraction, .multiplication:
            let sum = "\(values["a"] ?? "") \(values["sign"] ?? "") \(values["b"] ?? "")"
            return [
                "\(sum) = \(answer).", "\(sum) = \(answer)", language("It is \(answer).", "Hasilnya \(answer)."),
                language("That makes \(answer).", "Jadi \(answer)."),
            ]
        case .largest: return [language("The largest is \(answer).", "Yang terbesar adalah \(answer).")]
        case .smallest: return [language("The smallest is \(answer).", "Yang terkecil adalah \(answer).")]
        case .ascending, .descending: return [language("In order: \(answer).", "Urutannya: \(answer).")]
        case .letters:
            let letter = values["c"] ?? ""
            return [
                language(
                    "The letter \(letter) is there \(answer) time\(answer == "1" ? "" : "s").",
                    "Huruf \(letter) ada \(answer).")
            ]
        case .weekdayLater, .weekdayEarlier, .weekdayOfDate:
            return [language("That is a \(answer).", "Itu hari \(answer).")]
        case .dateLater: return [language("That is \(answer).", "Itu tanggal \(answer).")]
        case .daysBetween:
            return [language("It is \(answer) day\(answer == "1" ? "" : "s").", "Ada \(answer) hari.")]
        case .countdown:
            let target = values["t"] ?? ""
            return ["\(answer) = \(target).", language("One way is \(answer).", "Salah satu caranya: \(answer).")]
        case .packs: return [language("Pack \(answer) is cheaper.", "Paket \(answer) lebih murah.")]
        case .pieces, .onePiece, .tokens: return [cost(answer, language)]
        case nil: return problem.task == "prices" ? [cost(answer, language)] : []
        }
    }

    private static func cost(_ answer: String, _ language: TaskLanguage) -> String {
        language("The price is \(answer).", "Harganya \(answer).")
    }
}
