import COpenBLAS
import CWaletAutodiff
import WaletTensor

/// A matrix as a factor of a product: `[rows, columns]` in memory, used as it lies or transposed.
struct Factor {
    let pointer: UnsafePointer<Float>
    /// Floats from row to row in memory.
    let stride: Int
    let isTransposed: Bool

    init(_ pointer: UnsafePointer<Float>, stride: Int, transposed: Bool = false) {
        self.pointer = pointer
        self.stride = stride
        isTransposed = transposed
    }

    /// OpenBLAS copies both factors into an order of its own, which costs as much as a fifth where they are thin, and waits
    /// for memory meanwhile.
    fileprivate static let thin = 512
    /// Steps of the sums in which many columns are no loss: one panel's.
    fileprivate static let shallow = 256
    fileprivate static let haveProduct = wa_has_product() != 0

    /// Floats from an element to the one below, and to the one on its right.
    fileprivate var rowStep: Int { isTransposed ? 1 : stride }
    fileprivate var columnStep: Int { isTransposed ? stride : 1 }

    fileprivate func rows(from first: Int) -> UnsafePointer<Float> { pointer + (isTransposed ? first : first * stride) }
    fileprivate func columns(from first: Int) -> UnsafePointer<Float> {
        pointer + (isTransposed ? first * stride : first)
    }
}

/// c = alpha * a b + beta * c on the calling worker, with a `[m, k]`, b `[k, n]` and c `[m, n]`.
@inline(__always)
func multiply(
    _ m: Int, _ n: Int, _ k: Int, _ a: Factor, _ b: Factor, alpha: Float = 1, beta: Float,
    into c: UnsafeMutablePointer<Float>, stride: Int
) {
    if m == 0 || n == 0 { return }
    let isThin = a.isTransposed ? n <= Factor.thin && a.stride <= Factor.thin : n <= Factor.thin || k <= Factor.shallow
    if Factor.haveProduct, k > 0, isThin {
        wa_product(
            Int64(m), Int64(n), Int64(k), alpha, a.pointer, Int64(a.rowStep), Int64(a.columnStep), b.pointer,
            Int64(b.rowStep), Int64(b.columnStep), beta, c, Int64(stride))
        return
    }
    cblas_sgemm(
        CblasRowMajor, a.isTransposed ? CblasTrans : CblasNoTrans, b.isTransposed ? CblasTrans : CblasNoTrans, Int32(m),
        Int32(n), Int32(k), alpha, a.pointer, Int32(max(1, a.stride)), b.pointer, Int32(max(1, b.stride)), beta, c,
        Int32(max(1, stride)))
}

extension Arena {
    /// c = a b + beta * c in parallel. The borders of the tiles depend on the sizes only, so that the sums are the same
    /// whatever the number of threads.
    func product(
        _ m: Int, _ n: Int, _ k: Int, _ a: Factor, _ b: Factor, beta: Float, into c: UnsafeMutablePointer<Float>,
        stride: Int
    ) {
        if m * n * k < 1 << 20 {
            multiply(m, n, k, a, b, beta: beta, into: c, stride: stride)
        } else if m >= n {
            let size = Self.tile(m)
            forRows(m, size: size) { rows in
                let first = rows.lowerBound
                multiply(
                    rows.count, n, k, Factor(a.rows(from: first), stride: a.stride, transposed: a.isTransposed), b,
                    beta: beta, into: c + first * stride, stride: stride)
            }
        } else {
            let size = Self.tile(n)
            forRows(n, size: size) { columns in
                let first = columns.lowerBound
                multiply(
                    m, columns.count, k, a,
                    Factor(b.columns(from: first), stride: b.stride, transposed: b.isTransposed), beta: beta,
                    into: c + first, stride: stride)
            }
        }
    }

    /// An eighth, in whole vectors of the kernels, but no less than pays for packing the other factor.
    private static func tile(_ count: Int) -> Int { max(128, ((count + 7) / 8 + 63) / 64 * 64) }
}
