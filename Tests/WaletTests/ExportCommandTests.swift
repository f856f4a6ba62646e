import Foundation
import Testing
import Walet

/// `walet export` as its user meets it.
@Suite struct ExportCommandTests {
    /// A folder that goes with the test.
    private final class Scratch {
        let path = FileManager.default.temporaryDirectory.appending(path: "walet-\(UUID().uuidString)").path

        init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
        deinit { try? FileManager.default.removeItem(atPath: path) }

        func file(_ name: String) -> String { path + "/" + name }
        func names() -> [String] { ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted() }

        /// A Llama of zeros with one narrow layer and a tokenizer.
        func model(_ name: String, vocabulary: Int, files: [String: Data]) throws -> String {
            let folder = file(name)
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            let config: [String: Any] = [
                "model_type": "llama", "vocab_size": vocabulary, "hidden_size": 32, "num_hidden_layers": 1,
                "num_attention_heads": 1, "num_key_value_heads": 1, "intermediate_size": 32,
                "max_position_embeddings": 64, "tie_word_embeddings": true,
            ]
            var tensors = ["model.norm.weight": [32], "model.embed_tokens.weight": [vocabulary, 32]]
            let block = "model.layers.0."
            for norm in ["input_layernorm", "post_attention_layernorm"] { tensors[block + norm + ".weight"] = [32] }
            for module in [
                "self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o", "mlp.gate", "mlp.up", "mlp.down",
            ] {
                tensors["\(block)\(module)_proj.weight"] = [32, 32]
            }
            var header: [String: Any] = [:]
            var offset = 0
            for (name, shape) in tensors {
                let bytes = 4 * shape.reduce(1, *)
                header[name] = ["dtype": "F32", "shape": shape, "data_offsets": [offset, offset + bytes]]
                offset += bytes
            }
            let text = try JSONSerialization.data(withJSONObject: header)
            var data = withUnsafeBytes(of: UInt64(text.count).littleEndian) { Data($0) }
            data += text + Data(count: offset)
            try data.write(to: URL(filePath: folder + "/model.safetensors"))
            try JSONSerialization.data(withJSONObject: config).write(to: URL(filePath: folder + "/config.json"))
            for (name, content) in files { try content.write(to: URL(filePath: folder + "/" + name)) }
            return folder
        }
    }

    private static func fixture(_ name: String) -> String {
        TestFiles.fixtures.appending(path: "models/\(name)").path
    }

    private static func data(_ name: String) throws -> Data {
        try Data(contentsOf: TestFiles.fixtures.appending(path: name))
    }

    private static let qwen2 =
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#

    /// A trained vocabulary, with its own pre-tokenizer or another.
    /// - Parameter split: a pattern; an empty one stands for GPT-2's own.
    private static func vocabulary(_ name: String, split: String?, normalizer: String?) throws -> Data {
        var json = try #require(
            try JSONSerialization.jsonObject(with: try data("vocabulary/\(name).json")) as? [String: Any])
        if let split {
            let isolated: [String: Any] = [
                "type": "Split", "pattern": ["Regex": split], "behavior": "Isolated", "invert": false,
            ]
            let level: [String: Any] = [
                "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": split.isEmpty,
            ]
            json["pre_tokenizer"] =
                split.isEmpty ? level : ["type": "Sequence", "pretokenizers": [isolated, level]] as [String: Any]
        }
        if let normalizer { json["normalizer"] = ["type": normalizer] }
        return try JSONSerialization.data(withJSONObject: json)
    }

    private func tokens(_ model: String, _ text: String) async throws -> JSONValue {
        let run = try await ToolRun(["tokenize", model, "-", "--json"], input: text)
        #expect(run.code == 0, "\(run.errors)")
        return try #require(run.json?["tokens"])
    }

    private static let text =
        "<|begin|>It's 1234567 o'clock; WE'LL  see.\r\n\n\tZażółć 龥ゟ 12 東京 e\u{301} 👍🏽 '''end' if(x){y+=1;}   <|end|><|im_end|>"

    @Test(arguments: [
        ("deepseek-1000", String?.none, String?.none, "deepseek-v3"), ("deepseek-1000", "", nil, "gpt-2"),
        ("llama3-700", nil, nil, "smaug-bpe"), ("deepseek-4000", qwen2, nil, "deepseek-r1-qwen"),
        ("deepseek-4000", qwen2, "NFC", "qwen2"),
    ])
    func tokensOfTheFileAreTheFolders(
        _ name: String, _ split: String?, _ normalizer: String?, _ pre: String
    ) async throws {
        let scratch = try Scratch()
        let json = try Self.vocabulary(name, split: split, normalizer: normalizer)
        let configuration = Data(#"{"bos_token": "<|begin|>", "eos_token": "<|end|>"}"#.utf8)
        let model = try scratch.model(
            "model", vocabulary: 4100,
            files: [
                "tokenizer.json": json, "tokenizer_config.json": configuration,
                "chat_template.jinja": Data("{{ messages[0].content }}!".utf8),
            ])
        let file = scratch.file("model.gguf")
        let run = try await ToolRun(["export", "gguf", model, "--out", file, "--json"])
        #expect(run.code == 0, "\(run.errors)")
        #expect(run.json?["file"] == .string(file) && run.json?["notes"] == [])
        #expect(try await tokens(file, Self.text) == tokens(model, Self.text))
        #expect(try Data(contentsOf: URL(filePath: file)).range(of: Data(pre.utf8)) != nil)
        try Data(#"[{"role": "user", "content": "Hi"}]"#.utf8).write(to: URL(filePath: scratch.file("chat.json")))
        let chat = try await ToolRun(["template", file, "--messages", scratch.file("chat.json")])
        #expect(chat.output.hasPrefix("Hi!"), "\(chat.errors)")
    }

    @Test func tokensOfKimisRanksAndLlama3sMergesAreTheFolders() async throws {
        let scratch = try Scratch()
        var llama = try #require(
            try JSONSerialization.jsonObject(with: try Self.data("tokenizers/llama/tokenizer.json")) as? [String: Any])
        // Published ones have none.
        llama["normalizer"] = NSNull()
        for (name, file, content) in [
            ("kimi", "tiktoken.model", try Self.data("tokenizers/kimi/tiktoken.model")),
            ("llama", "tokenizer.json", try JSONSerialization.data(withJSONObject: llama)),
        ] {
            let configuration = try Self.data("tokenizers/\(name)/tokenizer_config.json")
            let model = try scratch.model(
                name, vocabulary: 8192, files: [file: content, "tokenizer_config.json": configuration])
            let output = scratch.file(name + ".gguf")
            let run = try await ToolRun(["export", "gguf", model, "--out", output])
            #expect(run.code == 0, "\(run.errors)")
            #expect(try await tokens(output, Self.text) == tokens(model, Self.text))
        }
    }

    @Test func unknownTokenizersAreRefused() async throws {
        let scratch = try Scratch()
        for (name, json, words) in [
            (
                "pattern", try Self.vocabulary("deepseek-1000", split: #"\p{L}+|\S|\s"#, normalizer: nil),
                #"\p{L}+|\S|\s"#
            ),
            ("normalizer", try Self.vocabulary("deepseek-1000", split: nil, normalizer: "NFKC"), "NFKC"),
            ("composed", try Self.vocabulary("deepseek-1000", split: "", normalizer: "NFC"), "that of gpt-2 with"),
        ] {
            let model = try scratch.model(name, vocabulary: 1100, files: ["tokenizer.json": json])
            let run = try await ToolRun(["export", "gguf", model, "--out", scratch.file("model.gguf")])
            #expect(run.code == 1 && run.output.isEmpty)
            #expect(run.errors.hasPrefix("walet: \(model): tokenizer: ") && run.errors.contains(words), "\(run.errors)")
        }
        let small = try scratch.model(
            "small", vocabulary: 999, files: ["tokenizer.json": try Self.data("vocabulary/deepseek-1000.json")])
        let run = try await ToolRun(["export", "gguf", small, "--out", scratch.file("model.gguf")])
        #expect(
            run.code == 1 && run.errors.contains("at least the tokenizer's 1000 tokens, found 999"), "\(run.errors)")
        #expect(!scratch.names().contains("model.gguf"))
    }

    @Test func aFileIsReplacedOnlyWithForce() async throws {
        let scratch = try Scratch()
        let export = ["export", "gguf", Self.fixture("moonlight"), "--out", scratch.file("model.gguf")]
        let first = try await ToolRun(export)
        #expect(first.code == 0 && first.output.contains("BF16  32 tensors"), "\(first.errors)")
        #expect(first.errors.contains("note: the model has no tokenizer"))
        let second = try await ToolRun(export + ["--type", "f16"])
        #expect(
            second.code == 1
                && second.errors.hasSuffix("expected a name that no file has yet, or --force, found a file\n"))
        let third = try await ToolRun(export + ["--type", "f16", "--force"])
        #expect(third.code == 0 && third.output.contains("F16  "), "\(third.errors)")
        #expect(scratch.names() == ["model.gguf"])
        let score = ["--tokens", "5,6,7,8,9,30,41", "--json", "--precision", "exact"]
        let (one, two) = (
            try await ToolRun(["score", scratch.file("model.gguf")] + score),
            try await ToolRun(["score", Self.fixture("moonlight")] + score)
        )
        for (a, b) in zip(one.json?["logprobs"]?.arrayValue ?? [], two.json?["logprobs"]?.arrayValue ?? []).dropFirst()
        {
            #expect(abs((a.doubleValue ?? 99) - (b.doubleValue ?? 0)) < 1e-3)
        }
    }

    @Test func wrongUsageIsSaid() async throws {
        let model = Self.fixture("moonlight")
        for arguments in [
            [], ["gguf"], ["gguf", model], ["gguf", model, "--out", "x", "--type", "q5_0"], ["onnx", model],
        ] {
            let run = try await ToolRun(["export"] + arguments)
            #expect(run.code == (arguments.isEmpty ? 0 : 2), "\(arguments)")
        }
    }

    #if os(Linux)
        /// Files may not grow beyond a limit, which looks like a full disk.
        @Test func aFullDiskIsAnErrorAndLeavesNothing() async throws {
            let scratch = try Scratch()
            let file = scratch.file("model.gguf")
            let export = "trap '' XFSZ; ulimit -f 200; exec \"$0\" export gguf \"$1\" --out \"$2\""
            let process = Process()
            process.executableURL = URL(filePath: "/bin/sh")
            process.arguments = ["-c", export, ToolRun.tool.path, Self.fixture("kimi-k2"), file]
            let errors = Pipe()
            process.standardOutput = FileHandle.nullDevice
            process.standardError = errors
            try process.run()
            let text = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            process.waitUntilExit()
            #expect(process.terminationStatus == 1)
            #expect(text.hasPrefix("walet: \(file): expected room on the disk for its 292352 bytes"), "\(text)")
            #expect(scratch.names().isEmpty)
        }
    #endif
}
