import CWaletKernels
import WaletTensor

/// How a forward pass computes.
public enum Precision: String, Sendable, CaseIterable {
    /// Weights unpacked to fp32, activations fp32: comparable with a reference implementation.
    case exact
    /// Activations quantized to int8 in blocks of 32, integer dot products where the packing has them; for weights of BF16
    /// activations rounded to BF16, where the CPU has products of those; keys, values and attention's weights rounded to
    /// BF16. Router, norms and packings without such products stay fp32.
    case fast
}

/// Rows that projections read: as floats and, in fast precision, as int8 blocks too.
struct Activations {
    /// `[rows, columns]`
    let floats: UnsafePointer<Float>
    /// Rows of `wk_q8_row_bytes(columns)` bytes; nil in exact precision.
    let blocks: UnsafeRawPointer?

    /// The rows from `row` on.
    @inline(__always)
    func from(_ row: Int, columns: Int) -> Activations {
        if row == 0 { return self }
        return Activations(
            floats: floats + row * columns, blocks: blocks.map { $0 + row * Int(wk_q8_row_bytes(Int64(columns))) })
    }
}

/// Memory for int8 blocks of activations; none in exact precision.
final class BlockBuffer {
    private let start: UnsafeMutableRawPointer?
    let rowBytes: Int
    private let columns: Int

    /// - Parameter columns: values a row; rows that are no whole number of blocks are not quantized.
    init(rows: Int, columns: Int, _ precision: Precision) {
        self.columns = columns
        rowBytes = Int(wk_q8_row_bytes(Int64(columns)))
        let wanted = precision == .fast && columns > 0 && columns % 32 == 0
        start = wanted ? .allocate(byteCount: max(1, rows * rowBytes), alignment: 64) : nil
    }

    deinit { start?.deallocate() }

    /// Quantizes a row of `columns` floats; nothing in exact precision.
    @inline(__always)
    func quantize(_ x: UnsafePointer<Float>, row: Int) {
        guard let start else { return }
        wk_q8_quantize(x, Int64(columns), Int64(columns), 1, start + row * rowBytes)
    }

    /// The rows from `row` on, beside the floats that they stand for.
    @inline(__always)
    func activations(_ floats: UnsafePointer<Float>, from row: Int = 0) -> Activations {
        Activations(floats: floats, blocks: start.map { UnsafeRawPointer($0 + row * rowBytes) })
    }

    var isActive: Bool { start != nil }
}
