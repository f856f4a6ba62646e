import Testing
import WaletTasks

/// Lists of tasks, as recipes and commands have them.
@Suite struct ProblemChoiceTests {
    private func choices(_ text: String) throws -> [String] {
        try ProblemChoice.list(parsing: text).map { "\($0.task) \($0.level) \($0.weight)" }
    }

    @Test func tasksHaveAllLevelsOrSomeAndWeights() throws {
        #expect(try choices("letters:2") == ["letters 2 1"])
        #expect(try choices("letters:2-3=4") == ["letters 2 4", "letters 3 4"])
        #expect(try choices("prices=2") == (1...5).map { "prices \($0) 2" })
        #expect(
            try choices("countdown:3-5=2,prices:1, addition:7-7") == [
                "countdown 3 2", "countdown 4 2", "countdown 5 2", "prices 1 1", "addition 7 1",
            ])
        // The same again counts once more.
        #expect(try choices("letters:1,letters:1=3") == ["letters 1 1", "letters 1 3"])
        for choice in ProblemChoice.all {
            let list = try ProblemChoice.list(parsing: "\(choice.task):\(choice.level)")
            #expect(list == [choice])
        }
        let names = Set(ProblemChoice.all.map(\.task)).sorted().joined(separator: ",")
        #expect(try ProblemChoice.list(parsing: names).count == ProblemChoice.all.count)
    }

    @Test(arguments: [
        "", " ", ",", "letters,", ",letters", "letter", "Letters", "letters :1", "domain", "domain:1", ":1", "=2",
    ]) func aTaskThatThereIsNotIsRefusedByName(_ text: String) {
        let error = #expect(throws: ProblemChoice.Malformed.self) { try ProblemChoice.list(parsing: text) }
        #expect(error?.expected.hasPrefix("one of addition, ") == true)
        #expect(error?.expected.contains("domain") == false)
    }

    @Test(arguments: [
        "letters:", "letters:0", "letters:6", "letters:1-6", "letters:3-2", "letters:1-2-3", "letters:-1", "letters:1-",
        "letters:a", "letters:1:2", "letters: 1", "letters:1=", "letters:1=0", "letters=-1", "letters=1=2",
        "letters=1000001", "letters=2:1", "letters:99999999999999999999",
    ]) func levelsAndWeightsThatCannotBeAreRefused(_ text: String) {
        let error = #expect(throws: ProblemChoice.Malformed.self) { try ProblemChoice.list(parsing: "prices," + text) }
        #expect(error?.expected.hasPrefix("letters, with levels as in letters:1-5") == true)
        #expect(error?.found == "\"\(text)\"")
    }

    @Test func aLongListIsNotRepeatedInItsError() {
        let text = String(repeating: "x", count: 5000)
        let error = #expect(throws: ProblemChoice.Malformed.self) { try ProblemChoice.list(parsing: text) }
        #expect((error?.description.count ?? 0) < 300)
    }
}
