// GGUF with each expert's matrices side by side.

/// Lays GGUF files out anew: in each file the experts, each in tensors of its own, then the rest as it was.
///
/// A stack of all experts of a layer cannot have an expert's three matrices side by side, so it becomes one tensor an expert,
/// `blk.N.ffn_up.E.weight`, as files had before there were stacks. The format has one alignment for all tensors and no gaps
/// beyond it: it is that of the experts.
struct GGUFPacking {
    private struct Part {
        var name: String
        var file: Int
        var type: GGUFType
        var dimensions: [Int]
        var offset: Int
        var count: Int
        /// Of the parts of an expert: gate, up, down.
        var order = 0
    }

    private let set: GGUFSet
    private let expertCount: Int

    /// - Parameter expertCount: of a layer; stacks of another number stay as they are.
    init(_ set: GGUFSet, expertCount: Int) {
        self.set = set
        self.expertCount = expertCount
    }

    func build() throws(FormatError) -> (
        files: [PackedLayout.File], experts: [PackedLayout.ExpertName: Int]
    ) {
        var experts: [PackedLayout.ExpertName: [Part]] = [:]
        var others = [[Part]](repeating: [], count: set.parts.count)
        for (number, file) in set.parts.enumerated() {
            for tensor in file.tensors {
                let parts = self.experts(in: tensor, number)
                for (name, part) in parts { experts[name, default: []].append(part) }
                guard parts.isEmpty else { continue }
                others[number].append(
                    Part(
                        name: tensor.name, file: number, type: tensor.type, dimensions: tensor.dimensions,
                        offset: tensor.range.lowerBound, count: tensor.range.count))
            }
        }
        guard !experts.isEmpty else {
            throw FormatError(
                file: set.path, expected: "tensors of routed experts, such as blk.1.ffn_up_exps.weight",
                found: "none of such a name")
        }
        let alignment = max(PackedLayout.alignment, set.parts.map(\.alignment).max() ?? 0)
        var members = [[Part]](repeating: [], count: set.parts.count)
        var sizes: [PackedLayout.ExpertName: Int] = [:]
        for name in experts.keys.sorted() {
            guard let parts = experts[name]?.sorted(by: { $0.order < $1.order }), let last = parts.last,
                let home = parts.map(\.file).min()
            else { continue }
            members[home] += parts
            sizes[name] = parts.dropLast().reduce(last.count) { $0 + Self.padded($1.count, alignment) }
        }
        let tensors = zip(members, others).map { $0 + $1 }
        try check(tensors)
        let total = tensors.reduce(0) { $0 + $1.count }
        let files = set.parts.indices.map { layOut(set.parts[$0], tensors[$0], alignment: alignment, total: total) }
        return (files, sizes)
    }

    /// The experts of a tensor: all of a layer, or the one whose tensor it is; none of any other.
    private func experts(in tensor: GGUFFile.Tensor, _ file: Int) -> [(PackedLayout.ExpertName, Part)] {
        let words = tensor.name.split(separator: ".", omittingEmptySubsequences: false)
        guard words.count >= 4, words[0] == "blk", words.last == "weight", let layer = Self.number(words[1]) else {
            return []
        }
        let names = ["ffn_gate", "ffn_up", "ffn_down"]
        if words.count == 5, let order = names.firstIndex(of: String(words[2])), let expert = Self.number(words[3]) {
            let part = Part(
                name: tensor.name, file: file, type: tensor.type, dimensions: tensor.dimensions,
                offset: tensor.range.lowerBound, count: tensor.range.count, order: order)
            return [(PackedLayout.ExpertName(layer: layer, expert: expert), part)]
        }
        let matrices: Range<Int>
        switch words[2] {
        case "ffn_gate_exps": matrices = 0..<1
        case "ffn_up_exps": matrices = 1..<2
        case "ffn_down_exps": matrices = 2..<3
        case "ffn_gate_up_exps": matrices = 0..<2
        default: return []
        }
        let rows = tensor.dimension(1)
        guard words.count == 4, tensor.dimensions.count == 3, tensor.dimension(2) == expertCount,
            rows % matrices.count == 0
        else { return [] }
        // Whole rows, each of whole blocks: the tensor's size is a multiple of what it is divided by.
        let count = tensor.range.count / expertCount / matrices.count
        return (0..<expertCount).flatMap { expert in
            matrices.enumerated().map { place, order in
                let part = Part(
                    name: "blk.\(layer).\(names[order]).\(expert).weight", file: file, type: tensor.type,
                    dimensions: [tensor.columns, rows / matrices.count],
                    offset: tensor.range.lowerBound + (expert * matrices.count + place) * count, count: count,
                    order: order)
                return (PackedLayout.ExpertName(layer: layer, expert: expert), part)
            }
        }
    }

    private static func number(_ digits: Substring) -> Int? {
        guard (1...6).contains(digits.utf8.count), digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
            return nil
        }
        return Int(digits)
    }

    /// A file may have a layer's experts stacked and single too; their names would be the same.
    private func check(_ tensors: [[Part]]) throws(FormatError) {
        var seen: Set<String> = []
        for part in tensors.joined() where !seen.insert(part.name).inserted {
            throw FormatError(
                file: set.parts[part.file].file.path, field: part.name, expected: "each expert once",
                found: "it in a stack and in a tensor of its own, or in two stacks")
        }
    }

    private static func padded(_ count: Int, _ alignment: Int) -> Int {
        (count + alignment - 1) / alignment * alignment
    }

    private func layOut(_ source: GGUFFile, _ tensors: [Part], alignment: Int, total: Int) -> PackedLayout.File {
        var header: [UInt8] = []
        func append(_ number: some FixedWidthInteger) {
            withUnsafeBytes(of: number.littleEndian) { header.append(contentsOf: $0) }
        }
        func append(text: String) {
            append(UInt64(text.utf8.count))
            header += Array(text.utf8)
        }
        /// A key with an u32 or, as the tool that splits files writes it, an i32.
        func append(key: String, _ kind: GGUFKind, _ value: UInt32) {
            append(text: key)
            append(kind.rawValue)
            append(value)
        }
        let (alignmentKey, totalKey) = ("general.alignment", "split.tensors.count")
        append(UInt32(0x4655_4747))
        append(UInt32(source.version))
        append(UInt64(tensors.count))
        append(UInt64(source.keys.count + (source[alignmentKey] == nil ? 1 : 0)))
        for (key, range) in zip(source.keys, source.keyRanges) {
            switch key {
            case alignmentKey: break
            case totalKey: append(key: key, .int32, UInt32(clamping: total))
            default: header += source.file.bytes[range]
            }
        }
        append(key: alignmentKey, .uint32, UInt32(clamping: alignment))
        var offset = 0
        var pieces: [PackedLayout.Piece] = []
        for part in tensors {
            append(text: part.name)
            append(UInt32(part.dimensions.count))
            for dimension in part.dimensions { append(UInt64(dimension)) }
            append(part.type.id)
            append(UInt64(offset))
            pieces.append(
                PackedLayout.Piece(
                    name: part.name, element: part.type.name, shape: part.dimensions, source: part.file,
                    sourceOffset: part.offset, range: offset..<offset + part.count))
            offset += Self.padded(part.count, alignment)
        }
        header += [UInt8](repeating: 0, count: Self.padded(header.count, alignment) - header.count)
        for index in pieces.indices {
            let range = pieces[index].range
            pieces[index].range = range.lowerBound + header.count..<range.upperBound + header.count
        }
        let name = lastPart(source.file.path)
        return PackedLayout.File(
            // A hub's cache names files by their hash.
            name: name.hasSuffix(".gguf") ? name : name + ".gguf", format: .gguf, header: header, pieces: pieces,
            size: header.count + offset)
    }
}
