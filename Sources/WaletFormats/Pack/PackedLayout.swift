// What a model's files become where each routed expert is to be one stretch of a file: which bytes go where. Nothing is
// written here.

/// The files of a packed model.
///
/// A file holds its header, pieces of the source's files, and zeros between them. Experts come first, as the sizes of most
/// are multiples of ``alignment`` and nothing has to be filled up between them then.
public struct PackedLayout: Sendable {
    /// Experts begin at multiples of it, as direct reads do.
    public static let alignment = 4096

    /// Bytes of a source file, and where they go.
    public struct Piece: Sendable, Equatable {
        /// The tensor's name in the packed file; empty in a file that is copied.
        public var name: String
        /// `BF16`, `Q4_0`, …, as the format calls it.
        public var element: String
        /// As the format has it.
        public var shape: [Int]
        /// Position in ``PackedLayout/sources``.
        public var source: Int
        public var sourceOffset: Int
        /// In the packed file.
        public var range: Range<Int>
    }

    public enum Format: String, Sendable {
        case safetensors, gguf
        /// Copied, or made as a whole, and no file of weights.
        case plain
    }

    public struct File: Sendable {
        public var name: String
        public var format: Format
        public var header: [UInt8]
        /// By their place in the file, apart from each other.
        public var pieces: [Piece]
        /// Tensors of zeros between the pieces, for a format that has no gaps.
        public var fillers = 0
        public var size: Int

        /// The piece that holds a byte, or begins after it.
        public func piece(at offset: Int) -> Int {
            var low = 0
            var high = pieces.count
            while low < high {
                let middle = (low + high) / 2
                if pieces[middle].range.upperBound <= offset { low = middle + 1 } else { high = middle }
            }
            return low
        }
    }

    public struct ExpertName: Sendable, Hashable, Comparable {
        public var layer: Int
        public var expert: Int

        public init(layer: Int, expert: Int) {
            self.layer = layer
            self.expert = expert
        }

        public static func < (left: Self, right: Self) -> Bool {
            (left.layer, left.expert) < (right.layer, right.expert)
        }
    }

    /// The files that the bytes come from.
    public let sources: [MappedFile]
    /// In the order in which they are to be written: only with the last is the folder a model.
    public let files: [File]
    /// Bytes of each routed expert, from the first of its tensors to the end of the last.
    public let experts: [ExpertName: Int]

    public var byteCount: Int { files.reduce(0) { $0 + $1.size } }
    /// Tensors of the weights, without those that fill up.
    public var tensorCount: Int { files.reduce(0) { $0 + ($1.format == .plain ? 0 : $1.pieces.count) } }
}

extension ModelFolder {
    /// What the model's files become where each routed expert is one stretch of a file that begins at a multiple of
    /// ``PackedLayout/alignment``.
    /// - Throws: ``FormatError`` for a model without routed experts, and for safetensors that hold all experts of a layer in
    ///   one tensor, as an expert's parts cannot lie side by side there.
    public func packedLayout() throws(FormatError) -> PackedLayout {
        _ = try weights()
        guard let experts = configuration.experts else {
            throw FormatError(file: path, expected: "a model with routed experts", found: "a dense one, which has none")
        }
        switch contents {
        case .none: throw FormatError(file: path, expected: "weights", found: "a configuration alone")
        case .gguf(let set):
            let builder = GGUFPacking(set, expertCount: experts.count)
            return try finish(builder.build(), index: nil, sources: set.parts.map(\.file))
        case .safetensors(let set):
            var builder = SafetensorsPacking(set)
            let packed = try builder.build()
            return try finish(packed, index: builder.index(try readIndex()), sources: set.files.map(\.file))
        }
    }

    /// The weights' files, with the others that belong to the model.
    private func finish(
        _ packed: (files: [PackedLayout.File], experts: [PackedLayout.ExpertName: Int]), index: PackedLayout.File?,
        sources: [MappedFile]
    ) throws(FormatError) -> PackedLayout {
        var sources = sources
        var copies: [PackedLayout.File] = []
        var configuration: [PackedLayout.File] = []
        let made = Set(packed.files.map(\.name))
        for file in try files() where !made.contains(file.name) && Self.isCopied(file.name) {
            let source = try MappedFile(folder?.path(file.name) ?? file.name, at: try location(of: file))
            let piece = PackedLayout.Piece(
                name: "", element: "", shape: [], source: sources.count, sourceOffset: 0, range: 0..<source.size)
            sources.append(source)
            let copy = PackedLayout.File(
                name: file.name, format: .plain, header: [], pieces: [piece], size: source.size)
            if file.name == "config.json" { configuration.append(copy) } else { copies.append(copy) }
        }
        return PackedLayout(
            sources: sources, files: packed.files + copies + (index.map { [$0] } ?? []) + configuration,
            experts: packed.experts)
    }

    /// Weights of other models, and what speaks of the bytes of these files, stay behind.
    private static func isCopied(_ name: String) -> Bool {
        if name.hasSuffix(".gguf") { return name.hasPrefix("mmproj") }
        let left = ["model.safetensors.index.json", ".walet-manifest.json", "model.sig", "pack.json"]
        return !left.contains(name) && !name.hasSuffix(".safetensors") && !name.hasSuffix(".partial")
    }

    /// The index that the weights were found by; nil where there is but one file.
    private func readIndex() throws(FormatError) -> (path: String, bytes: [UInt8])? {
        let name = "model.safetensors.index.json"
        guard let folder, folder.has(name), !folder.has("model.safetensors") else { return nil }
        return (folder.path(name), try folder.read(name, limit: SafetensorsIndex.maximumSize))
    }
}
