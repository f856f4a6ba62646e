import WaletFormats
import WaletTensor

/// Weights made up on the spot, in the shapes and packings that a configuration names: for measuring speed where there
/// is no checkpoint. Every matrix has memory of its own, so that reading it costs what reading a real one costs.
public final class RandomWeights: WeightSource {
    private let quantization: Configuration.Quantization?

    public init(_ configuration: Configuration) { quantization = configuration.quantization }

    /// About how much memory the weights of a configuration take, in bytes; the largest integer where that is too small.
    public static func byteCount(_ configuration: Configuration) -> Int {
        let parameters = configuration.parameters
        // Half bits a value, its share of the scales included.
        let (packed, plain): (Int, Int) =
            switch configuration.quantization {
            case .packed(let bits, let group, _): (2 * bits + (group.map { (32 + $0 - 1) / $0 } ?? 1), 32)
            case .fp8: (17, 17)
            case nil: (32, 32)
            }
        func bytes(_ count: Int, _ halfBits: Int) -> Int {
            let (product, overflow) = count.multipliedReportingOverflow(by: halfBits)
            return overflow ? .max : product / 16
        }
        let routed = bytes(parameters.routed, packed)
        let (sum, overflow) = routed.addingReportingOverflow(bytes(parameters.total - parameters.routed, plain))
        return overflow ? .max : sum
    }

    public func matrix(_ module: String, rows: Int, columns: Int) throws(FormatError) -> WeightMatrix {
        switch quantization {
        case .packed(let bits, let groupSize, _) where Self.isPacked(module):
            let packing: Packing = bits == 4 ? .int4 : .int8
            let group = groupSize ?? columns
            let values = try Block(packing, rows, columns, of: .random(in: 0...UInt64.max))
            let scales = try Block(.bf16, rows, (columns + group - 1) / group, of: Self.bf16Scales)
            let owner = Pair(values, scales)
            return WeightMatrix(
                packing: packing, rows: rows, columns: columns, data: values.start, scales: scales.start,
                scalePacking: .bf16, groupRows: 1, groupColumns: group, owner: owner)
        case .fp8(let blockRows, let blockColumns) where !Self.isPlain(module):
            // No bit pattern 0x7F or 0xFF, which is NaN.
            let values = try Block(.fp8, rows, columns, of: .random(in: 0...UInt64.max) & 0xBFBF_BFBF_BFBF_BFBF)
            let scales = try Block(
                .f32, (rows + blockRows - 1) / blockRows, (columns + blockColumns - 1) / blockColumns,
                of: Self.f32Scales)
            return WeightMatrix(
                packing: .fp8, rows: rows, columns: columns, data: values.start, scales: scales.start,
                scalePacking: .f32, groupRows: blockRows, groupColumns: blockColumns, owner: Pair(values, scales))
        default:
            let values = try Block(
                .bf16, rows, columns, of: .random(in: 0...UInt64.max) & Self.bf16Mask | Self.bf16Scales)
            return WeightMatrix(packing: .bf16, rows: rows, columns: columns, data: values.start, owner: values)
        }
    }

    public func vector(_ name: String, count: Int) throws(FormatError) -> FloatBuffer {
        FloatBuffer((0..<count).map { _ in name.hasSuffix("bias") ? Float.random(in: -0.1...0.1) : 1 })
    }

    public func hasMatrix(_ module: String) -> Bool { !module.hasSuffix(".k_b_proj") && !module.hasSuffix(".v_b_proj") }
    public func hasVector(_ name: String) -> Bool { true }
    public func checkIntact() throws(FormatError) {}

    /// Kimi K2 Thinking packs its routed experts and nothing else.
    private static func isPacked(_ module: String) -> Bool { module.contains(".experts.") }
    private static func isPlain(_ module: String) -> Bool {
        ["embed_tokens", "lm_head", ".mlp.gate", ".eh_proj", ".shared_head.head"].contains(where: module.hasSuffix)
    }

    // bf16 0x3C00 is 2^-7; the mask leaves sign and mantissa free.
    private static let bf16Scales: UInt64 = 0x3C00_3C00_3C00_3C00
    private static let bf16Mask: UInt64 = 0x807F_807F_807F_807F
    private static let f32Scales: UInt64 = 0x3C00_0000_3C00_0000

    /// Memory that holds a pattern, varied from word to word within the bits that `of` leaves meaningful.
    private final class Block {
        let start: UnsafeMutableRawPointer

        init(_ packing: Packing, _ rows: Int, _ columns: Int, of word: @autoclosure () -> UInt64) throws(FormatError) {
            guard let rowBytes = packing.rowBytes(columns: columns) else {
                throw FormatError(
                    file: "random weights", expected: "rows of whole \(packing.name) blocks",
                    found: "\(columns) columns")
            }
            let words = (rows * rowBytes + 7) / 8 + 1
            start = .allocate(byteCount: words * 8, alignment: 64)
            let target = start.bindMemory(to: UInt64.self, capacity: words)
            // A page of random words, repeated: making gigabytes of them would take longer than the measurement.
            let page = min(words, 512)
            for index in 0..<page { target[index] = word() }
            var filled = page
            while filled < words {
                let count = min(filled, words - filled)
                (target + filled).update(from: target, count: count)
                filled += count
            }
        }

        deinit { start.deallocate() }
    }

    private final class Pair {
        let values: Block
        let scales: Block
        init(_ values: Block, _ scales: Block) {
            self.values = values
            self.scales = scales
        }
    }
}
