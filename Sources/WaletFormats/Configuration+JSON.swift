// config.json of the Hugging Face layout to a Configuration. Absent fields mean what they mean to transformers 5.

import WaletJSON

extension Configuration {
    /// Values of `model_type` that Walet runs.
    public static let supportedModelTypes = [
        "deepseek_v2", "deepseek_v3", "kimi_k2", "kimi_k25", "kimi_vl", "llama", "mistral", "qwen3", "qwen3_moe",
    ]

    /// Multimodal models whose language part is one of the above, under `text_config`.
    static let wrappers = ["kimi_k25", "kimi_vl"]

    /// Reads `config.json`, and the end tokens of `generation_config.json`.
    /// - Parameters:
    ///   - file: named in errors.
    ///   - generation: the bytes of `generation_config.json` and its name, where there is one.
    /// - Throws: ``FormatError`` that names the field.
    public init(
        file: String, json bytes: [UInt8], generation: (file: String, bytes: [UInt8])? = nil
    ) throws(FormatError) {
        let outer = try Fields(file: file, parsing: bytes)
        var fields = outer
        var name = try outer.modelType()
        if Self.wrappers.contains(name) {
            guard let inner = try outer.optionalFields("text_config") else {
                throw outer.failure("text_config", "an object that describes the language model", "nothing")
            }
            fields = inner
            name = try inner.modelType()
        }
        switch name {
        case "deepseek_v2", "deepseek_v3", "kimi_k2": self = try Self.deepseek(fields, name)
        case "llama", "mistral": self = try Self.llama(fields, name)
        case "qwen3", "qwen3_moe": self = try Self.qwen3(fields, name)
        default:
            throw fields.failure(
                "model_type", "one of " + Self.supportedModelTypes.joined(separator: ", "),
                "\"\(name.prefix(80))\"")
        }
        modelType = try outer.modelType()
        quantization = try Self.quantization(fields)
        if quantization == nil { quantization = try Self.quantization(outer) }
        var endTokens = try fields.tokens("eos_token_id")
        if fields.prefix != outer.prefix { endTokens += try outer.tokens("eos_token_id") }
        if let generation {
            endTokens += try Fields(file: generation.file, parsing: generation.bytes).tokens("eos_token_id")
        }
        self.endTokens = Self.known(endTokens, in: vocabularySize)
        beginToken = Self.known(try fields.tokens("bos_token_id"), in: vocabularySize).first
        try checkConsistency(file: file)
    }

    private static func deepseek(_ fields: Fields, _ name: String) throws(FormatError) -> Configuration {
        try fields.requireSiLU()
        let second = name == "deepseek_v2"
        let heads = try fields.int("num_attention_heads", in: Limit.heads)
        let latent = LatentAttention(
            queryRank: try fields.optionalInt("q_lora_rank", in: Limit.rank),
            latentRank: try fields.int("kv_lora_rank", in: Limit.rank),
            plainHeadSize: try fields.int("qk_nope_head_dim", in: Limit.headSize),
            ropeHeadSize: try fields.int("qk_rope_head_dim", in: Limit.headSize),
            valueHeadSize: try fields.int("v_head_dim", in: Limit.headSize),
            // The norms on the latents keep the default of the class in the publisher's code and in transformers,
            // whatever rms_norm_eps is (huggingface/transformers#44261).
            latentNormEpsilon: 1e-6)
        let layers = try fields.int("num_hidden_layers", in: Limit.layers)
        // V2 has no such switch: its rows are always laid out as adjacent pairs.
        let interleaved = second ? true : try fields.bool("rope_interleave", default: true)
        return Configuration(
            modelType: name, family: .deepseek, hiddenSize: try fields.int("hidden_size", in: Limit.hiddenSize),
            layers: layers, heads: heads, vocabularySize: try fields.int("vocab_size", in: Limit.vocabulary),
            contextLength: try fields.int("max_position_embeddings", in: Limit.context),
            feedForwardSize: try fields.int("intermediate_size", in: Limit.feedForward),
            normEpsilon: Float(try fields.optionalDouble("rms_norm_eps", in: Limit.epsilon) ?? 1e-6),
            tiedEmbeddings: try fields.bool("tie_word_embeddings", default: false), attention: .latent(latent),
            rope: try fields.rope(layout: interleaved ? .interleaved : .half, scalesLogits: true),
            experts: try deepseekExperts(fields, name, layers: layers),
            attentionBias: try fields.bool("attention_bias", default: false),
            feedForwardBias: try fields.bool("mlp_bias", default: false),
            predictionLayers: try fields.int(
                ["num_nextn_predict_layers", "num_mtp_layers"], in: 0...64, default: 0),
            endTokens: [], beginToken: nil, quantization: nil)
    }

    private static func deepseekExperts(
        _ fields: Fields, _ name: String, layers: Int
    ) throws(FormatError) -> Experts? {
        let second = name == "deepseek_v2"
        // What transformers takes where the fields are absent is V3's own shape, which K2 does not have.
        let third = name == "deepseek_v3"
        guard let count = try fields.optionalInt("n_routed_experts", in: 0...Limit.experts.upperBound), count > 0
        else { return nil }
        let dense =
            try fields.optionalInt("first_k_dense_replace", in: 0...Limit.layers.upperBound)
            ?? (second ? 0 : third ? 3 : 1)
        let frequency = try fields.optionalInt("moe_layer_freq", in: Limit.layers) ?? 1
        let sparse = Set((0..<layers).filter { $0 >= dense && $0 % frequency == 0 })
        let perToken = try fields.int("num_experts_per_tok", in: Limit.experts)

        let scoringName = try fields.optionalString("scoring_func") ?? (second ? "softmax" : "sigmoid")
        guard let scoring = Experts.Scoring(rawValue: scoringName) else {
            throw fields.failure("scoring_func", "softmax or sigmoid", "\"\(scoringName.prefix(80))\"")
        }
        let method = try fields.optionalString("topk_method") ?? (second ? "greedy" : "noaux_tc")
        let selection: Experts.Selection
        switch method {
        // The second spelling is a slip of the first published V2 code.
        case "greedy", "gready": selection = .greedy
        case "group_limited_greedy": selection = .groupLimited
        case "noaux_tc": selection = .biased
        default:
            throw fields.failure(
                "topk_method", "greedy, group_limited_greedy or noaux_tc", "\"\(method.prefix(80))\"")
        }
        var groups = try fields.optionalInt("n_group", in: Limit.experts) ?? (third ? 8 : 1)
        var groupsPerToken = try fields.optionalInt("topk_group", in: Limit.experts) ?? min(groups, 4)
        if selection == .greedy { (groups, groupsPerToken) = (1, 1) }

        let normalized = try fields.bool("norm_topk_prob", default: !second)
        // For V3 the defaults disagree (1 in the publisher's code, 2.5 in transformers), so the file must say.
        var scale =
            second
            ? try fields.optionalDouble("routed_scaling_factor", in: Limit.expertScale) ?? 1
            : try fields.double("routed_scaling_factor", in: Limit.expertScale)
        // The publisher's V2 code either normalizes or scales, never both.
        if second, normalized, perToken > 1 { scale = 1 }
        return Experts(
            count: count, perToken: perToken,
            shared: try fields.optionalInt("n_shared_experts", in: 0...256) ?? 0,
            width: try fields.int("moe_intermediate_size", in: Limit.feedForward), scoring: scoring,
            selection: selection, groups: groups, groupsPerToken: groupsPerToken, normalized: normalized,
            scale: Float(scale), sparseLayers: sparse)
    }

    private static func llama(_ fields: Fields, _ name: String) throws(FormatError) -> Configuration {
        var configuration = try grouped(fields, name, family: .llama, queryKeyNorm: false)
        if name == "mistral" {
            guard fields.has("num_key_value_heads") else {
                throw fields.failure("num_key_value_heads", "a whole number", "nothing")
            }
            // transformers' mistral has neither kind of bias.
            (configuration.attentionBias, configuration.feedForwardBias) = (false, false)
        }
        try fields.refuseSlidingWindow(context: configuration.contextLength, whenUnsaid: true)
        return configuration
    }

    private static func qwen3(_ fields: Fields, _ name: String) throws(FormatError) -> Configuration {
        var configuration = try grouped(fields, name, family: .qwen3, queryKeyNorm: true)
        try fields.refuseSlidingWindow(context: configuration.contextLength, whenUnsaid: false)
        configuration.feedForwardBias = false
        guard name == "qwen3_moe" else { return configuration }
        let layers = configuration.layers
        let step = try fields.optionalInt("decoder_sparse_step", in: Limit.layers) ?? 1
        var dense: Set<Int> = []
        for value in try fields.optionalArray("mlp_only_layers") ?? [] {
            guard let layer = value.intValue else {
                throw fields.failure("mlp_only_layers", "layer numbers", fields.describe(value))
            }
            dense.insert(layer)
        }
        configuration.experts = Experts(
            count: try fields.int(["num_experts", "num_local_experts"], in: Limit.experts),
            perToken: try fields.int("num_experts_per_tok", in: Limit.experts), shared: 0,
            width: try fields.int("moe_intermediate_size", in: Limit.feedForward), scoring: .softmax,
            selection: .greedy, groups: 1, groupsPerToken: 1,
            normalized: try fields.bool("norm_topk_prob", default: false), scale: 1,
            sparseLayers: Set((0..<layers).filter { ($0 + 1) % step == 0 && !dense.contains($0) }))
        return configuration
    }

    private static func grouped(
        _ fields: Fields, _ name: String, family: Family, queryKeyNorm: Bool
    ) throws(FormatError) -> Configuration {
        try fields.requireSiLU()
        let hidden = try fields.int("hidden_size", in: Limit.hiddenSize)
        let heads = try fields.int("num_attention_heads", in: Limit.heads)
        var headSize = try fields.optionalInt("head_dim", in: Limit.headSize)
        if headSize == nil, family == .qwen3 { headSize = 128 }
        if headSize == nil, hidden % heads != 0 {
            throw fields.failure("num_attention_heads", "a divisor of the hidden size \(hidden)", "\(heads)")
        }
        return Configuration(
            modelType: name, family: family, hiddenSize: hidden,
            layers: try fields.int("num_hidden_layers", in: Limit.layers), heads: heads,
            vocabularySize: try fields.int("vocab_size", in: Limit.vocabulary),
            contextLength: try fields.int("max_position_embeddings", in: Limit.context),
            feedForwardSize: try fields.int("intermediate_size", in: Limit.feedForward),
            normEpsilon: Float(try fields.optionalDouble("rms_norm_eps", in: Limit.epsilon) ?? 1e-6),
            tiedEmbeddings: try fields.bool("tie_word_embeddings", default: false),
            attention: .grouped(
                GroupedAttention(
                    keyValueHeads: try fields.optionalInt("num_key_value_heads", in: Limit.heads) ?? heads,
                    headSize: headSize ?? hidden / heads, queryKeyNorm: queryKeyNorm)),
            rope: try fields.rope(layout: .half, scalesLogits: false), experts: nil,
            attentionBias: try fields.bool("attention_bias", default: false),
            feedForwardBias: try fields.bool("mlp_bias", default: false), predictionLayers: 0, endTokens: [],
            beginToken: nil, quantization: nil)
    }
}

extension Fields {
    fileprivate func modelType() throws(FormatError) -> String {
        guard let name = try optionalString("model_type") else {
            throw failure(
                "model_type", "one of " + Configuration.supportedModelTypes.joined(separator: ", "), "nothing")
        }
        return name
    }

    fileprivate func requireSiLU() throws(FormatError) {
        let name = try optionalString("hidden_act") ?? "silu"
        guard name == "silu" || name == "swish" else {
            throw failure("hidden_act", "silu, the only activation that Walet has", "\"\(name.prefix(80))\"")
        }
    }

    /// Refuses attention windows that some token within the context would feel.
    /// - Parameter whenUnsaid: whether a window counts where `use_sliding_window` is absent.
    fileprivate func refuseSlidingWindow(context: Int, whenUnsaid: Bool) throws(FormatError) {
        if let window = try optionalInt("sliding_window", in: 0...Int.max),
            try bool("use_sliding_window", default: whenUnsaid), window < context
        {
            throw failure("sliding_window", "none within the context of \(context), which Walet needs", "\(window)")
        }
        for value in try optionalArray("layer_types") ?? [] where value.stringValue != "full_attention" {
            throw failure("layer_types", "full_attention in every layer", describe(value))
        }
    }

    /// Rotary embedding from `rope_parameters` (transformers 5) or `rope_theta` and `rope_scaling` (before).
    /// - Parameter scalesLogits: whether the family squares `mscale_all_dim` into the softmax scale.
    fileprivate func rope(
        layout: Configuration.Rope.Layout, scalesLogits: Bool
    ) throws(FormatError) -> Configuration.Rope {
        // transformers takes rope_scaling first where a file has both.
        var scaling = try optionalFields("rope_scaling")
        if scaling?.object.isEmpty ?? true { scaling = try optionalFields("rope_parameters") }
        var theta = try scaling?.optionalDouble("rope_theta", in: Configuration.Limit.theta)
        if theta == nil { theta = try optionalDouble("rope_theta", in: Configuration.Limit.theta) }
        for place in [scaling, self].compactMap({ $0 }) {
            if let part = try place.optionalDouble("partial_rotary_factor", in: 0...1), part != 1 {
                throw place.failure("partial_rotary_factor", "1, since Walet rotates whole heads", "\(part)")
            }
        }
        var rope = Configuration.Rope(theta: theta ?? 10_000, layout: layout)
        guard let scaling, !scaling.object.isEmpty else { return rope }
        let kind = try scaling.optionalString(scaling.has("rope_type") ? "rope_type" : "type") ?? "default"
        switch kind {
        case "default", "none": break
        case "linear":
            rope.scaling = .linear(factor: try scaling.double("factor", in: Configuration.Limit.factor))
        case "llama3":
            let low = try scaling.double("low_freq_factor", in: 1e-6...1e6)
            let high = try scaling.double("high_freq_factor", in: 1e-6...1e6)
            guard high > low else {
                throw scaling.failure("high_freq_factor", "more than low_freq_factor, \(low)", "\(high)")
            }
            rope.scaling = .llama3(
                factor: try scaling.double("factor", in: Configuration.Limit.factor), lowFrequency: low,
                highFrequency: high, originalContext: try originalContext(scaling))
        case "yarn": try yarn(scaling, scalesLogits: scalesLogits, into: &rope)
        default:
            throw scaling.failure(
                "rope_type", "one of default, linear, llama3, yarn", "\"\(kind.prefix(80))\"")
        }
        return rope
    }

    private func originalContext(_ scaling: Fields) throws(FormatError) -> Double {
        let name = "original_max_position_embeddings"
        let range = 1.0...Double(Configuration.Limit.context.upperBound)
        // transformers lets the field beside the others win over the one among the rope's.
        if let value = try optionalDouble(name, in: range) { return value }
        if let value = try scaling.optionalDouble(name, in: range) { return value }
        return Double(try int("max_position_embeddings", in: Configuration.Limit.context))
    }

    private func yarn(
        _ scaling: Fields, scalesLogits: Bool, into rope: inout Configuration.Rope
    ) throws(FormatError) {
        guard rope.theta > 1 else {
            throw failure("rope_theta", "more than 1 for yarn", "\(rope.theta)")
        }
        let original = try originalContext(scaling)
        let context = Double(try int("max_position_embeddings", in: Configuration.Limit.context))
        let factor = try scaling.optionalDouble("factor", in: Configuration.Limit.factor) ?? context / original
        let betas = 1e-6...1e6
        // Zero counts as absent in transformers' "or"; so does it here.
        func beta(_ name: String, _ fallback: Double) throws(FormatError) -> Double {
            guard let value = try scaling.optionalDouble(name, in: 0...betas.upperBound), value > 0 else {
                return fallback
            }
            return max(value, betas.lowerBound)
        }
        rope.scaling = .yarn(
            factor: factor, betaFast: try beta("beta_fast", 32), betaSlow: try beta("beta_slow", 1),
            originalContext: original, truncate: try scaling.bool("truncate", default: true))
        let mscale = try scaling.optionalDouble("mscale", in: 0...1e3) ?? 0
        let allDimensions = try scaling.optionalDouble("mscale_all_dim", in: 0...1e3) ?? 0
        if let amplitude = try scaling.optionalDouble("attention_factor", in: 1e-6...1e6) {
            rope.amplitude = amplitude
        } else if mscale != 0, allDimensions != 0 {
            rope.amplitude =
                Configuration.Rope.magnitude(factor, mscale) / Configuration.Rope.magnitude(factor, allDimensions)
        } else {
            rope.amplitude = Configuration.Rope.magnitude(factor, 1)
        }
        if scalesLogits, allDimensions != 0 {
            let magnitude = Configuration.Rope.magnitude(factor, allDimensions)
            rope.logitScale = magnitude * magnitude
        }
    }
}
