import Foundation
import Testing
import WaletFormats

@Suite struct GGUFConfigurationTests {
    let folder = TemporaryFolder()

    func open(
        _ builder: GGUFBuilder, overrides: GGUFOverrides = GGUFOverrides()
    ) throws -> (configuration: Configuration, notes: [String]) {
        let model = try ModelFolder(folder.write("x.gguf", builder.bytes), overrides: overrides)
        return (model.configuration, model.notes)
    }

    /// Metadata of Kimi K2 0711 as a dump of a published file lists it, with tensors of no account.
    static var kimi: GGUFBuilder {
        var builder = GGUFBuilder()
        builder.set("general.architecture", .text("deepseek2"))
        builder.set("general.name", .text("Kimi K2 Instruct"))
        builder.set("deepseek2.block_count", .u32(61))
        builder.set("deepseek2.context_length", .u32(131_072))
        builder.set("deepseek2.embedding_length", .u32(7168))
        builder.set("deepseek2.feed_forward_length", .u32(18_432))
        builder.set("deepseek2.attention.head_count", .u32(64))
        builder.set("deepseek2.attention.head_count_kv", .u32(1))
        builder.set("deepseek2.attention.layer_norm_rms_epsilon", .f32(1e-6))
        builder.set("deepseek2.attention.q_lora_rank", .u32(1536))
        builder.set("deepseek2.attention.kv_lora_rank", .u32(512))
        builder.set("deepseek2.attention.key_length", .u32(576))
        builder.set("deepseek2.attention.value_length", .u32(512))
        builder.set("deepseek2.attention.key_length_mla", .u32(192))
        builder.set("deepseek2.attention.value_length_mla", .u32(128))
        builder.set("deepseek2.rope.dimension_count", .u32(64))
        builder.set("deepseek2.rope.freq_base", .f32(50_000))
        builder.set("deepseek2.rope.scaling.type", .text("yarn"))
        builder.set("deepseek2.rope.scaling.factor", .f32(32))
        builder.set("deepseek2.rope.scaling.original_context_length", .u32(4096))
        builder.set("deepseek2.rope.scaling.yarn_log_multiplier", .f32(0.1))
        builder.set("deepseek2.leading_dense_block_count", .u32(1))
        builder.set("deepseek2.expert_count", .u32(384))
        builder.set("deepseek2.expert_used_count", .u32(8))
        builder.set("deepseek2.expert_shared_count", .u32(1))
        builder.set("deepseek2.expert_feed_forward_length", .u32(2048))
        builder.set("deepseek2.expert_weights_scale", .f32(2.827))
        builder.set("deepseek2.expert_weights_norm", .bool(1))
        builder.set("deepseek2.expert_gating_func", .u32(2))
        builder.set("deepseek2.vocab_size", .u32(163_840))
        builder.addFloats("blk.1.exp_probs_b.bias", [1])
        builder.addFloats("output.weight", [1])
        return builder
    }

    @Test func kimisMetadataGivesTheConfigurationOfItsSafetensors() throws {
        let (configuration, notes) = try open(Self.kimi)
        var published = try ConfigurationTests.published("kimi-k2-instruct")
        published.modelType = "deepseek2"
        published.quantization = nil
        published.endTokens = []
        published.beginToken = nil
        // The file has no betas, which the notes say, and its float is not quite 0.1.
        guard case .yarn(let factor, 32, 1, let original, true) = configuration.rope.scaling else {
            Issue.record("\(configuration.rope.scaling)")
            return
        }
        #expect(factor == 32 && original == 4096)
        #expect(notes.count == 1 && notes[0].contains("betas"))
        #expect(abs(configuration.rope.logitScale - published.rope.logitScale) < 1e-6)
        published.rope.logitScale = configuration.rope.logitScale
        published.rope.scaling = configuration.rope.scaling
        #expect(configuration == published)

        let corrected = try open(Self.kimi, overrides: GGUFOverrides(yarnBetaFast: 1, yarnBetaSlow: 1))
        #expect(
            corrected.configuration.rope.scaling
                == .yarn(factor: 32, betaFast: 1, betaSlow: 1, originalContext: 4096, truncate: true))
        #expect(corrected.notes.isEmpty)
        var builder = Self.kimi
        builder.set("deepseek2.rope.scaling.yarn_beta_fast", .f32(1))
        builder.set("deepseek2.rope.scaling.yarn_beta_slow", .f32(1))
        #expect(try open(builder).configuration.rope == corrected.configuration.rope)
    }

    @Test func filesFromBeforeTheLatentKeysAreRead() throws {
        var builder = Self.kimi
        builder.metadata.removeAll { $0.key.hasSuffix("_mla") }
        builder.set("deepseek2.attention.key_length", .u32(192))
        builder.set("deepseek2.attention.value_length", .u32(128))
        builder.set("deepseek2.attention.head_count_kv", .u32(64))
        #expect(try open(builder).configuration == open(Self.kimi).configuration)
    }

    @Test func tensorsDecideWhetherQueriesAreCompressed() throws {
        var builder = Self.kimi
        builder.addFloats("blk.0.attn_q.weight", [1])
        guard case .latent(let latent) = try open(builder).configuration.attention else { return }
        #expect(latent.queryRank == nil)
        builder = Self.kimi
        builder.metadata.removeAll { $0.key.hasSuffix("q_lora_rank") }
        guard case .latent(let absent) = try open(builder).configuration.attention else { return }
        #expect(absent.queryRank == nil)
    }

    @Test func whatTheFileLeavesOutIsAssumedAloud() throws {
        var builder = Self.kimi
        builder.metadata.removeAll { $0.key.hasPrefix("deepseek2.rope.scaling") || $0.key.contains("expert_gating") }
        builder.set("deepseek2.expert_count", .u32(256))
        let third = try open(builder)
        #expect(third.configuration.experts?.groups == 8 && third.configuration.experts?.groupsPerToken == 4)
        #expect(third.configuration.experts?.scoring == .sigmoid && third.configuration.experts?.selection == .biased)
        #expect(third.notes.count == 2)
        builder.tensors.removeFirst()
        builder.metadata.removeAll { $0.key.contains("expert_weights") }
        builder.set("deepseek2.expert_count", .u32(64))
        let second = try open(builder)
        #expect(second.configuration.experts?.scoring == .softmax && second.configuration.experts?.scale == 1)
        #expect(second.configuration.experts?.selection == .greedy && second.configuration.experts?.normalized == false)
        #expect(second.notes.isEmpty)
        builder.set("deepseek2.expert_group_count", .u32(8))
        builder.set("deepseek2.expert_group_used_count", .u32(3))
        builder.set("deepseek2.expert_weights_scale", .f32(0))
        let grouped = try open(builder)
        #expect(grouped.configuration.experts?.selection == .groupLimited && grouped.configuration.experts?.scale == 1)
    }

    @Test func predictionLayersAreNotDecoderLayers() throws {
        var builder = Self.kimi
        builder.set("deepseek2.nextn_predict_layers", .u32(1))
        // The converter drops them, and leaves the key.
        #expect(try open(builder).configuration.layers == 61)
        builder.set("deepseek2.block_count", .u32(62))
        builder.addFloats("blk.61.nextn.eh_proj.weight", [1])
        let kept = try open(builder).configuration
        #expect(kept.layers == 61 && kept.predictionLayers == 1 && kept.experts?.sparseLayers == Set(1..<61))
    }

    @Test func llamaRotatesAdjacentPairsAndDividesFrequencies() throws {
        var builder = GGUFBuilder.llama
        let plain = try open(builder).configuration
        #expect(plain.rope.layout == .interleaved && plain.rope.frequencyDivisors == nil && plain.tiedEmbeddings)
        #expect(plain.vocabularySize == 11 && plain.endTokens == [3] && plain.beginToken == 2)
        #expect(
            plain.attention
                == .grouped(Configuration.GroupedAttention(keyValueHeads: 1, headSize: 4, queryKeyNorm: false)))
        var divisors: [UInt8] = []
        for value: Float in [1, 8] { divisors.append(little: value.bitPattern) }
        builder.tensors.append(.init(name: "rope_freqs.weight", type: 0, dimensions: [2], bytes: divisors))
        builder.addFloats("output.weight", [8, 11])
        builder.addFloats("blk.0.attn_q.bias", [8])
        let divided = try open(builder).configuration
        #expect(divided.rope.frequencyDivisors == [1, 8] && !divided.tiedEmbeddings && divided.attentionBias)
    }

    @Test func ropeScalingOfLlamaIsRead() throws {
        var builder = GGUFBuilder.llama
        builder.set("llama.rope.scaling.type", .text("linear"))
        builder.set("llama.rope.scaling.factor", .f32(4))
        #expect(try open(builder).configuration.rope.scaling == .linear(factor: 4))
        builder.metadata.removeAll { $0.key.contains("scaling") }
        builder.set("llama.rope.scale_linear", .f32(2))
        #expect(try open(builder).configuration.rope.scaling == .linear(factor: 2))
        builder.set("llama.rope.scaling.type", .text("none"))
        #expect(try open(builder).configuration.rope.scaling == .none)
        builder.set("llama.rope.scaling.type", .text("yarn"))
        builder.set("llama.rope.scaling.factor", .f32(4))
        let yarn = try open(builder).configuration.rope
        #expect(yarn.amplitude == 0.1 * log(4.0) + 1 && yarn.logitScale == 1)
    }

    @Test func endTokensAreFoundByTheirTexts() throws {
        var builder = GGUFBuilder.llama
        builder.set(
            "tokenizer.ggml.tokens",
            .array(8, (0..<9).map { .text("t\($0)") } + [.text("<|im_end|>"), .text("<|eot_id|>")]))
        builder.set("tokenizer.ggml.token_type", .array(5, (0..<11).map { .i32($0 == 9 ? 3 : 1) }))
        builder.set("tokenizer.ggml.eot_token_id", .u32(5))
        // The second has the text and is no control token.
        #expect(try open(builder).configuration.endTokens == [3, 5, 9])
        builder.set("tokenizer.ggml.eos_token_id", .i32(-1))
        builder.set("tokenizer.ggml.bos_token_id", .u32(.max))
        let none = try open(builder).configuration
        #expect(none.endTokens == [5, 9] && none.beginToken == nil)
    }

    @Test(
        arguments: [
            ("general.architecture", GGUFBuilder.Value.text("gpt2"), "one of deepseek2, llama, qwen3, qwen3moe"),
            ("general.architecture", .u32(1), "a string"), ("general.architecture", .string([0xFF]), "UTF-8"),
            ("llama.block_count", .u32(0), "block_count"), ("llama.block_count", .u32(.max), "found 4294967295"),
            ("llama.block_count", .text("1"), "type string"), ("llama.block_count", .f32(1), "whole number"),
            ("llama.block_count", .array(4, []), "differ by layer"),
            ("llama.embedding_length", .u64(.max), "embedding_length"),
            ("llama.embedding_length", .u32(16), "token_embd"),
            ("llama.attention.head_count", .u32(3), "divisor"), ("llama.attention.head_count", .u32(0), "head_count"),
            ("llama.attention.head_count_kv", .array(4, [.u32(1), .u32(2)]), "differ by layer"),
            ("llama.attention.head_count_kv", .u32(3), "divisor of the 2"),
            ("llama.attention.key_length", .u32(3), "even"), ("llama.attention.value_length", .u32(8), "the key's 4"),
            ("llama.rope.dimension_count", .u32(2), "rotates whole heads"),
            ("llama.attention.layer_norm_rms_epsilon", .f32(.nan), "epsilon"),
            ("llama.attention.layer_norm_rms_epsilon", .f32(0), "epsilon"),
            ("llama.rope.freq_base", .f32(.infinity), "freq_base"), ("llama.rope.freq_base", .bool(1), "freq_base"),
            ("llama.rope.scaling.type", .text("longrope"), "one of none, linear, yarn"),
            ("llama.rope.scaling.type", .text("yarn"), "a factor for yarn"),
            ("llama.rope.scaling.factor", .f32(-1), "factor"), ("llama.expert_count", .u32(8), "dense"),
            ("llama.attention.sliding_window", .u32(16), "sliding_window"),
            ("tokenizer.ggml.eos_token_id", .text("x"), "a token id"),
            ("llama.context_length", .u32(0), "context_length"),
        ] as [(String, GGUFBuilder.Value, String)])
    func refuses(_ key: String, _ value: GGUFBuilder.Value, _ reason: String) {
        var builder = GGUFBuilder.llama
        builder.set(key, value)
        let error = failure { _ = try open(builder) }
        #expect(says(error, "x.gguf", reason), "\(error?.description ?? "no error")")
    }

    @Test func missingKeysAreNamed() {
        for key in ["block_count", "context_length", "embedding_length", "feed_forward_length", "attention.head_count"]
        {
            var builder = GGUFBuilder.llama
            builder.metadata.removeAll { $0.key == "llama." + key }
            #expect(says(failure { _ = try open(builder) }, "llama." + key, "nothing"))
        }
        var builder = Self.kimi
        builder.set("deepseek2.rope.dimension_count", .u32(192))
        #expect(says(failure { _ = try open(builder) }, "key_length_mla", "more than the 192"))
        builder = Self.kimi
        builder.set("deepseek2.expert_gating_func", .u32(3))
        #expect(says(failure { _ = try open(builder) }, "expert_gating_func", "found 3"))
        var divided = GGUFBuilder.llama
        divided.addFloats("rope_freqs.weight", [2])
        #expect(says(failure { _ = try open(divided) }, "rope_freqs.weight", "positive"))
        divided.tensors[11].dimensions = [1, 2]
        #expect(says(failure { _ = try open(divided) }, "rope_freqs.weight", "F32 vector"))
    }
}
