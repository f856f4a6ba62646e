// Text that a model writes while it trains.

import WaletAutodiff
import WaletFormats
import WaletModels

#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// Lets a model that trains go on from a prompt, with the engine's transformer and cache, in fp32.
public struct TextSampler {
    private let model: TrainableModel
    /// What ends a text; nil to go on.
    private let endToken: Int?

    public init(_ model: TrainableModel, endToken: Int?) {
        self.model = model
        self.endToken = endToken
    }

    /// The tokens after a prompt, without the one that ends the text.
    /// - Parameters:
    ///   - prompt: at least one token.
    ///   - count: at most so many.
    ///   - temperature: 0 takes the likeliest token.
    ///   - generator: one number is drawn a token, except at temperature 0.
    /// - Throws: ``FormatError`` for a model that the transformer cannot run.
    public func tokens(
        after prompt: [Int32], count: Int, temperature: Double, _ generator: inout RandomGenerator
    ) throws(FormatError) -> [Int32] {
        precondition(!prompt.isEmpty)
        let configuration = model.configuration
        let transformer = try Transformer(configuration, from: TrainedWeights(model))
        let space = Workspace(configuration, pool: model.arena.pool, rows: max(prompt.count, 1), logitRows: 1)
        let cache = KVCache(configuration, capacity: prompt.count + count)
        var next = prompt.map { Int($0) }
        var tokens: [Int32] = []
        while tokens.count < count {
            space.batch.removeAll()
            space.batch.append(next[...], to: cache)
            try transformer.forward(space)
            let logits = transformer.logits(ofRows: [next.count - 1], space)
            let token = choose(
                UnsafeBufferPointer(start: logits, count: configuration.vocabularySize), temperature, &generator)
            if token == endToken { break }
            tokens.append(Int32(truncatingIfNeeded: token))
            next = [token]
        }
        return tokens
    }

    private func choose(
        _ logits: UnsafeBufferPointer<Float>, _ temperature: Double, _ generator: inout RandomGenerator
    ) -> Int {
        var best = 0
        for index in logits.indices where logits[index] > logits[best] { best = index }
        guard temperature > 0 else { return best }
        let most = Double(logits[best])
        let weights = logits.map { exp((Double($0) - most) / temperature) }
        var rest = Double(generator.next() >> 11) * 0x1p-53 * weights.reduce(0, +)
        for (index, weight) in weights.enumerated() {
            rest -= weight
            if rest < 0 { return index }
        }
        return best
    }
}
