// Which tensors a GGUF file of a model has, and what of the published safetensors each is made of.

/// Where the rows of a tensor come from in the published matrix.
enum RowOrder {
    case same
    /// In each head of `head` rows the first `plain` stay, and the two halves of the others become adjacent pairs, which is
    /// how llama.cpp's rotary embedding takes them.
    case pairs(head: Int, plain: Int)
    /// Of each head of `head` rows those after the first `plain`.
    case after(plain: Int, head: Int)

    func source(_ row: Int) -> Int {
        switch self {
        case .same: return row
        case .pairs(let head, let plain):
            let (index, inside) = row.quotientAndRemainder(dividingBy: head)
            guard inside >= plain else { return row }
            let (pair, half) = (inside - plain).quotientAndRemainder(dividingBy: 2)
            return index * head + plain + half * ((head - plain) / 2) + pair
        case .after(let plain, let head):
            let (index, inside) = row.quotientAndRemainder(dividingBy: head - plain)
            return index * head + plain + inside
        }
    }
}

/// A tensor of the file to be.
struct PlannedTensor {
    enum Content {
        /// Numbers that no tensor of the source has.
        case values([Float])
        /// A norm, a bias, or what else is small, as F32.
        case vector(String, RowOrder)
        /// Matrices `[rows, columns]` of modules, one below the other: one, or a layer's experts.
        case matrices([String], rows: Int, columns: Int)
        /// Rows of one matrix `[rows, columns]`, in an order of the tensor's own.
        case reordered(String, rows: Int, columns: Int, RowOrder)
        /// `kv_b_proj`'s key half, each head transposed: `[heads, latent, plain]` of `[heads * (plain + value), latent]`.
        case keyHalf(String, Configuration.LatentAttention)
    }

    var name: String
    /// Fastest dimension first.
    var dimensions: [Int]
    var content: Content
    /// Routers stay F32 whatever matrices become.
    var isRouter = false
}

/// The tensors of a configuration in the order of the file, which is that of the layers.
struct GGUFTensorList {
    private let configuration: Configuration
    private let file: String
    private(set) var tensors: [PlannedTensor] = []

    /// - Parameter file: named in errors.
    init(_ configuration: Configuration, hasOwnHead: Bool, file: String) throws(FormatError) {
        self.configuration = configuration
        self.file = file
        let hidden = configuration.hiddenSize
        try matrix("model.embed_tokens", configuration.vocabularySize, hidden)
        if let divisors = configuration.ggufFrequencyDivisors() {
            tensors.append(
                PlannedTensor(name: "rope_freqs.weight", dimensions: [divisors.count], content: .values(divisors)))
        }
        for layer in 0..<configuration.layers {
            let block = "model.layers.\(layer)."
            try vector(block + "input_layernorm.weight", hidden)
            switch configuration.attention {
            case .latent(let latent): try attend(block + "self_attn.", latent)
            case .grouped(let grouped): try attend(block + "self_attn.", grouped)
            }
            try vector(block + "post_attention_layernorm.weight", hidden)
            if configuration.isSparse(layer: layer), let experts = configuration.experts {
                try feed(block + "mlp.", experts)
            } else {
                try feed(block + "mlp.", configuration.feedForwardSize)
            }
        }
        try vector("model.norm.weight", hidden)
        if hasOwnHead { try matrix("lm_head", configuration.vocabularySize, hidden) }
    }

    // MARK: Parts of a layer

    private mutating func attend(
        _ start: String, _ latent: Configuration.LatentAttention
    ) throws(FormatError) {
        let (hidden, heads) = (configuration.hiddenSize, configuration.heads)
        let keySize = latent.plainHeadSize + latent.ropeHeadSize
        let compressed = latent.latentRank + latent.ropeHeadSize
        let queryModule = start + (latent.queryRank == nil ? "q_proj" : "q_b_proj")
        if let rank = latent.queryRank {
            try matrix(start + "q_a_proj", rank, hidden)
            try vector(start + "q_a_layernorm.weight", rank)
        }
        try rotated(queryModule, heads * keySize, latent.queryRank ?? hidden, head: keySize, latent.plainHeadSize)
        try rotated(start + "kv_a_proj_with_mqa", compressed, hidden, head: compressed, latent.latentRank)
        try vector(start + "kv_a_layernorm.weight", latent.latentRank)
        let both = start + "kv_b_proj"
        tensors.append(
            PlannedTensor(
                name: try place(start + "k_b_proj"), dimensions: [latent.plainHeadSize, latent.latentRank, heads],
                content: .keyHalf(both, latent)))
        let headRows = latent.plainHeadSize + latent.valueHeadSize
        tensors.append(
            PlannedTensor(
                name: try place(start + "v_b_proj"), dimensions: [latent.latentRank, latent.valueHeadSize, heads],
                content: .reordered(
                    both, rows: heads * headRows, columns: latent.latentRank,
                    .after(plain: latent.plainHeadSize, head: headRows))))
        try matrix(start + "o_proj", hidden, heads * latent.valueHeadSize)
    }

    private mutating func attend(
        _ start: String, _ grouped: Configuration.GroupedAttention
    ) throws(FormatError) {
        let hidden = configuration.hiddenSize
        let size = grouped.headSize
        let (queries, keys) = (configuration.heads * size, grouped.keyValueHeads * size)
        if grouped.queryKeyNorm {
            // llama.cpp's qwen3 rotates the two halves of a head, as the published weights lie.
            try matrix(start + "q_proj", queries, hidden)
            try matrix(start + "k_proj", keys, hidden)
            try vector(start + "q_norm.weight", size)
            try vector(start + "k_norm.weight", size)
        } else {
            try rotated(start + "q_proj", queries, hidden, head: size, 0)
            try rotated(start + "k_proj", keys, hidden, head: size, 0)
        }
        try matrix(start + "v_proj", keys, hidden)
        try matrix(start + "o_proj", hidden, queries)
        guard configuration.attentionBias else { return }
        let order = pairs(head: size, plain: 0)
        try vector(start + "q_proj.bias", queries, order)
        try vector(start + "k_proj.bias", keys, order)
        try vector(start + "v_proj.bias", keys)
        try vector(start + "o_proj.bias", hidden)
    }

    private mutating func feed(_ start: String, _ experts: Configuration.Experts) throws(FormatError) {
        let hidden = configuration.hiddenSize
        try matrix(start + "gate", experts.count, hidden)
        tensors[tensors.count - 1].isRouter = true
        if experts.selection == .biased { try vector(start + "gate.e_score_correction_bias", experts.count) }
        for (projection, rows, columns) in [
            ("gate_proj", experts.width, hidden), ("up_proj", experts.width, hidden),
            ("down_proj", hidden, experts.width),
        ] {
            let modules = (0..<experts.count).map { "\(start)experts.\($0).\(projection)" }
            tensors.append(
                PlannedTensor(
                    name: try place(modules[0]), dimensions: [columns, rows, experts.count],
                    content: .matrices(modules, rows: rows, columns: columns)))
        }
        if experts.shared > 0 { try feed(start + "shared_experts.", experts.width * experts.shared) }
    }

    private mutating func feed(_ start: String, _ width: Int) throws(FormatError) {
        let hidden = configuration.hiddenSize
        for (name, rows, columns) in [
            ("gate_proj", width, hidden), ("up_proj", width, hidden), ("down_proj", hidden, width),
        ] {
            try matrix(start + name, rows, columns)
            if configuration.feedForwardBias { try vector(start + name + ".bias", rows) }
        }
    }

    // MARK: Entries

    private mutating func matrix(_ module: String, _ rows: Int, _ columns: Int) throws(FormatError) {
        tensors.append(
            PlannedTensor(
                name: try place(module), dimensions: [columns, rows],
                content: .matrices([module], rows: rows, columns: columns)))
    }

    /// A matrix whose outputs are heads of `head` rows, of which those after the first `plain` are rotated.
    private mutating func rotated(
        _ module: String, _ rows: Int, _ columns: Int, head: Int, _ plain: Int
    ) throws(FormatError) {
        let order = pairs(head: head, plain: plain)
        guard case .pairs = order else { return try matrix(module, rows, columns) }
        tensors.append(
            PlannedTensor(
                name: try place(module), dimensions: [columns, rows],
                content: .reordered(module, rows: rows, columns: columns, order)))
    }

    private func pairs(head: Int, plain: Int) -> RowOrder {
        configuration.rope.layout == .half ? .pairs(head: head, plain: plain) : .same
    }

    private mutating func vector(
        _ name: String, _ count: Int, _ order: RowOrder = .same
    ) throws(FormatError) {
        guard let tensor = GGUFNames.vector(name) else { throw unnamed(name) }
        tensors.append(PlannedTensor(name: tensor, dimensions: [count], content: .vector(name, order)))
    }

    private func place(_ module: String) throws(FormatError) -> String {
        guard let place = GGUFNames.places(of: module).first else { throw unnamed(module) }
        return place.tensor
    }

    private func unnamed(_ name: String) -> FormatError {
        FormatError(file: file, field: name, expected: "a name that GGUF has", found: "none for this")
    }
}
