import CWaletKernels
import Testing

extension KernelTests {
    @Suite struct Matmul {
        /// Random bytes with sane scales, `cols` columns if the packing allows it, else the next number that it does.
        static func randomMatrix(_ packing: wk_packing, rows: Int, cols: Int, _ random: inout Random) -> PackedMatrix {
            let values = Int(wk_block_values(Int32(packing.rawValue)))
            let bytes = Int(wk_block_bytes(Int32(packing.rawValue)))
            let isInteger = packing == WK_INT4 || packing == WK_INT8
            let cols = isInteger ? cols : (cols + values - 1) / values * values
            let rowBytes = (cols + values - 1) / values * bytes
            var matrix = PackedMatrix(
                packing: packing, rows: rows, cols: cols, rowBytes: rowBytes, data: random.bytes(rows * rowBytes))
            func put(_ half: UInt16, at index: Int) {
                matrix.data[index] = UInt8(half & 255)
                matrix.data[index + 1] = UInt8(half >> 8)
            }
            // Exponents around 2^-5, random mantissas and signs.
            func f16() -> UInt16 { UInt16(truncatingIfNeeded: random.next()) & 0x83ff | 10 << 10 }
            let scaleOffsets: [Int]
            switch packing {
            case WK_Q4_0, WK_Q5_0, WK_Q8_0, WK_IQ4_NL, WK_IQ4_XS: scaleOffsets = [0]
            case WK_Q4_1, WK_Q5_1, WK_Q4_K, WK_Q5_K: scaleOffsets = [0, 2]
            case WK_Q2_K: scaleOffsets = [80, 82]
            case WK_Q3_K: scaleOffsets = [108]
            case WK_Q6_K: scaleOffsets = [208]
            default: scaleOffsets = []
            }
            for block in 0..<(rows * rowBytes / bytes) {
                for offset in scaleOffsets { put(f16(), at: block * bytes + offset) }
                switch packing {
                case WK_F32:
                    let bits = random.uniform().bitPattern
                    for i in 0..<4 { matrix.data[4 * block + i] = UInt8(bits >> UInt32(8 * i) & 255) }
                case WK_F16: put(f16(), at: 2 * block)
                case WK_BF16: put(UInt16(random.uniform().bitPattern >> 16), at: 2 * block)
                case WK_MXFP4: matrix.data[bytes * block] = UInt8(118 + random.next() % 8)
                case WK_FP8_E4M3: if matrix.data[block] & 0x7f == 0x7f { matrix.data[block] ^= 1 }
                default: break
                }
            }
            if isInteger || packing == WK_FP8_E4M3 {
                matrix.groupRows = isInteger ? 1 : 5
                matrix.groupCols = isInteger ? 32 : 128
                matrix.scalePacking = isInteger ? WK_BF16 : WK_F32
                matrix.scaleStride = (cols + matrix.groupCols - 1) / matrix.groupCols
                let count = (rows + matrix.groupRows - 1) / matrix.groupRows * matrix.scaleStride
                for _ in 0..<count {
                    let bits = random.uniform(0.001...0.01).bitPattern
                    let first = isInteger ? 2 : 0
                    for i in first..<4 { matrix.scales.append(UInt8(bits >> UInt32(8 * i) & 255)) }
                }
            }
            return matrix
        }

        static let packings = (0..<WK_PACKING_COUNT.rawValue).map { wk_packing($0) }

        /// The products in Double, and what the sums of magnitudes are, which bounds the error of any order of sums.
        static func reference(
            _ weights: [Float], cols: Int, _ x: [Float], stride: Int, tokens: Int, rowRange: Range<Int>,
            transposed: Bool
        ) -> [(value: Double, magnitude: Double)] {
            var result = [(value: Double, magnitude: Double)]()
            for t in 0..<tokens {
                for i in 0..<(transposed ? cols : rowRange.count) {
                    var value = 0.0, magnitude = 0.0
                    for k in 0..<(transposed ? rowRange.count : cols) {
                        let row = rowRange.lowerBound + (transposed ? k : i)
                        let product = Double(weights[row * cols + (transposed ? i : k)]) * Double(x[t * stride + k])
                        value += product
                        magnitude += abs(product)
                    }
                    result.append((value, magnitude))
                }
            }
            return result
        }

        @Test(arguments: instructionSets, [false, true])
        func productsAreThoseOfTheDequantizedRows(set: String, transposed: Bool) {
            with(instructionSet: set) {
                var random = Random(7)
                for packing in Self.packings {
                    for (cols, rows, tokens) in [(1, 1, 1), (37, 9, 2), (256, 14, 7), (603, 5, 4), (1030, 13, 34)] {
                        let matrix = Self.randomMatrix(packing, rows: rows, cols: cols, &random)
                        let range = min(1, rows - 1)..<rows
                        let stride = (transposed ? range.count : matrix.cols) + 2
                        let x = random.floats(tokens * stride)
                        let y = matrix.matmul(x, stride: stride, tokens: tokens, rowRange: range, transposed: transposed)
                        let expected = Self.reference(
                            matrix.dequantized(), cols: matrix.cols, x, stride: stride, tokens: tokens,
                            rowRange: range, transposed: transposed)
                        let good = y.count == expected.count && zip(y, expected).allSatisfy {
                            abs(Double($0) - $1.value) <= 3e-6 * $1.magnitude + 1e-30
                        }
                        #expect(good, "packing \(packing.rawValue), \(rows) x \(matrix.cols), \(tokens) tokens, \(set)")
                    }
                }
            }
        }

        @Test(arguments: instructionSets, [false, true])
        func aResultDoesNotDependOnTheBatchOrTheRowRange(set: String, transposed: Bool) {
            with(instructionSet: set) {
                var random = Random(8)
                for packing in Self.packings {
                    for cols in [61, 800] {
                        let rows = 15, tokens = 36
                        let matrix = Self.randomMatrix(packing, rows: rows, cols: cols, &random)
                        let inner = transposed ? rows : matrix.cols, outer = transposed ? matrix.cols : rows
                        let x = random.floats(tokens * inner)
                        let all = matrix.matmul(
                            x, stride: inner, tokens: tokens, rowRange: 0..<rows, transposed: transposed)
                        var same = true
                        // Each token alone, and batches of every small size.
                        var t = 0
                        for size in [1, 1, 2, 3, 4, 5, 6, 7, 7] {
                            let part = matrix.matmul(
                                Array(x[(t * inner)..<((t + size) * inner)]), stride: inner, tokens: size,
                                rowRange: 0..<rows, transposed: transposed)
                            same = same && firstDifference(part, Array(all[(t * outer)..<((t + size) * outer)])) == nil
                            t += size
                        }
                        // Each row range (a transposed product is a sum over its range, so there it has no parts).
                        if !transposed {
                            for range in [0..<1, 3..<4, 2..<9, 1..<14, 7..<15, 5..<5] {
                                for size in [1, 4] {
                                    let part = matrix.matmul(x, stride: inner, tokens: size, rowRange: range)
                                    let expected = (0..<size).flatMap { t in range.map { all[t * outer + $0] } }
                                    same = same && firstDifference(part, expected) == nil
                                }
                            }
                        }
                        #expect(same, "packing \(packing.rawValue), \(matrix.cols) columns, \(set)")
                    }
                }
            }
        }

        @Test(arguments: instructionSets)
        func everySetDequantizesRandomMatricesBitEqualToGeneric(set: String) {
            with(instructionSet: set) {
                var random = Random(9)
                for packing in Self.packings {
                    for cols in [1, 2, 15, 17, 64, 100, 515, 768] {
                        let matrix = Self.randomMatrix(packing, rows: 3, cols: cols, &random)
                        _ = wk_force_isa("generic")
                        let generic = matrix.dequantized()
                        _ = wk_force_isa(set)
                        let difference = firstDifference(matrix.dequantized(), generic)
                        #expect(difference == nil, "packing \(packing.rawValue), \(cols) columns, \(set)")
                    }
                }
            }
        }

        @Test(arguments: instructionSets)
        func productsWithoutTokensOrRowsWriteNothing(set: String) {
            with(instructionSet: set) {
                var random = Random(10)
                let matrix = Self.randomMatrix(WK_Q4_0, rows: 4, cols: 64, &random)
                #expect(matrix.matmul([0], stride: 64, tokens: 0, rowRange: 0..<4).isEmpty)
                #expect(matrix.matmul(random.floats(64), stride: 64, tokens: 1, rowRange: 2..<2).isEmpty)
                let sums = matrix.matmul([0], stride: 1, tokens: 1, rowRange: 2..<2, transposed: true)
                #expect(sums == [Float](repeating: 0, count: 64))
            }
        }
    }
}
