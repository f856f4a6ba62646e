import Foundation

/// Which expert is given up: the one that was chosen least often lately, and of equals the one that was chosen longest ago.
///
/// Counts halve every 64 tokens, and go on for experts that are not in memory. `docs/lab-notes.md` has what this and others
/// were measured to do: what was used least recently is a bad guess, since layers follow each other in a circle.
struct ReplacementPolicy {
    /// Aged counts of each expert, as multiples of what the first use counted.
    private var counts: [Float]
    /// When each expert was used last, in uses.
    private var lastUse: [Int]
    private var uses = 0
    /// What a use counts: it grows, which is as if all others shrank.
    private var weight: Float = 1
    private let growth: Float

    private static let halfLife = 64.0

    /// - Parameter usesPerToken: experts that a token chooses in all layers together.
    init(experts: Int, usesPerToken: Int) {
        counts = [Float](repeating: 0, count: experts)
        lastUse = [Int](repeating: 0, count: experts)
        growth = Float(pow(2, 1 / (Self.halfLife * Double(max(1, usesPerToken)))))
    }

    var experts: Int { counts.count }

    mutating func add(experts: Int) {
        counts += [Float](repeating: 0, count: experts)
        lastUse += [Int](repeating: 0, count: experts)
    }

    mutating func use(_ expert: Int) {
        uses += 1
        counts[expert] += weight
        lastUse[expert] = uses
        weight *= growth
        guard weight > 1e20 else { return }
        for index in counts.indices { counts[index] /= weight }
        weight = 1
    }

    /// Whether one expert is to be given up before another.
    func precedes(_ expert: Int, _ other: Int) -> Bool {
        counts[expert] != counts[other] ? counts[expert] < counts[other] : lastUse[expert] < lastUse[other]
    }
}
