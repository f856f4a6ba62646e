import Foundation
import Synchronization
import Testing
import WaletEngine
import WaletFormats
import WaletJSON
import WaletModels

/// A packed model is the same model, and whatever happens while it is written leaves no file that is not whole.
@Suite struct PackTests {
    private static let prompt = [7, 20, 33, 46, 59, 12, 5]
    private static let names = StreamedModels.names.filter { $0 != "deepseek-v3-fused" }

    /// A name in the temporary folder, and what is there when the test ends is removed.
    private final class Target {
        let path = FileManager.default.temporaryDirectory.appending(path: "walet-\(UUID().uuidString)").path

        deinit { try? FileManager.default.removeItem(atPath: path) }

        func file(_ name: String) -> String { path + "/" + name }
        func names() throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: path).sorted() }
        func read(_ name: String) throws -> Data { try Data(contentsOf: URL(filePath: file(name))) }
        func write(_ name: String, _ data: Data) throws { try data.write(to: URL(filePath: file(name))) }
        func has(_ name: String) -> Bool { FileManager.default.fileExists(atPath: file(name)) }
    }

    private func source(_ name: String) throws -> ModelFolder {
        try ModelFolder(GoldenTests.folder.appending(path: name).path)
    }

    @discardableResult
    private func pack(_ model: ModelFolder, _ target: Target) throws -> ModelPacker.Outcome {
        try ModelPacker(model, into: target.path).run()
    }

    private func failure(_ body: () throws -> Void) -> String {
        do { try body() } catch { return "\(error)" }
        return ""
    }

    @Test(arguments: names) func itsNumbersAreTheSame(_ name: String) async throws {
        let target = Target()
        let outcome = try pack(try source(name), target)
        #expect(outcome.found == 0 && outcome.tensors > 0)
        #expect(try ModelPacker(try source(name), into: target.path).state() == .complete)
        let packed = try ModelFolder(target.path)
        for precision in Precision.allCases {
            let expected = try await Engine(try Golden(name).model(), threads: 2, precision: precision)
                .score(Self.prompt, top: 4)
            let mapped = try Transformer(packed.configuration, from: try packed.weights())
            for model in [mapped, try StreamedModels.open(target.path, StreamedModels.options(slabs: 3))] {
                let scores = try await Engine(model, threads: 2, precision: precision).score(Self.prompt, top: 4)
                #expect(scores.logprobs == expected.logprobs)
                #expect(scores.top == expected.top)
            }
        }
    }

    @Test(arguments: names) func eachExpertIsOneStretch(_ name: String) async throws {
        let target = Target()
        let model = try source(name)
        try pack(model, target)
        let before = try ExpertReadComparison(model, try model.packedLayout())
        #expect(before.packed.stretches == 1)
        let packed = try ModelFolder(target.path)
        let comparison = try ExpertReadComparison(packed, try packed.packedLayout())
        #expect(comparison.isPacked)
        #expect(comparison.now == before.packed)
        #expect(comparison.now == comparison.packed)
        #expect(comparison.experts == before.experts && comparison.expertBytes == before.expertBytes)

        let reader = FaultyReader()
        let streamed = try StreamedModels.open(target.path, StreamedModels.options(slabs: 3, reader: reader))
        let engine = try Engine(streamed, threads: 2)
        let (reads, statistics) = (reader.started, try #require(streamed.expertStore?.statistics))
        _ = try await engine.score([7])
        let after = try #require(streamed.expertStore?.statistics)
        let rows = reader.started - reads - (after.misses - statistics.misses)
        // Besides a read an expert there is at most that of the token's row.
        #expect((0...1).contains(rows))
    }

    @Test func publishedExpertsLieApart() throws {
        let model = try source("kimi-k2-thinking")
        let comparison = try ExpertReadComparison(model, try model.packedLayout())
        #expect(!comparison.isPacked)
        #expect(comparison.now.stretches > 1)
        let speeds = try comparison.measure(rounds: 2, of: .milliseconds(10))
        #expect(speeds.now.count == 2 && speeds.packed.count == 2)
        #expect((speeds.now + speeds.packed).allSatisfy { $0 > 0 })
    }

    @Test func aSecondRunFindsAllFilesWhole() throws {
        let target = Target()
        let first = try pack(try source("kimi-k2"), target)
        let dates = try target.names().map { FileStamp(try #require(descriptor(target.file($0)))) }
        let events = Mutex<[ModelPacker.Event]>([])
        let second = try ModelPacker(try source("kimi-k2"), into: target.path).run { event in
            events.withLock { $0.append(event) }
        }
        #expect(second.found == first.files.count && second.files == first.files)
        #expect(events.withLock { $0 }.allSatisfy { if case .finished = $0 { false } else { true } })
        let later = try target.names().filter { $0 != "pack.json" }
        for (name, date) in zip(try target.names(), dates) where later.contains(name) {
            #expect(FileStamp(try #require(descriptor(target.file(name)))) == date)
        }
    }

    private func descriptor(_ path: String) -> Int32? {
        let number = open(path, O_RDONLY)
        return number >= 0 ? number : nil
    }

    private func expectEqual(_ target: Target, _ expected: Target) throws {
        #expect(try target.names() == expected.names())
        for name in try expected.names() where name != "pack.json" {
            #expect(try target.read(name) == expected.read(name), "\(name)")
        }
    }

    /// Everything that a kill can leave: some files finished, and of the next one nothing, its beginning, other bytes of
    /// its size or more, all of it without its name, or all of it with its name and not in the journal.
    @Test(arguments: ["kimi-k2", "gguf-qwen3moe"]) func aRunThatWasCutShortGoesOn(_ name: String) throws {
        let whole = Target()
        let model = try source(name)
        let expected = try pack(model, whole)
        let journal = try JSONValue(parsing: whole.read("pack.json"))
        for count in 0..<expected.files.count {
            let next = expected.files[count].name
            let bytes = try whole.read(next)
            let noise = Data((0..<bytes.count).map { UInt8(truncatingIfNeeded: $0 &* 7) })
            let leftovers: [[String: Data]] = [
                [:], [next + ".partial": bytes.prefix(bytes.count / 2)], [next + ".partial": noise],
                [next + ".partial": bytes + bytes], [next + ".partial": bytes], [next: bytes],
                ["pack.json.partial": Data([1])],
            ]
            for leftover in leftovers {
                let target = Target()
                try FileManager.default.createDirectory(atPath: target.path, withIntermediateDirectories: false)
                for file in expected.files.prefix(count) { try target.write(file.name, whole.read(file.name)) }
                for (name, bytes) in leftover { try target.write(name, bytes) }
                var members = try #require(journal.objectValue)
                members["complete"] = false
                members["files"] = .array(Array((journal["files"]?.arrayValue ?? []).prefix(count)))
                try target.write("pack.json", Data(JSONValue.object(members).text().utf8))
                var packer = try ModelPacker(model, into: target.path)
                packer.chunk = 4096
                #expect(try packer.state() == .begun)
                #expect(try packer.run().found == count)
                try expectEqual(target, whole)
            }
        }
    }

    @Test func aRunThatIsCancelledGoesOn() async throws {
        let (whole, target) = (Target(), Target())
        let expected = try pack(try source("kimi-k2"), whole)
        for count in 1..<expected.files.count {
            let path = target.path
            let task = Task {
                try ModelPacker(try source("kimi-k2"), into: path).run { event in
                    if case .finished = event { withUnsafeCurrentTask { $0?.cancel() } }
                }
            }
            await #expect(throws: CancellationError.self) { try await task.value }
            #expect(try target.names().filter { !$0.hasSuffix(".partial") }.count == 1 + count)
        }
        #expect(try pack(try source("kimi-k2"), target).found == expected.files.count - 1)
        try expectEqual(target, whole)
    }

    /// An unfinished folder is never taken for a model.
    @Test func halfAFolderDoesNotOpen() async throws {
        for name in ["kimi-k2", "moonlight"] {
            let whole = Target()
            let files = try pack(try source(name), whole).files
            for file in files.reversed() where !file.name.hasSuffix("golden.json") && file.name != "golden-mtp.json" {
                try FileManager.default.removeItem(atPath: whole.file(file.name))
                #expect(throws: FormatError.self) { try ModelFolder(whole.path).weights() }
            }
        }
    }

    @Test func finishedFilesThatAreDamagedAreWrittenAgain() throws {
        let (whole, target) = (Target(), Target())
        let model = try source("kimi-k2")
        let expected = try pack(model, whole)
        try pack(model, target)
        for file in expected.files {
            let bytes = try whole.read(file.name)
            var flipped = bytes
            flipped[flipped.count / 2] ^= 1
            for damage in [nil, flipped, bytes.dropLast(), bytes + [0]] {
                try FileManager.default.removeItem(atPath: target.file(file.name))
                if let damage { try target.write(file.name, damage) }
                var damaged: [String] = []
                let outcome = try ModelPacker(model, into: target.path).run { event in
                    if case .damaged(let name) = event { damaged.append(name) }
                }
                #expect(damaged == [file.name] && outcome.found == expected.files.count - 1)
                try expectEqual(target, whole)
            }
        }
    }

    @Test func aChangedSourceIsRefused() throws {
        let copy = try StreamedModels.copy("kimi-k2")
        defer { try? FileManager.default.removeItem(at: copy) }
        let target = Target()
        try pack(try ModelFolder(copy.path), target)
        let before = try target.names()
        let file = copy.appending(path: "model-00002-of-000003.safetensors")
        var bytes = try Data(contentsOf: file)
        bytes[bytes.count - 1] ^= 1
        try bytes.write(to: file)
        let text = failure { try pack(try ModelFolder(copy.path), target) }
        #expect(text.contains(target.path) && text.contains("model-00002-of-000003.safetensors differs"))
        #expect(failure { try pack(try source("moonlight"), target) }.contains("one that was packed from others"))
        #expect(try target.names() == before)
    }

    /// Written to, or cut, after some files have been packed.
    @Test(arguments: [true, false]) func aSourceThatChangesWhileItIsPackedIsNoticed(_ isCut: Bool) throws {
        let copy = try StreamedModels.copy("kimi-k2")
        defer { try? FileManager.default.removeItem(at: copy) }
        let target = Target()
        let file = copy.appending(path: "model-00002-of-000003.safetensors").path
        let packer = try ModelPacker(try ModelFolder(copy.path), into: target.path)
        var finished = 0
        let text = failure {
            _ = try packer.run { event in
                guard case .finished = event else { return }
                finished += 1
                guard finished == 1 else { return }
                if isCut {
                    #expect(truncate(file, 5000) == 0)
                } else if let handle = FileHandle(forUpdatingAtPath: file) {
                    _ = try? handle.seekToEnd()
                    try? handle.write(contentsOf: Data([1]))
                    try? handle.close()
                }
            }
        }
        #expect(text.contains("model-00002-of-000003.safetensors"))
        #expect(text.contains(isCut ? "cut while in use" : "written to while it was packed"))
        #expect(finished == 1)
        #expect(try target.names().filter { $0.hasSuffix(".safetensors") } == ["model-00001-of-000003.safetensors"])
    }

    @Test func onlyAFolderOfItsOwnIsWrittenTo() throws {
        let copy = try StreamedModels.copy("moonlight")
        defer { try? FileManager.default.removeItem(at: copy) }
        let model = try ModelFolder(copy.path)
        let before = try FileManager.default.contentsOfDirectory(atPath: copy.path).sorted()
        let link = Target()
        try FileManager.default.createSymbolicLink(atPath: link.path, withDestinationPath: copy.path)
        for path in [copy.path, copy.path + "/", copy.path + "/../" + copy.lastPathComponent, link.path] {
            #expect(failure { _ = try ModelPacker(model, into: path).run() }.contains("found the model's own"))
        }
        let gguf = copy.appending(path: "model.gguf")
        try FileManager.default.copyItem(
            at: GoldenTests.folder.appending(path: "gguf-qwen3moe/model.gguf"), to: gguf)
        let single = try ModelFolder(gguf.path)
        #expect(failure { _ = try ModelPacker(single, into: copy.path).run() }.contains("found the model's own"))
        try FileManager.default.removeItem(at: gguf)

        let other = try StreamedModels.copy("llama")
        defer { try? FileManager.default.removeItem(at: other) }
        #expect(failure { _ = try ModelPacker(model, into: other.path).run() }.contains("a new or empty folder"))
        let file = other.appending(path: "config.json").path
        #expect(failure { _ = try ModelPacker(model, into: file).run() }.contains("a folder, found something else"))
        #expect(failure { _ = try ModelPacker(model, into: file + "/x").run() }.contains("Not a directory"))
        #expect(failure { _ = try ModelPacker(model, into: other.path + "/x/y").run() }.contains("No such file"))
        for path in ["", "a\0b"] {
            #expect(failure { _ = try ModelPacker(model, into: path).run() }.contains("folder"))
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: copy.path).sorted() == before)
        #expect(!FileManager.default.fileExists(atPath: other.appending(path: "x").path))
    }

    @Test(arguments: ["pack.json.partial", "model.safetensors.partial"])
    func aLinkAtATemporaryNameIsNotFollowed(_ name: String) throws {
        let (target, victim) = (Target(), Target())
        let model = try source("moonlight")
        try pack(model, target)
        try FileManager.default.removeItem(atPath: target.file("model.safetensors"))
        try Data("keep".utf8).write(to: URL(filePath: victim.path))
        try FileManager.default.createSymbolicLink(atPath: target.file(name), withDestinationPath: victim.path)
        #expect(failure { try pack(model, target) }.contains("symbolic links"))
        #expect(try Data(contentsOf: URL(filePath: victim.path)) == Data("keep".utf8))
    }

    @Test(arguments: [
        "", "[]", "{}", #"{"layout":2}"#, #"{"layout":1,"sources":[],"files":[],"complete":1}"#,
        #"{"layout":1,"sources":[{"name":"a"}],"files":[],"complete":false}"#,
        #"{"layout":1,"sources":[],"files":[{"name":1}],"complete":false}"#,
    ]) func aJournalThatIsNoneIsRefused(_ text: String) throws {
        let target = Target()
        try FileManager.default.createDirectory(atPath: target.path, withIntermediateDirectories: false)
        try target.write("pack.json", Data(text.utf8))
        #expect(failure { try pack(try source("moonlight"), target) }.contains("pack.json"))
        #expect(try target.names() == ["pack.json"])
    }

    @Test func twoRunsAtATimeAreNone() throws {
        let target = Target()
        let model = try source("moonlight")
        var inner = ""
        _ = try ModelPacker(model, into: target.path).run { event in
            guard case .finished = event, inner.isEmpty else { return }
            inner = failure { try pack(model, target) }
        }
        #expect(inner.contains("another run at it"))
    }

    #if os(Linux)
        static let canMount = mount(at: nil, "1m")

        /// Mounts a small disk, or only tries.
        @discardableResult
        private static func mount(at path: String?, _ size: String) -> Bool {
            let folder = Target()
            try? FileManager.default.createDirectory(atPath: folder.path, withIntermediateDirectories: false)
            let target = path ?? folder.path
            guard run("/bin/mount", ["-t", "tmpfs", "-o", "size=\(size)", "walet-test", target]) else { return false }
            if path == nil { run("/bin/umount", [target]) }
            return true
        }

        @discardableResult
        private static func run(_ program: String, _ arguments: [String]) -> Bool {
            let process = Process()
            process.executableURL = URL(filePath: program)
            process.arguments = arguments
            process.standardError = FileHandle.nullDevice
            guard (try? process.run()) != nil else { return false }
            process.waitUntilExit()
            return process.terminationStatus == 0
        }

        @Test(.enabled(if: canMount, "mounting a small disk needs root"))
        func aDiskThatIsTooSmallIsSaidBefore() throws {
            let disk = Target()
            try FileManager.default.createDirectory(atPath: disk.path, withIntermediateDirectories: false)
            #expect(Self.mount(at: disk.path, "256k"))
            defer { Self.run("/bin/umount", ["-l", disk.path]) }
            let text = failure { _ = try ModelPacker(try source("kimi-k2"), into: disk.file("packed")).run() }
            #expect(text.contains("bytes of free disk"))
            #expect(try FileManager.default.contentsOfDirectory(atPath: disk.file("packed")) == [])
        }

        /// Somebody else fills the disk while it is packed.
        @Test(.enabled(if: canMount, "mounting a small disk needs root"))
        func aDiskThatFillsUpIsSaidAndThenGoneOnWith() throws {
            let whole = Target()
            let model = try source("kimi-k2")
            let expected = try pack(model, whole)
            let disk = Target()
            try FileManager.default.createDirectory(atPath: disk.path, withIntermediateDirectories: false)
            #expect(Self.mount(at: disk.path, "\((expected.bytes + 300_000) / 1024)k"))
            defer { Self.run("/bin/umount", ["-l", disk.path]) }
            let other = disk.file("other")
            var packer = try ModelPacker(model, into: disk.file("packed"))
            packer.chunk = 4096
            var finished = 0
            let text = failure {
                _ = try packer.run { event in
                    guard case .finished = event else { return }
                    finished += 1
                    guard finished == 1, let file = fopen(other, "w") else { return }
                    let kilobyte = [UInt8](repeating: 1, count: 1024)
                    for _ in 0..<((expected.bytes + 400_000) / 1024) where fwrite(kilobyte, 1, 1024, file) < 1024 {
                        break
                    }
                    fclose(file)
                }
            }
            #expect(text.contains("model-00002-of-000003.safetensors") && text.contains("room on the disk"))
            #expect(text.contains("No space left"))
            let names = try FileManager.default.contentsOfDirectory(atPath: disk.file("packed"))
            #expect(!names.contains { $0.hasSuffix(".partial") })
            try FileManager.default.removeItem(atPath: other)
            #expect(try packer.run().found == 1)
            for file in expected.files {
                #expect(try Data(contentsOf: URL(filePath: disk.file("packed/" + file.name))) == whole.read(file.name))
            }
        }
    #endif
}
