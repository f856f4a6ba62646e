import CWaletKernels
import WaletFormats
import WaletTensor

/// The multi-token-prediction layer of a checkpoint (DeepSeek-V3, arXiv 2412.19437, section 2.2): from the model's final
/// hidden state at a position and the token after it, what follows that token.
///
///     u = eh_proj [ enorm(embedding of token p + 1) ; hnorm(final hidden state of p) ]
///     logits of token p + 2 = shared_head.head( shared_head.norm( decoder layer(u) ) )
///
/// The decoder layer attends over rows of its own, in a cache of one layer. Embedding and head are copies of the model's,
/// and files may leave them out.
public final class PredictionLayer: Sendable {
    public let model: Transformer
    private let embedding: TokenEmbedding
    /// `[hidden]`
    private let embeddingNorm: FloatBuffer
    /// `[hidden]`
    private let hiddenNorm: FloatBuffer
    private let projection: Linear
    private let layer: Transformer.Layer
    /// `[hidden]`
    private let norm: FloatBuffer
    private let head: Linear

    /// - Throws: ``FormatError`` for a weight that is missing or of another shape.
    init(_ model: Transformer, from source: some WeightSource) throws(FormatError) {
        let configuration = model.configuration
        let (hidden, vocabulary) = (configuration.hiddenSize, configuration.vocabularySize)
        let prefix = Self.prefix(configuration)
        self.model = model
        embedding =
            source.hasMatrix(prefix + "embed_tokens")
            ? try TokenEmbedding(prefix + "embed_tokens", rows: vocabulary, columns: hidden, from: source)
            : model.embedding
        embeddingNorm = try source.vector(prefix + "enorm.weight", count: hidden)
        hiddenNorm = try source.vector(prefix + "hnorm.weight", count: hidden)
        projection = try Linear(prefix + "eh_proj", outputs: hidden, inputs: 2 * hidden, from: source)
        layer = try Transformer.Layer(
            configuration, layer: configuration.layers, cacheLayer: 0, sparse: source.hasMatrix(prefix + "mlp.gate"),
            from: source)
        norm =
            source.hasVector(prefix + "shared_head.norm.weight")
            ? try source.vector(prefix + "shared_head.norm.weight", count: hidden) : model.norm
        head =
            source.hasMatrix(prefix + "shared_head.head")
            ? try Linear(prefix + "shared_head.head", outputs: vocabulary, inputs: hidden, from: source) : model.head
    }

    fileprivate static func prefix(_ configuration: Configuration) -> String { "model.layers.\(configuration.layers)." }

    /// Runs the rows of `space.batch`: row r is the token after the position of `states[r]`, and the caches, of one layer,
    /// are this layer's own. Overwrites what the model's last pass left in `space`.
    /// - Parameter states: final hidden states, `[rows, hidden]`: ``Transformer/hiddenStates(ofRows:_:into:)``, or this
    ///   layer's own to go further without the model.
    /// - Throws: ``FormatError`` where a file shrank or cannot be read: the pass is then worthless.
    public func forward(_ space: Workspace, states: UnsafePointer<Float>) throws(FormatError) {
        let hidden = model.configuration.hiddenSize
        let epsilon = model.configuration.normEpsilon
        let input = space.predictionInput
        let tokens = space.batch.tokens
        try CoreBudget.shared.spend(space.pool.threads) { () throws(FormatError) in
            model.prepare(space)
            let wide = Int64(2 * hidden)
            space.pool.reserve(scratch: max(Int(wk_matmul_scratch(wide)), Int(wk_q8_matmul_scratch(wide))))
            try embedding.lookUp(tokens, into: input.pairs.pointer, stride: 2 * hidden)
            space.pool.run(tokens.count) { row, _ in
                let pair = input.pairs.pointer + row * 2 * hidden
                wk_rms_norm(pair, embeddingNorm.pointer, epsilon, pair, Int64(hidden))
                wk_rms_norm(states + row * hidden, hiddenNorm.pointer, epsilon, pair + hidden, Int64(hidden))
                input.blocks.quantize(pair, row: row)
            }
            projection(
                input.blocks.activations(input.pairs.pointer), count: tokens.count, into: space.x.pointer, space.pool)
            try model.run(layer, space)
        }
        try model.source.checkIntact()
    }

    /// Logits of what follows the tokens of some rows of the last pass, at most `space.logitRows` of them.
    /// - Returns: `[rows.count, vocabulary]`, valid until the next call here or of the model's.
    public func logits(ofRows rows: Range<Int>, _ space: Workspace) -> UnsafeMutablePointer<Float> {
        model.logits(ofRows: rows, norm: norm, head: head, space)
    }

    /// This layer's final hidden states, which stand for the model's where it goes further than one token.
    /// - Parameter target: `[rows.count, hidden]`
    public func hiddenStates(ofRows rows: Range<Int>, _ space: Workspace, into target: UnsafeMutablePointer<Float>) {
        model.hiddenStates(ofRows: rows, norm: norm, space, into: target)
    }
}

extension Transformer {
    /// The checkpoint's first prediction layer.
    /// - Returns: nil where the configuration names none, or the files have left it out.
    /// - Throws: ``FormatError`` where it is there, but not whole.
    public func makePredictionLayer() throws(FormatError) -> PredictionLayer? {
        guard configuration.predictionLayers > 0, source.hasMatrix(PredictionLayer.prefix(configuration) + "eh_proj")
        else { return nil }
        return try PredictionLayer(self, from: source)
    }
}

/// Memory for what a prediction layer reads: normed embeddings beside normed hidden states, `[rows, 2 * hidden]`.
final class PredictionInput {
    let pairs: FloatBuffer
    let blocks: BlockBuffer

    init(rows: Int, hidden: Int, _ precision: Precision) {
        pairs = FloatBuffer(count: rows * 2 * hidden)
        blocks = BlockBuffer(rows: rows, columns: 2 * hidden, precision)
    }
}
