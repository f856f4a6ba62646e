import WaletFormats
import WaletTensor

/// The table that tokens are looked up in, `[vocabulary, hidden]`.
enum TokenEmbedding: Sendable {
    case matrix(WeightMatrix)
    /// Rows that are read from the file.
    case rows(RowTable)

    init(_ module: String, rows: Int, columns: Int, from source: some WeightSource) throws(FormatError) {
        if let source = source as? StreamedWeights {
            self = try source.table(module, rows: rows, columns: columns)
        } else {
            self = .matrix(try source.matrix(module, rows: rows, columns: columns))
        }
    }

    /// Writes the rows of tokens as floats, row r at `target + r * stride`.
    /// - Throws: ``FormatError`` where a row cannot be read.
    func lookUp(_ tokens: [Int], into target: UnsafeMutablePointer<Float>, stride: Int) throws(FormatError) {
        switch self {
        case .matrix(let matrix):
            for (row, token) in tokens.enumerated() { matrix.dequantize(row: token, into: target + row * stride) }
        case .rows(let table): try table.lookUp(tokens, into: target, stride: stride)
        }
    }

    /// Bytes that one token reads.
    var bytesPerToken: Int {
        switch self {
        case .matrix(let matrix): matrix.byteCount / max(1, matrix.rows)
        case .rows(let table): table.rowBytes
        }
    }
}

/// Rows of a matrix that stays in its file.
final class RowTable: Sendable {
    private let packing: Packing
    private let rows: Int
    private let columns: Int
    let rowBytes: Int
    private let matrix: WeightMatrix
    private let name: String
    private let files: WeightFiles
    // The weights hold their tables, and a table needs what they have made of the files.
    private unowned let weights: StreamedWeights

    init(
        _ matrix: WeightMatrix, _ name: String, _ weights: StreamedWeights, in files: WeightFiles
    ) throws(FormatError) {
        packing = matrix.packing
        rows = matrix.rows
        columns = matrix.columns
        rowBytes = Int(matrix.raw.row_bytes)
        self.matrix = matrix
        self.name = name
        self.files = files
        self.weights = weights
        _ = try BlockPlan([(name, matrix)], in: files)
    }

    func lookUp(_ tokens: [Int], into target: UnsafeMutablePointer<Float>, stride: Int) throws(FormatError) {
        guard let store = weights.store else { preconditionFailure("the weights have not been loaded") }
        guard let start = matrix.valueBytes.baseAddress, !tokens.isEmpty else { return }
        let wanted = tokens.map { token in
            precondition(token >= 0 && token < rows)
            return WeightMatrix(
                packing: packing, rows: 1, columns: columns, data: start + token * rowBytes, owner: self)
        }
        let plan = try BlockPlan(wanted.map { (name, $0) }, in: files, widestHole: 0)
        let memory = UnsafeMutableRawPointer.allocate(byteCount: plan.byteCount, alignment: WeightFile.block)
        defer { memory.deallocate() }
        try store.read(plan, name, into: memory)
        for (index, row) in plan.matrices(wanted, at: memory, owner: self).enumerated() {
            row.dequantize(row: 0, into: target + index * stride)
        }
    }
}
