import WaletFormats
import WaletTensor

/// Where the matrices of one module lie in the files, and where they come to lie in memory when they are read: an
/// expert's parts that lie side by side become one read.
struct BlockPlan: Sendable {
    /// A stretch of a file in whole blocks.
    struct Stretch: Sendable, Equatable {
        var file: Int
        /// In the file; a multiple of the block.
        var offset: Int
        /// A multiple of the block; may reach beyond the end of the file.
        var count: Int
        /// Bytes from `offset` on that must come.
        var needed: Int
        /// Where it begins in memory; a multiple of the block.
        var place: Int
    }

    /// Values or scales of a matrix.
    struct Part: Sendable {
        var name: String
        var file: Int
        var offset: Int
        var count: Int
        /// Where it begins in memory.
        var place = 0
    }

    private(set) var stretches: [Stretch] = []
    /// Two for a matrix whose scales are a tensor of their own, else one; in the order of the matrices.
    private(set) var parts: [Part] = []
    /// Bytes of memory, whole blocks.
    private(set) var byteCount = 0

    /// - Parameters:
    ///   - matrices: with the names that errors call them.
    ///   - widestHole: bytes between parts that are read along rather than begin another read.
    /// - Throws: ``FormatError`` for a matrix that lies in no file.
    init(
        _ matrices: [(name: String, matrix: WeightMatrix)], in files: WeightFiles, widestHole: Int = 64 << 10
    ) throws(FormatError) {
        for (name, matrix) in matrices {
            var bytes = [(name, matrix.valueBytes)]
            if let scales = matrix.scaleBytes { bytes.append((name + "'s scales", scales)) }
            for (name, bytes) in bytes {
                guard let (file, offset) = files.locate(bytes) else {
                    throw FormatError(
                        file: files.files.first?.mapped.path ?? "memory", field: name,
                        expected: "weights in a file, as --memory reads them from there", found: "weights in memory")
                }
                parts.append(Part(name: name, file: file, offset: offset, count: bytes.count))
            }
        }
        merge(widestHole)
    }

    /// One stretch, of whatever lies there.
    /// - Parameter offset: a multiple of the block.
    init(file: Int, offset: Int, count: Int) {
        let blocks = (count + WeightFile.block - 1) / WeightFile.block * WeightFile.block
        stretches = [Stretch(file: file, offset: offset, count: blocks, needed: count, place: 0)]
        parts = [Part(name: "bytes", file: file, offset: offset, count: count)]
        byteCount = blocks
    }

    private mutating func merge(_ widestHole: Int) {
        let block = WeightFile.block
        let order = parts.indices.sorted { (parts[$0].file, parts[$0].offset) < (parts[$1].file, parts[$1].offset) }
        for index in order {
            let part = parts[index]
            let end = part.offset + part.count
            if let last = stretches.last, last.file == part.file,
                part.offset <= last.offset + last.needed + widestHole
            {
                let needed = max(last.needed, end - last.offset)
                stretches[stretches.count - 1].needed = needed
                stretches[stretches.count - 1].count = (needed + block - 1) / block * block
                byteCount = last.place + stretches[stretches.count - 1].count
            } else {
                let offset = part.offset / block * block
                let count = (end - offset + block - 1) / block * block
                stretches.append(
                    Stretch(file: part.file, offset: offset, count: count, needed: end - offset, place: byteCount))
                byteCount += count
            }
            let stretch = stretches[stretches.count - 1]
            parts[index].place = stretch.place + part.offset - stretch.offset
        }
    }

    /// The matrices as they lie in memory that holds this plan's bytes.
    func matrices(_ matrices: [WeightMatrix], at base: UnsafeRawPointer, owner: AnyObject) -> [WeightMatrix] {
        var part = 0
        return matrices.map { matrix in
            let values = base + parts[part].place
            part += 1
            guard matrix.scaleBytes != nil else { return matrix.relocated(to: values, scales: nil, owner: owner) }
            part += 1
            return matrix.relocated(to: values, scales: base + parts[part - 1].place, owner: owner)
        }
    }

    /// The part that holds a byte of a file, or begins after it.
    func part(at offset: Int, of file: Int) -> Part? {
        parts.filter { $0.file == file && $0.offset + $0.count > offset }.min { $0.offset < $1.offset }
    }
}
