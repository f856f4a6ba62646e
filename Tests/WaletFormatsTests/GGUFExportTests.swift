import Foundation
import Testing
import WaletFormats
import WaletTensor

@Suite struct GGUFExportTests {
    let folder = TemporaryFolder()

    private func model(_ name: String) throws -> ModelFolder {
        try ModelFolder(Fixtures.models.appending(path: name).path)
    }

    private func export(
        _ model: ModelFolder, _ type: GGUFExport.MatrixType? = nil
    ) throws -> (outcome: GGUFExport.Outcome, file: ModelFolder) {
        let path = folder.file("\(UUID().uuidString).gguf")
        let outcome = try GGUFExport(model, vocabulary: nil, matrices: type).write(to: path)
        return (outcome, try ModelFolder(path))
    }

    /// A fixture's copy with other fields in its config.json.
    private func changed(_ name: String, _ change: (inout [String: Any]) -> Void) throws -> ModelFolder {
        let copy = folder.file(UUID().uuidString)
        try FileManager.default.copyItem(atPath: Fixtures.models.appending(path: name).path, toPath: copy)
        let config = URL(filePath: copy + "/config.json")
        var json = try #require(try JSONSerialization.jsonObject(with: Data(contentsOf: config)) as? [String: Any])
        change(&json)
        try JSONSerialization.data(withJSONObject: json).write(to: config)
        return try ModelFolder(copy)
    }

    private func row(_ matrix: WeightMatrix, _ index: Int) -> [Float] {
        let output = FloatBuffer(count: matrix.columns)
        matrix.dequantize(row: index, into: output.pointer)
        return output.values
    }

    @Test(arguments: ["deepseek-v3", "kimi-k2-thinking", "moonlight", "llama", "qwen3-moe"])
    func theFilesConfigurationIsTheFolders(_ name: String) throws {
        let source = try model(name)
        var (expected, found) = (source.configuration, try export(source).file.configuration)
        // What GGUF calls otherwise, keeps as floats, or leaves out.
        (expected.modelType, expected.quantization, expected.predictionLayers) = (found.modelType, nil, 0)
        (expected.endTokens, expected.beginToken) = ([], nil)
        if name == "llama" { expected.rope.layout = .interleaved }
        expected.rope.logitScale = (expected.rope.logitScale * 1e6).rounded() / 1e6
        found.rope.logitScale = (found.rope.logitScale * 1e6).rounded() / 1e6
        expected.rope.amplitude = 1
        #expect(found == expected)
    }

    /// The file's values before they are rounded to BF16 are the products of the published integers and scales.
    @Test func integersAndScalesOfExpertsStayWhatTheyAre() throws {
        let source = try model("kimi-k2-thinking")
        let (outcome, file) = try export(source)
        #expect(outcome.shares.contains { $0.type == "Q4_0" && $0.tensors == 6 })
        #expect(!outcome.notes.contains { $0.contains("scales") })
        let (before, after) = (try source.weights(), try file.weights())
        var compared = 0
        for layer in 1...2 {
            for expert in 0..<8 {
                let module = "model.layers.\(layer).mlp.experts.\(expert)."
                for (name, rows, columns) in [("gate_proj", 32, 64), ("up_proj", 32, 64), ("down_proj", 64, 32)] {
                    let old = try before.matrix(module + name, rows: rows, columns: columns)
                    let new = try after.matrix(module + name, rows: rows, columns: columns)
                    #expect(old.packing == .int4 && new.packing == .q4_0)
                    for index in 0..<rows {
                        let rounded = row(new, index).map(HalfFloat.bf16)
                        #expect(rounded == row(old, index).map(HalfFloat.bf16))
                        compared += 1
                    }
                }
            }
        }
        #expect(compared == 16 * 128)
    }

    /// A copy of kimi-k2-thinking in which the first scale of an expert is another.
    private func withScale(_ bits: UInt16) throws -> ModelFolder {
        let copy = try changed("kimi-k2-thinking") { _ in }
        let name = "model.layers.1.mlp.experts.3.up_proj.weight_scale"
        for shard in 1...2 {
            let path = copy.path + "/model-0000\(shard)-of-000002.safetensors"
            guard let tensor = try SafetensorsFile(path)[name] else { continue }
            var data = try Data(contentsOf: URL(filePath: path))
            let start = tensor.range.lowerBound
            data[start] = UInt8(truncatingIfNeeded: bits)
            data[start + 1] = UInt8(truncatingIfNeeded: bits >> 8)
            try data.write(to: URL(filePath: path))
        }
        return try ModelFolder(copy.path)
    }

    @Test func scalesThatF16DoesNotHaveAreRoundedAndSaid() throws {
        // 1.0078125 * 2^-24 becomes 2^-24; 2^-24 and 2^15 are F16's own.
        let notes = try export(try withScale(0x3381)).outcome.notes
        #expect(
            notes.contains {
                $0.hasPrefix("1 of 3072 scales") && $0.hasSuffix("largest relative error is 0.007751938")
            }, "\(notes)")
        for bits: UInt16 in [0x3380, 0x4700] {
            #expect(!(try export(try withScale(bits)).outcome.notes.contains { $0.contains("scales") }))
        }
        for bits: UInt16 in [0x4780, 0x7F80, 0x7FC0] {
            let model = try withScale(bits)
            #expect(says(failure { _ = try export(model) }, model.path, "blk.1.ffn_up_exps.weight", "Q4_0 can hold"))
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).allSatisfy { !$0.contains("partial") })
    }

    @Test(arguments: GGUFExport.MatrixType.allCases)
    func matricesAreRoundedToTheNearest(_ type: GGUFExport.MatrixType) throws {
        let source = try model("int4-g128")
        let (outcome, file) = try export(source, type)
        #expect(outcome.shares.map(\.type).contains(type.rawValue.uppercased()))
        let (rows, columns) = (source.configuration.vocabularySize, source.configuration.hiddenSize)
        let old = try source.weights().matrix("model.embed_tokens", rows: rows, columns: columns)
        let new = try file.weights().matrix("model.embed_tokens", rows: rows, columns: columns)
        var violations = 0
        for index in 0..<rows {
            for block in stride(from: 0, to: columns, by: 32) {
                let before = row(old, index)[block..<block + 32]
                let after = row(new, index)[block..<block + 32]
                let largest = before.map(abs).max() ?? 0
                // Half a step, and what F16 rounds of the scale; Q4_0's is a whole one at the end where it has no 8.
                let step: Float =
                    switch type {
                    case .f32, .bf16: 0
                    case .f16: largest / 2048
                    case .q8_0: largest / 127 * 0.565
                    case .q4_0: largest / 8 * 1.01
                    }
                violations += zip(before, after).filter { abs($0 - $1) > step }.count
            }
        }
        #expect(violations == 0)
    }

    @Test(arguments: [
        ("deepseek-r1", "attention_bias"), ("deepseek-v2", "topk_method"), ("qwen3-moe-sparse", "moe_layer_freq"),
        ("int4-channel", "blk.0.ffn_down.weight"), ("int8-channel", "multiple of 32 values for Q8_0, found 102"),
        ("gguf-llama", "found a GGUF model"), ("llama/config.json", "found a configuration alone"),
    ])
    func whatCannotBeSaidIsRefused(_ name: String, _ words: String) throws {
        #expect(says(failure { _ = try export(try model(name)) }, Fixtures.models.path + "/" + name, words))
    }

    @Test func typesThatRowsDoNotFitAreRefused() throws {
        for type in [GGUFExport.MatrixType.q8_0, .q4_0] {
            let error = failure { _ = try export(try model("kimi-k2-thinking"), type) }
            #expect(says(error, "blk.0.attn_k_b.weight", "a multiple of 32 values for", "found 16"))
        }
    }

    @Test func rotationsThatLlamaDoesInAnotherWayAreRefused() throws {
        func refused(_ name: String, _ words: String, _ change: (inout [String: Any]) -> Void) throws {
            let model = try changed(name, change)
            #expect(says(failure { _ = try export(model) }, model.path, words))
        }
        func scaling(_ key: String, _ value: Any) -> (inout [String: Any]) -> Void {
            { json in
                var scaling = json["rope_scaling"] as? [String: Any] ?? [:]
                scaling[key] = value
                json["rope_scaling"] = scaling
            }
        }
        try refused("deepseek-v3", "mscale and mscale_all_dim that are equal", scaling("mscale", 0.5))
        try refused("deepseek-v3", "mscale and mscale_all_dim that are equal", scaling("mscale_all_dim", 0))
        try refused("deepseek-v3", "rope_scaling.truncate", scaling("truncate", false))
        try refused("deepseek-v3", "yarn or none for deepseek2", scaling("type", "linear"))
        try refused("deepseek-v3", "q_lora_rank: expected none with 27 layers") { $0["num_hidden_layers"] = 27 }
        try refused("deepseek-v3", "n_shared_experts") { $0["n_shared_experts"] = 0 }
        try refused("qwen3-moe", "norm_topk_prob") { $0["norm_topk_prob"] = false }
    }

    @Test func aSourceThatLacksATensorLeavesNoFile() throws {
        let model = try changed("deepseek-v3") { $0["num_hidden_layers"] = 5 }
        #expect(says(failure { _ = try export(model) }, "model.layers.4.", "none of this name"))
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).count == 1)
    }

    @Test func aSourceThatIsWrittenToMeanwhileLeavesNoFile() throws {
        let model = try changed("moonlight") { _ in }
        let export = try GGUFExport(model, vocabulary: nil)
        let file = try FileHandle(forUpdating: URL(filePath: model.path + "/model.safetensors"))
        try file.seek(toOffset: 300_000)
        try file.write(contentsOf: Data([1]))
        try file.close()
        let error = failure { _ = try export.write(to: folder.file("model.gguf")) }
        #expect(says(error, "model.safetensors", "written to while it was exported"))
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).count == 1)
    }
}
