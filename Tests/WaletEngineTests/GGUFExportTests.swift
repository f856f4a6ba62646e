import Foundation
import Testing
import WaletEngine
import WaletFormats
import WaletJSON
import WaletModels

/// A checkpoint's file for llama.cpp computes what the checkpoint does.
@Suite struct GGUFExportTests {
    private static func export(
        _ name: String, as type: GGUFExport.MatrixType?, precision: Precision = .exact
    ) throws -> (Engine, () -> Void) {
        let file = FileManager.default.temporaryDirectory.appending(path: "walet-\(UUID().uuidString).gguf").path
        let folder = try ModelFolder(GoldenTests.folder.appending(path: name).path)
        _ = try GGUFExport(folder, vocabulary: nil, matrices: type).write(to: file)
        let written = try ModelFolder(file)
        let engine = try Engine(
            try Transformer(written.configuration, from: try written.weights()), threads: 2, precision: precision)
        return (engine, { try? FileManager.default.removeItem(atPath: file) })
    }

    /// - Parameter type: F32 where BF16 would round FP8's products.
    @Test(arguments: [
        ("deepseek-v2-lite", "golden", GGUFExport.MatrixType?.none), ("deepseek-v3", "golden", nil),
        ("deepseek-v3-fused", "golden", nil), ("deepseek-v3-nonint", "golden", nil), ("kimi-k2", "golden", nil),
        ("moonlight", "golden", nil), ("llama", "golden", nil), ("llama-bias", "golden", nil),
        ("llama-linear-rope", "golden", nil), ("llama3-rope", "golden", nil), ("qwen3", "golden", nil),
        ("qwen3-moe", "golden", nil), ("deepseek-v3-fp8", "golden", .f32),
        // GGUF's products of integers and scales are not rounded to BF16 as compressed-tensors' are.
        ("kimi-k2-thinking", "golden-unrounded", nil), ("int4-g64", "golden-unrounded", nil),
        ("int4-g128", "golden-unrounded", nil), ("int8-g32", "golden-unrounded", nil),
    ])
    func logProbabilitiesAreTransformers(_ name: String, _ values: String, _ type: GGUFExport.MatrixType?) async throws
    {
        let golden = try Golden(name, values)
        let (engine, remove) = try Self.export(name, as: type)
        defer { remove() }
        let vocabulary = engine.model.configuration.vocabularySize
        var largest = 0.0
        for example in golden.cases {
            let scores = try await engine.score(example.tokens, top: vocabulary)
            for case (let ours?, let theirs?) in zip(scores.logprobs, example.logprobs) {
                largest = max(largest, abs(Double(ours) - theirs))
            }
            for (position, distribution) in example.full {
                for candidate in scores.top[position] {
                    largest = max(largest, abs(Double(candidate.logprob) - distribution[candidate.id]))
                }
            }
        }
        #expect(golden.cases.count > 3)
        #expect(largest < 1e-3, "largest difference of a log probability: \(largest)")
        print("exported \(name): largest difference \(largest)")
    }

    /// A head's 32 dimensions are a whole block, the latent's 120 are none.
    @Test func fastPrecisionTakesKeysInBlocksBesideALatentThatIsInNone() async throws {
        let tokens = (0..<40).map { 5 + $0 * 37 % 300 }
        let (exact, removeOne) = try Self.export("deepseek-v3-fp8", as: nil)
        let (fast, removeTwo) = try Self.export("deepseek-v3-fp8", as: nil, precision: .fast)
        defer {
            removeOne()
            removeTwo()
        }
        let (one, two) = (try await exact.score(tokens), try await fast.score(tokens))
        let differences = zip(one.logprobs, two.logprobs).compactMap { a, b in a.flatMap { a in b.map { abs(a - $0) } }
        }
        #expect(differences.count == 39)
        #expect((differences.max() ?? 1) < 0.5, "\(differences)")
    }
}
