import CWaletKernels
import WaletFormats
import WaletTensor

/// Latent attention with keys and values, for prompts.
///
/// A query and a position cost 2 * (plain + rope + value) operations here and 2 * (2 * latent + rope) absorbed, a third
/// for DeepSeek's shapes; against that, keys and values of all positions before are made anew for each chunk of rows.
/// They are made for 512 positions and one head at a time, and go to memory of the worker that attends to them,
/// so that a chunk needs the same memory whatever the length.
extension LatentAttention {
    /// Whether a segment's rows are worked on here.
    func expands(_ segment: Batch.Segment) -> Bool {
        segment.isLongPrompt && segment.cache.isHalf && Self.canExpand(shape)
    }

    /// The kernels take keys and values of these sizes.
    static func canExpand(_ shape: Configuration.LatentAttention) -> Bool {
        (shape.plainHeadSize + shape.ropeHeadSize) % 16 == 0 && shape.valueHeadSize % 16 == 0
    }

    private static let queriesPerTile = 64
    /// Positions whose keys and values are kept at a time, several splits.
    static let positionsAtOnce = 512
    /// Positions whose keys and values are multiplied together.
    private static let positionsTogether = 128

    private var keySize: Int { shape.plainHeadSize + shape.ropeHeadSize }
    private var pageFloats: Int { KVCache.pageTokens * (keySize + shape.valueHeadSize) / 2 }

    /// Attention of a segment: mixed[t, head] of its rows.
    /// - Parameter queries: `[rows, heads, plain + rope]`, rotated.
    func attendExpanded(
        _ index: Int, _ space: Workspace, _ queries: UnsafePointer<Float>, into mixed: UnsafeMutablePointer<Float>
    ) {
        let segment = space.batch.segments[index]
        let pool = space.pool
        let total = segment.start + segment.rows.count
        let size = Self.positionsAtOnce
        let width = shape.latentRank + shape.ropeHeadSize
        let tiles = Array(stride(from: segment.rows.lowerBound, to: segment.rows.upperBound, by: Self.queriesPerTile))
        // Heads for all workers, or else parts of the rows too.
        let parts = min(tiles.count, (2 * pool.threads + heads - 1) / heads)
        space.attention.reserve(states: heads * segment.rows.count * stateFloats(queries: 1))
        space.attention.reserveLatents(width: width)
        let latents = space.attention.latents.pointer
        let ropes = latents + size * shape.latentRank
        let blocks = space.attention.latentBlocks

        for begin in stride(from: 0, to: total, by: size) {
            let count = min(size, total - begin)
            pool.run(count) { position, _ in
                let (page, slot) = segment.cache.page(of: begin + position)
                let target = latents + position * shape.latentRank
                wk_latent_load(
                    page + layer * segment.cache.layerBytes, Int64(width), Int64(shape.latentRank), Int64(slot),
                    target, ropes + position * shape.ropeHeadSize)
                blocks.quantize(target, row: position)
            }
            pool.run(heads * parts) { task, worker in
                let (head, part) = task.quotientAndRemainder(dividingBy: parts)
                let scratch = pool.scratch(of: worker)
                makeKeysAndValues(head, space.attention, count: count, scratch)
                for tile in tiles[tiles.count * part / parts..<tiles.count * (part + 1) / parts] {
                    let rows = tile..<min(tile + Self.queriesPerTile, segment.rows.upperBound)
                    attend(
                        rows, head: head, segment, seen: begin, isLast: begin + count == total, queries,
                        space.attention, into: mixed, scratch)
                }
            }
        }
    }

    /// Keys and values of one head into the pages at the start of the scratch: of each page first all keys, then all
    /// values.
    private func makeKeysAndValues(
        _ head: Int, _ space: AttentionSpace, count: Int, _ scratch: UnsafeMutablePointer<Float>
    ) {
        let plain = shape.plainHeadSize
        let value = shape.valueHeadSize
        let keys = scratch + pageFloats * (Self.positionsAtOnce / KVCache.pageTokens)
        let values = keys + Self.positionsTogether * plain
        let key = values + Self.positionsTogether * value
        let rest = key + keySize
        let latents = space.latents.pointer
        let ropes = latents + Self.positionsAtOnce * shape.latentRank
        for first in stride(from: 0, to: count, by: Self.positionsTogether) {
            let together = min(Self.positionsTogether, count - first)
            let x = space.latentBlocks.activations(latents + first * shape.latentRank, from: first)
            let valueRows: Range<Int>
            let valueLinear: Linear
            switch expansion {
            case .joint(let linear):
                let row = head * (plain + value)
                linear.multiply(
                    row..<row + plain, x, stride: shape.latentRank, count: together, into: keys, stride: plain, rest)
                (valueLinear, valueRows) = (linear, row + plain..<row + plain + value)
            case .split(let keyLinear, let linear):
                let row = head * shape.latentRank
                keyLinear.multiplyTransposed(
                    row..<row + shape.latentRank, x.floats, stride: shape.latentRank, count: together, into: keys,
                    stride: plain, rest)
                (valueLinear, valueRows) = (linear, head * value..<(head + 1) * value)
            }
            valueLinear.multiply(
                valueRows, x, stride: shape.latentRank, count: together, into: values, stride: value, rest)
            for position in 0..<together {
                key.update(from: keys + position * plain, count: plain)
                (key + plain).update(
                    from: ropes + (first + position) * shape.ropeHeadSize, count: shape.ropeHeadSize)
                let (page, slot) = (first + position).quotientAndRemainder(dividingBy: KVCache.pageTokens)
                let start = UnsafeMutableRawPointer(scratch + page * pageFloats).assumingMemoryBound(to: UInt8.self)
                wk_grouped_store(
                    key, values + position * value, Int64(keySize), Int64(value), start,
                    start + 2 * KVCache.pageTokens * keySize, Int64(slot), first + position + 1 == count)
            }
        }
    }

    /// Some rows and one head attend to the positions whose keys and values are in the scratch.
    /// - Parameter seen: positions before those.
    private func attend(
        _ rows: Range<Int>, head: Int, _ segment: Batch.Segment, seen: Int, isLast: Bool,
        _ queries: UnsafePointer<Float>, _ space: AttentionSpace, into mixed: UnsafeMutablePointer<Float>,
        _ scratch: UnsafeMutablePointer<Float>
    ) {
        let stride = heads * keySize
        let pagesAtOnce = Self.positionsAtOnce / KVCache.pageTokens
        let part = scratch + pageFloats * pagesAtOnce
        let rest = part + stateFloats(queries: Self.queriesPerTile)
        let row = rows.lowerBound - segment.rows.lowerBound
        let state = space.states.pointer + (head * segment.rows.count + row) * stateFloats(queries: 1)
        let bytes = UnsafeRawPointer(scratch).assumingMemoryBound(to: UInt8.self)
        withUnsafeTemporaryAllocation(of: UnsafePointer<UInt8>?.self, capacity: pagesAtOnce) { pages in
            for page in 0..<pagesAtOnce { pages[page] = bytes + 4 * page * pageFloats }
            var attention = wk_grouped_attention(
                pages: pages.baseAddress!, key_offset: 0, value_offset: Int64(2 * KVCache.pageTokens * keySize),
                head_size: Int64(keySize), value_size: Int64(shape.valueHeadSize), scale: scale,
                query: queries + rows.lowerBound * stride + head * keySize, query_stride: Int64(stride),
                result: mixed + (rows.lowerBound * heads + head) * shape.valueHeadSize,
                result_stride: Int64(heads * shape.valueHeadSize), queries: Int64(rows.count), group: 1,
                first_limit: Int64(segment.start + row + 1 - seen))
            // Rows that end before these positions have nothing to add.
            if segment.start + row + rows.count > seen {
                if seen == 0 {
                    wk_grouped_attend_first(&attention, Int64(Self.positionsAtOnce), state, rest)
                } else {
                    wk_grouped_attend_first(&attention, Int64(Self.positionsAtOnce), part, rest)
                    wk_grouped_add(&attention, state, part)
                }
            }
            if isLast { wk_grouped_combine(&attention, 1, state) }
        }
    }

    private func stateFloats(queries: Int) -> Int {
        var attention = wk_grouped_attention()
        attention.value_size = Int64(shape.valueHeadSize)
        attention.queries = Int64(queries)
        return Int(wk_grouped_state(&attention))
    }

    /// Floats that a worker needs.
    var expandedScratch: Int {
        var attention = wk_grouped_attention()
        attention.head_size = Int64(keySize)
        attention.value_size = Int64(shape.valueHeadSize)
        attention.queries = Int64(Self.queriesPerTile)
        attention.group = 1
        let pages = pageFloats * Self.positionsAtOnce / KVCache.pageTokens
        let columns = Int64(max(shape.latentRank, shape.plainHeadSize))
        let making =
            Self.positionsTogether * (shape.plainHeadSize + shape.valueHeadSize) + keySize
            + max(Int(wk_matmul_scratch(columns)), Int(wk_q8_matmul_scratch(columns)))
        let attending = Int(wk_grouped_state(&attention)) + Int(wk_grouped_scratch(&attention))
        return pages + max(making, attending)
    }
}
