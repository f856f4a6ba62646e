// Weights of a GGUF model under the names of the published safetensors.

import WaletTensor

/// Looks modules up in GGUF files. Stacked experts are sliced; a head that is missing is the embedding matrix.
///
/// The two halves of `kv_b_proj`, where the file has them apart, are the modules `self_attn.k_b_proj`
/// `[heads * latentRank, plainHeadSize]` (each head transposed, as the file has it) and `self_attn.v_b_proj`
/// `[heads * valueHeadSize, latentRank]`.
public final class GGUFSource: WeightSource {
    public let set: GGUFSet

    public init(_ set: GGUFSet) { self.set = set }

    public var mappedFiles: [MappedFile] { self.set.parts.map(\.file) }

    public func checkIntact() throws(FormatError) {
        for part in set.parts { try part.file.checkIntact() }
    }

    public func hasMatrix(_ module: String) -> Bool {
        !GGUFNames.places(of: module).allSatisfy { !set.has($0.tensor) }
    }

    public func hasVector(_ name: String) -> Bool {
        GGUFNames.vector(name).map(set.has) ?? false
    }

    public func matrix(_ module: String, rows: Int, columns: Int) throws(FormatError) -> WeightMatrix {
        let places = GGUFNames.places(of: module)
        for place in places {
            if let (file, tensor) = set.tensor(place.tensor) {
                return try view(file, tensor, place, rows, columns)
            }
        }
        throw FormatError(
            file: set.path, field: places.first?.tensor ?? module, expected: "a tensor \([columns, rows])",
            found: places.isEmpty ? "no GGUF name for \(module)" : "none of this name")
    }

    private func view(
        _ file: GGUFFile, _ tensor: GGUFFile.Tensor, _ place: GGUFNames.Place, _ rows: Int, _ columns: Int
    ) throws(FormatError) -> WeightMatrix {
        let (tall, overflow) = rows.multipliedReportingOverflow(by: place.parts)
        let fits =
            if place.expert != nil {
                tensor.dimension(1) == tall && tensor.dimension(2) > place.expert ?? 0 && tensor.dimension(3) == 1
            } else {
                tensor.rows == tall
            }
        guard !overflow, fits, tensor.columns == columns else {
            let shape = place.expert.map { "[\(columns), \(tall), more than \($0)]" } ?? "\([columns, tall])"
            throw FormatError(
                file: file.file.path, field: tensor.name, expected: "a tensor \(shape)", found: "\(tensor.dimensions)")
        }
        let packing = try packing(of: tensor, in: file)
        guard let rowBytes = packing.rowBytes(columns: columns) else {
            throw FormatError(
                file: file.file.path, field: tensor.name,
                expected: "rows of a multiple of \(packing.blockValues) values", found: "\(columns)")
        }
        let row = (place.expert ?? 0) * tall + place.part * rows
        return WeightMatrix(
            packing: packing, rows: rows, columns: columns, data: file.pointer(to: tensor) + row * rowBytes,
            owner: file.file)
    }

    public func vector(_ name: String, count: Int) throws(FormatError) -> FloatBuffer {
        guard let tensorName = GGUFNames.vector(name), let (file, tensor) = set.tensor(tensorName) else {
            throw FormatError(
                file: set.path, field: GGUFNames.vector(name) ?? name, expected: "a tensor \([count])",
                found: "none of this name")
        }
        guard tensor.columns == count, tensor.rows == 1 else {
            throw FormatError(
                file: file.file.path, field: tensor.name, expected: "a tensor \([count])",
                found: "\(tensor.dimensions)")
        }
        let packing = try packing(of: tensor, in: file)
        let output = FloatBuffer(count: count)
        WeightMatrix(packing: packing, rows: 1, columns: count, data: file.pointer(to: tensor), owner: file.file)
            .dequantize(row: 0, into: output.pointer)
        return output
    }

    private func packing(of tensor: GGUFFile.Tensor, in file: GGUFFile) throws(FormatError) -> Packing {
        guard let packing = tensor.type.packing else {
            throw FormatError(
                file: file.file.path, field: tensor.name, expected: "one of \(GGUFType.supported)",
                found: tensor.type.name)
        }
        return packing
    }
}

/// Names of the published safetensors to those of GGUF (gguf-py's `tensor_mapping.py`).
enum GGUFNames {
    struct Place {
        var tensor: String
        /// Index in a stack of experts.
        var expert: Int?
        /// Which of `parts` matrices that lie one below the other.
        var part = 0
        var parts = 1
    }

    /// Where a module's matrix may lie, in order of preference.
    static func places(of module: String) -> [Place] {
        switch module {
        case "model.embed_tokens": return [Place(tensor: "token_embd.weight")]
        case "lm_head": return [Place(tensor: "output.weight"), Place(tensor: "token_embd.weight")]
        default: break
        }
        switch ModulePath(module) {
        case .expert(let layer, let expert, let projection):
            let block = "blk.\(layer)."
            guard let name = feedForward["mlp." + projection] else { return [] }
            // The newest files may have gate and up in one tensor, the oldest one tensor an expert.
            let stacked = Place(tensor: "\(block)\(name)_exps.weight", expert: expert)
            let single = Place(tensor: "\(block)\(name).\(expert).weight")
            guard projection != "down_proj" else { return [stacked, single] }
            let fused = Place(
                tensor: "\(block)ffn_gate_up_exps.weight", expert: expert, part: projection == "gate_proj" ? 0 : 1,
                parts: 2)
            return [stacked, fused, single]
        case .layer(let layer, let rest):
            guard let name = name(ofRest: String(rest)) else { return [] }
            return [Place(tensor: "blk.\(layer).\(name).weight")]
        case nil: return []
        }
    }

    static func vector(_ name: String) -> String? {
        if name == "model.norm.weight" { return "output_norm.weight" }
        guard case .layer(let layer, let rest) = ModulePath(name) else { return nil }
        if rest == "mlp.gate.e_score_correction_bias" { return "blk.\(layer).exp_probs_b.bias" }
        for suffix in [".weight", ".bias"] where rest.hasSuffix(suffix) {
            guard let tensor = self.name(ofRest: String(rest.dropLast(suffix.count))) else { return nil }
            return "blk.\(layer).\(tensor)\(suffix)"
        }
        return nil
    }

    private static func name(ofRest rest: String) -> String? { modules[rest] ?? feedForward[rest] }

    private static let feedForward = [
        "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    ]

    private static let modules = [
        "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
        "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
        "self_attn.q_a_proj": "attn_q_a", "self_attn.q_a_layernorm": "attn_q_a_norm",
        "self_attn.q_b_proj": "attn_q_b", "self_attn.kv_a_proj_with_mqa": "attn_kv_a_mqa",
        "self_attn.kv_a_layernorm": "attn_kv_a_norm", "self_attn.kv_b_proj": "attn_kv_b",
        "self_attn.k_b_proj": "attn_k_b", "self_attn.v_b_proj": "attn_v_b",
        "mlp.gate": "ffn_gate_inp", "mlp.shared_experts.gate_proj": "ffn_gate_shexp",
        "mlp.shared_experts.up_proj": "ffn_up_shexp", "mlp.shared_experts.down_proj": "ffn_down_shexp",
        "embed_tokens": "nextn.embed_tokens", "enorm": "nextn.enorm", "hnorm": "nextn.hnorm",
        "eh_proj": "nextn.eh_proj", "shared_head.norm": "nextn.shared_head_norm",
        "shared_head.head": "nextn.shared_head_head",
    ]
}
