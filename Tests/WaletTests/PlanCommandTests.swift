import Foundation
import Testing
import Walet

/// `walet plan`, `walet cost`, `walet show --bom` and `walet verify` with a signature: what they print, with which exit code.
@Suite struct PlanCommandTests {
    private let folder: URL

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "walet-plan-command-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    private func walet(_ arguments: [String]) async throws -> ToolRun {
        try await ToolRun(arguments, environment: ["WALET_MODELS": folder.path])
    }

    private func config(_ name: String) -> String {
        TestFiles.fixtures.appending(path: "formats/configs/\(name).json").path
    }

    private static let machine = ["--memory", "64G", "--memory-speed", "70", "--disk-speed", "7", "--cores", "16"]

    @Test func aModelIsPlannedFromItsConfigurationAlone() async throws {
        let plot = folder.appending(path: "plan.svg").path
        let outcome = try await walet(
            ["plan", config("kimi-k2-thinking"), "--context", "8192", "--plot", plot] + Self.machine)
        #expect(outcome.code == 0, "\(outcome.errors)")
        #expect(outcome.output.contains("reading experts from the disk"))
        #expect(outcome.output.contains("to double it"))
        #expect(outcome.output.contains("█"))
        #expect(try String(contentsOfFile: plot, encoding: .utf8).hasPrefix("<svg"))
        #expect(outcome.errors.contains(plot))
        let json = try await walet(["plan", config("kimi-k2-thinking"), "--json"] + Self.machine).json
        #expect(json?["placement"] == "streamed" && json?["machine"]?["memory_bytes"]?["origin"] == "given")
    }

    @Test func severalModelsAreLinesOfOneTable() async throws {
        let models = ["kimi-k2-thinking", "deepseek-v3", "moonlight"].map(config)
        let outcome = try await walet(["plan"] + models + Self.machine)
        let lines = outcome.output.split(separator: "\n")
        #expect(lines.count == 4 && lines[0].hasPrefix("MODEL"))
        #expect(lines[3].contains("resident"))
        let json = try await walet(["plan", "--json"] + models + Self.machine)
        #expect(json.output.split(separator: "\n").count == 3)
        #expect(try await walet(["plan", "--plot", "x.svg"] + models).code == 2)
    }

    @Test func thisMachineIsMeasured() async throws {
        let model = TestFiles.fixtures.appending(path: "models/deepseek-v3").path
        let json = try await walet(["plan", model, "--json"]).json
        #expect(json?["machine"]?["memory_bytes_per_second"]?["origin"] == "measured")
        #expect(json?["placement"] == "resident")
        #expect((json?["decode_tokens_per_second"]?.doubleValue ?? 0) > 0)
    }

    @Test(arguments: [
        (["plan"], 2), (["plan", "x", "--memory", "lots"], 2), (["plan", "x", "--hit-rate", "2"], 2),
        (["plan", "x", "--cores", "0"], 2), (["plan", "x", "--memory-speed", "-3"], 2),
        (["plan", "x", "--disk", "/tmp", "--disk-speed", "1"], 2), (["plan", "/none/at/all"], 1), (["cost"], 2),
        (["cost", "--prefill-rate", "1", "--decode-rate", "1"], 1), (["cost", "training"], 2),
        (["cost", "training", "--parameters", "x", "--tokens", "1T"], 2),
        (["cost", "--mix", "1,2", "--prefill-rate", "1", "--decode-rate", "1", "--capital", "1"], 2),
        (["cost", "--utilisation", "0.5", "--tokens", "1M", "--prefill-rate", "1", "--decode-rate", "1"], 2),
        (["cost", "--prices", "/none", "--prefill-rate", "1", "--decode-rate", "1", "--capital", "1"], 1),
        (["show", "x", "--bom", "--tensors"], 2), (["verify", "x", "--signature", "y"], 2),
        (["verify", "/none", "--public-key", "y"], 1),
    ])
    func mistakesAreNamedInOneLine(_ arguments: [String], _ code: Int) async throws {
        let outcome = try await walet(arguments)
        #expect(outcome.code == Int32(code), "\(outcome.errors)")
        #expect(outcome.output.isEmpty && !outcome.errors.isEmpty)
        if code == 1 { #expect(outcome.errors.split(separator: "\n").count == 1) }
    }

    @Test func tooSmallAMemoryIsAPlanThatDoesNotFit() async throws {
        let outcome = try await walet(["plan", config("kimi-k2-thinking"), "--memory", "16G", "--memory-speed", "50"])
        #expect(outcome.code == 0)
        #expect(outcome.output.contains("does not fit: at least"))
    }

    @Test func costsSayWhenTheAPIIsCheaper() async throws {
        let server = ["--capital", "8000", "--power", "250", "--staff", "2000"]
        let outcome = try await walet(["cost", config("kimi-k2-thinking")] + server + Self.machine)
        #expect(outcome.code == 0, "\(outcome.errors)")
        #expect(outcome.output.contains("The API is cheaper: Kimi K2 Thinking"))
        #expect(outcome.output.contains("SPENT AFTER") && outcome.output.contains("BREAK-EVEN"))
        let plot = folder.appending(path: "cost.svg").path
        let rates = ["--prefill-rate", "20000", "--decode-rate", "2000", "--utilisation", "0.5", "--plot", plot]
        let json = try await walet(["cost", "--json"] + server + rates).json
        #expect(json?["against"]?.arrayValue?.first?["name"] == "Kimi K2 Thinking")
        #expect(json?["against"]?.arrayValue?.first?["fresh"] == 0.56)
        #expect(json?["usd_per_million"]?["mix"]?.doubleValue ?? 0 > 0)
        #expect(try String(contentsOfFile: plot, encoding: .utf8).contains("GPT-5"))
    }

    @Test func pricesMayBeReplaced() async throws {
        let prices = folder.appending(path: "prices.json")
        let text = """
            [{"name": "Ours", "date": "2026-01-02", "input": "1", "cached_input": "0.1", "output": "5"}]
            """
        try text.write(to: prices, atomically: true, encoding: .utf8)
        let rates = ["--prefill-rate", "20000", "--decode-rate", "2000", "--capital", "8000"]
        let json = try await walet(["cost", "--json", "--prices", prices.path] + rates).json
        #expect(json?["against"]?.arrayValue?.compactMap { $0["name"]?.stringValue } == ["Ours"])
        try "[{}]".write(to: prices, atomically: true, encoding: .utf8)
        #expect(try await walet(["cost", "--prices", prices.path] + rates).errors.contains("prices.json"))
    }

    @Test func publishedFiguresAreReproduced() async throws {
        let json = try await walet(["cost", "published", "--json"]).json
        let figures = try #require(json?["figures"]?.arrayValue)
        #expect(figures.count == 5)
        for figure in figures { #expect(abs(figure["difference"]?.doubleValue ?? 1) < 0.01) }
        let training = try await walet(
            ["cost", "training", "--parameters", "37B", "--tokens", "14.8T", "--gpu-hours", "2.788M"])
        #expect(training.output.contains("5,576,000 USD"))
        #expect(training.output.contains("left out"))
        let planned = try await walet(["cost", "training", config("moonlight"), "--tokens", "5.7T", "--json"]).json
        #expect(planned?["gpu_hours_given"] == false)
    }

    @Test func aBillOfMaterialsListsEveryFile() async throws {
        let model = TestFiles.fixtures.appending(path: "models/kimi-k2-thinking").path
        let json = try await walet(["show", model, "--bom"]).json
        #expect(json?["specVersion"] == "1.6")
        #expect(json?["metadata"]?["component"]?["type"] == "machine-learning-model")
        #expect(
            json?["components"]?.arrayValue?.count == (try FileManager.default.contentsOfDirectory(atPath: model).count)
        )
    }

    @Test func signaturesAreChecked() async throws {
        let signing = TestFiles.fixtures.appending(path: "signing")
        let model = folder.appending(path: "model")
        try FileManager.default.copyItem(at: signing.appending(path: "model"), to: model)
        try FileManager.default.copyItem(
            at: signing.appending(path: "p256.sig"), to: model.appending(path: "model.sig"))
        let key = signing.appending(path: "p256.pub").path
        let good = try await walet(["verify", model.path, "--public-key", key])
        #expect(good.code == 0, "\(good.errors)")
        #expect(good.errors.contains("the signature holds"))
        let other = try await walet(
            ["verify", model.path, "--public-key", signing.appending(path: "other.pub").path])
        #expect(other.code == 1 && other.output.isEmpty && other.errors.contains("signed by the key"))
        let certificate = try await walet([
            "verify", model.path, "--signature", signing.appending(path: "cert-signer.sig").path, "--certificates",
            signing.appending(path: "root.pem").path,
        ])
        // The other signature is a file that nobody signed.
        #expect(certificate.code == 1 && certificate.output.contains("model.sig"))
        try Data("x".utf8).write(to: model.appending(path: "config.json"))
        let changed = try await walet(["verify", model.path, "--public-key", key, "--json"])
        #expect(changed.code == 1 && changed.json?["intact"] == false)
        #expect(changed.errors.contains("is not what was signed"))
    }
}
