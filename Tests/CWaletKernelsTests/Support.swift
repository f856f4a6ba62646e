// What the kernels' tests share: fixtures, matrices in memory, random numbers, and the sets to test.
import CWaletKernels
import Foundation
import Testing

/// The set in use and SIGBUS's handler belong to the whole process, so no two of these tests run at a time.
@Suite(.serialized) enum KernelTests {}

/// Every instruction set that this kind of CPU may have.
#if arch(x86_64)
    let instructionSets = ["generic", "avx2", "avx512"]
#elseif arch(arm64)
    let instructionSets = ["generic", "neon"]
#else
    let instructionSets = ["generic"]
#endif

/// Runs `body` with the set in use, or says that this CPU lacks it.
func with(instructionSet name: String, _ body: () throws -> Void) rethrows {
    guard wk_force_isa(name) else {
        print("note: this CPU lacks \(name), so its kernels were not tested here")
        return
    }
    try body()
}

/// SplitMix64: the same numbers on every machine.
struct Random {
    var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    mutating func uniform(_ range: ClosedRange<Float> = -1...1) -> Float {
        range.lowerBound + (range.upperBound - range.lowerBound) * Float(next() >> 40) / Float(1 << 24)
    }

    mutating func floats(_ count: Int, _ range: ClosedRange<Float> = -1...1) -> [Float] {
        (0..<count).map { _ in uniform(range) }
    }

    mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) } }
}

/// A packed matrix in memory. Its bytes begin at an odd address, as those of a mapped file may.
struct PackedMatrix {
    var packing: wk_packing
    var scalePacking: wk_packing = WK_F32
    var rows: Int
    var cols: Int
    var rowBytes: Int
    var data: [UInt8]
    var scales: [UInt8] = []
    var scaleStride = 0
    var groupRows = 1
    var groupCols = 1

    func withMatrix<R>(_ body: (UnsafePointer<wk_matrix>) throws -> R) rethrows -> R {
        try ([0] + data).withUnsafeBufferPointer { data in
            try ([0] + scales).withUnsafeBufferPointer { scales in
                var matrix = wk_matrix(
                    packing: Int32(packing.rawValue), scale_packing: Int32(scalePacking.rawValue),
                    rows: Int64(rows), cols: Int64(cols), data: data.baseAddress! + 1,
                    row_bytes: Int64(rowBytes), scales: scales.baseAddress! + 1,
                    scale_stride: Int64(scaleStride), group_rows: Int32(groupRows), group_cols: Int32(groupCols))
                return try withUnsafePointer(to: &matrix, body)
            }
        }
    }

    /// All rows as floats, by the set in use.
    func dequantized() -> [Float] {
        withMatrix { matrix in
            var out = [Float](repeating: .nan, count: rows * cols)
            out.withUnsafeMutableBufferPointer { out in
                for row in 0..<rows { wk_dequantize_row(matrix, Int64(row), out.baseAddress! + row * cols) }
            }
            return out
        }
    }

    /// y[t * rowRange.count + r], by the set in use.
    func matmul(_ x: [Float], stride: Int, tokens: Int, rowRange: Range<Int>, transposed: Bool = false) -> [Float] {
        withMatrix { matrix in
            let yStride = (transposed ? cols : rowRange.count) + 3
            var y = [Float](repeating: .nan, count: tokens * yStride)
            var scratch = [Float](repeating: .nan, count: Int(wk_matmul_scratch(Int64(cols))))
            (transposed ? wk_matmul_transposed : wk_matmul)(
                matrix, Int64(rowRange.lowerBound), Int64(rowRange.upperBound), x, Int64(stride), Int64(tokens), &y,
                Int64(yStride), &scratch)
            var dense = [Float]()
            for t in 0..<tokens {
                dense += y[(t * yStride)..<((t + 1) * yStride - 3)]
                // Nothing is written outside the results.
                if !y[((t + 1) * yStride - 3)..<((t + 1) * yStride)].allSatisfy(\.isNaN) { return [] }
            }
            return dense
        }
    }
}

/// A file of Tests/Fixtures/blocks; Tools/make_block_fixtures.py describes it.
struct Fixture: CustomTestStringConvertible {
    var name: String
    var matrix: PackedMatrix
    var expected: [Float]
    var testDescription: String { name }

    static let all: [Fixture] = {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Fixtures/blocks")
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path())) ?? []
        return names.filter { $0.hasSuffix(".bin") }.sorted().map { name in
            let bytes = [UInt8](try! Data(contentsOf: folder.appending(path: name)))
            precondition(bytes.starts(with: Array("WKFX".utf8)), "\(name) is not a fixture")
            func word(_ at: Int) -> Int {
                Int(bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: at, as: UInt32.self) })
            }
            let header = (0..<10).map { word(4 + 4 * $0) }
            let dataEnd = 44 + header[8], scalesEnd = dataEnd + header[9]
            return Fixture(
                name: String(name.dropLast(4)),
                matrix: PackedMatrix(
                    packing: wk_packing(UInt32(header[0])), scalePacking: wk_packing(UInt32(header[1])),
                    rows: header[2], cols: header[3], rowBytes: header[4], data: Array(bytes[44..<dataEnd]),
                    scales: Array(bytes[dataEnd..<scalesEnd]), scaleStride: header[7], groupRows: header[5],
                    groupCols: header[6]),
                expected: stride(from: scalesEnd, to: bytes.count, by: 4).map {
                    Float(bitPattern: UInt32(word($0)))
                })
        }
    }()
}

/// The first place where two arrays differ in their bits, for a message that helps.
func firstDifference(_ a: [Float], _ b: [Float]) -> String? {
    if a.count != b.count { return "\(a.count) and \(b.count) values" }
    for i in a.indices where a[i].bitPattern != b[i].bitPattern { return "at \(i): \(a[i]) is not \(b[i])" }
    return nil
}
