// What `show` and `plan` print: tensors, packings, and how many bytes must stay in memory.

import WaletTensor

extension ModelFolder {
    /// A tensor as a user thinks of it: packed values with their scales count as one.
    public struct TensorEntry: Sendable, Equatable {
        public var name: String
        /// `BF16`, `INT4`, `Q4_K`, … also where Walet cannot compute with it.
        public var packing: String
        /// Slowest dimension first.
        public var shape: [Int]
        /// In the files, scales included.
        public var bytes: Int
        /// Belongs to a routed expert, and may be read from disk when it is chosen.
        public var isRouted: Bool
        public var values: Int { product(shape) ?? .max }
    }

    public struct PackingEntry: Sendable, Equatable {
        public var packing: String
        public var tensors: Int
        public var values: Int
        public var bytes: Int
    }

    /// Bytes of the weights in the files.
    public struct WeightBytes: Sendable, Equatable {
        public var total: Int
        /// Of them, those of routed experts; the rest is needed for every token.
        public var routed: Int
        public var resident: Int { total - routed }
    }

    /// All tensors, in the order of the files.
    public func tensors() throws(FormatError) -> [TensorEntry] {
        switch contents {
        case .none: return []
        case .gguf(let set):
            return set.parts.flatMap { part in
                part.tensors.map { tensor in
                    TensorEntry(
                        name: tensor.name, packing: tensor.type.name, shape: tensor.dimensions.reversed(),
                        bytes: tensor.range.count, isRouted: Self.isRouted(gguf: tensor.name))
                }
            }
        case .safetensors(let set): return try Self.tensors(of: set)
        }
    }

    private static func tensors(of set: SafetensorsSet) throws(FormatError) -> [TensorEntry] {
        var entries: [TensorEntry] = []
        entries.reserveCapacity(set.count)
        for file in set.files {
            for tensor in file.tensors {
                var entry = TensorEntry(
                    name: tensor.name, packing: tensor.element.rawValue, shape: tensor.shape,
                    bytes: tensor.range.count, isRouted: tensor.name.contains(".mlp.experts."))
                let name = tensor.name
                if let module = name.without(".weight_packed") {
                    // The values' number of bits is the bytes of a row over its length.
                    if let shape = Self.logicalShape(of: module, in: set), let values = product(shape), values > 0 {
                        entry.shape = shape
                        entry.packing = tensor.range.count >= values ? "INT8" : "INT4"
                    }
                    entry.bytes += Self.bytes(module + ".weight_scale", set) + Self.bytes(module + ".weight_shape", set)
                    entry.name = module + ".weight"
                } else if let module = name.without(".weight_scale") ?? name.without(".weight_shape"),
                    set.contains(module + ".weight_packed")
                {
                    continue
                } else if tensor.element == .f8e4m3, name.hasSuffix(".weight") {
                    entry.packing = "FP8"
                    entry.bytes += Self.bytes(name + "_scale_inv", set)
                } else if let weight = name.without("_scale_inv"), set.contains(weight) {
                    continue
                }
                entries.append(entry)
            }
        }
        return entries
    }

    private static func bytes(_ name: String, _ set: SafetensorsSet) -> Int { set[name]?.tensor.range.count ?? 0 }

    private static func logicalShape(of module: String, in set: SafetensorsSet) -> [Int]? {
        guard let shape = try? SafetensorsSource.logicalShape(module, in: set),
            shape.allSatisfy({ $0 >= 0 })
        else { return nil }
        return shape
    }

    private static func isRouted(gguf name: String) -> Bool {
        guard name.hasPrefix("blk.") else { return false }
        return name.contains("_exps.")
            || ["ffn_gate.", "ffn_up.", "ffn_down."].contains { part in
                // The oldest files have one tensor an expert: `blk.3.ffn_up.17.weight`.
                guard let range = name.firstRange(of: part) else { return false }
                return name[range.upperBound...].first?.isNumber == true
            }
    }

    /// What the weights are packed as, the most bytes first.
    public func packings() throws(FormatError) -> [PackingEntry] {
        var entries: [String: PackingEntry] = [:]
        for tensor in try tensors() {
            var entry =
                entries[tensor.packing] ?? PackingEntry(packing: tensor.packing, tensors: 0, values: 0, bytes: 0)
            entry.tensors += 1
            entry.values += tensor.values
            entry.bytes += tensor.bytes
            entries[tensor.packing] = entry
        }
        return entries.values.sorted { ($0.bytes, $1.packing) > ($1.bytes, $0.packing) }
    }

    public func weightBytes() throws(FormatError) -> WeightBytes {
        var bytes = WeightBytes(total: 0, routed: 0)
        for tensor in try tensors() {
            bytes.total += tensor.bytes
            if tensor.isRouted { bytes.routed += tensor.bytes }
        }
        return bytes
    }
}

extension String {
    /// The part before a suffix, where the string ends in it.
    fileprivate func without(_ suffix: String) -> String? { hasSuffix(suffix) ? String(dropLast(suffix.count)) : nil }
}
