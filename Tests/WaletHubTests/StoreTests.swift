import Foundation
import Testing
import WaletHub

@Suite struct StoreTests {
    private func names(_ folder: TemporaryFolder) throws -> [String] { try folder.store.list().map(\.name) }

    @Test func listsFoldersOfBothDepths() throws {
        let folder = try TemporaryFolder()
        #expect(try folder.store.list().isEmpty)
        try folder.write("models/smollm2/smollm2-q4_1.gguf", [1, 2, 3])
        try folder.write("models/owner/one/config.json", [1])
        try folder.write("models/owner/one/model.safetensors", [1, 2])
        try folder.write("models/owner/two/Q4/two-00002-of-00002.gguf", [1])
        try folder.write("models/owner/two/Q4/two-00001-of-00002.gguf", [1])
        try folder.write("models/owner/notes/readme.txt", [1])
        try folder.write("models/.hidden/config.json", [1])
        try folder.write("models/stray.txt", [1])
        try folder.write("models/half/.incomplete/x.part", [1])
        let models = try folder.store.list()
        #expect(models.map(\.name) == ["half", "owner/one", "owner/two", "smollm2"])
        #expect(models.map(\.kind) == [.other, .safetensors, .gguf, .gguf])
        #expect(models.map(\.bytes) == [0, 3, 2, 3])
        #expect(models.map(\.fileCount) == [0, 2, 2, 1])
        #expect(models.map(\.isIncomplete) == [true, false, false, false])
        #expect(models.allSatisfy { $0.revision == nil && abs($0.date.timeIntervalSinceNow) < 3600 })
    }

    @Test func resolvesToWhatCanBeLoaded() throws {
        let folder = try TemporaryFolder()
        let root = folder.store.root.path
        try folder.write("models/small/small.gguf", [1])
        try folder.write("models/owner/one/config.json", [1])
        try folder.write("models/owner/one/model.safetensors", [1])
        try folder.write("models/owner/two/Q4/two-00002-of-00002.gguf", [1])
        try folder.write("models/owner/two/Q4/two-00001-of-00002.gguf", [1])
        try folder.write("models/owner/two/mmproj-two.gguf", [1])
        try folder.write("models/many/a.gguf", [1])
        try folder.write("models/many/b.gguf", [1])
        let store = folder.store
        #expect(try store.resolve("small")?.path == root + "/small/small.gguf")
        #expect(try store.resolve("owner/one")?.path == root + "/owner/one")
        #expect(try store.resolve("owner/two")?.path == root + "/owner/two/Q4/two-00001-of-00002.gguf")
        #expect(try store.resolve("many/b.gguf")?.path == root + "/many/b.gguf")
        #expect(throws: HubError.severalModels(name: "many", choices: ["a.gguf", "b.gguf"])) {
            try store.resolve("many")
        }
        for name in ["owner", "Small", "none", "owner/none", "many/c.gguf"] { #expect(try store.resolve(name) == nil) }
    }

    @Test(arguments: [
        "", ".", "..", "../x", "a/../..", "/etc", "//", "a/", "x\u{0}", "a\\b", "%2e%2e", "a/%2E%2E", "a%2fb", ".hidden",
        "a/.git", "a/b/c", "x\n", "a/../a.gguf", "../outside/x.gguf",
    ])
    func namesLeadNowhereElse(_ name: String) async throws {
        let folder = try TemporaryFolder()
        try folder.write("models/a/config.json", [1])
        try folder.write("models/a.gguf", [1])
        try folder.write("outside/x.gguf", [1])
        #expect(try folder.store.resolve(name) == nil)
        #expect(throws: HubError.self) { try folder.store.remove(name) }
        await #expect(throws: HubError.self) { try await folder.store.verify(name) }
        #expect(folder.exists("models/a/config.json"))
        #expect(folder.exists("outside/x.gguf"))
    }

    @Test func removesAModelAndItsEmptyOwner() throws {
        let folder = try TemporaryFolder()
        try folder.write("models/owner/one/config.json", [1, 2])
        try folder.write("models/owner/one/a/b/c.safetensors", [1])
        try folder.write("models/owner/one/.incomplete/d.part", [1, 2, 3])
        try folder.write("models/owner/two/config.json", [1])
        #expect(try folder.store.remove("owner/one") == 6)
        #expect(!folder.exists("models/owner/one"))
        #expect(throws: HubError.notAModel(name: "owner", reason: "the folder holds no model files")) {
            try folder.store.remove("owner")
        }
        try folder.store.remove("owner/two")
        #expect(!folder.exists("models/owner"))
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.store.root.path).isEmpty)
        #expect(throws: HubError.notFound(model: "owner/two", root: folder.store.root.path)) {
            try folder.store.remove("owner/two")
        }
    }

    @Test func removesNothingThroughALink() throws {
        let folder = try TemporaryFolder()
        let manager = FileManager.default
        try folder.write("outside/config.json", [1])
        try folder.write("outside/model/config.json", [1])
        try folder.write("models/real/config.json", [1])
        let root = folder.store.root
        let outside = folder.url.appendingPathComponent("outside")
        try manager.createSymbolicLink(at: root.appendingPathComponent("link"), withDestinationURL: outside)
        try manager.createSymbolicLink(at: root.appendingPathComponent("real/link"), withDestinationURL: outside)
        #expect(throws: HubError.symlink(path: root.path + "/link")) { try folder.store.remove("link") }
        #expect(throws: HubError.symlink(path: root.path + "/link")) { try folder.store.remove("link/model") }
        #expect(try folder.store.list().filter(\.isLink).map(\.name) == ["link"])
        // A link inside a model goes, what it points to stays.
        try folder.store.remove("real")
        #expect(!folder.exists("models/real"))
        #expect(folder.exists("outside/config.json"))
        #expect(folder.exists("outside/model/config.json"))
    }

    @Test func verifyTellsEachKindOfDamage() async throws {
        let names = ["a.json", "b.json", "c.json", "d.json", "model.safetensors"]
        let hub = try await FakeHub(names.map { .init(path: $0, content: sampleBytes(5000)) })
        let folder = try TemporaryFolder()
        let store = folder.store
        try await testHub(hub.address).pull(FakeHub.repository, into: store)
        await hub.stop()
        let model = "models/owner/model/"
        let manager = FileManager.default
        try manager.removeItem(at: folder.url.appendingPathComponent(model + "a.json"))
        try folder.write(model + "b.json", sampleBytes(4999))
        var bytes = sampleBytes(5000)
        bytes[2500] ^= 1
        try folder.write(model + "c.json", bytes)
        let link = folder.url.appendingPathComponent(model + "d.json")
        try manager.removeItem(at: link)
        try manager.createSymbolicLink(at: link, withDestinationURL: folder.url.appendingPathComponent(model + "b.json"))
        try folder.write(model + "sub/extra.json", [1])
        let record = Record()
        let result = try await store.verify("owner/model") { file, done, total in
            record.add(.progress(.init(file: file, bytesDone: done, bytesTotal: total, bytesPerSecond: 0)))
        }
        #expect(!result.isIntact)
        let outcomes = Dictionary(uniqueKeysWithValues: result.files.map { ($0.path, $0.outcome) })
        let good = FakeHub.sha256(sampleBytes(5000))
        #expect(
            outcomes == [
                "a.json": .missing, "b.json": .sizeDiffers(expected: 5000, found: 4999),
                "c.json": .hashDiffers(expected: good, found: FakeHub.sha256(bytes)), "d.json": .notAFile,
                "model.safetensors": .ok, "sub/extra.json": .extra,
            ])
        #expect(
            record.events.contains(
                .progress(.init(file: "model.safetensors", bytesDone: 5000, bytesTotal: 5000, bytesPerSecond: 0))))
    }

    @Test func verifyWithoutAManifestTellsTheHashes() async throws {
        let folder = try TemporaryFolder()
        let bytes = sampleBytes(3_000_000)
        try folder.write("models/mine/model.gguf", bytes)
        let result = try await folder.store.verify("mine")
        #expect(result.manifest == nil)
        #expect(!result.isIntact)
        #expect(result.files.map(\.outcome) == [.unknown])
        #expect(result.files.map(\.sha256) == [FakeHub.sha256(bytes)])
    }

    @Test(arguments: [
        "", "{}", "[]", #"{"version":2}"#,
        #"{"version":1,"repository":"a/b","revision":"main","commit":"","endpoint":"h","pulled":"2026-01-01T00:00:00Z","files":[{"path":"../../etc/passwd","size":1,"sha256":"\#(String(repeating: "0", count: 64))","checked":"size"}]}"#,
        #"{"version":1,"repository":"a/b","revision":"main","commit":"","endpoint":"h","pulled":"2026-01-01T00:00:00Z","files":[{"path":"x","size":-1,"sha256":"\#(String(repeating: "0", count: 64))","checked":"size"}]}"#,
    ])
    func aManifestThatIsNoneIsNotBelieved(_ text: String) async throws {
        let folder = try TemporaryFolder()
        try folder.write("models/mine/config.json", [1])
        try folder.write("models/mine/.walet-manifest.json", Array(text.utf8))
        await #expect(throws: HubError.self) { try await folder.store.verify("mine") }
        #expect(try names(folder) == ["mine"])
    }

    @Test func theRootComesFromArgumentThenEnvironment() {
        let environment = ["HOME": "/home/u", "XDG_DATA_HOME": "/data", "WALET_MODELS": "~/m"]
        #expect(ModelStore(root: "/x/y", environment: environment).root.path == "/x/y")
        #expect(ModelStore(environment: environment).root.path == "/home/u/m")
        #expect(ModelStore(environment: ["HOME": "/home/u", "XDG_DATA_HOME": "/data", "WALET_MODELS": ""]).root.path == "/data/walet/models")
        #expect(ModelStore(environment: ["HOME": "/home/u", "XDG_DATA_HOME": "rel"]).root.path == "/home/u/.local/share/walet/models")
    }
}
