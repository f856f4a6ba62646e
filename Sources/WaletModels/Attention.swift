import CWaletKernels
import WaletFormats
import WaletTensor

/// Memory of the attention blocks.
final class AttentionSpace {
    struct Sizes {
        var compressedQuery = 0
        var query: Int
        var keyValue: Int
        var absorbed = 0
        var mixed: Int
        var context = 0
        /// Heads, and the sizes of what each quantizes for latent attention's own matrices.
        let heads: Int
        var plain = 0
        var latent = 0

        init(_ configuration: Configuration) {
            let heads = configuration.heads
            self.heads = heads
            switch configuration.attention {
            case .latent(let latent):
                compressedQuery = latent.queryRank ?? 0
                query = heads * (latent.plainHeadSize + latent.ropeHeadSize)
                keyValue = latent.latentRank + latent.ropeHeadSize
                absorbed = heads * (latent.latentRank + latent.ropeHeadSize)
                context = heads * latent.latentRank
                mixed = heads * latent.valueHeadSize
                plain = latent.plainHeadSize
                self.latent = latent.latentRank
            case .grouped(let grouped):
                query = heads * grouped.headSize
                keyValue = 2 * grouped.keyValueHeads * grouped.headSize
                mixed = heads * grouped.headSize
            }
        }

        var rowFloats: Int { compressedQuery + query + keyValue + absorbed + context + mixed }
    }

    /// `[rows, queryRank]`
    let compressedQuery: FloatBuffer
    /// `[rows, heads, head size]`
    let query: FloatBuffer
    /// What the cache keeps, before norms and rotation: `[rows, cache width]`
    let keyValue: FloatBuffer
    /// Latent attention: queries in the latent's space, `[rows, heads, latentRank + ropeHeadSize]`
    let absorbed: FloatBuffer
    /// Latent attention: mixed latents, `[rows, heads, latentRank]`
    let context: FloatBuffer
    /// Mixed values, `[rows, heads, value head size]`
    let mixed: FloatBuffer
    let compressedBlocks: BlockBuffer
    let mixedBlocks: BlockBuffer
    /// Latent attention: a row a token and head.
    let plainBlocks: BlockBuffer
    let contextBlocks: BlockBuffer
    /// States of splits that several workers share, as large as the longest sequence needed so far.
    private(set) var states = FloatBuffer(count: 0)
    /// Expanded latent attention: the latents of some positions, and their rotated keys, `[positionsAtOnce, …]`.
    private(set) var latents = FloatBuffer(count: 0)
    private(set) var latentBlocks: BlockBuffer
    private let latentSize: Int
    private let precision: Precision
    /// Row `head * rows + t` holds where token t's row of that head lies in the two above: `t * heads + head`.
    let headRows: UnsafeMutablePointer<Int32>

    init(_ sizes: Sizes, rows: Int, _ precision: Precision) {
        compressedQuery = FloatBuffer(count: rows * sizes.compressedQuery)
        query = FloatBuffer(count: rows * sizes.query)
        keyValue = FloatBuffer(count: rows * sizes.keyValue)
        absorbed = FloatBuffer(count: rows * sizes.absorbed)
        context = FloatBuffer(count: rows * sizes.context)
        mixed = FloatBuffer(count: rows * sizes.mixed)
        compressedBlocks = BlockBuffer(rows: rows, columns: sizes.compressedQuery, precision)
        mixedBlocks = BlockBuffer(rows: rows, columns: sizes.mixed, precision)
        plainBlocks = BlockBuffer(rows: rows * sizes.heads, columns: sizes.plain, precision)
        contextBlocks = BlockBuffer(rows: rows * sizes.heads, columns: sizes.latent, precision)
        headRows = .allocate(capacity: rows * sizes.heads)
        latentBlocks = BlockBuffer(rows: 0, columns: 0, precision)
        latentSize = sizes.latent
        self.precision = precision
    }

    deinit { headRows.deallocate() }

    func reserve(states count: Int) {
        if states.count < count { states = FloatBuffer(count: count + count / 4) }
    }

    /// Room for the latents and rotated keys of positions that are expanded together, `width` floats a position.
    func reserveLatents(width: Int) {
        guard latents.count == 0 else { return }
        latents = FloatBuffer(count: LatentAttention.positionsAtOnce * width)
        latentBlocks = BlockBuffer(rows: LatentAttention.positionsAtOnce, columns: latentSize, precision)
    }
}

/// What one worker attends to at a time: some rows of a segment, and one head of keys and values, or for latent
/// attention one group of query heads.
struct AttentionTile {
    let segment: Int
    let rows: Range<Int>
    let head: Int
}

extension Batch {
    /// All rows of some segments, at most `rowsPerTile` of one segment together, times `heads`.
    func tiles(_ range: Range<Int>, rowsPerTile: Int, heads: Int) -> [AttentionTile] {
        var tiles: [AttentionTile] = []
        tiles.reserveCapacity((count + rowsPerTile - 1) / rowsPerTile * heads + range.count * heads)
        for index in range {
            let segment = segments[index]
            var first = segment.rows.lowerBound
            while first < segment.rows.upperBound {
                let rows = first..<min(first + rowsPerTile, segment.rows.upperBound)
                for head in 0..<heads { tiles.append(AttentionTile(segment: index, rows: rows, head: head)) }
                first = rows.upperBound
            }
        }
        return tiles
    }
}

/// Runs tiles of attention in parallel, or, where they are too few to keep the workers busy, the splits of all tiles.
/// The result is the same.
/// - Parameters:
///   - limit: positions that the last row of a tile sees.
///   - size: positions of a split where a row sees so many.
///   - state: floats that a split of a tile leaves.
func attend(
    _ tiles: [AttentionTile], _ space: AttentionSpace, _ pool: ThreadPool, limit: (AttentionTile) -> Int,
    size: (_ limit: Int) -> Int, state: (AttentionTile) -> Int, whole: (AttentionTile, _ worker: Int) -> Void,
    split: (AttentionTile, _ split: Int, _ state: UnsafeMutablePointer<Float>, _ worker: Int) -> Void,
    combine: (AttentionTile, _ splits: Int, _ states: UnsafeMutablePointer<Float>) -> Void
) {
    func splits(_ tile: AttentionTile) -> Int {
        let limit = limit(tile)
        return (limit + size(limit) - 1) / size(limit)
    }
    guard pool.threads > 1, tiles.count < 4 * pool.threads, tiles.contains(where: { splits($0) > 1 }) else {
        pool.run(tiles.count) { task, worker in whole(tiles[task], worker) }
        return
    }
    var parts: [(tile: Int, split: Int, state: Int)] = []
    var firstStates: [Int] = []
    var floats = 0
    for (index, tile) in tiles.enumerated() {
        firstStates.append(floats)
        for split in 0..<splits(tile) {
            parts.append((index, split, floats))
            floats += state(tile)
        }
    }
    space.reserve(states: floats)
    let states = space.states.pointer
    pool.run(parts.count) { task, worker in
        let part = parts[task]
        split(tiles[part.tile], part.split, states + part.state, worker)
    }
    pool.run(tiles.count) { task, _ in
        combine(tiles[task], splits(tiles[task]), states + firstStates[task])
    }
}

/// One layer's attention: reads `normed`, writes `output`, and puts the new tokens' rows into their caches.
enum Attention: Sendable {
    case latent(LatentAttention)
    case grouped(GroupedAttention)

    /// - Parameter cacheLayer: its layer in the cache; nil for `layer`.
    init(
        _ configuration: Configuration, layer: Int, cacheLayer: Int? = nil, from source: some WeightSource
    ) throws(FormatError) {
        let cacheLayer = cacheLayer ?? layer
        let prefix = "model.layers.\(layer).self_attn."
        switch configuration.attention {
        case .latent(let shape):
            self = .latent(try LatentAttention(configuration, shape, layer: cacheLayer, prefix, from: source))
        case .grouped(let shape):
            self = .grouped(try GroupedAttention(configuration, shape, layer: cacheLayer, prefix, from: source))
        }
    }

    func callAsFunction(_ space: Workspace, _ rope: RotaryEmbedding) {
        switch self {
        case .latent(let attention): attention(space, rope)
        case .grouped(let attention): attention(space, rope)
        }
    }
}

/// Softmax attention of one head of one row over the rows of a cache: scores over `keyOffset`, mixture of
/// `valueOffset`. Works with memory for one score a position, whatever the length.
/// - Parameters:
///   - query: `[keySize]`
///   - scores: scratch, `[positions]`
///   - result: `[valueSize]`
@inline(__always)
func attend(
    query: UnsafePointer<Float>, cache: KVCache, layer: Int, positions: Int, keyOffset: Int, keySize: Int,
    valueOffset: Int, valueSize: Int, scale: Float, scores: UnsafeMutablePointer<Float>,
    into result: UnsafeMutablePointer<Float>
) {
    let width = cache.width
    cache.forEachStretch(layer: layer, positions: positions) { first, rows, start in
        for row in 0..<rows {
            scores[first + row] = wk_dot(query, start + row * width + keyOffset, Int64(keySize)) * scale
        }
    }
    wk_softmax(scores, Int64(positions))
    result.update(repeating: 0, count: valueSize)
    cache.forEachStretch(layer: layer, positions: positions) { first, rows, start in
        for row in 0..<rows {
            wk_axpy(scores[first + row], start + row * width + valueOffset, result, Int64(valueSize))
        }
    }
}
