import Foundation
import WaletFormats
import WaletModels

/// What *fast* precision changes of a model's probabilities on a text, against *exact*.
public struct PrecisionComparison: Sendable, Equatable {
    /// Tokens that were predicted, each from all tokens before it in its window.
    public var positions = 0
    /// exp of the mean of -ln p, in exact and in fast precision.
    public var exactPerplexity = 1.0
    public var fastPerplexity = 1.0
    /// Mean Kullback-Leibler divergence of fast's distribution from exact's, over the whole vocabulary, in nats.
    public var divergence = 0.0
    /// Share of positions at which both have the same likeliest token.
    public var topAgreement = 0.0

    /// Runs a text through a model in both precisions.
    /// - Parameters:
    ///   - window: tokens that are scored together; each window begins anew. Logits of a window are held in memory.
    ///   - progress: called after each window with the positions so far.
    /// - Throws: ``EngineError`` for a text of fewer than two tokens, or parameters out of range.
    public static func measure(
        _ model: Transformer, tokens: [Int], window: Int = 512, threads: Int? = nil,
        progress: (PrecisionComparison) -> Void = { _ in }
    ) async throws -> PrecisionComparison {
        guard tokens.count >= 2 else { throw EngineError.emptyPrompt }
        // A gigabyte of logits a precision.
        let most = min(model.configuration.contextLength, (1 << 28) / model.configuration.vocabularySize)
        guard window >= 2, window <= most else {
            throw EngineError.parameter(name: "window", expected: "2 to \(most)", found: "\(window)")
        }
        let exact = try Engine(model, threads: threads, precision: .exact)
        let fast = try Engine(model, threads: threads, precision: .fast)
        let vocabulary = model.configuration.vocabularySize
        var sums = Sums()
        for first in stride(from: 0, to: tokens.count - 1, by: window) {
            let part = Array(tokens[first..<min(first + window, tokens.count)])
            guard part.count >= 2 else { break }
            let one = try await exact.logits(part)
            let two = try await fast.logits(part)
            for position in 0..<part.count - 1 {
                let range = position * vocabulary..<(position + 1) * vocabulary
                one[range].withUnsafeBufferPointer { a in
                    two[range].withUnsafeBufferPointer { b in sums.add(a, b, next: part[position + 1]) }
                }
            }
            progress(sums.result)
        }
        return sums.result
    }

    private struct Sums {
        var positions = 0
        var exact = 0.0
        var fast = 0.0
        var divergence = 0.0
        var agreements = 0

        mutating func add(_ a: UnsafeBufferPointer<Float>, _ b: UnsafeBufferPointer<Float>, next: Int) {
            var (bestA, bestB) = (0, 0)
            for index in a.indices {
                if a[index] > a[bestA] { bestA = index }
                if b[index] > b[bestB] { bestB = index }
            }
            var (sumA, sumB, weighted) = (0.0, 0.0, 0.0)
            for index in a.indices {
                let weight = Double(exp(a[index] - a[bestA]))
                sumA += weight
                weighted += weight * Double(a[index] - b[index])
                sumB += Double(exp(b[index] - b[bestB]))
            }
            let normalizerA = Double(a[bestA]) + log(sumA)
            let normalizerB = Double(b[bestB]) + log(sumB)
            positions += 1
            exact += normalizerA - Double(a[next])
            fast += normalizerB - Double(b[next])
            divergence += weighted / sumA - normalizerA + normalizerB
            agreements += bestA == bestB ? 1 : 0
        }

        var result: PrecisionComparison {
            let count = Double(positions)
            return PrecisionComparison(
                positions: positions, exactPerplexity: Foundation.exp(exact / count),
                fastPerplexity: Foundation.exp(fast / count), divergence: divergence / count,
                topAgreement: Double(agreements) / count)
        }
    }
}

extension Engine {
    /// What follows each token: `[tokens, vocabulary]`.
    func logits(_ tokens: [Int]) async throws -> ContiguousArray<Float> {
        try check(tokens)
        let model = model
        return try await perform { space in
            let vocabulary = model.configuration.vocabularySize
            let cache = KVCache(model.configuration, capacity: tokens.count, precision: space.precision)
            var result = ContiguousArray<Float>()
            result.reserveCapacity(tokens.count * vocabulary)
            while cache.count < tokens.count {
                let first = cache.count
                let rows = min(tokens.count - first, space.batch.capacity)
                space.batch.removeAll()
                space.batch.append(
                    tokens[first..<first + rows], to: cache,
                    ofLongPrompt: model.isLongPrompt(fresh: tokens.count, cached: 0))
                try model.forward(space)
                for row in stride(from: 0, to: rows, by: space.logitRows) {
                    let count = min(space.logitRows, rows - row)
                    let logits = model.logits(ofRows: row..<row + count, space)
                    result.append(contentsOf: UnsafeBufferPointer(start: logits, count: count * vocabulary))
                }
            }
            return result
        }
    }
}
