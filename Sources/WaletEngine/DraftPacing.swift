/// How many tokens to draft next: as many as promise the most tokens a second, from how drafts have fared and what passes
/// have taken. None for a while where that does not pay, so that guessing costs next to nothing there.
///
/// What a guess costs differs widely: nearly nothing where a pass waits for memory, nearly a pass of its own where it
/// waits for arithmetic, or where each guess calls other experts. So it is measured while the answer is made.
package struct DraftPacing: Sendable {
    /// Passes between trials of whether it pays by now, at most.
    package static let longestPause = 64
    /// Guesses of a trial, at most.
    private static let trial = 4
    /// A further row beside a pass of one, before any was measured.
    private static let presumedCost = 0.25

    private let maximum: Int
    /// Seconds of a pass with so many guesses, `[maximum + 1]`; nil where there was none.
    private var seconds: [Double?]
    /// Guesses that came true, and those that were tested: those after the first wrong one were not. Old ones fade, and
    /// so do those that are made up for the start.
    private var hits = 1.4
    private var tests = 2.0
    private var pause = 0
    private var nextPause = 1
    private var plainPasses = 0

    /// - Parameter maximum: tokens of a draft, at most.
    package init(maximum: Int) {
        self.maximum = maximum
        seconds = .init(repeating: nil, count: maximum + 1)
    }

    /// Guesses that the next pass may have. Counts the passes of a pause, so it is to be asked once a pass.
    package mutating func allowance() -> Int {
        // Two passes tell what one without guesses takes; the first may still have waited for the disk.
        guard maximum > 0, plainPasses >= 2 else { return 0 }
        if pause > 0 {
            pause -= 1
            // What would pay if times had changed; where nothing would, one guess tells of the cost.
            return pause == 0 ? max(1, min(Self.trial, best(chance: 0.9))) : 0
        }
        let count = best(chance: hits / tests)
        if count > 0 {
            nextPause = 1
        } else {
            pause = nextPause
            nextPause = min(Self.longestPause, nextPause * 2)
        }
        return count
    }

    /// The number of guesses with the most tokens a second; 0 where it is none.
    /// - Parameter chance: of a guess to come true if those before it did.
    private func best(chance: Double) -> Int {
        var best = (count: 0, rate: 1.0)
        var tokens = 1.0
        var term = 1.0
        for count in stride(from: 1, through: maximum, by: 1) {
            term *= chance
            tokens += term
            let rate = tokens / cost(count)
            if rate > best.rate { best = (count, rate) }
        }
        return best.count
    }

    /// Takes in a pass.
    /// - Parameter duration: seconds, those of drafting included.
    package mutating func record(drafted: Int, accepted: Int, duration: Double) {
        guard drafted <= maximum else { return }
        if drafted == 0 { plainPasses += 1 }
        // Other work may hold a pass up, but nothing makes it faster than it can be.
        let before = seconds[drafted] ?? duration
        let change = duration < before ? 0.5 * (duration - before) : 0.15 * (min(duration, 2 * before) - before)
        seconds[drafted] = before + change
        guard drafted > 0 else { return }
        hits = 0.85 * hits + Double(accepted)
        tests = 0.85 * tests + Double(min(drafted, accepted + 1))
    }

    /// What a pass with guesses takes beside one without: measured, or in line with what was measured.
    private func cost(_ count: Int) -> Double {
        guard let plain = seconds[0], plain > 0 else { return 1 + Self.presumedCost * Double(count) }
        var below = (count: 0, cost: 1.0)
        for known in 1...maximum {
            guard let measured = seconds[known] else { continue }
            let cost = max(1, measured / plain)
            if known == count { return cost }
            if known > count {
                return below.cost + (cost - below.cost) * Double(count - below.count) / Double(known - below.count)
            }
            below = (known, cost)
        }
        let slope = below.count == 0 ? Self.presumedCost : (below.cost - 1) / Double(below.count)
        return below.cost + slope * Double(count - below.count)
    }
}
