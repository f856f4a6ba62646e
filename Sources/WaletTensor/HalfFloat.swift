// Sixteen-bit floats as bits: Swift has no type for them on every platform.

/// IEEE 754 binary16 (F16) and bfloat16 (BF16), from floats and to them.
public enum HalfFloat {
    /// The nearest F16, ties to even; what is too large becomes infinite.
    public static func f16(_ value: Float) -> UInt16 {
        let sign = UInt16(truncatingIfNeeded: value.bitPattern >> 16) & 0x8000
        let bits = value.bitPattern & 0x7FFF_FFFF
        if bits > 0x7F80_0000 { return sign | 0x7E00 }
        // 65520, halfway from the largest to what would come after it.
        if bits >= 0x477F_F000 { return sign | 0x7C00 }
        if bits < 0x3880_0000 {
            // Below 2^-14 numbers are multiples of 2^-24.
            let multiple = (Float(bitPattern: bits) * 0x1p24).rounded(.toNearestOrEven)
            return sign | UInt16(multiple)
        }
        let rounded = bits + 0xFFF + (bits >> 13 & 1)
        return sign | UInt16(truncatingIfNeeded: (rounded - 0x3800_0000) >> 13)
    }

    public static func float(f16 bits: UInt16) -> Float {
        let sign = UInt32(bits & 0x8000) << 16
        let exponent = bits >> 10 & 31
        let mantissa = UInt32(bits & 0x3FF)
        switch exponent {
        case 0: return Float(bitPattern: (Float(mantissa) * 0x1p-24).bitPattern | sign)
        case 31: return Float(bitPattern: sign | 0x7F80_0000 | mantissa << 13)
        default: return Float(bitPattern: sign | (UInt32(exponent) + 112) << 23 | mantissa << 13)
        }
    }

    /// The nearest BF16, ties to even.
    public static func bf16(_ value: Float) -> UInt16 {
        let bits = value.bitPattern
        if value.isNaN { return UInt16(truncatingIfNeeded: bits >> 16) | 0x40 }
        return UInt16(truncatingIfNeeded: (bits + 0x7FFF + (bits >> 16 & 1)) >> 16)
    }
}
