import Foundation
import Testing
import WaletFormats
import WaletPlan

@Suite struct ModelShapeTests {
    @Test func kimiK2ThinkingWeighsWhatIsPublished() throws {
        let shape = try Fixtures.shape("kimi-k2-thinking")
        // 594 GB in the published files; 23,040 experts of 24.77 MB; 8 of 384 in 60 layers are 11.89 GB a token.
        #expect(abs(Double(shape.totalBytes) / 594.2e9 - 1) < 0.005)
        #expect(abs(Double(shape.bytes(.routed)) / 570.8e9 - 1) < 0.001)
        #expect(shape.expertBytes == 24_772_608 + 3 * 16)
        #expect(abs(Double(shape.activeExpertBytes) / 11.89e9 - 1) < 0.001)
        #expect(shape.cacheBytesPerToken == 70_272)
        #expect(shape.sparseLayers == 60)
        // Non-routed parameters, in BF16: attention 6.17 billion, shared 2.64, dense 0.40, routers 0.165, both ends 2.35.
        for (part, billions) in [
            (ModelShape.Part.attention, 6.17), (.shared, 2.64), (.dense, 0.396), (.router, 0.165), (.embedding, 1.174),
            (.head, 1.174),
        ] { #expect(abs(Double(shape.bytes(part)) / 2e9 - billions) < 0.006, "\(part)") }
    }

    @Test func deepSeekV3AndMoonlightWeighWhatIsPublished() throws {
        // 671 billion parameters, one byte each but for what stays BF16, plus scales.
        let large = try Fixtures.shape("deepseek-v3")
        #expect((671e9...677e9).contains(Double(large.totalBytes)))
        #expect(large.cacheBytesPerToken == 70_272)
        #expect(large.expertsPerToken == 8 && large.experts == 256 && large.sparseLayers == 58)
        #expect(large.notes.contains { $0.contains("prediction layer") })
        let small = try Fixtures.shape("moonlight")
        #expect(abs(Double(small.totalBytes) / 2 - 15.96e9) < 0.05e9)
        #expect(small.cacheBytesPerToken == 31_104)
    }

    @Test(arguments: [
        "deepseek-v2-lite", "deepseek-v2", "deepseek-v3", "kimi-k2-instruct", "kimi-k2-thinking", "kimi-k2.5",
        "llama-3.1-8b",
        "moonlight", "qwen3-30b-a3b", "qwen3-32b-fp8",
    ])
    func aConfigurationsMatricesAreItsParameters(_ name: String) throws {
        let folder = try ModelFolder(Fixtures.folder.appending(path: "formats/configs/\(name).json").path)
        let shape = try ModelShape(folder)
        let stored = shape.groups.reduce(0) { $0 + $1.rows * $1.columns * $1.stored }
        let parameters = folder.configuration.parameters
        // Qwen's norms of queries and keys and Llama's biases are not listed: a few thousand of billions.
        #expect(abs(stored - parameters.total) < parameters.total / 100_000)
        let embedding = shape.groups.first { $0.part == .embedding }
        let row = embedding?.columns ?? 0
        let norms = shape.groups.filter { $0.read == 0 && $0.rows == 1 }.reduce(0) { $0 + $1.columns * $1.stored }
        let active = shape.multipliedPerToken + Double(row + norms)
        #expect(abs(active - Double(parameters.active)) < Double(parameters.active) / 100_000)
    }

    @Test(arguments: Fixtures.models)
    func filesHaveTheMatricesThatTheirConfigurationDescribes(_ path: String) throws {
        let folder = try ModelFolder(path)
        let shape = try ModelShape(folder)
        let bytes = try folder.weightBytes()
        #expect(shape.totalBytes == bytes.total)
        #expect(!shape.isEstimated)
        let estimate = ModelShape(name: "", configuration: folder.configuration)
        #expect(estimate.cacheBytesPerToken == shape.cacheBytesPerToken)
        func values(_ shape: ModelShape, _ parts: Set<ModelShape.Part>, _ count: (ModelShape.Group) -> Int) -> Int {
            shape.groups.filter { parts.contains($0.part) && $0.rows > 1 }.reduce(0) {
                $0 + $1.rows * $1.columns * count($1)
            }
        }
        for part in [ModelShape.Part.embedding, .attention, .dense, .shared, .routed, .head] {
            #expect(values(shape, [part], \.stored) == values(estimate, [part], \.stored), "\(part), stored")
            #expect(values(shape, [part], \.read) == values(estimate, [part], \.read), "\(part), read")
        }
    }

    @Test func aBatchChoosesFewerExpertsThanItsSum() throws {
        let shape = try Fixtures.shape("kimi-k2-thinking")
        #expect(abs(shape.distinctExperts(tokens: 1) - 8) < 1e-9)
        #expect(shape.distinctExperts(tokens: 2) < 16 && shape.distinctExperts(tokens: 2) > 15)
        #expect(shape.distinctExperts(tokens: 1e9) <= 384)
        #expect(try Fixtures.shape("llama-3.1-8b").distinctExperts(tokens: 5) == 0)
    }

    @Test func hugeConfigurationsSaturateInsteadOfTrapping() throws {
        let text = """
            {"model_type": "deepseek_v3", "hidden_size": 262144, "num_hidden_layers": 4096, "num_attention_heads": 16384,
            "vocab_size": 16777216, "max_position_embeddings": 1073741824, "intermediate_size": 4194304,
            "kv_lora_rank": 262144, "qk_nope_head_dim": 16384, "qk_rope_head_dim": 16384, "v_head_dim": 16384,
            "n_routed_experts": 16384, "num_experts_per_tok": 16384, "n_shared_experts": 1, "n_group": 1, "topk_group": 1,
            "moe_intermediate_size": 4194304, "first_k_dense_replace": 1, "hidden_act": "silu",
            "routed_scaling_factor": 2.5}
            """
        let configuration = try Configuration(file: "x", json: Array(text.utf8))
        let shape = ModelShape(name: "huge", configuration: configuration)
        #expect(shape.totalBytes > 0 && shape.activeBytes > 0 && shape.residentBytes > 0)
        let plan = try Plan(
            shape, on: .given(memory: 1e12, speed: 1e11, disk: 1e9), context: 1 << 30, concurrency: 100_000)
        #expect(plan.placement == .tooLarge)
        #expect(plan.json["fits"] == false)
        #expect(!plan.rows.isEmpty && plan.decodeRate == nil && plan.advice.isEmpty)
        #expect(plan.chart().svg().hasPrefix("<svg"))
    }
}
