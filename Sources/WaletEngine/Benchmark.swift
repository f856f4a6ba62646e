import Foundation
import WaletFormats
import WaletModels

/// What a benchmark measured.
public struct BenchmarkResult: Sendable {
    /// Tokens of all sequences' prompts a second.
    public let prefillRate: Double
    /// Tokens of all sequences a second.
    public let decodeRate: Double
    /// Bytes of weights that a decode step of one sequence reads.
    public let bytesPerToken: Int
    /// Bytes of all sequences' caches at the end.
    public let cacheBytes: Int
    /// What the store of experts did while decoding, and while the prompts were run; nil where all weights are mapped.
    public let decodeExperts: ExpertStatistics?
    public let prefillExperts: ExpertStatistics?
}

extension Engine {
    /// Measures prefill and decode on random tokens.
    /// - Parameters:
    ///   - prompt: tokens of each sequence's prompt.
    ///   - generate: decode steps.
    ///   - batch: sequences that are decoded together.
    ///   - depth: made-up tokens that each sequence's cache holds before. Attention takes the same time over any.
    ///   - longPrompt: whether latent attention makes keys and values for the prompt; by default as for any prompt.
    public func benchmark(
        prompt: Int, generate: Int, batch: Int, depth: Int = 0, longPrompt: Bool? = nil
    ) async throws -> BenchmarkResult {
        guard prompt >= 1 else {
            throw EngineError.parameter(name: "prompt", expected: "1 or more", found: "\(prompt)")
        }
        guard generate >= 1 else {
            throw EngineError.parameter(name: "generate", expected: "1 or more", found: "\(generate)")
        }
        guard (1...16).contains(batch) else {
            throw EngineError.parameter(name: "batch", expected: "1 to 16 sequences", found: "\(batch)")
        }
        guard depth >= 0 else {
            throw EngineError.parameter(name: "depth", expected: "0 or more", found: "\(depth)")
        }
        // Not by their sum, which may be beyond an integer.
        guard depth < contextLength, prompt < contextLength - depth, generate <= contextLength - depth - prompt else {
            throw EngineError.parameter(
                name: "depth, prompt and generate", expected: "at most the context of \(contextLength) tokens together",
                found: "\(depth), \(prompt) and \(generate)")
        }
        let model = model
        let empty = KVCache(model.configuration, capacity: 0, precision: precision)
        let bytes = Double(empty.bytesPerToken) * Double(batch) * Double(depth + prompt + generate)
        guard bytes < 0.8 * Double(ProcessInfo.processInfo.physicalMemory) else {
            throw EngineError.parameter(
                name: "batch, depth, prompt and generate", expected: "caches that fit this machine's memory",
                found: String(format: "%.1f GB", bytes / 1e9))
        }
        return try await perform { space in
            let vocabulary = model.configuration.vocabularySize
            let clock = ContinuousClock()
            let caches = (0..<batch).map { _ in
                KVCache(model.configuration, capacity: depth + prompt + generate, precision: space.precision)
            }
            var random = SplitMix64(state: 42)
            func token() -> Int { Int.random(in: 0..<vocabulary, using: &random) }

            // One pass first, so that mapped pages are there and workers awake.
            let warmUp = KVCache(model.configuration, capacity: 1, precision: space.precision)
            space.batch.removeAll()
            space.batch.append([token()], to: warmUp)
            try model.forward(space)
            _ = model.logits(ofRows: 0..<1, space)

            for cache in caches { cache.fill(to: depth) { Float.random(in: -1...1, using: &random) } }
            let isLong = longPrompt ?? model.isLongPrompt(fresh: prompt, cached: depth)
            let before = model.expertStore?.statistics
            let start = clock.now
            for cache in caches {
                while cache.count < depth + prompt {
                    let rows = min(space.batch.capacity, depth + prompt - cache.count)
                    space.batch.removeAll()
                    space.batch.append((0..<rows).map { _ in token() }[...], to: cache, ofLongPrompt: isLong)
                    try model.forward(space)
                }
            }
            _ = model.logits(ofRows: 0..<1, space)
            let prefill = (clock.now - start).seconds
            let between = model.expertStore?.statistics
            let decodeStart = clock.now
            for _ in 0..<generate {
                space.batch.removeAll()
                for cache in caches { space.batch.append([token()], to: cache) }
                try model.forward(space)
                _ = model.logits(ofRows: 0..<batch, space)
            }
            let decode = (clock.now - decodeStart).seconds
            let after = model.expertStore?.statistics
            return BenchmarkResult(
                prefillRate: Double(prompt * batch) / prefill, decodeRate: Double(generate * batch) / decode,
                bytesPerToken: model.bytesPerToken, cacheBytes: caches.reduce(0) { $0 + $1.byteCount },
                decodeExperts: between.flatMap { after?.since($0) },
                prefillExperts: before.flatMap { between?.since($0) })
        }
    }
}
