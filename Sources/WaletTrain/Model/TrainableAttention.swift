import WaletAutodiff
import WaletFormats

/// Attention of either kind, with its projections.
enum TrainableAttention {
    case latent(Latent)
    case grouped(Grouped)

    init(_ configuration: Configuration, _ prefix: String, _ maker: ParameterMaker) throws(FormatError) {
        switch configuration.attention {
        case .latent(let shape): self = .latent(try Latent(configuration, shape, prefix, maker))
        case .grouped(let shape): self = .grouped(try Grouped(configuration, shape, prefix, maker))
        }
    }

    func callAsFunction(_ tape: Tape, _ x: Tensor, _ context: LayerContext) -> Attended {
        switch self {
        case .latent(let attention): attention(tape, x, context)
        case .grouped(let attention): attention(tape, x, context)
        }
    }

    struct Projection {
        /// `[outputs, inputs]`
        let weight: Tensor
        /// `[outputs]`
        let bias: Tensor?

        init(_ module: String, _ outputs: Int, _ inputs: Int, bias: Bool, _ maker: ParameterMaker) throws(FormatError) {
            weight = try maker.matrix(module, outputs, inputs)
            self.bias = bias ? try maker.vector(module + ".bias", outputs, filling: 0) : nil
        }

        func callAsFunction(_ tape: Tape, _ x: Tensor) -> Tensor { tape.linear(x, weight, bias: bias) }
    }

    /// Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1).
    struct Latent {
        let sizes: LatentSizes
        let scale: Float
        let latentEpsilon: Float
        /// From x, or from the compressed query.
        let query: Projection
        let queryCompression: (projection: Projection, norm: Tensor)?
        let compression: Projection
        /// `[latent]`
        let latentNorm: Tensor
        let expansion: Projection
        let output: Projection

        init(
            _ configuration: Configuration, _ shape: Configuration.LatentAttention, _ prefix: String,
            _ maker: ParameterMaker
        ) throws(FormatError) {
            let (hidden, heads, bias) = (configuration.hiddenSize, configuration.heads, configuration.attentionBias)
            let headSize = shape.plainHeadSize + shape.ropeHeadSize
            sizes = LatentSizes(
                heads: heads, latent: shape.latentRank, plain: shape.plainHeadSize, rope: shape.ropeHeadSize,
                value: shape.valueHeadSize)
            scale = Float(configuration.rope.logitScale / Double(headSize).squareRoot())
            latentEpsilon = shape.latentNormEpsilon
            if let rank = shape.queryRank {
                queryCompression = (
                    try Projection(prefix + "q_a_proj", rank, hidden, bias: bias, maker),
                    try maker.norm(prefix + "q_a_layernorm", rank)
                )
                query = try Projection(prefix + "q_b_proj", heads * headSize, rank, bias: false, maker)
            } else {
                queryCompression = nil
                query = try Projection(prefix + "q_proj", heads * headSize, hidden, bias: false, maker)
            }
            compression = try Projection(
                prefix + "kv_a_proj_with_mqa", shape.latentRank + shape.ropeHeadSize, hidden, bias: bias, maker)
            latentNorm = try maker.norm(prefix + "kv_a_layernorm", shape.latentRank)
            expansion = try Projection(
                prefix + "kv_b_proj", heads * (shape.plainHeadSize + shape.valueHeadSize), shape.latentRank,
                bias: false, maker)
            output = try Projection(
                prefix + "o_proj", hidden, heads * shape.valueHeadSize, bias: bias, maker)
        }

        /// - Parameter x: `[rows, hidden]`
        func callAsFunction(_ tape: Tape, _ x: Tensor, _ context: LayerContext) -> Attended {
            var source = x
            if let (projection, norm) = queryCompression {
                source = tape.rmsNorm(projection(tape, x), norm, epsilon: latentEpsilon)
            }
            let queries = query(tape, source)
            let headSize = sizes.plain + sizes.rope
            tape.rotate(queries, by: context.angles, offset: sizes.plain, heads: sizes.heads, headStride: headSize)
            let compressed = compression(tape, x)
            tape.rotate(compressed, by: context.angles, offset: sizes.latent, heads: 1, headStride: 0)
            let latent = tape.rmsNorm(compressed, latentNorm, epsilon: latentEpsilon, ofFirstColumns: true)
            let attended = tape.latentAttention(
                query: queries, keyValue: expansion(tape, latent), compressed: compressed, sizes,
                segments: context.segments, scale: scale)
            return Attended(output: output(tape, attended.output), maxLogits: attended.maxLogits)
        }
    }

    /// Grouped-query attention (Llama, Qwen3).
    struct Grouped {
        let heads: Int
        let shape: Configuration.GroupedAttention
        let scale: Float
        let epsilon: Float
        let query: Projection
        let key: Projection
        let value: Projection
        let output: Projection
        /// `[head size]` each, Qwen3 only.
        let norms: (query: Tensor, key: Tensor)?

        init(
            _ configuration: Configuration, _ shape: Configuration.GroupedAttention, _ prefix: String,
            _ maker: ParameterMaker
        ) throws(FormatError) {
            let (hidden, bias) = (configuration.hiddenSize, configuration.attentionBias)
            let (queries, keys) = (configuration.heads * shape.headSize, shape.keyValueHeads * shape.headSize)
            heads = configuration.heads
            self.shape = shape
            scale = Float(configuration.rope.logitScale / Double(shape.headSize).squareRoot())
            epsilon = configuration.normEpsilon
            query = try Projection(prefix + "q_proj", queries, hidden, bias: bias, maker)
            key = try Projection(prefix + "k_proj", keys, hidden, bias: bias, maker)
            value = try Projection(prefix + "v_proj", keys, hidden, bias: bias, maker)
            output = try Projection(prefix + "o_proj", hidden, queries, bias: bias, maker)
            norms =
                shape.queryKeyNorm
                ? (
                    try maker.norm(prefix + "q_norm", shape.headSize), try maker.norm(prefix + "k_norm", shape.headSize)
                ) : nil
        }

        /// - Parameter x: `[rows, hidden]`
        func callAsFunction(_ tape: Tape, _ x: Tensor, _ context: LayerContext) -> Attended {
            var (queries, keys) = (query(tape, x), key(tape, x))
            if let norms {
                queries = tape.rmsNorm(queries, norms.query, epsilon: epsilon)
                keys = tape.rmsNorm(keys, norms.key, epsilon: epsilon)
            }
            for (tensor, count) in [(queries, heads), (keys, shape.keyValueHeads)] {
                tape.rotate(tensor, by: context.angles, offset: 0, heads: count, headStride: shape.headSize)
            }
            let attended = tape.groupedAttention(
                query: queries, key: keys, value: value(tape, x), heads: heads, keyValueHeads: shape.keyValueHeads,
                segments: context.segments, scale: scale)
            return Attended(output: output(tape, attended.output), maxLogits: attended.maxLogits)
        }
    }
}
