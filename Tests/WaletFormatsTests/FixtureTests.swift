import Foundation
import Testing
import WaletFormats

/// The tiny checkpoints that transformers, compressed-tensors and gguf have written.
enum Fixtures {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Fixtures")
    static let models = folder.appending(path: "models")

    /// Model folders and GGUF files, by their paths.
    static var paths: [String] {
        let manager = FileManager.default
        let names = (try? manager.contentsOfDirectory(atPath: models.path)) ?? []
        return names.sorted().flatMap { name -> [String] in
            let path = models.appending(path: name).path
            if manager.fileExists(atPath: path + "/config.json") { return [path] }
            if name.hasSuffix(".gguf") { return [path] }
            let inner = (try? manager.contentsOfDirectory(atPath: path)) ?? []
            return inner.filter { $0.hasSuffix(".gguf") }.sorted().map { path + "/" + $0 }
        }
    }
}

@Suite struct FixtureTests {
    @Test(arguments: Fixtures.paths)
    func everyWeightOfATinyCheckpointIsFound(_ path: String) throws {
        let model = try ModelFolder(path)
        var walk = ModelWalk(model.configuration, try model.weights())
        try walk.run()
        #expect(walk.matrices > 10)
        let bytes = try model.weightBytes()
        #expect(bytes.total > 0 && bytes.routed <= bytes.total)
        #expect(try model.packings().map(\.bytes).reduce(0, +) == bytes.total)
        #expect(model.notes.isEmpty)
        // The formula counts what transformers has written.
        let start = "model.layers.\(model.configuration.layers)."
        let values = try model.tensors().filter { !$0.name.hasPrefix(start) && $0.name != "rope_freqs.weight" }
        #expect(model.configuration.parameters.total == values.map(\.values).reduce(0, +))
        let routed = values.filter(\.isRouted).map(\.values).reduce(0, +)
        #expect(model.configuration.parameters.routed == routed)
    }
}
