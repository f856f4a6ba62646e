import Foundation
import Testing
import WaletTrain

/// A folder that is gone with the last reference.
final class TemporaryFolder: Sendable {
    let path: String

    /// - Parameter onDisk: whether synchronizing must be real. In memory it is free.
    init(onDisk: Bool = false) {
        let memory = "/dev/shm"
        let isThere = FileManager.default.isWritableFile(atPath: memory)
        let place = isThere && !onDisk ? URL(filePath: memory) : FileManager.default.temporaryDirectory
        path = place.appending(path: "walet-train-\(UUID().uuidString)").path
        try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func file(_ name: String) -> String { path + "/" + name }

    func read(_ name: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(filePath: file(name)))) }

    func write(_ name: String, _ bytes: some Sequence<UInt8>) throws {
        try Data(bytes).write(to: URL(filePath: file(name)))
    }

    func remove(_ name: String) throws { try FileManager.default.removeItem(atPath: file(name)) }

    func names() throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: path).sorted() }

    /// The same files elsewhere, folders and all.
    func copy() throws -> TemporaryFolder {
        let copy = TemporaryFolder()
        for name in try names() {
            try FileManager.default.copyItem(atPath: file(name), toPath: copy.file(name))
        }
        return copy
    }
}

/// The program for tests that need another process.
enum Worker {
    static let program = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent()
        .appending(path: "WaletTrainWorker")

    /// Runs it to its end.
    static func run(_ arguments: [String]) throws -> (code: Int32, lines: [String], errors: String) {
        let process = Process()
        process.executableURL = program
        process.arguments = arguments
        let (output, errors) = (Pipe(), Pipe())
        process.standardOutput = output
        process.standardError = errors
        try process.run()
        let bytes = output.fileHandleForReading.readDataToEndOfFile()
        let errorBytes = errors.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (
            process.terminationStatus,
            String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init),
            String(decoding: errorBytes, as: UTF8.self)
        )
    }
}

enum Fixtures {
    static let repository = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    static func path(_ name: String) -> String {
        repository.appending(path: "Tests/Fixtures/vocabulary/\(name)").path
    }

    static func bytes(_ name: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(filePath: path(name)))) }
}

/// Bytes that are somewhat wrong: flipped, cut, grown, with pieces doubled or replaced.
func mutated(_ bytes: [UInt8], _ generator: inout RandomGenerator) -> [UInt8] {
    var bytes = bytes
    for _ in 0...generator.next(below: 3) {
        guard !bytes.isEmpty else { break }
        let place = generator.next(below: bytes.count)
        let length = min(1 + generator.next(below: 16), bytes.count - place)
        switch generator.next(below: 6) {
        case 0: bytes[place] ^= UInt8(1 << generator.next(below: 8))
        case 1: bytes[place] = UInt8(generator.next(below: 256))
        case 2: bytes.removeSubrange(place..<place + length)
        case 3: bytes.insert(contentsOf: bytes[place..<place + length], at: place)
        case 4: bytes.removeSubrange(place...)
        default: for index in place..<place + length { bytes[index] = generator.next(below: 2) == 0 ? 0 : 0xFF }
        }
    }
    return bytes
}
