import Foundation
import Testing
import WaletFormats
import WaletJSON

@Suite struct ConfigurationTests {
    static func bytes(_ name: String) throws -> [UInt8] {
        Array(try Data(contentsOf: Fixtures.folder.appending(path: "formats/configs/\(name).json")))
    }

    static func published(_ name: String) throws -> Configuration {
        try Configuration(file: "config.json", json: bytes(name))
    }

    /// A published configuration with fields changed; nil removes one.
    static func changed(
        _ name: String, _ changes: [String: JSONValue?], generation: String? = nil
    ) throws -> Configuration {
        var object = try JSONValue(parsing: bytes(name)).objectValue ?? JSONObject()
        for (key, value) in changes { object[key] = value }
        return try Configuration(
            file: "config.json", json: Array(JSONValue.object(object).text().utf8),
            generation: generation.map { ("generation_config.json", Array($0.utf8)) })
    }

    // MARK: Published models

    @Test(arguments: [
        ("kimi-k2-thinking", 1026.4, 31.7), ("kimi-k2-instruct", 1026.4, 31.7), ("kimi-k2.5", 1026.4, 31.7),
        ("deepseek-v3", 671.0, 36.6), ("deepseek-v2", 235.7, 20.9), ("deepseek-v2-lite", 15.7, 2.45),
        ("moonlight", 15.96, 2.57), ("llama-3.1-8b", 8.03, 7.5), ("qwen3-30b-a3b", 30.5, 3.04),
        ("qwen3-32b-fp8", 32.76, 31.98),
    ])
    func parametersAreThosePublished(_ name: String, _ total: Double, _ active: Double) throws {
        let parameters = try Self.published(name).parameters
        #expect(abs(Double(parameters.total) / 1e9 / total - 1) < 0.005, "\(parameters)")
        #expect(abs(Double(parameters.active) / 1e9 / active - 1) < 0.005, "\(parameters)")
        #expect(parameters.routed <= parameters.total && parameters.active <= parameters.total)
    }

    @Test func expertsOfKimiK2AreFortyFourMillionParametersEach() throws {
        let parameters = try Self.published("kimi-k2-thinking").parameters
        #expect(parameters.expert == 44_040_192 && parameters.routed == 60 * 384 * 44_040_192)
    }

    @Test func kimiK2ThinkingIsReadAsPublished() throws {
        let configuration = try Self.published("kimi-k2-thinking")
        #expect(configuration.modelType == "kimi_k2" && configuration.family == .deepseek)
        #expect(configuration.layers == 61 && configuration.hiddenSize == 7168 && configuration.heads == 64)
        #expect(configuration.contextLength == 262_144 && configuration.vocabularySize == 163_840)
        #expect(configuration.normEpsilon == 1e-5 && configuration.predictionLayers == 0)
        #expect(!configuration.tiedEmbeddings && !configuration.attentionBias && configuration.cacheWidth == 576)
        #expect(
            configuration.attention
                == .latent(
                    Configuration.LatentAttention(
                        queryRank: 1536, latentRank: 512, plainHeadSize: 128, ropeHeadSize: 64, valueHeadSize: 128,
                        latentNormEpsilon: 1e-6)))
        #expect(
            configuration.rope.scaling
                == .yarn(factor: 64, betaFast: 1, betaSlow: 1, originalContext: 4096, truncate: true))
        #expect(configuration.rope.amplitude == 1 && configuration.rope.layout == .interleaved)
        #expect(abs(configuration.rope.logitScale - 2.00473970) < 1e-7)
        let experts = try #require(configuration.experts)
        #expect(experts.count == 384 && experts.perToken == 8 && experts.shared == 1 && experts.width == 2048)
        #expect(experts.scoring == .sigmoid && experts.selection == .biased && experts.groups == 1)
        #expect(experts.normalized && experts.scale == 2.827 && experts.sparseLayers == Set(1..<61))
        #expect(
            configuration.quantization
                == .packed(
                    bits: 4, groupSize: 32,
                    ignore: [
                        "lm_head", "re:.*self_attn.*", "re:.*shared_experts.*",
                        "re:.*mlp\\.(gate|up|gate_up|down)_proj.*",
                    ]))
        #expect(configuration.endTokens == [163_586] && configuration.beginToken == 163_584)
    }

    @Test(arguments: [
        ("deepseek-v2-lite", 1.58962617), ("deepseek-v3", 1.87385421), ("kimi-k2-instruct", 1.81326043),
        ("kimi-k2.5", 2.00473970), ("moonlight", 1.0), ("llama-3.1-8b", 1.0),
    ])
    func theSoftmaxScaleCarriesTheSquareOfYarnsMagnitude(_ name: String, _ square: Double) throws {
        let rope = try Self.published(name).rope
        #expect(abs(rope.logitScale - square) < 1e-7 && rope.amplitude == 1)
    }

    @Test func siblingsDifferInBetasAndEpsilon() throws {
        func betas(_ name: String) throws -> [Double] {
            guard case .yarn(_, let fast, let slow, _, _) = try Self.published(name).rope.scaling else { return [] }
            return [fast, slow]
        }
        #expect(try betas("kimi-k2-instruct") == [1, 1] && betas("kimi-k2.5") == [32, 1])
        #expect(try Self.published("kimi-k2-instruct").normEpsilon == 1e-6)
        #expect(try Self.published("kimi-k2.5").normEpsilon == 1e-5)
    }

    @Test func deepSeekV3IsReadAsPublished() throws {
        let configuration = try Self.published("deepseek-v3")
        #expect(configuration.predictionLayers == 1 && configuration.endTokens == [1])
        #expect(configuration.quantization == .fp8(blockRows: 128, blockColumns: 128))
        #expect(configuration.experts?.groups == 8 && configuration.experts?.groupsPerToken == 4)
        #expect(configuration.experts?.sparseLayers == Set(3..<61) && configuration.experts?.scale == 2.5)
    }

    @Test func theSecondGenerationSelectsWithoutBias() throws {
        let lite = try Self.published("deepseek-v2-lite")
        #expect(lite.experts?.scoring == .softmax && lite.experts?.selection == .greedy)
        #expect(lite.experts?.normalized == false && lite.experts?.scale == 1 && lite.experts?.shared == 2)
        guard case .latent(let latent) = lite.attention else { Issue.record("no latent"); return }
        #expect(latent.queryRank == nil)
        let large = try Self.published("deepseek-v2")
        #expect(large.experts?.selection == .groupLimited && large.experts?.groupsPerToken == 3)
        #expect(large.experts?.scale == 16)
        #expect(try Self.changed("deepseek-v2-lite", ["topk_method": "gready"]) == lite)
        // The publisher's code either normalizes or scales.
        let normalized = try Self.changed("deepseek-v2", ["norm_topk_prob": true]).experts
        #expect(normalized?.normalized == true && normalized?.scale == 1)
    }

    @Test func languageModelsInsideMultimodalOnesAreFound() throws {
        let configuration = try Self.published("kimi-k2.5")
        #expect(configuration.modelType == "kimi_k25" && configuration.layers == 61)
        guard case .packed(4, 32, _) = configuration.quantization else { Issue.record("not packed"); return }
        #expect(says(failure { _ = try Self.changed("kimi-k2.5", ["text_config": nil]) }, "text_config", "nothing"))
        #expect(
            says(
                failure { _ = try Self.changed("kimi-k2.5", ["text_config": ["model_type": "gpt2"]]) },
                "text_config.model_type", "gpt2"))
    }

    @Test func llamaAndQwenAreReadAsPublished() throws {
        let llama = try Self.published("llama-3.1-8b")
        #expect(
            llama.rope.scaling
                == .llama3(factor: 8, lowFrequency: 1, highFrequency: 4, originalContext: 8192))
        #expect(
            llama.attention
                == .grouped(
                    Configuration.GroupedAttention(keyValueHeads: 8, headSize: 128, queryKeyNorm: false)))
        #expect(llama.rope.layout == .half && llama.rope.theta == 500_000)
        let qwen = try Self.published("qwen3-30b-a3b")
        #expect(qwen.experts?.normalized == true && qwen.experts?.sparseLayers == Set(0..<48))
        #expect(
            qwen.attention
                == .grouped(Configuration.GroupedAttention(keyValueHeads: 4, headSize: 128, queryKeyNorm: true)))
        #expect(try Self.published("qwen3-32b-fp8").quantization == .fp8(blockRows: 128, blockColumns: 128))
    }

    // MARK: Spellings

    @Test func bothSpellingsOfTheRopeMeanTheSame() throws {
        let old = try Self.published("deepseek-v3")
        let new = try Self.changed(
            "deepseek-v3",
            [
                "rope_theta": nil, "rope_scaling": nil,
                "rope_parameters": [
                    "rope_type": "yarn", "rope_theta": 10000.0, "factor": 40, "beta_fast": 32, "beta_slow": 1,
                    "mscale": 1, "mscale_all_dim": 1, "original_max_position_embeddings": 4096,
                ],
            ])
        #expect(old == new)
        let plain = try Self.changed("moonlight", ["rope_theta": nil, "rope_parameters": ["rope_theta": 50000]])
        #expect(try plain == Self.published("moonlight"))
        #expect(try Self.changed("moonlight", ["rope_scaling": ["rope_type": "default"]]) == plain)
        #expect(try Self.changed("moonlight", ["rope_scaling": .object(JSONObject())]) == plain)
        #expect(try Self.changed("moonlight", ["rope_theta": nil]).rope.theta == 10_000)
    }

    func yarn(_ scaling: [String: JSONValue?], in name: String = "deepseek-v3") throws -> Configuration.Rope {
        var object = JSONObject([
            ("type", "yarn"), ("factor", 40), ("original_max_position_embeddings", 4096),
        ])
        for (key, value) in scaling { object[key] = value }
        return try Self.changed(name, ["rope_scaling": .object(object)]).rope
    }

    @Test func absentYarnKeysMeanWhatTheyMeanToTransformers() throws {
        func g(_ factor: Double, _ m: Double) -> Double { 0.1 * m * log(factor) + 1 }
        let bare = try yarn([:])
        #expect(
            bare.scaling == .yarn(factor: 40, betaFast: 32, betaSlow: 1, originalContext: 4096, truncate: true))
        #expect(bare.amplitude == g(40, 1) && bare.logitScale == 1)
        // Either of the two scales alone leaves the amplitude of the paper.
        #expect(try yarn(["mscale": 0.5]).amplitude == g(40, 1))
        #expect(try yarn(["mscale_all_dim": 0.5]).amplitude == g(40, 1))
        #expect(try yarn(["mscale_all_dim": 0.5]).logitScale == g(40, 0.5) * g(40, 0.5))
        #expect(try yarn(["mscale": 0, "mscale_all_dim": 0.5]).amplitude == g(40, 1))
        #expect(try yarn(["mscale": 0.707, "mscale_all_dim": 1]).amplitude == g(40, 0.707) / g(40, 1))
        #expect(try yarn(["attention_factor": 1.25, "mscale": 1, "mscale_all_dim": 1]).amplitude == 1.25)
        #expect(try yarn(["factor": 0.5, "mscale_all_dim": 1]).logitScale == 1)
        // A factor of null is the ratio of the contexts, here 163840 / 4096.
        #expect(try yarn(["factor": .null]).scaling == bare.scaling)
        #expect(try yarn(["factor": nil]).scaling == bare.scaling)
        #expect(try yarn(["beta_fast": 0, "beta_slow": .null]).scaling == bare.scaling)
        guard case .yarn(_, _, _, _, let truncate) = try yarn(["truncate": false]).scaling else { return }
        #expect(!truncate)
        guard case .yarn(_, _, _, let original, _) = try yarn(["original_max_position_embeddings": nil]).scaling else {
            return
        }
        #expect(original == 163_840)
        // Only the latent family squares mscale_all_dim into its logits.
        #expect(try yarn(["mscale": 1, "mscale_all_dim": 1], in: "llama-3.1-8b").logitScale == 1)
    }

    @Test func interleavingIsTheDefaultAndCanBeOff() throws {
        #expect(try Self.changed("deepseek-v3", ["rope_interleave": false]).rope.layout == .half)
        #expect(try Self.changed("deepseek-v3", ["rope_interleave": true]).rope.layout == .interleaved)
        #expect(try Self.changed("deepseek-v2-lite", ["rope_interleave": false]).rope.layout == .interleaved)
    }

    @Test func endTokensOfBothFilesCount() throws {
        let generation = #"{"eos_token_id": [163586, 163585, 7], "max_length": 131072}"#
        #expect(
            try Self.changed("kimi-k2-instruct", [:], generation: generation).endTokens == [163_585, 163_586, 7])
        #expect(try Self.changed("kimi-k2-instruct", ["eos_token_id": .null], generation: "{}").endTokens == [])
        // Ids that no embedding has are of no use.
        #expect(try Self.changed("kimi-k2-instruct", ["eos_token_id": [163_840, -1, 5]]).endTokens == [5])
        #expect(try Self.changed("kimi-k2-instruct", ["bos_token_id": .int(1 << 40)]).beginToken == nil)
        #expect(
            says(
                failure { _ = try Self.changed("kimi-k2-instruct", [:], generation: "[]") },
                "generation_config.json", "a JSON object"))
        #expect(
            says(failure { _ = try Self.changed("kimi-k2-instruct", ["eos_token_id": "x"]) }, "eos_token_id", "\"x\""))
    }

    @Test func absentFieldsOfTheThirdGenerationHaveItsDefaults() throws {
        let sparse = try Self.changed(
            "deepseek-v3",
            [
                "n_group": nil, "topk_group": nil, "scoring_func": nil, "topk_method": nil, "norm_topk_prob": nil,
                "first_k_dense_replace": nil, "moe_layer_freq": nil, "attention_bias": nil, "rms_norm_eps": nil,
                "hidden_act": nil, "tie_word_embeddings": nil,
            ])
        #expect(try sparse == Self.published("deepseek-v3"))
        #expect(says(failure { _ = try Self.changed("deepseek-v3", ["routed_scaling_factor": nil]) }, "routed_scaling"))
        let dense = try Self.changed("deepseek-v3", ["n_routed_experts": .null])
        #expect(dense.experts == nil && !dense.isSparse(layer: 5))
        let every = try Self.changed("deepseek-v3", ["moe_layer_freq": 2])
        #expect(every.isSparse(layer: 4) && !every.isSparse(layer: 5))
    }

    @Test func qwensSparseLayersFollowTheirThreeFields() throws {
        let step = try Self.changed(
            "qwen3-30b-a3b",
            [
                "decoder_sparse_step": 2, "mlp_only_layers": [3, 47], "num_hidden_layers": 6, "num_experts": nil,
                "num_local_experts": 128,
            ])
        #expect(step.experts?.sparseLayers == [1, 5] && step.experts?.count == 128)
    }

    // MARK: Refusals

    static let refusals: [(String, String, JSONValue, String)] = [
        ("deepseek-v3", "hidden_size", JSONValue.int(1 << 60), "hidden_size: expected a whole number from 1"),
        ("deepseek-v3", "hidden_size", 0, "found 0"), ("deepseek-v3", "hidden_size", -7168, "found -7168"),
        ("deepseek-v3", "hidden_size", 7168.5, "found 7168.5"),
        ("deepseek-v3", "hidden_size", "7168", "found \"7168\""),
        ("deepseek-v3", "hidden_size", .null, "found null"), ("deepseek-v3", "hidden_size", [7168], "found an array"),
        ("deepseek-v3", "num_hidden_layers", 0, "num_hidden_layers"),
        ("deepseek-v3", "num_hidden_layers", .int(.max), "num_hidden_layers"),
        ("deepseek-v3", "num_attention_heads", 0, "num_attention_heads"),
        ("deepseek-v3", "num_attention_heads", .int(1 << 40), "num_attention_heads"),
        ("deepseek-v3", "kv_lora_rank", .null, "kv_lora_rank"), ("deepseek-v3", "q_lora_rank", 0, "q_lora_rank"),
        ("deepseek-v3", "qk_rope_head_dim", 63, "even number"), ("deepseek-v3", "v_head_dim", false, "v_head_dim"),
        ("deepseek-v3", "vocab_size", .int(1 << 30), "vocab_size"),
        ("deepseek-v3", "max_position_embeddings", 0, "max_position_embeddings"),
        ("deepseek-v3", "rms_norm_eps", 0, "rms_norm_eps"), ("deepseek-v3", "rms_norm_eps", -1e-6, "rms_norm_eps"),
        ("deepseek-v3", "rms_norm_eps", 1e300, "rms_norm_eps"), ("deepseek-v3", "rms_norm_eps", "NaN", "rms_norm_eps"),
        ("deepseek-v3", "tie_word_embeddings", 1, "true or false"),
        ("deepseek-v3", "hidden_act", "gelu", "silu"), ("deepseek-v3", "scoring_func", "tanh", "softmax or sigmoid"),
        ("deepseek-v3", "topk_method", "random", "noaux_tc"), ("deepseek-v3", "n_group", 7, "divisor of the 256"),
        ("deepseek-v3", "topk_group", 9, "1 to the 8 groups"),
        ("deepseek-v3", "num_experts_per_tok", 257, "at most the 256"),
        ("deepseek-v3", "num_experts_per_tok", 129, "at most the 128"),
        ("deepseek-v3", "n_group", 256, "experts per token"),
        ("deepseek-v3", "moe_intermediate_size", .null, "moe_intermediate_size"),
        ("deepseek-v3", "moe_layer_freq", 0, "moe_layer_freq"),
        ("deepseek-v3", "rope_theta", 0, "rope_theta"), ("deepseek-v3", "rope_theta", 1, "yarn"),
        ("deepseek-v3", "rope_scaling", 4, "rope_scaling: expected an object"),
        ("deepseek-v3", "rope_scaling", ["type": "longrope"], "one of default, linear, llama3, yarn"),
        ("deepseek-v3", "rope_scaling", ["rope_type": 1], "rope_scaling.rope_type: expected a string"),
        ("deepseek-v3", "rope_scaling", ["type": "linear"], "rope_scaling.factor"),
        ("deepseek-v3", "rope_scaling", ["type": "yarn", "factor": 0], "rope_scaling.factor"),
        (
            "llama-3.1-8b", "rope_scaling",
            ["type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 1],
            "more than low_freq_factor"
        ),
        ("llama-3.1-8b", "num_key_value_heads", 7, "divisor of the 32"),
        ("llama-3.1-8b", "num_attention_heads", 24, "divisor of the hidden size 4096"),
        ("llama-3.1-8b", "head_dim", 0, "head_dim"), ("llama-3.1-8b", "head_dim", 127, "even number"),
        ("llama-3.1-8b", "partial_rotary_factor", 0.5, "partial_rotary_factor"),
        ("llama-3.1-8b", "sliding_window", 4096, "sliding_window"),
        ("llama-3.1-8b", "layer_types", ["full_attention", "sliding_attention"], "full_attention"),
        ("llama-3.1-8b", "eos_token_id", [[1]], "eos_token_id"),
        ("qwen3-30b-a3b", "num_experts", 0, "num_experts"), ("qwen3-30b-a3b", "mlp_only_layers", ["a"], "mlp_only"),
        ("deepseek-v3", "model_type", "gpt2", "one of deepseek_v2, deepseek_v3, kimi_k2, kimi_k25, kimi_vl, llama"),
        ("deepseek-v3", "model_type", .null, "model_type"), ("deepseek-v3", "model_type", 3, "a string"),
    ]

    @Test(arguments: refusals)
    func refuses(_ name: String, _ field: String, _ value: JSONValue, _ reason: String) {
        let error = failure { _ = try Self.changed(name, [field: value]) }
        #expect(says(error, "config.json", reason), "\(error?.description ?? "no error")")
    }

    @Test func slidingWindowsThatDoNotMatterAreFine() throws {
        _ = try Self.changed("llama-3.1-8b", ["sliding_window": 131_072])
        _ = try Self.changed("qwen3-30b-a3b", ["sliding_window": 4096, "use_sliding_window": false])
        #expect(
            says(
                failure {
                    _ = try Self.changed("qwen3-30b-a3b", ["sliding_window": 4096, "use_sliding_window": true])
                }, "sliding_window", "found 4096"))
        let mistral = try Self.changed("llama-3.1-8b", ["model_type": "mistral", "sliding_window": .null])
        #expect(mistral.family == .llama && mistral.modelType == "mistral")
    }

    @Test func everyTruncationOfAConfigurationIsAnError() throws {
        var bytes = try Self.bytes("kimi-k2-thinking")
        while bytes.last == 0x0A { bytes.removeLast() }
        for count in 0..<bytes.count {
            #expect(
                failure { _ = try Configuration(file: "config.json", json: Array(bytes[..<count])) } != nil, "\(count)")
        }
    }

    // MARK: Quantization

    func quantized(_ changes: [String: JSONValue], weights: [String: JSONValue?] = [:]) throws
        -> Configuration.Quantization?
    {
        var scheme = JSONObject([
            ("num_bits", 4), ("type", "int"), ("symmetric", true), ("strategy", "group"), ("group_size", 32),
            ("dynamic", false), ("actorder", .null),
        ])
        for (key, value) in weights { scheme[key] = value }
        var object = JSONObject([
            ("quant_method", "compressed-tensors"), ("format", "pack-quantized"),
            ("config_groups", ["group_0": ["targets": ["Linear"], "weights": .object(scheme)]]),
        ])
        for (key, value) in changes { object[key] = value }
        return try Self.changed("llama-3.1-8b", ["quantization_config": .object(object)]).quantization
    }

    @Test func supportedPackingsAreRead() throws {
        #expect(try quantized([:]) == .packed(bits: 4, groupSize: 32, ignore: []))
        #expect(try quantized([:], weights: ["group_size": 128]) == .packed(bits: 4, groupSize: 128, ignore: []))
        #expect(
            try quantized(
                ["ignore": ["lm_head"]], weights: ["num_bits": 8, "strategy": "channel", "group_size": .null])
                == .packed(bits: 8, groupSize: nil, ignore: ["lm_head"]))
        #expect(try quantized([:], weights: ["actorder": "static"]) != nil)
        #expect(try Self.changed("llama-3.1-8b", ["quantization_config": .null]).quantization == nil)
    }

    @Test func otherPackingsAreRefusedByName() {
        func refused(_ changes: [String: JSONValue], weights: [String: JSONValue?] = [:], _ parts: String) {
            let error = failure { _ = try quantized(changes, weights: weights) }
            #expect(says(error, "quantization_config", parts), "\(error?.description ?? "no error")")
        }
        refused(["quant_method": "gptq"], "found \"gptq\"")
        refused(["quant_method": "gptq"], "pack-quantized")
        refused(["quant_method": "fp8"], "weight_block_size")
        refused(["quant_method": "fp8", "fmt": "e5m2"], "e4m3")
        refused(["quant_method": "fp8", "weight_block_size": [0, 128]], "weight_block_size")
        refused(["quant_method": "fp8", "weight_block_size": [128]], "weight_block_size")
        refused(["format": "mxfp4-pack-quantized"], "mxfp4-pack-quantized")
        refused(["format": "marlin-24"], "marlin-24")
        refused(["quantization_status": "frozen"], "compressed")
        refused(["sparsity_config": ["format": "sparse-24-bitmask"]], "sparse-24")
        refused(["config_groups": .object(JSONObject())], "config_groups")
        refused(["config_groups": ["group_0": ["targets": ["re:.*"], "weights": [:]]]], "Linear")
        refused(
            ["config_groups": ["group_0": ["targets": ["Linear"], "input_activations": ["num_bits": 8]]]],
            "activations")
        refused([:], weights: ["num_bits": 3], "4 or 8")
        refused([:], weights: ["symmetric": false], "zero points")
        refused([:], weights: ["type": "float"], "int")
        refused([:], weights: ["group_size": 48], "32, 64 or 128")
        refused([:], weights: ["strategy": "tensor"], "group or channel")
        refused([:], weights: ["actorder": "group"], "actorder")
        refused([:], weights: ["dynamic": true], "dynamic")
        refused(["ignore": [1]], "ignore")
    }
}

@Suite struct ModuleFilterTests {
    static let kimi = ModuleFilter([
        "lm_head", "re:.*self_attn.*", "re:.*shared_experts.*", "re:.*mlp\\.(gate|up|gate_up|down)_proj.*",
    ])

    @Test(arguments: [
        ("lm_head", true), ("model.layers.3.self_attn.q_a_proj", true),
        ("model.layers.3.mlp.shared_experts.up_proj", true), ("model.layers.0.mlp.gate_proj", true),
        ("model.layers.0.mlp.down_proj", true), ("model.layers.3.mlp.experts.17.gate_proj", false),
        ("model.lm_head", false), ("lm_head2", false),
    ])
    func kimisRulesLeaveTheExpertsAlone(_ module: String, _ isIgnored: Bool) {
        #expect(Self.kimi.verdict(module) == (isIgnored ? .ignored : .quantized))
    }

    /// As Python 3's `re.match(pattern, text) is not None`.
    @Test(arguments: [
        ("a", "abc", true), ("b", "abc", false), ("abc$", "abc", true), ("ab$", "abc", false), ("^a", "a", true),
        ("", "", true), ("a*", "", true), ("a+", "", false), ("a?b", "b", true), ("(a|b)+c", "ababc", true),
        ("(?:a|b){2,3}$", "abab", false), ("(?:a|b){2,3}$", "aba", true), ("a{2}", "a", false), ("a{2}", "aa", true),
        ("a{2,}$", "aaaa", true), ("[a-c]x", "bx", true), ("[^a-c]x", "bx", false), ("[]a]x", "]x", true),
        ("[a-]x", "-x", true), ("\\d+\\.x", "12.x", true), ("\\w+$", "a_1", true), ("\\s", " ", true),
        ("\\S\\D\\W", "aa-", true), (".*\\.7\\.", "m.7.x", true), ("a.c", "a\nc", false), ("a*?b", "aab", true),
        ("(a*)*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac", false), ("(|a)+$", "aaa", true), ("é", "é", true),
        ("model\\.layers\\.(?:[0-2])\\.mlp", "model.layers.2.mlp.x", true), ("a|", "zzz", true),
    ])
    func patternsMatchAsInPython(_ pattern: String, _ text: String, _ matches: Bool) {
        #expect(ModuleFilter(["re:" + pattern]).verdict(text) == (matches ? .ignored : .quantized))
    }

    @Test(arguments: [
        "(?!x)a", "(?<=a)b", "\\bword", "(a)\\1", "(", ")", "[", "*a", "a**", "a{3,2}", "a{", "a{1001}", "\\", "[b-a]",
        "(?P<n>a)",
    ])
    func patternsBeyondTheSubsetDecideNothing(_ pattern: String) {
        #expect(ModuleFilter(["re:" + pattern]).verdict("zzz") == .undecided)
    }

    @Test func hostilePatternsEndSoon() {
        let time = ContinuousClock().measure {
            for pattern in [
                "(a+)+(a+)+(a+)+b", "((((a{100}){100}){100}){100}){100}", "((((){1000}){1000}){1000}){1000}",
                String(repeating: "(", count: 900),
                String(repeating: "a?", count: 400) + String(repeating: "a", count: 200),
            ] {
                _ = ModuleFilter(["re:" + pattern]).verdict(String(repeating: "a", count: 4000))
            }
        }
        #expect(time < .seconds(5))
    }
}
