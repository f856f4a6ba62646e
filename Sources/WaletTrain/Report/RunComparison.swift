// Runs side by side, as numbers.

import WaletJSON

/// What a run came to.
public struct RunSummary: Sendable, Equatable {
    public var name: String
    public var steps: Int
    public var tokens: Int
    /// Mean training loss over the last tenth of the records, at least one, in nats.
    public var loss: Double
    /// Lowest bits per byte on the validation split, and the tokens at which it was reached.
    public var bestBitsPerByte: Double?
    public var bestTokens: Int?
    /// Tokens until the bits per byte that all runs reached; nil where a run has no validation.
    public var tokensToCommon: Double?
    /// The largest attention logit of the whole run.
    public var maximumLogit: Double?
    /// Heads that QK-Clip changed, over all recorded steps.
    public var clips: Int
    /// Experts without a token at the last record.
    public var deadExperts: Int
    /// Median of the recorded speeds.
    public var tokensPerSecond: Double?
    /// Of a run of reinforcement: the part of the held-out problems that was right at its beginning and its end.
    public var firstRight: Double?
    public var lastRight: Double?

    init(_ run: TrainingRun) {
        name = run.name
        steps = run.steps.last?.step ?? run.policies.last?.step ?? 0
        tokens = run.steps.last?.tokens ?? run.policies.last?.tokens ?? 0
        firstRight = run.policyValidations.first?.right
        lastRight = run.policyValidations.last?.right
        let last = run.steps.suffix(max(1, run.steps.count / 10))
        loss = last.isEmpty ? .nan : last.reduce(0) { $0 + $1.loss } / Double(last.count)
        let best = run.validations.filter(\.bitsPerByte.isFinite).min { $0.bitsPerByte < $1.bitsPerByte }
        bestBitsPerByte = best?.bitsPerByte
        bestTokens = best?.tokens
        maximumLogit = run.steps.flatMap(\.maximumLogits).max()
        clips = run.steps.reduce(0) { $0 &+ $1.clippedHeads.reduce(0) { $0 &+ $1 } }
        deadExperts = run.steps.last?.deadExperts ?? 0
        let speeds = run.journal.compactMap { if case .speed(let speed) = $0 { speed.tokensPerSecond } else { nil } }
        tokensPerSecond = speeds.isEmpty ? nil : speeds.sorted()[speeds.count / 2]
    }
}

/// Several runs, and what they have in common.
public struct RunComparison: Sendable, Equatable {
    public var summaries: [RunSummary]
    /// The lowest bits per byte on the validation split that every run reached.
    public var commonBitsPerByte: Double?
    /// Keys of the recipes in which the runs differ, with the value of each run; nil where a run has no recipe.
    public var differences: [(key: String, values: [String?])]

    public init(_ runs: [TrainingRun]) {
        summaries = runs.map { RunSummary($0) }
        let bests = summaries.map(\.bestBitsPerByte)
        let common = bests.contains(nil) ? nil : bests.compactMap { $0 }.max()
        commonBitsPerByte = common
        if let common {
            for (index, run) in runs.enumerated() {
                summaries[index].tokensToCommon = Self.tokens(run.validations, reaching: common)
            }
        }
        differences = Recipe.fields.compactMap { field in
            let values = runs.map { $0.recipe.map(field.read) }
            return Set(values.compactMap { $0 }).count > 1 ? (field.name, values) : nil
        }
    }

    /// The numbers for another program.
    public var json: JSONValue {
        func number(_ value: Double?) -> JSONValue { value.map(RecordFields.json) ?? .null }
        let runs = summaries.map { run -> JSONValue in
            [
                "name": .string(run.name), "steps": .int(run.steps), "tokens": .int(run.tokens),
                "loss": RecordFields.json(run.loss), "best_bits_per_byte": number(run.bestBitsPerByte),
                "best_tokens": run.bestTokens.map { .int($0) } ?? .null, "tokens_to_common": number(run.tokensToCommon),
                "largest_logit": number(run.maximumLogit), "clips": .int(run.clips),
                "dead_experts": .int(run.deadExperts), "tokens_per_second": number(run.tokensPerSecond),
            ]
        }
        let differing = differences.map { key, values in
            (key, JSONValue.array(values.map { $0.map { .string($0) } ?? .null }))
        }
        return [
            "runs": .array(runs), "common_bits_per_byte": number(commonBitsPerByte),
            "differences": .object(JSONObject(differing)),
        ]
    }

    public static func == (left: RunComparison, right: RunComparison) -> Bool {
        left.summaries == right.summaries && left.commonBitsPerByte == right.commonBitsPerByte
            && left.differences.map(\.key) == right.differences.map(\.key)
            && left.differences.map(\.values) == right.differences.map(\.values)
    }

    /// Tokens at which a curve first falls to a value, on the straight line between two measurements.
    static func tokens(_ validations: [ValidationMetrics], reaching target: Double) -> Double? {
        var previous: ValidationMetrics?
        for current in validations {
            if current.bitsPerByte <= target {
                guard let previous, previous.bitsPerByte.isFinite, previous.bitsPerByte > current.bitsPerByte else {
                    return Double(current.tokens)
                }
                let part = (previous.bitsPerByte - target) / (previous.bitsPerByte - current.bitsPerByte)
                return Double(previous.tokens) + part * Double(current.tokens - previous.tokens)
            }
            previous = current
        }
        return nil
    }
}
