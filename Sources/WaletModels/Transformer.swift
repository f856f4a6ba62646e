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

        /// - Parameters:
        ///   - cacheLayer: where it lies in the cache; nil for where it lies in the model.
        ///   - sparse: whether its feed-forward has experts; nil for what the configuration says.
        init(
            _ configuration: Configuration, layer: Int, cacheLayer: Int? = nil, sparse: Bool? = nil,
            from source: some WeightSource
        ) throws(FormatError) {
            let prefix = "model.layers.\(layer)."
            let hidden = configuration.hiddenSize
            attentionNorm = try source.vector(prefix + "input_layernorm.weight", count: hidden)
            attention = try Attention(configuration, layer: layer, cacheLayer: cacheLayer, from: source)
            feedForwardNorm = try source.vector(prefix + "post_attention_layernorm.weight", count: hidden)
            feedForward = try FeedForward(configuration, layer: layer, sparse: sparse, from: source)
        }
    }

    public let configuration: Configuration
    let embedding: TokenEmbedding
    let layers: [Layer]
    /// `[hidden]`
    let norm: FloatBuffer
    let head: Linear
    let rope: RotaryEmbedding
    let source: any WeightSource

    /// Looks up every weight that the configuration needs; copies norms and biases, and nothing else.
    /// - Throws: ``FormatError`` for a weight that is missing or of another shape.
    public init(_ configuration: Configuration, from source: some WeightSource) throws(FormatError) {
        self.configuration = configuration
        self.source = source
        let hidden = configuration.hiddenSize
        let vocabulary = configuration.vocabularySize
        embedding = try TokenEmbedding("model.embed_tokens", rows: vocabulary, columns: hidden, from: source)
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

    /// The same within a limit of memory: see ``ExpertStore``.
    /// - Throws: ``FormatError``; ``MemoryLimitError`` where the limit is too small.
    public convenience init(
        _ configuration: Configuration, from source: any WeightSource, _ options: ExpertStoreOptions
    ) throws {
        let weights = try StreamedWeights(source, options)
        try self.init(configuration, from: weights)
        try weights.load()
    }

    /// Reads experts from the disk; nil where all weights are mapped.
    public var expertStore: ExpertStore? { (source as? StreamedWeights)?.store }

    /// Whether a prompt is long enough for keys and values to be made from the latents; see
    /// ``Batch/append(_:to:ofLongPrompt:)``. From 64 tokens on they pay, as measured in `docs/performance.md`, unless so
    /// many tokens are cached, whose keys and values have to be made too, that the operations are more.
    /// - Parameters:
    ///   - fresh: tokens of the prompt that are not cached.
    ///   - cached: tokens before them.
    public func isLongPrompt(fresh: Int, cached: Int) -> Bool {
        guard fresh >= 64, case .latent(let shape) = configuration.attention else { return false }
        let sizes = shape.plainHeadSize + shape.valueHeadSize
        let saved = Double(2 * shape.latentRank - sizes) * Double(fresh) * (Double(cached) + Double(fresh) / 2)
        return saved >= Double(shape.latentRank * sizes) * Double(cached)
    }

    /// Whether there are two forms of attention to choose from, whose results differ in the last bits.
    public func hasExpandedForm(_ precision: Precision) -> Bool {
        guard precision == .fast, configuration.takesHalfCache, case .latent(let shape) = configuration.attention else {
            return false
        }
        return LatentAttention.canExpand(shape)
    }

    /// Runs the rows of `space.batch` through all layers. Afterwards `logits(ofRows:)` gives what follows a row, and the
    /// caches hold the new tokens.
    /// - Throws: ``FormatError`` where a file shrank or cannot be read: the pass is then worthless.
    public func forward(_ space: Workspace) throws(FormatError) {
        try CoreBudget.shared.spend(space.pool.threads) { () throws(FormatError) in
            prepare(space)
            try embedding.lookUp(space.batch.tokens, into: space.x.pointer, stride: configuration.hiddenSize)
            for layer in layers { try run(layer, space) }
        }
        try source.checkIntact()
    }

    /// What any layer needs before the rows of `space.batch` go through it: scratch, and the angles of their positions.
    func prepare(_ space: Workspace) {
        prepareScratch(space)
        for row in 0..<space.batch.count {
            rope.angles(
                position: space.batch.positions[row], cos: space.cosines.pointer + row * rope.pairs,
                sin: space.sines.pointer + row * rope.pairs)
        }
    }

    /// Takes the residual stream through one layer.
    func run(_ layer: Layer, _ space: Workspace) throws(FormatError) {
        let hidden = configuration.hiddenSize
        normalize(layer.attentionNorm, space)
        layer.attention(space, rope)
        normalize(layer.feedForwardNorm, addingOutput: true, space)
        try layer.feedForward(space)
        space.pool.runRows(space.batch.count) { row in
            wk_add(space.output.pointer + row * hidden, space.x.pointer + row * hidden, Int64(hidden))
        }
    }

    /// Logits after some rows of the last pass, at most `space.logitRows` of them.
    /// - Returns: `[rows.count, vocabulary]`, valid until the next call.
    public func logits(ofRows rows: some Collection<Int>, _ space: Workspace) -> UnsafeMutablePointer<Float> {
        logits(ofRows: rows, norm: norm, head: head, space)
    }

    /// The final hidden states of some rows of the last pass: what the head reads, and what a prediction layer goes on
    /// from.
    /// - Parameter target: `[rows.count, hidden]`
    public func hiddenStates(
        ofRows rows: some Collection<Int>, _ space: Workspace, into target: UnsafeMutablePointer<Float>
    ) {
        hiddenStates(ofRows: rows, norm: norm, space, into: target)
    }

    func hiddenStates(
        ofRows rows: some Collection<Int>, norm: FloatBuffer, _ space: Workspace,
        into target: UnsafeMutablePointer<Float>
    ) {
        let hidden = configuration.hiddenSize
        for (index, row) in rows.enumerated() {
            wk_rms_norm(
                space.x.pointer + row * hidden, norm.pointer, configuration.normEpsilon, target + index * hidden,
                Int64(hidden))
        }
    }

    func logits(
        ofRows rows: some Collection<Int>, norm: FloatBuffer, head: Linear, _ space: Workspace
    ) -> UnsafeMutablePointer<Float> {
        precondition(rows.count <= space.logitRows && rows.allSatisfy { $0 < space.batch.capacity })
        let hidden = configuration.hiddenSize
        hiddenStates(ofRows: rows, norm: norm, space, into: space.normed.pointer)
        if head.takesBlocks {
            for index in 0..<rows.count {
                space.normedBlocks.quantize(space.normed.pointer + index * hidden, row: index)
            }
        }
        CoreBudget.shared.spend(space.pool.threads) {
            head(space.input, count: rows.count, into: space.logits.pointer, space.pool)
        }
        return space.logits.pointer
    }

    /// `normed` from the residual stream.
    /// - Parameter addingOutput: adds `output` to the stream first.
    private func normalize(_ weight: FloatBuffer, addingOutput: Bool = false, _ space: Workspace) {
        let hidden = configuration.hiddenSize
        space.pool.runRows(space.batch.count) { row in
            if addingOutput {
                wk_add(space.output.pointer + row * hidden, space.x.pointer + row * hidden, Int64(hidden))
            }
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
