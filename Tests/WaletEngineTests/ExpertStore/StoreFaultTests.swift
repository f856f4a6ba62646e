import Foundation
import Testing
import WaletEngine
import WaletFormats
import WaletModels

/// What a disk does wrong ends a request with a clear error, and spoils nothing after it.
@Suite struct StoreFaultTests {
    private static let prompt = [7, 20, 33, 46, 59]

    private func failure(_ engine: Engine) async -> String? {
        do {
            _ = try await engine.score(Self.prompt)
            return nil
        } catch {
            return "\(error)"
        }
    }

    private func open(
        _ path: String, _ reader: (any BlockReader)? = nil, slabs: Int? = 3
    ) throws -> Engine {
        try Engine(
            try StreamedModels.open(path, StreamedModels.options(slabs: slabs, reader: reader)), threads: 2)
    }

    @Test func anInputOutputErrorNamesFileAndTensorAndPasses() async throws {
        let path = GoldenTests.folder.appending(path: "kimi-k2-thinking").path
        let expected = try await Engine(try Golden("kimi-k2-thinking").model(), threads: 2).score(Self.prompt)
        let reader = FaultyReader()
        let engine = try open(path, reader)
        reader.set(.error(EIO))
        let text = try #require(await failure(engine))
        #expect(text.contains(".safetensors"))
        #expect(text.contains("embed_tokens"))
        #expect(text.contains("Input/output error"))
        reader.set(nil)
        #expect(try await engine.score(Self.prompt).logprobs == expected.logprobs)
    }

    @Test func anExpertThatCannotBeReadIsReadAgainLater() async throws {
        let path = GoldenTests.folder.appending(path: "gguf-qwen3moe").path
        let expected = try await Engine(try Golden("gguf-qwen3moe").model(), threads: 2).score(Self.prompt)
        let reader = FaultyReader()
        let engine = try open(path, reader)
        // The first reads are those of the tokens' embeddings.
        for fault in [FaultyReader.Fault.error(EIO), .end, .error(EIO)] {
            reader.set(fault, after: Self.prompt.count)
            let text = try #require(await failure(engine))
            #expect(text.contains("model.gguf"))
            #expect(text.contains("mlp.experts."))
            #expect(text.contains("_proj"))
            reader.set(nil)
            #expect(try await engine.score(Self.prompt).logprobs == expected.logprobs)
        }
    }

    @Test(arguments: ["kimi-k2-thinking", "gguf-qwen3moe", "deepseek-v3-fp8"])
    func aFileThatIsCutWhileInUseIsNoticed(_ name: String) async throws {
        let folder = try StreamedModels.copy(name)
        defer { try? FileManager.default.removeItem(at: folder) }
        let engine = try open(folder.path)
        #expect(await failure(engine) == nil)
        for file in try FileManager.default.contentsOfDirectory(atPath: folder.path)
        where file.hasSuffix(".safetensors") || file.hasSuffix(".gguf") {
            #expect(truncate(folder.appending(path: file).path, 4096) == 0)
        }
        for _ in 0..<2 {
            let text = try #require(await failure(engine))
            #expect(text.contains(folder.lastPathComponent))
            #expect(text.contains("cut"))
        }
    }

    @Test func aFileThatIsOverwrittenWhileInUseIsNoticed() async throws {
        let folder = try StreamedModels.copy("moonlight")
        defer { try? FileManager.default.removeItem(at: folder) }
        let engine = try open(folder.path)
        #expect(await failure(engine) == nil)
        let file = folder.appending(path: "model.safetensors")
        let handle = try FileHandle(forUpdating: file)
        let size = try handle.seekToEnd()
        try handle.seek(toOffset: size - 4)
        try handle.write(contentsOf: Data([1, 2, 3, 4]))
        try handle.close()
        let text = try #require(await failure(engine))
        #expect(text.contains("model.safetensors"))
        #expect(text.contains("written to while in use"))
    }

    @Test func aFileThatIsReplacedByNameIsStillTheOneThatWasOpened() async throws {
        let folder = try StreamedModels.copy("moonlight")
        defer { try? FileManager.default.removeItem(at: folder) }
        let engine = try open(folder.path)
        let expected = try await engine.score(Self.prompt)
        let file = folder.appending(path: "model.safetensors")
        let other = folder.appending(path: "other")
        try Data(repeating: 1, count: 100_000).write(to: other)
        #expect(rename(other.path, file.path) == 0)
        #expect(try await engine.score(Self.prompt).logprobs == expected.logprobs)
    }

    @Test func aLimitBeyondTheMachineIsRefusedBeforeMemoryIsTaken() throws {
        let path = GoldenTests.folder.appending(path: "kimi-k2-thinking").path
        var options = ExpertStoreOptions(memoryLimit: 1 << 40)
        // The whole model is less than this machine has.
        _ = try StreamedModels.open(path, options)
        options.machineMemory = 4096
        let refusal = #expect(throws: FormatError.self) { _ = try StreamedModels.open(path, options) }
        #expect(refusal?.field == "memory limit")
    }

    @Test func tooSmallALimitSaysWhatIsNeeded() throws {
        let path = GoldenTests.folder.appending(path: "kimi-k2-thinking").path
        do {
            _ = try StreamedModels.open(path, StreamedModels.options(limit: 10_000))
            Issue.record("expected an error")
        } catch let error as MemoryLimitError {
            #expect(error.limit == 10_000)
            #expect(error.dense > 100_000)
            #expect(error.expertCount % 3 == 0)
            #expect(error.description.contains("model-00001-of-000002.safetensors"))
            // What it asks for is enough, and a byte less is not.
            _ = try StreamedModels.open(path, StreamedModels.options(limit: error.least))
            #expect(throws: MemoryLimitError.self) {
                try StreamedModels.open(path, StreamedModels.options(limit: error.least - 1))
            }
        }
    }

    @Test func theLimitBoundsWhatIsHeld() throws {
        let path = GoldenTests.folder.appending(path: "deepseek-v3").path
        let refusal = #expect(throws: MemoryLimitError.self) {
            try StreamedModels.open(path, StreamedModels.options(limit: 1))
        }
        let least = try #require(refusal?.least)
        for extra in [0, 5_000, 50_000, 10_000_000] {
            let model = try StreamedModels.open(path, StreamedModels.options(limit: least + extra))
            let statistics = try #require(model.expertStore?.statistics)
            #expect(statistics.denseBytes + statistics.slabBytes <= least + extra)
            #expect(statistics.slabs >= 3)
            #expect(statistics.slabs <= statistics.experts)
        }
    }

    #if os(Linux)
        private static func rings() -> Set<Int32> {
            let numbers = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? []
            return Set(
                numbers.filter {
                    (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\($0)"))?
                        .contains("io_uring") == true
                }.compactMap { Int32($0) })
        }

        @Test func readsEndWhereTheKernelRefusesTheRing() throws {
            let before = Self.rings()
            // Where the system forbids io_uring there is nothing to refuse.
            guard let reader = RingReader(depth: 4) else { return }
            let ring = try #require(Self.rings().subtracting(before).first)
            let other = try #require(FileHandle(forReadingAtPath: "/dev/null"))
            try #require(dup2(other.fileDescriptor, ring) == ring)
            let memory = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 4096)
            defer { memory.deallocate() }
            reader.start((0..<9).map { BlockRead(descriptor: 0, offset: 0, count: 4096, target: memory, tag: $0) })
            var results: [BlockResult] = []
            while results.count < 9 { results += reader.ended(waits: true) }
            #expect(Set(results.map(\.tag)) == Set(0..<9))
            #expect(results.allSatisfy { $0.result < 0 })
        }
    #endif
}
