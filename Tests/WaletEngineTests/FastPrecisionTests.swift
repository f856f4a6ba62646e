import Foundation
import Testing
import WaletEngine
import WaletFormats
import WaletJSON
import WaletModels

/// *fast* against *exact*: integer dot products change probabilities by little, and never by the batch.
@Suite(.serialized) struct FastPrecisionTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    private func smollm2(_ precision: Precision) throws -> Engine {
        let files = try ModelFolder(Self.root.appending(path: ".models/smollm2").path)
        return try Engine(
            try Transformer(files.configuration, from: try files.weights()), threads: 2, precision: precision)
    }

    @Test func realTextKeepsItsProbabilities() async throws {
        let golden = try JSONValue(
            parsing: Data(contentsOf: Self.root.appending(path: "Tests/Fixtures/models/smollm2-golden.json")))
        let exact = try smollm2(.exact)
        let fast = try smollm2(.fast)
        var divergence = 0.0
        var agreements = 0
        var positions = 0
        var logprobs = (exact: 0.0, fast: 0.0)
        for text in golden["texts"]?.arrayValue ?? [] {
            let tokens = text["tokens"]?.arrayValue?.compactMap(\.intValue) ?? []
            let vocabulary = exact.model.configuration.vocabularySize
            let one = try await exact.score(tokens, top: vocabulary)
            let two = try await fast.score(tokens, top: vocabulary)
            for (a, b) in zip(one.top, two.top) {
                var other = [Double](repeating: 0, count: vocabulary)
                for candidate in b { other[candidate.id] = Double(candidate.logprob) }
                divergence += a.reduce(0) { $0 + exp(Double($1.logprob)) * (Double($1.logprob) - other[$1.id]) }
                agreements += a[0].id == b[0].id ? 1 : 0
                positions += 1
            }
            logprobs.exact += one.logprobs.compactMap { $0 }.reduce(0) { $0 + Double($1) }
            logprobs.fast += two.logprobs.compactMap { $0 }.reduce(0) { $0 + Double($1) }
        }
        let meanDivergence = divergence / Double(positions)
        let agreement = Double(agreements) / Double(positions)
        let perplexityRatio = exp((logprobs.exact - logprobs.fast) / Double(positions))
        print("fast against exact: KL \(meanDivergence), top-1 \(agreement), perplexity ratio \(perplexityRatio)")
        #expect(meanDivergence < 0.005)
        #expect(agreement > 0.94)
        #expect(abs(perplexityRatio - 1) < 0.01)
    }

    /// Only packings with integer products differ; the result is bitwise the same in whatever chunks.
    @Test(arguments: [
        "gguf-llama", "gguf-llama-kquants", "gguf-deepseek2", "gguf-qwen3moe", "kimi-k2-thinking", "int4-g128",
        "int8-g32",
    ])
    func chunksAreBitwiseEqual(_ name: String) async throws {
        let golden = try Golden(name)
        let engine = try Engine(try golden.model(), threads: 2, precision: .fast)
        let exact = try Engine(try golden.model(), threads: 2)
        let tokens = try #require(golden.cases.map(\.tokens).first { $0.count > 100 })
        let whole = try await engine.score(tokens, top: 3)
        for chunk in [1, 3, 50] {
            let parts = try await engine.score(tokens, top: 3, chunk: chunk)
            #expect(parts.logprobs == whole.logprobs)
            #expect(parts.top == whole.top)
        }
        let reference = try await exact.score(tokens)
        let difference = zip(whole.logprobs, reference.logprobs).compactMap { a, b in
            a.flatMap { a in b.map { abs(a - $0) } }
        }
        print("fast \(name): mean difference from exact \(difference.reduce(0, +) / Float(difference.count))")
    }
}
