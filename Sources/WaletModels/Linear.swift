import CWaletKernels
import WaletFormats
import WaletTensor

/// A projection: y = x Wᵀ + b. How W is packed is the matrix's affair.
struct Linear: Sendable {
    let matrix: WeightMatrix
    let bias: FloatBuffer?
    /// The kernels have an integer dot product for this packing.
    let isInteger: Bool

    var inputs: Int { matrix.columns }
    var outputs: Int { matrix.rows }

    init(_ module: String, outputs: Int, inputs: Int, bias: Bool = false, from source: some WeightSource)
        throws(FormatError)
    {
        matrix = try source.matrix(module, rows: outputs, columns: inputs)
        self.bias = bias ? try source.vector(module + ".bias", count: outputs) : nil
        isInteger = withUnsafePointer(to: matrix.raw) { wk_q8_supports($0) }
    }

    /// y[t, r] = x[t] · W[r] + b[r], all rows in parallel.
    /// - Parameters:
    ///   - x: `[count, inputs]`
    ///   - y: `[count, outputs]`
    func callAsFunction(_ x: Activations, count: Int, into y: UnsafeMutablePointer<Float>, _ pool: ThreadPool) {
        let outputs = outputs
        let tile = RowTile(rows: outputs, threads: pool.threads)
        pool.run(tile.count) { task, worker in
            let rows = tile.rows(task)
            multiply(
                rows, x, stride: inputs, count: count, into: y + rows.lowerBound, stride: outputs,
                pool.scratch(of: worker))
        }
    }

    /// Several projections of the same rows, in one parallel region.
    /// - Parameters:
    ///   - x: `[count, inputs]`
    ///   - projections: with the target of each, `[count, outputs]`.
    static func together(
        _ projections: [(linear: Linear, target: UnsafeMutablePointer<Float>)], _ x: Activations, count: Int,
        _ pool: ThreadPool
    ) {
        let total = projections.reduce(0) { $0 + $1.linear.outputs }
        let size = RowTile(rows: total, threads: pool.threads).size
        var tasks = 0
        for (linear, _) in projections { tasks += (linear.outputs + size - 1) / size }
        pool.run(tasks) { task, worker in
            var task = task
            for (linear, target) in projections {
                let tile = RowTile(total: linear.outputs, size: size)
                guard task >= tile.count else {
                    let rows = tile.rows(task)
                    linear.multiply(
                        rows, x, stride: linear.inputs, count: count, into: target + rows.lowerBound,
                        stride: linear.outputs, pool.scratch(of: worker))
                    return
                }
                task -= tile.count
            }
        }
    }

    /// Some rows of the product, on the calling worker: y[t, r - rows.lowerBound].
    /// - Parameter tokenRows: which row of the blocks is row t of the floats; nil for row t itself.
    @inline(__always)
    func multiply(
        _ rows: Range<Int>, _ x: Activations, stride xStride: Int, tokenRows: UnsafePointer<Int32>? = nil, count: Int,
        into y: UnsafeMutablePointer<Float>, stride yStride: Int, _ scratch: UnsafeMutablePointer<Float>
    ) {
        withUnsafePointer(to: matrix.raw) { matrix in
            if isInteger, let blocks = x.blocks {
                wk_q8_matmul(
                    matrix, Int64(rows.lowerBound), Int64(rows.upperBound), blocks, tokenRows, Int64(count), y,
                    Int64(yStride), scratch)
            } else {
                wk_matmul(
                    matrix, Int64(rows.lowerBound), Int64(rows.upperBound), x.floats, Int64(xStride), Int64(count), y,
                    Int64(yStride), scratch)
            }
        }
        guard let bias else { return }
        for t in 0..<count { wk_add(bias.pointer + rows.lowerBound, y + t * yStride, Int64(rows.count)) }
    }

    /// y[t, c] = sum over the rows r of x[t, r - rows.lowerBound] W[r, c], on the calling worker; no bias.
    @inline(__always)
    func multiplyTransposed(
        _ rows: Range<Int>, _ x: UnsafePointer<Float>, stride xStride: Int, count: Int,
        into y: UnsafeMutablePointer<Float>, stride yStride: Int, _ scratch: UnsafeMutablePointer<Float>
    ) {
        withUnsafePointer(to: matrix.raw) {
            wk_matmul_transposed(
                $0, Int64(rows.lowerBound), Int64(rows.upperBound), x, Int64(xStride), Int64(count), y, Int64(yStride),
                scratch)
        }
    }
}

/// How the rows of a matrix are dealt to workers: tiles large enough to stream, enough of them to balance.
struct RowTile: Sendable {
    let total: Int
    let size: Int
    var count: Int { (total + size - 1) / size }

    init(total: Int, size: Int) {
        self.total = total
        self.size = size
    }

    /// - Parameter share: matrices that are worked on in the same region, which balance one another.
    init(rows: Int, threads: Int, sharedWith share: Int = 1) {
        total = rows
        let wanted = max(1, threads * 8 / max(1, share))
        // A multiple of 16 rows keeps two workers' results apart by a cache line.
        size = threads == 1 ? max(1, rows) : max(16, ((rows + wanted - 1) / wanted + 15) / 16 * 16)
    }

    func rows(_ index: Int) -> Range<Int> { index * size..<min(total, (index + 1) * size) }
}
