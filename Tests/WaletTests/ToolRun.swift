import Foundation
import Walet

/// What a run of the tool came to.
struct ToolRun {
    let code: Int32
    let output: String
    let errors: String
    var json: JSONValue? { try? JSONValue(parsing: output) }

    /// The tool that was built beside these tests.
    static let tool: URL = {
        let bundle = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent()
        let beside = bundle.appending(path: "walet")
        return FileManager.default.isExecutableFile(atPath: beside.path)
            ? beside : TestFiles.root.appending(path: ".build/release/walet")
    }()

    /// Runs the tool to its end.
    /// - Parameter environment: beside that of the tests.
    init(_ arguments: [String], environment: [String: String] = [:], input: String = "") async throws {
        let process = Process()
        process.executableURL = Self.tool
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        let (output, errors, standardInput) = (Pipe(), Pipe(), Pipe())
        process.standardOutput = output
        process.standardError = errors
        process.standardInput = standardInput
        try process.run()
        try standardInput.fileHandleForWriting.write(contentsOf: Data(input.utf8))
        try standardInput.fileHandleForWriting.close()
        async let errorBytes = Task.detached { errors.fileHandleForReading.readDataToEndOfFile() }.value
        let outputBytes = await Task.detached { output.fileHandleForReading.readDataToEndOfFile() }.value
        self.errors = String(decoding: await errorBytes, as: UTF8.self)
        process.waitUntilExit()
        self.output = String(decoding: outputBytes, as: UTF8.self)
        code = process.terminationStatus
    }
}
