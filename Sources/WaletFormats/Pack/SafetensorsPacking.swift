// Safetensors with each expert's tensors side by side.

import WaletJSON

/// Lays safetensors out anew: in each file the experts, then the rest as it was.
///
/// The format allows no gap between tensors; where one is needed, a tensor of zeros `walet.padding.N` fills it.
struct SafetensorsPacking {
    private struct Part {
        var file: Int
        var tensor: SafetensorsFile.Tensor
    }

    private static let fillerPrefix = "walet.padding."

    private let set: SafetensorsSet
    private var nextFiller = 0
    /// The file of each tensor, and the fillers, when all is laid out.
    private var fileOfTensor: [String: String] = [:]
    private var fillers: [(name: String, file: String, bytes: Int)] = []

    init(_ set: SafetensorsSet) { self.set = set }

    mutating func build() throws(FormatError) -> (
        files: [PackedLayout.File], experts: [PackedLayout.ExpertName: Int]
    ) {
        var experts: [PackedLayout.ExpertName: [Part]] = [:]
        var shapes = [[Part]](repeating: [], count: set.files.count)
        var others = shapes
        var stacked: (file: SafetensorsFile, tensor: SafetensorsFile.Tensor)?
        for (number, file) in set.files.enumerated() {
            for tensor in file.tensors where !Self.isFiller(tensor) {
                let part = Part(file: number, tensor: tensor)
                switch Self.place(of: tensor.name) {
                case .expert(let name): experts[name, default: []].append(part)
                case .shape: shapes[number].append(part)
                case .stacked:
                    stacked = stacked ?? (file, tensor)
                    others[number].append(part)
                case .other: others[number].append(part)
                }
            }
        }
        guard !experts.isEmpty else {
            guard let stacked else {
                throw FormatError(
                    file: set.files[0].file.path, expected: "tensors of routed experts, …mlp.experts.N.…",
                    found: "none of such a name")
            }
            throw FormatError(
                file: stacked.file.file.path, field: stacked.tensor.name, expected: "tensors of single experts",
                found: "one for all experts of a layer; gate and up lie side by side in it, and down cannot lie beside "
                    + "them")
        }
        var members = [[(name: PackedLayout.ExpertName, parts: [Part])]](repeating: [], count: set.files.count)
        for name in experts.keys.sorted() {
            guard let parts = experts[name], let home = parts.map(\.file).min() else { continue }
            members[home].append((name, Self.ordered(parts)))
        }
        var files: [PackedLayout.File] = []
        var sizes: [PackedLayout.ExpertName: Int] = [:]
        for number in set.files.indices {
            if let file = layOut(number, members[number], shapes[number] + others[number], &sizes) {
                files.append(file)
            }
        }
        return (files, sizes)
    }

    private enum Place {
        case expert(PackedLayout.ExpertName)
        /// `weight_shape`, which is read when the model is opened and never with the expert.
        case shape
        case stacked
        case other
    }

    private static func place(of name: String) -> Place {
        let prefix = "language_model."
        switch ModulePath(name.hasPrefix(prefix) ? String(name.dropFirst(prefix.count)) : name) {
        case .expert(let layer, let expert, let rest):
            return rest.hasSuffix(".weight_shape")
                ? .shape : .expert(PackedLayout.ExpertName(layer: layer, expert: expert))
        case .layer(_, "mlp.experts.gate_up_proj"), .layer(_, "mlp.experts.down_proj"): return .stacked
        default: return .other
        }
    }

    /// Whether a tensor is one of those that fill up, of a folder that was packed before.
    private static func isFiller(_ tensor: SafetensorsFile.Tensor) -> Bool {
        tensor.element == .u8 && tensor.shape.count == 1 && tensor.name.hasPrefix(fillerPrefix)
            && tensor.name.utf8.dropFirst(fillerPrefix.utf8.count).allSatisfy { (0x30...0x39).contains($0) }
    }

    /// What the numbers of a tensor must be aligned to.
    private static func alignment(of element: SafetensorsFile.Element) -> Int { max(1, element.bits / 8) }

    /// The parts of an expert with the widest numbers first, so that all are aligned where the first is.
    private static func ordered(_ parts: [Part]) -> [Part] {
        let order = parts.indices.sorted { left, right in
            let (a, b) = (alignment(of: parts[left].tensor.element), alignment(of: parts[right].tensor.element))
            return a != b ? a > b : left < right
        }
        return order.map { parts[$0] }
    }

    /// A file; nil where all its tensors have gone to others.
    private mutating func layOut(
        _ number: Int, _ experts: [(name: PackedLayout.ExpertName, parts: [Part])], _ rest: [Part],
        _ sizes: inout [PackedLayout.ExpertName: Int]
    ) -> PackedLayout.File? {
        guard !experts.isEmpty || !rest.isEmpty else { return nil }
        let source = set.files[number]
        let name = lastPart(source.file.path)
        var entries: [SafetensorsWriter.Entry] = []
        var pieces: [PackedLayout.Piece] = []
        var fillers = 0
        // From where the data begins.
        var offset = 0
        func append(_ part: Part) {
            entries.append(
                SafetensorsWriter.Entry(
                    name: part.tensor.name, element: part.tensor.element, shape: part.tensor.shape))
            pieces.append(
                PackedLayout.Piece(
                    name: part.tensor.name, element: part.tensor.element.rawValue, shape: part.tensor.shape,
                    source: part.file, sourceOffset: part.tensor.range.lowerBound,
                    range: offset..<offset + part.tensor.range.count))
            offset += part.tensor.range.count
        }
        for (expert, parts) in experts {
            if let filler = filler(from: offset, to: PackedLayout.alignment, in: name) {
                entries.append(filler)
                offset += filler.bytes
                fillers += 1
            }
            let start = offset
            for part in parts {
                append(part)
                fileOfTensor[part.tensor.name] = name
            }
            sizes[expert] = offset - start
        }
        for part in rest {
            if let filler = filler(from: offset, to: Self.alignment(of: part.tensor.element), in: name) {
                entries.append(filler)
                offset += filler.bytes
                fillers += 1
            }
            append(part)
            fileOfTensor[part.tensor.name] = name
        }
        let header = SafetensorsWriter.header(entries, metadata: source.metadata, alignment: PackedLayout.alignment)
        for index in pieces.indices {
            let range = pieces[index].range
            pieces[index].range = range.lowerBound + header.count..<range.upperBound + header.count
        }
        return PackedLayout.File(
            name: name, format: .safetensors, header: header, pieces: pieces, fillers: fillers,
            size: header.count + offset)
    }

    /// What fills up from an offset to a multiple; nil where nothing has to.
    private mutating func filler(from offset: Int, to alignment: Int, in file: String) -> SafetensorsWriter.Entry? {
        let count = (alignment - offset % alignment) % alignment
        guard count > 0 else { return nil }
        func isTaken(_ name: String) -> Bool { set[name].map { !Self.isFiller($0.tensor) } ?? false }
        while isTaken(Self.fillerPrefix + String(nextFiller)) { nextFiller += 1 }
        let name = Self.fillerPrefix + String(nextFiller)
        nextFiller += 1
        fillers.append((name, file, count))
        return SafetensorsWriter.Entry(name: name, element: .u8, shape: [count])
    }

    /// The index of the new files: the names in the order that they had, then the fillers.
    func index(_ old: (path: String, bytes: [UInt8])?) throws(FormatError) -> PackedLayout.File? {
        guard let old else { return nil }
        let json: JSONValue
        do throws(JSONError) { json = try JSONValue(parsing: old.bytes) } catch {
            throw FormatError(file: old.path, expected: "a JSON object with a weight_map", found: "\(error)")
        }
        guard var members = json.objectValue, let names = members["weight_map"]?.objectValue?.keys else {
            throw FormatError(file: old.path, field: "weight_map", expected: "an object", found: "another value")
        }
        var map = JSONObject()
        // Fillers of a folder that was packed before have no file any more.
        for name in names { if let file = fileOfTensor[name] { map[name] = .string(file) } }
        for filler in fillers { map[filler.name] = .string(filler.file) }
        members["weight_map"] = .object(map)
        if var metadata = members["metadata"]?.objectValue, metadata["total_size"] != nil {
            var total = fillers.reduce(0) { $0 + $1.bytes }
            for name in names where fileOfTensor[name] != nil { total += set[name]?.tensor.range.count ?? 0 }
            metadata["total_size"] = .int(total)
            members["metadata"] = .object(metadata)
        }
        let bytes = Array(JSONValue.object(members).text(.init(indent: 2)).utf8) + [0x0A]
        return PackedLayout.File(
            name: lastPart(old.path), format: .plain, header: bytes, pieces: [], size: bytes.count)
    }
}

/// The name of a file without its folder.
func lastPart(_ path: String) -> String { path.split(separator: "/").last.map(String.init) ?? path }
