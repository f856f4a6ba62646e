// Everything that a training run depends on, as one value.

import WaletFormats
import WaletJSON

/// A training run, in full. ``Recipe/init(depth:file:settings:)`` makes one from a depth, a file and single settings;
/// ``Recipe/fields`` says what each number means.
public struct Recipe: Sendable, Equatable {
    /// The dial from which every number that is not given follows; ``RecipeRules``.
    public var depth = 6
    public var seed = 1
    public var model = Model()
    public var batch = Batch()
    public var training = Training()
    public var schedule = Schedule()
    public var balance = Balance()
    public var quantization = Quantization()
    public var reinforcement = Reinforcement()
    public var memory = Memory()
    public var parallel = Parallel()
    public var data = Data()
    public var validation = Validation()
    public var checkpoint = Checkpoint()
    public var log = Log()
    public var samples = Samples()

    public enum Optimizer: String, Sendable, CaseIterable { case muonclip, muon, adamw }

    public enum ScheduleShape: String, Sendable, CaseIterable {
        /// Warm-up, stable, decay.
        case wsd
        case cosine
    }

    /// How routed experts are stored at the end, and seen while they are trained.
    public enum ExpertWeights: String, Sendable, CaseIterable {
        case none
        /// Signed 4-bit integers with a scale for each 32, as Kimi K2 Thinking has them.
        case int4
    }

    /// What the advantage of an answer is: its reward less the group's mean, and whether that is divided by the group's
    /// deviation.
    public enum Advantage: String, Sendable, CaseIterable {
        /// Divided: GRPO (DeepSeekMath, arXiv 2402.03300, section 4.1).
        case std
        /// Not divided: Dr. GRPO (arXiv 2503.20783, section 3.1).
        case mean
    }

    /// What counts alike in the loss.
    public enum LossLevel: String, Sendable, CaseIterable {
        /// Every token of all answers: DAPO (arXiv 2503.14476, section 3.3).
        case token
        /// Every answer, whatever its length: GRPO.
        case answer
    }

    /// In which languages problems are asked.
    public enum Language: String, Sendable, CaseIterable { case en, id, both }

    /// How activations are kept for the backward pass.
    public enum Activations: String, Sendable, CaseIterable { case fp32, bf16 }

    /// Sizes under the names of DeepSeek-V3's config.json.
    public struct Model: Sendable, Equatable {
        /// The folder of a model to begin with; empty for weights at random.
        public var from = ""
        public var layers = 0
        public var hiddenSize = 0
        public var heads = 0
        /// 0 for queries with one dense projection.
        public var queryRank = 0
        public var latentRank = 0
        public var plainHeadSize = 64
        public var ropeHeadSize = 32
        public var valueHeadSize = 64
        public var denseLayers = 0
        public var denseSize = 0
        /// 0 for a dense model.
        public var experts = 0
        public var expertsPerToken = 2
        public var sharedExperts = 1
        public var expertSize = 0
        public var routedScaling = 0.0
        public var predictionLayers = 0
        public var vocabularySize = 8192
        public var ropeTheta = 10_000.0
        public var initialDeviation = 0.02
    }

    public struct Batch: Sendable, Equatable {
        /// Tokens of a sequence.
        public var length = 0
        /// Sequences of an optimizer step, over all processes.
        public var sequences = 0
        /// Sequences of one forward pass; the gradients of several are added up.
        public var microSequences = 0
    }

    public struct Training: Sendable, Equatable {
        public var tokensPerParameter = 20.0
        public var tokens = 0
        public var optimizer = Optimizer.muonclip
        public var learningRate = 0.0
        public var weightDecay = 0.1
        public var momentum = 0.95
        public var beta1 = 0.9
        public var beta2 = 0.95
        public var epsilon = 1e-8
        /// QK-Clip's tau: the largest attention logit that is let stand.
        public var clipThreshold = 100.0
        /// The largest norm of all gradients; 0 for no limit.
        public var gradientClip = 1.0
        public var predictionWeight = 0.3
        /// Steps in a row that may be skipped because their loss or gradient is not finite.
        public var skipLimit = 3
    }

    public struct Schedule: Sendable, Equatable {
        public var shape = ScheduleShape.wsd
        public var warmupSteps = 0
        /// Last part of the steps, in which the learning rate falls.
        public var decayFraction = 0.2
        /// Learning rate at the end, as a part of the highest.
        public var finalFraction = 0.1
    }

    public struct Balance: Sendable, Equatable {
        /// What a router bias changes by in a step.
        public var biasStep = 0.001
        public var sequenceWeight = 0.0001
    }

    public struct Quantization: Sendable, Equatable {
        public var experts = ExpertWeights.none
    }

    /// Reinforcement learning by groups of answers to problems that a program checks.
    public struct Reinforcement: Sendable, Equatable {
        /// Tasks with levels, such as `countdown:3-5,multiplication:4`; empty where the run learns from data.
        public var tasks = ""
        public var language = Language.both
        public var steps = 200
        /// Problems of a step.
        public var problems = 16
        /// Answers to each.
        public var answers = 8
        public var answerTokens = 256
        /// Optimizer updates of a step, each with a part of its problems.
        public var updates = 2
        /// How far a token's probability may fall and rise, as a part of what it was, before it is left alone.
        public var clipLow = 0.2
        /// Higher than the other: DAPO's clip-higher.
        public var clipHigh = 0.28
        /// Weight of the divergence from the model that the run began with; 0 for none.
        public var divergence = 0.0
        public var advantage = Advantage.mean
        public var level = LossLevel.token
        /// How often problems are drawn again in the place of those whose answers are all right or all wrong.
        public var redraws = 2
        /// Reward of an answer that ends and closes its thinking once, beside the 1 of a right one.
        public var formatReward = 0.1
        /// What the mean difference of log probabilities between engine and trainer may be.
        public var agreement = 1e-3
        /// Held-out problems that are asked at each validation.
        public var validationProblems = 100
    }

    public struct Memory: Sendable, Equatable {
        public var activations = Activations.fp32
        public var recompute = false
    }

    /// How several processes share the work.
    public struct Parallel: Sendable, Equatable {
        /// Each holds a part of the routed experts, and rows travel; else each holds all.
        public var experts = false
    }

    public struct Data: Sendable, Equatable {
        public var folder = "data"
    }

    public struct Validation: Sendable, Equatable {
        /// Steps from one to the next; 0 for none.
        public var every = 0
        public var tokens = 131_072
    }

    public struct Checkpoint: Sendable, Equatable {
        /// Steps from one to the next; 0 for none but the last.
        public var every = 0
        public var keep = 3
    }

    public struct Log: Sendable, Equatable {
        /// Steps from one record of metrics to the next.
        public var every = 0
    }

    public struct Samples: Sendable, Equatable {
        /// Steps from one to the next; 0 for none.
        public var every = 0
        public var tokens = 64
        /// Tokens of a validation document that the sample goes on from.
        public var promptTokens = 16
        /// 0 takes the likeliest token.
        public var temperature = 0.8
    }
}

extension Recipe {
    /// Steps of the whole run: of the optimizer, or of reinforcement.
    public var steps: Int {
        isReinforcement ? reinforcement.steps : max(1, training.tokens / max(1, batch.sequences * batch.length))
    }

    /// Whether the run learns from answers of its own and not from data.
    public var isReinforcement: Bool { !reinforcement.tasks.isEmpty }

    /// Last steps, in which the learning rate of a `wsd` schedule falls.
    public var decaySteps: Int { Int((schedule.decayFraction * Double(steps)).rounded()) }

    /// The model as `config.json` of the published DeepSeek-V3 format has it.
    /// - Parameters:
    ///   - beginToken: the id of the token that begins a document, from the data set's vocabulary.
    ///   - endToken: the id of the one that ends it.
    public func modelConfiguration(beginToken: Int? = nil, endToken: Int? = nil) -> JSONValue {
        let isDense = model.experts == 0
        var object = JSONObject([
            ("architectures", ["DeepseekV3ForCausalLM"]), ("model_type", "deepseek_v3"), ("torch_dtype", "float32"),
            ("vocab_size", .int(model.vocabularySize)), ("hidden_size", .int(model.hiddenSize)),
            ("num_hidden_layers", .int(model.layers)), ("num_attention_heads", .int(model.heads)),
            ("num_key_value_heads", .int(model.heads)), ("intermediate_size", .int(model.denseSize)),
            ("q_lora_rank", model.queryRank == 0 ? nil : .int(model.queryRank)),
            ("kv_lora_rank", .int(model.latentRank)), ("qk_nope_head_dim", .int(model.plainHeadSize)),
            ("qk_rope_head_dim", .int(model.ropeHeadSize)), ("v_head_dim", .int(model.valueHeadSize)),
        ])
        object["first_k_dense_replace"] = .int(isDense ? model.layers : model.denseLayers)
        if !isDense {
            object["n_routed_experts"] = .int(model.experts)
            object["n_shared_experts"] = .int(model.sharedExperts)
            object["num_experts_per_tok"] = .int(model.expertsPerToken)
            object["moe_intermediate_size"] = .int(model.expertSize)
            object["moe_layer_freq"] = 1
            object["n_group"] = 1
            object["topk_group"] = 1
            object["scoring_func"] = "sigmoid"
            object["topk_method"] = "noaux_tc"
            object["norm_topk_prob"] = true
            object["routed_scaling_factor"] = .double(model.routedScaling)
        }
        object["hidden_act"] = "silu"
        object["rms_norm_eps"] = 1e-6
        object["rope_theta"] = .double(model.ropeTheta)
        object["rope_scaling"] = JSONValue.null
        object["max_position_embeddings"] = .int(batch.length)
        object["attention_bias"] = false
        object["attention_dropout"] = 0.0
        object["tie_word_embeddings"] = false
        object["initializer_range"] = .double(model.initialDeviation)
        object["num_nextn_predict_layers"] = .int(model.predictionLayers)
        if let beginToken { object["bos_token_id"] = .int(beginToken) }
        if let endToken { object["eos_token_id"] = .int(endToken) }
        return .object(object)
    }

    /// The configuration that `WaletModels` builds a model from.
    /// - Throws: ``RecipeError/inconsistent(key:reason:)`` for sizes that no model can have.
    public func configuration() throws(RecipeError) -> Configuration {
        do throws(FormatError) {
            return try Configuration(file: "the recipe", json: Array(modelConfiguration().text().utf8))
        } catch {
            throw .inconsistent(key: "model", reason: error.description)
        }
    }

    /// Floating-point operations that training costs a token: six for each active parameter but the embedding's row, and
    /// attention over half a sequence, forward once and backward twice (Kaplan and others, arXiv 2001.08361, section 2.1).
    public func flopsPerToken() throws(RecipeError) -> Double {
        let active = Double(try configuration().parameters.active - model.hiddenSize)
        let head = Double(model.plainHeadSize + model.ropeHeadSize + model.valueHeadSize)
        let attention = Double(model.layers) * Double(model.heads) * head * Double(batch.length)
        return 6 * active + 3 * attention
    }
}
