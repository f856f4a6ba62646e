import CWaletKernels
import WaletFormats
import WaletTensor

/// Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1).
///
/// The cache keeps one normalized latent and one rotated key a token, shared by all heads. In the absorbed form queries
/// are taken into the latent's space by the key half of `kv_b_proj`, and mixed latents out of it by the value half, so
/// that keys and values are never made. For long prompts, making them costs less: `LatentAttention+Expanded.swift`.
struct LatentAttention: Sendable {
    /// `kv_b_proj` as published, or as GGUF files split it.
    enum Expansion: Sendable {
        /// `[heads * (plain + value), latent]`: for each head the key rows, then the value rows.
        case joint(Linear)
        /// Keys transposed, `[heads * latent, plain]`, and values, `[heads * value, latent]`.
        case split(keys: Linear, values: Linear)
    }

    enum Query: Sendable {
        case dense(Linear)
        case compressed(down: Linear, norm: FloatBuffer, up: Linear)
    }

    let layer: Int
    let heads: Int
    let shape: Configuration.LatentAttention
    let query: Query
    let compression: Linear
    /// `[latentRank]`
    let latentNorm: FloatBuffer
    let expansion: Expansion
    let outputProjection: Linear
    let scale: Float

    init(
        _ configuration: Configuration, _ shape: Configuration.LatentAttention, layer: Int, _ prefix: String,
        from source: some WeightSource
    ) throws(FormatError) {
        let hidden = configuration.hiddenSize
        let heads = configuration.heads
        let bias = configuration.attentionBias
        let headSize = shape.plainHeadSize + shape.ropeHeadSize
        self.layer = layer
        self.heads = heads
        self.shape = shape
        scale = Float(configuration.rope.logitScale / Double(headSize).squareRoot())
        if let rank = shape.queryRank {
            query = .compressed(
                down: try Linear(prefix + "q_a_proj", outputs: rank, inputs: hidden, bias: bias, from: source),
                norm: try source.vector(prefix + "q_a_layernorm.weight", count: rank),
                up: try Linear(prefix + "q_b_proj", outputs: heads * headSize, inputs: rank, from: source))
        } else {
            query = .dense(try Linear(prefix + "q_proj", outputs: heads * headSize, inputs: hidden, from: source))
        }
        compression = try Linear(
            prefix + "kv_a_proj_with_mqa", outputs: shape.latentRank + shape.ropeHeadSize, inputs: hidden, bias: bias,
            from: source)
        latentNorm = try source.vector(prefix + "kv_a_layernorm.weight", count: shape.latentRank)
        if !source.hasMatrix(prefix + "kv_b_proj"), source.hasMatrix(prefix + "k_b_proj") {
            expansion = .split(
                keys: try Linear(
                    prefix + "k_b_proj", outputs: heads * shape.latentRank, inputs: shape.plainHeadSize, from: source),
                values: try Linear(
                    prefix + "v_b_proj", outputs: heads * shape.valueHeadSize, inputs: shape.latentRank, from: source))
        } else {
            expansion = .joint(
                try Linear(
                    prefix + "kv_b_proj", outputs: heads * (shape.plainHeadSize + shape.valueHeadSize),
                    inputs: shape.latentRank, from: source))
        }
        outputProjection = try Linear(
            prefix + "o_proj", outputs: hidden, inputs: heads * shape.valueHeadSize, bias: bias, from: source)
    }

    func callAsFunction(_ space: Workspace, _ rope: RotaryEmbedding) {
        let pool = space.pool
        let batch = space.batch
        let rows = batch.count
        let queries = space.attention.query.pointer
        project(space, rows: rows)

        let latent = shape.latentRank
        let plain = shape.plainHeadSize
        let headSize = plain + shape.ropeHeadSize
        let width = latent + shape.ropeHeadSize
        let pairs = rope.pairs
        let absorbed = space.attention.absorbed.pointer
        pool.run(rows) { row, _ in
            let cosines = space.cosines.pointer + row * pairs
            let sines = space.sines.pointer + row * pairs
            let segment = batch.segments[batch.segmentOfRow[row]]
            for head in 0..<heads {
                let plainAndRope = queries + (row * heads + head) * headSize
                var target = plainAndRope + plain
                if !expands(segment) {
                    target = absorbed + (row * heads + head) * width + latent
                    target.update(from: plainAndRope + plain, count: shape.ropeHeadSize)
                }
                rope.rotate(target, cos: cosines, sin: sines)
            }
            let fresh = space.attention.keyValue.pointer + row * width
            wk_rms_norm(fresh, latentNorm.pointer, shape.latentNormEpsilon, fresh, Int64(latent))
            rope.rotate(fresh + latent, cos: cosines, sin: sines)
            let position = batch.positions[row]
            if segment.cache.isHalf {
                let (page, slot) = segment.cache.page(of: position)
                wk_latent_store(
                    fresh, Int64(width), page + layer * segment.cache.layerBytes, Int64(slot),
                    row + 1 == segment.rows.upperBound)
            } else {
                segment.cache.row(layer: layer, position: position).update(from: fresh, count: width)
            }
        }

        let mixed = space.attention.mixed.pointer
        let blocks = space.attention
        for (index, segment) in batch.segments.enumerated() where expands(segment) {
            attendExpanded(index, space, queries, into: mixed)
        }
        // Neighbours that stay absorbed go together.
        var next = 0
        while next < batch.segments.count {
            let end = batch.segments[next...].firstIndex(where: expands) ?? batch.segments.count
            if next < end { attendAbsorbed(next..<end, space, queries, into: mixed) }
            next = end + 1
        }
        let mixedSize = heads * shape.valueHeadSize
        if blocks.mixedBlocks.isActive {
            pool.runRows(rows) { row in blocks.mixedBlocks.quantize(mixed + row * mixedSize, row: row) }
        }
        outputProjection(blocks.mixedBlocks.activations(mixed), count: rows, into: space.output.pointer, pool)
    }

    /// Attention of some segments in the absorbed form: mixed[t, head] of their rows.
    private func attendAbsorbed(
        _ segments: Range<Int>, _ space: Workspace, _ queries: UnsafePointer<Float>,
        into mixed: UnsafeMutablePointer<Float>
    ) {
        let pool = space.pool
        let batch = space.batch
        let headSize = shape.plainHeadSize + shape.ropeHeadSize
        let width = shape.latentRank + shape.ropeHeadSize
        let first = batch.segments[segments.lowerBound].rows.lowerBound
        let rows = first..<batch.segments[segments.upperBound - 1].rows.upperBound
        let queries = queries + first * heads * headSize
        let absorbed = space.attention.absorbed.pointer + first * heads * width
        let context = space.attention.context.pointer + first * heads * shape.latentRank
        let mixed = mixed + first * heads * shape.valueHeadSize
        let blocks = space.attention
        // Either may have blocks without the other: each needs its own width to be whole ones.
        if blocks.contextBlocks.isActive || blocks.plainBlocks.isActive {
            for head in 0..<heads {
                for row in 0..<rows.count { blocks.headRows[head * rows.count + row] = Int32(row * heads + head) }
            }
        }
        if case .split(let keys, _) = expansion, keys.takesBlocks, blocks.plainBlocks.isActive {
            pool.run(rows.count * heads) { task, _ in
                blocks.plainBlocks.quantize(queries + task * headSize, row: task)
            }
        }
        pool.run(heads) { head, worker in
            absorb(head, queries, space.attention, count: rows.count, into: absorbed, pool.scratch(of: worker))
        }
        if batch.segments[segments.lowerBound].cache.isHalf {
            attendHalf(segments, space)
            if blocks.contextBlocks.isActive {
                pool.run(rows.count * heads) { task, _ in
                    blocks.contextBlocks.quantize(context + task * shape.latentRank, row: task)
                }
            }
        } else {
            attendExact(rows, space)
        }
        pool.run(heads) { head, worker in
            expand(head, context, space.attention, count: rows.count, into: mixed, pool.scratch(of: worker))
        }
    }

    private func attendHalf(_ segments: Range<Int>, _ space: Workspace) {
        let pool = space.pool
        let absorbed = space.attention.absorbed.pointer
        let context = space.attention.context.pointer
        let batch = space.batch
        let latent = shape.latentRank
        let width = latent + shape.ropeHeadSize
        let together = Int(wk_latent_heads())
        let tiles = batch.tiles(segments, rowsPerTile: 1, heads: (heads + together - 1) / together)
        func withTile(_ tile: AttentionTile, _ body: (UnsafePointer<wk_latent_attention>) -> Void) {
            let row = tile.rows.lowerBound
            let cache = batch.segments[tile.segment].cache
            let first = row * heads + tile.head * together
            cache.withPages { pages in
                var attention = wk_latent_attention(
                    pages: pages, offset: Int64(layer * cache.layerBytes), width: Int64(width), latent: Int64(latent),
                    scale: scale, query: absorbed + first * width, result: context + first * latent,
                    heads: Int64(min(together, heads - tile.head * together)), limit: Int64(batch.positions[row] + 1))
                body(&attention)
            }
        }
        attend(
            tiles, space.attention, pool,
            limit: { batch.positions[$0.rows.lowerBound] + 1 }, size: { Int(wk_latent_split(Int64($0))) },
            state: { tile in
                var floats = 0
                withTile(tile) { floats = Int(wk_latent_state($0)) }
                return floats
            },
            whole: { tile, worker in withTile(tile) { wk_latent_attend($0, pool.scratch(of: worker)) } },
            split: { tile, split, state, worker in
                withTile(tile) { wk_latent_attend_split($0, Int64(split), state, pool.scratch(of: worker)) }
            },
            combine: { tile, splits, states in withTile(tile) { wk_latent_combine($0, Int64(splits), states) } })
    }

    /// Floats that a worker needs while it attends.
    static func scratch(_ shape: Configuration.LatentAttention) -> Int {
        var attention = wk_latent_attention()
        attention.width = Int64(shape.latentRank + shape.ropeHeadSize)
        attention.latent = Int64(shape.latentRank)
        return Int(wk_latent_scratch(&attention))
    }

    private func attendExact(_ rows: Range<Int>, _ space: Workspace) {
        let pool = space.pool
        let batch = space.batch
        let latent = shape.latentRank
        let width = latent + shape.ropeHeadSize
        let absorbed = space.attention.absorbed.pointer + rows.lowerBound * heads * width
        let context = space.attention.context.pointer + rows.lowerBound * heads * latent
        pool.run(rows.count * heads) { task, worker in
            let row = rows.lowerBound + task / heads
            let segment = batch.segments[batch.segmentOfRow[row]]
            attend(
                query: absorbed + task * width, cache: segment.cache, layer: layer,
                positions: batch.positions[row] + 1, keyOffset: 0, keySize: width, valueOffset: 0, valueSize: latent,
                scale: scale, scores: pool.scratch(of: worker), into: context + task * latent)
            space.attention.contextBlocks.quantize(context + task * latent, row: task)
        }
    }

    /// Queries and new latents of all rows.
    private func project(_ space: Workspace, rows: Int) {
        let queries = space.attention.query.pointer
        switch query {
        case .dense(let projection):
            Linear.together(
                [(projection, queries), (compression, space.attention.keyValue.pointer)], space.input, count: rows,
                space.pool)
        case .compressed(let down, let norm, let up):
            let compressed = space.attention.compressedQuery.pointer
            Linear.together(
                [(down, compressed), (compression, space.attention.keyValue.pointer)], space.input, count: rows,
                space.pool)
            space.pool.run(rows) { row, _ in
                let q = compressed + row * down.outputs
                wk_rms_norm(q, norm.pointer, shape.latentNormEpsilon, q, Int64(down.outputs))
                space.attention.compressedBlocks.quantize(q, row: row)
            }
            up(space.attention.compressedBlocks.activations(compressed), count: rows, into: queries, space.pool)
        }
    }

    /// One head's plain query in the latent's space: absorbed[t, head, ..<latent].
    private func absorb(
        _ head: Int, _ queries: UnsafePointer<Float>, _ space: AttentionSpace, count: Int,
        into absorbed: UnsafeMutablePointer<Float>,
        _ scratch: UnsafeMutablePointer<Float>
    ) {
        let headSize = shape.plainHeadSize + shape.ropeHeadSize
        let width = shape.latentRank + shape.ropeHeadSize
        let x = queries + head * headSize
        let y = absorbed + head * width
        switch expansion {
        case .joint(let linear):
            let first = head * (shape.plainHeadSize + shape.valueHeadSize)
            linear.multiplyTransposed(
                first..<first + shape.plainHeadSize, x, stride: heads * headSize, count: count, into: y,
                stride: heads * width, scratch)
        case .split(let keys, _):
            let first = head * shape.latentRank
            keys.multiply(
                first..<first + shape.latentRank, space.plainBlocks.activations(x), stride: heads * headSize,
                tokenRows: space.headRows + head * count, count: count, into: y, stride: heads * width, scratch)
        }
    }

    /// One head's mixed latent as values: mixed[t, head].
    private func expand(
        _ head: Int, _ context: UnsafePointer<Float>, _ space: AttentionSpace, count: Int,
        into mixed: UnsafeMutablePointer<Float>,
        _ scratch: UnsafeMutablePointer<Float>
    ) {
        let values: Linear
        let first: Int
        switch expansion {
        case .joint(let linear):
            values = linear
            first = head * (shape.plainHeadSize + shape.valueHeadSize) + shape.plainHeadSize
        case .split(_, let linear):
            values = linear
            first = head * shape.valueHeadSize
        }
        values.multiply(
            first..<first + shape.valueHeadSize, space.contextBlocks.activations(context + head * shape.latentRank),
            stride: heads * shape.latentRank, tokenRows: space.headRows + head * count, count: count,
            into: mixed + head * shape.valueHeadSize, stride: heads * shape.valueHeadSize, scratch)
    }
}
