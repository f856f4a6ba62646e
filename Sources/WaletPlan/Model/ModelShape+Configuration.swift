// The matrices that a configuration describes, where there are no files to look at.

import WaletFormats

extension ModelShape {
    /// The shape of a model by its configuration alone: plain matrices count as BF16, packed ones as
    /// `quantization_config` says, with their scales. Prediction layers are left out, as nothing says how they are packed.
    public init(name: String, configuration: Configuration) {
        var notes = ["sizes are computed from the configuration: plain weights as BF16"]
        if configuration.predictionLayers > 0 {
            notes.append("\(configuration.predictionLayers) prediction layer(s) are stored besides, and not counted")
        }
        self.init(name: name, configuration, isEstimated: true, notes: notes)
        var builder = Builder(configuration)
        builder.build(into: &self)
    }
}

private struct Builder {
    let configuration: Configuration
    let filter: ModuleFilter

    init(_ configuration: Configuration) {
        self.configuration = configuration
        if case .packed(_, _, let ignore) = configuration.quantization {
            filter = ModuleFilter(ignore)
        } else {
            filter = ModuleFilter([])
        }
    }

    mutating func build(into shape: inout ModelShape) {
        let (hidden, vocabulary) = (configuration.hiddenSize, configuration.vocabularySize)
        let layers = configuration.layers
        let sparse = shape.sparseLayers
        // A layer of each kind stands for all: patterns of `ignore` name kinds of modules, not single layers.
        let denseLayer = (0..<layers).first { !configuration.isSparse(layer: $0) } ?? 0
        let sparseLayer = (0..<layers).first { configuration.isSparse(layer: $0) } ?? 0

        add(.embedding, "model.embed_tokens", vocabulary, hidden, stored: 1, read: 0, &shape)
        add(
            .head, configuration.tiedEmbeddings ? "model.embed_tokens" : "lm_head", vocabulary, hidden,
            stored: configuration.tiedEmbeddings ? 0 : 1, read: 1, &shape)
        vector(.norms, hidden, count: layers.multipliedSaturated(by: 2).addingSaturated(1), &shape)

        for (count, layer) in [(layers - sparse, denseLayer), (sparse, sparseLayer)] where count > 0 {
            attention("model.layers.\(layer).self_attn.", count, &shape)
        }
        if layers > sparse {
            feedForward(
                .dense, "model.layers.\(denseLayer).mlp.", configuration.feedForwardSize, stored: layers - sparse,
                read: layers - sparse, &shape)
        }
        guard sparse > 0, let experts = configuration.experts else { return }
        let prefix = "model.layers.\(sparseLayer).mlp."
        add(.router, prefix + "gate", experts.count, hidden, stored: sparse, read: sparse, &shape)
        if experts.selection == .biased { vector(.router, experts.count, count: sparse, &shape) }
        if experts.shared > 0 {
            feedForward(
                .shared, prefix + "shared_experts.", experts.width.multipliedSaturated(by: experts.shared),
                stored: sparse, read: sparse, &shape)
        }
        feedForward(
            .routed, prefix + "experts.0.", experts.width, stored: sparse.multipliedSaturated(by: experts.count),
            read: sparse.multipliedSaturated(by: experts.perToken), &shape)
    }

    private func attention(_ prefix: String, _ count: Int, _ shape: inout ModelShape) {
        let (hidden, heads) = (configuration.hiddenSize, configuration.heads)
        func add(_ module: String, _ rows: Int, _ columns: Int) {
            self.add(.attention, prefix + module, rows, columns, stored: count, read: count, &shape)
        }
        switch configuration.attention {
        case .latent(let latent):
            let query = heads * (latent.plainHeadSize + latent.ropeHeadSize)
            if let rank = latent.queryRank {
                add("q_a_proj", rank, hidden)
                add("q_b_proj", query, rank)
                vector(.norms, rank, count: count, &shape)
            } else {
                add("q_proj", query, hidden)
            }
            add("kv_a_proj_with_mqa", latent.latentRank + latent.ropeHeadSize, hidden)
            add("kv_b_proj", heads * (latent.plainHeadSize + latent.valueHeadSize), latent.latentRank)
            add("o_proj", hidden, heads * latent.valueHeadSize)
            vector(.norms, latent.latentRank, count: count, &shape)
        case .grouped(let grouped):
            add("q_proj", heads * grouped.headSize, hidden)
            add("k_proj", grouped.keyValueHeads * grouped.headSize, hidden)
            add("v_proj", grouped.keyValueHeads * grouped.headSize, hidden)
            add("o_proj", hidden, heads * grouped.headSize)
        }
    }

    private func feedForward(
        _ part: ModelShape.Part, _ prefix: String, _ width: Int, stored: Int, read: Int, _ shape: inout ModelShape
    ) {
        let hidden = configuration.hiddenSize
        for module in ["gate_proj", "up_proj"] {
            add(part, prefix + module, width, hidden, stored: stored, read: read, &shape)
        }
        add(part, prefix + "down_proj", hidden, width, stored: stored, read: read, &shape)
    }

    private func add(
        _ part: ModelShape.Part, _ module: String, _ rows: Int, _ columns: Int, stored: Int, read: Int,
        _ shape: inout ModelShape
    ) {
        let values = rows.multipliedSaturated(by: columns)
        var packing = "BF16"
        var bytes = values.multipliedSaturated(by: 2)
        switch configuration.quantization {
        case .packed(let bits, let group, _) where isLinear(module) && filter.verdict(module) != .ignored:
            packing = "INT\(bits)"
            let words = (columns * bits + 31) / 32
            let scales = group.map { (columns + $0 - 1) / $0 } ?? 1
            // 16 bytes of `weight_shape` besides.
            bytes = rows.multipliedSaturated(by: words * 4 + scales * 2).addingSaturated(16)
        case .fp8(let blockRows, let blockColumns) where isLinear(module) && module != "lm_head":
            packing = "FP8"
            let scales = ((rows + blockRows - 1) / blockRows)
                .multipliedSaturated(by: (columns + blockColumns - 1) / blockColumns)
            bytes = values.addingSaturated(scales.multipliedSaturated(by: 4))
        default: break
        }
        shape.add(part, packing, rows, columns, bytes: bytes, stored: stored, read: read)
    }

    private func vector(_ part: ModelShape.Part, _ width: Int, count: Int, _ shape: inout ModelShape) {
        let wide = part == .router
        shape.add(
            part, wide ? "F32" : "BF16", 1, width, bytes: width.multipliedSaturated(by: wide ? 4 : 2), stored: count,
            read: 0)
    }

    /// What `targets: ["Linear"]` means: routers, embeddings and norms are no such layers.
    private func isLinear(_ module: String) -> Bool {
        module == "lm_head" || module.hasSuffix("_proj") || module.hasSuffix("_with_mqa")
    }
}
