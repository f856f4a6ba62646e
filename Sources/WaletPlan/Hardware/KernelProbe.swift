// How fast the kernels go through matrices of a model's own sizes and packings.

import CWaletKernels
import Foundation
import WaletTensor

/// Measures what a plan takes for reading weights and for multiplying a prompt, with made-up weights.
public enum KernelProbe {
    public struct Result: Sendable, Equatable {
        /// Reading weights while one token is decoded, in bytes a second.
        public var readSpeed: Double
        /// Multiplications and additions a second while a prompt is read.
        public var operations: Double
    }

    /// Tokens of a chunk of a prompt.
    public static let chunk = 512

    /// Runs decode and prefill over samples of a model's matrices, in about a second each.
    /// - Parameters:
    ///   - budget: the most memory for the samples, in bytes.
    /// - Returns: nil where the kernels do not know the model's packings.
    /// - Throws: ``PlanError/unmeasurable(what:reason:remedy:)``.
    public static func measure(
        _ shape: ModelShape, threads: Int = Hardware.physicalCores, budget: Int = 1 << 30
    ) throws(PlanError) -> Result? {
        let groups = shape.groups.filter { $0.read > 0 && $0.rows > 0 }
        let samples = groups.compactMap { Sample($0, shape, budget: budget) }
        guard !samples.isEmpty, samples.count == groups.count else { return nil }
        guard let pool = ThreadPool(threads: threads) else {
            throw MemoryProbe.unmeasurable("\(threads) threads could not be started")
        }
        let size = samples.reduce(0) { $0 + $1.copies * $1.stride }
        let buffer = try ProbeBuffer(bytes: size + 4096)
        let widest = samples.map(\.columns).max() ?? 1
        pool.reserve(scratch: Int(max(wk_matmul_scratch(Int64(widest)), wk_q8_matmul_scratch(Int64(widest)))))

        var offset = 0
        let runs = samples.map { sample in
            let matrices = (0..<sample.copies).map {
                sample.matrix(at: buffer.start + offset + $0 * sample.stride, owner: buffer)
            }
            offset += sample.copies * sample.stride
            return (sample: sample, one: Run(matrices, tokens: 1, together: sample.together), matrices: matrices)
        }
        // All samples in turn, so that each is as far from the caches as a model of its size leaves it.
        let times = medians(of: runs.map(\.one), on: pool, seconds: 0.6)
        var readTime = 0.0
        var readBytes = 0.0
        for ((sample, _, _), time) in zip(runs, times) {
            // Rows that were left out of the sample cost as much as the others.
            readTime +=
                time / (Double(sample.copies) * Double(sample.rows)) * Double(sample.group.rows)
                * Double(sample.group.read)
            readBytes += Double(sample.group.read) * Double(sample.group.bytes)
        }

        // A prompt meets the head with its last token alone.
        let prompt = runs.filter { $0.sample.group.part != .head }
        let many = prompt.map { Run(Array($0.matrices.prefix(4)), tokens: $0.sample.promptTokens, together: 1) }
        var multiplyTime = 0.0
        var operations = 0.0
        for ((sample, _, _), (run, time)) in zip(prompt, zip(many, medians(of: many, on: pool, seconds: 0.6))) {
            let count = Double(run.matrices.count * sample.promptTokens)
            multiplyTime += time / (count * Double(sample.rows)) * Double(sample.group.rows) * Double(sample.group.read)
            operations += 2 * Double(sample.group.rows) * Double(sample.group.columns) * Double(sample.group.read)
        }
        return Result(
            readSpeed: readBytes / max(readTime, 1e-12),
            operations: operations > 0 ? operations / max(multiplyTime, 1e-12) : 0)
    }

    /// Seconds of each run: medians of passes over all of them, which together take about `seconds`.
    private static func medians(of runs: [Run], on pool: ThreadPool, seconds: Double) -> [Double] {
        for run in runs { run.pass(pool) }
        var times = runs.map { _ in [Double]() }
        var total = 0.0
        var passes = 0
        while passes < 3 || (total < seconds && passes < 200) {
            for (index, run) in runs.enumerated() {
                let start = DispatchTime.now().uptimeNanoseconds
                run.pass(pool)
                let time = Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9
                times[index].append(time)
                total += time
            }
            passes += 1
        }
        return times.map { $0.sorted()[$0.count / 2] }
    }
}

/// Equal matrices that are multiplied one after the other, or some at a time.
private final class Run {
    let matrices: [WeightMatrix]
    private let tokens: Int
    private let together: Int
    private let input: FloatBuffer
    private let output: FloatBuffer
    /// The input in blocks of integers, where the kernels take those.
    private let blocks: UnsafeMutableRawPointer
    private let isInteger: Bool

    init(_ matrices: [WeightMatrix], tokens: Int, together: Int) {
        self.matrices = matrices
        self.tokens = tokens
        self.together = together
        let columns = matrices[0].columns
        input = FloatBuffer(count: tokens * columns)
        for index in 0..<tokens * columns { input.pointer[index] = Float((index &* 2_654_435_761) & 0xFF) / 128 - 1 }
        output = FloatBuffer(count: together * matrices[0].rows * tokens)
        blocks = .allocate(byteCount: max(64, tokens * Int(wk_q8_row_bytes(Int64(columns)))), alignment: 64)
        isInteger = withUnsafePointer(to: matrices[0].raw) { wk_q8_supports($0) }
        if isInteger { wk_q8_quantize(input.pointer, Int64(columns), Int64(columns), Int64(tokens), blocks) }
    }

    deinit { blocks.deallocate() }

    func pass(_ pool: ThreadPool) {
        let rows = matrices[0].rows
        for first in stride(from: 0, to: matrices.count, by: together) {
            let count = min(together, matrices.count - first)
            let bounds = Self.shares(of: count * rows, threads: pool.threads)
            pool.run(bounds.count - 1) { task, worker in
                var row = bounds[task]
                while row < bounds[task + 1] {
                    let (matrix, begin) = row.quotientAndRemainder(dividingBy: rows)
                    let end = min(rows, begin + bounds[task + 1] - row)
                    multiply(first + matrix, begin..<end, into: matrix * rows * tokens, pool.scratch(of: worker))
                    row += end - begin
                }
            }
        }
    }

    private func multiply(
        _ index: Int, _ part: Range<Int>, into place: Int, _ scratch: UnsafeMutablePointer<Float>
    ) {
        let (begin, end) = (Int64(part.lowerBound), Int64(part.upperBound))
        let target = output.pointer + place + part.lowerBound
        let (rows, columns) = (Int64(matrices[index].rows), Int64(matrices[index].columns))
        withUnsafePointer(to: matrices[index].raw) { raw in
            if isInteger {
                wk_q8_matmul(raw, begin, end, blocks, nil, Int64(tokens), target, rows, scratch)
            } else {
                wk_matmul(raw, begin, end, input.pointer, columns, Int64(tokens), target, rows, scratch)
            }
        }
    }

    /// Rows dealt as a model deals them: large shares first, as long streams are read fastest, then ever smaller ones.
    private static func shares(of rows: Int, threads: Int) -> [Int] {
        var bounds = [0]
        while let last = bounds.last, last < rows {
            let size = threads > 1 ? max(64, (3 * (rows - last) / (4 * threads) + 31) / 32 * 32) : rows
            bounds.append(rows - last - size < 32 ? rows : last + size)
        }
        return bounds
    }
}

/// Some of a model's equal matrices, as many as are worth measuring.
private struct Sample {
    let group: ModelShape.Group
    let packing: Packing
    /// Rows that are sampled of a very large matrix.
    let rows: Int
    let columns: Int
    let copies: Int
    /// Bytes from a copy to the next.
    let stride: Int
    /// Matrices in one parallel region.
    let together: Int
    /// Rows of input that the matrix meets in a chunk of a prompt.
    let promptTokens: Int
    private let scaleOffset: Int
    private let groupColumns: Int

    init?(_ group: ModelShape.Group, _ shape: ModelShape, budget: Int) {
        guard let packing = Packing.allCases.first(where: { $0.name == group.packing }) else { return nil }
        // Its part of the memory is its part of what a token reads.
        let share = Double(group.read) * Double(group.bytes) / Double(max(1, shape.activeBytes))
        let limit = max(1 << 20, Int(Double(budget) * min(1, share)))
        columns = group.columns
        var rows = group.rows
        if group.bytes > limit { rows = max(32, Int(Double(rows) * Double(limit) / Double(group.bytes)) / 32 * 32) }
        rows = min(rows, group.rows)
        guard let rowBytes = packing.rowBytes(columns: group.columns) else { return nil }
        let values = (rows * rowBytes + 63) / 64 * 64
        // As the scales lie in a tensor of their own, with the usual groups.
        groupColumns = packing == .fp8 ? 128 : Self.group(of: packing, group)
        let scaleBytes: Int
        switch packing {
        case .int4, .int8: scaleBytes = rows * ((columns + groupColumns - 1) / groupColumns) * 2
        case .fp8: scaleBytes = ((rows + 127) / 128) * ((columns + 127) / 128) * 4
        default: scaleBytes = 0
        }
        scaleOffset = values
        stride = (values + scaleBytes + 4095) / 4096 * 4096
        copies = max(1, min(group.read, limit / stride, 4096))
        self.rows = rows
        self.group = group
        self.packing = packing
        let isExpert = group.part == .routed
        together = isExpert ? max(1, shape.expertsPerToken) : 1
        let chunk = Double(KernelProbe.chunk)
        let chosen = shape.experts > 0 ? Double(shape.expertsPerToken) / Double(shape.experts) : 1
        promptTokens = isExpert ? max(1, Int(chunk * chosen)) : group.part == .head ? 1 : KernelProbe.chunk / 4
    }

    /// Columns that share a scale, from how many bytes the scales take.
    private static func group(of packing: Packing, _ group: ModelShape.Group) -> Int {
        guard packing == .int4 || packing == .int8, let row = packing.rowBytes(columns: group.columns), group.rows > 0
        else { return 1 }
        let scales = (group.bytes / group.rows - row) / 2
        return scales > 1 ? max(32, group.columns / scales) : group.columns
    }

    func matrix(at start: UnsafeMutableRawPointer, owner: ProbeBuffer) -> WeightMatrix {
        switch packing {
        case .int4, .int8:
            WeightMatrix(
                packing: packing, rows: rows, columns: columns, data: start, scales: start + scaleOffset,
                scalePacking: .bf16, groupRows: 1, groupColumns: groupColumns, owner: owner)
        case .fp8:
            WeightMatrix(
                packing: packing, rows: rows, columns: columns, data: start, scales: start + scaleOffset,
                scalePacking: .f32, groupRows: 128, groupColumns: 128, owner: owner)
        default: WeightMatrix(packing: packing, rows: rows, columns: columns, data: start, owner: owner)
        }
    }
}
