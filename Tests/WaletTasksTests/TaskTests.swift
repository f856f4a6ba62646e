import Testing

import WaletTasks

@Suite struct TaskTests {
    /// Every kind of problem, some of each.
    static let drawn: [TaskProblem] = ReasoningTasks.all.flatMap { task in
        task.levels.flatMap { level in
            TaskLanguage.allCases.flatMap { language in
                var random = TaskRandom(seed: UInt64(level))
                return (0..<200).map { _ in task.problem(level: level, language, &random) }
            }
        }
    }
    /// Those that have one right answer each, and a way there. `domain` is tested by itself.
    static let solved = drawn.filter { $0.task != "domain" }

    @Test func theirOwnAnswersAreRight() {
        for problem in Self.drawn {
            #expect(problem.expected.read(problem.answer).isRight, "\(problem)")
            #expect(problem.expected.read("So the answer is: **\(problem.answer)**.").isRight, "\(problem)")
        }
    }

    @Test func theAnswerOfAnotherProblemIsMostlyWrong() {
        for task in Dictionary(grouping: Self.solved, by: { "\($0.task) \($0.level)" }).values {
            let wrong = zip(task, task.dropFirst()).count { !$0.expected.read($1.answer).isRight }
            #expect(wrong * 3 > task.count, "\(task[0].task) level \(task[0].level)")
        }
    }

    @Test func nothingSaidIsWrongAndHasNoValue() {
        for problem in Self.drawn {
            let reading = problem.expected.read("")
            #expect(reading.value == nil && !reading.isRight)
            #expect(problem.expected.read("I cannot say.").isRight == (problem.expected == .refusal(true)))
        }
    }

    @Test func theSameSeedGivesTheSameProblems() {
        for task in ReasoningTasks.all {
            var (one, other) = (TaskRandom(seed: 7), TaskRandom(seed: 7))
            let level = task.levels.upperBound
            #expect(task.problem(level: level, .english, &one) == task.problem(level: level, .english, &other))
        }
    }

    @Test func aProblemIsInOneSplitWhateverItsWords() {
        var splits: [String: Bool] = [:]
        for problem in Self.drawn {
            let name = problem.task + " " + problem.key
            #expect(splits[name] == nil || splits[name] == problem.isHeldOut)
            splits[name] = problem.isHeldOut
        }
        let solved = splits.filter { !$0.key.hasPrefix("domain ") }
        let part = Double(solved.values.count { $0 }) / Double(solved.count)
        #expect((0.07...0.13).contains(part))
    }

    @Test func problemsOfASplitAreNewUntilTheyAreUsedUp() throws {
        var known: Set<String> = []
        var random = TaskRandom(seed: 1)
        let task = try #require(ReasoningTasks.named("addition"))
        var count = 0
        while let problem = task.problem(level: 1, .english, .train, notOf: &known, &random) {
            #expect(!problem.isHeldOut)
            count += 1
        }
        // 55 sums of two digits, less those held out.
        #expect(count == known.count && (40...55).contains(count))
    }

    /// Whoever learns from a step that is wrong learns it.
    @Test func everyStepOfAWayIsRight() throws {
        // What is left of a number to divide stands before ": ", so that no step begins in the middle of another.
        let sum = /(?:^|[\n,:;] |\n)(\d+(?: [-+*\/] \d+)+) = (-?\d+)/
        let order = /(?:^|[\n,:;] |\n)(-?\d+(?:\.\d+)?) ([<=>]) (-?\d+(?:\.\d+)?)/
        var (sums, orders) = (0, 0)
        for problem in Self.solved {
            for step in problem.thinking.matches(of: sum) {
                sums += 1
                #expect(Self.value(of: step.1) == Int(step.2), "\(step.0) in \(problem)")
            }
            for step in problem.thinking.matches(of: order) {
                orders += 1
                let (a, b) = (try #require(ExactDecimal(step.1)), try #require(ExactDecimal(step.3)))
                #expect(step.2 == (a < b ? "<" : a > b ? ">" : "="), "\(step.0) in \(problem)")
            }
        }
        #expect(sums > 50_000 && orders > 5000, "\(sums) \(orders)")
    }

    /// Products first; divided is without a rest.
    private static func value(of text: Substring) -> Int {
        var (total, product, sign) = (0, 0, "+")
        for word in text.split(separator: " ") {
            guard let number = Int(word) else {
                sign = String(word)
                continue
            }
            switch sign {
            case "*": product *= number
            case "/": product /= number
            default:
                total += product
                product = sign == "-" ? -number : number
            }
        }
        return total + product
    }

    @Test(arguments: [
        ("subtraction", 3, "412, 402: 4 = 4, 1 > 0; 412 > 402"),
        ("comparison", 4, "1, 1.6: 1 = 1, 0 < 6; 1 < 1.6"),
    ])
    func anOrderIsFoundByTheFirstDigitThatDiffers(task: String, level: Int, form: String) throws {
        // Two numbers, digits until they differ, and both again.
        let shape = /(\S+), (\S+): (\d [<=>] \d(?:, \d [<=>] \d)*); (\S+) [<=>] (\S+)/
        #expect(form.wholeMatch(of: shape) != nil)
        let ways = Self.drawn.filter { $0.task == task && $0.level == level }
            .flatMap { $0.thinking.split(separator: "\n") }
        let orders = ways.compactMap { $0.wholeMatch(of: shape) }
        #expect(orders.count > 50)
        for order in orders {
            #expect(order.1 == order.4 && order.2 == order.5)
            let steps = order.3.split(separator: ", ")
            #expect(steps.dropLast().allSatisfy { $0.contains("=") } && steps.last?.contains("=") == false)
        }
    }

    @Test func aSearchTriesNothingTwiceAndMarksTheTarget() throws {
        let searches = Self.drawn.filter { $0.task == "countdown" }
        #expect(searches.count > 100)
        for problem in searches {
            guard case .expression(_, let target) = problem.expected else { continue }
            let lines = problem.thinking.split(separator: "\n")
            let beginnings = lines.dropLast().map { $0.prefix { $0 != ":" } }
            #expect(Set(beginnings).count == beginnings.count && !beginnings.isEmpty, "\(problem)")
            // Only the last way that is tried meets it.
            #expect(lines.filter { $0.contains("!") }.count == 1 && lines[lines.count - 2].hasSuffix("= \(target)!"))
            #expect(problem.thinking.matches(of: /= (\d+)[,!\n]/).filter { Int($0.1) == target }.count == 1)
            #expect(lines.last == "\(problem.answer) = \(target)")
        }
    }

    @Test func theWayEndsInTheAnswer() {
        for problem in Self.solved {
            #expect(!problem.thinking.isEmpty && problem.thinking.utf8.count < 2000, "\(problem)")
            switch problem.expected {
            case .number, .expression:
                // Cents become dollars only in the answer, and a sign is said before the digits.
                let isShownOtherwise = problem.task == "prices" || problem.answer.hasPrefix("-")
                #expect(isShownOtherwise || problem.thinking.contains(problem.answer), "\(problem)")
            default: break
            }
        }
    }
}

private let weekdays = [
    ["Monday", "Senin"], ["Tuesday", "Selasa"], ["Wednesday", "Rabu"], ["Thursday", "Kamis"], ["Friday", "Jumat"],
]

@Suite struct AnswerReaderTests {
    private func reads(_ text: String, _ digits: Int, places: Int = 0) -> Bool {
        ExpectedAnswer.number(ExactDecimal(digits, places: places)).read(text).isRight
    }

    @Test func theLastNumberCounts() {
        #expect(reads("12 + 30 = 42", 42))
        #expect(reads("It is 42. (Not 41?)", 41))
        #expect(!reads("42 or so, 43", 42))
    }

    @Test func groupsAndDecimalsOfBothCountriesAreRead() {
        #expect(reads("12,345", 12345) && reads("12.345", 12345) && reads("12,345", 12345, places: 3))
        #expect(reads("1.234.567", 1_234_567) && reads("1,234,567.5", 12_345_675, places: 1))
        #expect(reads("0,56 USD", 56, places: 2) && reads("$0.56", 56, places: 2) && reads("1.20", 12, places: 1))
        #expect(!reads("12,34,5", 12345))
    }

    @Test func aSignBelongsToItsNumberUnlessItSubtracts() {
        #expect(reads("-7", -7) && reads("= \u{2212}7", -7) && reads("the result is -7.", -7))
        #expect(reads("10-7", 7) && reads("2025-11-30", 30))
    }

    @Test func numbersMustComeInOrder() {
        let expected = ExpectedAnswer.numbers([1, 5, 12].map { ExactDecimal($0) })
        #expect(expected.read("Sorted: 1, 5, 12").isRight && expected.read("12 1 5: [1, 5, 12]").isRight)
        #expect(!expected.read("1, 12, 5").isRight && !expected.read("5, 12").isRight)
    }

    @Test func wordsAndDatesAreReadInBothLanguages() {
        let tuesday = ExpectedAnswer.word(1, of: weekdays)
        #expect(tuesday.read("not Monday but tuesday").isRight && tuesday.read("Hari Selasa.").isRight)
        #expect(!tuesday.read("Tuesday? No, Friday").isRight)
        let date = ExpectedAnswer.date(month: 3, day: 14)
        for text in ["March 14", "14 March", "the 14th of", "14 Maret", "March 14th, 2025"] {
            #expect(date.read(text).isRight == !text.hasSuffix("of"), "\(text)")
        }
        #expect(!date.read("March 15").isRight && !date.read("14 May").isRight)
    }

    @Test func expressionsAreComputedAndMustUseEachNumberOnce() {
        let expected = ExpectedAnswer.expression(numbers: [3, 7, 12], target: 33)
        for text in ["3 * 7 + 12", "12 + 7×3 = 33", "The way: (3*7)+12.", "- 3 * 7 + 12", "\\(7 * 3 + 12\\)"] {
            #expect(expected.read(text).isRight, "\(text)")
        }
        for text in ["3 * 7 + 12 + 0", "33", "3 * 11", "3 * 7 - 12", "3 * (7 + 12", "3 7 12", "12 / 0 + 3 + 7"] {
            #expect(!expected.read(text).isRight, "\(text)")
        }
        #expect(ExpectedAnswer.expression(numbers: [1, 3, 6], target: 2).read("6 / (1 * 3)").isRight)
        #expect(ExpectedAnswer.expression(numbers: [8, 3, 3], target: 1).read("3 / (8 / 3)").value == "3/(8/3)")
    }

    @Test func hostileAnswersEndSoonAndAreWrong() {
        let kinds: [ExpectedAnswer] = [
            .number(ExactDecimal(5)), .numbers([ExactDecimal(5)]), .word(0, of: weekdays),
            .date(month: 1, day: 1), .expression(numbers: [1, 2, 3], target: 7), .refusal(true),
        ]
        var random = TaskRandom(seed: 3)
        let alphabet = Array("0123456789+-*/()., =\u{2212}×é\u{1F600}MondayMarch\n")
        var texts = [
            String(repeating: "(", count: 100_000) + "1+2", String(repeating: "-", count: 100_000) + "1-2",
            String(repeating: "9", count: 100_000), String(repeating: "9,", count: 50_000),
            "999999999 * 999999999 * 999999999 * 999999999", "1 - 9223372036854775808", "\u{0660}\u{0661} + \u{0662}",
        ]
        for _ in 0..<2000 { texts.append(String((0..<random.number(0...60)).map { _ in random.pick(alphabet) })) }
        for text in texts {
            for kind in kinds { _ = kind.read(text) }
        }
        #expect(!ExpectedAnswer.expression(numbers: [1, 2, 3], target: 7).read(texts[0]).isRight)
    }
}

@Suite struct ScoreTests {
    private func attempts(_ values: [String], right: String) -> [TaskAttempt] {
        values.map { TaskAttempt(value: $0, isRight: $0 == right, tokens: 10, isFinished: true) }
    }

    /// Values of `scipy.special.comb`: 1 - C(n - c, k) / C(n, k).
    @Test func passAtKIsTheUnbiasedEstimate() {
        var score = TaskScore()
        score.add(attempts(["1", "2", "2", "1", "3", "4", "5", "6", "7", "8"], right: "1"))  // 2 of 10
        #expect(abs(score.pass(at: 1) - 0.2) < 1e-12)
        #expect(abs(score.pass(at: 3) - 0.5333333333333333) < 1e-12)
        #expect(abs(score.pass(at: 8) - 0.9777777777777777) < 1e-12)
        #expect(score.pass(at: 9) == 1)
        score.add(attempts(Array(repeating: "9", count: 10), right: "1"))
        #expect(abs(score.pass(at: 3) - 0.26666666666666666) < 1e-12)
    }

    @Test func theMajorityDecides() {
        var score = TaskScore()
        score.add(attempts(["1", "2", "1"], right: "1"))
        score.add(attempts(["2", "2", "1"], right: "1"))
        #expect(score.majority(at: 3) == 0.5)
        #expect(abs(score.majority(at: 1) - score.pass(at: 1)) < 0.15)
        var silent = TaskScore()
        silent.add([
            TaskAttempt(value: nil, isRight: false, tokens: 1, isFinished: false),
            TaskAttempt(value: nil, isRight: false, tokens: 1, isFinished: false),
            TaskAttempt(value: "x", isRight: true, tokens: 1, isFinished: true),
        ])
        #expect(silent.majority(at: 3) == 1 && abs(silent.finished - 1.0 / 3) < 1e-12)
    }

    /// Values of `statsmodels.stats.proportion.proportion_confint(method="wilson")`.
    @Test func theIntervalIsWilsons() {
        var score = TaskScore()
        for index in 0..<20 { score.add(attempts([index < 15 ? "1" : "2"], right: "1")) }
        #expect(abs(score.interval.lowerBound - 0.5312960) < 1e-4 && abs(score.interval.upperBound - 0.8881377) < 1e-4)
        var whole = TaskScore()
        for _ in 0..<20 { whole.add(attempts(["1"], right: "1")) }
        #expect(abs(whole.interval.lowerBound - 0.8388747) < 1e-4 && whole.interval.upperBound == 1)
        #expect(TaskScore().interval == 0...1)
    }
}
