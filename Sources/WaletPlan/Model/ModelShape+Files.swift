// The matrices of a model's files, told apart by their names.

import WaletFormats

extension ModelShape {
    /// The shape of a model by its files, or by its configuration where there are no weights.
    /// - Throws: ``FormatError`` where the files are no model.
    public init(_ folder: ModelFolder) throws(FormatError) {
        let configuration = folder.configuration
        guard folder.source != nil else {
            self.init(name: folder.name, configuration: configuration)
            notes = folder.notes + notes
            return
        }
        self.init(name: folder.name, configuration, isEstimated: false, notes: folder.notes)
        let isGGUF = folder.format == .gguf
        var embedding: ModelFolder.TensorEntry?
        var hasHead = false
        for tensor in try folder.tensors() {
            let name = tensor.name.dropPrefix("language_model.")
            var part = isGGUF ? Self.part(gguf: name, layers: layers) : Self.part(name, layers: layers)
            if part != .unused, tensor.isRouted { part = .routed }
            if part == .embedding { embedding = tensor }
            if part == .head { hasHead = true }
            add(tensor, to: part)
        }
        if !hasHead, let embedding {
            // The head is the embedding matrix: stored once, read whole.
            let (rows, columns) = Self.matrix(embedding.shape)
            add(.head, embedding.packing, rows, columns, bytes: embedding.bytes, stored: 0, read: 1)
        }
    }

    private mutating func add(_ tensor: ModelFolder.TensorEntry, to part: Part) {
        var (rows, columns) = Self.matrix(tensor.shape)
        // Experts that lie in one tensor are matrices of their own.
        let pieces = part == .routed && tensor.shape.count == 3 ? max(1, tensor.shape[0]) : 1
        if pieces > 1 { rows = max(1, rows / pieces) }
        let isVector = tensor.shape.count < 2
        if isVector { (rows, columns) = (1, max(1, tensor.values)) }
        let part = isVector && part != .router && part != .unused ? .norms : part
        let read: Int
        switch part {
        case .embedding, .unused, .norms: read = 0
        case .router: read = isVector ? 0 : 1
        case .attention, .dense, .shared, .head: read = 1
        case .routed: read = 0
        }
        add(part, tensor.packing, rows, columns, bytes: tensor.bytes / pieces, stored: pieces, read: read)
        guard part == .routed, experts > 0,
            let place = groups.firstIndex(where: {
                $0.part == .routed && $0.rows == rows && $0.columns == columns && $0.packing == tensor.packing
                    && $0.bytes == tensor.bytes / pieces
            })
        else { return }
        // Of all that are stored, the chosen share is read.
        groups[place].read = Int(Double(groups[place].stored) * Double(expertsPerToken) / Double(experts))
    }

    /// Rows and columns of a tensor, whose first dimensions are the slowest.
    private static func matrix(_ shape: [Int]) -> (rows: Int, columns: Int) {
        let columns = max(1, shape.last ?? 1)
        return (max(1, shape.dropLast().reduce(1) { $0.multipliedSaturated(by: $1) }), columns)
    }

    /// By the names of published safetensors.
    static func part(_ name: Substring, layers: Int) -> Part {
        if name.hasPrefix("model.embed_tokens.") { return .embedding }
        if name.hasPrefix("lm_head.") { return .head }
        if name.hasPrefix("model.norm.") { return .norms }
        guard let rest = name.afterPrefix("model.layers."), let dot = rest.firstIndex(of: "."),
            let layer = Int(rest[..<dot])
        else { return .unused }
        if layer >= layers { return .unused }
        let module = rest[rest.index(after: dot)...]
        if module.hasPrefix("self_attn.") { return .attention }
        if module.hasPrefix("mlp.experts.") { return .routed }
        if module.hasPrefix("mlp.shared_expert") { return .shared }
        if module.hasPrefix("mlp.gate.") { return .router }
        return module.hasPrefix("mlp.") ? .dense : .norms
    }

    /// By the names of GGUF.
    static func part(gguf name: Substring, layers: Int) -> Part {
        if name.hasPrefix("token_embd.") { return .embedding }
        if name.hasPrefix("output.") { return .head }
        if name.hasPrefix("output_norm.") || name.hasPrefix("rope_") { return .norms }
        guard let rest = name.afterPrefix("blk."), let dot = rest.firstIndex(of: "."), let layer = Int(rest[..<dot])
        else { return .unused }
        let module = rest[rest.index(after: dot)...]
        if layer >= layers || module.hasPrefix("nextn.") { return .unused }
        if module.hasPrefix("ffn_gate_inp") || module.hasPrefix("exp_probs_b") { return .router }
        if module.contains("_shexp.") { return .shared }
        if module.contains("_exps.") { return .routed }
        if module.contains("norm") { return .norms }
        return module.hasPrefix("attn_") ? .attention : module.hasPrefix("ffn_") ? .dense : .norms
    }
}

extension StringProtocol {
    fileprivate func afterPrefix(_ prefix: String) -> SubSequence? {
        hasPrefix(prefix) ? dropFirst(prefix.count) : nil
    }

    fileprivate func dropPrefix(_ prefix: String) -> SubSequence { afterPrefix(prefix) ?? self[...] }
}
