import CWaletKernels
import WaletFormats
import WaletTensor

/// Grouped-query attention (Llama, Qwen3): query heads share key/value heads.
struct GroupedAttention: Sendable {
    let layer: Int
    let heads: Int
    let shape: Configuration.GroupedAttention
    let queryProjection: Linear
    let keyProjection: Linear
    let valueProjection: Linear
    let outputProjection: Linear
    /// `[head size]`, Qwen3 only.
    let queryNorm: FloatBuffer?
    let keyNorm: FloatBuffer?
    let epsilon: Float
    let scale: Float

    init(
        _ configuration: Configuration, _ shape: Configuration.GroupedAttention, layer: Int, _ prefix: String,
        from source: some WeightSource
    ) throws(FormatError) {
        let hidden = configuration.hiddenSize
        let bias = configuration.attentionBias
        let queries = configuration.heads * shape.headSize
        let keys = shape.keyValueHeads * shape.headSize
        self.layer = layer
        self.shape = shape
        heads = configuration.heads
        epsilon = configuration.normEpsilon
        scale = Float(configuration.rope.logitScale / Double(shape.headSize).squareRoot())
        queryProjection = try Linear(prefix + "q_proj", outputs: queries, inputs: hidden, bias: bias, from: source)
        keyProjection = try Linear(prefix + "k_proj", outputs: keys, inputs: hidden, bias: bias, from: source)
        valueProjection = try Linear(prefix + "v_proj", outputs: keys, inputs: hidden, bias: bias, from: source)
        outputProjection = try Linear(prefix + "o_proj", outputs: hidden, inputs: queries, bias: bias, from: source)
        queryNorm = shape.queryKeyNorm ? try source.vector(prefix + "q_norm.weight", count: shape.headSize) : nil
        keyNorm = shape.queryKeyNorm ? try source.vector(prefix + "k_norm.weight", count: shape.headSize) : nil
    }

    func callAsFunction(_ space: Workspace, _ rope: RotaryEmbedding) {
        let pool = space.pool
        let batch = space.batch
        let rows = batch.count
        let headSize = shape.headSize
        let keyWidth = shape.keyValueHeads * headSize
        let pairs = rope.pairs
        let query = space.attention.query.pointer
        let keys = space.attention.keyValue.pointer
        let values = keys + rows * keyWidth
        let mixed = space.attention.mixed.pointer

        queryProjection(space.input, count: rows, into: query, pool)
        keyProjection(space.input, count: rows, into: keys, pool)
        valueProjection(space.input, count: rows, into: values, pool)

        pool.run(rows) { row, _ in
            let cosines = space.cosines.pointer + row * pairs
            let sines = space.sines.pointer + row * pairs
            for head in 0..<heads {
                let q = query + (row * heads + head) * headSize
                if let queryNorm { wk_rms_norm(q, queryNorm.pointer, epsilon, q, Int64(headSize)) }
                rope.rotate(q, cos: cosines, sin: sines)
            }
            let segment = batch.segments[batch.segmentOfRow[row]]
            let cached = segment.cache.row(layer: layer, position: batch.positions[row])
            cached.update(from: keys + row * keyWidth, count: keyWidth)
            (cached + keyWidth).update(from: values + row * keyWidth, count: keyWidth)
            for head in 0..<shape.keyValueHeads {
                let k = cached + head * headSize
                if let keyNorm { wk_rms_norm(k, keyNorm.pointer, epsilon, k, Int64(headSize)) }
                rope.rotate(k, cos: cosines, sin: sines)
            }
        }

        let group = heads / shape.keyValueHeads
        pool.run(rows * heads) { task, worker in
            let (row, head) = task.quotientAndRemainder(dividingBy: heads)
            let segment = batch.segments[batch.segmentOfRow[row]]
            attend(
                query: query + task * headSize, cache: segment.cache, layer: layer,
                positions: batch.positions[row] + 1, keyOffset: head / group * headSize, keySize: headSize,
                valueOffset: keyWidth + head / group * headSize, valueSize: headSize, scale: scale,
                scores: pool.scratch(of: worker), into: mixed + task * headSize)
        }
        if space.attention.mixedBlocks.isActive {
            pool.run(rows) { row, _ in
                space.attention.mixedBlocks.quantize(mixed + row * heads * headSize, row: row)
            }
        }
        outputProjection(
            space.attention.mixedBlocks.activations(mixed), count: rows, into: space.output.pointer, pool)
    }
}
