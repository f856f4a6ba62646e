import Testing
import Walet

@Suite struct StopFilterTests {
    private func run(_ pieces: [String], stops: [String]) -> (text: String, stopped: Bool) {
        var filter = StopFilter(stops)
        var text = ""
        for piece in pieces { text += filter.append(piece) }
        text += filter.finish()
        return (text, filter.isStopped)
    }

    @Test func cutsAtTheFirstStopHoweverThePiecesFall() {
        let scalars = "Grüße an die Welt\n\nUser: nein".unicodeScalars.map { String($0) }
        for size in 1...7 {
            let pieces = stride(from: 0, to: scalars.count, by: size).map {
                scalars[$0..<min($0 + size, scalars.count)].joined()
            }
            let result = run(pieces, stops: ["\nUser:", "Welt!"])
            #expect(result.text == "Grüße an die Welt\n")
            #expect(result.stopped)
        }
    }

    @Test func passesEverythingOnWhereNoStopOccurs() {
        #expect(run(["ab", "ca", "b"], stops: ["abc!", "cabd"]).text == "abcab")
        #expect(run(["a", "b"], stops: []).text == "ab")
        #expect(run(["a", "b"], stops: [""]).text == "ab")
    }

    @Test func holdsBackNoMoreThanItMust() {
        var filter = StopFilter(["STOP"])
        #expect(filter.append("xST") == "x")
        #expect(filter.append("Ay") == "STAy")
        #expect(filter.append("STO") == "")
        #expect(filter.append("P later") == "")
        #expect(filter.found == "STOP")
        #expect(filter.isStopped)
        #expect(filter.append("more") == "")
        #expect(filter.finish() == "")
    }

    @Test func takesTheEarliestOfSeveral() {
        #expect(run(["one two three"], stops: ["three", "two"]).text == "one ")
    }
}
