// The bytes of a GGUF file's tensors, made from the published matrices a few rows at a time.

import WaletTensor

/// Chooses what tensors become and writes their bytes.
struct TensorEncoder {
    let source: any WeightSource
    /// What matrices become that are no integers; nil for what they are.
    let requested: Packing?
    /// Named in errors.
    let file: String
    private(set) var integers = IntegerBlocks()

    init(_ source: any WeightSource, requested: Packing?, file: String) {
        self.source = source
        self.requested = requested
        self.file = file
    }

    // MARK: Types

    /// The packing of a tensor of the file.
    /// - Throws: ``FormatError`` also where rows are no whole blocks of it.
    func packing(of tensor: PlannedTensor) throws(FormatError) -> Packing {
        let packing: Packing
        switch tensor.content {
        case .values, .vector: return .f32
        case .matrices(let modules, let rows, let columns):
            var packings: Set<Packing> = []
            for module in modules {
                packings.insert(target(try source.matrix(module, rows: rows, columns: columns)))
            }
            // Experts of a stack have one type; F32 holds every other.
            packing = packings.count == 1 ? packings.first ?? .f32 : requested ?? .f32
        case .reordered(let module, let rows, let columns, _):
            packing = target(try source.matrix(module, rows: rows, columns: columns))
        case .keyHalf(let module, let latent):
            let matrix = try keyMatrix(module, latent, heads: tensor.dimensions[2])
            packing = requested ?? Self.plain(matrix.packing)
        }
        if tensor.isRouter { return .f32 }
        guard packing.rowBytes(columns: tensor.dimensions[0]) != nil else {
            throw FormatError(
                file: file, field: tensor.name,
                expected: "rows of a multiple of \(packing.blockValues) values for \(packing.name)",
                found: "\(tensor.dimensions[0])")
        }
        return packing
    }

    private func target(_ matrix: WeightMatrix) -> Packing {
        IntegerBlocks.packing(of: matrix) ?? requested ?? Self.plain(matrix.packing)
    }

    /// What a packing is as plain numbers: products of integers and scales have the precision of BF16.
    private static func plain(_ packing: Packing) -> Packing {
        switch packing {
        case .f32, .f16: packing
        default: .bf16
        }
    }

    private func keyMatrix(
        _ module: String, _ latent: Configuration.LatentAttention, heads: Int
    ) throws(FormatError) -> WeightMatrix {
        try source.matrix(
            module, rows: heads * (latent.plainHeadSize + latent.valueHeadSize), columns: latent.latentRank)
    }

    // MARK: Bytes

    /// Writes a tensor.
    /// - Parameter progress: is told of bytes that have been written.
    mutating func write(
        _ tensor: PlannedTensor, as packing: Packing, to writer: GGUFWriter, progress: @escaping (Int) -> Void
    ) throws {
        let output = Output(writer: writer, progress: progress)
        switch tensor.content {
        case .values(let values):
            try values.withUnsafeBytes { try output.copy($0) }
        case .vector(let name, let order):
            let vector = try source.vector(name, count: tensor.dimensions[0])
            let ordered = (0..<vector.count).map { vector[order.source($0)] }
            try ordered.withUnsafeBytes { try output.copy($0) }
        case .matrices(let modules, let rows, let columns):
            for module in modules {
                let matrix = try source.matrix(module, rows: rows, columns: columns)
                if matrix.packing == packing {
                    try output.copy(matrix.valueBytes)
                } else {
                    try rowByRow(matrix, 0..<rows, .same, tensor.name, packing, output)
                }
            }
        case .reordered(let module, let rows, let columns, let order):
            let matrix = try source.matrix(module, rows: rows, columns: columns)
            let count = tensor.dimensions.dropFirst().reduce(1, *)
            try rowByRow(matrix, 0..<count, order, tensor.name, packing, output)
        case .keyHalf(let module, let latent):
            try keyHalf(try keyMatrix(module, latent, heads: tensor.dimensions[2]), latent, tensor, packing, output)
        }
        try output.flush()
    }

    private mutating func rowByRow(
        _ matrix: WeightMatrix, _ rows: Range<Int>, _ order: RowOrder, _ name: String, _ packing: Packing,
        _ output: Output
    ) throws {
        let columns = matrix.columns
        let bytes = packing.rowBytes(columns: columns) ?? 0
        let asIntegers = IntegerBlocks.packing(of: matrix) == packing
        let scales = asIntegers ? matrix.scales : nil
        let floats = FloatBuffer(count: max(columns, scales?.columns ?? 0))
        let sourceBytes = matrix.valueBytes.count / max(matrix.rows, 1)
        for row in rows {
            let from = order.source(row)
            let target = try output.room(for: bytes)
            let flaw: Float?
            if let scales, let values = matrix.valueBytes.baseAddress {
                scales.dequantize(row: from, into: floats.pointer)
                flaw = integers.encode(
                    (values + from * sourceBytes).assumingMemoryBound(to: UInt8.self), floats.pointer,
                    group: matrix.groupColumns, count: columns, as: packing, into: target)
            } else {
                matrix.dequantize(row: from, into: floats.pointer)
                flaw = BlockEncoding.encode(floats.pointer, count: columns, as: packing, into: target)
            }
            if let flaw { throw inexpressible(flaw, name, packing) }
        }
    }

    /// Transposes the key half of each head.
    private func keyHalf(
        _ matrix: WeightMatrix, _ latent: Configuration.LatentAttention, _ tensor: PlannedTensor, _ packing: Packing,
        _ output: Output
    ) throws {
        let (plain, rank) = (latent.plainHeadSize, latent.latentRank)
        let bytes = packing.rowBytes(columns: plain) ?? 0
        let (head, row) = (FloatBuffer(count: plain * rank), FloatBuffer(count: plain))
        for index in 0..<tensor.dimensions[2] {
            for i in 0..<plain {
                matrix.dequantize(
                    row: index * (plain + latent.valueHeadSize) + i, into: head.pointer + i * rank)
            }
            for column in 0..<rank {
                for i in 0..<plain { row.pointer[i] = head.pointer[i * rank + column] }
                let target = try output.room(for: bytes)
                if let flaw = BlockEncoding.encode(row.pointer, count: plain, as: packing, into: target) {
                    throw inexpressible(flaw, tensor.name, packing)
                }
            }
        }
    }

    private func inexpressible(_ number: Float, _ tensor: String, _ packing: Packing) -> FormatError {
        FormatError(
            file: file, field: tensor, expected: "numbers that \(packing.name) can hold", found: "\(number)")
    }
}

/// Rows on their way to the file, gathered so that it is written in large pieces.
private final class Output {
    private let writer: GGUFWriter
    private let progress: (Int) -> Void
    private var buffer = UnsafeMutableRawPointer.allocate(byteCount: Output.usualRoom, alignment: 64)
    private var size = Output.usualRoom
    private var filled = 0

    private static let usualRoom = 1 << 20
    /// Bytes that are copied at a time.
    private static let piece = 4 << 20

    init(writer: GGUFWriter, progress: @escaping (Int) -> Void) {
        self.writer = writer
        self.progress = progress
    }

    deinit { buffer.deallocate() }

    /// Where the next row goes.
    func room(for bytes: Int) throws -> UnsafeMutableRawPointer {
        if bytes > size - filled { try flush() }
        if bytes > size {
            buffer.deallocate()
            buffer = .allocate(byteCount: bytes, alignment: 64)
            size = bytes
        }
        defer { filled += bytes }
        return buffer + filled
    }

    func flush() throws {
        try put(UnsafeRawBufferPointer(start: buffer, count: filled))
        filled = 0
    }

    /// Writes bytes as they are.
    func copy(_ bytes: UnsafeRawBufferPointer) throws {
        try flush()
        var offset = 0
        while offset < bytes.count {
            let count = min(Self.piece, bytes.count - offset)
            try put(UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count]))
            offset += count
        }
    }

    private func put(_ bytes: UnsafeRawBufferPointer) throws {
        guard !bytes.isEmpty else { return }
        try Task.checkCancellation()
        try writer.append(bytes)
        progress(bytes.count)
    }
}
