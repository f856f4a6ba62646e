// A Configuration back to config.json, for models that were made here.

import WaletJSON

#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

extension Configuration {
    /// The `config.json` of this configuration with plain weights, as transformers and Walet read it.
    /// - Parameter element: what the weights are stored as.
    /// - Returns: nil for a configuration that no supported `model_type` describes.
    public func json(weights element: SafetensorsFile.Element) -> JSONValue? {
        guard let (type, architecture) = published, rope.frequencyDivisors == nil else { return nil }
        var object = JSONObject([
            ("architectures", .array([.string(architecture)])), ("model_type", .string(type)),
            ("torch_dtype", .string(element == .bf16 ? "bfloat16" : "float32")),
            ("vocab_size", .int(vocabularySize)), ("hidden_size", .int(hiddenSize)),
            ("num_hidden_layers", .int(layers)), ("num_attention_heads", .int(heads)),
            ("intermediate_size", .int(feedForwardSize)), ("hidden_act", "silu"),
            ("rms_norm_eps", .double(Double("\(normEpsilon)") ?? Double(normEpsilon))),
            ("max_position_embeddings", .int(contextLength)), ("tie_word_embeddings", .bool(tiedEmbeddings)),
            ("attention_bias", .bool(attentionBias)), ("rope_theta", .double(rope.theta)),
            ("rope_scaling", ropeScaling),
        ])
        switch attention {
        case .latent(let latent): write(latent, into: &object)
        case .grouped(let grouped):
            object["num_key_value_heads"] = .int(grouped.keyValueHeads)
            object["head_dim"] = .int(grouped.headSize)
            if family == .llama { object["mlp_bias"] = .bool(feedForwardBias) }
        }
        if let experts { write(experts, into: &object) }
        if let beginToken { object["bos_token_id"] = .int(beginToken) }
        if let token = endTokens.first {
            object["eos_token_id"] = endTokens.count == 1 ? .int(token) : .array(endTokens.map { .int($0) })
        }
        return .object(object)
    }

    /// The published names of the graph.
    private var published: (type: String, architecture: String)? {
        switch (family, attention, experts) {
        case (.deepseek, .latent, let experts):
            // transformers' V3 has no router but that with a bias, its V2 none but those without.
            guard let experts, experts.sparseLayers == Set((experts.sparseLayers.min() ?? layers)..<layers) else {
                return nil
            }
            switch (experts.scoring, experts.selection) {
            case (.sigmoid, .biased): return ("deepseek_v3", "DeepseekV3ForCausalLM")
            case (.softmax, .greedy) where rope.layout == .interleaved,
                (.softmax, .groupLimited) where rope.layout == .interleaved:
                return ("deepseek_v2", "DeepseekV2ForCausalLM")
            default: return nil
            }
        case (.llama, .grouped, nil): return ("llama", "LlamaForCausalLM")
        case (.qwen3, .grouped, nil): return ("qwen3", "Qwen3ForCausalLM")
        case (.qwen3, .grouped, .some): return ("qwen3_moe", "Qwen3MoeForCausalLM")
        default: return nil
        }
    }

    private func write(_ latent: LatentAttention, into object: inout JSONObject) {
        object["num_key_value_heads"] = .int(heads)
        object["q_lora_rank"] = latent.queryRank.map { .int($0) } ?? .null
        object["kv_lora_rank"] = .int(latent.latentRank)
        object["qk_nope_head_dim"] = .int(latent.plainHeadSize)
        object["qk_rope_head_dim"] = .int(latent.ropeHeadSize)
        object["v_head_dim"] = .int(latent.valueHeadSize)
        object["rope_interleave"] = .bool(rope.layout == .interleaved)
        object["num_nextn_predict_layers"] = .int(predictionLayers)
    }

    private func write(_ experts: Experts, into object: inout JSONObject) {
        object["num_experts_per_tok"] = .int(experts.perToken)
        object["moe_intermediate_size"] = .int(experts.width)
        object["norm_topk_prob"] = .bool(experts.normalized)
        guard family == .deepseek else {
            object["num_experts"] = .int(experts.count)
            object["decoder_sparse_step"] = .int(1)
            object["mlp_only_layers"] = .array(
                (0..<layers).filter { !experts.sparseLayers.contains($0) }.map { .int($0) })
            return
        }
        object["n_routed_experts"] = .int(experts.count)
        object["n_shared_experts"] = .int(experts.shared)
        object["n_group"] = .int(experts.groups)
        object["topk_group"] = .int(experts.groupsPerToken)
        object["scoring_func"] = .string(experts.scoring.rawValue)
        object["topk_method"] =
            switch experts.selection {
            case .greedy: "greedy"
            case .groupLimited: "group_limited_greedy"
            case .biased: "noaux_tc"
            }
        object["routed_scaling_factor"] = .double(Double("\(experts.scale)") ?? Double(experts.scale))
        object["first_k_dense_replace"] = .int(experts.sparseLayers.min() ?? layers)
        object["moe_layer_freq"] = .int(1)
    }

    private var ropeScaling: JSONValue {
        switch rope.scaling {
        case .none: return .null
        case .linear(let factor): return .object(JSONObject([("type", "linear"), ("factor", .double(factor))]))
        case .llama3(let factor, let low, let high, let original):
            return .object(
                JSONObject([
                    ("rope_type", "llama3"), ("factor", .double(factor)), ("low_freq_factor", .double(low)),
                    ("high_freq_factor", .double(high)),
                    ("original_max_position_embeddings", .int(Int(original))),
                ]))
        case .yarn(let factor, let fast, let slow, let original, let truncate):
            var object = JSONObject([
                ("type", "yarn"), ("factor", .double(factor)), ("beta_fast", .double(fast)),
                ("beta_slow", .double(slow)), ("original_max_position_embeddings", .int(Int(original))),
                ("attention_factor", .double(rope.amplitude)), ("truncate", .bool(truncate)),
            ])
            // The softmax's factor is the square of 0.1 m ln(factor) + 1.
            if rope.logitScale != 1, factor > 1 {
                let m = ((rope.logitScale.squareRoot() - 1) / (0.1 * log(factor)) * 1e9).rounded() / 1e9
                object["mscale"] = .double(m)
                object["mscale_all_dim"] = .double(m)
            }
            return .object(object)
        }
    }
}
