import Foundation
import Testing
import WaletFormats

/// Random damage to real small files. Whatever is wrong, the answer is a typed error or a model that can be read: no
/// trap, no hang, no allocation out of proportion. A failing round is found again by its number and file.
///
/// The files are damaged in place and mended, so that a round costs microseconds; nobody maps them between rounds.
@Suite(.serialized) struct FuzzTests {
    static let rounds = 24_000

    /// Opens a model and looks at all of it, as a program would.
    static func read(_ path: String) -> FormatError? {
        do throws(FormatError) {
            let model = try ModelFolder(path)
            _ = try model.tensors()
            _ = try model.weightBytes()
            _ = try model.licence()
            _ = try model.tokenizerFiles()
            _ = model.configuration.parameters
            guard let source = model.source else { return nil }
            layOut(model)
            var walk = ModelWalk(model.configuration, source)
            try walk.run()
            return nil
        } catch {
            return error
        }
    }

    /// Lays a model out anew, where it has experts: every piece is there, and none on top of another.
    private static func layOut(_ model: ModelFolder) {
        guard model.configuration.experts != nil, let layout = try? model.packedLayout() else { return }
        for file in layout.files {
            var end = file.header.count
            for piece in file.pieces {
                #expect(piece.range.lowerBound >= end && piece.range.upperBound <= file.size)
                #expect(piece.sourceOffset + piece.range.count <= layout.sources[piece.source].size)
                end = piece.range.upperBound
            }
        }
    }

    /// Damages a file of a copy of each model, `rounds` times in all.
    func fuzz(_ files: [(model: String, file: String)], seed: UInt64, header: (FileHandle) throws -> Int) throws {
        let before = Self.peak()
        var slowest = Duration.zero
        var refused = 0
        for (number, (model, file)) in files.enumerated() {
            let folder = TemporaryFolder()
            let copy = folder.file("model")
            try FileManager.default.copyItem(atPath: Fixtures.models.appending(path: model).path, toPath: copy)
            let path = "\(copy)/\(file)"
            let good = Array(try Data(contentsOf: URL(filePath: path)))
            let handle = try #require(FileHandle(forUpdatingAtPath: path))
            let headerSize = min(try header(handle), good.count)
            let opened = file.hasSuffix(".gguf") ? path : copy
            try #require(Self.read(opened) == nil)
            var generator = SeededGenerator(state: seed &+ UInt64(number))
            let count = Self.rounds / files.count + 1
            for round in 0..<count {
                let time = ContinuousClock().measure {
                    let changed = Self.damage(good, headerSize, handle, &generator)
                    if let error = Self.read(opened) {
                        refused += 1
                        #expect(error.file.hasPrefix(folder.path), "round \(round) of \(model): \(error)")
                    }
                    Self.mend(good, changed, handle)
                }
                slowest = max(slowest, time)
            }
            #expect(Self.read(opened) == nil, "\(model) after all rounds")
        }
        let grown = Self.peak() - before
        print(
            "\(files[0].file): \(Self.rounds) rounds, \(refused) refused, slowest \(slowest), "
                + "peak memory grew by \(grown >> 20) MB")
        #expect(refused > Self.rounds / 10 && refused < Self.rounds)
        #expect(slowest < .seconds(10))
        #expect(grown < 512 << 20)
    }

    /// Writes something wrong, mostly into the header; returns what was overwritten, or nil where all is to be mended.
    static func damage(
        _ good: [UInt8], _ header: Int, _ handle: FileHandle, _ generator: inout SeededGenerator
    ) -> [Range<Int>]? {
        func put(_ bytes: [UInt8], at offset: Int) -> Range<Int> {
            let bytes = bytes.prefix(good.count - offset)
            try! handle.seek(toOffset: UInt64(offset))
            try! handle.write(contentsOf: Data(bytes))
            return offset..<offset + bytes.count
        }
        func place() -> Int {
            Int.random(in: 0..<(Int.random(in: 0..<8, using: &generator) == 0 ? good.count : header), using: &generator)
        }
        switch Int.random(in: 0..<16, using: &generator) {
        case 0:
            try! handle.truncate(atOffset: UInt64(Int.random(in: 0..<good.count, using: &generator)))
            return nil
        case 1:
            // A number that lengths and counts are known to stumble over.
            let numbers: [UInt64] = [
                0, 1, 0x7F, 0xFF, 0xFFFF, 1 << 31, 0xFFFF_FFFF, 1 << 32, 1 << 60, 1 << 62, 1 << 63, .max - 7, .max,
            ]
            let number = numbers.randomElement(using: &generator) ?? 0
            var bytes: [UInt8] = []
            bytes.append(little: number)
            return [put(Array(bytes.prefix([4, 8].randomElement(using: &generator) ?? 8)), at: place())]
        case 2:
            // A piece of the file in another place.
            let start = place()
            let piece = good[start..<min(good.count, start + Int.random(in: 1...64, using: &generator))]
            return [put(Array(piece), at: place())]
        case 3:
            // Other digits where there are digits.
            let start = place()
            guard let digit = good[start...].firstIndex(where: { (0x30...0x39).contains($0) }) else { return [] }
            return [put([UInt8.random(in: 0x30...0x39, using: &generator)], at: digit)]
        default:
            return (0..<Int.random(in: 1...6, using: &generator)).map { _ in
                let offset = place()
                let byte =
                    Bool.random(using: &generator)
                    ? UInt8.random(in: 0...255, using: &generator)
                    : good[offset] ^ UInt8(1 << Int.random(in: 0..<8, using: &generator))
                return put([byte], at: offset)
            }
        }
    }

    static func mend(_ good: [UInt8], _ changed: [Range<Int>]?, _ handle: FileHandle) {
        for range in changed ?? [0..<good.count] {
            try! handle.seek(toOffset: UInt64(range.lowerBound))
            try! handle.write(contentsOf: Data(good[range]))
        }
    }

    /// Bytes that the process has held at most, or 0 where the system does not say.
    static func peak() -> Int {
        guard let status = try? String(contentsOfFile: "/proc/self/status", encoding: .utf8),
            let line = status.split(separator: "\n").first(where: { $0.hasPrefix("VmHWM:") })
        else { return 0 }
        return (Int(line.filter(\.isNumber)) ?? 0) << 10
    }

    @Test func safetensors() throws {
        try fuzz(
            ["kimi-k2-thinking", "deepseek-v3-fp8", "deepseek-v3-fused", "int8-g32", "qwen3-moe"].map { model in
                let names = try FileManager.default.contentsOfDirectory(
                    atPath: Fixtures.models.appending(path: model).path)
                return (model, names.filter { $0.hasSuffix(".safetensors") }.max() ?? "")
            }, seed: 1
        ) { handle in
            let length = try handle.read(upToCount: 8) ?? Data()
            return 8 + (length.reversed().reduce(0) { $0 << 8 | Int($1) })
        }
    }

    @Test func gguf() throws {
        try fuzz(
            ["gguf-deepseek2", "gguf-deepseek2-legacy", "gguf-llama", "gguf-llama-kquants", "gguf-qwen3moe"].map {
                ($0, "model.gguf")
            }, seed: 2
        ) { handle in
            let file = try GGUFFile(Fixtures.models.appending(path: "gguf-llama/model.gguf").path)
            return file.tensors.map(\.range.lowerBound).min() ?? 0
        }
    }

    @Test func splitGGUF() throws {
        try fuzz([("gguf-llama-split", "model-00002-of-00002.gguf")], seed: 3) { _ in 2000 }
    }

    @Test func configurations() throws {
        try fuzz(
            ["kimi-k2-thinking", "deepseek-v2", "deepseek-v3-fp8", "llama3-rope", "qwen3-moe", "int4-g64"].map {
                ($0, "config.json")
            }, seed: 4
        ) { _ in .max }
    }

    @Test func indexes() throws {
        let tests = ModelFolderTests()
        try tests.split(into: 3)
        let path = tests.folder.file("model.safetensors.index.json")
        let good = Array(try Data(contentsOf: URL(filePath: path)))
        let handle = try #require(FileHandle(forUpdatingAtPath: path))
        var generator = SeededGenerator(state: 5)
        var refused = 0
        for round in 0..<Self.rounds {
            let changed = Self.damage(good, good.count, handle, &generator)
            if let error = Self.read(tests.folder.path) {
                refused += 1
                #expect(error.file.hasPrefix(tests.folder.path), "round \(round): \(error)")
            }
            Self.mend(good, changed, handle)
        }
        #expect(Self.read(tests.folder.path) == nil)
        #expect(refused > Self.rounds / 10)
    }
}
