import CWaletKernels
import Foundation
import Testing

extension KernelTests {
    @Suite struct Vector {
        static let sizes = [0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 576, 1001]

        func close(_ a: [Float], _ b: [Double], relative: Double = 1e-6, absolute: Double = 1e-7) -> Bool {
            a.count == b.count
                && zip(a, b).allSatisfy { abs(Double($0) - $1) <= relative * abs($1) + absolute }
        }

        @Test(arguments: instructionSets)
        func dotAxpyAndAddOfEverySize(set: String) {
            with(instructionSet: set) {
                var random = Random(1)
                for n in Self.sizes {
                    let a = random.floats(n), b = random.floats(n)
                    let products = zip(a, b).map { Double($0) * Double($1) }
                    let error = abs(Double(wk_dot(a, b, Int64(n))) - products.reduce(0, +))
                    #expect(error <= 1e-6 * products.reduce(0) { $0 + abs($1) }, "dot of \(n), \(set)")

                    // A value behind the end must stay.
                    var y = b + [5]
                    wk_axpy(0.75, a, &y, Int64(n))
                    #expect(close(y, zip(a, b).map { 0.75 * Double($0) + Double($1) } + [5]), "axpy of \(n), \(set)")
                    y = b + [5]
                    wk_add(a, &y, Int64(n))
                    #expect(close(y, zip(a, b).map { Double($0) + Double($1) } + [5]), "add of \(n), \(set)")
                }
            }
        }

        @Test(arguments: instructionSets)
        func rmsNormOfEverySize(set: String) {
            with(instructionSet: set) {
                var random = Random(2)
                for n in Self.sizes {
                    let x = random.floats(n, -3...3), weight = random.floats(n)
                    let mean = x.reduce(0.0) { $0 + Double($1) * Double($1) } / Double(max(n, 1))
                    let scale = 1 / (mean + 1e-5).squareRoot()
                    var y = [Float](repeating: 5, count: n + 1)
                    wk_rms_norm(x, weight, 1e-5, &y, Int64(n))
                    #expect(close(y, zip(x, weight).map { Double($0) * scale * Double($1) } + [5]), "\(n), \(set)")
                    // In place and without weights.
                    var z = x + [5]
                    z.withUnsafeMutableBufferPointer {
                        wk_rms_norm($0.baseAddress, nil, 1e-5, $0.baseAddress, Int64(n))
                    }
                    #expect(close(z, x.map { Double($0) * scale } + [5]), "\(n) in place, \(set)")
                }
            }
        }

        @Test(arguments: instructionSets)
        func siluAndSoftmaxOfEverySize(set: String) {
            with(instructionSet: set) {
                var random = Random(3)
                for n in Self.sizes {
                    let gate = random.floats(n, -30...30), up = random.floats(n)
                    var y = gate + [5]
                    wk_silu_mul(&y, up, Int64(n))
                    let expected = zip(gate, up).map { Double($0) / (1 + exp(-Double($0))) * Double($1) }
                    #expect(close(y, expected + [5], absolute: 1e-30), "silu of \(n), \(set)")

                    let x = random.floats(n, -20...20)
                    y = x + [5]
                    wk_softmax(&y, Int64(n))
                    // The difference is a float in every implementation; its rounding is no error of the exponential.
                    let largest = x.max() ?? 0
                    let powers = x.map { exp(Double($0 - largest)) }
                    let sum = powers.reduce(0, +)
                    #expect(close(y, powers.map { $0 / sum } + [5], absolute: 1e-30), "softmax of \(n), \(set)")
                }
            }
        }

        @Test(arguments: instructionSets)
        func extremesOfSiluAndSoftmax(set: String) {
            with(instructionSet: set) {
                // Repeated, so that vectors and tails both see them.
                let values: [Float] = [-1e30, -1000, -104, -88.8, -87.5, 0, 88.8, 1000, 1e30, .infinity]
                var gate = (0..<50).map { values[$0 % 10] }
                wk_silu_mul(&gate, [Float](repeating: 1, count: 50), 50)
                for (i, y) in gate.enumerated() {
                    let x = values[i % 10]
                    let expected = x < -88 ? 0 : x > 80 ? x : x / (1 + Float(exp(-Double(x))))
                    #expect(y == expected || abs(y - expected) <= 1e-30, "silu of \(x): \(y), \(set)")
                }
                var scores: [Float] = (0..<37).map { $0 % 3 == 0 ? 1 : -.infinity }
                wk_softmax(&scores, 37)
                for (i, p) in scores.enumerated() { #expect(abs(p - (i % 3 == 0 ? 1 / 13 : 0)) < 1e-7) }
                var nan: [Float] = Array(repeating: 0, count: 20) + [.nan]
                wk_silu_mul(&nan, [Float](repeating: 1, count: 21), 21)
                #expect(nan[20].isNaN && nan[..<20].allSatisfy { $0 == 0 })
            }
        }

        @Test(arguments: instructionSets)
        func ropeOfEverySize(set: String) {
            with(instructionSet: set) {
                var random = Random(4)
                for pairs in [0, 1, 2, 3, 4, 7, 8, 15, 16, 17, 32, 33, 64] {
                    let x = random.floats(2 * pairs), angles = random.floats(pairs, -3...3)
                    let cosines = angles.map { Float(cos(Double($0))) }, sines = angles.map { Float(sin(Double($0))) }
                    func rotated(_ a: Float, _ b: Float, _ i: Int) -> (Double, Double) {
                        let c = Double(cosines[i]), s = Double(sines[i]), a = Double(a), b = Double(b)
                        return (a * c - b * s, b * c + a * s)
                    }
                    var y = x + [5]
                    wk_rope_interleaved(&y, cosines, sines, Int64(pairs))
                    var expected = (0..<pairs).flatMap { i -> [Double] in
                        let (a, b) = rotated(x[2 * i], x[2 * i + 1], i)
                        return [a, b]
                    }
                    #expect(close(y, expected + [5]), "interleaved, \(pairs) pairs, \(set)")
                    y = x + [5]
                    wk_rope_half(&y, cosines, sines, Int64(pairs))
                    expected = (0..<pairs).map { rotated(x[$0], x[$0 + pairs], $0).0 }
                    expected += (0..<pairs).map { rotated(x[$0], x[$0 + pairs], $0).1 }
                    #expect(close(y, expected + [5]), "half, \(pairs) pairs, \(set)")
                }
            }
        }

        @Test func onlySetsOfThisCPUCanBeForced() {
            #expect(!wk_force_isa("avx1024"))
            let available = wk_available_isas()!
            #expect(String(cString: available[0]!) == "generic")
            var i = 0
            while let name = available[i] {
                #expect(wk_force_isa(name))
                #expect(strcmp(wk_isa(), name) == 0)
                i += 1
            }
        }
    }
}
