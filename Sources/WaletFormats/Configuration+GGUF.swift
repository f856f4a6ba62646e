// GGUF metadata to a Configuration.

/// What a user may say about a GGUF model that its metadata leaves out.
public struct GGUFOverrides: Sendable, Equatable {
    /// YaRN's bounds. Older converters did not write them; 32 and 1 are then assumed, while Kimi K2 needs 1 and 1.
    public var yarnBetaFast: Double?
    public var yarnBetaSlow: Double?

    public init(yarnBetaFast: Double? = nil, yarnBetaSlow: Double? = nil) {
        self.yarnBetaFast = yarnBetaFast
        self.yarnBetaSlow = yarnBetaSlow
    }
}

extension Configuration {
    /// Values of `general.architecture` that Walet runs.
    public static let supportedArchitectures = ["deepseek2", "llama", "qwen3", "qwen3moe"]

    /// Reads the metadata of a GGUF model, and what only its tensors tell.
    /// - Parameter notes: receives what had to be assumed, in sentences for the user.
    public init(
        gguf set: GGUFSet, overrides: GGUFOverrides = GGUFOverrides(), notes: inout [String]
    ) throws(FormatError) {
        let name = try MetadataFields(set: set, architecture: "").text("general.architecture") ?? ""
        let fields = MetadataFields(set: set, architecture: name)
        var reader = MetadataReader(fields: fields, overrides: overrides)
        switch name {
        case "deepseek2": self = try reader.deepseek()
        case "llama": self = try reader.llama()
        case "qwen3", "qwen3moe": self = try reader.qwen3()
        default:
            throw fields.failure(
                "general.architecture", "one of " + Self.supportedArchitectures.joined(separator: ", "),
                name.isEmpty ? "nothing" : "\"\(name.prefix(80))\"")
        }
        try reader.readTokens(into: &self)
        try checkConsistency(file: set.path)
        notes += reader.notes
    }
}

/// Typed look-ups in metadata; keys without a dot before them belong to the architecture.
private struct MetadataFields {
    let set: GGUFSet
    let architecture: String

    func failure(_ key: String, _ expected: String, _ found: String) -> FormatError {
        FormatError(file: set.path, field: key, expected: expected, found: found)
    }

    func key(_ name: String) -> String { "\(architecture).\(name)" }

    func text(_ key: String) throws(FormatError) -> String? {
        guard let value = set[key] else { return nil }
        guard let text = value.text else { throw failure(key, "a string of UTF-8", describe(value)) }
        return text
    }

    func describe(_ value: GGUFValue?) -> String {
        guard let value else { return "nothing" }
        if let number = value.integer { return "\(number)" }
        if let number = value.number { return "\(number)" }
        if let flag = value.bool { return "\(flag)" }
        return "a value of type \(value.kind.name)"
    }

    func optionalInt(_ name: String, in range: ClosedRange<Int>) throws(FormatError) -> Int? {
        guard let value = set[key(name)] else { return nil }
        var number = value.integer
        // Some keys are one number or one a layer; a model whose layers differ is another graph.
        if number == nil, let array = value.array, array.count > 0, let numbers = array.integers,
            numbers.allSatisfy({ $0 == numbers[0] })
        {
            number = numbers[0]
        }
        guard let number, range.contains(number) else {
            throw failure(
                key(name), "a whole number from \(range.lowerBound) to \(range.upperBound)",
                value.array == nil ? describe(value) : "values that differ by layer")
        }
        return number
    }

    func int(_ name: String, in range: ClosedRange<Int>) throws(FormatError) -> Int {
        guard let number = try optionalInt(name, in: range) else {
            throw failure(key(name), "a whole number from \(range.lowerBound) to \(range.upperBound)", "nothing")
        }
        return number
    }

    func optionalDouble(_ name: String, in range: ClosedRange<Double>) throws(FormatError) -> Double? {
        guard let value = set[key(name)] else { return nil }
        guard let number = value.number, range.contains(number) else {
            throw failure(key(name), "a number from \(range.lowerBound) to \(range.upperBound)", describe(value))
        }
        return number
    }

    func optionalBool(_ name: String) throws(FormatError) -> Bool? {
        guard let value = set[key(name)] else { return nil }
        guard let flag = value.bool else { throw failure(key(name), "a bool", describe(value)) }
        return flag
    }
}

private struct MetadataReader {
    typealias Limit = Configuration.Limit

    let fields: MetadataFields
    let overrides: GGUFOverrides
    var notes: [String] = []

    init(fields: MetadataFields, overrides: GGUFOverrides) {
        self.fields = fields
        self.overrides = overrides
    }

    private var set: GGUFSet { fields.set }

    // MARK: Families

    mutating func deepseek() throws(FormatError) -> Configuration {
        var configuration = try common(.deepseek)
        configuration.predictionLayers = try predictionLayers(of: &configuration)
        let rotated = try fields.int("rope.dimension_count", in: Limit.headSize)
        // Files with *_mla keys give the latent's sizes in the plain ones (ggml-org/llama.cpp#12801).
        let latentNames = set[fields.key("attention.key_length_mla")] != nil
        let keySize = try fields.int(
            latentNames ? "attention.key_length_mla" : "attention.key_length", in: Limit.headSize)
        let valueSize = try fields.int(
            latentNames ? "attention.value_length_mla" : "attention.value_length", in: Limit.headSize)
        guard keySize > rotated else {
            throw fields.failure(
                fields.key(latentNames ? "attention.key_length_mla" : "attention.key_length"),
                "more than the \(rotated) rotary dimensions", "\(keySize)")
        }
        var queryRank = try fields.optionalInt("attention.q_lora_rank", in: 0...Limit.rank.upperBound)
        if queryRank == 0 { queryRank = nil }
        // The tensors decide: old converters wrote a rank for models that have none.
        if set.has("blk.0.attn_q.weight"), !set.has("blk.0.attn_q_a.weight") { queryRank = nil }
        configuration.attention = .latent(
            Configuration.LatentAttention(
                queryRank: queryRank, latentRank: try fields.int("attention.kv_lora_rank", in: Limit.rank),
                plainHeadSize: keySize - rotated, ropeHeadSize: rotated, valueHeadSize: valueSize))
        configuration.rope = try rope(layout: .interleaved, latent: true)
        configuration.experts = try deepseekExperts(layers: configuration.layers)
        configuration.attentionBias = false
        configuration.feedForwardBias = false
        noteBetas(configuration)
        return configuration
    }

    /// Prediction layers are the last blocks where a converter has kept them at all.
    private func predictionLayers(of configuration: inout Configuration) throws(FormatError) -> Int {
        let count = try fields.optionalInt("nextn_predict_layers", in: 0...64) ?? 0
        guard count > 0, count < configuration.layers,
            set.has("blk.\(configuration.layers - 1).nextn.eh_proj.weight")
        else { return 0 }
        configuration.layers -= count
        return count
    }

    private mutating func deepseekExperts(layers: Int) throws(FormatError) -> Configuration.Experts? {
        guard let count = try fields.optionalInt("expert_count", in: 0...Limit.experts.upperBound), count > 0 else {
            return nil
        }
        let dense = try fields.optionalInt("leading_dense_block_count", in: 0...Limit.layers.upperBound) ?? 0
        let corrected = (0..<layers).contains { set.has("blk.\($0).exp_probs_b.bias") }
        let scoring: Configuration.Experts.Scoring
        switch try fields.optionalInt("expert_gating_func", in: 0...Int.max) ?? 0 {
        case 1: scoring = .softmax
        case 2: scoring = .sigmoid
        case 0:
            scoring = corrected ? .sigmoid : .softmax
            if corrected {
                notes.append(
                    "The file does not say how experts are scored; sigmoid is assumed, since it has correction biases.")
            }
        default:
            throw fields.failure(
                fields.key("expert_gating_func"), "1 (softmax) or 2 (sigmoid)",
                fields.describe(set[fields.key("expert_gating_func")]))
        }
        var groups = try fields.optionalInt("expert_group_count", in: 0...Limit.experts.upperBound) ?? 0
        var chosen = try fields.optionalInt("expert_group_used_count", in: 0...Limit.experts.upperBound) ?? 0
        if groups == 0 {
            // Converters left these out at first. V3 and R1 have 256 experts, V2 has 160.
            switch (count, corrected) {
            case (256, true): (groups, chosen) = (8, 4)
            case (160, false): (groups, chosen) = (8, 3)
            default: (groups, chosen) = (1, 1)
            }
            if groups > 1 {
                notes.append(
                    "The file names no expert groups; \(groups) groups, \(chosen) of them a token, are assumed from its "
                        + "\(count) experts.")
            }
        }
        if chosen == 0 { chosen = groups }
        // Zero is what converters write for "none".
        var scale = try fields.optionalDouble("expert_weights_scale", in: 0...Limit.expertScale.upperBound) ?? 1
        if scale == 0 { scale = 1 }
        let selection: Configuration.Experts.Selection =
            corrected ? .biased : groups > 1 ? .groupLimited : .greedy
        return Configuration.Experts(
            count: count, perToken: try fields.int("expert_used_count", in: Limit.experts),
            shared: try fields.optionalInt("expert_shared_count", in: 0...256) ?? 0,
            width: try fields.int("expert_feed_forward_length", in: Limit.feedForward), scoring: scoring,
            selection: selection, groups: groups, groupsPerToken: chosen,
            normalized: try fields.optionalBool("expert_weights_norm") ?? false, scale: Float(scale),
            sparseLayers: Set((0..<layers).filter { $0 >= dense }))
    }

    mutating func llama() throws(FormatError) -> Configuration {
        var configuration = try common(.llama)
        if try fields.optionalInt("expert_count", in: 0...Int.max) ?? 0 > 0 {
            throw fields.failure(fields.key("expert_count"), "a dense model for llama", "experts")
        }
        configuration.attention = .grouped(try grouped(configuration, queryKeyNorm: false))
        // Converters move the rows of q and k so that pairs are adjacent.
        configuration.rope = try rope(layout: .interleaved, latent: false)
        return configuration
    }

    mutating func qwen3() throws(FormatError) -> Configuration {
        var configuration = try common(.qwen3)
        configuration.attention = .grouped(try grouped(configuration, queryKeyNorm: true))
        configuration.rope = try rope(layout: .half, latent: false)
        guard fields.architecture == "qwen3moe" else { return configuration }
        configuration.experts = Configuration.Experts(
            count: try fields.int("expert_count", in: Limit.experts),
            perToken: try fields.int("expert_used_count", in: Limit.experts), shared: 0,
            width: try fields.int("expert_feed_forward_length", in: Limit.feedForward), scoring: .softmax,
            selection: .greedy, groups: 1, groupsPerToken: 1,
            // All published Qwen3-MoE normalize, and llama.cpp does so unasked.
            normalized: try fields.optionalBool("expert_weights_norm") ?? true, scale: 1,
            sparseLayers: Set(0..<configuration.layers))
        return configuration
    }

    // MARK: Parts

    private func common(_ family: Configuration.Family) throws(FormatError) -> Configuration {
        let hidden = try fields.int("embedding_length", in: Limit.hiddenSize)
        let heads = try fields.int("attention.head_count", in: Limit.heads)
        let window = try fields.optionalInt("attention.sliding_window", in: 0...Int.max) ?? 0
        let context = try fields.int("context_length", in: Limit.context)
        guard window == 0 || window >= context else {
            throw fields.failure(
                fields.key("attention.sliding_window"), "none within the context of \(context)", "\(window)")
        }
        return Configuration(
            modelType: fields.architecture, family: family, hiddenSize: hidden,
            layers: try fields.int("block_count", in: Limit.layers), heads: heads,
            vocabularySize: try vocabularySize(hidden: hidden), contextLength: context,
            feedForwardSize: try fields.int("feed_forward_length", in: Limit.feedForward),
            normEpsilon: Float(
                try fields.optionalDouble("attention.layer_norm_rms_epsilon", in: Limit.epsilon) ?? 1e-6),
            tiedEmbeddings: !set.has("output.weight"),
            attention: .grouped(Configuration.GroupedAttention(keyValueHeads: 1, headSize: 2, queryKeyNorm: false)),
            rope: Configuration.Rope(theta: 10_000, layout: .half), experts: nil,
            attentionBias: set.has("blk.0.attn_q.bias"), feedForwardBias: set.has("blk.0.ffn_gate.bias"),
            predictionLayers: 0, endTokens: [], beginToken: nil, quantization: nil)
    }

    /// The rows of the embedding are the truth; the key is often missing.
    private func vocabularySize(hidden: Int) throws(FormatError) -> Int {
        if let (file, tensor) = set.tensor("token_embd.weight") {
            guard tensor.columns == hidden, Limit.vocabulary.contains(tensor.rows) else {
                throw FormatError(
                    file: file.file.path, field: tensor.name,
                    expected: "a tensor [\(hidden), 1 to \(Limit.vocabulary.upperBound)]",
                    found: "\(tensor.dimensions)")
            }
            return tensor.rows
        }
        if let size = try fields.optionalInt("vocab_size", in: Limit.vocabulary) { return size }
        guard let tokens = set["tokenizer.ggml.tokens"]?.array, Limit.vocabulary.contains(tokens.count) else {
            throw fields.failure("token_embd.weight", "the embedding, or \(fields.key("vocab_size"))", "neither")
        }
        return tokens.count
    }

    private func grouped(
        _ configuration: Configuration, queryKeyNorm: Bool
    ) throws(FormatError) -> Configuration.GroupedAttention {
        let heads = configuration.heads
        var size = try fields.optionalInt("attention.key_length", in: Limit.headSize)
        if size == nil {
            guard configuration.hiddenSize % heads == 0 else {
                throw fields.failure(
                    fields.key("attention.head_count"), "a divisor of the hidden size \(configuration.hiddenSize)",
                    "\(heads)")
            }
            size = configuration.hiddenSize / heads
        }
        let headSize = size ?? 1
        if let value = try fields.optionalInt("attention.value_length", in: Limit.headSize), value != headSize {
            throw fields.failure(fields.key("attention.value_length"), "the key's \(headSize)", "\(value)")
        }
        if let rotated = try fields.optionalInt("rope.dimension_count", in: Limit.headSize), rotated != headSize {
            throw fields.failure(
                fields.key("rope.dimension_count"), "\(headSize), since Walet rotates whole heads", "\(rotated)")
        }
        return Configuration.GroupedAttention(
            keyValueHeads: try fields.optionalInt("attention.head_count_kv", in: Limit.heads) ?? heads,
            headSize: headSize, queryKeyNorm: queryKeyNorm)
    }

    private func rope(
        layout: Configuration.Rope.Layout, latent: Bool
    ) throws(FormatError) -> Configuration.Rope {
        var rope = Configuration.Rope(
            theta: try fields.optionalDouble("rope.freq_base", in: Limit.theta) ?? 10_000, layout: layout)
        rope.frequencyDivisors = try frequencyDivisors()
        let kind = try fields.text(fields.key("rope.scaling.type"))
        let factor = try factor()
        switch kind ?? (factor == nil ? "none" : "linear") {
        case "none": break
        case "linear": if let factor, factor != 1 { rope.scaling = .linear(factor: factor) }
        case "yarn":
            guard let factor else {
                throw fields.failure(fields.key("rope.scaling.factor"), "a factor for yarn", "nothing")
            }
            try yarn(factor, latent: latent, into: &rope)
        default:
            throw fields.failure(
                fields.key("rope.scaling.type"), "one of none, linear, yarn", "\"\((kind ?? "").prefix(80))\"")
        }
        return rope
    }

    /// Zero means that there is none; the second key is that of the first files.
    private func factor() throws(FormatError) -> Double? {
        for name in ["rope.scaling.factor", "rope.scale_linear"] {
            guard let factor = try fields.optionalDouble(name, in: 0...Limit.factor.upperBound), factor != 0 else {
                continue
            }
            return max(factor, Limit.factor.lowerBound)
        }
        return nil
    }

    private func yarn(_ factor: Double, latent: Bool, into rope: inout Configuration.Rope) throws(FormatError) {
        guard rope.theta > 1 else {
            throw fields.failure(fields.key("rope.freq_base"), "more than 1 for yarn", "\(rope.theta)")
        }
        let context = 1.0...Double(Limit.context.upperBound)
        var original = try fields.optionalDouble("rope.scaling.original_context_length", in: context)
        if original == nil { original = Double(try fields.int("context_length", in: Limit.context)) }
        if let part = try fields.optionalDouble("rope.scaling.yarn_ext_factor", in: -1...1), part != 1, part != -1 {
            throw fields.failure(fields.key("rope.scaling.yarn_ext_factor"), "1", "\(part)")
        }
        rope.scaling = .yarn(
            factor: factor, betaFast: try beta("fast", overrides.yarnBetaFast, 32),
            betaSlow: try beta("slow", overrides.yarnBetaSlow, 1), originalContext: original ?? 1, truncate: true)
        var attention = try fields.optionalDouble("rope.scaling.attn_factor", in: 1e-6...1e6)
        if attention == nil { attention = try fields.optionalDouble("rope.scaling.yarn_attn_factor", in: 1e-6...1e6) }
        if latent {
            // What is stored is 0.1 * mscale_all_dim; cos and sin keep their size (ggml-org/llama.cpp#17945).
            let stored = try fields.optionalDouble("rope.scaling.yarn_log_multiplier", in: 0...1e3) ?? 0
            let magnitude = (attention ?? 1) * Configuration.Rope.magnitude(factor, 10 * stored)
            rope.logitScale = magnitude * magnitude
        } else {
            rope.amplitude = (attention ?? 1) * Configuration.Rope.magnitude(factor, 1)
        }
    }

    private func beta(_ name: String, _ override: Double?, _ fallback: Double) throws(FormatError) -> Double {
        if let override, override > 0, override < 1e6 { return override }
        guard let value = try fields.optionalDouble("rope.scaling.yarn_beta_\(name)", in: 0...1e6), value > 0 else {
            return fallback
        }
        return max(value, 1e-6)
    }

    private mutating func noteBetas(_ configuration: Configuration) {
        guard case .yarn = configuration.rope.scaling, configuration.experts?.count == 384,
            set[fields.key("rope.scaling.yarn_beta_fast")] == nil, overrides.yarnBetaFast == nil
        else { return }
        notes.append(
            "The file has no yarn betas; 32 and 1 are assumed. Kimi K2 Instruct was made with 1 and 1: give them "
                + "explicitly for long prompts.")
    }

    private func frequencyDivisors() throws(FormatError) -> [Float]? {
        guard let (file, tensor) = set.tensor("rope_freqs.weight") else { return nil }
        guard tensor.type.packing == .f32, tensor.rows == 1, tensor.columns <= Limit.headSize.upperBound else {
            throw FormatError(
                file: file.file.path, field: tensor.name, expected: "an F32 vector",
                found: "\(tensor.type.name) \(tensor.dimensions)")
        }
        let pointer = file.pointer(to: tensor)
        return (0..<tensor.columns).map {
            Float(bitPattern: UInt32(littleEndian: pointer.loadUnaligned(fromByteOffset: 4 * $0, as: UInt32.self)))
        }
    }

    // MARK: Tokens

    /// Texts of control tokens that end a turn whatever the file calls its end token; as in llama.cpp.
    private static let endTexts: [[UInt8]] = [
        "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<EOT>", "[EOS]",
        "<\u{FF5C}end\u{2581}of\u{2581}sentence\u{FF5C}>",
    ].map { Array($0.utf8) }

    func readTokens(into configuration: inout Configuration) throws(FormatError) {
        let size = configuration.vocabularySize
        var ends: [Int] = []
        for name in ["eos", "eot", "eom"] { ends += try token("tokenizer.ggml.\(name)_token_id") }
        if let tokens = set["tokenizer.ggml.tokens"]?.array,
            let types = set["tokenizer.ggml.token_type"]?.array?.integers, types.count == tokens.count
        {
            _ = tokens.forEachString { index, bytes in
                // 3 is a control token, 4 one that the user defined.
                guard types[index] == 3 || types[index] == 4, bytes.count <= 32 else { return }
                if Self.endTexts.contains(where: { $0.elementsEqual(bytes) }) { ends.append(index) }
            }
        }
        configuration.endTokens = Configuration.known(ends, in: size)
        configuration.beginToken = Configuration.known(try token("tokenizer.ggml.bos_token_id"), in: size).first
    }

    private func token(_ key: String) throws(FormatError) -> [Int] {
        guard let value = set[key] else { return [] }
        guard let id = value.integer else { throw fields.failure(key, "a token id", fields.describe(value)) }
        // -1 as a u32 or i32 is how some converters write "none".
        return id >= 0 ? [id] : []
    }
}
