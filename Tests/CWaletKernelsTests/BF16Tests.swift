import CWaletKernels
import Testing

extension KernelTests {
    /// Products of BF16 weights with activations rounded to BF16, where the CPU has them.
    @Suite(.enabled(if: wk_bf16_products(), "this CPU does not multiply BF16")) struct BF16 {
        /// Shapes with tails of rows and of groups, and with more tokens than are worked on at a time.
        private static let shapes = [(32, 3, 1), (256, 20, 3), (480, 17, 2), (1408, 16, 40), (608, 9, 300)]

        /// To the nearest, ties to even.
        private static func rounded(_ x: Float) -> Float {
            let bits = x.bitPattern
            return Float(bitPattern: (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF_0000)
        }

        @Test func productsAreThoseOfTheRoundedNumbers() {
            var random = Random(31)
            for (cols, rows, tokens) in Self.shapes {
                let matrix = Matmul.randomMatrix(WK_BF16, rows: rows, cols: cols, &random)
                let x = random.floats(tokens * cols)
                let y = matrix.q8Matmul(
                    QuantizedTokens(x, cols: cols, tokens: tokens), tokens: tokens, rowRange: 0..<rows)
                let expected = Matmul.reference(
                    matrix.dequantized(), cols: cols, x.map(Self.rounded), stride: cols, tokens: tokens,
                    rowRange: 0..<rows, transposed: false)
                let good =
                    y.count == expected.count
                    && zip(y, expected).allSatisfy { abs(Double($0) - $1.value) <= 1e-5 * $1.magnitude + 1e-30 }
                #expect(good, "\(rows) x \(cols), \(tokens) tokens")
            }
        }

        @Test func aResultDependsOnNeitherBatchNorRows() {
            var random = Random(32)
            for cols in [96, 1792] {
                let rows = 37, tokens = 70
                let matrix = Matmul.randomMatrix(WK_BF16, rows: rows, cols: cols, &random)
                let x = QuantizedTokens(random.floats(tokens * cols), cols: cols, tokens: tokens)
                let all = matrix.q8Matmul(x, tokens: tokens, rowRange: 0..<rows)
                for n in [1, 2, 3, 4, 7, 11, 12, 13, 31, 32, 33, 64, 70] {
                    for range in [0..<rows, 5..<21, 2..<3, 30..<rows] {
                        let tokenRows = (0..<n).map { Int32((3 * $0 + n) % tokens) }
                        let part = matrix.q8Matmul(x, tokenRows: tokenRows, tokens: n, rowRange: range)
                        let expected = tokenRows.flatMap { t in range.map { all[Int(t) * rows + $0] } }
                        #expect(firstDifference(part, expected) == nil, "\(n) tokens, rows \(range)")
                    }
                }
            }
        }

        @Test func infinitiesAndNaNsReachTheirResults() {
            var random = Random(33)
            let matrix = Matmul.randomMatrix(WK_BF16, rows: 16, cols: 64, &random)
            var x = random.floats(3 * 64)
            x[40] = .nan
            x[64] = .infinity
            let y = matrix.q8Matmul(QuantizedTokens(x, cols: 64, tokens: 3), tokens: 3, rowRange: 0..<16)
            #expect(y[0..<16].allSatisfy { $0.isNaN })
            #expect(y[16..<32].allSatisfy { !$0.isFinite })
            #expect(y[32..<48].allSatisfy { $0.isFinite })
        }
    }
}
