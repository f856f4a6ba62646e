import CWaletAutodiff
import CWaletKernels
import Testing

extension AutodiffTests {
    /// `wa_product` against sums in fp64.
    @Suite(.serialized) struct ProductTests {
        /// A factor as it lies: element (row, column) at `row * rowStep + column * columnStep`.
        private struct Matrix {
            let values: [Float]
            let rowStep: Int
            let columnStep: Int

            /// - Parameter gap: floats between lines that are no part of the matrix.
            init(_ rows: Int, _ columns: Int, transposed: Bool, gap: Int, _ random: inout SeededRandom) {
                let (lines, length) = transposed ? (columns, rows) : (rows, columns)
                rowStep = transposed ? 1 : length + gap
                columnStep = transposed ? length + gap : 1
                // No gap behind the last line.
                values = (0..<max(1, lines * (length + gap) - gap)).map { _ in random.next() }
            }

            subscript(row: Int, column: Int) -> Double { Double(values[row * rowStep + column * columnStep]) }
        }

        /// Numbers from -1 to 1, the same in every run.
        private struct SeededRandom {
            var state: UInt64 = 1
            mutating func next() -> Float {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                return Float(Int64(bitPattern: state) >> 40) / Float(1 << 23)
            }
        }

        private static let sizes = [
            (1, 1, 1), (2, 3, 5), (13, 31, 17), (14, 32, 16), (15, 33, 15), (27, 48, 64), (28, 64, 256), (29, 65, 257),
            (43, 16, 300), (140, 96, 96), (141, 97, 33), (561, 40, 520), (600, 7, 3), (1, 512, 40), (5, 100, 700),
            (20, 1000, 256), (40, 70, 1030),
        ]

        @Test(arguments: ["generic", "avx2", "avx512"]) func productsAreThoseOfPlainSums(_ name: String) {
            let best = String(cString: wk_isa())
            guard wk_force_isa(name) else {
                print("note: this CPU lacks \(name), so its products were not tested here")
                return
            }
            defer { _ = wk_force_isa(best) }
            var random = SeededRandom()
            var most = 0.0
            for (m, n, k) in Self.sizes {
                for (transposesA, transposesB) in [(false, false), (false, true), (true, false), (true, true)] {
                    for (alpha, beta, gap) in [(1, 0, 0), (0.5, 1, 3), (1, -2, 1)] as [(Float, Float, Int)] {
                        let a = Matrix(m, k, transposed: transposesA, gap: gap, &random)
                        let b = Matrix(k, n, transposed: transposesB, gap: gap, &random)
                        let stride = n + gap
                        let before = (0..<m * stride).map { _ in beta == 0 ? Float.nan : random.next() }
                        var c = before
                        wa_product(
                            Int64(m), Int64(n), Int64(k), alpha, a.values, Int64(a.rowStep), Int64(a.columnStep),
                            b.values, Int64(b.rowStep), Int64(b.columnStep), beta, &c, Int64(stride))
                        for i in 0..<m {
                            for j in 0..<stride {
                                let place = i * stride + j
                                if j >= n {
                                    // What is no part of the result stays.
                                    #expect(c[place].bitPattern == before[place].bitPattern)
                                    continue
                                }
                                var sum = (0..<k).reduce(0.0) { $0 + a[i, $1] * b[$1, j] } * Double(alpha)
                                if beta != 0 { sum += Double(beta) * Double(before[place]) }
                                most = max(most, abs(Double(c[place]) - sum) / Double(k).squareRoot())
                            }
                        }
                    }
                }
            }
            #expect(most < 2e-6, "\(name): \(most)")
            print("products with \(name): at most \(most) times the root of k from fp64")
        }

        /// An element depends on its row and its column alone, so that it does not matter how rows are dealt to workers.
        @Test func rowsAreTheSameInAnyCompany() {
            var random = SeededRandom()
            let (m, n, k) = (131, 70, 300)
            for transposed in [false, true] {
                let a = Matrix(m, k, transposed: transposed, gap: 0, &random)
                let b = Matrix(k, n, transposed: true, gap: 0, &random)
                func product(_ rows: Range<Int>) -> [Float] {
                    var c = [Float](repeating: 0, count: rows.count * n)
                    a.values.withUnsafeBufferPointer { values in
                        wa_product(
                            Int64(rows.count), Int64(n), Int64(k), 1, values.baseAddress! + rows.lowerBound * a.rowStep,
                            Int64(a.rowStep), Int64(a.columnStep), b.values, Int64(b.rowStep), Int64(b.columnStep), 0,
                            &c, Int64(n))
                    }
                    return c
                }
                let whole = product(0..<m)
                for rows in [0..<1, 1..<14, 14..<29, 29..<131] {
                    #expect(product(rows) == Array(whole[rows.lowerBound * n..<rows.upperBound * n]))
                }
            }
        }
    }
}
