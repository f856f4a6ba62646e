import CWaletKernels
import WaletTensor

/// What attention gives.
public struct Attended {
    /// `[rows, heads * value size]`
    public let output: Tensor
    /// The largest scaled score of each head, before the softmax: what QK-Clip looks at. `[heads]`
    public let maxLogits: [Float]

    public init(output: Tensor, maxLogits: [Float]) {
        self.output = output
        self.maxLogits = maxLogits
    }
}

/// Sizes of a head of latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1).
public struct LatentSizes: Sendable {
    public let heads: Int
    public let latent: Int
    /// Dimensions without rotary position.
    public let plain: Int
    /// Dimensions with it.
    public let rope: Int
    public let value: Int

    public init(heads: Int, latent: Int, plain: Int, rope: Int, value: Int) {
        self.heads = heads
        self.latent = latent
        self.plain = plain
        self.rope = rope
        self.value = value
    }
}

extension Tape {
    /// Causal latent attention over expanded keys and values.
    /// - Parameters:
    ///   - query: `[rows, heads * (plain + rope)]`, rotated.
    ///   - keyValue: `[rows, heads * (plain + value)]`: for each head the key, then the value.
    ///   - compressed: `[rows, latent + rope]`, of which the rotated key that all heads share is read.
    ///   - segments: rows that see each other, causally; together all rows.
    public func latentAttention(
        query: Tensor, keyValue: Tensor, compressed: Tensor, _ sizes: LatentSizes, segments: [Range<Int>], scale: Float
    ) -> Attended {
        let rows = query.rows
        let (heads, plain, rope) = (sizes.heads, sizes.plain, sizes.rope)
        let (queryHead, keyHead, width) = (plain + rope, plain + sizes.value, sizes.latent + rope)
        precondition(query.columns == heads * queryHead && keyValue.columns == heads * keyHead)
        precondition(compressed.columns == width && keyValue.rows == rows && compressed.rows == rows)
        typealias Heads = BlockAttention.Heads
        func queries(_ base: UnsafeMutablePointer<Float>, _ offset: Int) -> Heads {
            Heads(pointer: base + offset, stride: heads * queryHead, head: queryHead)
        }
        func keys(_ base: UnsafeMutablePointer<Float>, _ offset: Int) -> Heads {
            Heads(pointer: base + offset, stride: heads * keyHead, head: keyHead)
        }
        let output = arena.tensor([rows, heads * sizes.value])
        let logSum = arena.scratch(heads * rows)
        let attention = BlockAttention(
            segments: segments, heads: heads, group: 1, scale: scale,
            parts: [
                BlockAttention.Part(query: queries(query.pointer, 0), key: keys(keyValue.pointer, 0), size: plain),
                BlockAttention.Part(
                    query: queries(query.pointer, plain),
                    key: Heads(pointer: compressed.pointer + sizes.latent, stride: width, head: 0), size: rope),
            ],
            value: keys(keyValue.pointer, plain), valueSize: sizes.value,
            result: Heads(pointer: output.pointer, stride: heads * sizes.value, head: sizes.value),
            logSum: logSum.pointer, rows: rows)
        let maxLogits = attention.forward(arena)
        record { [arena] in
            // The tensors that the pointers lead into.
            defer { withExtendedLifetime((query, keyValue, compressed, output, logSum)) {} }
            guard let dOutput = output.gradient else { return }
            let (dQuery, dKeyValue) = (query.zeroedGradient(), keyValue.zeroedGradient())
            // The shared key's gradient, a head each.
            let shared = arena.scratch(heads * rows * rope)
            shared.pointer.initialize(repeating: 0, count: shared.count)
            attention.backward(
                arena, dResult: Heads(pointer: dOutput, stride: heads * sizes.value, head: sizes.value),
                dParts: [
                    BlockAttention.Part(query: queries(dQuery, 0), key: keys(dKeyValue, 0), size: plain),
                    BlockAttention.Part(
                        query: queries(dQuery, plain),
                        key: Heads(pointer: shared.pointer, stride: rope, head: rows * rope), size: rope),
                ], dValue: keys(dKeyValue, plain))
            let dCompressed = compressed.zeroedGradient()
            arena.forRows(rows, size: 64) { part in
                for head in 0..<heads {
                    for row in part {
                        wk_add(
                            shared.pointer + (head * rows + row) * rope, dCompressed + row * width + sizes.latent,
                            Int64(rope))
                    }
                }
            }
        }
        return Attended(output: output, maxLogits: maxLogits)
    }

    /// Causal attention where several query heads share a head of keys and values.
    /// - Parameters:
    ///   - query: `[rows, heads * headSize]`, rotated.
    ///   - key, value: `[rows, keyValueHeads * headSize]`, the keys rotated.
    ///   - segments: rows that see each other, causally; together all rows.
    public func groupedAttention(
        query: Tensor, key: Tensor, value: Tensor, heads: Int, keyValueHeads: Int, segments: [Range<Int>], scale: Float
    ) -> Attended {
        let rows = query.rows
        let size = query.columns / heads
        precondition(heads % keyValueHeads == 0 && key.columns == keyValueHeads * size && value.columns == key.columns)
        func split(_ base: UnsafeMutablePointer<Float>, _ heads: Int) -> BlockAttention.Heads {
            BlockAttention.Heads(pointer: base, stride: heads * size, head: size)
        }
        let output = arena.tensor([rows, heads * size])
        let logSum = arena.scratch(heads * rows)
        let attention = BlockAttention(
            segments: segments, heads: heads, group: heads / keyValueHeads, scale: scale,
            parts: [
                BlockAttention.Part(
                    query: split(query.pointer, heads), key: split(key.pointer, keyValueHeads), size: size)
            ],
            value: split(value.pointer, keyValueHeads), valueSize: size, result: split(output.pointer, heads),
            logSum: logSum.pointer, rows: rows)
        let maxLogits = attention.forward(arena)
        record { [arena] in
            defer { withExtendedLifetime((query, key, value, output, logSum)) {} }
            guard let dOutput = output.gradient else { return }
            let dKey = split(key.zeroedGradient(), keyValueHeads)
            attention.backward(
                arena, dResult: split(dOutput, heads),
                dParts: [BlockAttention.Part(query: split(query.zeroedGradient(), heads), key: dKey, size: size)],
                dValue: split(value.zeroedGradient(), keyValueHeads))
        }
        return Attended(output: output, maxLogits: maxLogits)
    }
}
