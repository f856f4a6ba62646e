import Foundation
import Testing
import WaletFormats
import WaletTensor

@Suite struct SafetensorsSourceTests {
    let folder = TemporaryFolder()

    /// A source over tensors, with a quantization and tied embeddings where said.
    func source(
        _ builder: SafetensorsBuilder, _ quantization: Configuration.Quantization? = nil, tied: Bool = false
    ) throws -> SafetensorsSource {
        var configuration = try ConfigurationTests.published("llama-3.1-8b")
        configuration.quantization = quantization
        configuration.tiedEmbeddings = tied
        let file = try SafetensorsFile(folder.write("\(UUID().uuidString).safetensors", builder.bytes))
        return SafetensorsSource(SafetensorsSet(file: file), configuration: configuration)
    }

    func row(_ matrix: WeightMatrix, _ index: Int) -> [Float] {
        let output = FloatBuffer(count: matrix.columns)
        matrix.dequantize(row: index, into: output.pointer)
        return output.values
    }

    @Test func plainMatricesAndVectorsAreFoundByTheirShapes() throws {
        var builder = SafetensorsBuilder()
        builder.add("odd", "U8", [1], [0])
        builder.addFloats("a.weight", [2, 3])
        builder.add("b.weight", "BF16", [1, 2], [0x80, 0x3F, 0x00, 0xC0])
        builder.addFloats("norm.weight", [4])
        builder.add("half.weight", "F16", [2], [0x00, 0x3C, 0x00, 0xC0])
        let source = try source(builder)
        #expect(try row(source.matrix("a", rows: 2, columns: 3), 1) == [3, 4, 5])
        #expect(try row(source.matrix("b", rows: 1, columns: 2), 0) == [1, -2])
        #expect(try source.vector("norm.weight", count: 4).values == [0, 1, 2, 3])
        #expect(try source.vector("half.weight", count: 2).values == [1, -2])
        #expect(source.hasMatrix("a") && !source.hasMatrix("c") && source.hasVector("norm.weight"))
        #expect(!source.hasVector("norm"))
        #expect(
            says(failure { _ = try source.matrix("a", rows: 3, columns: 2) }, "a.weight", "[3, 2]", "found [2, 3]"))
        #expect(says(failure { _ = try source.matrix("c", rows: 1, columns: 1) }, "c.weight", "none of this name"))
        #expect(says(failure { _ = try source.vector("norm.weight", count: 5) }, "norm.weight", "[5]", "[4]"))
        #expect(says(failure { _ = try source.vector("c", count: 5) }, "c", "none of this name"))
    }

    @Test(arguments: ["U8", "I8", "F8_E5M2", "BOOL"])
    func otherTypesInAMatrixsPlaceAreRefusedByName(_ element: String) throws {
        var builder = SafetensorsBuilder()
        builder.add("a.weight", element, [2, 2], [0, 0, 0, 0])
        builder.add("v", element, [4], [0, 0, 0, 0])
        let source = try source(builder)
        #expect(says(failure { _ = try source.matrix("a", rows: 2, columns: 2) }, "a.weight", "found \(element)"))
        #expect(says(failure { _ = try source.vector("v", count: 4) }, "v:", "found \(element)"))
    }

    @Test func aTiedHeadIsTheEmbedding() throws {
        var builder = SafetensorsBuilder()
        builder.addFloats("model.embed_tokens.weight", [2, 3])
        let tied = try source(builder, tied: true)
        #expect(try tied.hasMatrix("lm_head") && row(tied.matrix("lm_head", rows: 2, columns: 3), 1) == [3, 4, 5])
        let untied = try source(builder)
        #expect(!untied.hasMatrix("lm_head"))
        #expect(says(failure { _ = try untied.matrix("lm_head", rows: 2, columns: 3) }, "lm_head.weight"))
    }

    @Test func namesOfMultimodalModelsHaveAPrefix() throws {
        var builder = SafetensorsBuilder()
        builder.addFloats("language_model.model.embed_tokens.weight", [2, 3])
        builder.addFloats("language_model.model.norm.weight", [3])
        builder.addFloats("vision_tower.x", [1])
        let source = try source(builder, tied: true)
        #expect(source.hasMatrix("model.embed_tokens") && source.hasMatrix("lm_head"))
        #expect(try source.vector("model.norm.weight", count: 3).values == [0, 1, 2])
        #expect(
            says(
                failure { _ = try source.matrix("model.x", rows: 1, columns: 1) }, "language_model.model.x.weight"))
    }

    @Test func expertsOfOneTensorAreSliced() throws {
        var builder = SafetensorsBuilder()
        builder.addFloats("model.layers.1.mlp.experts.gate_up_proj", [2, 6, 2])
        builder.addFloats("model.layers.1.mlp.experts.down_proj", [2, 2, 3])
        let source = try source(builder)
        let start = "model.layers.1.mlp.experts."
        #expect(source.hasMatrix(start + "1.up_proj") && !source.hasMatrix(start + "1.side_proj"))
        #expect(row(try source.matrix(start + "0.gate_proj", rows: 3, columns: 2), 0) == [0, 1])
        #expect(row(try source.matrix(start + "1.gate_proj", rows: 3, columns: 2), 2) == [16, 17])
        #expect(row(try source.matrix(start + "1.up_proj", rows: 3, columns: 2), 0) == [18, 19])
        #expect(row(try source.matrix(start + "1.down_proj", rows: 2, columns: 3), 1) == [9, 10, 11])
        #expect(says(failure { _ = try source.matrix(start + "2.up_proj", rows: 3, columns: 2) }, "more than 2"))
        #expect(says(failure { _ = try source.matrix(start + "0.up_proj", rows: 2, columns: 2) }, "found [2, 6, 2]"))
        #expect(failure { _ = try source.matrix(start + "0.up_proj", rows: .max, columns: 2) } != nil)
        #expect(failure { _ = try source.matrix(start + "9999999.up_proj", rows: 3, columns: 2) } != nil)
    }

    static let packed4 = Configuration.Quantization.packed(bits: 4, groupSize: 32, ignore: ["lm_head", "re:.*attn.*"])

    /// `[2, 64]` of INT4 whose value i of a row is i mod 16 - 8, with scales 1 and 2, then 3 and 4.
    func packed(_ name: String = "m.up_proj", change: (inout SafetensorsBuilder) -> Void = { _ in })
        -> SafetensorsBuilder
    {
        var builder = SafetensorsBuilder()
        var words: [UInt8] = []
        for _ in 0..<2 * 4 { for word: UInt32 in [0x7654_3210, 0xFEDC_BA98] { words.append(little: word) } }
        builder.add(name + ".weight_packed", "I32", [2, 8], words)
        builder.add(name + ".weight_scale", "BF16", [2, 2], [0x80, 0x3F, 0, 0x40, 0x40, 0x40, 0x80, 0x40])
        var shape: [UInt8] = []
        for value: Int64 in [2, 64] { shape.append(little: value) }
        builder.add(name + ".weight_shape", "I64", [2], shape)
        change(&builder)
        return builder
    }

    @Test func packedValuesAreReadWithTheirScales() throws {
        let matrix = try source(packed(), Self.packed4).matrix("m.up_proj", rows: 2, columns: 64)
        #expect(matrix.packing == .int4 && matrix.byteCount == 64 + 8)
        let values = (0..<16).map { Float($0 - 8) }
        #expect(row(matrix, 0) == values + values + values.map { $0 * 2 } + values.map { $0 * 2 })
        #expect(row(matrix, 1) == (values + values).map { $0 * 3 } + (values + values).map { $0 * 4 })
    }

    @Test func inconsistentPackingsAreRefused() throws {
        func error(
            _ quantization: Configuration.Quantization? = Self.packed4, module: String = "m.up_proj", rows: Int = 2,
            columns: Int = 64, _ change: @escaping (inout SafetensorsBuilder) -> Void = { _ in }
        ) -> FormatError? {
            failure {
                _ = try source(packed(module, change: change), quantization).matrix(
                    module, rows: rows, columns: columns)
            }
        }
        #expect(error() == nil)
        #expect(says(error(nil), "quantization_config", "none"))
        #expect(says(error(.fp8(blockRows: 128, blockColumns: 128)), "pack-quantized"))
        #expect(says(error(.packed(bits: 8, groupSize: 32, ignore: [])), "weight_packed", "[2, 16]", "[2, 8]"))
        #expect(says(error(.packed(bits: 4, groupSize: 64, ignore: [])), "weight_scale", "[2, 1]", "[2, 2]"))
        #expect(says(error(module: "self_attn.q_proj"), "ignores this module"))
        #expect(says(error(rows: 3), "weight_packed", "[3, 8]"))
        #expect(says(error(columns: 63), "weight_shape", "[2, 63]", "[2, 64]"))
        #expect(says(error { $0.entries[0].dtype = "U32" }, "weight_packed", "I32", "U32"))
        #expect(says(error { $0.entries[0].shape = [4, 4] }, "weight_packed", "[4, 4]"))
        #expect(says(error { $0.entries[1].dtype = "I16" }, "weight_scale", "I16"))
        #expect(says(error { $0.entries.remove(at: 1) }, "weight_scale", "none of this name"))
        #expect(says(error { $0.entries.remove(at: 2) }, "weight_shape", "none of this name"))
        #expect(says(error { $0.entries[2].dtype = "F64" }, "weight_shape", "F64"))
        #expect(says(error { $0.entries[2].shape = [2, 1] }, "weight_shape", "[2, 1]"))
        #expect(
            says(
                error {
                    for index in 8..<16 { $0.entries[2].bytes[index] = 0xFF }
                }, "weight_shape", "-1"))
        #expect(says(error { $0.add("m.up_proj.weight_zero_point", "I32", [0], []) }, "symmetric"))
        #expect(says(error { $0.add("m.up_proj.weight_g_idx", "I32", [0], []) }, "not reordered"))
        #expect(says(error { $0.add("m.up_proj.weight", "F32", [0, 0], []) }, "both"))
    }

    @Test func plainValuesWherePackedOnesBelongAreRefused() throws {
        var builder = SafetensorsBuilder()
        for name in ["m.up_proj", "m.self_attn.q_proj", "lm_head", "model.layers.0.mlp.gate", "model.embed_tokens"] {
            builder.addFloats(name + ".weight", [1, 2])
        }
        let source = try source(builder, Self.packed4)
        #expect(
            says(failure { _ = try source.matrix("m.up_proj", rows: 1, columns: 2) }, "m.up_proj.weight", "4-bit"))
        // Ignored by a pattern or by name, and no Linear modules.
        for name in ["m.self_attn.q_proj", "lm_head", "model.layers.0.mlp.gate", "model.embed_tokens"] {
            _ = try source.matrix(name, rows: 1, columns: 2)
        }
        let partial = try self.source(builder, .packed(bits: 4, groupSize: 32, ignore: ["re:(?!x).*"]))
        _ = try partial.matrix("m.up_proj", rows: 1, columns: 2)
    }

    @Test func eightBitBlocksAreReadWithTheirScalesAndCutAtTheEdge() throws {
        let fp8 = Configuration.Quantization.fp8(blockRows: 2, blockColumns: 2)
        // 1.0 is 0x38 in e4m3.
        func builder(_ change: (inout SafetensorsBuilder) -> Void = { _ in }) -> SafetensorsBuilder {
            var builder = SafetensorsBuilder()
            builder.add("m.weight", "F8_E4M3", [3, 3], [UInt8](repeating: 0x38, count: 9))
            builder.addFloats("m.weight_scale_inv", [2, 2])
            change(&builder)
            return builder
        }
        let matrix = try source(builder(), fp8).matrix("m", rows: 3, columns: 3)
        #expect(matrix.packing == .fp8 && row(matrix, 0) == [0, 0, 1] && row(matrix, 2) == [2, 2, 3])
        func error(
            _ quantization: Configuration.Quantization?, _ change: (inout SafetensorsBuilder) -> Void = { _ in }
        ) -> FormatError? {
            let builder = builder(change)
            return failure { _ = try source(builder, quantization).matrix("m", rows: 3, columns: 3) }
        }
        #expect(says(error(nil), "m.weight", "quant_method fp8", "F8_E4M3"))
        #expect(says(error(fp8) { $0.entries.removeLast() }, "m.weight_scale_inv", "the scales"))
        #expect(says(error(.fp8(blockRows: 128, blockColumns: 128)), "m.weight_scale_inv", "[1, 1]", "[2, 2]"))
        #expect(says(error(fp8) { $0.entries[1].dtype = "I32" }, "m.weight_scale_inv", "I32"))
    }
}

@Suite struct GGUFSourceTests {
    let folder = TemporaryFolder()

    func source(_ change: (inout GGUFBuilder) -> Void) throws -> GGUFSource {
        var builder = GGUFBuilder.llama
        builder.tensors = []
        change(&builder)
        return GGUFSource(try GGUFSet(folder.write("x.gguf", builder.bytes)))
    }

    func row(_ matrix: WeightMatrix, _ index: Int) -> [Float] {
        let output = FloatBuffer(count: matrix.columns)
        matrix.dequantize(row: index, into: output.pointer)
        return output.values
    }

    @Test func modulesAreFoundUnderTheirPublishedNames() throws {
        let names = [
            "model.embed_tokens": "token_embd", "lm_head": "output",
            "model.layers.12.self_attn.q_a_proj": "blk.12.attn_q_a",
            "model.layers.0.self_attn.q_b_proj": "blk.0.attn_q_b",
            "model.layers.0.self_attn.kv_a_proj_with_mqa": "blk.0.attn_kv_a_mqa",
            "model.layers.0.self_attn.kv_b_proj": "blk.0.attn_kv_b",
            "model.layers.0.self_attn.o_proj": "blk.0.attn_output",
            "model.layers.0.mlp.gate": "blk.0.ffn_gate_inp", "model.layers.0.mlp.gate_proj": "blk.0.ffn_gate",
            "model.layers.0.mlp.shared_experts.down_proj": "blk.0.ffn_down_shexp",
            "model.layers.61.eh_proj": "blk.61.nextn.eh_proj",
        ]
        let vectors = [
            "model.norm.weight": "output_norm.weight",
            "model.layers.3.input_layernorm.weight": "blk.3.attn_norm.weight",
            "model.layers.3.post_attention_layernorm.weight": "blk.3.ffn_norm.weight",
            "model.layers.3.self_attn.q_a_layernorm.weight": "blk.3.attn_q_a_norm.weight",
            "model.layers.3.self_attn.kv_a_layernorm.weight": "blk.3.attn_kv_a_norm.weight",
            "model.layers.3.self_attn.q_norm.weight": "blk.3.attn_q_norm.weight",
            "model.layers.3.self_attn.q_proj.bias": "blk.3.attn_q.bias",
            "model.layers.3.mlp.gate.e_score_correction_bias": "blk.3.exp_probs_b.bias",
        ]
        let source = try source { builder in
            for tensor in names.values { builder.addFloats(tensor + ".weight", [2, 3]) }
            for tensor in vectors.values { builder.addFloats(tensor, [4]) }
        }
        for module in names.keys {
            #expect(source.hasMatrix(module), "\(module)")
            #expect(row(try source.matrix(module, rows: 3, columns: 2), 2) == [4, 5])
        }
        for name in vectors.keys {
            #expect(source.hasVector(name), "\(name)")
            #expect(try source.vector(name, count: 4).values == [0, 1, 2, 3])
        }
        #expect(!source.hasMatrix("model.layers.0.unknown") && !source.hasVector("model.layers.0.unknown.weight"))
        #expect(
            says(failure { _ = try source.matrix("lm_head", rows: 2, columns: 3) }, "output.weight", "[3, 2]", "[2, 3]")
        )
        #expect(says(failure { _ = try source.matrix("visual.x", rows: 2, columns: 3) }, "no GGUF name"))
        #expect(says(failure { _ = try source.vector("model.norm.weight", count: 5) }, "output_norm.weight", "[5]"))
    }

    @Test func stackedExpertsAreSliced() throws {
        let source = try source {
            $0.addFloats("blk.1.ffn_gate_exps.weight", [2, 3, 4])
            $0.addFloats("blk.1.ffn_down_exps.weight", [3, 2, 4])
            $0.addFloats("blk.2.ffn_gate_up_exps.weight", [2, 6, 4])
            $0.addFloats("blk.3.ffn_up.7.weight", [2, 3])
            // One expert, whose dimension of 1 writers leave out.
            $0.addFloats("blk.4.ffn_up_exps.weight", [2, 3])
        }
        func expert(_ layer: Int, _ number: Int, _ name: String) -> String {
            "model.layers.\(layer).mlp.experts.\(number).\(name)"
        }
        #expect(row(try source.matrix(expert(1, 3, "gate_proj"), rows: 3, columns: 2), 2) == [22, 23])
        #expect(row(try source.matrix(expert(1, 1, "down_proj"), rows: 2, columns: 3), 0) == [6, 7, 8])
        #expect(row(try source.matrix(expert(2, 1, "gate_proj"), rows: 3, columns: 2), 0) == [12, 13])
        #expect(row(try source.matrix(expert(2, 1, "up_proj"), rows: 3, columns: 2), 0) == [18, 19])
        #expect(row(try source.matrix(expert(3, 7, "up_proj"), rows: 3, columns: 2), 1) == [2, 3])
        #expect(row(try source.matrix(expert(4, 0, "up_proj"), rows: 3, columns: 2), 1) == [2, 3])
        #expect(says(failure { _ = try source.matrix(expert(1, 4, "gate_proj"), rows: 3, columns: 2) }, "more than 4"))
        #expect(failure { _ = try source.matrix(expert(4, 1, "up_proj"), rows: 3, columns: 2) } != nil)
        #expect(failure { _ = try source.matrix(expert(1, 0, "gate_proj"), rows: .max, columns: 2) } != nil)
    }

    @Test func theHalvesOfTheLatentProjectionHaveNamesOfTheirOwn() throws {
        let source = try source {
            $0.addFloats("blk.0.attn_k_b.weight", [2, 3, 4])
            $0.addFloats("blk.0.attn_v_b.weight", [3, 2, 4])
            // As forks write them: heads and rows in one dimension.
            $0.addFloats("blk.1.attn_k_b.weight", [2, 12])
        }
        // 4 heads, latent rank 3, plain size 2, value size 2.
        #expect(
            row(try source.matrix("model.layers.0.self_attn.k_b_proj", rows: 12, columns: 2), 11) == [22, 23])
        #expect(row(try source.matrix("model.layers.0.self_attn.v_b_proj", rows: 8, columns: 3), 2) == [6, 7, 8])
        #expect(row(try source.matrix("model.layers.1.self_attn.k_b_proj", rows: 12, columns: 2), 3) == [6, 7])
        #expect(!source.hasMatrix("model.layers.0.self_attn.kv_b_proj"))
    }

    @Test func typesThatWaletOnlyListsAreRefusedByName() throws {
        let source = try source {
            $0.tensors.append(
                .init(name: "output.weight", type: 16, dimensions: [256, 1], bytes: [UInt8](repeating: 0, count: 66)))
            $0.tensors.append(
                .init(name: "output_norm.weight", type: 24, dimensions: [4], bytes: [0, 0, 0, 0]))
        }
        #expect(
            says(failure { _ = try source.matrix("lm_head", rows: 1, columns: 256) }, "output.weight", "found IQ2_XXS"))
        #expect(says(failure { _ = try source.vector("model.norm.weight", count: 4) }, "found I8"))
    }

    @Test func aHeadThatIsMissingIsTheEmbedding() throws {
        let source = try source { $0.addFloats("token_embd.weight", [2, 3]) }
        #expect(source.hasMatrix("lm_head"))
        #expect(row(try source.matrix("lm_head", rows: 3, columns: 2), 1) == [2, 3])
    }
}
