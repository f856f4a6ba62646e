import CWaletAutodiff
import WaletTensor

/// The orthogonal matrix nearest to another, about: what Muon makes of a momentum.
///
/// Five steps of X ← a X + (b X Xᵀ + c (X Xᵀ)²) X from X / ‖X‖, whose coefficients take singular values to between 0.7 and
/// 1.2 rather than to 1 (Keller Jordan, https://kellerjordan.github.io/posts/muon; Moonlight, arXiv 2502.16982).
public enum NewtonSchulz {
    public static let coefficients: (a: Float, b: Float, c: Float) = (3.4445, -4.7750, 2.0315)
    public static let steps = 5
    /// A norm below this counts as this, so that zeros stay zeros.
    public static let leastNorm = 1e-7

    /// Floats of scratch memory for a matrix.
    public static func scratch(rows: Int, columns: Int) -> Int {
        let small = min(rows, columns)
        return 2 * rows * columns + 2 * small * small
    }

    /// Replaces a matrix by its orthogonalized self, on the calling worker.
    /// - Parameters:
    ///   - matrix: `[rows, columns]`
    ///   - scratch: ``scratch(rows:columns:)`` floats.
    public static func orthogonalize(
        _ matrix: UnsafeMutablePointer<Float>, rows: Int, columns: Int, scratch: UnsafeMutablePointer<Float>
    ) {
        let (small, large, count) = (min(rows, columns), max(rows, columns), rows * columns)
        guard count > 0 else { return }
        var (x, next) = (scratch, scratch + count)
        let (gram, polynomial) = (scratch + 2 * count, scratch + 2 * count + small * small)
        // The products are those of the smaller side.
        let isTall = rows > columns
        if isTall { transpose(matrix, rows, columns, into: x) } else { x.update(from: matrix, count: count) }
        wa_scale(x, Float(1 / max(wa_square_sum(x, Int64(count)).squareRoot(), leastNorm)), Int64(count))
        let (a, b, c) = coefficients
        for _ in 0..<steps {
            multiply(
                small, small, large, Factor(x, stride: large), Factor(x, stride: large, transposed: true), beta: 0,
                into: gram, stride: small)
            polynomial.update(from: gram, count: small * small)
            multiply(
                small, small, small, Factor(gram, stride: small), Factor(gram, stride: small), alpha: c, beta: b,
                into: polynomial, stride: small)
            next.update(from: x, count: count)
            multiply(
                small, large, small, Factor(polynomial, stride: small), Factor(x, stride: large), beta: a, into: next,
                stride: large)
            swap(&x, &next)
        }
        if isTall { transpose(x, columns, rows, into: matrix) } else { matrix.update(from: x, count: count) }
    }

    private static func transpose(
        _ source: UnsafePointer<Float>, _ rows: Int, _ columns: Int, into target: UnsafeMutablePointer<Float>
    ) {
        // Squares that fit the cache, whichever of the two is read in steps.
        for rowBlock in stride(from: 0, to: rows, by: 32) {
            for columnBlock in stride(from: 0, to: columns, by: 32) {
                for row in rowBlock..<min(rows, rowBlock + 32) {
                    for column in columnBlock..<min(columns, columnBlock + 32) {
                        target[column * rows + row] = source[row * columns + column]
                    }
                }
            }
        }
    }
}
