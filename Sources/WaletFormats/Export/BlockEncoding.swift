// Rows of numbers to the blocks of GGUF: rounding of floats, and integers that stay what they are.

import WaletTensor

/// Floats to a packing, rounded to the nearest as ggml's reference does it (`quantize_row_*_ref` in ggml-quants.c).
enum BlockEncoding {
    static let values = 32

    /// Encodes a row.
    /// - Returns: a number that the packing cannot say; nil where there is none.
    static func encode(
        _ row: UnsafePointer<Float>, count: Int, as packing: Packing, into output: UnsafeMutableRawPointer
    ) -> Float? {
        switch packing {
        case .f32:
            output.copyMemory(from: row, byteCount: 4 * count)
            return nil
        case .bf16:
            for i in 0..<count { store(HalfFloat.bf16(row[i]), output + 2 * i) }
            return nil
        case .f16:
            for i in 0..<count {
                let bits = HalfFloat.f16(row[i])
                if bits & 0x7FFF == 0x7C00, row[i].isFinite { return row[i] }
                store(bits, output + 2 * i)
            }
            return nil
        case .q8_0:
            for block in 0..<count / values {
                if let flaw = q8_0(row + values * block, into: output + 34 * block) { return flaw }
            }
            return nil
        case .q4_0:
            for block in 0..<count / values {
                if let flaw = q4_0(row + values * block, into: output + 18 * block) { return flaw }
            }
            return nil
        default: preconditionFailure("\(packing.name) is not written")
        }
    }

    private static func store(_ bits: UInt16, _ output: UnsafeMutableRawPointer) {
        output.storeBytes(of: bits.littleEndian, as: UInt16.self)
    }

    /// Puts a block's scale before it; false where F16 has no number for it.
    private static func store(scale: Float, _ output: UnsafeMutableRawPointer) -> Bool {
        let bits = HalfFloat.f16(scale)
        store(bits, output)
        return bits & 0x7C00 != 0x7C00
    }

    private static func q8_0(_ x: UnsafePointer<Float>, into output: UnsafeMutableRawPointer) -> Float? {
        var largest: Float = 0
        for i in 0..<values {
            guard x[i].isFinite else { return x[i] }
            largest = max(largest, abs(x[i]))
        }
        let scale = largest / 127
        let inverse = scale == 0 ? 0 : 1 / scale
        guard store(scale: scale, output), inverse.isFinite else { return largest }
        for i in 0..<values {
            let rounded = (x[i] * inverse).rounded(.toNearestOrAwayFromZero)
            output.storeBytes(of: Int8(max(-127, min(127, rounded))), toByteOffset: 2 + i, as: Int8.self)
        }
        return nil
    }

    private static func q4_0(_ x: UnsafePointer<Float>, into output: UnsafeMutableRawPointer) -> Float? {
        var largest: Float = 0
        for i in 0..<values {
            guard x[i].isFinite else { return x[i] }
            if abs(x[i]) > abs(largest) { largest = x[i] }
        }
        // The largest becomes -8, whatever its sign is.
        let scale = largest / -8
        let inverse = scale == 0 ? 0 : 1 / scale
        guard store(scale: scale, output), inverse.isFinite else { return largest }
        func nibble(_ value: Float) -> UInt8 { UInt8(max(0, min(15, value * inverse + 8.5))) }
        for i in 0..<values / 2 {
            output.storeBytes(of: nibble(x[i]) | nibble(x[i + 16]) << 4, toByteOffset: 2 + i, as: UInt8.self)
        }
        return nil
    }
}

/// Integers of compressed-tensors to blocks of 32, without a float between: INT4 to Q4_0, INT8 to Q8_0.
struct IntegerBlocks {
    /// How many scales were written.
    private(set) var scales = 0
    /// Scales that F16 does not have, and the largest of their relative errors.
    private(set) var inexact = 0
    private(set) var largestError: Float = 0

    /// The packing that integers of a matrix become; nil for a matrix of something else, or whose groups are no whole blocks.
    static func packing(of matrix: WeightMatrix) -> Packing? {
        guard matrix.packing == .int4 || matrix.packing == .int8, matrix.groupRows == 1,
            matrix.groupColumns % BlockEncoding.values == 0 || matrix.groupColumns >= matrix.columns
        else { return nil }
        return matrix.packing == .int4 ? .q4_0 : .q8_0
    }

    /// Encodes a row.
    /// - Parameters:
    ///   - values: the row's packed integers: nibbles with 8 added, the even value in the low one, or bytes with 128 added.
    ///   - scales: the row's, a number each `group` values.
    /// - Returns: a scale that F16 cannot say; nil where there is none.
    mutating func encode(
        _ values: UnsafePointer<UInt8>, _ scales: UnsafePointer<Float>, group: Int, count: Int, as packing: Packing,
        into output: UnsafeMutableRawPointer
    ) -> Float? {
        let output = output.assumingMemoryBound(to: UInt8.self)
        let bytes = packing.blockBytes
        for block in 0..<count / BlockEncoding.values {
            let scale = scales[block * BlockEncoding.values / group]
            let bits = HalfFloat.f16(scale)
            guard bits & 0x7C00 != 0x7C00 else { return scale }
            note(scale, bits)
            let target = output + bytes * block
            target[0] = UInt8(truncatingIfNeeded: bits)
            target[1] = UInt8(truncatingIfNeeded: bits >> 8)
            if packing == .q4_0 {
                // Byte i holds values i and i + 16, where the source has neighbours in a byte.
                let source = values + 16 * block
                for i in 0..<8 {
                    let (first, second) = (source[i], source[i + 8])
                    target[2 + 2 * i] = first & 15 | second << 4
                    target[3 + 2 * i] = first >> 4 | second & 0xF0
                }
            } else {
                let source = values + 32 * block
                for i in 0..<32 { target[2 + i] = source[i] ^ 0x80 }
            }
        }
        return nil
    }

    private mutating func note(_ scale: Float, _ bits: UInt16) {
        scales += 1
        let error = abs(HalfFloat.float(f16: bits) - scale)
        guard error != 0 else { return }
        inexact += 1
        largestError = max(largestError, error / abs(scale))
    }
}
