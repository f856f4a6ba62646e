import CWaletAutodiff
import CWaletKernels
import WaletTensor

#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// Causal attention in blocks, forward and backward: memory grows with the rows, never with their square.
///
/// Scores are a sum of parts, so that latent attention needs no keys put together from a head's own and the shared ones.
/// FlashAttention-2 (arXiv 2307.08691), algorithms 1 and 2, with rows of blocks as tasks of one worker.
struct BlockAttention {
    /// Numbers of heads: where head h of row r begins is `pointer + r * stride + h * head`.
    struct Heads {
        let pointer: UnsafeMutablePointer<Float>
        /// Floats from row to row.
        let stride: Int
        /// Floats from head to head; 0 where all heads share one.
        let head: Int

        @inline(__always)
        func at(_ row: Int, _ head: Int) -> UnsafeMutablePointer<Float> { pointer + row * stride + head * self.head }
        @inline(__always)
        func factor(_ row: Int, _ head: Int, transposed: Bool = false) -> Factor {
            Factor(at(row, head), stride: stride, transposed: transposed)
        }
    }

    /// An addend of the scores: the product of some dimensions of queries and keys.
    struct Part {
        let query: Heads
        let key: Heads
        let size: Int
    }

    static let queryBlock = 64
    static let keyBlock = 256

    /// Rows that see each other; each is causal by itself.
    let segments: [Range<Int>]
    let heads: Int
    /// Query heads to one head of keys and values.
    let group: Int
    let scale: Float
    let parts: [Part]
    let value: Heads
    let valueSize: Int
    /// `[rows, heads * valueSize]`
    let result: Heads
    /// ln of the sum of exponentials of each row's scores, `[heads, rows]`
    let logSum: UnsafeMutablePointer<Float>
    let rows: Int

    /// - Returns: the largest scaled score of each head.
    func forward(_ arena: Arena) -> [Float] {
        let (block, columns) = (Self.queryBlock, Self.keyBlock)
        arena.pool.reserve(scratch: block * (columns + 3))
        let largest = arena.scratch(segments.count * heads)
        arena.pool.run(segments.count * heads) { task, worker in
            let segment = segments[task / heads]
            let head = task % heads
            let scores = arena.pool.scratch(of: worker)
            let maxima = scores + block * columns
            let (sums, corrections) = (maxima + block, maxima + 2 * block)
            var most = -Float.infinity
            for first in stride(from: segment.lowerBound, to: segment.upperBound, by: block) {
                let end = min(segment.upperBound, first + block)
                let count = end - first
                maxima.initialize(repeating: -.infinity, count: count)
                sums.initialize(repeating: 0, count: count)
                let target = result.at(first, head)
                for key in stride(from: segment.lowerBound, to: end, by: columns) {
                    let keys = min(columns, end - key)
                    score(first, count, key, keys, head, into: scores)
                    wa_attention_softmax(
                        scores, Int64(columns), Int64(count), Int64(keys), Int64(first - key + 1), scale, maxima, sums,
                        corrections)
                    let isFirst = key == segment.lowerBound
                    if !isFirst {
                        for row in 0..<count {
                            wa_scale(target + row * result.stride, corrections[row], Int64(valueSize))
                        }
                    }
                    multiply(
                        count, valueSize, keys, Factor(scores, stride: columns), value.factor(key, head / group),
                        beta: isFirst ? 0 : 1, into: target, stride: result.stride)
                }
                for row in 0..<count {
                    wa_scale(target + row * result.stride, 1 / sums[row], Int64(valueSize))
                    logSum[head * rows + first + row] = maxima[row] + log(sums[row])
                    // A maximum passes a NaN by.
                    most = sums[row].isNaN ? .nan : max(most, maxima[row])
                }
            }
            largest.pointer[task] = most
        }
        return (0..<heads).map { head in
            segments.indices.reduce(-Float.infinity) {
                let value = largest.pointer[$1 * heads + head]
                return $0.isNaN || value.isNaN ? .nan : max($0, value)
            }
        }
    }

    /// Adds to the gradients.
    /// - Parameters:
    ///   - dResult: laid out as `result`.
    ///   - dParts: where the gradients of the parts go. Keys that all heads share need a place for each head, as heads are
    ///     worked on at the same time.
    ///   - dValue: where the gradients of the values go.
    func backward(_ arena: Arena, dResult: Heads, dParts: [Part], dValue: Heads) {
        let (block, columns) = (Self.queryBlock, Self.keyBlock)
        arena.pool.reserve(scratch: block * (2 * columns + 1))
        let keyHeads = heads / group
        arena.pool.run(segments.count * keyHeads) { task, worker in
            let segment = segments[task / keyHeads]
            let keyHead = task % keyHeads
            let scores = arena.pool.scratch(of: worker)
            let (slopes, delta) = (scores + block * columns, scores + 2 * block * columns)
            for head in keyHead * group..<(keyHead + 1) * group {
                for first in stride(from: segment.lowerBound, to: segment.upperBound, by: block) {
                    let end = min(segment.upperBound, first + block)
                    let count = end - first
                    for row in first..<end {
                        delta[row - first] = wk_dot(dResult.at(row, head), result.at(row, head), Int64(valueSize))
                    }
                    for key in stride(from: segment.lowerBound, to: end, by: columns) {
                        let keys = min(columns, end - key)
                        score(first, count, key, keys, head, into: scores)
                        wa_attention_probabilities(
                            scores, Int64(columns), Int64(count), Int64(keys), Int64(first - key + 1), scale,
                            logSum + head * rows + first)
                        multiply(
                            keys, valueSize, count, Factor(scores, stride: columns, transposed: true),
                            dResult.factor(first, head), beta: 1, into: dValue.at(key, keyHead), stride: dValue.stride)
                        multiply(
                            count, keys, valueSize, dResult.factor(first, head),
                            value.factor(key, keyHead, transposed: true), beta: 0, into: slopes, stride: columns)
                        wa_attention_backward(
                            scores, slopes, Int64(columns), Int64(count), Int64(keys), scale, delta)
                        for (part, d) in zip(parts, dParts) {
                            multiply(
                                count, part.size, keys, Factor(slopes, stride: columns), part.key.factor(key, keyHead),
                                beta: 1, into: d.query.at(first, head), stride: d.query.stride)
                            multiply(
                                keys, part.size, count, Factor(slopes, stride: columns, transposed: true),
                                part.query.factor(first, head), beta: 1, into: d.key.at(key, keyHead),
                                stride: d.key.stride)
                        }
                    }
                }
            }
        }
    }

    /// scores `[count, keys]` of the queries from row `first` on with the keys from row `key` on, unscaled.
    @inline(__always)
    private func score(
        _ first: Int, _ count: Int, _ key: Int, _ keys: Int, _ head: Int, into scores: UnsafeMutablePointer<Float>
    ) {
        for (index, part) in parts.enumerated() {
            multiply(
                count, keys, part.size, part.query.factor(first, head),
                part.key.factor(key, head / group, transposed: true), beta: index == 0 ? 0 : 1, into: scores,
                stride: Self.keyBlock)
        }
    }
}
