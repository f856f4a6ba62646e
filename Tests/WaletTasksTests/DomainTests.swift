import Testing

import WaletTasks

@Suite struct DomainTests {
    private func drawn(_ level: Int, _ language: TaskLanguage, _ split: TaskSplit = .heldOut) throws -> [TaskProblem] {
        let task = try #require(ReasoningTasks.named("domain"))
        var known: Set<String> = []
        var random = TaskRandom(seed: 1)
        return (0..<30).compactMap { _ in task.problem(level: level, language, split, notOf: &known, &random) }
    }

    @Test func thereAreNewQuestionsEnoughOfEveryLevel() throws {
        for language in TaskLanguage.allCases {
            for level in 1...4 {
                #expect(try drawn(level, language).count == 30, "level \(level)")
                #expect(try drawn(level, language, .train).count == 30, "level \(level)")
            }
        }
    }

    @Test func outsideMustBeRefusedAndInsideMustNot() throws {
        for language in TaskLanguage.allCases {
            for level in 1...2 {
                #expect(try drawn(level, language).allSatisfy { $0.expected == .refusal(true) })
            }
            for level in 3...4 {
                for problem in try drawn(level, language) {
                    #expect(!problem.expected.read("Sorry, I can't do that.").isRight, "\(problem)")
                    #expect(!problem.expected.read("Maaf, saya tidak bisa.").isRight, "\(problem)")
                }
            }
        }
    }

    @Test func aWrappedProblemMustBeSolved() throws {
        for language in TaskLanguage.allCases {
            let problems = try drawn(4, language)
            let wrong = zip(problems, problems.dropFirst()).count { !$0.expected.read($1.answer).isRight }
            #expect(wrong > 20)
            #expect(Set(problems.map(\.question)).count == problems.count)
        }
    }

    @Test(arguments: [
        "I can't do that.", "Sorry, I cannot help with that.", "I can\u{2019}t answer this.", "I am not able to say.",
        "Unfortunately, I really can't say.", "I don't know.", "That's not one of my tasks.", "I am unable to help.",
        "I'm sorry, that is beyond my tasks.", "saya tidak bisa menjawab itu", "Maaf, itu di luar kemampuan saya.",
        "Saya tidak tahu.", "Itu bukan tugas saya.", "Saya belum bisa menerjemahkan. Saya bisa menghitung.",
    ])
    func thisIsARefusal(_ text: String) {
        #expect(ExpectedAnswer.refusal(true).read(text).isRight)
        let reading = ExpectedAnswer.refusal(false).read(text)
        #expect(reading.value == "refusal" && !reading.isRight)
    }

    @Test(arguments: [
        "The answer is 42.", "Hello! What can I do for you?", "I can add and sort numbers.",
        "Saya bisa mengurutkan angka.",
        "Saya walet-nano. Tidak ada data yang keluar.", "The two cannot be equal: 3 < 5.", "x = 12", "Jumat",
        "No, I am small and make mistakes.", "Tidak, saya kadang salah.", "Paris",
    ])
    func thisIsNone(_ text: String) {
        #expect(!ExpectedAnswer.refusal(true).read(text).isRight && ExpectedAnswer.refusal(false).read(text).isRight)
    }

    @Test(arguments: ["", " ", "...", "12"]) func withoutAWordNothingIsRight(_ text: String) {
        for expected in [true, false] {
            let reading = ExpectedAnswer.refusal(expected).read(text)
            #expect(reading.value == (text == "12" ? "answer" : nil) && !reading.isRight)
        }
    }

    @Test func whoItIsMustBeSaidByName() throws {
        let asked = try TaskLanguage.allCases.flatMap { try drawn(3, $0) }
        let named = asked.filter { !$0.expected.read("I am a small model.").isRight }
        #expect(!named.isEmpty && named.allSatisfy { $0.expected.read("I am walet-nano.").isRight })
    }
}
