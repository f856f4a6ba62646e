// A Configuration to GGUF metadata, as llama.cpp's convert_hf_to_gguf.py writes it and Configuration+GGUF.swift reads it.

#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

extension Configuration {
    /// The keys of this configuration, `general.architecture` first.
    /// - Parameter file: named in errors.
    /// - Throws: ``FormatError`` for what llama.cpp's graph of the architecture does not do, or does in another way.
    func ggufMetadata(file: String) throws(FormatError) -> [(key: String, value: GGUFWriter.Value)] {
        var writer = MetadataWriter(file: file, configuration: self)
        try writer.run()
        return writer.keys
    }

    /// One divisor a pair, llama.cpp's form of Llama 3's scaling; nil where there is none.
    func ggufFrequencyDivisors() -> [Float]? {
        if let divisors = rope.frequencyDivisors { return divisors }
        guard case .llama3(let factor, let low, let high, let original) = rope.scaling,
            case .grouped(let grouped) = attention
        else { return nil }
        return stride(from: 0, to: grouped.headSize, by: 2).map { dimension in
            let frequency = pow(rope.theta, -Double(dimension) / Double(grouped.headSize))
            let turns = original * frequency / (2 * .pi)
            if turns >= high { return 1 }
            let smooth = turns <= low ? 0 : (turns - low) / (high - low)
            return Float(1 / ((1 - smooth) / factor + smooth))
        }
    }
}

private struct MetadataWriter {
    let file: String
    let configuration: Configuration
    private(set) var keys: [(key: String, value: GGUFWriter.Value)] = []
    private var architecture = ""

    init(file: String, configuration: Configuration) {
        self.file = file
        self.configuration = configuration
    }

    mutating func run() throws(FormatError) {
        architecture = try name()
        keys.append(("general.architecture", .text(architecture)))
        let c = configuration
        try put("block_count", c.layers)
        try put("context_length", c.contextLength)
        try put("embedding_length", c.hiddenSize)
        try put("feed_forward_length", c.feedForwardSize)
        try put("vocab_size", c.vocabularySize)
        try put("attention.head_count", c.heads)
        put("attention.layer_norm_rms_epsilon", c.normEpsilon)
        put("rope.freq_base", Float(c.rope.theta))
        switch c.attention {
        case .latent(let latent): try latentAttention(latent)
        case .grouped(let grouped): try groupedAttention(grouped)
        }
        if let experts = c.experts { try put(experts) }
    }

    private func failure(_ field: String, _ expected: String, _ found: String) -> FormatError {
        FormatError(file: file, field: field, expected: expected, found: found)
    }

    private mutating func put(_ name: String, _ value: GGUFWriter.Value) {
        keys.append(("\(architecture).\(name)", value))
    }

    private mutating func put(_ name: String, _ value: Int) throws(FormatError) {
        guard let number = UInt32(exactly: value) else { throw failure(name, "a number below 2^32", "\(value)") }
        put(name, .uint32(number))
    }

    private mutating func put(_ name: String, _ value: Float) { put(name, .float32(value)) }

    /// The architecture, where llama.cpp has one whose graph is this configuration's.
    private func name() throws(FormatError) -> String {
        let c = configuration
        switch (c.family, c.attention, c.experts) {
        case (.deepseek, .latent, .some):
            guard !c.attentionBias, !c.feedForwardBias else {
                throw failure("attention_bias", "none, since deepseek2 has no biases in llama.cpp", "some")
            }
            return "deepseek2"
        case (.llama, .grouped, nil): return "llama"
        case (.qwen3, .grouped, let experts):
            guard !c.attentionBias else {
                throw failure("attention_bias", "none, since qwen3 has no biases in llama.cpp", "some")
            }
            return experts == nil ? "qwen3" : "qwen3moe"
        default:
            throw failure(
                "model_type", "a model that llama.cpp has as deepseek2 (with experts), llama, qwen3 or qwen3moe",
                "\"\(c.modelType.prefix(80))\"" + (c.experts == nil ? " without experts" : ""))
        }
    }

    // MARK: Attention

    private mutating func latentAttention(_ latent: Configuration.LatentAttention) throws(FormatError) {
        let layers = configuration.layers
        // llama.cpp takes the depth for the sign of a model without query compression, and asks others for the rank.
        let looksLite = layers == 26 || layers == 27 || (layers == 48 && configuration.vocabularySize == 128_256)
        if let rank = latent.queryRank, looksLite {
            throw failure(
                "q_lora_rank", "none with \(layers) layers, for which llama.cpp's deepseek2 does not read it",
                "\(rank)")
        }
        // In the latent's space all heads share one key and value, which is the latent (ggml-org/llama.cpp#12801).
        try put("attention.head_count_kv", 1)
        if let rank = latent.queryRank {
            try put("attention.q_lora_rank", rank)
        } else if !looksLite {
            try put("attention.q_lora_rank", 0)
        }
        try put("attention.kv_lora_rank", latent.latentRank)
        try put("attention.key_length", latent.latentRank + latent.ropeHeadSize)
        try put("attention.value_length", latent.latentRank)
        try put("attention.key_length_mla", latent.plainHeadSize + latent.ropeHeadSize)
        try put("attention.value_length_mla", latent.valueHeadSize)
        try put("rope.dimension_count", latent.ropeHeadSize)
        switch configuration.rope.scaling {
        case .none: break
        case .yarn(let factor, let fast, let slow, let original, let truncate):
            try putYarn(factor, fast, slow, original, truncate)
            let rope = configuration.rope
            guard abs(rope.amplitude - 1) < 1e-6, factor > 1, rope.logitScale > 1 else {
                throw failure(
                    "rope_scaling", "mscale and mscale_all_dim that are equal and not 0, which deepseek2 stands for",
                    "cos and sin times \(rope.amplitude), logits times \(rope.logitScale)")
            }
            // The softmax's factor is the square of 0.1 m ln(factor) + 1; what is stored is 0.1 m.
            let m = ((rope.logitScale.squareRoot() - 1) / (0.1 * log(factor)) * 1e9).rounded() / 1e9
            put("rope.scaling.yarn_log_multiplier", Float(0.1 * m))
        case .linear, .llama3:
            throw failure("rope_scaling", "yarn or none for deepseek2", "\(configuration.rope.scaling)")
        }
    }

    private mutating func groupedAttention(_ grouped: Configuration.GroupedAttention) throws(FormatError) {
        try put("attention.head_count_kv", grouped.keyValueHeads)
        try put("attention.key_length", grouped.headSize)
        try put("attention.value_length", grouped.headSize)
        try put("rope.dimension_count", grouped.headSize)
        switch configuration.rope.scaling {
        case .none: break
        case .llama3:
            // The tensor rope_freqs.weight says it, which llama.cpp's qwen3 does not look for.
            guard architecture == "llama" else {
                throw failure("rope_scaling", "none, linear or yarn for \(architecture)", "llama3")
            }
        case .linear(let factor):
            put("rope.scaling.type", .text("linear"))
            put("rope.scaling.factor", Float(factor))
        case .yarn(let factor, let fast, let slow, let original, let truncate):
            try putYarn(factor, fast, slow, original, truncate)
            let rest = configuration.rope.amplitude / Configuration.Rope.magnitude(factor, 1)
            if abs(rest - 1) > 1e-6 { put("rope.scaling.attn_factor", Float(rest)) }
        }
    }

    private mutating func putYarn(
        _ factor: Double, _ fast: Double, _ slow: Double, _ original: Double, _ truncate: Bool
    ) throws(FormatError) {
        guard truncate else {
            throw failure("rope_scaling.truncate", "true, as llama.cpp rounds the ramp's bounds", "false")
        }
        guard let original = Int(exactly: original) else {
            throw failure("original_max_position_embeddings", "a whole number", "\(original)")
        }
        put("rope.scaling.type", .text("yarn"))
        put("rope.scaling.factor", Float(factor))
        try put("rope.scaling.original_context_length", original)
        put("rope.scaling.yarn_beta_fast", Float(fast))
        put("rope.scaling.yarn_beta_slow", Float(slow))
    }

    // MARK: Experts

    private mutating func put(_ experts: Configuration.Experts) throws(FormatError) {
        let layers = configuration.layers
        let dense = experts.sparseLayers.min() ?? layers
        guard dense < layers, experts.sparseLayers == Set(dense..<layers) else {
            throw failure("moe_layer_freq", "experts in every layer after the first dense ones", "dense layers between")
        }
        try put("expert_count", experts.count)
        try put("expert_used_count", experts.perToken)
        try put("expert_feed_forward_length", experts.width)
        guard architecture == "deepseek2" else {
            guard dense == 0, experts.normalized else {
                throw failure(
                    dense == 0 ? "norm_topk_prob" : "decoder_sparse_step",
                    "weights that are normalized and experts in every layer, as llama.cpp's qwen3moe has them",
                    dense == 0 ? "false" : "\(dense) dense layers")
            }
            put("expert_weights_norm", .bool(true))
            return
        }
        guard experts.shared > 0 else {
            throw failure("n_shared_experts", "1 or more, which llama.cpp's deepseek2 asks for", "0")
        }
        try put("leading_dense_block_count", dense)
        try put("expert_shared_count", experts.shared)
        put("expert_weights_scale", experts.scale)
        put("expert_weights_norm", .bool(experts.normalized))
        put("expert_gating_func", .uint32(experts.scoring == .softmax ? 1 : 2))
        let restricts = experts.groupsPerToken < experts.groups
        guard !restricts || experts.selection == .biased else {
            throw failure(
                "topk_method", "noaux_tc, since llama.cpp weighs a group by the two best of its experts",
                "group_limited_greedy with \(experts.groups) groups")
        }
        try put("expert_group_count", restricts ? experts.groups : 1)
        try put("expert_group_used_count", restricts ? experts.groupsPerToken : 1)
    }
}
