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

        Linear.together(
            [(queryProjection, query), (keyProjection, keys), (valueProjection, values)], space.input, count: rows,
            pool)
        pool.runRows(rows) { row in
            let cosines = space.cosines.pointer + row * pairs
            let sines = space.sines.pointer + row * pairs
            for head in 0..<heads {
                let q = query + (row * heads + head) * headSize
                if let queryNorm { wk_rms_norm(q, queryNorm.pointer, epsilon, q, Int64(headSize)) }
                rope.rotate(q, cos: cosines, sin: sines)
            }
            for head in 0..<shape.keyValueHeads {
                let k = keys + row * keyWidth + head * headSize
                if let keyNorm { wk_rms_norm(k, keyNorm.pointer, epsilon, k, Int64(headSize)) }
                rope.rotate(k, cos: cosines, sin: sines)
            }
            let segment = batch.segments[batch.segmentOfRow[row]]
            let position = batch.positions[row]
            guard segment.cache.isHalf else {
                let cached = segment.cache.row(layer: layer, position: position)
                cached.update(from: keys + row * keyWidth, count: keyWidth)
                (cached + keyWidth).update(from: values + row * keyWidth, count: keyWidth)
                return
            }
            let (page, slot) = segment.cache.page(of: position)
            for head in 0..<shape.keyValueHeads {
                let offset = row * keyWidth + head * headSize
                wk_grouped_store(
                    keys + offset, values + offset, Int64(headSize), Int64(headSize),
                    page + keyOffset(head, segment.cache), page + valueOffset(head, segment.cache), Int64(slot),
                    row + 1 == segment.rows.upperBound)
            }
        }
        if batch.segments[0].cache.isHalf {
            attendHalf(space, query, into: mixed)
        } else {
            attendExact(space, query, into: mixed)
        }
        if space.attention.mixedBlocks.isActive {
            pool.runRows(rows) { row in
                space.attention.mixedBlocks.quantize(mixed + row * heads * headSize, row: row)
            }
        }
        outputProjection(
            space.attention.mixedBlocks.activations(mixed), count: rows, into: space.output.pointer, pool)
    }

    /// Bytes from a page's begin to the keys of a head: `[head size / 2][page][2]`.
    private func keyOffset(_ head: Int, _ cache: KVCache) -> Int {
        layer * cache.layerBytes + head * 2 * shape.headSize * KVCache.pageTokens
    }

    /// Bytes from a page's begin to the values of a head: `[page / 2][head size][2]`.
    private func valueOffset(_ head: Int, _ cache: KVCache) -> Int { keyOffset(shape.keyValueHeads + head, cache) }

    private func attendHalf(
        _ space: Workspace, _ query: UnsafePointer<Float>, into mixed: UnsafeMutablePointer<Float>
    ) {
        let pool = space.pool
        let batch = space.batch
        let group = heads / shape.keyValueHeads
        let stride = heads * shape.headSize
        // So many queries that keys and values of a page, read into the L1 cache, are used often there.
        let tiles = batch.tiles(
            batch.segments.indices, rowsPerTile: max(1, Self.queriesPerTile / group), heads: shape.keyValueHeads)
        func withTile(_ tile: AttentionTile, _ body: (UnsafePointer<wk_grouped_attention>) -> Void) {
            let segment = batch.segments[tile.segment]
            segment.cache.withPages { pages in
                let first = tile.rows.lowerBound
                let heads = tile.head * group * shape.headSize
                var attention = wk_grouped_attention(
                    pages: pages, key_offset: Int64(keyOffset(tile.head, segment.cache)),
                    value_offset: Int64(valueOffset(tile.head, segment.cache)), head_size: Int64(shape.headSize),
                    value_size: Int64(shape.headSize), scale: scale, query: query + first * stride + heads,
                    query_stride: Int64(stride), result: mixed + first * stride + heads, result_stride: Int64(stride),
                    queries: Int64(tile.rows.count * group), group: Int64(group),
                    first_limit: Int64(batch.positions[first] + 1))
                body(&attention)
            }
        }
        attend(
            tiles, space.attention, pool,
            limit: { batch.positions[$0.rows.upperBound - 1] + 1 }, size: { _ in Int(WK_ATTENTION_SPLIT) },
            state: { tile in
                var floats = 0
                withTile(tile) { floats = Int(wk_grouped_state($0)) }
                return floats
            },
            whole: { tile, worker in withTile(tile) { wk_grouped_attend($0, pool.scratch(of: worker)) } },
            split: { tile, split, state, worker in
                withTile(tile) { wk_grouped_attend_split($0, Int64(split), state, pool.scratch(of: worker)) }
            },
            combine: { tile, splits, states in withTile(tile) { wk_grouped_combine($0, Int64(splits), states) } })
    }

    private static let queriesPerTile = 24

    /// Floats that a worker needs while it attends.
    static func scratch(heads: Int, _ shape: Configuration.GroupedAttention) -> Int {
        let group = heads / shape.keyValueHeads
        var attention = wk_grouped_attention()
        attention.head_size = Int64(shape.headSize)
        attention.value_size = Int64(shape.headSize)
        attention.queries = Int64(max(1, queriesPerTile / group) * group)
        attention.group = Int64(group)
        return Int(wk_grouped_scratch(&attention))
    }

    private func attendExact(
        _ space: Workspace, _ query: UnsafePointer<Float>, into mixed: UnsafeMutablePointer<Float>
    ) {
        let pool = space.pool
        let batch = space.batch
        let headSize = shape.headSize
        let group = heads / shape.keyValueHeads
        let keyWidth = shape.keyValueHeads * headSize
        pool.run(batch.count * heads) { task, worker in
            let (row, head) = task.quotientAndRemainder(dividingBy: heads)
            let segment = batch.segments[batch.segmentOfRow[row]]
            attend(
                query: query + task * headSize, cache: segment.cache, layer: layer,
                positions: batch.positions[row] + 1, keyOffset: head / group * headSize, keySize: headSize,
                valueOffset: keyWidth + head / group * headSize, valueSize: headSize, scale: scale,
                scores: pool.scratch(of: worker), into: mixed + task * headSize)
        }
    }
}
