import CWaletKernels
import Testing

extension KernelTests {
    @Suite struct Dequantize {
        @Test func theFixturesCoverEveryPacking() {
            let packings = Set(Fixture.all.map { Int($0.matrix.packing.rawValue) })
            #expect(packings == Set(0..<Int(WK_PACKING_COUNT.rawValue)))
        }

        @Test(arguments: instructionSets)
        func everyPackingIsBitEqualToTheReferenceImplementation(set: String) {
            with(instructionSet: set) {
                for fixture in Fixture.all {
                    let difference = firstDifference(fixture.matrix.dequantized(), fixture.expected)
                    #expect(difference == nil, "\(fixture.name), \(set)")
                }
            }
        }

        @Test(arguments: instructionSets)
        func all65536HalfFloatsAreExact(set: String) {
            with(instructionSet: set) {
                let data = (0..<65536).flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] }
                let half = PackedMatrix(packing: WK_F16, rows: 1, cols: 65536, rowBytes: 131072, data: data).dequantized()
                let brain = PackedMatrix(packing: WK_BF16, rows: 1, cols: 65536, rowBytes: 131072, data: data).dequantized()
                var wrong = 0
                for code in 0..<65536 {
                    let sign: Float = code >> 15 == 0 ? 1 : -1
                    let exponent = code >> 10 & 31, mantissa = Float(code & 0x3ff)
                    let expected: Float =
                        exponent == 0
                        ? sign * mantissa * 0x1p-24
                        : exponent < 31
                            ? sign * (1 + mantissa / 1024) * Float(sign: .plus, exponent: exponent - 15, significand: 1)
                            : mantissa == 0 ? sign * .infinity : .nan
                    if !(half[code].bitPattern == expected.bitPattern || half[code].isNaN && expected.isNaN) { wrong += 1 }
                    if brain[code].bitPattern != UInt32(code) << 16 { wrong += 1 }
                }
                #expect(wrong == 0)
            }
        }

        @Test(arguments: instructionSets)
        func nanCodesOfFP8StayNaN(set: String) {
            with(instructionSet: set) {
                let codes = PackedMatrix(
                    packing: WK_FP8_E4M3, rows: 1, cols: 256, rowBytes: 256, data: (0...255).map { $0 },
                    scales: [0, 0, 0x80, 0x3f], scaleStride: 1, groupRows: 128, groupCols: 256)
                let nan = codes.dequantized().enumerated().filter { $0.element.isNaN }.map(\.offset)
                #expect(nan == [0x7f, 0xff])
            }
        }

        @Test func blocksHaveTheSizesOfTheirFormats() {
            let expected: [(wk_packing, Int64, Int64)] = [
                (WK_F32, 1, 4), (WK_F16, 1, 2), (WK_BF16, 1, 2), (WK_Q4_0, 32, 18), (WK_Q4_1, 32, 20),
                (WK_Q5_0, 32, 22), (WK_Q5_1, 32, 24), (WK_Q8_0, 32, 34), (WK_Q2_K, 256, 84), (WK_Q3_K, 256, 110),
                (WK_Q4_K, 256, 144), (WK_Q5_K, 256, 176), (WK_Q6_K, 256, 210), (WK_IQ4_NL, 32, 18),
                (WK_IQ4_XS, 256, 136), (WK_MXFP4, 32, 17), (WK_INT4, 8, 4), (WK_INT8, 4, 4), (WK_FP8_E4M3, 1, 1),
            ]
            for (packing, values, bytes) in expected {
                #expect(wk_block_values(Int32(packing.rawValue)) == values)
                #expect(wk_block_bytes(Int32(packing.rawValue)) == bytes)
            }
            #expect(wk_block_values(-1) == 0)
            #expect(wk_block_bytes(Int32(WK_PACKING_COUNT.rawValue)) == 0)
        }
    }
}
