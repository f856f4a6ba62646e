import Foundation
import Testing
import WaletFormats
import WaletJSON

/// Where a packed model's bytes come to lie.
@Suite struct PackedLayoutTests {
    private static let models = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Fixtures/models")

    /// A folder with a configuration of three experts a layer or more, and no weights yet.
    private func folder(_ fixture: String = "moonlight") throws -> TemporaryFolder {
        let folder = TemporaryFolder()
        let configuration = try Data(contentsOf: Self.models.appending(path: "\(fixture)/config.json"))
        folder.write("config.json", [UInt8](configuration))
        return folder
    }

    /// The bytes of a file of a layout.
    private func bytes(_ file: PackedLayout.File, _ layout: PackedLayout) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: file.size)
        bytes.replaceSubrange(0..<file.header.count, with: file.header)
        for piece in file.pieces {
            let end = piece.sourceOffset + piece.range.count
            bytes.replaceSubrange(piece.range, with: layout.sources[piece.source].bytes[piece.sourceOffset..<end])
        }
        return bytes
    }

    private func write(_ layout: PackedLayout) -> TemporaryFolder {
        let target = TemporaryFolder()
        for file in layout.files { target.write(file.name, bytes(file, layout)) }
        return target
    }

    private static func noise(_ count: Int, _ seed: UInt64) -> [UInt8] {
        var random = SeededGenerator(state: seed)
        return (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
    }

    private func expert(_ layer: Int, _ number: Int, _ rest: String) -> String {
        "model.layers.\(layer).mlp.experts.\(number).\(rest)"
    }

    /// Two shards of packed experts, one of which has parts in both, in the order in which a writer sorts by type.
    private func shards(_ folder: TemporaryFolder, names: [String] = []) throws {
        var first = SafetensorsBuilder()
        var second = SafetensorsBuilder()
        first.metadata = "{\"format\":\"pt\",\"made by\":\"a \\\"test\\\"\"}"
        first.add("lm_head.weight", "BF16", [5], Self.noise(10, 1))
        first.add(expert(1, 2, "down_proj.weight_packed"), "I32", [3], Self.noise(12, 2))
        first.add(expert(1, 0, "up_proj.weight_packed"), "I32", [1100], Self.noise(4400, 3))
        first.add(expert(1, 0, "up_proj.weight_scale"), "BF16", [7], Self.noise(14, 4))
        first.add(expert(1, 0, "up_proj.weight_shape"), "I64", [2], Self.noise(16, 5))
        second.add(expert(1, 0, "gate_proj.weight_scale"), "BF16", [3], Self.noise(6, 6))
        second.add("model.norm.weight", "F32", [2], Self.noise(8, 7))
        second.add(expert(1, 0, "gate_proj.weight_packed"), "I32", [2], Self.noise(8, 8))
        second.add(expert(2, 1, "gate_proj.weight"), "F8_E4M3", [5], Self.noise(5, 9))
        second.add(expert(2, 1, "gate_proj.weight_scale_inv"), "F32", [1], Self.noise(4, 10))
        second.add(expert(2, 3, "up_proj.weight"), "F8_E4M3", [9], Self.noise(9, 11))
        for (index, name) in names.enumerated() {
            second.add(name, "F32", [1], Self.noise(4, 20 + UInt64(index)))
        }
        folder.write("model-00001-of-00002.safetensors", first.bytes)
        folder.write("model-00002-of-00002.safetensors", second.bytes)
        var map: [(String, JSONValue)] = []
        for (entries, file) in [(second.entries, 2), (first.entries, 1)] {
            map += entries.reversed().map { ($0.name, .string("model-0000\(file)-of-00002.safetensors")) }
        }
        let index: JSONValue = [
            "metadata": ["total_size": 1, "total_parameters": 7], "weight_map": .object(JSONObject(map)),
        ]
        folder.write("model.safetensors.index.json", index.text())
    }

    @Test func expertsBeginWithABlockAndAllTensorsKeepTheirBytes() throws {
        let source = try folder()
        try shards(source)
        source.write("tokenizer.json", "{}")
        source.write(".walet-manifest.json", "{}")
        let model = try ModelFolder(source.path)
        let layout = try model.packedLayout()
        let target = write(layout)
        let packed = try ModelFolder(target.path)
        #expect(packed.configuration == model.configuration)
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: target.path).sorted() == [
                "config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
                "model.safetensors.index.json", "tokenizer.json",
            ])
        // Only with the configuration is the folder a model.
        #expect(layout.files.last?.name == "config.json")

        let files = try (1...2).map { try SafetensorsFile(target.file("model-0000\($0)-of-00002.safetensors")) }
        let old = try (1...2).map { try SafetensorsFile(source.file("model-0000\($0)-of-00002.safetensors")) }
        #expect(files[0].metadata == old[0].metadata)
        for tensor in old.flatMap(\.tensors) {
            let original = try #require(old.first { $0[tensor.name] != nil })
            let file = try #require(files.first { $0[tensor.name] != nil })
            let copy = try #require(file[tensor.name])
            #expect(copy.element == tensor.element && copy.shape == tensor.shape)
            #expect(file.file.bytes[copy.range].elementsEqual(original.file.bytes[tensor.range]), "\(tensor.name)")
            #expect(copy.range.lowerBound % max(1, copy.element.bits / 8) == 0, "\(tensor.name) is not aligned")
        }
        let order = files.map { $0.tensors.map(\.name) }
        #expect(
            order[0] == [
                expert(1, 0, "up_proj.weight_packed"), expert(1, 0, "gate_proj.weight_packed"),
                expert(1, 0, "up_proj.weight_scale"), expert(1, 0, "gate_proj.weight_scale"), "walet.padding.0",
                expert(1, 2, "down_proj.weight_packed"), "walet.padding.1", expert(1, 0, "up_proj.weight_shape"),
                "lm_head.weight",
            ])
        #expect(
            order[1] == [
                expert(2, 1, "gate_proj.weight_scale_inv"), expert(2, 1, "gate_proj.weight"), "walet.padding.2",
                expert(2, 3, "up_proj.weight"), "walet.padding.3", "model.norm.weight",
            ])
        for (file, name) in [
            (0, expert(1, 0, "up_proj.weight_packed")), (0, expert(1, 2, "down_proj.weight_packed")),
            (1, expert(2, 1, "gate_proj.weight_scale_inv")), (1, expert(2, 3, "up_proj.weight")),
        ] {
            #expect(files[file][name].map { $0.range.lowerBound % 4096 } == 0)
        }
        #expect(layout.experts[.init(layer: 1, expert: 0)] == 4400 + 8 + 14 + 6)
        #expect(layout.experts.count == 4)
    }

    @Test func theIndexKeepsItsOrder() throws {
        let source = try folder()
        try shards(source)
        let layout = try ModelFolder(source.path).packedLayout()
        let index = try #require(layout.files.first { $0.name == "model.safetensors.index.json" })
        let (old, new) = (
            try JSONValue(parsing: Data(contentsOf: URL(filePath: source.file("model.safetensors.index.json")))),
            try JSONValue(parsing: index.header)
        )
        let names = try #require(old["weight_map"]?.objectValue?.keys)
        let map = try #require(new["weight_map"]?.objectValue)
        #expect(Array(map.keys.prefix(names.count)) == names)
        #expect(map.keys.dropFirst(names.count).allSatisfy { $0.hasPrefix("walet.padding.") })
        #expect(map[expert(1, 0, "gate_proj.weight_packed")] == "model-00001-of-00002.safetensors")
        #expect(new["metadata"]?["total_parameters"] == 7)
        var total = 0
        for file in layout.files where file.format == .safetensors { total += file.size - file.header.count }
        #expect(new["metadata"]?["total_size"]?.intValue == total)
    }

    @Test func packingAPackedFolderAddsNothing() throws {
        let source = try folder()
        try shards(source)
        let once = write(try ModelFolder(source.path).packedLayout())
        let layout = try ModelFolder(once.path).packedLayout()
        for file in layout.files where file.format == .safetensors {
            #expect(try bytes(file, layout) == [UInt8](Data(contentsOf: URL(filePath: once.file(file.name)))))
        }
    }

    /// Names of tensors are data: they may be those that fillers have, or anything else that JSON can spell.
    @Test func strangeNamesAreOnlyNames() throws {
        let source = try folder()
        let names = [
            "walet.padding.0", "walet.padding.2", "walet.padding.", "\\\"}, \\u0001", "../../etc/passwd",
            "model.layers.99999999999999999999.mlp.experts.0.up_proj.weight", "model.layers.1.mlp.experts.-1.x",
            "model.layers.1.mlp.experts.", "blk.0", "ä",
        ]
        var builder = SafetensorsBuilder()
        builder.add(expert(1, 0, "up_proj.weight"), "U8", [3], [1, 2, 3])
        builder.add(expert(1, 1, "up_proj.weight"), "U8", [3], [4, 5, 6])
        builder.add(expert(1, 2, ""), "U8", [0], [])
        for name in names { builder.add(name, "F32", [1], Self.noise(4, 1)) }
        source.write("model.safetensors", builder.bytes)
        let model = try ModelFolder(source.path)
        let layout = try model.packedLayout()
        let target = write(layout)
        let (old, new) = (
            try SafetensorsFile(source.file("model.safetensors")), try SafetensorsFile(target.file("model.safetensors"))
        )
        for tensor in old.tensors { #expect(new[tensor.name]?.shape == tensor.shape, "\(tensor.name)") }
        let fillers = new.tensors.filter { $0.element == .u8 && $0.name.hasPrefix("walet.padding.") }.map(\.name)
        #expect(fillers == ["walet.padding.1", "walet.padding.3"])
        #expect(layout.tensorCount == old.tensors.count)
    }

    @Test func whatCannotBePackedIsRefused() throws {
        let dense = failure { _ = try ModelFolder(Self.models.appending(path: "llama").path).packedLayout() }
        #expect(says(dense, "llama", "a model with routed experts", "dense"))
        let alone = failure {
            _ = try ModelFolder(Self.models.appending(path: "moonlight/config.json").path).packedLayout()
        }
        #expect(says(alone, "config.json", "a configuration alone"))
        let fused = failure {
            _ = try ModelFolder(Self.models.appending(path: "deepseek-v3-fused").path).packedLayout()
        }
        #expect(says(fused, "model.safetensors", ".mlp.experts.", "gate and up lie side by side", "down cannot"))
        let source = try folder()
        var builder = SafetensorsBuilder()
        builder.addFloats("model.norm.weight", [4])
        source.write("model.safetensors", builder.bytes)
        #expect(says(failure { _ = try ModelFolder(source.path).packedLayout() }, "mlp.experts", "none of such a name"))
    }

    @Test func aLinkOutOfTheFolderIsNotCopied() throws {
        let source = try folder()
        try shards(source)
        try FileManager.default.createSymbolicLink(atPath: source.file("notes"), withDestinationPath: "/etc/hostname")
        #expect(says(failure { _ = try ModelFolder(source.path).packedLayout() }, "notes", "a link to"))
    }

    // MARK: GGUF

    /// Two experts in one layer, in parts.
    private func gguf(_ tensors: [[GGUFBuilder.Tensor]]) -> TemporaryFolder {
        let folder = TemporaryFolder()
        for (number, members) in tensors.enumerated() {
            var builder = GGUFBuilder()
            builder.set("general.architecture", .text("qwen3moe"))
            builder.set("qwen3moe.attention.layer_norm_rms_epsilon", .f32(1e-6))
            for (key, value) in [
                ("vocab_size", 11), ("context_length", 64), ("embedding_length", 8), ("block_count", 1),
                ("feed_forward_length", 12), ("attention.head_count", 2), ("attention.head_count_kv", 1),
                ("expert_count", 2), ("expert_used_count", 1), ("expert_feed_forward_length", 3),
            ] {
                builder.set("qwen3moe." + key, .u32(UInt32(value)))
            }
            builder.tensors = members
            if tensors.count > 1 {
                builder.set("split.no", .u16(UInt16(number)))
                builder.set("split.count", .u16(UInt16(tensors.count)))
                builder.set("split.tensors.count", .i32(Int32(tensors.joined().count)))
            }
            folder.write("model-0000\(number + 1)-of-0000\(tensors.count).gguf", builder.bytes)
        }
        return folder
    }

    private func floats(_ name: String, _ dimensions: [UInt64], _ seed: UInt64) -> GGUFBuilder.Tensor {
        GGUFBuilder.Tensor(
            name: name, type: 0, dimensions: dimensions, bytes: Self.noise(4 * Int(dimensions.reduce(1, *)), seed))
    }

    @Test func stacksBecomeATensorAnExpertOverAllParts() throws {
        let source = try GGUFFile(Self.models.appending(path: "gguf-qwen3moe/model.gguf").path)
        let model = try ModelFolder(source.file.path)
        let layout = try model.packedLayout()
        let target = write(layout)
        let packed = try GGUFFile(target.file("model.gguf"))
        #expect(packed.alignment == 4096)
        #expect(packed.keys.filter { $0 != "general.alignment" } == source.keys.filter { $0 != "general.alignment" })
        let experts = try #require(model.configuration.experts).count
        for tensor in source.tensors {
            guard tensor.name.contains("_exps.") else {
                let copy = try #require(packed.tensor(tensor.name))
                #expect(copy.dimensions == tensor.dimensions && copy.type == tensor.type)
                #expect(packed.file.bytes[copy.range].elementsEqual(source.file.bytes[tensor.range]))
                continue
            }
            let bytes = tensor.range.count / experts
            for expert in 0..<experts {
                let name = tensor.name.replacing("_exps.weight", with: ".\(expert).weight")
                let copy = try #require(packed.tensor(name))
                let start = tensor.range.lowerBound + expert * bytes
                #expect(copy.type == tensor.type && copy.dimensions == Array(tensor.dimensions.prefix(2)))
                #expect(packed.file.bytes[copy.range].elementsEqual(source.file.bytes[start..<start + bytes]))
                #expect(copy.range.lowerBound % 4096 == 0)
            }
        }
        let first = packed.tensors.prefix(4).map(\.name)
        #expect(
            first
                == ["blk.0.ffn_gate.0", "blk.0.ffn_up.0", "blk.0.ffn_down.0", "blk.0.ffn_gate.1"].map { $0 + ".weight" }
        )
        // As ggml's reader wants it: each tensor where the one before ended, rounded up.
        for (left, right) in zip(packed.tensors, packed.tensors.dropFirst()) {
            #expect((left.range.upperBound + 4095) / 4096 * 4096 == right.range.lowerBound)
        }
    }

    @Test func anExpertInTwoPartsComesToTheFirst() throws {
        let parts = [
            [
                floats("token_embd.weight", [8, 11], 1), floats("blk.0.ffn_gate_up_exps.weight", [8, 6, 2], 2),
                floats("output_norm.weight", [8], 3),
            ],
            [floats("blk.0.ffn_down_exps.weight", [3, 8, 2], 4)],
        ]
        let source = gguf(parts)
        let model = try ModelFolder(source.path)
        let target = write(try model.packedLayout())
        let packed = try GGUFSet(target.file("model-00001-of-00002.gguf"))
        #expect(packed.parts.map(\.tensors.count) == [8, 0])
        #expect(packed["split.tensors.count"]?.integer == 8)
        func bytes(_ name: String) throws -> [UInt8] {
            let (file, tensor) = try #require(packed.tensor(name))
            return Array(file.file.bytes[tensor.range])
        }
        let fused = parts[0][1].bytes
        for expert in 0..<2 {
            let start = expert * 192
            #expect(try bytes("blk.0.ffn_gate.\(expert).weight") == Array(fused[start..<start + 96]))
            #expect(try bytes("blk.0.ffn_up.\(expert).weight") == Array(fused[start + 96..<start + 192]))
            let down = Array(parts[1][0].bytes[expert * 96..<(expert + 1) * 96])
            #expect(try bytes("blk.0.ffn_down.\(expert).weight") == down)
        }
    }

    @Test func stacksThatAreNoneAndExpertsThatAreThereTwiceAreNoticed() throws {
        let other = gguf([[floats("blk.0.ffn_up_exps.weight", [8, 3, 5], 1)]])
        #expect(says(failure { _ = try ModelFolder(other.path).packedLayout() }, "ffn_up_exps", "none of such a name"))
        let twice = gguf([
            [floats("blk.0.ffn_up_exps.weight", [8, 3, 2], 1), floats("blk.0.ffn_up.1.weight", [8, 3], 2)]
        ])
        #expect(says(failure { _ = try ModelFolder(twice.path).packedLayout() }, "blk.0.ffn_up.1.weight", "once"))
    }
}
