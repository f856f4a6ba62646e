import CWaletKernels

/// A weight matrix `[rows, columns]` exactly as it lies in its file: a view, never a copy.
///
/// How the numbers are packed is known to the kernels only; a model multiplies and asks no more. The view keeps the
/// mapped file alive.
public struct WeightMatrix: @unchecked Sendable {
    // Unchecked: the memory behind the pointers is never written, and `owner` keeps it mapped as long as the view lives.
    /// What the kernels see.
    public let raw: wk_matrix
    private let owner: AnyObject

    public var rows: Int { Int(raw.rows) }
    public var columns: Int { Int(raw.cols) }
    public var packing: Packing { Packing(rawValue: raw.packing)! }

    /// Bytes of the packed values, scales included.
    public var byteCount: Int { valueBytes.count + (scaleBytes?.count ?? 0) }

    /// Where the packed values lie.
    public var valueBytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: raw.data, count: Int(raw.rows * raw.row_bytes))
    }

    /// Where the scales lie that are a tensor of their own; nil for a packing that has none.
    public var scaleBytes: UnsafeRawBufferPointer? {
        guard let scales = raw.scales, let scale = Packing(rawValue: raw.scale_packing) else { return nil }
        let scaleRows = (rows + Int(raw.group_rows) - 1) / Int(raw.group_rows)
        return UnsafeRawBufferPointer(start: scales, count: scaleRows * Int(raw.scale_stride) * scale.blockBytes)
    }

    /// The scales that are a tensor of their own, `[rows / groupRows, columns / groupColumns]`, both rounded up; nil for a
    /// packing that has none.
    public var scales: WeightMatrix? {
        guard let start = scaleBytes?.baseAddress, let packing = Packing(rawValue: raw.scale_packing) else {
            return nil
        }
        return WeightMatrix(
            packing: packing, rows: (rows + groupRows - 1) / groupRows, columns: Int(raw.scale_stride), data: start,
            owner: owner)
    }

    /// Rows and columns that share a number of ``scales``.
    public var groupRows: Int { Int(raw.group_rows) }
    public var groupColumns: Int { Int(raw.group_cols) }

    /// A matrix whose blocks carry their own scales, or of plain numbers.
    /// - Parameters:
    ///   - data: at least `rows` times the packing's row bytes, readable as long as `owner` lives.
    /// - Precondition: `columns` is a whole number of blocks.
    public init(packing: Packing, rows: Int, columns: Int, data: UnsafeRawPointer, owner: AnyObject) {
        guard let rowBytes = packing.rowBytes(columns: columns) else {
            preconditionFailure("\(columns) columns are no whole number of \(packing.name) blocks")
        }
        raw = wk_matrix(
            packing: packing.rawValue, scale_packing: 0, rows: Int64(rows), cols: Int64(columns),
            data: data.assumingMemoryBound(to: UInt8.self), row_bytes: Int64(rowBytes), scales: nil, scale_stride: 0,
            group_rows: 1, group_cols: 1)
        self.owner = owner
    }

    /// A matrix with its scales in a tensor of their own: INT4, INT8 or FP8.
    /// - Parameters:
    ///   - scales: `[ceil(rows / groupRows), ceil(columns / groupColumns)]`, packed as `scalePacking` (F32, F16, BF16).
    public init(
        packing: Packing, rows: Int, columns: Int, data: UnsafeRawPointer, scales: UnsafeRawPointer,
        scalePacking: Packing, groupRows: Int, groupColumns: Int, owner: AnyObject
    ) {
        guard let rowBytes = packing.rowBytes(columns: columns), groupRows > 0, groupColumns > 0 else {
            preconditionFailure("\(columns) columns, groups of \(groupRows) x \(groupColumns)")
        }
        raw = wk_matrix(
            packing: packing.rawValue, scale_packing: scalePacking.rawValue, rows: Int64(rows), cols: Int64(columns),
            data: data.assumingMemoryBound(to: UInt8.self), row_bytes: Int64(rowBytes),
            scales: scales.assumingMemoryBound(to: UInt8.self),
            scale_stride: Int64((columns + groupColumns - 1) / groupColumns), group_rows: Int32(groupRows),
            group_cols: Int32(groupColumns))
        self.owner = owner
    }

    /// The same matrix where its bytes have been copied to.
    /// - Parameters:
    ///   - values: the bytes of ``valueBytes``, readable as long as `owner` lives.
    ///   - scales: those of ``scaleBytes``; nil where there are none.
    public func relocated(
        to values: UnsafeRawPointer, scales: UnsafeRawPointer?, owner: AnyObject
    ) -> WeightMatrix {
        var raw = raw
        raw.data = values.assumingMemoryBound(to: UInt8.self)
        raw.scales = scales?.assumingMemoryBound(to: UInt8.self)
        return WeightMatrix(raw, owner)
    }

    private init(_ raw: wk_matrix, _ owner: AnyObject) {
        self.raw = raw
        self.owner = owner
    }

    /// Row `row` as floats, `[columns]`, bit-equal to the reference implementation of the packing.
    public func dequantize(row: Int, into output: UnsafeMutablePointer<Float>) {
        precondition(row >= 0 && row < rows)
        withUnsafePointer(to: raw) { wk_dequantize_row($0, Int64(row), output) }
    }
}
