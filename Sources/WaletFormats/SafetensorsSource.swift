// Weights of a folder of safetensors: plain, packed by compressed-tensors, or FP8 with scales.

import WaletTensor

/// Looks modules up in safetensors and checks that what is there is what was asked for.
public final class SafetensorsSource: WeightSource {
    public let set: SafetensorsSet
    private let quantization: Configuration.Quantization?
    private let filter: ModuleFilter
    private let tiedEmbeddings: Bool
    /// What comes before the names of the language part in multimodal checkpoints.
    private let prefix: String

    public init(_ set: SafetensorsSet, configuration: Configuration) {
        self.set = set
        quantization = configuration.quantization
        tiedEmbeddings = configuration.tiedEmbeddings
        if case .packed(_, _, let ignore) = configuration.quantization {
            filter = ModuleFilter(ignore)
        } else {
            filter = ModuleFilter([])
        }
        prefix = set.contains("language_model.model.embed_tokens.weight") ? "language_model." : ""
    }

    public var mappedFiles: [MappedFile] { self.set.files.map(\.file) }

    public func checkIntact() throws(FormatError) {
        for file in set.files { try file.file.checkIntact() }
    }

    public func hasMatrix(_ module: String) -> Bool {
        let name = prefix + resolved(module)
        if set.contains(name + ".weight") || set.contains(name + ".weight_packed") { return true }
        guard let fused = FusedExpert(module) else { return false }
        return set.contains(prefix + fused.name)
    }

    public func hasVector(_ name: String) -> Bool { set.contains(prefix + name) }

    public func matrix(_ module: String, rows: Int, columns: Int) throws(FormatError) -> WeightMatrix {
        let plain = resolved(module)
        let name = prefix + plain
        if let packed = set[name + ".weight_packed"] {
            return try packedMatrix(name, plain, packed, rows, columns)
        }
        if let weight = set[name + ".weight"] {
            return try plainMatrix(name, plain, weight, rows, columns)
        }
        if let fused = FusedExpert(module), let stacked = set[prefix + fused.name] {
            return try slice(stacked, fused, rows, columns)
        }
        throw FormatError(
            file: set.files[0].file.path, field: name + ".weight", expected: "a tensor \([rows, columns])",
            found: "none of this name")
    }

    public func vector(_ name: String, count: Int) throws(FormatError) -> FloatBuffer {
        let name = prefix + name
        guard let (file, tensor) = set[name] else {
            throw FormatError(
                file: set.files[0].file.path, field: name, expected: "a tensor \([count])", found: "none of this name")
        }
        guard tensor.shape == [count] else { throw Self.mismatch(file, tensor, [count]) }
        guard let packing = Self.packing(of: tensor.element) else {
            throw Self.wrongElement(file, tensor, "F32, F16 or BF16")
        }
        let output = FloatBuffer(count: count)
        if count > 0 {
            WeightMatrix(packing: packing, rows: 1, columns: count, data: file.pointer(to: tensor), owner: file.file)
                .dequantize(row: 0, into: output.pointer)
        }
        return output
    }

    /// The head of a model with tied embeddings is the embedding matrix, unless the file has a head of its own.
    private func resolved(_ module: String) -> String {
        guard tiedEmbeddings, module == "lm_head", !set.contains(prefix + "lm_head.weight"),
            !set.contains(prefix + "lm_head.weight_packed")
        else { return module }
        return "model.embed_tokens"
    }

    private func plainMatrix(
        _ name: String, _ module: String, _ weight: (file: SafetensorsFile, tensor: SafetensorsFile.Tensor),
        _ rows: Int, _ columns: Int
    ) throws(FormatError) -> WeightMatrix {
        let (file, tensor) = weight
        guard tensor.shape == [rows, columns] else { throw Self.mismatch(file, tensor, [rows, columns]) }
        if tensor.element == .f8e4m3 { return try fp8Matrix(name, file, tensor, rows, columns) }
        guard let packing = Self.packing(of: tensor.element) else {
            throw Self.wrongElement(file, tensor, "F32, F16, BF16, or F8_E4M3 with weight_scale_inv")
        }
        if case .packed(let bits, _, _) = quantization, Self.isLinear(module), verdict(name, module) == .quantized {
            throw FormatError(
                file: file.file.path, field: tensor.name,
                expected: "\(bits)-bit values, since quantization_config does not ignore this module",
                found: "plain \(tensor.element.rawValue)")
        }
        return WeightMatrix(
            packing: packing, rows: rows, columns: columns, data: file.pointer(to: tensor), owner: file.file)
    }

    private func fp8Matrix(
        _ name: String, _ file: SafetensorsFile, _ tensor: SafetensorsFile.Tensor, _ rows: Int, _ columns: Int
    ) throws(FormatError) -> WeightMatrix {
        guard case .fp8(let blockRows, let blockColumns) = quantization else {
            throw FormatError(
                file: file.file.path, field: tensor.name,
                expected: "a quantization_config with quant_method fp8, since this tensor is F8_E4M3", found: "none")
        }
        let scaleName = name + ".weight_scale_inv"
        guard let (scaleFile, scale) = set[scaleName] else {
            throw FormatError(
                file: file.file.path, field: scaleName, expected: "the scales of an F8_E4M3 tensor",
                found: "none of this name")
        }
        let shape = [Self.blocks(rows, blockRows), Self.blocks(columns, blockColumns)]
        guard scale.shape == shape else { throw Self.mismatch(scaleFile, scale, shape) }
        guard let packing = Self.packing(of: scale.element) else {
            throw Self.wrongElement(scaleFile, scale, "F32, F16 or BF16")
        }
        return WeightMatrix(
            packing: .fp8, rows: rows, columns: columns, data: file.pointer(to: tensor),
            scales: scaleFile.pointer(to: scale), scalePacking: packing, groupRows: blockRows,
            groupColumns: blockColumns, owner: Owners.of(file, scaleFile))
    }

    private func packedMatrix(
        _ name: String, _ module: String, _ packed: (file: SafetensorsFile, tensor: SafetensorsFile.Tensor),
        _ rows: Int, _ columns: Int
    ) throws(FormatError) -> WeightMatrix {
        let (file, tensor) = packed
        func failure(_ suffix: String, _ expected: String, _ found: String) -> FormatError {
            FormatError(file: file.file.path, field: name + suffix, expected: expected, found: found)
        }
        guard case .packed(let bits, let groupSize, _) = quantization else {
            throw failure(
                ".weight_packed", "a quantization_config with format pack-quantized, since this tensor is packed",
                "none")
        }
        if verdict(name, module) == .ignored {
            throw failure(
                ".weight_packed", "plain values, since quantization_config ignores this module", "packed ones")
        }
        for (suffix, reason) in [(".weight_zero_point", "symmetric"), (".weight_g_idx", "not reordered")]
        where set.contains(name + suffix) {
            throw failure(suffix, "no such tensor, since only weights that are \(reason) are supported", "one")
        }
        if set.contains(name + ".weight") {
            throw failure(".weight", "either this or weight_packed", "both")
        }
        let packing: Packing = bits == 4 ? .int4 : .int8
        guard tensor.element == .i32 else { throw Self.wrongElement(file, tensor, "I32") }
        let words = Self.blocks(columns, 32 / bits)
        guard tensor.shape == [rows, words] else { throw Self.mismatch(file, tensor, [rows, words]) }
        guard let (scaleFile, scale) = set[name + ".weight_scale"] else {
            throw failure(".weight_scale", "the scales of this module", "none of this name")
        }
        let group = groupSize ?? columns
        let shape = [rows, Self.blocks(columns, group)]
        guard scale.shape == shape || (groupSize == nil && scale.shape == [rows]) else {
            throw Self.mismatch(scaleFile, scale, shape)
        }
        guard let scalePacking = Self.packing(of: scale.element) else {
            throw Self.wrongElement(scaleFile, scale, "F32, F16 or BF16")
        }
        let logical = try Self.logicalShape(name, in: set)
        guard logical == [rows, columns] else {
            throw failure(".weight_shape", "\([rows, columns])", "\(logical)")
        }
        return WeightMatrix(
            packing: packing, rows: rows, columns: columns, data: file.pointer(to: tensor),
            scales: scaleFile.pointer(to: scale), scalePacking: scalePacking, groupRows: 1, groupColumns: group,
            owner: Owners.of(file, scaleFile))
    }

    /// The values of `weight_shape`.
    static func logicalShape(_ name: String, in set: SafetensorsSet) throws(FormatError) -> [Int] {
        guard let (file, tensor) = set[name + ".weight_shape"] else {
            throw FormatError(
                file: set.files[0].file.path, field: name + ".weight_shape", expected: "the shape of a packed module",
                found: "none of this name")
        }
        guard tensor.shape == [2] else { throw mismatch(file, tensor, [2]) }
        let bytes = try file.file.copy(at: tensor.range.lowerBound, count: tensor.range.count, field: tensor.name)
        switch tensor.element {
        case .i64:
            return bytes.withUnsafeBytes { bytes in
                (0..<2).map { Int(Int64(littleEndian: bytes.loadUnaligned(fromByteOffset: 8 * $0, as: Int64.self))) }
            }
        case .i32:
            return bytes.withUnsafeBytes { bytes in
                (0..<2).map { Int(Int32(littleEndian: bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Int32.self))) }
            }
        default: throw wrongElement(file, tensor, "I64 or I32")
        }
    }

    /// An expert of a tensor that holds all of a layer.
    private func slice(
        _ stacked: (file: SafetensorsFile, tensor: SafetensorsFile.Tensor), _ fused: FusedExpert, _ rows: Int,
        _ columns: Int
    ) throws(FormatError) -> WeightMatrix {
        let (file, tensor) = stacked
        let (tall, overflow) = rows.multipliedReportingOverflow(by: fused.parts)
        guard !overflow, tensor.shape.count == 3, tensor.shape[0] > fused.expert, tensor.shape[1] == tall,
            tensor.shape[2] == columns
        else {
            throw FormatError(
                file: file.file.path, field: tensor.name,
                expected: "a tensor [more than \(fused.expert), \(tall), \(columns)]", found: "\(tensor.shape)")
        }
        guard let packing = Self.packing(of: tensor.element), let rowBytes = packing.rowBytes(columns: columns) else {
            throw Self.wrongElement(file, tensor, "F32, F16 or BF16")
        }
        let row = fused.expert * tall + fused.part * rows
        return WeightMatrix(
            packing: packing, rows: rows, columns: columns, data: file.pointer(to: tensor) + row * rowBytes,
            owner: file.file)
    }

    private func verdict(_ name: String, _ module: String) -> ModuleFilter.Verdict {
        let verdict = filter.verdict(name)
        // Exact entries may name the module as the language model alone knows it.
        return verdict == .ignored || name == module ? verdict : filter.verdict(module)
    }

    /// Whether the module is a `Linear` layer, the target of quantization; routers, embeddings and norms are not.
    private static func isLinear(_ module: String) -> Bool {
        module == "lm_head" || module.hasSuffix("_proj") || module.hasSuffix(".kv_a_proj_with_mqa")
    }

    static func packing(of element: SafetensorsFile.Element) -> Packing? {
        switch element {
        case .f32: .f32
        case .f16: .f16
        case .bf16: .bf16
        default: nil
        }
    }

    private static func blocks(_ count: Int, _ size: Int) -> Int {
        size <= 0 ? 0 : count / size + (count % size == 0 ? 0 : 1)
    }

    private static func mismatch(
        _ file: SafetensorsFile, _ tensor: SafetensorsFile.Tensor, _ shape: [Int]
    ) -> FormatError {
        FormatError(
            file: file.file.path, field: tensor.name, expected: "a tensor \(shape)", found: "\(tensor.shape)")
    }

    private static func wrongElement(
        _ file: SafetensorsFile, _ tensor: SafetensorsFile.Tensor, _ expected: String
    ) -> FormatError {
        FormatError(file: file.file.path, field: tensor.name, expected: expected, found: tensor.element.rawValue)
    }
}

/// Keeps two mapped files alive for a matrix whose scales lie in another shard.
final class Owners: Sendable {
    let first: MappedFile
    let second: MappedFile

    private init(_ first: MappedFile, _ second: MappedFile) {
        self.first = first
        self.second = second
    }

    static func of(_ first: SafetensorsFile, _ second: SafetensorsFile) -> AnyObject {
        first === second ? first.file : Owners(first.file, second.file)
    }
}

/// The place of `….mlp.experts.7.up_proj` in the tensors that transformers 5 keeps for all experts of a layer:
/// `experts.gate_up_proj` `[experts, 2 * width, hidden]`, gate first, and `experts.down_proj` `[experts, hidden, width]`.
struct FusedExpert {
    var name: String
    var expert: Int
    /// Which of `parts` stacked matrices it is.
    var part: Int
    var parts: Int

    init?(_ module: String) {
        guard let path = ModulePath(module), case .expert(let layer, let expert, let projection) = path else {
            return nil
        }
        let start = "model.layers.\(layer).mlp.experts."
        self.expert = expert
        switch projection {
        case "gate_proj": (name, part, parts) = (start + "gate_up_proj", 0, 2)
        case "up_proj": (name, part, parts) = (start + "gate_up_proj", 1, 2)
        case "down_proj": (name, part, parts) = (start + "down_proj", 0, 1)
        default: return nil
        }
    }
}

/// A module's name taken apart.
enum ModulePath {
    /// `model.layers.<layer>.mlp.experts.<expert>.<projection>`
    case expert(layer: Int, expert: Int, projection: Substring)
    /// `model.layers.<layer>.<rest>`
    case layer(Int, Substring)

    init?(_ name: String) {
        let start = "model.layers."
        guard name.hasPrefix(start) else { return nil }
        let tail = name.dropFirst(start.count)
        guard let dot = tail.firstIndex(of: "."), let layer = Self.number(tail[..<dot]) else { return nil }
        let rest = tail[tail.index(after: dot)...]
        let experts = "mlp.experts."
        if rest.hasPrefix(experts) {
            let tail = rest.dropFirst(experts.count)
            if let dot = tail.firstIndex(of: "."), let expert = Self.number(tail[..<dot]) {
                self = .expert(layer: layer, expert: expert, projection: tail[tail.index(after: dot)...])
                return
            }
        }
        self = .layer(layer, rest)
    }

    private static func number(_ digits: Substring) -> Int? {
        guard digits.utf8.count <= 6, !digits.isEmpty, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
            return nil
        }
        return Int(digits)
    }
}
