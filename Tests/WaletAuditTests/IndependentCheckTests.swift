import Foundation
import Testing
import WaletAudit

/// Our logs, checked by a program that shares nothing with us: pymerkle's tree, OpenSSL's signatures.
@Suite struct IndependentCheckTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
    private static let script = root.appending(path: "Tools/check_audit_log.py").path

    /// A Python that has the packages of Tools/requirements-audit.txt.
    static let python: String? = {
        let named = ProcessInfo.processInfo.environment["WALET_AUDIT_PYTHON"]
        var candidates = [root.appending(path: ".venv/bin/python").path, "/usr/bin/python3"]
        if let named { candidates.insert(named, at: 0) }
        return candidates.first { run($0, ["-c", "import pymerkle, cryptography"]).code == 0 }
    }()

    private static func run(_ program: String, _ arguments: [String]) -> (code: Int32, output: String) {
        let process = Process()
        process.executableURL = URL(filePath: program)
        process.arguments = arguments
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        guard (try? process.run()) != nil else { return (-1, "") }
        let bytes = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: bytes, as: UTF8.self))
    }

    private func check(_ arguments: String...) throws -> (code: Int32, output: String) {
        Self.run(try #require(Self.python), [Self.script] + arguments)
    }

    @Test(.enabled(if: python != nil, "Tools/requirements-audit.txt is not installed"))
    func aLogOfOursIsRight() async throws {
        let folder = TemporaryFolder()
        try await AuditLog.sample(in: folder, entries: 100) { $0.includesText = true }
        let log = try AuditLog.open(folder: folder.path, options: .test())
        try await log.append(.server(.stop(reason: "\u{0}\u{1F}\u{7F}\u{2028}\"\\/ größer 👩🏽‍🚀")))
        try await log.append(
            .configuration(AuditConfigurationChange("a", from: [1.5, 1e300, 1e-7, 5.0, -0.0], to: 0.1, by: "b")))
        try await log.close()
        let right = try check(folder.path)
        #expect(right.code == 0 && right.output == "103 entries and 16 checkpoints are right\n", "\(right.output)")
        #expect(try check(folder.path, "--key", "\(log.verifierKey)").code == 0)
        let text = String(decoding: try folder.read("000000000000.jsonl"), as: UTF8.self)
        try folder.write("000000000000.jsonl", text.replacingOccurrences(of: "req_1\"", with: "req_x\"").utf8)
        let wrong = try check(folder.path)
        #expect(wrong.code == 1 && wrong.output.contains("the root of the first 7 entries"))
    }

    @Test(.enabled(if: python != nil, "Tools/requirements-audit.txt is not installed"))
    func theGoldenValuesAreRightByASecondReference() throws {
        let result = try check("--fixtures", Reference.url.path)
        #expect(result.code == 0 && result.output == "71 roots, 198 inclusion proofs and 5 notes agree\n")
    }
}
