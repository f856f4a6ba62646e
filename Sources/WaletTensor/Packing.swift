import CWaletKernels

/// How the numbers of a matrix are packed in its file.
///
/// GGUF block formats are those of ggml (`ggml-common.h`); `int4` and `int8` are compressed-tensors `pack-quantized`;
/// `fp8` is DeepSeek's e4m3 with one scale a block of rows and columns.
public enum Packing: Int32, Sendable, CaseIterable {
    case f32 = 0
    case f16, bf16, q4_0, q4_1, q5_0, q5_1, q8_0, q2_K, q3_K, q4_K, q5_K, q6_K, iq4_nl, iq4_xs, mxfp4, int4, int8, fp8

    /// The field's name of the format.
    public var name: String {
        switch self {
        case .f32: "F32"
        case .f16: "F16"
        case .bf16: "BF16"
        case .q4_0: "Q4_0"
        case .q4_1: "Q4_1"
        case .q5_0: "Q5_0"
        case .q5_1: "Q5_1"
        case .q8_0: "Q8_0"
        case .q2_K: "Q2_K"
        case .q3_K: "Q3_K"
        case .q4_K: "Q4_K"
        case .q5_K: "Q5_K"
        case .q6_K: "Q6_K"
        case .iq4_nl: "IQ4_NL"
        case .iq4_xs: "IQ4_XS"
        case .mxfp4: "MXFP4"
        case .int4: "INT4"
        case .int8: "INT8"
        case .fp8: "FP8"
        }
    }

    /// Values in a block: 1 for plain types, 32 or 256 for GGUF blocks, the values in an I32 word for INT4 and INT8.
    public var blockValues: Int { Int(wk_block_values(rawValue)) }

    /// Bytes in a block.
    public var blockBytes: Int { Int(wk_block_bytes(rawValue)) }

    /// Bytes of a row of `columns` values, or nil where a row is not a whole number of blocks or the size overflows.
    /// INT4 and INT8 rows end in a partly filled word where need be.
    public func rowBytes(columns: Int) -> Int? {
        guard columns >= 0 else { return nil }
        let (whole, rest) = columns.quotientAndRemainder(dividingBy: blockValues)
        let blocks: Int
        switch self {
        case .int4, .int8: blocks = rest == 0 ? whole : whole + 1
        default:
            guard rest == 0 else { return nil }
            blocks = whole
        }
        let (bytes, overflow) = blocks.multipliedReportingOverflow(by: blockBytes)
        return overflow ? nil : bytes
    }
}
