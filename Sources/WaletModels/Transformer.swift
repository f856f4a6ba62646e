import CWaletKernels
import WaletFormats
import WaletTensor

/// A decoder: embedding, layers of attention and feed-forward on a residual stream, norm, head.
///
/// One type for every family. What differs - latent or grouped attention, dense or sparse feed-forward - is chosen layer
/// by layer from the configuration.
public final class Transformer: Sendable {
    struct Layer: Sendable {
        /// `[hidden]`
        let attentionNorm: FloatBuffer
        let attention: Attention
        /// `[hidden]`
        let feedForwardNorm: FloatBuffer
        let feedForward: FeedForward

        init(_ configuration: Configuration, layer: Int, from source: some WeightSource) throws(FormatError) {
            let prefix = "model.layers.\(layer)."
            let hidden = configuration.hiddenSize
            attentionNorm = try source.vector(prefix + "input_layernorm.weight", count: hidden)
            attention = try Attention(configuration, layer: layer, from: source)
            feedForwardNorm = try source.vector(prefix + "post_attention_layernorm.weight", count: hidden)
            feedForward = try FeedForward(configuration, layer: layer, from: source)
        }
    }

    /// Tokens from which on a prompt counts as long; see ``Batch/append(_:to:ofLongPrompt:)``. Measured, in
    /// `docs/performance.md`.
    public static let longPrompt = 128

    public let configuration: Configuration
    let embedding: WeightMatrix
    let layers: [Layer]
    /// `[hidden]`
    let norm: FloatBuffer
    let head: Linear
    let rope: RotaryEmbedding
    private let source: any WeightSource

    /// Looks up every weight that the configuration needs; copies norms and biases, and nothing else.
    /// - Throws: ``FormatError`` for a weight that is missing or of another shape.
    public init(_ configuration: Configuration, from source: some WeightSource) throws(FormatError) {
        self.configuration = configuration
        self.source = source
        let hidden = configuration.hiddenSize
        let vocabulary = configuration.vocabularySize
        embedding = try source.matrix("model.embed_tokens", rows: vocabulary, columns: hidden)
        var layers: [Layer] = []
        layers.reserveCapacity(configuration.layers)
        for layer in 0..<configuration.layers {
            layers.append(try Layer(configuration, layer: layer, from: source))
        }
        self.layers = layers
        norm = try source.vector("model.norm.weight", count: hidden)
        head = try Linear(
            configuration.tiedEmbeddings ? "model.embed_tokens" : "lm_head", outputs: vocabulary, inputs: hidden,
            from: source)
        rope = RotaryEmbedding(configuration.rope, dimensions: configuration.rotaryPairs * 2)
    }

    /// Runs the rows of `space.batch` through all layers. Afterwards `logits(ofRows:)` gives what follows a row, and the
    /// caches hold the new tokens.
    /// - Throws: ``FormatError`` where a mapped file shrank: the pass is then worthless.
    public func forward(_ space: Workspace) throws(FormatError) {
        CoreBudget.shared.spend(space.pool.threads) { pass(space) }
        try source.checkIntact()
    }

    private func pass(_ space: Workspace) {
        let rows = space.batch.count
        let hidden = configuration.hiddenSize
        let x = space.x.pointer
        prepareScratch(space)
        for row in 0..<rows {
            embedding.dequantize(row: space.batch.tokens[row], into: x + row * hidden)
            rope.angles(
                position: space.batch.positions[row], cos: space.cosines.pointer + row * rope.pairs,
                sin: space.sines.pointer + row * rope.pairs)
        }
        for layer in layers {
            normalize(layer.attentionNorm, space)
            layer.attention(space, rope)
            wk_add(space.output.pointer, x, Int64(rows * hidden))
            normalize(layer.feedForwardNorm, space)
            layer.feedForward(space)
            wk_add(space.output.pointer, x, Int64(rows * hidden))
        }
    }

    /// Logits after some rows of the last pass, at most `space.logitRows` of them.
    /// - Returns: `[rows.count, vocabulary]`, valid until the next call.
    public func logits(ofRows rows: Range<Int>, _ space: Workspace) -> UnsafeMutablePointer<Float> {
        precondition(rows.count <= space.logitRows && rows.upperBound <= space.batch.capacity)
        let hidden = configuration.hiddenSize
        for (index, row) in rows.enumerated() {
            wk_rms_norm(
                space.x.pointer + row * hidden, norm.pointer, configuration.normEpsilon,
                space.normed.pointer + index * hidden, Int64(hidden))
        }
        if head.isInteger {
            for index in 0..<rows.count {
                space.normedBlocks.quantize(space.normed.pointer + index * hidden, row: index)
            }
        }
        CoreBudget.shared.spend(space.pool.threads) {
            head(space.input, count: rows.count, into: space.logits.pointer, space.pool)
        }
        return space.logits.pointer
    }

    private func normalize(_ weight: FloatBuffer, _ space: Workspace) {
        let hidden = configuration.hiddenSize
        space.pool.run(space.batch.count) { row, _ in
            wk_rms_norm(
                space.x.pointer + row * hidden, weight.pointer, configuration.normEpsilon,
                space.normed.pointer + row * hidden, Int64(hidden))
            space.normedBlocks.quantize(space.normed.pointer + row * hidden, row: row)
        }
    }

    /// Each worker needs room for a few unpacked rows of the widest matrix, or for what attention works with.
    private func prepareScratch(_ space: Workspace) {
        let widest = Int64(configuration.widestInput)
        var floats = max(Int(wk_matmul_scratch(widest)), Int(wk_q8_matmul_scratch(widest)))
        if space.batch.segments.allSatisfy(\.cache.isHalf) {
            switch configuration.attention {
            case .latent(let shape):
                floats = max(floats, LatentAttention.scratch(shape))
                if case .latent(let attention)? = layers.first?.attention {
                    floats = max(floats, attention.expandedScratch)
                }
            case .grouped(let shape):
                floats = max(floats, GroupedAttention.scratch(heads: configuration.heads, shape))
            }
        } else {
            let positions = space.batch.segments.reduce(0) { max($0, $1.cache.count) }
            floats = max(floats, (positions + 1023) / 1024 * 1024)
        }
        space.pool.reserve(scratch: floats)
    }
}

extension Configuration {
    /// Columns of the widest matrix of a layer.
    var widestInput: Int {
        var widest = max(hiddenSize, feedForwardSize)
        switch attention {
        case .latent(let latent):
            widest = max(
                widest, latent.queryRank ?? 0, latent.latentRank, latent.plainHeadSize, heads * latent.valueHeadSize)
        case .grouped(let grouped): widest = max(widest, heads * grouped.headSize)
        }
        if let experts { widest = max(widest, experts.width * max(1, experts.shared)) }
        return widest
    }
}
