import Foundation
import WaletFormats
import WaletPlan

/// Files that tests look at.
enum Fixtures {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Fixtures")

    /// A configuration of a published checkpoint (Tests/Fixtures/formats/configs/README.md has the sources).
    static func shape(_ name: String) throws -> ModelShape {
        try ModelShape(ModelFolder(folder.appending(path: "formats/configs/\(name).json").path))
    }

    static var models: [String] {
        let root = folder.appending(path: "models").path
        let names = (try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []
        return names.sorted().filter { !$0.hasSuffix(".json") }.flatMap { name -> [String] in
            let path = "\(root)/\(name)"
            if FileManager.default.fileExists(atPath: path + "/config.json") { return [path] }
            let files = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
            return files.sorted().filter { $0.hasSuffix(".gguf") }.prefix(1).map { "\(path)/\($0)" }
        }
    }
}

extension Machine {
    /// A machine whose figures are all given, with nothing but reading to wait for.
    static func given(memory: Double, speed: Double, disk: Double?, efficiency: Double = 1) -> Machine {
        Machine(
            memory: Figure(memory, .given), cores: Figure(8, .given), instructionSet: "avx512",
            memorySpeed: Figure(speed, .given), efficiency: Figure(efficiency, .given),
            operations: Figure(1e18, .given),
            diskSpeed: disk.map { Figure($0, .given) })
    }
}

struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

/// Changes one to four things in a document: a byte, a run of bytes, a piece that is copied elsewhere, or the end.
func mutate(_ bytes: [UInt8], _ generator: inout some RandomNumberGenerator) -> [UInt8] {
    let spices = ["..", "/", "\\u0000", "-", "e308", "99999999999999999999", "null", "{", "[", "\"", "é"].map {
        Array($0.utf8)
    }
    var bytes = bytes
    for _ in 0..<Int.random(in: 1...4, using: &generator) where !bytes.isEmpty {
        let index = Int.random(in: 0..<bytes.count, using: &generator)
        let end = min(index + Int.random(in: 1...12, using: &generator), bytes.count)
        switch Int.random(in: 0..<5, using: &generator) {
        case 0: bytes[index] = UInt8.random(in: 0...255, using: &generator)
        case 1: bytes.removeSubrange(index..<end)
        case 2: bytes.insert(contentsOf: bytes[index..<end], at: Int.random(in: 0...bytes.count, using: &generator))
        case 3: bytes.insert(contentsOf: spices.randomElement(using: &generator) ?? [], at: index)
        default: bytes.removeSubrange(index...)
        }
    }
    return bytes
}
