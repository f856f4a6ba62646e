// What a run of reinforcement says of itself.

import WaletJSON

/// A step of reinforcement.
public struct PolicyMetrics: Sendable, Equatable {
    public var step: Int
    /// Tokens of all answers so far.
    public var tokens = 0
    public var learningRate: Double
    /// Of all answers of the step: the part that is right, and the part that ended and closed its thinking once.
    public var right = 0.0
    public var wellFormed = 0.0
    /// Tokens of an answer, in the mean.
    public var answerTokens = 0.0
    /// Groups that were drawn, those whose answers are all right and all wrong, and those that were learned from.
    public var drawnGroups = 0
    public var rightGroups = 0
    public var wrongGroups = 0
    public var learnedGroups = 0
    /// Of the last update.
    public var loss = 0.0
    public var gradientNorm = 0.0
    /// The part of the tokens whose probability had moved far enough.
    public var clippedFraction = 0.0
    /// |ln p| of engine and trainer with the same weights, apart.
    public var differenceMean = 0.0
    public var differenceMaximum = 0.0

    public init(step: Int, learningRate: Double) {
        self.step = step
        self.learningRate = learningRate
    }

    init(step: Int, learningRate: Double, _ groups: [PolicyGroup]) {
        self.init(step: step, learningRate: learningRate)
        let answers = groups.flatMap(\.answers)
        let count = Double(max(1, answers.count))
        right = Double(answers.count { $0.isRight }) / count
        wellFormed = Double(answers.count { $0.isWellFormed }) / count
        answerTokens = Double(answers.reduce(0) { $0 + $1.tokens.count }) / count
        drawnGroups = groups.count
        rightGroups = groups.count { $0.answers.allSatisfy(\.isRight) }
        wrongGroups = groups.count { !$0.answers.contains(where: \.isRight) }
    }

    init(_ fields: RecordFields, step: Int) throws(RecordFields.Broken) {
        self.init(step: step, learningRate: try fields.number("learning_rate"))
        tokens = try fields.count("tokens")
        right = try fields.number("right")
        wellFormed = try fields.number("well_formed")
        answerTokens = try fields.number("answer_tokens")
        drawnGroups = try fields.count("drawn_groups")
        rightGroups = try fields.count("right_groups")
        wrongGroups = try fields.count("wrong_groups")
        learnedGroups = try fields.count("learned_groups")
        loss = try fields.number("loss")
        gradientNorm = try fields.number("gradient_norm")
        clippedFraction = try fields.number("clipped_fraction")
        differenceMean = try fields.number("difference_mean")
        differenceMaximum = try fields.number("difference_maximum")
    }

    var json: JSONValue {
        [
            "kind": "policy", "step": .int(step), "tokens": .int(tokens),
            "learning_rate": RecordFields.json(learningRate), "right": RecordFields.json(right),
            "well_formed": RecordFields.json(wellFormed), "answer_tokens": RecordFields.json(answerTokens),
            "drawn_groups": .int(drawnGroups), "right_groups": .int(rightGroups), "wrong_groups": .int(wrongGroups),
            "learned_groups": .int(learnedGroups), "loss": RecordFields.json(loss),
            "gradient_norm": RecordFields.json(gradientNorm), "clipped_fraction": RecordFields.json(clippedFraction),
            "difference_mean": RecordFields.json(differenceMean),
            "difference_maximum": RecordFields.json(differenceMaximum),
        ]
    }
}

/// Answers to problems that no step ever draws, each the likeliest.
public struct PolicyValidationMetrics: Sendable, Equatable {
    public var step: Int
    public var problems: Int
    /// The part that is right.
    public var right: Double
    /// Tokens of an answer, in the mean.
    public var answerTokens: Double

    public init(step: Int, problems: Int, right: Double, answerTokens: Double) {
        self.step = step
        self.problems = problems
        self.right = right
        self.answerTokens = answerTokens
    }

    init(_ fields: RecordFields, step: Int) throws(RecordFields.Broken) {
        self.init(
            step: step, problems: try fields.count("problems"), right: try fields.number("right"),
            answerTokens: try fields.number("answer_tokens"))
    }

    var json: JSONValue {
        [
            "kind": "policy_validation", "step": .int(step), "problems": .int(problems),
            "right": RecordFields.json(right), "answer_tokens": RecordFields.json(answerTokens),
        ]
    }
}
