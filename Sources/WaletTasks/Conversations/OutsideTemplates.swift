/// Questions that the model should not answer. `{country}` stands for a word of that kind, `{4}` for a number of four digits.
enum OutsideTemplates {
    static func all(isNear: Bool, _ language: TaskLanguage) -> [String] {
        switch (language, isNear) {
        case (.english, false): farEnglish
        case (.english, true): nearEnglish
        case (.indonesian, false): farIndonesian
        case (.indonesian, true): nearIndonesian
        }
    }
}

/// Questions outside the tasks, with the answer that says so.
///
/// Half of the words that questions are about, half of the questions without such a word, and one wording in ten are never
/// trained on, so that a refusal can be measured on questions that are new in both.
enum OutsideQuestions {
    /// Draws a question.
    /// - Parameter isNear: a problem of numbers, words or dates that is none of the tasks; otherwise another subject.
    static func problem(isNear: Bool, _ language: TaskLanguage, _ random: inout TaskRandom) -> TaskProblem {
        let templates = OutsideTemplates.all(isNear: isNear, language)
        while true {
            let template = random.pick(templates)
            let (text, key) = filled(template, language, &random)
            if TaskSplit.isHeldOut(template), !TaskSplit.isHeldOut(key, oneIn: heldOutOneIn) { continue }
            let level: Domain.Level = isNear ? .nearOutside : .farOutside
            return TaskProblem(
                task: Domain.taskName, level: level.rawValue, language: language, key: key,
                question: Dressing.dress(Phrases.uppercasedFirst(text), language, mayLower: true, &random),
                thinking: thinking(language), answer: answer(language, &random), expected: .refusal(true),
                heldOutOneIn: heldOutOneIn)
        }
    }

    private static let heldOutOneIn: UInt64 = 2

    /// A question, and its key: the word that it is about, or all of it.
    private static func filled(
        _ template: String, _ language: TaskLanguage, _ random: inout TaskRandom
    ) -> (text: String, key: String) {
        var text = template
        var word: String?
        for slot in Phrases.slots(of: template) {
            let value: String
            if let count = Int(slot) {
                // Digit by digit: more of them than a draw can have.
                value =
                    "\(random.number(count == 1 ? 2...9 : 1...9))"
                    + (1..<max(1, count)).map { _ in "\(random.number(0...9))" }.joined()
            } else {
                value = random.pick(OutsideWords.words(slot, language) ?? [slot])
                word = value
            }
            // One after the other: two numbers of as many digits are not the same number.
            if let range = text.firstRange(of: "{\(slot)}") { text.replaceSubrange(range, with: value) }
        }
        return (text, "outside " + (word ?? text))
    }

    private static func thinking(_ language: TaskLanguage) -> String {
        language("not one of my tasks", "bukan salah satu tugas saya")
    }

    /// That it cannot, and what it can.
    private static func answer(_ language: TaskLanguage, _ random: inout TaskRandom) -> String {
        let cannot =
            language == .english
            ? [
                "I can't do that.", "I cannot answer that.", "I can't help with that.", "Sorry, I cannot do that.",
                "That is not one of my tasks, so I can't answer it.",
            ]
            : [
                "Saya tidak bisa melakukan itu.", "Saya tidak bisa menjawab itu.", "Saya tidak bisa membantu soal itu.",
                "Maaf, saya tidak bisa.", "Itu bukan tugas saya, jadi saya tidak bisa menjawabnya.",
            ]
        let can =
            language == .english
            ? [
                "I can add, subtract, multiply, compare and sort numbers, count letters, and work with dates and prices.",
                "My tasks are sums, products, sorting, letters, dates, number puzzles and prices.",
                "Ask me for a sum, the largest number, a sorted list, letters in a word, a date or a price.",
            ]
            : [
                "Saya bisa menjumlahkan, mengurangi, mengalikan, membandingkan dan mengurutkan angka, menghitung huruf, serta "
                    + "mengerjakan soal tanggal dan harga.",
                "Tugas saya adalah penjumlahan, perkalian, urutan, huruf, tanggal, teka-teki angka dan harga.",
                "Silakan tanyakan penjumlahan, angka terbesar, urutan angka, huruf dalam kata, tanggal atau harga.",
            ]
        return random.pick(cannot) + " " + random.pick(can)
    }
}
