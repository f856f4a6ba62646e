import Foundation
import Testing
import WaletAutodiff
import WaletJSON
import WaletTrain

/// Folders of ours, loaded by transformers.
@Suite struct TransformersTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()

    /// A Python that has the packages of Tools/requirements-oracle.txt.
    static let python: String? = {
        var candidates = [root.appending(path: ".venv/bin/python").path]
        if let named = ProcessInfo.processInfo.environment["WALET_ORACLE_PYTHON"] { candidates.insert(named, at: 0) }
        return candidates.first { run($0, ["-c", "import torch, transformers, safetensors"]).code == 0 }
    }()

    private static func run(_ program: String, _ arguments: [String]) -> (code: Int32, output: String) {
        let process = Process()
        process.executableURL = URL(filePath: program)
        process.arguments = arguments
        let output = Pipe()
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        guard (try? process.run()) != nil else { return (-1, "") }
        let bytes = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: bytes, as: UTF8.self))
    }

    /// -ln p of each target as transformers has it.
    static func losses(_ folder: String, _ tokens: [Int32], _ targets: [Int32]) throws -> [Double] {
        func list(_ ids: [Int32]) -> String { ids.map(String.init).joined(separator: ",") }
        let script = root.appending(path: "Tools/check_trained_folder.py").path
        let result = run(try #require(python), [script, folder, list(tokens), list(targets)])
        #expect(result.code == 0)
        return try #require(try JSONValue(parsing: result.output).arrayValue).map { $0.doubleValue ?? .nan }
    }

    @Test(
        .enabled(if: python != nil, "Tools/requirements-oracle.txt is not installed"), arguments: TrainingFixture.names)
    func aTrainedFolderIsOneOfTransformers(_ name: String) throws {
        let fixture = try TrainingFixture(name)
        let model = try fixture.model()
        let optimizer = Optimizer(model, .muonClip(tau: 100))
        for step in 0..<2 {
            let tape = Tape(model.arena)
            model.forgetGradients()
            let pass = model.forward(tape, try fixture.batch(step), fixture.objective)
            tape.backward()
            _ = optimizer.step(rate: 0.01, StepObservation(pass))
        }
        let folder = FileManager.default.temporaryDirectory.appending(path: "walet-transformers-\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try model.save(to: folder.path)

        let batch = try fixture.batch(0)
        let first = batch.segments[0]
        let pass = model.forward(Tape(model.arena, recording: false), batch)
        let losses = try Self.losses(folder.path, Array(batch.tokens[first]), Array(batch.targets[first]))
        for (ours, theirs) in zip(pass.tokenLosses, losses) { #expect(abs(Double(ours) - theirs) < 2e-4) }
        #expect(losses.count == first.count)
    }
}
