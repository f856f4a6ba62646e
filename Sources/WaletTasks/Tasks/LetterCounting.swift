/// How often a letter is in a word.
struct LetterCounting: ReasoningTask {
    let name = "letters"
    let levels = 1...5
    let summary = "a letter in made-up words of one to five syllables more than one"
    private static let consonants = "bcdfghjklmnprstvwyz".map(String.init)
    private static let vowels = "aeiou".map(String.init)

    func problem(level: Int, _ language: TaskLanguage, _ random: inout TaskRandom) -> TaskProblem {
        var word = ""
        for _ in 0...level {
            word += random.pick(Self.consonants) + random.pick(Self.vowels)
            if random.isTrue(oneIn: 3) { word += random.pick(["n", "r", "s", "t", "ng", "rr", "ll"]) }
        }
        let letters = word.map(String.init)
        // Mostly one that is there.
        let letter = random.isTrue(oneIn: 6) ? random.pick(Self.consonants) : random.pick(letters)
        let question = random.pick([
            language(
                "How many times does the letter \(letter) occur in \"\(word)\"?",
                "Berapa kali huruf \(letter) ada dalam \"\(word)\"?"),
            language("Count the letter \(letter) in \"\(word)\".", "Hitung huruf \(letter) dalam \"\(word)\"."),
        ])
        var count = 0
        let steps = letters.map { character in
            if character == letter { count += 1 }
            return character == letter ? "\(character) \(count)" : character
        }
        return TaskProblem(
            task: name, level: level, language: language, key: "\(letter) in \(word)", question: question,
            thinking: "\(letter): " + steps.joined(separator: ", ") + "\n"
                + language("in all: \(count)", "semua: \(count)"),
            answer: "\(count)", expected: .number(ExactDecimal(count)))
    }
}
