import Foundation
import Testing
import WaletFormats

@Suite struct ModelFolderTests {
    let folder = TemporaryFolder()

    static let fixture = Fixtures.models.appending(path: "llama").path

    static func copy(_ name: String, to folder: TemporaryFolder, as newName: String? = nil) throws {
        try FileManager.default.copyItem(
            atPath: "\(fixture)/\(name)", toPath: folder.file(newName ?? name))
    }

    /// The tensors of the fixture in files of their own, and the map of their names.
    @discardableResult
    func split(into shards: Int) throws -> [String: String] {
        try Self.copy("config.json", to: folder)
        let whole = try SafetensorsFile(Self.fixture + "/model.safetensors")
        var builders = [SafetensorsBuilder](repeating: SafetensorsBuilder(), count: shards)
        var map: [String: String] = [:]
        for (index, tensor) in whole.tensors.enumerated() {
            builders[index % shards].add(
                tensor.name, tensor.element.rawValue, tensor.shape, Array(whole.file.bytes[tensor.range]))
            map[tensor.name] = Self.shard(index % shards)
        }
        for (number, builder) in builders.enumerated() { folder.write(Self.shard(number), builder.bytes) }
        writeIndex(map)
        return map
    }

    static func shard(_ number: Int) -> String { "model-0000\(number + 1)-of-000062.safetensors" }

    func writeIndex(_ map: [String: String]) {
        let members = map.sorted { $0.key < $1.key }.map { "\"\($0.key)\":\"\($0.value)\"" }
        folder.write(
            "model.safetensors.index.json",
            "{\"metadata\":{\"total_size\":1},\"weight_map\":{\(members.joined(separator: ","))}}")
    }

    func open() throws { _ = try ModelFolder(folder.path) }

    @Test func shardsGiveTheWeightsOfOneFile() throws {
        try split(into: 3)
        let model = try ModelFolder(folder.path)
        var walk = ModelWalk(model.configuration, try model.weights())
        try walk.run()
        let whole = try ModelFolder(Self.fixture)
        #expect(try model.weightBytes() == whole.weightBytes() && model.packings() == whole.packings())
        #expect(model.format == .safetensors && model.name == String(folder.path.split(separator: "/").last ?? ""))
        #expect(try model.files().count == 5)
    }

    @Test(arguments: [
        "../other.safetensors", "/etc/passwd", "a/b.safetensors", "..", ".", "", "a\\\\b.safetensors", "x.bin",
        "a\\u0000.safetensors", "model-00001-of-000062.safetensors/../../x.safetensors",
    ])
    func anIndexMayNameFilesOfItsFolderOnly(_ name: String) throws {
        var map = try split(into: 2)
        for (tensor, shard) in map where shard == Self.shard(1) { map[tensor] = name }
        writeIndex(map)
        let error = failure { try open() }
        #expect(says(error, "index.json", "weight_map"), "\(error?.description ?? "no error")")
    }

    @Test func indexAndShardsMustAgree() throws {
        let map = try split(into: 2)
        let (tensor, shard) = try #require(map.first { $0.value == Self.shard(0) })

        var changed = map
        changed[tensor] = Self.shard(1)
        writeIndex(changed)
        #expect(says(failure { try open() }, shard, tensor, "in this file"))

        changed = map
        changed[tensor] = nil
        writeIndex(changed)
        #expect(says(failure { try open() }, shard, tensor, "does not list"))

        changed = map
        changed["more.weight"] = Self.shard(1)
        writeIndex(changed)
        #expect(says(failure { try open() }, Self.shard(1), "more.weight", "no such tensor"))

        changed = map
        changed["more.weight"] = "model-00003-of-000062.safetensors"
        writeIndex(changed)
        #expect(says(failure { try open() }, "model-00003-of-000062.safetensors", "no such file"))

        // A tensor in both shards.
        writeIndex(map)
        try FileManager.default.removeItem(atPath: folder.file(Self.shard(1)))
        try FileManager.default.copyItem(atPath: folder.file(Self.shard(0)), toPath: folder.file(Self.shard(1)))
        #expect(says(failure { try open() }, Self.shard(1)))
    }

    @Test(arguments: [
        ("", "at byte 0"), ("[]", "expected '{'"), ("{}", "no such field"), (#"{"weight_map":{}}"#, "none"),
        (#"{"weight_map":[]}"#, "expected '{'"), (#"{"weight_map":{"a":1}}"#, "at byte"),
        (#"{"weight_map":{"a":"x.safetensors"},"weight_map":{}}"#, "a second weight_map"),
        (#"{"weight_map":{"a":"x.safetensors","a":"x.safetensors"}}"#, "a twice"),
        (#"{"weight_map":{"a":"x.safetensors"}} x"#, "text after"),
    ])
    func brokenIndexesAreRefused(_ text: String, _ reason: String) throws {
        try split(into: 2)
        folder.write("model.safetensors.index.json", text)
        let error = failure { try open() }
        #expect(says(error, "index.json", reason), "\(error?.description ?? "no error")")
    }

    @Test func everyTruncationOfAnIndexIsAnError() throws {
        try split(into: 2)
        let path = folder.file("model.safetensors.index.json")
        let bytes = Array(try Data(contentsOf: URL(filePath: path)))
        for count in 0..<bytes.count {
            #expect(
                failure { _ = try SafetensorsIndex(path: "index.json", bytes: Array(bytes[..<count])) } != nil,
                "\(count)")
        }
    }

    // MARK: Links

    @Test func linksMayLeadWithinTheFolderOrToTheHubsBlobs() throws {
        let manager = FileManager.default
        // models--a--b/snapshots/c0ffee/file -> ../../blobs/hash
        let snapshot = folder.file("models--a--b/snapshots/c0ffee")
        try manager.createDirectory(atPath: snapshot, withIntermediateDirectories: true)
        try manager.createDirectory(atPath: folder.file("models--a--b/blobs"), withIntermediateDirectories: true)
        for name in ["config.json", "model.safetensors"] {
            try manager.copyItem(atPath: "\(Self.fixture)/\(name)", toPath: folder.file("models--a--b/blobs/h-\(name)"))
            try manager.createSymbolicLink(atPath: "\(snapshot)/\(name)", withDestinationPath: "../../blobs/h-\(name)")
        }
        var walk = try ModelWalk(ModelFolder(snapshot).configuration, ModelFolder(snapshot).weights())
        try walk.run()

        let plain = folder.file("plain")
        try manager.createDirectory(atPath: plain + "/files", withIntermediateDirectories: true)
        try manager.copyItem(atPath: Self.fixture + "/config.json", toPath: plain + "/config.json")
        try manager.copyItem(atPath: Self.fixture + "/model.safetensors", toPath: plain + "/files/weights")
        try manager.createSymbolicLink(atPath: plain + "/model.safetensors", withDestinationPath: "files/weights")
        _ = try ModelFolder(plain).weights()
    }

    @Test func otherLinksAreRefused() throws {
        let manager = FileManager.default
        for (name, target) in [
            ("model.safetensors", Self.fixture + "/model.safetensors"), ("config.json", Self.fixture + "/config.json"),
        ] {
            let inner = folder.file(UUID().uuidString)
            try manager.createDirectory(atPath: inner, withIntermediateDirectories: true)
            for file in ["config.json", "model.safetensors"] where file != name {
                try manager.copyItem(atPath: "\(Self.fixture)/\(file)", toPath: "\(inner)/\(file)")
            }
            try manager.createSymbolicLink(atPath: "\(inner)/\(name)", withDestinationPath: target)
            #expect(says(failure { _ = try ModelFolder(inner) }, name, "a link to"))
            try manager.removeItem(atPath: "\(inner)/\(name)")
            try manager.createSymbolicLink(atPath: "\(inner)/\(name)", withDestinationPath: "nowhere")
            #expect(says(failure { _ = try ModelFolder(inner) }, name, "nowhere"))
        }
        try split(into: 2)
        try manager.removeItem(atPath: folder.file(Self.shard(0)))
        try manager.createSymbolicLink(
            atPath: folder.file(Self.shard(0)), withDestinationPath: Self.fixture + "/model.safetensors")
        #expect(says(failure { try open() }, Self.shard(0), "a link to"))
        // A folder beside it whose name begins with this one's is another folder.
        let twin = folder.path + "-twin"
        try manager.createDirectory(atPath: twin, withIntermediateDirectories: true)
        defer { try? manager.removeItem(atPath: twin) }
        try manager.copyItem(atPath: Self.fixture + "/model.safetensors", toPath: twin + "/x")
        try manager.removeItem(atPath: folder.file(Self.shard(0)))
        try manager.createSymbolicLink(atPath: folder.file(Self.shard(0)), withDestinationPath: twin + "/x")
        #expect(says(failure { try open() }, Self.shard(0), "a link to"))
    }

    // MARK: What may be opened

    @Test func aConfigurationAloneHasNoWeights() throws {
        try Self.copy("config.json", to: folder)
        for path in [folder.path, folder.file("config.json")] {
            let model = try ModelFolder(path)
            #expect(model.source == nil && model.format == .config && model.configuration.family == .llama)
            #expect(says(failure { _ = try model.weights() }, "a configuration alone"))
            #expect(try model.tensors().isEmpty && model.weightBytes().total == 0 && model.files().count == 1)
        }
        let thinking = Fixtures.folder.appending(path: "formats/configs/kimi-k2-thinking.json").path
        #expect(try ModelFolder(thinking).configuration.parameters.total / 1_000_000_000 == 1026)
    }

    @Test func pathsThatAreNoModelsAreRefused() throws {
        #expect(says(failure { try open() }, "config.json", "no such file"))
        #expect(says(failure { _ = try ModelFolder("/nonexistent/x") }, "nothing at this path"))
        #expect(says(failure { _ = try ModelFolder("") }, "nothing at this path"))
        #expect(says(failure { _ = try ModelFolder("/dev/random") }, "neither file nor folder"))
        #expect(says(failure { _ = try ModelFolder("x\0y") }, "nothing at this path"))
        #expect(says(failure { _ = try ModelFolder(folder.write("x.bin", "hello")) }, "another file"))
        #expect(says(failure { _ = try ModelFolder(folder.write("x.safetensors", "hello")) }, "the folder"))
        #expect(says(failure { _ = try ModelFolder(folder.write("x.json", "[1]")) }, "a JSON object"))
        let huge = folder.file("huge.json")
        folder.write("huge.json", "")
        #expect(truncate(huge, 1 << 40) == 0)
        #expect(says(failure { _ = try ModelFolder(huge) }, "at most", "1099511627776"))
    }

    @Test func severalSafetensorsNeedAnIndex() throws {
        try Self.copy("config.json", to: folder)
        try Self.copy("model.safetensors", to: folder, as: "weights.safetensors")
        try open()
        try Self.copy("model.safetensors", to: folder, as: "other.safetensors")
        #expect(says(failure { try open() }, "index.json", "2 safetensors files"))
        // transformers takes the file of this name without looking further.
        try Self.copy("model.safetensors", to: folder)
        try open()
    }

    @Test func aFolderMayHoldOneGGUFModel() throws {
        folder.write("a.gguf", GGUFBuilder.llama.bytes)
        folder.write("mmproj-a.gguf", "not looked at")
        #expect(try ModelFolder(folder.path).format == .gguf)
        folder.write("b.gguf", GGUFBuilder.llama.bytes)
        #expect(says(failure { try open() }, "a.gguf, b.gguf", "name one"))
        // Whatever its name is, the first bytes tell.
        #expect(try ModelFolder(folder.write("0123456789abcdef", GGUFBuilder.llama.bytes)).format == .gguf)
    }

    @Test func partsOfAGGUFModelAreFoundByAnyOfThem() throws {
        let source = Fixtures.models.appending(path: "gguf-llama-split").path
        let names = ["model-00001-of-00002.gguf", "model-00002-of-00002.gguf"]
        for name in names {
            try FileManager.default.copyItem(atPath: "\(source)/\(name)", toPath: folder.file(name))
        }
        for path in [folder.path] + names.map(folder.file) {
            let model = try ModelFolder(path)
            var walk = ModelWalk(model.configuration, try model.weights())
            try walk.run()
        }
        try FileManager.default.moveItem(atPath: folder.file(names[1]), toPath: folder.file("away"))
        #expect(says(failure { try open() }, names[1], "part 2 of the 2", "no such file"))
        // The first part twice.
        try FileManager.default.copyItem(atPath: folder.file(names[0]), toPath: folder.file(names[1]))
        #expect(says(failure { try open() }, names[1], "split.no", "1 of split.count 2", "0 of 2"))
        try FileManager.default.moveItem(atPath: folder.file(names[0]), toPath: folder.file("odd.gguf"))
        #expect(says(failure { _ = try ModelFolder(folder.file("odd.gguf")) }, "-00001-of-00002.gguf"))
        try FileManager.default.removeItem(atPath: folder.file("odd.gguf"))
        try FileManager.default.moveItem(atPath: folder.file("away"), toPath: folder.file(names[1] + "x"))
        try FileManager.default.removeItem(atPath: folder.file(names[1]))
        try FileManager.default.moveItem(atPath: folder.file(names[1] + "x"), toPath: folder.file(names[1]))
        #expect(says(failure { try open() }, names[0], "part 1 of the 2"))
    }

    @Test func splitsAreChecked() throws {
        func write(_ name: String, _ change: (inout GGUFBuilder) -> Void) {
            var builder = GGUFBuilder.llama
            builder.set("split.count", .u16(2))
            change(&builder)
            folder.write(name, builder.bytes)
        }
        let (one, two) = ("m-00001-of-00002.gguf", "m-00002-of-00002.gguf")
        write(one) {
            $0.set("split.no", .u16(0))
            $0.set("split.tensors.count", .i32(11))
            $0.tensors.removeLast()
        }
        write(two) {
            $0.set("split.no", .u16(1))
            $0.tensors.removeFirst(10)
        }
        #expect(try ModelFolder(folder.path).tensors().count == 11)
        write(two) {
            $0.set("split.no", .u16(1))
            $0.tensors.removeFirst(9)
        }
        #expect(says(failure { try open() }, two, "blk.0.ffn_up.weight", "it in", one))
        write(two) {
            $0.set("split.no", .u16(1))
            $0.tensors = []
        }
        #expect(says(failure { try open() }, "split.tensors.count", "11 tensors", "found 10"))
        write(one) { $0.set("split.count", .u32(.max)) }
        #expect(says(failure { try open() }, "split.count"))
        write(one) { $0.set("split.count", .u16(9)) }
        #expect(says(failure { try open() }, "-00001-of-00009.gguf"))
    }

    // MARK: What lies beside the weights

    @Test func tokenizerFilesAreBytesAsTheyAre() throws {
        try Self.copy("config.json", to: folder)
        #expect(try ModelFolder(folder.path).tokenizerFiles().tokenizer == nil)
        folder.write("tokenizer.json", "{not json")
        folder.write("tokenizer_config.json", "{}")
        folder.write("tiktoken.model", [0xFF, 0])
        folder.write("chat_template.jinja", "{{ messages }}")
        let files = try ModelFolder(folder.path).tokenizerFiles()
        #expect(files.tokenizer == Array("{not json".utf8) && files.tiktoken == [0xFF, 0])
        #expect(files.configuration == Array("{}".utf8) && files.chatTemplate == "{{ messages }}" && files.gguf == nil)
        folder.write("chat_template.jinja", [0xFF])
        #expect(says(failure { _ = try ModelFolder(folder.path).tokenizerFiles() }, "chat_template.jinja", "UTF-8"))
        #expect(truncate(folder.write("tokenizer.json", ""), 300 << 20) == 0)
        #expect(says(failure { _ = try ModelFolder(folder.path).tokenizerFiles() }, "tokenizer.json", "at most"))
    }

    @Test func recommendationsForSamplingAreRead() throws {
        try Self.copy("config.json", to: folder)
        #expect(try ModelFolder(folder.path).generation == ModelFolder.Generation())
        folder.write(
            "generation_config.json",
            #"{"temperature": 0.6, "top_p": 0.95, "top_k": 20, "min_p": 0.1, "repetition_penalty": 1.05, "do_sample": true}"#
        )
        let generation = try ModelFolder(folder.path).generation
        #expect(generation.temperature == 0.6 && generation.topP == 0.95 && generation.topK == 20)
        #expect(generation.minP == 0.1 && generation.repetitionPenalty == 1.05 && generation.samples == true)
        folder.write("generation_config.json", #"{"temperature": "warm"}"#)
        #expect(says(failure { try open() }, "generation_config.json", "temperature", "\"warm\""))
    }

    @Test func theLicenceIsFound() throws {
        try Self.copy("config.json", to: folder)
        #expect(try ModelFolder(folder.path).licence() == nil)
        folder.write("LICENSE-MODEL", "text")
        #expect(try ModelFolder(folder.path).licence() == "LICENSE-MODEL")
        folder.write("README.md", "---\r\nlicense: other\r\nlicense_name: modified-mit\r\n---\r\nlicense: gpl\n")
        #expect(try ModelFolder(folder.path).licence() == "modified-mit")
        folder.write("README.md", "---\nlanguage: en\nlicense: \"apache-2.0\"\n---\n")
        #expect(try ModelFolder(folder.path).licence() == "apache-2.0")
        folder.write("README.md", "no front matter\nlicense: x\n")
        #expect(try ModelFolder(folder.path).licence() == "LICENSE-MODEL")
        var builder = GGUFBuilder.llama
        builder.set("general.license", .text("mit"))
        builder.set("general.name", .text("Tiny"))
        let model = try ModelFolder(folder.write("x.gguf", builder.bytes))
        #expect(try model.licence() == "mit" && model.name == "Tiny")
    }

    @Test func packedTensorsAreListedAsOne() throws {
        let model = try ModelFolder(Fixtures.models.appending(path: "kimi-k2-thinking").path)
        let packed = try model.tensors().filter { $0.packing == "INT4" }
        #expect(!packed.isEmpty && packed.allSatisfy { $0.isRouted && $0.name.hasSuffix("_proj.weight") })
        // Four bits a value, a scale of 16 bits for 32 values, and the shape.
        #expect(packed.allSatisfy { $0.bytes >= $0.values * 9 / 16 && $0.bytes <= $0.values * 9 / 16 + 1024 })
        let bytes = try model.weightBytes()
        #expect(bytes.routed == packed.map(\.bytes).reduce(0, +) && bytes.resident == bytes.total - bytes.routed)
    }
}
