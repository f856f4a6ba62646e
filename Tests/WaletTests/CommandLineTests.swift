import Foundation
import Testing
import Walet

/// The command line's contract: what goes where, in which form, with which exit code.
@Suite struct CommandLineTests {
    @discardableResult
    private func walet(_ arguments: String..., environment: [String: String] = [:], input: String = "") async throws
        -> ToolRun
    {
        try await ToolRun(arguments, environment: environment, input: input)
    }

    private func fixture(_ name: String) -> String { TestFiles.fixtures.appending(path: "models/\(name)").path }

    @Test func runAnswersOnStandardOutputAndMeasuresOnStandardError() async throws {
        let outcome = try await walet("run", TestFiles.smollm2, "What is the capital of Germany?", "--max-tokens", "40")
        #expect(outcome.code == 0)
        #expect(outcome.output == "The capital of Germany is Berlin.\n")
        #expect(outcome.errors.contains("tokens/s, first token after"))
    }

    @Test func runPrintsEventsAsJSONLines() async throws {
        let outcome = try await walet(
            "run", TestFiles.smollm2, "What is the capital of Germany?", "--json", "--max-tokens", "5")
        let events = try outcome.output.split(separator: "\n").map { try JSONValue(parsing: String($0)) }
        #expect(events.dropLast().allSatisfy { $0["type"] == "text" })
        #expect(events.last?["type"] == "finish")
        #expect(events.last?["reason"] == "length")
        #expect(events.last?["usage"]?["completion_tokens"] == 5)
    }

    @Test func speculationChangesTheFiguresAndNotTheText() async throws {
        let question = "Repeat this word for word: one two three four five six, one two three four five six, one two"
        func run(_ arguments: String...) async throws -> (text: String, usage: JSONValue) {
            let outcome: ToolRun
            switch arguments.count {
            case 0: outcome = try await walet("run", TestFiles.smollm2, question, "--max-tokens", "60", "--json")
            case 2:
                outcome = try await walet(
                    "run", TestFiles.smollm2, question, "--max-tokens", "60", "--json", arguments[0], arguments[1])
            default:
                outcome = try await walet(
                    "run", TestFiles.smollm2, question, "--max-tokens", "60", "--json", arguments[0], arguments[1],
                    arguments[2], arguments[3])
            }
            let events = try outcome.output.split(separator: "\n").map { try JSONValue(parsing: String($0)) }
            return (events.compactMap { $0["text"]?.stringValue }.joined(), try #require(events.last?["usage"]))
        }
        let plain = try await run()
        #expect(plain.usage["drafted_tokens"] == 0 && plain.usage["accepted_tokens"] == 0)
        for guessing in [
            try await run("--speculate", "lookup"), try await run("--speculate", "lookup", "--draft-tokens", "2"),
        ] {
            #expect(guessing.text == plain.text)
            #expect(guessing.usage["completion_tokens"] == plain.usage["completion_tokens"])
            let accepted = try #require(guessing.usage["accepted_tokens"]?.intValue)
            #expect(accepted > 0 && accepted <= guessing.usage["drafted_tokens"]?.intValue ?? 0)
        }
        let refused = try await walet("run", TestFiles.smollm2, question, "--speculate", "mtp")
        #expect(refused.code == 1 && refused.output.isEmpty)
        #expect(refused.errors.contains("no multi-token-prediction layer"))
        #expect(refused.errors.split(separator: "\n").count == 1)
    }

    @Test func chatKeepsItsHistory() async throws {
        let outcome = try await walet(
            "run", TestFiles.smollm2, "--max-tokens", "8",
            input: "My name is Ada.\n\nWhat is my name?\n/bye\nnot read\n")
        #expect(outcome.code == 0)
        #expect(outcome.output.split(separator: "\n").count >= 2)
        #expect(outcome.errors.contains("cached"))
    }

    @Test func interruptStopsTheAnswerAndNotTheChat() async throws {
        let process = Process()
        process.executableURL = ToolRun.tool
        process.arguments = ["run", TestFiles.smollm2]
        let (output, errors, input) = (Pipe(), Pipe(), Pipe())
        process.standardOutput = output
        process.standardError = errors
        process.standardInput = input
        try process.run()
        try input.fileHandleForWriting.write(contentsOf: Data("Count from one to one thousand.\n".utf8))
        // Once there is some answer, it is being written.
        let beginning = try #require(try output.fileHandleForReading.read(upToCount: 8))
        #expect(!beginning.isEmpty)
        kill(process.processIdentifier, SIGINT)
        try input.fileHandleForWriting.write(contentsOf: Data("Say hi.\n/bye\n".utf8))
        async let errorBytes = Task.detached { errors.fileHandleForReading.readDataToEndOfFile() }.value
        _ = await Task.detached { output.fileHandleForReading.readDataToEndOfFile() }.value
        let text = String(decoding: await errorBytes, as: UTF8.self)
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        #expect(text.contains("(stopped)"))
        // The second answer has ended by itself.
        #expect(text.contains("tokens/s, first token after"))
    }

    @Test func scoreHasTheContractsShape() async throws {
        let outcome = try await walet(
            "score", fixture("kimi-k2"), "--tokens", "5,6,7,8", "--top", "3", "--precision", "exact", "--json")
        let json = try #require(outcome.json)
        #expect(json.objectValue?.keys == ["tokens", "logprobs", "top", "perplexity"])
        #expect(json["tokens"] == [5, 6, 7, 8])
        let logprobs = try #require(json["logprobs"]?.arrayValue)
        #expect(logprobs.count == 4 && logprobs[0].isNull)
        let top = try #require(json["top"]?.arrayValue)
        #expect(top.count == 4 && top.allSatisfy { $0.arrayValue?.count == 3 })
        let mean = logprobs.dropFirst().compactMap(\.doubleValue).reduce(0, +) / 3
        #expect(abs((json["perplexity"]?.doubleValue ?? 0) - exp(-mean)) < 1e-3 * exp(-mean))
    }

    @Test func tokenizeGoesThereAndBack() async throws {
        let outcome = try await walet("tokenize", TestFiles.smollm2, "Hello, wörld <|im_end|>", "--json")
        let ids = try #require(outcome.json?["tokens"]?.arrayValue).compactMap(\.intValue)
        #expect(ids.last == 2)
        #expect(outcome.json?["pieces"]?.arrayValue?.count == ids.count)
        let plain = try await walet("tokenize", TestFiles.smollm2, "Hello, wörld <|im_end|>", "--no-special", "--json")
        #expect(plain.json?["tokens"]?.arrayValue?.contains(2) == false)
        let list = ids.map(String.init).joined(separator: ",")
        #expect(try await walet("tokenize", TestFiles.smollm2, "--decode", list).output == "Hello, wörld <|im_end|>\n")
    }

    @Test func templateRendersAFileOfMessages() async throws {
        let file = FileManager.default.temporaryDirectory.appending(path: "walet-\(UUID()).json")
        defer { try? FileManager.default.removeItem(at: file) }
        try #"[{"role": "user", "content": "hi"}]"#.write(to: file, atomically: true, encoding: .utf8)
        let outcome = try await walet("template", TestFiles.smollm2, "--messages", file.path)
        #expect(outcome.output.hasSuffix("<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"))
        let bare = try await walet("template", TestFiles.smollm2, "--messages", file.path, "--no-generation-prompt")
        #expect(bare.output.hasSuffix("<|im_start|>user\nhi<|im_end|>\n"))
    }

    @Test func showCountsKimiK2ThinkingFromItsConfigurationAlone() async throws {
        let config = TestFiles.fixtures.appending(path: "formats/configs/kimi-k2-thinking.json").path
        let outcome = try await walet("show", config, "--json")
        #expect(outcome.code == 0)
        let total = try #require(outcome.json?["parameters"]?["total"]?.intValue)
        let active = try #require(outcome.json?["parameters"]?["active"]?.intValue)
        #expect((1_020_000_000_000...1_030_000_000_000).contains(total))
        #expect((31_000_000_000...33_500_000_000).contains(active))
        #expect(try await walet("show", config).output.contains("1026B in all"))
    }

    @Test func benchMeasuresRealAndMadeUpWeights() async throws {
        let outcome = try await walet(
            "bench", fixture("kimi-k2"), "--prompt", "40", "--generate", "8", "--batch", "3", "--json")
        let json = try #require(outcome.json)
        for key in [
            "prefill_tokens_per_second", "decode_tokens_per_second", "bytes_per_token", "read_gb_per_second",
            "peak_resident_bytes", "load_seconds",
        ] {
            #expect((json[key]?.doubleValue ?? 0) > 0, "\(key)")
        }
        for name in ["kimi-k2-thinking", "deepseek-v3-fp8", "qwen3-moe"] {
            let config = fixture(name) + "/config.json"
            let made = try await walet(
                "bench", config, "--random-weights", "--prompt", "8", "--generate", "4", "--json")
            #expect(made.code == 0, "\(made.errors)")
            #expect((made.json?["decode_tokens_per_second"]?.doubleValue ?? 0) > 0)
        }
    }

    @Test func benchRefusesWhatCannotBe() async throws {
        let largest = "\(Int.max)"
        for arguments in [["--prompt", largest], ["--generate", largest], ["--prompt", "0"], ["--batch", "17"]] {
            let outcome = try await walet("bench", fixture("llama"), arguments[0], arguments[1])
            #expect(outcome.code == 1, "\(arguments)")
            #expect(outcome.errors.split(separator: "\n").count == 1)
        }
        // Half a terabyte of made-up weights.
        let config = TestFiles.fixtures.appending(path: "formats/configs/kimi-k2-thinking.json").path
        let outcome = try await walet("bench", config, "--random-weights")
        #expect(outcome.code == 1)
        #expect(outcome.errors.contains("bytes of memory"))
    }

    @Test func residentMemoryIsTheFileAndTheCacheAndLittleMore() async throws {
        let folder = URL(filePath: TestFiles.smollm2)
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path)
        let file = try #require(names.first { $0.hasSuffix(".gguf") })
        let size = try #require(
            FileManager.default.attributesOfItem(atPath: folder.appending(path: file).path)[.size] as? Int)
        let outcome = try await walet("bench", folder.path, "--prompt", "300", "--generate", "8", "--json")
        let resident = try #require(outcome.json?["peak_resident_bytes"]?.intValue)
        let cache = try #require(outcome.json?["kv_bytes"]?.intValue)
        #expect(resident <= size + cache + 300_000_000, "\(resident) bytes resident, file \(size), cache \(cache)")
    }

    @Test func listRemoveAndVerifyWorkOnTheStore() async throws {
        let store = FileManager.default.temporaryDirectory.appending(path: "walet-store-\(UUID())")
        defer { try? FileManager.default.removeItem(at: store) }
        let environment = ["WALET_MODELS": store.path]
        try FileManager.default.createDirectory(at: store.appending(path: "owner"), withIntermediateDirectories: true)
        try FileManager.default.copyItem(atPath: fixture("llama"), toPath: store.appending(path: "owner/tiny").path)
        let list = try await walet("list", "--json", environment: environment)
        #expect(list.json?["models"]?.arrayValue?.map { $0["name"] } == ["owner/tiny", "walet-nano"])
        let score = try await walet("score", "owner/tiny", "--tokens", "1,2,3", "--json", environment: environment)
        #expect(score.code == 0)
        let verify = try await walet("verify", "owner/tiny", environment: environment)
        #expect(verify.code == 1)
        #expect(verify.errors.contains("nothing to compare"))
        for name in ["../llama", "/etc", "owner/../..", "a\\b", "%2e%2e/x"] {
            #expect(try await walet("rm", name, environment: environment).code == 1, "\(name)")
        }
        #expect(try await walet("rm", "owner/tiny", environment: environment).code == 0)
        let rest = try await walet("list", "--json", environment: environment)
        #expect(rest.json?["models"]?.arrayValue?.map { $0["name"] } == ["walet-nano"])
    }

    @Test func aNameAsOnAHubIsPulledFirstUnlessOffline() async throws {
        let environment = ["WALET_OFFLINE": "1", "WALET_MODELS": "/nonexistent", "HF_ENDPOINT": "http://127.0.0.1:9"]
        for command in ["show", "bench"] {
            let outcome = try await walet(command, "owner/name", environment: environment)
            #expect(outcome.code == 1)
            #expect(outcome.errors.contains("WALET_OFFLINE"))
        }
    }

    @Test func pullRefusesToConnectWhenOffline() async throws {
        let outcome = try await walet(
            "pull", "owner/name", environment: ["WALET_OFFLINE": "1", "HF_ENDPOINT": "http://127.0.0.1:9"])
        #expect(outcome.code == 1)
        #expect(outcome.errors.contains("WALET_OFFLINE"))
    }

    @Test(arguments: [
        ["show"], ["nonsense"], ["score", "x"], ["score", "x", "--text", "a", "--tokens", "1"],
        ["run", "x", "y", "--nope"],
        ["score", "x", "--tokens", "1,b"], ["run", "x", "y", "--temperature", "hot"], ["tokenize", "x"],
        ["run", "x", "y", "--speculate", "dice"], ["run", "x", "y", "--draft-tokens", "3"],
        ["run", "x", "y", "--speculate", "lookup", "--draft-tokens", "16"],
        ["run", "x", "y", "--speculate", "mtp", "--draft-tokens", "0"], ["run", "x", "y", "--max-tokens", "0"],
        ["pull", "a/b", "--parallel", "0"], ["bench", "x", "--threads", "0"],
    ])
    func wrongUsageIsTwo(_ arguments: [String]) async throws {
        let process = Process()
        process.executableURL = ToolRun.tool
        process.arguments = arguments
        let errors = Pipe()
        process.standardError = errors
        process.standardOutput = FileHandle.nullDevice
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let text = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        #expect(process.terminationStatus == 2)
        #expect(!text.isEmpty)
    }

    @Test func failureIsOneWithOneLineThatNamesTheFile() async throws {
        for arguments in [
            ["show", "/nowhere/model.gguf"], ["show", fixture("llama") + "/golden.json"],
            ["score", "no-such-model", "--tokens", "1"],
        ] {
            let outcome =
                arguments.count == 2
                ? try await walet(arguments[0], arguments[1])
                : try await walet(arguments[0], arguments[1], arguments[2], arguments[3])
            #expect(outcome.code == 1)
            #expect(outcome.output.isEmpty)
            #expect(outcome.errors.split(separator: "\n").count == 1)
            #expect(outcome.errors.contains(arguments[1]))
        }
    }

    @Test func helpAndVersionAreNoFailures() async throws {
        #expect(try await walet("--help").code == 0)
        #expect(try await walet("run", "--help").output.contains("--max-tokens"))
        #expect(try await walet("--version").output.contains("."))
    }
}
