// One dial: every number that nobody gave, from the depth and from the numbers that are there already.

import Foundation

/// How a number follows from others.
///
/// Sizes follow from the depth: 64 dimensions of width for every one and a half layers, as many heads, experts of 3/8 of
/// the width. The run follows from the model: tokens are 20 for each active parameter (Hoffmann and others, arXiv
/// 2203.15556). The batch is a power law through the smallest and the largest model of Moonlight's scaling study, which
/// trains with the same optimizer (arXiv 2502.16982, section 3.2: 399M parameters, 8.92B tokens, 96 sequences of 8,192,
/// 9.503e-4; 1.5B, 38.91B, 256, 8.305e-4). The learning rate is one fitted to these two and to the best rates of three
/// models of 141k, 284k and 566k active parameters that were trained with this trainer (docs/training-efficiency.md).
///
/// A rule sees the numbers that were given, so that a run with a width of its own has the learning rate of that width.
struct RecipeRules {
    /// Tokens and batch of two models.
    private static let small = (tokens: 8.92e9, batch: 96.0 * 8192)
    private static let large = (tokens: 38.91e9, batch: 256.0 * 8192)
    private static let batchExponent = log(large.batch / small.batch) / log(large.tokens / small.tokens)

    /// Least squares of the logarithms of five rates, each brought to the batch of the rule: 0.00924, 0.00811, 0.00448,
    /// 0.000950 and 0.000831 at the parameters above.
    private static let rate = (factor: 0.186, exponent: -0.2614)

    /// Fills in what was not given.
    static func apply(to recipe: inout Recipe, given: Set<String>) throws(RecipeError) {
        func rule(_ name: String, _ body: () throws(RecipeError) -> Void) throws(RecipeError) {
            if !given.contains(name) { try body() }
        }
        let depth = recipe.depth
        try rule("model.layers") { recipe.model.layers = depth }
        try rule("model.hidden_size") { recipe.model.hiddenSize = 64 * max(1, rounded(Double(depth) / 1.5)) }
        let width = recipe.model.hiddenSize
        try rule("model.heads") { recipe.model.heads = max(1, width / 64) }
        try rule("model.kv_lora_rank") { recipe.model.latentRank = multiple(of: 32, Double(width) / 2) }
        try rule("model.experts") { recipe.model.experts = 8 * max(1, rounded(Double(depth) / 3)) }
        try rule("model.dense_layers") { recipe.model.denseLayers = recipe.model.layers > 1 ? 1 : 0 }
        try rule("model.expert_size") { recipe.model.expertSize = multiple(of: 32, Double(width) * 3 / 8) }
        try rule("model.dense_size") {
            // A dense layer costs a token what the experts of another layer do, as in DeepSeek-V3.
            let experts = recipe.model.expertsPerToken + recipe.model.sharedExperts
            recipe.model.denseSize =
                recipe.model.experts == 0 ? multiple(of: 64, Double(width) * 8 / 3) : experts * recipe.model.expertSize
        }
        // K2's 2.827 for 8 experts: independent experts of equal weight add up to the size of one.
        try rule("model.routed_scaling") {
            recipe.model.routedScaling = significant(Double(recipe.model.expertsPerToken).squareRoot(), 4)
        }
        try rule("batch.length") { recipe.batch.length = depth <= 6 ? 256 : depth <= 12 ? 512 : 1024 }

        try check(recipe.model)
        let parameters = Double(try recipe.configuration().parameters.active)
        let wanted =
            given.contains("training.tokens")
            ? Double(recipe.training.tokens) : recipe.training.tokensPerParameter * parameters
        let batch = small.batch * pow(wanted / small.tokens, batchExponent)
        try rule("batch.sequences") {
            let sequences = exp2(log2(batch / Double(recipe.batch.length)).rounded())
            recipe.batch.sequences = Int(min(max(sequences, 1), 65536))
        }
        try rule("batch.micro_sequences") {
            recipe.batch.microSequences = greatestDivisor(of: recipe.batch.sequences, upTo: 16)
        }
        let stepTokens = recipe.batch.sequences * recipe.batch.length
        try rule("training.tokens") { () throws(RecipeError) in
            let steps = max(1, (wanted / Double(stepTokens)).rounded(.up))
            guard let tokens = Int(exactly: steps * Double(stepTokens)), tokens <= 1 << 50 else {
                throw .inconsistent(key: "training.tokens_per_parameter", reason: "\(wanted) tokens are too many")
            }
            recipe.training.tokens = tokens
        }
        try rule("training.learning_rate") { () throws(RecipeError) in
            guard !recipe.isReinforcement else {
                throw .inconsistent(
                    key: "training.learning_rate",
                    reason: "no rule is known for reinforcement; give one, such as a tenth of fine-tuning's")
            }
            // A batch other than the rule's: noise goes with the root of its size.
            let rate = rate.factor * pow(parameters, rate.exponent)
            recipe.training.learningRate = significant(rate * (Double(stepTokens) / batch).squareRoot(), 3)
        }
        // Experts are balanced over all of a model's text; where a few tasks decide it, tokens are sent to experts that do not
        // know them, and what was learned is lost.
        try rule("balance.bias_step") { if recipe.isReinforcement { recipe.balance.biasStep = 0 } }
        let steps = recipe.steps
        try rule("schedule.warmup_steps") { recipe.schedule.warmupSteps = min(500, steps / 20) }
        try rule("validation.every") { recipe.validation.every = max(1, steps / 40) }
        try rule("checkpoint.every") { recipe.checkpoint.every = 2 * recipe.validation.every }
        try rule("samples.every") { recipe.samples.every = max(1, steps / 10) }
        try rule("log.every") { recipe.log.every = max(1, steps / 2000) }
    }

    /// Refuses sizes that no model can have.
    private static func check(_ model: Recipe.Model) throws(RecipeError) {
        if model.experts > 0 {
            guard model.expertsPerToken <= model.experts else {
                throw .inconsistent(
                    key: "model.experts_per_token", reason: "\(model.expertsPerToken) of \(model.experts) experts")
            }
            guard model.denseLayers < model.layers else {
                throw .inconsistent(
                    key: "model.dense_layers",
                    reason: "\(model.denseLayers) of \(model.layers) layers leave none for experts; a dense model has "
                        + "model.experts 0")
            }
        }
        guard model.ropeHeadSize % 2 == 0 else {
            throw .inconsistent(key: "model.qk_rope_head_dim", reason: "\(model.ropeHeadSize) is odd")
        }
    }

    /// Refuses what no trainer can do.
    static func check(_ recipe: Recipe) throws(RecipeError) {
        try check(recipe.model)
        guard recipe.batch.sequences % recipe.batch.microSequences == 0 else {
            throw .inconsistent(
                key: "batch.micro_sequences",
                reason: "\(recipe.batch.sequences) sequences are no multiple of \(recipe.batch.microSequences)")
        }
        let stepTokens = recipe.batch.sequences * recipe.batch.length
        guard recipe.isReinforcement || recipe.training.tokens >= stepTokens else {
            throw .inconsistent(
                key: "training.tokens",
                reason: "\(recipe.training.tokens) tokens are less than a step's \(stepTokens)")
        }
        let decay = recipe.schedule.shape == .wsd ? recipe.decaySteps : 0
        guard recipe.schedule.warmupSteps + decay <= recipe.steps else {
            throw .inconsistent(
                key: "schedule.warmup_steps",
                reason: "\(recipe.schedule.warmupSteps) and the decay's \(decay) are more than the run's "
                    + "\(recipe.steps) steps")
        }
        guard recipe.memory.activations == .fp32 || recipe.memory.recompute else {
            throw .inconsistent(
                key: "memory.activations",
                reason: "bf16 is how memory.recompute keeps what it computes from; set that too")
        }
        guard recipe.model.experts > 0 || !recipe.parallel.experts else {
            throw .inconsistent(key: "parallel.experts", reason: "a model with model.experts 0 has none to hold apart")
        }
        if recipe.isReinforcement {
            guard !recipe.model.from.isEmpty else {
                throw .inconsistent(key: "model.from", reason: "reinforcement needs a model that can answer already")
            }
            guard recipe.reinforcement.updates <= recipe.reinforcement.problems else {
                throw .inconsistent(
                    key: "grpo.updates",
                    reason: "\(recipe.reinforcement.updates) updates of \(recipe.reinforcement.problems) problems")
            }
            _ = try ReinforcementTasks(recipe.reinforcement)
        }
        _ = try recipe.configuration()
    }

    private static func rounded(_ value: Double) -> Int { Int(value.rounded()) }

    private static func multiple(of unit: Int, _ value: Double) -> Int {
        unit * max(1, rounded(value / Double(unit)))
    }

    private static func greatestDivisor(of number: Int, upTo limit: Int) -> Int {
        (1...limit).last { number % $0 == 0 } ?? 1
    }

    /// Rounded to some digits, so that a recipe can be read.
    private static func significant(_ value: Double, _ digits: Int) -> Double {
        guard value > 0, value.isFinite else { return value }
        return Double(String(format: "%.\(digits - 1)e", value)) ?? value
    }
}
