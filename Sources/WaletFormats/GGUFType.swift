import WaletTensor

/// The tensor types of GGUF, by their numbers in the file: their block sizes, and the packing that the kernels know.
///
/// Source: ggml's `ggml.h` and gguf-py's `constants.py`.
public struct GGUFType: Sendable, Equatable {
    public var id: UInt32
    public var name: String
    /// Values and bytes of a block.
    public var blockValues: Int
    public var blockBytes: Int
    /// Nil for what Walet can list but not compute with.
    public var packing: Packing?

    private init(_ id: UInt32, _ name: String, _ values: Int, _ bytes: Int, _ packing: Packing? = nil) {
        self.id = id
        self.name = name
        blockValues = values
        blockBytes = bytes
        self.packing = packing
    }

    public static let all: [GGUFType] = [
        GGUFType(0, "F32", 1, 4, .f32), GGUFType(1, "F16", 1, 2, .f16), GGUFType(2, "Q4_0", 32, 18, .q4_0),
        GGUFType(3, "Q4_1", 32, 20, .q4_1), GGUFType(6, "Q5_0", 32, 22, .q5_0), GGUFType(7, "Q5_1", 32, 24, .q5_1),
        GGUFType(8, "Q8_0", 32, 34, .q8_0), GGUFType(9, "Q8_1", 32, 36), GGUFType(10, "Q2_K", 256, 84, .q2_K),
        GGUFType(11, "Q3_K", 256, 110, .q3_K), GGUFType(12, "Q4_K", 256, 144, .q4_K),
        GGUFType(13, "Q5_K", 256, 176, .q5_K), GGUFType(14, "Q6_K", 256, 210, .q6_K),
        GGUFType(15, "Q8_K", 256, 292), GGUFType(16, "IQ2_XXS", 256, 66), GGUFType(17, "IQ2_XS", 256, 74),
        GGUFType(18, "IQ3_XXS", 256, 98), GGUFType(19, "IQ1_S", 256, 50), GGUFType(20, "IQ4_NL", 32, 18, .iq4_nl),
        GGUFType(21, "IQ3_S", 256, 110), GGUFType(22, "IQ2_S", 256, 82), GGUFType(23, "IQ4_XS", 256, 136, .iq4_xs),
        GGUFType(24, "I8", 1, 1), GGUFType(25, "I16", 1, 2), GGUFType(26, "I32", 1, 4), GGUFType(27, "I64", 1, 8),
        GGUFType(28, "F64", 1, 8), GGUFType(29, "IQ1_M", 256, 56), GGUFType(30, "BF16", 1, 2, .bf16),
        GGUFType(34, "TQ1_0", 256, 54), GGUFType(35, "TQ2_0", 256, 66), GGUFType(39, "MXFP4", 32, 17, .mxfp4),
        GGUFType(40, "NVFP4", 64, 36), GGUFType(41, "Q1_0", 128, 18),
    ]

    private static let byID = Dictionary(uniqueKeysWithValues: all.map { ($0.id, $0) })

    public static func known(_ id: UInt32) -> GGUFType? { byID[id] }

    /// The type that a packing has in files; nil for those of safetensors alone.
    static func of(_ packing: Packing) -> GGUFType? { all.first { $0.packing == packing } }

    /// What Walet computes with, for error messages.
    static var supported: String { all.filter { $0.packing != nil }.map(\.name).joined(separator: ", ") }

    /// Ids that older versions of the format used.
    static func isRemoved(_ id: UInt32) -> Bool { [4, 5, 31, 32, 33, 36, 37, 38].contains(id) }
}
