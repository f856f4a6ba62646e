import CWaletKernels
import WaletFormats
import WaletTensor

/// A projection: y = x Wᵀ + b. How W is packed is the matrix's affair.
struct Linear: Sendable {
    let matrix: WeightMatrix
    let bias: FloatBuffer?
    /// The kernels multiply this packing with blocks of activations, in fast precision.
    let takesBlocks: Bool

    var inputs: Int { matrix.columns }
    var outputs: Int { matrix.rows }

    init(_ module: String, outputs: Int, inputs: Int, bias: Bool = false, from source: some WeightSource)
        throws(FormatError)
    {
        matrix = try source.matrix(module, rows: outputs, columns: inputs)
        self.bias = bias ? try source.vector(module + ".bias", count: outputs) : nil
        takesBlocks = withUnsafePointer(to: matrix.raw) { wk_q8_supports($0) }
    }

    private init(_ matrix: WeightMatrix, _ other: Linear) {
        self.matrix = matrix
        bias = other.bias
        takesBlocks = other.takesBlocks
    }

    /// The same projection with its matrix elsewhere in memory.
    func with(_ matrix: WeightMatrix) -> Linear { Linear(matrix, self) }

    /// y[t, r] = x[t] · W[r] + b[r], all rows in parallel.
    /// - Parameters:
    ///   - x: `[count, inputs]`
    ///   - y: `[count, outputs]`
    func callAsFunction(_ x: Activations, count: Int, into y: UnsafeMutablePointer<Float>, _ pool: ThreadPool) {
        Self.together([(self, y)], x, count: count, pool)
    }

    /// Several projections of the same rows, in one parallel region.
    /// - Parameters:
    ///   - x: `[count, inputs]`
    ///   - projections: with the target of each, `[count, outputs]`.
    static func together(
        _ projections: [(linear: Linear, target: UnsafeMutablePointer<Float>)], _ x: Activations, count: Int,
        _ pool: ThreadPool
    ) {
        let inBlocks = x.blocks != nil && projections.allSatisfy(\.linear.takesBlocks)
        let portions = Portions(
            rows: projections.reduce(0) { $0 + $1.linear.outputs }, tokens: count, inBlocks: inBlocks,
            threads: pool.threads)
        pool.run(portions.count) { task, worker in
            let (share, tokens) = portions[task]
            var start = 0
            for (linear, target) in projections {
                let first = max(0, share.lowerBound - start)
                let end = min(linear.outputs, share.upperBound - start)
                start += linear.outputs
                guard first < end else { continue }
                let rows = first..<end
                linear.multiply(
                    rows, x.from(tokens.lowerBound, columns: linear.inputs), stride: linear.inputs,
                    count: tokens.count, into: target + tokens.lowerBound * linear.outputs + rows.lowerBound,
                    stride: linear.outputs, pool.scratch(of: worker))
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
            if takesBlocks, let blocks = x.blocks {
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

/// How rows are dealt to workers: large shares first, as long streams are read fastest, then ever smaller ones, so that
/// all workers end at about the same time.
struct Shares {
    /// Share i is `bounds[i]..<bounds[i + 1]`.
    private let bounds: [Int]
    /// Whole tiles of the kernels, which also keeps two workers' results apart by a cache line.
    private static let unit = 32
    var count: Int { bounds.count - 1 }

    /// About equal shares, at most `parts` of them.
    init(rows: Int, parts: Int) {
        let size = max(1, ((rows + parts - 1) / parts + Self.unit - 1) / Self.unit) * Self.unit
        bounds = Array(stride(from: 0, to: rows, by: size)) + [rows]
    }

    init(rows: Int, threads: Int) {
        let unit = Self.unit
        var bounds = [0]
        bounds.reserveCapacity(64)
        if threads > 1 {
            while bounds.last! < rows {
                let rest = rows - bounds.last!
                let size = max(2 * unit, (3 * rest / (4 * threads) + unit - 1) / unit * unit)
                // No scrap at the end.
                bounds.append(rest - size < unit ? rows : bounds.last! + size)
            }
        } else if rows > 0 {
            bounds.append(rows)
        }
        self.bounds = bounds
    }

    @inline(__always)
    func rows(_ index: Int) -> Range<Int> { bounds[index]..<bounds[index + 1] }
}

/// The parts of a product that workers take: some rows and all tokens, or in blocks and with many tokens some of these.
/// The kernels put tokens into an order of their own before they multiply, which few rows would not be worth.
struct Portions {
    private let shares: Shares
    private let tokens: Int
    private let slabs: Int
    /// What the kernels multiply at a time, or a multiple of it.
    private static let slab = 128
    var count: Int { shares.count * slabs }

    init(rows: Int, tokens: Int, inBlocks: Bool, threads: Int) {
        self.tokens = tokens
        let slabs = (tokens + Self.slab - 1) / Self.slab
        if inBlocks, threads > 1, slabs > threads {
            self.slabs = slabs
            shares = Shares(rows: rows, parts: (6 * threads + slabs - 1) / slabs)
        } else {
            self.slabs = 1
            shares = Shares(rows: rows, threads: threads)
        }
    }

    subscript(index: Int) -> (rows: Range<Int>, tokens: Range<Int>) {
        if slabs == 1 { return (shares.rows(index), 0..<tokens) }
        let (share, slab) = index.quotientAndRemainder(dividingBy: slabs)
        return (shares.rows(share), slab * Self.slab..<min(tokens, (slab + 1) * Self.slab))
    }
}

/// Cuts a range of rows of matrices that are counted through, `size` rows each, at the matrices' ends.
@inline(__always)
func forEachPiece(_ range: Range<Int>, size: Int, _ body: (_ matrix: Int, _ rows: Range<Int>) -> Void) {
    var row = range.lowerBound
    while row < range.upperBound {
        let (matrix, first) = row.quotientAndRemainder(dividingBy: size)
        let end = min(size, first + range.upperBound - row)
        body(matrix, first..<end)
        row += end - first
    }
}
