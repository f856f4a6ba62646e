// An answer that a model gave to a problem while it learns from its answers.

import WaletTasks

/// A problem, the model's answer, and what that is worth.
struct PolicyAnswer: Sendable {
    /// The tokens of the prompt.
    var prompt: [Int32]
    /// Those of the answer, and the one that ends it where it ended by itself.
    var tokens: [Int32]
    /// ln p of each of these as the engine had it.
    var logProbabilities: [Float]
    var isRight: Bool
    /// It ended by itself, and closed its thinking once.
    var isWellFormed: Bool

    func reward(_ settings: Recipe.Reinforcement) -> Double {
        (isRight ? 1 : 0) + (isWellFormed ? settings.formatReward : 0)
    }
}

/// The answers to one problem.
struct PolicyGroup: Sendable {
    var answers: [PolicyAnswer]

    /// Whether no answer is better than another, so that there is nothing to learn.
    var isEven: Bool { answers.allSatisfy(\.isRight) || !answers.contains(where: \.isRight) }

    /// How much better each answer is than the group.
    func advantages(_ settings: Recipe.Reinforcement) -> [Double] {
        let rewards = answers.map { $0.reward(settings) }
        let mean = rewards.reduce(0, +) / Double(rewards.count)
        guard settings.advantage == .std else { return rewards.map { $0 - mean } }
        let variance = rewards.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(rewards.count)
        // As in the reference implementations: a group whose rewards are equal must not be divided by nothing.
        return rewards.map { ($0 - mean) / (variance.squareRoot() + 1e-4) }
    }
}
