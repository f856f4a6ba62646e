/// How many rows of prompts may go beside answers, so that these are not held up for long.
package struct PromptPacing {
    /// A pass takes so long, about, in seconds.
    package static let target = 0.25
    private var secondsPerRow: Double?

    package init() {}

    package func rows(capacity: Int) -> Int {
        guard let secondsPerRow else { return min(64, capacity) }
        return max(16, min(capacity, Int(Self.target / secondsPerRow) / 16 * 16))
    }

    /// Takes in a pass with rows of prompts.
    package mutating func record(rows: Int, seconds: Double) {
        // Few rows take as long as one: they tell little of what a row takes.
        guard rows >= 16, seconds > 0 else { return }
        let measured = seconds / Double(rows)
        secondsPerRow = secondsPerRow.map { $0 + 0.3 * (measured - $0) } ?? measured
    }
}
