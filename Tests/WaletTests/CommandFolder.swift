import Foundation

/// A folder for what a command reads and writes. Gone with the last test of this value.
final class CommandFolder: Sendable {
    let path: String

    /// - Parameter name: of the command.
    init(_ name: String) throws {
        path = FileManager.default.temporaryDirectory.appending(path: "walet-\(name)-command-\(UUID())").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func file(_ name: String) -> String { path + "/" + name }

    func write(_ name: String, _ text: String) throws {
        try Data(text.utf8).write(to: URL(filePath: file(name)))
    }
}
