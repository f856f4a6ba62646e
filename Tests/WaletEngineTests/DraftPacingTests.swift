import Testing
import WaletEngine

@Suite struct DraftPacingTests {
    /// An answer where so many guesses of a draft come true, and a pass takes so long beside one without guesses.
    private struct Course {
        var tokens = 0
        var drafts = 0
        var guesses = 0
        var seconds = 0.0
        var lastDraft = 0

        init(
            _ pacing: inout DraftPacing, passes: Int, cost: (Int) -> Double, accepted: (_ drafted: Int) -> Int
        ) {
            for _ in 0..<passes {
                let drafted = pacing.allowance()
                let accepted = min(drafted, accepted(drafted))
                let duration = 0.02 * cost(drafted)
                pacing.record(drafted: drafted, accepted: accepted, duration: duration)
                tokens += accepted + 1
                seconds += duration
                guesses += drafted
                if drafted > 0 { drafts += 1 }
                lastDraft = drafted
            }
        }

        /// Tokens a second beside those without guesses.
        var gain: Double { 0.02 * Double(tokens) / seconds }
    }

    private func course(
        maximum: Int = 15, passes: Int = 1000, cost: Double, accepted: (_ drafted: Int) -> Int
    ) -> Course {
        var pacing = DraftPacing(maximum: maximum)
        return Course(&pacing, passes: passes, cost: { 1 + cost * Double($0) }, accepted: accepted)
    }

    @Test(arguments: [0.02, 0.3, 1.1]) func guessesThatNeverComeTrueCostNextToNothing(_ cost: Double) {
        let course = course(cost: cost) { _ in 0 }
        #expect(course.gain > 0.9, "\(course)")
        #expect(course.drafts < 80, "\(course)")
    }

    @Test func guessesThatComeTrueGrowToTheMaximum() {
        for maximum in [1, 4, 15] {
            let course = course(maximum: maximum, cost: 0.05) { $0 }
            #expect(course.lastDraft == maximum)
            #expect(course.gain > 0.95 * Double(maximum + 1) / (1 + 0.05 * Double(maximum)), "\(course)")
        }
    }

    @Test func guessesThatCostAPassEachAreNotMadeEvenIfTheyComeTrue() {
        let course = course(cost: 1.1) { $0 }
        #expect(course.gain > 0.95, "\(course)")
        #expect(course.drafts < 100, "\(course)")
    }

    @Test func shortDraftsAreMadeWhereOnlyTheFirstGuessesComeTrue() {
        let course = course(cost: 0.3) { min(2, $0) }
        #expect(course.gain > 1.4, "\(course)")
        #expect(Double(course.guesses) / Double(course.drafts) < 6, "\(course)")
    }

    @Test func aRepetitionThatBeginsLateIsFound() {
        var pacing = DraftPacing(maximum: 8)
        _ = Course(&pacing, passes: 500, cost: { 1 + 0.3 * Double($0) }, accepted: { _ in 0 })
        let late = Course(
            &pacing, passes: DraftPacing.longestPause + 20, cost: { 1 + 0.3 * Double($0) }, accepted: { $0 })
        #expect(late.lastDraft == 8, "\(late)")
    }

    @Test func aPassThatWasHeldUpDoesNotEndIt() {
        var pacing = DraftPacing(maximum: 8)
        var pass = 0
        let course = Course(
            &pacing, passes: 400,
            cost: { count in
                pass += 1
                return (1 + 0.2 * Double(count)) * (pass % 13 == 0 ? 6 : 1)
            }, accepted: { $0 })
        #expect(course.drafts > 350, "\(course)")
    }

    @Test func withoutGuessesThereIsNothingToPace() {
        let course = course(maximum: 0, passes: 10, cost: 1) { $0 }
        #expect(course.drafts == 0)
    }
}
