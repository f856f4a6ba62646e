// The keys of a recipe: name, place in the value, what may stand there, what it is for.

/// A key of a recipe.
public struct RecipeField: Sendable {
    /// As in a file and in `--set`, with a point between section and key.
    public let name: String
    /// What it is for, with its unit.
    public let help: String
    /// What may stand there, such as `a whole number from 1 to 64`.
    public let expected: String
    /// Puts a value that is written as text into a recipe; false where it may not stand there.
    let write: @Sendable (String, inout Recipe) -> Bool
    /// The value as YAML.
    let read: @Sendable (Recipe) -> String

    static func integer(
        _ name: String, _ path: WritableKeyPath<Recipe, Int> & Sendable, _ range: ClosedRange<Int>, _ help: String
    ) -> RecipeField {
        RecipeField(
            name: name, help: help, expected: "a whole number from \(range.lowerBound) to \(range.upperBound)",
            write: { text, recipe in
                // 20e6 is a number of tokens like any other.
                let text = text.filter { $0 != "_" }
                guard let value = Int(text) ?? Double(text).flatMap({ Int(exactly: $0) }), range.contains(value) else {
                    return false
                }
                recipe[keyPath: path] = value
                return true
            },
            read: { String($0[keyPath: path]) })
    }

    static func number(
        _ name: String, _ path: WritableKeyPath<Recipe, Double> & Sendable, _ range: ClosedRange<Double>,
        _ help: String
    ) -> RecipeField {
        RecipeField(
            name: name, help: help, expected: "a number from \(range.lowerBound) to \(range.upperBound)",
            write: { text, recipe in
                guard let value = Double(text), range.contains(value) else { return false }
                recipe[keyPath: path] = value
                return true
            },
            read: { "\($0[keyPath: path])" })
    }

    static func flag(
        _ name: String, _ path: WritableKeyPath<Recipe, Bool> & Sendable, _ help: String
    ) -> RecipeField {
        RecipeField(
            name: name, help: help, expected: "true or false",
            write: { text, recipe in
                guard let value = Bool(text) else { return false }
                recipe[keyPath: path] = value
                return true
            },
            read: { "\($0[keyPath: path])" })
    }

    static func choice<Value: RawRepresentable<String> & CaseIterable & Sendable>(
        _ name: String, _ path: WritableKeyPath<Recipe, Value> & Sendable, _ help: String
    ) -> RecipeField {
        RecipeField(
            name: name, help: help, expected: "one of " + Value.allCases.map(\.rawValue).joined(separator: ", "),
            write: { text, recipe in
                guard let value = Value(rawValue: text) else { return false }
                recipe[keyPath: path] = value
                return true
            },
            read: { $0[keyPath: path].rawValue })
    }

    static func text(
        _ name: String, _ path: WritableKeyPath<Recipe, String> & Sendable, canBeEmpty: Bool = false, _ help: String
    ) -> RecipeField {
        RecipeField(
            name: name, help: help, expected: "a text",
            write: { text, recipe in
                guard canBeEmpty || !text.isEmpty, !text.unicodeScalars.contains(where: { $0.value < 0x20 }) else {
                    return false
                }
                recipe[keyPath: path] = text
                return true
            },
            read: { recipe in
                // A JSON string is a YAML string.
                "\"" + recipe[keyPath: path].replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
            })
    }
}

extension Recipe {
    /// All keys, in the order in which a recipe is printed.
    public static let fields: [RecipeField] = [
        .integer("depth", \.depth, 1...128, "the dial: layers, and what follows from them"),
        .integer("seed", \.seed, 0...Int(Int32.max), "of weights, order of data and samples"),

        .text(
            "model.from", \.model.from, canBeEmpty: true,
            "the folder of a model to begin with; empty for weights at random"),
        .integer("model.layers", \.model.layers, 1...512, "decoder layers"),
        .integer("model.hidden_size", \.model.hiddenSize, 8...65536, "width of the residual stream"),
        .integer("model.heads", \.model.heads, 1...1024, "attention heads"),
        .integer("model.q_lora_rank", \.model.queryRank, 0...65536, "rank of the compressed query; 0 for none"),
        .integer("model.kv_lora_rank", \.model.latentRank, 8...65536, "numbers of the key/value latent"),
        .integer("model.qk_nope_head_dim", \.model.plainHeadSize, 1...4096, "dimensions of a head without position"),
        .integer("model.qk_rope_head_dim", \.model.ropeHeadSize, 2...4096, "dimensions of a head with position"),
        .integer("model.v_head_dim", \.model.valueHeadSize, 1...4096, "dimensions of a head's value"),
        .integer("model.dense_layers", \.model.denseLayers, 0...512, "first layers without experts"),
        .integer("model.dense_size", \.model.denseSize, 8...1_048_576, "width of a dense feed-forward layer"),
        .integer("model.experts", \.model.experts, 0...4096, "routed experts a layer; 0 for a dense model"),
        .integer("model.experts_per_token", \.model.expertsPerToken, 1...256, "routed experts that a token takes"),
        .integer("model.shared_experts", \.model.sharedExperts, 0...64, "experts that every token takes"),
        .integer("model.expert_size", \.model.expertSize, 8...1_048_576, "width of an expert"),
        .number("model.routed_scaling", \.model.routedScaling, 0.001...1000, "factor of the routed experts' sum"),
        .integer("model.prediction_layers", \.model.predictionLayers, 0...1, "multi-token-prediction layers"),
        .integer("model.vocabulary_size", \.model.vocabularySize, 258...1_048_576, "tokens, at least the data's"),
        .number("model.rope_theta", \.model.ropeTheta, 1...1e9, "base of the rotary frequencies"),
        .number("model.initial_deviation", \.model.initialDeviation, 1e-6...1, "of the weights at the start"),

        .integer("batch.length", \.batch.length, 2...1_048_576, "tokens of a sequence"),
        .integer("batch.sequences", \.batch.sequences, 1...1_048_576, "sequences of a step, over all processes"),
        .integer("batch.micro_sequences", \.batch.microSequences, 1...65536, "sequences of one forward pass"),

        .number("training.tokens_per_parameter", \.training.tokensPerParameter, 0.001...1e6, "for training.tokens"),
        .integer("training.tokens", \.training.tokens, 1...(1 << 50), "to train on, over all epochs"),
        .choice("training.optimizer", \.training.optimizer, "of hidden matrices; the rest has AdamW"),
        .number("training.learning_rate", \.training.learningRate, 0...10, "the highest"),
        .number("training.weight_decay", \.training.weightDecay, 0...10, "decoupled, times the learning rate"),
        .number("training.momentum", \.training.momentum, 0...0.9999, "Muon's, with Nesterov's step"),
        .number("training.beta1", \.training.beta1, 0...0.9999, "AdamW's first moment"),
        .number("training.beta2", \.training.beta2, 0...0.99999, "AdamW's second moment"),
        .number("training.epsilon", \.training.epsilon, 1e-15...1, "AdamW's"),
        .number("training.clip_threshold", \.training.clipThreshold, 0.1...1e6, "QK-Clip's tau, for muonclip"),
        .number("training.gradient_clip", \.training.gradientClip, 0...1e6, "largest gradient norm; 0 for none"),
        .number("training.prediction_weight", \.training.predictionWeight, 0...10, "of the prediction layers' loss"),
        .integer("training.skip_limit", \.training.skipLimit, 0...1000, "steps in a row that may be not finite"),

        .choice("schedule.shape", \.schedule.shape, "of the learning rate after the warm-up"),
        .integer("schedule.warmup_steps", \.schedule.warmupSteps, 0...1_000_000, "from 0 to the highest rate"),
        .number("schedule.decay_fraction", \.schedule.decayFraction, 0...1, "last part of the steps, for wsd"),
        .number("schedule.final_fraction", \.schedule.finalFraction, 0...1, "last rate, of the highest"),

        .number("balance.bias_step", \.balance.biasStep, 0...1, "what a router bias changes by in a step"),
        .number("balance.sequence_weight", \.balance.sequenceWeight, 0...1, "of the balance loss of a sequence"),

        .choice(
            "quantization.experts", \.quantization.experts,
            "trains routed experts as they are stored: int4 with a scale for each 32"),

        .text(
            "grpo.tasks", \.reinforcement.tasks, canBeEmpty: true,
            "tasks with levels, as in countdown:3-5,prices:5, for walet train grpo; empty to learn from data"),
        .choice("grpo.language", \.reinforcement.language, "in which problems are asked"),
        .integer("grpo.steps", \.reinforcement.steps, 1...1_000_000, "each draws problems and answers anew"),
        .integer("grpo.problems", \.reinforcement.problems, 1...4096, "of a step"),
        .integer("grpo.answers", \.reinforcement.answers, 2...1024, "to each problem: a group"),
        .integer("grpo.answer_tokens", \.reinforcement.answerTokens, 1...65536, "of an answer, at most"),
        .integer("grpo.updates", \.reinforcement.updates, 1...64, "of the optimizer in a step"),
        .number("grpo.clip_low", \.reinforcement.clipLow, 0...1, "how far a token's probability may fall in a step"),
        .number("grpo.clip_high", \.reinforcement.clipHigh, 0...10, "how far it may rise"),
        .number("grpo.divergence", \.reinforcement.divergence, 0...10, "weight of the KL divergence from model.from"),
        .choice("grpo.advantage", \.reinforcement.advantage, "whether rewards are divided by a group's deviation"),
        .choice("grpo.level", \.reinforcement.level, "what counts alike in the loss: tokens, or answers"),
        .integer("grpo.redraws", \.reinforcement.redraws, 0...100, "of problems with all answers right or all wrong"),
        .number("grpo.format_reward", \.reinforcement.formatReward, 0...10, "of answers that end and close thinking"),
        .number("grpo.agreement", \.reinforcement.agreement, 0...10, "bound of engine and trainer, mean of |ln p|"),
        .integer(
            "grpo.validation_problems", \.reinforcement.validationProblems, 0...1_000_000,
            "held-out ones, asked at each validation"),

        .choice("memory.activations", \.memory.activations, "what recompute keeps of a layer: bf16 halves it"),
        .flag("memory.recompute", \.memory.recompute, "computes activations again instead of keeping them"),

        .flag("parallel.experts", \.parallel.experts, "each process holds a part of the routed experts, not all"),

        .text("data.folder", \.data.folder, "of the tokenized data set"),

        .integer("validation.every", \.validation.every, 0...1_000_000_000, "steps; 0 for never"),
        .integer("validation.tokens", \.validation.tokens, 1...(1 << 40), "to validate on, at most"),

        .integer("checkpoint.every", \.checkpoint.every, 0...1_000_000_000, "steps; 0 for the last alone"),
        .integer("checkpoint.keep", \.checkpoint.keep, 1...1000, "newest checkpoints that stay, beside the best"),

        .integer("log.every", \.log.every, 1...1_000_000, "steps from one record to the next"),

        .integer("samples.every", \.samples.every, 0...1_000_000_000, "steps; 0 for never"),
        .integer("samples.tokens", \.samples.tokens, 1...65536, "of a sample"),
        .integer("samples.prompt_tokens", \.samples.promptTokens, 1...65536, "of a validation text before it"),
        .number("samples.temperature", \.samples.temperature, 0...100, "0 takes the likeliest token"),
    ]

    static let fieldsByName = Dictionary(uniqueKeysWithValues: fields.map { ($0.name, $0) })
}
