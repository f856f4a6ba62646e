import WaletFormats
import WaletTensor

/// Looks up every weight that a configuration asks for, as a model does, and dequantizes a row of each matrix.
struct ModelWalk {
    let configuration: Configuration
    let weights: any WeightSource
    private(set) var matrices = 0
    private(set) var vectors = 0
    private var row: FloatBuffer

    init(_ configuration: Configuration, _ weights: any WeightSource) {
        self.configuration = configuration
        self.weights = weights
        row = FloatBuffer(count: 0)
    }

    mutating func matrix(_ module: String, _ rows: Int, _ columns: Int) throws(FormatError) {
        let matrix = try weights.matrix(module, rows: rows, columns: columns)
        if columns > row.count { row = FloatBuffer(count: columns) }
        for index in Set([0, rows / 2, rows - 1]) { matrix.dequantize(row: index, into: row.pointer) }
        matrices += 1
    }

    mutating func vector(_ name: String, _ count: Int) throws(FormatError) {
        _ = try weights.vector(name, count: count)
        vectors += 1
    }

    mutating func run() throws(FormatError) {
        let h = configuration.hiddenSize
        try matrix("model.embed_tokens", configuration.vocabularySize, h)
        try matrix("lm_head", configuration.vocabularySize, h)
        try vector("model.norm.weight", h)
        for layer in 0..<configuration.layers {
            let block = "model.layers.\(layer)."
            try vector(block + "input_layernorm.weight", h)
            try vector(block + "post_attention_layernorm.weight", h)
            switch configuration.attention {
            case .latent(let latent): try attend(block + "self_attn.", latent)
            case .grouped(let grouped): try attend(block + "self_attn.", grouped)
            }
            if configuration.isSparse(layer: layer), let experts = configuration.experts {
                try matrix(block + "mlp.gate", experts.count, h)
                if experts.selection == .biased {
                    try vector(block + "mlp.gate.e_score_correction_bias", experts.count)
                }
                for expert in 0..<experts.count { try feed(block + "mlp.experts.\(expert).", experts.width) }
                if experts.shared > 0 { try feed(block + "mlp.shared_experts.", experts.width * experts.shared) }
            } else {
                try feed(block + "mlp.", configuration.feedForwardSize)
            }
        }
        try weights.checkIntact()
    }

    private mutating func attend(
        _ start: String, _ latent: Configuration.LatentAttention
    ) throws(FormatError) {
        let h = configuration.hiddenSize
        let heads = configuration.heads
        let head = latent.plainHeadSize + latent.ropeHeadSize
        if let rank = latent.queryRank {
            try matrix(start + "q_a_proj", rank, h)
            try vector(start + "q_a_layernorm.weight", rank)
            try matrix(start + "q_b_proj", heads * head, rank)
        } else {
            try matrix(start + "q_proj", heads * head, h)
        }
        try matrix(start + "kv_a_proj_with_mqa", latent.latentRank + latent.ropeHeadSize, h)
        try vector(start + "kv_a_layernorm.weight", latent.latentRank)
        if weights.hasMatrix(start + "k_b_proj") {
            try matrix(start + "k_b_proj", heads * latent.latentRank, latent.plainHeadSize)
            try matrix(start + "v_b_proj", heads * latent.valueHeadSize, latent.latentRank)
        } else {
            try matrix(
                start + "kv_b_proj", heads * (latent.plainHeadSize + latent.valueHeadSize), latent.latentRank)
        }
        try matrix(start + "o_proj", h, heads * latent.valueHeadSize)
    }

    private mutating func attend(
        _ start: String, _ grouped: Configuration.GroupedAttention
    ) throws(FormatError) {
        let h = configuration.hiddenSize
        let query = configuration.heads * grouped.headSize
        let key = grouped.keyValueHeads * grouped.headSize
        try matrix(start + "q_proj", query, h)
        try matrix(start + "k_proj", key, h)
        try matrix(start + "v_proj", key, h)
        try matrix(start + "o_proj", h, query)
        if configuration.attentionBias { try vector(start + "q_proj.bias", query) }
        if grouped.queryKeyNorm {
            try vector(start + "q_norm.weight", grouped.headSize)
            try vector(start + "k_norm.weight", grouped.headSize)
        }
    }

    private mutating func feed(_ start: String, _ width: Int) throws(FormatError) {
        try matrix(start + "gate_proj", width, configuration.hiddenSize)
        try matrix(start + "up_proj", width, configuration.hiddenSize)
        try matrix(start + "down_proj", configuration.hiddenSize, width)
    }
}
