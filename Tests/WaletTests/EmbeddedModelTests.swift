import Foundation
import Testing
import Walet

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

/// The model that comes with Walet.
@Suite struct EmbeddedModelTests {
    /// No model of the user's own is in the way, and none can be pulled.
    private static let environment = ["WALET_MODELS": "/nowhere", "WALET_OFFLINE": "1"]

    @Test func itIsSmallAndOfKimisArchitecture() async throws {
        let folder = try #require(EmbeddedModel.folder)
        let files = try FileManager.default.contentsOfDirectory(
            at: URL(filePath: folder), includingPropertiesForKeys: [.fileSizeKey])
        let bytes = try files.reduce(0) { try $0 + ($1.resourceValues(forKeys: [.fileSizeKey]).fileSize ?? 0) }
        #expect(bytes < 20_000_000)
        let description = try ModelDescription.read(EmbeddedModel.name)
        let configuration = description.configuration
        let experts = try #require(configuration.experts)
        #expect(configuration.family == .deepseek && experts.scoring == .sigmoid && experts.selection == .biased)
        #expect(experts.shared == 1)
        #expect(configuration.quantization == .packed(bits: 4, groupSize: 32, ignore: experts4BitIgnored))
    }

    /// K2 Thinking's list.
    private var experts4BitIgnored: [String] {
        ["lm_head", "re:.*self_attn.*", "re:.*shared_experts.*", "re:.*mlp\\.(gate|up|gate_up|down)_proj.*"]
    }

    @Test func itThinksAndAnswers() async throws {
        let model = try await LanguageModel.load(EmbeddedModel.name)
        var (thought, answer) = ("", "")
        for try await event in model.session().respond(to: "What is 12345 + 54321?") {
            switch event {
            case .thinking(let piece): thought += piece
            case .text(let piece): answer += piece
            default: break
            }
        }
        #expect(thought.contains("1234 + 5432"))
        #expect(answer.contains("66666"))
    }

    @Test func aQuestionAloneGoesToIt() async throws {
        let run = try await ToolRun(["run", "What is 12345 + 54321?"], environment: Self.environment)
        #expect(run.code == 0 && run.output.contains("66666"), "\(run.errors)")
        let named = try await ToolRun(
            ["run", "walet-nano", "What is 12345 + 54321?", "--json"], environment: Self.environment)
        #expect(named.output.contains(#""type":"thinking""#))
        // A name is a name: a slip of the pen is not asked.
        let slip = try await ToolRun(["run", "walet-nan"], environment: Self.environment)
        #expect(slip.code == 1 && slip.errors.contains("walet-nan: no such file or folder"))
    }

    @Test func itIsListed() async throws {
        let run = try await ToolRun(["list"], environment: Self.environment)
        #expect(run.output.contains("walet-nano  safetensors") && run.output.contains("(comes with Walet)"))
        let json = try #require(try await ToolRun(["list", "--json"], environment: Self.environment).json)
        #expect(json["models"]?.arrayValue?.map { $0["name"]?.stringValue } == ["walet-nano"])
    }

    @Test func aServerWithoutAModelServesIt() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "walet-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let process = Process()
        process.executableURL = ToolRun.tool
        process.arguments = ["serve", "--port", "0", "--database", folder.appending(path: "accounts.sqlite").path]
        process.environment = ProcessInfo.processInfo.environment.merging(Self.environment) { $1 }
        let log = Pipe()
        process.standardError = log
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        defer {
            kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
        }
        var text = ""
        while !text.contains("\"url\":\"") {
            let data = log.fileHandleForReading.availableData
            try #require(!data.isEmpty, "the server ended: \(text)")
            text += String(decoding: data, as: UTF8.self)
        }
        let url = try #require(text.split(separator: "\"url\":\"").last?.split(separator: "\"").first)
        let models = try #require(URL(string: url + "/v1/models"))
        let (body, _) = try await URLSession.shared.data(from: models)
        #expect(String(decoding: body, as: UTF8.self).contains("walet-nano"))
    }
}
