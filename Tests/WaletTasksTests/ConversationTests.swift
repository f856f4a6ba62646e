import Testing

import WaletTasks

@Suite struct ConversationTests {
    /// Some of every kind, of both splits.
    private static let drawn: [TaskSplit: [TaskConversation]] = Dictionary(
        uniqueKeysWithValues: TaskSplit.allCases.map { split in
            var random = TaskRandom(seed: 5)
            let conversations = ConversationKind.allCases.flatMap { kind in
                (0..<800).map { index in
                    Conversations.conversation(
                        kind, split, language: index % 2 == 0 ? .english : .indonesian, thinks: index % 3 > 0,
                        random: &random)
                }
            }
            return (split, conversations)
        })
    private static let all = TaskSplit.allCases.flatMap { drawn[$0] ?? [] }

    private func questions(_ kind: ConversationKind, _ language: TaskLanguage) -> [String] {
        Self.all.filter { $0.kind == kind && $0.language == language }.flatMap { $0.problems.map(\.question) }
    }

    @Test func theSameSeedGivesTheSameConversations() {
        let mix = ConversationMix()
        var (one, other) = (TaskRandom(seed: 3), TaskRandom(seed: 3))
        for _ in 0..<200 {
            #expect(mix.conversation(.train, &one) == mix.conversation(.train, &other))
        }
    }

    @Test func aBriefWayIsTheLastLineOfTheThorough() throws {
        var mix = ConversationMix()
        mix.kinds = [.problem: 1]
        mix.percentWithoutThinking = 0
        mix.problems = try ProblemChoice.list(parsing: "countdown:3-5,sorting:3-5")
        mix.percentBrief = ["countdown": 60]
        var random = TaskRandom(seed: 8)
        var brief: [String: Int] = [:]
        for _ in 0..<1000 {
            let turn = mix.conversation(.train, &random).turns[1]
            let (problem, thinking) = (try #require(turn.problem), try #require(turn.thinking))
            guard thinking != problem.thinking else { continue }
            #expect(!thinking.contains("\n") && problem.thinking.hasSuffix("\n" + thinking))
            brief[problem.task, default: 0] += 1
        }
        #expect(brief.keys.sorted() == ["countdown"] && (250...350).contains(brief["countdown"] ?? 0), "\(brief)")
    }

    @Test func everyAnswerIsReadAsRight() throws {
        for conversation in Self.all {
            for turn in conversation.turns where turn.role == .assistant {
                let problem = try #require(turn.problem)
                #expect(problem.expected.read(turn.content).isRight, "\(turn)")
            }
        }
    }

    @Test func whatIsHeldOutIsNotTrainedOn() {
        for conversation in Self.drawn[.train] ?? [] { #expect(!conversation.isHeldOut, "\(conversation)") }
        for conversation in Self.drawn[.heldOut] ?? [] {
            // Greetings between problems are known words.
            let asked =
                conversation.kind == .turns ? conversation.problems.filter { !isTalk($0) } : conversation.problems
            #expect(asked.allSatisfy { $0.isHeldOut }, "\(conversation)")
        }
        let keys = TaskSplit.allCases.map { split in
            Set((Self.drawn[split] ?? []).flatMap { $0.problems }.filter { !isTalk($0) }.map { "\($0.task) \($0.key)" })
        }
        #expect(keys[0].isDisjoint(with: keys[1]))
        // Nor is it asked there in the same words.
        let asked = TaskSplit.allCases.map { split in
            let asked = (Self.drawn[split] ?? []).filter { [.smallTalk, .outside].contains($0.kind) }
            return Set(asked.map { $0.turns[0].content.lowercased().filter { $0.isLetter || $0.isNumber } })
        }
        #expect(asked[0].isDisjoint(with: asked[1]), "\(asked[0].intersection(asked[1]))")
    }

    private func isTalk(_ problem: TaskProblem) -> Bool { problem.key.hasPrefix("talk ") }

    @Test func usersSayItInManyWays() {
        for language in TaskLanguage.allCases {
            #expect(Set(questions(.wrapped, language)).count > 780)
            #expect(Set(questions(.outside, language)).count > 700)
            #expect(Set(questions(.smallTalk, language)).count > 300)
            // Without the numbers, the words are still of many kinds.
            let words = questions(.wrapped, language).map { $0.filter { !$0.isNumber } }
            #expect(Set(words).count > 600)
        }
    }

    @Test func thinkingIsInAllOfTheModelsTurnsOrInNone() {
        for conversation in Self.all {
            for turn in conversation.turns {
                #expect((turn.thinking != nil) == (conversation.thinks && turn.role == .assistant))
                #expect(turn.thinking?.isEmpty != true && !turn.content.isEmpty)
            }
            #expect(conversation.turns.map(\.role).starts(with: [.user, .assistant]))
            #expect((conversation.kind == .turns ? 4...6 : 2...2).contains(conversation.turns.count))
        }
    }

    @Test func textsArePlainAndShort() {
        for conversation in Self.all {
            #expect(conversation.characters < Conversations.longest)
            let text = conversation.turns.flatMap { [$0.content, $0.thinking ?? ""] }.joined()
            #expect(text.utf8.allSatisfy { (32...126).contains($0) || $0 == 10 }, "\(text)")
            // A wording whose blanks were all filled.
            #expect(!text.contains("{") && !text.contains("}"), "\(text)")
        }
    }

    @Test func aMixHasWhatItIsAskedFor() throws {
        var mix = ConversationMix()
        mix.kinds = [.problem: 3, .outside: 1]
        mix.problems = [try #require(ProblemChoice(task: "sorting", level: 2, weight: 3))]
        mix.problemsWithoutThinking = [try #require(ProblemChoice(task: "letters", level: 1))]
        mix.percentWithoutThinking = 25
        mix.percentIndonesian = 100
        var random = TaskRandom(seed: 9)
        let drawn = (0..<1000).map { _ in mix.conversation(.train, &random) }
        #expect((700...800).contains(drawn.count { $0.kind == .problem }))
        #expect((200...300).contains(drawn.count { !$0.thinks }))
        #expect(drawn.allSatisfy { $0.language == .indonesian })
        for conversation in drawn where conversation.kind == .problem {
            #expect(conversation.problems.map(\.task) == [conversation.thinks ? "sorting" : "letters"])
            #expect(conversation.problems.map(\.level) == [conversation.thinks ? 2 : 1])
        }
        #expect(ProblemChoice(task: "sorting", level: 6) == nil && ProblemChoice(task: "domain", level: 1) == nil)
    }

    /// Two of the longest solutions do not fit; something is drawn even so.
    @Test func problemsOfEveryLevelFit() {
        for choice in ProblemChoice.all {
            for split in TaskSplit.allCases {
                var random = TaskRandom(seed: 2)
                for kind in [ConversationKind.wrapped, .turns] {
                    let drawn = Conversations.conversation(
                        kind, of: [choice], split, language: .english, thinks: true, random: &random)
                    let solved = drawn.problems.filter { $0.task != "domain" }
                    #expect(solved.allSatisfy { $0.task == choice.task && $0.level == choice.level })
                }
            }
        }
    }
}
