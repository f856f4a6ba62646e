import CWaletAutodiff
import CWaletKernels
import WaletTensor

extension Tape {
    /// RMSNorm of rows of `weight.count` numbers: x / sqrt(mean(x²) + epsilon) * weight.
    /// - Parameters:
    ///   - x: `[rows, columns]`. Where the weight has fewer numbers than x columns, either the first columns are normed
    ///     (`ofFirstColumns`), or every column belongs to one of several rows side by side, such as heads.
    ///   - weight: `[n]`
    /// - Returns: the shape of x, or `[rows, n]` of the first columns.
    public func rmsNorm(_ x: Tensor, _ weight: Tensor, epsilon: Float, ofFirstColumns: Bool = false) -> Tensor {
        let n = weight.count
        precondition(n > 0 && (ofFirstColumns ? x.columns >= n : x.columns % n == 0))
        let rows = ofFirstColumns ? x.rows : x.count / n
        let stride = ofFirstColumns ? x.columns : n
        let y = arena.tensor(ofFirstColumns ? [rows, n] : x.shape)
        let inverse = arena.scratch(rows)
        // Each part has a sum of its own for the weight, and the parts are added in their order.
        let size = max(32, (rows + 63) / 64)
        arena.forRows(rows, size: size) { part in
            let first = part.lowerBound
            wa_rms_norm(
                x.pointer + first * stride, Int64(stride), weight.pointer, epsilon, Int64(part.count), Int64(n),
                y.pointer + first * n, inverse.pointer + first)
        }
        record { [arena] in
            guard let dy = y.gradient else { return }
            let (dx, isSet) = stride == n ? x.gradientTarget() : (x.zeroedGradient(), true)
            let parts = (rows + size - 1) / size
            let sums = arena.scratch(parts * n)
            sums.pointer.initialize(repeating: 0, count: sums.count)
            arena.forRows(rows, size: size) { part in
                let first = part.lowerBound
                wa_rms_norm_backward(
                    x.pointer + first * stride, Int64(stride), weight.pointer, inverse.pointer + first, dy + first * n,
                    Int64(part.count), Int64(n), isSet ? 1 : 0, dx + first * stride, Int64(stride),
                    sums.pointer + first / size * n)
            }
            let dw = weight.zeroedGradient()
            for part in 0..<parts { wk_add(sums.pointer + part * n, dw, Int64(n)) }
        }
        return y
    }

    /// Rotates heads in place by the angles of their rows; the way back rotates the gradient the other way.
    /// - Parameters:
    ///   - x: `[rows, columns]`. Its values before are not needed by what made it.
    ///   - angles: of the rows' positions.
    ///   - offset: first column that is rotated.
    ///   - heads: how many times, `headStride` columns apart.
    public func rotate(_ x: Tensor, by angles: RopeAngles, offset: Int, heads: Int, headStride: Int) {
        precondition(offset + (heads - 1) * headStride + 2 * angles.pairs <= x.columns && angles.rows == x.rows)
        let (columns, arena) = (x.columns, arena)
        func turn(_ values: UnsafeMutablePointer<Float>, _ sines: UnsafeMutablePointer<Float>) {
            let pairs = Int64(angles.pairs)
            arena.forRows(angles.rows, size: 32) { rows in
                for row in rows {
                    let (cosine, sine) = (angles.cosines.pointer + row * angles.pairs, sines + row * angles.pairs)
                    for head in 0..<heads {
                        let target = values + row * columns + offset + head * headStride
                        if angles.interleaved {
                            wk_rope_interleaved(target, cosine, sine, pairs)
                        } else {
                            wk_rope_half(target, cosine, sine, pairs)
                        }
                    }
                }
            }
        }
        turn(x.pointer, angles.sines.pointer)
        record {
            if let dx = x.gradient { turn(dx, angles.negativeSines.pointer) }
        }
    }
}

/// Cosines and sines of rows' positions, times the amplitude that YaRN may add.
public final class RopeAngles {
    public let rows: Int
    public let pairs: Int
    /// Pair i is columns 2i and 2i + 1; else i and i + pairs.
    public let interleaved: Bool
    /// `[rows, pairs]`
    let cosines: Tensor
    let sines: Tensor
    let negativeSines: Tensor

    /// - Parameter fill: writes the cosines and sines of a row, `[pairs]` each.
    public init(
        rows: Int, pairs: Int, interleaved: Bool,
        _ fill: (_ row: Int, _ cosines: UnsafeMutablePointer<Float>, _ sines: UnsafeMutablePointer<Float>) -> Void
    ) {
        self.rows = rows
        self.pairs = pairs
        self.interleaved = interleaved
        cosines = Tensor([rows, pairs], needsGradient: false)
        sines = Tensor([rows, pairs], needsGradient: false)
        negativeSines = Tensor([rows, pairs], needsGradient: false)
        for row in 0..<rows { fill(row, cosines.pointer + row * pairs, sines.pointer + row * pairs) }
        for i in 0..<rows * pairs { negativeSines.pointer[i] = -sines.pointer[i] }
    }
}
