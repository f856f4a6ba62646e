import Testing
import WaletEngine

@Suite struct LookupDrafterTests {
    private func drafter(_ text: [Int], sizes: ClosedRange<Int> = 2...8, window: Int = 1 << 17) -> LookupDrafter {
        var drafter = LookupDrafter(capacity: text.count, sizes: sizes, window: window)
        for token in text { drafter.append(token) }
        return drafter
    }

    @Test func goesOnAsTheTextDidAfterTheSameWords() {
        #expect(drafter([1, 2, 3, 4, 5, 9, 1, 2, 3]).draft(2) == [4, 5])
        #expect(drafter([1, 2, 3, 4, 5, 9, 1, 2, 3]).draft(5) == [4, 5, 9, 1, 2])
    }

    @Test func prefersTheLongestAgreementAndOfEqualsTheNewest() {
        #expect(drafter([7, 1, 2, 3, 50, 8, 1, 2, 3, 60, 8, 1, 2, 3]).draft(1) == [60])
        #expect(drafter([9, 1, 2, 3, 50, 8, 1, 2, 3, 60, 9, 1, 2, 3]).draft(1) == [50])
        #expect(drafter([1, 2, 50, 3, 1, 2, 60, 4, 1, 2]).draft(1) == [60])
    }

    @Test func aTextThatRepeatsItselfGoesOnIntoItsOwnDraft() {
        #expect(drafter([1, 2, 3, 1, 2, 3, 1, 2]).draft(7) == [3, 1, 2, 3, 1, 2, 3])
        #expect(drafter([5, 5, 5, 5]).draft(4) == [5, 5, 5, 5])
    }

    @Test func draftsNothingWhereTheTextNeverEndedSo() {
        #expect(drafter([1, 2, 3, 4, 5]).draft(4).isEmpty)
        #expect(drafter([1, 2, 3, 2]).draft(4).isEmpty)
        #expect(drafter([1]).draft(4).isEmpty)
        #expect(drafter([]).draft(4).isEmpty)
        #expect(drafter([1, 2, 1, 2]).draft(0).isEmpty)
    }

    @Test func forgetsWhatTheWindowHasLostAndStaysInItsMemory() {
        var drafter = LookupDrafter(capacity: .max, sizes: 2...8, window: 256)
        #expect(drafter.byteCount == 3 * 4 * 256)
        for token in [1, 2, 3] { drafter.append(token) }
        for token in 100..<400 { drafter.append(token) }
        for token in [1, 2] { drafter.append(token) }
        #expect(drafter.draft(1).isEmpty)
        for token in 300..<303 { drafter.append(token) }
        #expect(drafter.draft(2) == [303, 304])
        #expect(drafter.byteCount == 3 * 4 * 256)
    }

    /// Against a search through the whole text, over random texts with many repetitions.
    @Test func agreesWithASearchThroughTheText() {
        var random = Xorshift(state: 11)
        for _ in 0..<200 {
            let text = (0..<60).map { _ in Int.random(in: 0..<3, using: &random) }
            let draft = drafter(text, sizes: 3...12).draft(1)
            // Chains are searched a few steps deep, so that only newer places may be as good.
            var best = 0
            for end in 3..<text.count {
                var length = 0
                while length < min(end, 12), text[end - 1 - length] == text[text.count - 1 - length] { length += 1 }
                best = max(best, length)
            }
            #expect(draft.isEmpty == (best < 3))
        }
    }
}

struct Xorshift: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }
}
