// One update of the optimizer from some groups of answers.

import WaletAutodiff

/// The answers of an update, packed into passes, with what the objective needs to know of each token.
struct PolicyUpdate {
    /// A pass.
    struct Part {
        var batch: TrainingBatch
        /// Of the rows that predict a token of an answer; the others have none. [rows]
        var terms: [PolicyObjective.Term?]
        /// The part that its tokens are of all tokens of the update.
        var share = 0.0
    }

    private(set) var parts: [Part] = []
    /// Tokens of answers.
    private(set) var tokens = 0

    /// - Parameters:
    ///   - rows: of a pass, at most, but for an answer that is longer alone.
    init(_ groups: [PolicyGroup], _ settings: Recipe.Reinforcement, rows limit: Int) {
        let answers = groups.reduce(0) { $0 + $1.answers.count }
        tokens = groups.reduce(0) { $0 + $1.answers.reduce(0) { $0 + $1.tokens.count } }
        var open = Open()
        for group in groups {
            for (answer, advantage) in zip(group.answers, group.advantages(settings)) where !answer.tokens.isEmpty {
                let weight =
                    settings.level == .token
                    ? 1 / Float(tokens) : 1 / Float(answers) / Float(answer.tokens.count)
                if open.rows + answer.prompt.count + answer.tokens.count - 1 > limit { close(&open) }
                open.add(answer, Float(advantage), weight)
            }
        }
        close(&open)
    }

    private mutating func close(_ open: inout Open) {
        guard open.rows > 0 else { return }
        let batch = TrainingBatch(tokens: open.inputs, targets: open.targets, segments: open.segments)
        parts.append(Part(batch: batch, terms: open.terms, share: Double(batch.targetCount) / Double(max(1, tokens))))
        open = Open()
    }

    private struct Open {
        var inputs: [Int32] = []
        var targets: [Int32] = []
        var segments: [Range<Int>] = []
        var terms: [PolicyObjective.Term?] = []
        var rows: Int { inputs.count }

        mutating func add(_ answer: PolicyAnswer, _ advantage: Float, _ weight: Float) {
            let all = answer.prompt + answer.tokens
            let start = rows
            inputs += all.dropLast()
            segments.append(start..<rows)
            targets += [Int32](repeating: -1, count: answer.prompt.count - 1) + answer.tokens
            terms += [PolicyObjective.Term?](repeating: nil, count: answer.prompt.count - 1)
            terms += answer.logProbabilities.map {
                PolicyObjective.Term(
                    advantage: advantage, oldLogProbability: $0, referenceLogProbability: nil, weight: weight)
            }
        }
    }

    /// Fills in what the model that the run began with says.
    mutating func addReference(_ model: TrainableModel) {
        for index in parts.indices {
            let tape = Tape(model.arena, recording: false)
            let losses = model.forward(tape, parts[index].batch).tokenLosses
            for row in losses.indices { parts[index].terms[row]?.referenceLogProbability = -losses[row] }
        }
    }
}

/// What an update found.
struct PolicyFindings {
    var tokens = 0
    var clipped = 0
    /// Differences of ln p now and when it was drawn.
    var differenceSum = 0.0
    var differenceMaximum = 0.0

    mutating func add(_ part: PolicyUpdate.Part, _ losses: [Float], _ objective: PolicyObjective) {
        for (term, loss) in zip(part.terms, losses) {
            guard let term else { continue }
            tokens += 1
            if objective.isClipped(term, tokenLoss: loss) { clipped += 1 }
            let difference = abs(Double(-loss - term.oldLogProbability))
            differenceSum += difference
            differenceMaximum = max(differenceMaximum, difference)
        }
    }
}
