// How long attention takes over a cache of a model's own shape.

import CWaletKernels
import Foundation
import WaletTensor

/// Measures what a plan takes for attention, with a made-up cache.
public enum AttentionProbe {
    /// Positions that the measured query sees.
    public static let context = 1024

    /// Lets one token attend to a cache, in layers as a model has them, in about half a second.
    /// - Parameter budget: the most memory for the cache, in bytes.
    /// - Returns: seconds a layer and position; nil where the model's cache is not one of 16-bit numbers.
    /// - Throws: ``PlanError/unmeasurable(what:reason:remedy:)``.
    public static func secondsPerPosition(
        _ shape: ModelShape, threads: Int = Hardware.physicalCores, budget: Int = 1 << 28
    ) throws(PlanError) -> Double? {
        guard let attention = shape.attention, shape.layers > 0 else { return nil }
        guard let pool = ThreadPool(threads: threads) else {
            throw MemoryProbe.unmeasurable("\(threads) threads could not be started")
        }
        let pageBytes = 2 * ModelShape.pageTokens * shape.cacheWidth
        let pages = context / ModelShape.pageTokens
        let layers = max(1, min(shape.layers, budget / (pages * pageBytes)))
        let buffer = try ProbeBuffer(bytes: layers * pages * pageBytes)
        // Numbers between 0.0078 and 2 of either sign, in BF16.
        let numbers = buffer.start.assumingMemoryBound(to: UInt16.self)
        for index in 0..<layers * pages * pageBytes / 2 {
            let mixed = UInt32(truncatingIfNeeded: index) &* 2_654_435_761
            numbers[index] = UInt16(mixed >> 31) << 15 | 0x3C00 | UInt16(truncatingIfNeeded: mixed >> 16) & 0x3FF
        }
        let run = AttentionRun(attention, shape, buffer, pages: pages, layers: layers, pool)
        run.pass()
        var times: [Double] = []
        while times.count < 3 || (times.reduce(0, +) < 0.4 && times.count < 100) {
            let start = DispatchTime.now().uptimeNanoseconds
            run.pass()
            times.append(Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9)
        }
        return times.sorted()[times.count / 2] / Double(layers * context)
    }
}

/// One token's attention in all layers, divided among workers as the engine divides it.
private final class AttentionRun {
    private let shape: ModelShape.Attention
    private let heads: Int
    private let layers: Int
    private let pool: ThreadPool
    /// Of each layer, the pages that it reads.
    private let pages: [[UnsafePointer<UInt8>?]]
    private let query: FloatBuffer
    private let result: FloatBuffer
    private let states: FloatBuffer
    private let tiles: Int
    private let splits: Int
    private let stateFloats: Int

    init(
        _ shape: ModelShape.Attention, _ model: ModelShape, _ buffer: ProbeBuffer, pages count: Int, layers: Int,
        _ pool: ThreadPool
    ) {
        self.shape = shape
        heads = model.heads
        self.layers = layers
        self.pool = pool
        let pageBytes = 2 * ModelShape.pageTokens * model.cacheWidth
        pages = (0..<layers).map { layer in
            (0..<count).map { page in
                UnsafePointer((buffer.start + (layer * count + page) * pageBytes).assumingMemoryBound(to: UInt8.self))
            }
        }
        query = FloatBuffer(count: heads * model.attentionWidth)
        for index in 0..<query.count { query.pointer[index] = Float((index &* 40_503) & 0xFF) / 256 - 0.5 }
        result = FloatBuffer(count: heads * model.attentionWidth)
        let scratch: Int
        switch shape {
        case .latent(let rank, let rope):
            let together = Int(wk_latent_heads())
            tiles = (heads + together - 1) / together
            let size = Int(wk_latent_split(Int64(AttentionProbe.context)))
            splits = (AttentionProbe.context + size - 1) / size
            var attention = wk_latent_attention()
            (attention.width, attention.latent) = (Int64(rank + rope), Int64(rank))
            (stateFloats, scratch) = (Int(wk_latent_state(&attention)), Int(wk_latent_scratch(&attention)))
        case .grouped(let headSize, let keyValueHeads):
            tiles = keyValueHeads
            let size = Int(WK_ATTENTION_SPLIT)
            splits = (AttentionProbe.context + size - 1) / size
            var attention = wk_grouped_attention()
            (attention.head_size, attention.value_size) = (Int64(headSize), Int64(headSize))
            attention.group = Int64(heads / keyValueHeads)
            attention.queries = attention.group
            (stateFloats, scratch) = (Int(wk_grouped_state(&attention)), Int(wk_grouped_scratch(&attention)))
        }
        states = FloatBuffer(count: tiles * splits * stateFloats)
        pool.reserve(scratch: scratch)
    }

    func pass() {
        for layer in 0..<layers {
            pages[layer].withUnsafeBufferPointer { pages in
                guard let pages = pages.baseAddress else { return }
                pool.run(tiles * splits) { task, worker in
                    attend(pages, tile: task / splits, split: task % splits, pool.scratch(of: worker))
                }
                pool.run(tiles) { tile, _ in combine(pages, tile: tile) }
            }
        }
    }

    private func state(_ tile: Int, _ split: Int) -> UnsafeMutablePointer<Float> {
        states.pointer + (tile * splits + split) * stateFloats
    }

    private func attend(
        _ pages: UnsafePointer<UnsafePointer<UInt8>?>, tile: Int, split: Int, _ scratch: UnsafeMutablePointer<Float>
    ) {
        switch shape {
        case .latent(let rank, let rope):
            var attention = latent(pages, tile, rank, rope)
            wk_latent_attend_split(&attention, Int64(split), state(tile, split), scratch)
        case .grouped(let headSize, let keyValueHeads):
            var attention = grouped(pages, tile, headSize, keyValueHeads)
            wk_grouped_attend_split(&attention, Int64(split), state(tile, split), scratch)
        }
    }

    private func combine(_ pages: UnsafePointer<UnsafePointer<UInt8>?>, tile: Int) {
        switch shape {
        case .latent(let rank, let rope):
            var attention = latent(pages, tile, rank, rope)
            wk_latent_combine(&attention, Int64(splits), state(tile, 0))
        case .grouped(let headSize, let keyValueHeads):
            var attention = grouped(pages, tile, headSize, keyValueHeads)
            wk_grouped_combine(&attention, Int64(splits), state(tile, 0))
        }
    }

    private func latent(
        _ pages: UnsafePointer<UnsafePointer<UInt8>?>, _ tile: Int, _ rank: Int, _ rope: Int
    ) -> wk_latent_attention {
        let first = tile * Int(wk_latent_heads())
        return wk_latent_attention(
            pages: pages, offset: 0, width: Int64(rank + rope), latent: Int64(rank), scale: 0.1,
            query: query.pointer + first * (rank + rope), result: result.pointer + first * rank,
            heads: Int64(min(Int(wk_latent_heads()), heads - first)), limit: Int64(AttentionProbe.context))
    }

    private func grouped(
        _ pages: UnsafePointer<UnsafePointer<UInt8>?>, _ head: Int, _ headSize: Int, _ keyValueHeads: Int
    ) -> wk_grouped_attention {
        let bytes = Int64(2 * headSize * ModelShape.pageTokens)
        let group = heads / keyValueHeads
        return wk_grouped_attention(
            pages: pages, key_offset: Int64(head) * bytes, value_offset: Int64(keyValueHeads + head) * bytes,
            head_size: Int64(headSize), value_size: Int64(headSize), scale: 0.1,
            query: query.pointer + head * group * headSize, query_stride: Int64(heads * headSize),
            result: result.pointer + head * group * headSize, result_stride: Int64(heads * headSize),
            queries: Int64(group), group: Int64(group), first_limit: Int64(AttentionProbe.context))
    }
}
