/// How many tokens to draft, from how the drafts before fared: more while they come true, and none for a while where they
/// do not, so that guessing costs next to nothing where it does not pay.
package struct DraftPacing: Sendable {
    /// What a guess costs beside a pass without guesses. Measured: `docs/speculation.md`.
    package static let cost = 0.25
    /// Passes without guesses after a loss, at most.
    package static let longestPause = 64

    private let maximum: Int
    private var length: Int
    /// Passes that the guesses have saved, less what they have cost; of a long success only so much is remembered.
    private var balance = 0.0
    private var pause = 0
    private var nextPause = 1

    /// - Parameter maximum: tokens of a draft, at most.
    package init(maximum: Int) {
        self.maximum = maximum
        length = min(maximum, 4)
    }

    /// Guesses that the next pass may have. Counts the passes of a pause, so it is to be asked once a pass.
    package mutating func allowance() -> Int {
        guard pause > 0 else { return length }
        pause -= 1
        return 0
    }

    /// Takes in how a draft fared.
    package mutating func record(drafted: Int, accepted: Int) {
        guard drafted > 0 else { return }
        length = accepted == drafted ? min(maximum, max(length, drafted * 2)) : min(maximum, accepted + 1)
        balance = min(1, balance + Double(accepted) - Self.cost * Double(drafted))
        if balance < 0 {
            pause = nextPause
            nextPause = min(Self.longestPause, nextPause * 2)
            balance = 0
        } else if accepted == drafted {
            nextPause = 1
        }
    }
}
