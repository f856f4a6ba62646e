import Foundation
import Testing
import Walet

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

/// `--memory` as an operator meets it.
@Suite struct StreamingCommandTests {
    private func walet(_ arguments: [String]) async throws -> ToolRun { try await ToolRun(arguments) }

    private func fixture(_ name: String) -> String { TestFiles.fixtures.appending(path: "models/\(name)").path }

    @Test(arguments: ["kimi-k2-thinking", "gguf-qwen3moe", "deepseek-v3-fp8"])
    func scoresAreThoseOfTheWholeModel(_ name: String) async throws {
        let score = ["score", fixture(name), "--tokens", "5,6,7,8,9,30,41", "--top", "3", "--json"]
        let whole = try await walet(score)
        for extra in [["--memory", "1.5M"], ["--memory", "1.5M", "--expert-reads", "buffered"]] {
            let streamed = try await walet(score + extra)
            #expect(streamed.code == 0, "\(streamed.errors)")
            #expect(streamed.output == whole.output)
        }
    }

    @Test func tooLittleMemoryIsAnErrorThatSaysHowMuch() async throws {
        let outcome = try await walet(["score", fixture("kimi-k2-thinking"), "--tokens", "5,6", "--memory", "20K"])
        #expect(outcome.code == 1)
        #expect(outcome.output.isEmpty)
        #expect(outcome.errors.contains("model-00001-of-000002.safetensors: memory limit: expected at least"))
    }

    @Test(arguments: ["0", "-1G", "1.G", "G", "1.5", "three"]) func sizesAreChecked(_ size: String) async throws {
        let outcome = try await walet(["score", fixture("kimi-k2-thinking"), "--tokens", "5,6", "--memory=\(size)"])
        #expect(outcome.code != 0)
        #expect(outcome.errors.contains("memory"))
    }

    @Test func benchmarksTellWhatWasReadAndPlanned() async throws {
        let outcome = try await walet([
            "bench", fixture("kimi-k2-thinking"), "--prompt", "8", "--generate", "8", "--memory", "1M", "--json",
        ])
        #expect(outcome.code == 0, "\(outcome.errors)")
        let json = try JSONValue(parsing: outcome.output)
        #expect((json["experts"]?["slab_bytes"]?.intValue ?? 0) > 0)
        let decode = json["decode_experts"]
        #expect((decode?["hits"]?.intValue ?? 0) + (decode?["misses"]?.intValue ?? 0) == 8 * 2 * 3)
        #expect(json["prefill_experts"]?["misses"] != nil)
        // Its files are too small to tell how fast the disk is.
        #expect(json["planned"] == nil)
        let mapped = try await walet([
            "bench", fixture("kimi-k2-thinking"), "--prompt", "8", "--generate", "8", "--plan", "--hourly-cost", "0.5",
            "--json",
        ])
        #expect(mapped.code == 0, "\(mapped.errors)")
        let planned = try JSONValue(parsing: mapped.output)["planned"]
        #expect((planned?["decode_tokens_per_second"]?.doubleValue ?? 0) > 0)
        #expect((planned?["prefill_tokens_per_second"]?.doubleValue ?? 0) > 0)
        #expect(planned?["error"]?.doubleValue != nil)
        #expect((planned?["usd_per_million_tokens"]?.doubleValue ?? 0) > 0)
    }

    @Test func routingIsWrittenTokenByToken() async throws {
        let file = FileManager.default.temporaryDirectory.appending(path: "walet-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: file) }
        let outcome = try await walet([
            "score", fixture("kimi-k2-thinking"), "--tokens", "5,6,7", "--routing", file.path, "--json",
        ])
        #expect(outcome.code == 0, "\(outcome.errors)")
        let lines = try String(contentsOf: file, encoding: .utf8).split(separator: "\n").map {
            try JSONValue(parsing: String($0))
        }
        #expect(lines.map { $0["token"] } == [5, 6, 7])
        for line in lines {
            let layers = line["experts"]?.arrayValue ?? []
            #expect(layers.count == 2)
            #expect(layers.allSatisfy { Set($0.arrayValue?.compactMap(\.intValue) ?? []).count == 3 })
        }
    }

    #if os(Linux)
        /// A server with a database of its own.
        private final class Server {
            let url: URL
            let folder: URL
            private let process = Process()

            init(_ arguments: [String]) async throws {
                folder = FileManager.default.temporaryDirectory.appending(path: "walet-\(UUID().uuidString)")
                try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
                let log = folder.appending(path: "log")
                try Data().write(to: log)
                let errors = try FileHandle(forWritingTo: log)
                process.executableURL = ToolRun.tool
                process.arguments =
                    ["serve", "--port", "0", "--open-metrics", "--database", folder.appending(path: "a.sqlite").path]
                    + arguments
                process.standardOutput = errors
                process.standardError = errors
                process.standardInput = FileHandle.nullDevice
                try process.run()
                var address: URL?
                for _ in 0..<600 where address == nil && process.isRunning {
                    try await Task.sleep(for: .milliseconds(100))
                    for line in try String(contentsOf: log, encoding: .utf8).split(separator: "\n")
                    where line.contains("\"listening\"") {
                        let entry = try? JSONValue(parsing: String(line))
                        address = (entry?["url"] ?? entry?["metadata"]?["url"])?.stringValue.flatMap { URL(string: $0) }
                    }
                }
                let text = (try? String(contentsOf: log, encoding: .utf8)) ?? ""
                url = try #require(address, "no server: \(text)")
            }

            deinit {
                if process.isRunning { kill(process.processIdentifier, SIGKILL) }
                try? FileManager.default.removeItem(at: folder)
            }

            func complete(_ model: String) async throws -> (status: Int, text: String) {
                var request = URLRequest(url: url.appending(path: "v1/completions"))
                request.httpMethod = "POST"
                request.setValue("application/json", forHTTPHeaderField: "Content-Type")
                let body: JSONValue = ["model": .string(model), "prompt": [5, 6, 7, 8], "max_tokens": 4]
                request.httpBody = Data(body.text().utf8)
                let (data, response) = try await URLSession.shared.data(for: request)
                return ((response as? HTTPURLResponse)?.statusCode ?? 0, String(decoding: data, as: UTF8.self))
            }

            func metrics() async throws -> String {
                String(
                    decoding: try await URLSession.shared.data(from: url.appending(path: "metrics")).0, as: UTF8.self)
            }
        }

        /// A copy of a fixture that tests may spoil, with a vocabulary of single bytes.
        private func served(_ name: String) throws -> URL {
            let copy = FileManager.default.temporaryDirectory.appending(path: "walet-\(UUID().uuidString)")
            try FileManager.default.copyItem(atPath: fixture(name), toPath: copy.path)
            let printable = Array(33...126) + Array(161...172) + Array(174...255)
            let others = (0..<256).filter { !printable.contains($0) }
            let letters = printable + others.indices.map { 256 + $0 }
            var vocabulary: [String: Int] = [:]
            for (token, letter) in letters.enumerated() {
                vocabulary[String(Character(Unicode.Scalar(UInt32(letter))!))] = token
            }
            let tokenizer: [String: Any] = [
                "version": "1.0", "added_tokens": [Any](),
                "pre_tokenizer": ["type": "ByteLevel", "add_prefix_space": false, "use_regex": true] as [String: Any],
                "decoder": ["type": "ByteLevel"],
                "model": ["type": "BPE", "vocab": vocabulary, "merges": [String]()] as [String: Any],
            ]
            try JSONSerialization.data(withJSONObject: tokenizer).write(to: copy.appending(path: "tokenizer.json"))
            return copy
        }

        @Test func aServerOutlivesAModelWhoseFilesAreCut() async throws {
            let (good, cut) = (try served("deepseek-v3"), try served("kimi-k2-thinking"))
            defer { for copy in [good, cut] { try? FileManager.default.removeItem(at: copy) } }
            let server = try await Server(["good=\(good.path)", "cut=\(cut.path)", "--memory", "1.5M"])
            for model in ["good", "cut"] {
                let (status, text) = try await server.complete(model)
                #expect(status == 200, "\(text)")
            }
            #expect(try await server.metrics().contains("walet_expert_cache_slabs{model=\"cut\"}"))
            for file in try FileManager.default.contentsOfDirectory(atPath: cut.path)
            where file.hasSuffix(".safetensors") {
                #expect(truncate(cut.appending(path: file).path, 4096) == 0)
            }
            let (status, text) = try await server.complete("cut")
            #expect(status == 503, "\(text)")
            #expect(!text.contains(cut.path))
            let (other, otherText) = try await server.complete("good")
            #expect(other == 200, "\(otherText)")
        }

        @Test func aServerWhoseFirstModelHasTooLittleMemorySaysSo() async throws {
            let database = FileManager.default.temporaryDirectory.appending(path: "walet-\(UUID().uuidString)")
            defer { try? FileManager.default.removeItem(at: database) }
            let outcome = try await walet([
                "serve", "large=\(fixture("kimi-k2-thinking"))", "--memory", "100K", "--port", "0", "--database",
                database.path,
            ])
            #expect(outcome.code != 0)
            #expect(outcome.errors.contains("memory limit"), "\(outcome.errors)")
        }
    #endif
}
