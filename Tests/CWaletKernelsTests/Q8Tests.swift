import CWaletKernels
import Testing

/// Activations as wk_q8_quantize packs them, by the set in use.
struct QuantizedTokens {
    let cols: Int, tokens: Int, rowBytes: Int
    /// The buffer of the kernels begins at the first multiple of 64 bytes.
    private let storage: [UInt8]
    private let start: Int

    init(_ x: [Float], cols: Int, tokens: Int) {
        self.cols = cols
        self.tokens = tokens
        rowBytes = Int(wk_q8_row_bytes(Int64(cols)))
        var storage = [UInt8](repeating: 0, count: tokens * rowBytes + 64)
        var start = 0
        storage.withUnsafeMutableBytes { bytes in
            start = (64 - Int(bitPattern: bytes.baseAddress!) % 64) % 64
            wk_q8_quantize(x, Int64(cols), Int64(cols), Int64(tokens), bytes.baseAddress! + start)
        }
        self.storage = storage
        self.start = start
    }

    func withPointer<R>(_ body: (UnsafeRawPointer) throws -> R) rethrows -> R {
        try storage.withUnsafeBytes { try body($0.baseAddress! + start) }
    }

    var bytes: [UInt8] { Array(storage[start..<(start + tokens * rowBytes)]) }

    /// What the integers stand for: values and scales lie as internal/q8_row.h says.
    func dequantized() -> [Float] {
        withPointer { q8 in
            (0..<(tokens * cols)).map { i in
                let row = q8 + i / cols * rowBytes, c = i % cols, padded = (cols + 31) / 32 * 32
                let scale = (row + 2 * padded + c / 32 * 32).load(as: Float.self)
                return scale * Float((row + c).load(as: Int8.self))
            }
        }
    }
}

extension PackedMatrix {
    /// y[t * rowRange.count + r] by the integer products of the set in use. Empty where something else was written.
    func q8Matmul(_ x: QuantizedTokens, tokenRows: [Int32]? = nil, tokens: Int, rowRange: Range<Int>) -> [Float] {
        withMatrix { matrix in
            let yStride = rowRange.count + 3
            var y = [Float](repeating: .nan, count: tokens * yStride)
            var scratch = [Float](repeating: .nan, count: Int(wk_q8_matmul_scratch(Int64(cols))))
            x.withPointer { q8 in
                let begin = Int64(rowRange.lowerBound), end = Int64(rowRange.upperBound)
                if let tokenRows {
                    wk_q8_matmul(
                        matrix, begin, end, q8, tokenRows, Int64(tokens), &y, Int64(yStride), &scratch)
                } else {
                    wk_q8_matmul(matrix, begin, end, q8, nil, Int64(tokens), &y, Int64(yStride), &scratch)
                }
            }
            var dense = [Float]()
            for t in 0..<tokens {
                dense += y[(t * yStride)..<((t + 1) * yStride - 3)]
                if !y[((t + 1) * yStride - 3)..<((t + 1) * yStride)].allSatisfy(\.isNaN) { return [] }
            }
            return dense
        }
    }

    /// The same matrix with its BF16 scales as F32, so that dequantized products are not rounded to BF16.
    func withWideScales() -> PackedMatrix {
        guard packing == WK_INT4 || packing == WK_INT8, scalePacking == WK_BF16 else { return self }
        var wide = self
        wide.scalePacking = WK_F32
        wide.scales = stride(from: 0, to: scales.count, by: 2).flatMap { [0, 0, scales[$0], scales[$0 + 1]] }
        return wide
    }
}

extension KernelTests {
    @Suite struct Q8 {
        static let packings = [
            WK_Q4_0, WK_Q4_1, WK_Q5_0, WK_Q5_1, WK_Q8_0, WK_Q2_K, WK_Q3_K, WK_Q4_K, WK_Q5_K, WK_Q6_K, WK_IQ4_NL,
            WK_IQ4_XS, WK_MXFP4, WK_INT4, WK_INT8,
        ]

        /// Each set with and without the CPU's int8 dot products.
        static func withEachVariant(of set: String, _ body: (String) -> Void) {
            with(instructionSet: set) {
                for use in [true, false] {
                    wk_q8_use_dot_products(use)
                    body(use ? set : "\(set) without int8 dot products")
                }
                wk_q8_use_dot_products(true)
            }
        }

        @Test func itSupportsBlockPackingsOfWholeBlocksOnly() {
            var random = Random(20)
            for packing in Matmul.packings {
                let matrix = Matmul.randomMatrix(packing, rows: 2, cols: 256, &random)
                let isSupported = packing == WK_BF16 ? wk_bf16_products() : Self.packings.contains(packing)
                #expect(matrix.withMatrix(wk_q8_supports) == isSupported)
            }
            for packing in [WK_INT4, WK_INT8] {
                for (cols, group, expected) in [
                    (64, 32, true), (64, 128, true), (96, 96, true), (72, 24, false), (200, 200, false),
                    (96, 48, false),
                ] {
                    var matrix = Matmul.randomMatrix(packing, rows: 2, cols: cols, &random)
                    matrix.groupCols = group
                    #expect(matrix.withMatrix(wk_q8_supports) == expected, "\(cols) columns in groups of \(group)")
                }
            }
        }

        @Test(arguments: instructionSets)
        func quantizationIsTheSameInEverySetAndWithinHalfAStep(set: String) {
            with(instructionSet: set) {
                var random = Random(21)
                for cols in [1, 31, 32, 100, 256, 1000] {
                    var x = random.floats(3 * cols, -4...4)
                    x[0] = 0
                    for i in 0..<min(cols, 32) { x[cols + i] = 0 }  // a block of zeros
                    for i in 0..<min(cols, 32) { x[2 * cols + i] = 1e-38 }  // below the smallest scale
                    let quantized = QuantizedTokens(x, cols: cols, tokens: 3)
                    _ = wk_force_isa("generic")
                    #expect(quantized.bytes == QuantizedTokens(x, cols: cols, tokens: 3).bytes)
                    _ = wk_force_isa(set)
                    let back = quantized.dequantized()
                    for i in x.indices {
                        let row = i / cols * cols, block = row + (i - row) / 32 * 32
                        let largest = x[block..<min(block + 32, row + cols)].map(abs).max()!
                        #expect(abs(back[i] - x[i]) <= largest / 127 * 0.50001 + 1e-37)
                    }
                }
            }
        }

        @Test(arguments: instructionSets)
        func infinitiesAndNaNsMakeTheirResultsNaN(set: String) {
            Self.withEachVariant(of: set) { variant in
                var random = Random(22)
                let matrix = Matmul.randomMatrix(WK_Q4_0, rows: 16, cols: 64, &random)
                var x = random.floats(3 * 64)
                x[40] = .nan
                x[64] = -.infinity
                let y = matrix.q8Matmul(
                    QuantizedTokens(x, cols: 64, tokens: 3), tokens: 3, rowRange: 0..<16)
                let areNaN = y[0..<32].allSatisfy(\.isNaN), areFinite = y[32..<48].allSatisfy(\.isFinite)
                #expect(areNaN && areFinite, "\(variant)")
            }
        }

        @Test(arguments: instructionSets)
        func productsAreThoseOfTheDequantizedNumbers(set: String) {
            Self.withEachVariant(of: set) { variant in
                var random = Random(23)
                for packing in Self.packings {
                    for (cols, rows, tokens) in [(32, 3, 1), (256, 20, 3), (480, 17, 2), (1408, 16, 9)] {
                        let matrix = Matmul.randomMatrix(packing, rows: rows, cols: cols, &random)
                        let x = random.floats(tokens * matrix.cols)
                        let quantized = QuantizedTokens(x, cols: matrix.cols, tokens: tokens)
                        let y = matrix.q8Matmul(quantized, tokens: tokens, rowRange: 0..<rows)
                        let expected = Matmul.reference(
                            matrix.withWideScales().dequantized(), cols: matrix.cols, quantized.dequantized(),
                            stride: matrix.cols, tokens: tokens, rowRange: 0..<rows, transposed: false)
                        let good =
                            y.count == expected.count
                            && zip(y, expected).allSatisfy { abs(Double($0) - $1.value) <= 1e-5 * $1.magnitude + 1e-30 }
                        #expect(good, "packing \(packing.rawValue), \(rows) x \(matrix.cols), \(variant)")
                    }
                }
            }
        }

        @Test(arguments: instructionSets)
        func aResultIsThatOfTheGenericSetWhateverTheBatchAndTheRows(set: String) {
            var random = Random(24)
            for packing in Self.packings {
                for cols in [96, 256, 352, 1792] {
                    let rows = 37, tokens = 20
                    let matrix = Matmul.randomMatrix(packing, rows: rows, cols: cols, &random)
                    let x = QuantizedTokens(random.floats(tokens * matrix.cols), cols: matrix.cols, tokens: tokens)
                    _ = wk_force_isa("generic")
                    let all = matrix.q8Matmul(x, tokens: tokens, rowRange: 0..<rows)
                    Self.withEachVariant(of: set) { variant in
                        var same = true
                        for n in 1...tokens {
                            for range in [0..<rows, 5..<21, 2..<3, 30..<rows] {
                                let tokenRows = (0..<n).map { Int32((3 * $0 + n) % tokens) }
                                let part = matrix.q8Matmul(
                                    x, tokenRows: tokenRows, tokens: n, rowRange: range)
                                let expected = tokenRows.flatMap { t in range.map { all[Int(t) * rows + $0] } }
                                same = same && firstDifference(part, expected) == nil
                            }
                            let part = matrix.q8Matmul(x, tokens: n, rowRange: 0..<rows)
                            same = same && firstDifference(part, Array(all[0..<(n * rows)])) == nil
                        }
                        #expect(same, "packing \(packing.rawValue), \(matrix.cols) columns, \(variant)")
                    }
                }
            }
        }

        @Test(arguments: instructionSets)
        func scalesOfZeroAndSubnormalScalesAreMultipliedAsTheyAre(set: String) {
            Self.withEachVariant(of: set) { variant in
                var random = Random(25)
                for (scale, packing) in [(0, WK_Q4_0), (1, WK_Q4_0), (0x3ff, WK_Q8_0), (0x8001, WK_Q4_1)] {
                    var matrix = Matmul.randomMatrix(packing, rows: 16, cols: 64, &random)
                    let bytes = Int(wk_block_bytes(Int32(packing.rawValue)))
                    for block in stride(from: 0, to: matrix.data.count, by: bytes) {
                        matrix.data[block] = UInt8(scale & 255)
                        matrix.data[block + 1] = UInt8(scale >> 8)
                    }
                    let x = QuantizedTokens(random.floats(2 * 64), cols: 64, tokens: 2)
                    let y = matrix.q8Matmul(x, tokens: 2, rowRange: 0..<16)
                    let expected = Matmul.reference(
                        matrix.dequantized(), cols: 64, x.dequantized(), stride: 64, tokens: 2, rowRange: 0..<16,
                        transposed: false)
                    for (a, b) in zip(y, expected) {
                        #expect(abs(Double(a) - b.value) <= 1e-5 * b.magnitude, "\(variant)")
                    }
                }
            }
        }

        @Test(arguments: instructionSets)
        func productsWithoutTokensOrRowsWriteNothing(set: String) {
            with(instructionSet: set) {
                var random = Random(26)
                let matrix = Matmul.randomMatrix(WK_Q4_0, rows: 40, cols: 64, &random)
                let x = QuantizedTokens(random.floats(64), cols: 64, tokens: 1)
                #expect(matrix.q8Matmul(x, tokens: 0, rowRange: 0..<40).isEmpty)
                #expect(matrix.q8Matmul(x, tokens: 1, rowRange: 20..<20).isEmpty)
            }
        }
    }
}
