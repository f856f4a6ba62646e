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
        let samples = groups.compactMap { Sample($0, shape, groups: groups.count, budget: budget) }
        guard !samples.isEmpty, samples.count == groups.count else { return nil }
        guard let pool = ThreadPool(threads: threads) else {
            throw MemoryProbe.unmeasurable("\(threads) threads could not be started")
        }
        let size = samples.reduce(0) { $0 + $1.copies * $1.stride }
        let buffer = try ProbeBuffer(bytes: size + 4096)
        let widest = samples.map(\.columns).max() ?? 1
        pool.reserve(scratch: Int(max(wk_matmul_scratch(Int64(widest)), wk_q8_matmul_scratch(Int64(widest)))))

        var readTime = 0.0
        var readBytes = 0.0
        var multiplyTime = 0.0
        var operations = 0.0
        var offset = 0
        for sample in samples {
            let matrices = (0..<sample.copies).map {
                sample.matrix(at: buffer.start + offset + $0 * sample.stride, owner: buffer)
            }
            offset += sample.copies * sample.stride
            let one = run(matrices, tokens: 1, together: sample.together, pool, least: 0.15)
            let read = Double(sample.group.read) * Double(sample.group.bytes)
            // Rows that were left out of the sample cost as much as the others.
            readTime +=
                one / (Double(sample.copies) * Double(sample.rows)) * Double(sample.group.rows)
                * Double(sample.group.read)
            readBytes += read
            // A prompt meets the head with its last token alone.
            if sample.group.part == .head { continue }
            let many = run(Array(matrices.prefix(4)), tokens: sample.promptTokens, together: 1, pool, least: 0.1)
            let count = Double(min(4, matrices.count) * sample.promptTokens)
            let perToken = Double(sample.group.rows) * Double(sample.group.columns) * Double(sample.group.read)
            multiplyTime += many / (count * Double(sample.rows)) * Double(sample.group.rows) * Double(sample.group.read)
            operations += 2 * perToken
        }
        return Result(readSpeed: readBytes / max(readTime, 1e-12), operations: operations / max(multiplyTime, 1e-12))
    }

    /// Seconds that one pass over all matrices takes: the median of passes that together take `least` seconds.
    private static func run(
        _ matrices: [WeightMatrix], tokens: Int, together: Int, _ pool: ThreadPool, least: Double
    ) -> Double {
        let (rows, columns) = (matrices[0].rows, matrices[0].columns)
        let input = FloatBuffer(count: tokens * columns)
        for index in 0..<tokens * columns { input.pointer[index] = Float((index &* 2_654_435_761) & 0xFF) / 128 - 1 }
        let blocks = UnsafeMutableRawPointer.allocate(
            byteCount: max(64, tokens * Int(wk_q8_row_bytes(Int64(columns)))), alignment: 64)
        defer { blocks.deallocate() }
        let isInteger = withUnsafePointer(to: matrices[0].raw) { wk_q8_supports($0) }
        if isInteger { wk_q8_quantize(input.pointer, Int64(columns), Int64(columns), Int64(tokens), blocks) }
        let output = FloatBuffer(count: together * rows * tokens)
        let shares = max(1, min(8 * pool.threads, rows / 32))

        func pass() {
            for first in stride(from: 0, to: matrices.count, by: together) {
                let count = min(together, matrices.count - first)
                pool.run(count * shares) { task, worker in
                    let (matrix, share) = task.quotientAndRemainder(dividingBy: shares)
                    let begin = share * rows / shares / 16 * 16
                    let end = share == shares - 1 ? rows : (share + 1) * rows / shares / 16 * 16
                    guard begin < end else { return }
                    let target = output.pointer + matrix * rows * tokens + begin
                    let scratch = pool.scratch(of: worker)
                    withUnsafePointer(to: matrices[first + matrix].raw) { raw in
                        if isInteger {
                            wk_q8_matmul(
                                raw, Int64(begin), Int64(end), blocks, nil, Int64(tokens), target, Int64(rows), scratch)
                        } else {
                            wk_matmul(
                                raw, Int64(begin), Int64(end), input.pointer, Int64(columns), Int64(tokens), target,
                                Int64(rows), scratch)
                        }
                    }
                }
            }
        }
        pass()
        var seconds: [Double] = []
        var total = 0.0
        while total < least || seconds.count < 3 {
            let start = DispatchTime.now().uptimeNanoseconds
            pass()
            seconds.append(Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9)
            total += seconds[seconds.count - 1]
            if seconds.count >= 200 || total > 4 * least { break }
        }
        seconds.sort()
        return seconds[seconds.count / 2]
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

    init?(_ group: ModelShape.Group, _ shape: ModelShape, groups: Int, budget: Int) {
        guard let packing = Packing.allCases.first(where: { $0.name == group.packing }) else { return nil }
        let limit = max(1 << 20, budget / max(1, groups))
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
        let share = shape.experts > 0 ? Double(shape.expertsPerToken) / Double(shape.experts) : 1
        promptTokens = isExpert ? max(1, Int(chunk * share)) : group.part == .head ? 1 : KernelProbe.chunk / 4
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
