import Foundation
import Testing
import WaletFormats
import WaletJSON

@testable import WaletTrain

/// A snapshot whose numbers are its step's own.
func testSnapshot(step: Int, bitsPerByte: Double? = nil, numbers: Int = 100) -> CheckpointSnapshot {
    var generator = RandomGenerator(seed: UInt64(step))
    func draw(_ count: Int) -> [Float] {
        // All bit patterns but signalling NaNs, which arithmetic could change: subnormals, infinities, negative zeros.
        (0..<count).map { _ in
            let value = Float(bitPattern: UInt32(truncatingIfNeeded: generator.next()))
            return value.isNaN ? .nan : value
        }
    }
    var loader = LoaderState(dataset: Checksum(of: [1]), seed: 9)
    loader.epoch = 2
    loader.offset = 17
    loader.tokens = step * 4096
    return CheckpointSnapshot(
        state: TrainingState(
            step: step, loader: loader,
            generators: ["samples": RandomGenerator(seed: UInt64(step))], recipe: "depth: 2\n# ü\n",
            best: .init(step: 1, bitsPerByte: 0.1 + 0.2)),
        arrays: [
            .weights: [
                CheckpointArray(
                    name: "model.embed_tokens.weight", shape: [numbers / 10, 10], values: draw(numbers)),
                CheckpointArray(name: "model.norm.weight", shape: [4], values: [0.1, -0.0, .infinity, .nan]),
            ],
            .optimizer: [CheckpointArray(name: "momentum", shape: [3, 1, 2], values: draw(6))],
            .state: [
                CheckpointArray(name: "bias", shape: [0], values: []),
                CheckpointArray(name: "scalar", shape: [], values: [7]),
            ],
        ], bitsPerByte: bitsPerByte)
}

func expectEqual(
    _ left: CheckpointSnapshot?, _ right: CheckpointSnapshot, _ place: SourceLocation = #_sourceLocation
) {
    #expect(left?.state == right.state, sourceLocation: place)
    #expect(left?.bitsPerByte == right.bitsPerByte, sourceLocation: place)
    for kind in CheckpointSnapshot.Kind.allCases {
        let (a, b) = (left?.arrays[kind] ?? [], right.arrays[kind] ?? [])
        #expect(a.map(\.name) == b.map(\.name) && a.map(\.shape) == b.map(\.shape), sourceLocation: place)
        #expect(
            a.map { $0.values.map(\.bitPattern) } == b.map { $0.values.map(\.bitPattern) }, sourceLocation: place)
    }
}

@Suite struct CheckpointTests {
    private func folders(_ folder: TemporaryFolder) throws -> [String] {
        try folder.names().filter { $0 != "lock" }
    }

    @Test func everyBitComesBack() throws {
        let folder = TemporaryFolder()
        let snapshot = testSnapshot(step: 12, bitsPerByte: 1.25)
        do {
            let store = try CheckpointStore(folder: folder.path, keep: 2)
            #expect(try store.restore() == nil)
            try store.save(snapshot)
            try store.finish()
            let saved = store.takeSaved()
            #expect(saved.map(\.step) == [12] && saved[0].path == folder.file("step-000000012"))
            #expect(store.takeSaved().isEmpty)
        }
        let store = try CheckpointStore(folder: folder.path, keep: 2)
        let found = try #require(try store.restore())
        #expect(found.skipped.isEmpty)
        expectEqual(found.checkpoint.snapshot, snapshot)
        expectEqual(try store.best()?.snapshot, snapshot)
    }

    @Test func otherProgramsReadTheArrays() throws {
        let folder = TemporaryFolder()
        let store = try CheckpointStore(folder: folder.path, keep: 1)
        try store.save(testSnapshot(step: 1))
        try store.finish()
        let file = try SafetensorsFile(folder.file("step-000000001/weights.safetensors"))
        #expect(file.metadata == ["format": "pt"])
        #expect(file["model.embed_tokens.weight"]?.shape == [10, 10])
        #expect(file["model.norm.weight"]?.element == .f32)
        #expect(file.tensors.allSatisfy { $0.range.lowerBound % 4 == 0 })
        let manifest = try JSONValue(parsing: folder.read("step-000000001/manifest.json"))
        for entry in try #require(manifest["files"]?.arrayValue) {
            let bytes = try folder.read("step-000000001/" + #require(entry["name"]?.stringValue))
            #expect(entry["bytes"] == .int(bytes.count))
            #expect(entry["sha256"] == .string(Checksum(of: bytes).hexadecimal))
        }
    }

    @Test func theNewestAndTheBestStay() throws {
        let folder = TemporaryFolder()
        let store = try CheckpointStore(folder: folder.path, keep: 2)
        let values: [Double?] = [1.9, 1.5, nil, 1.2, 1.4, .nan, 1.2, 1.3, 1.6, 1.7]
        for (index, value) in values.enumerated() {
            try store.save(testSnapshot(step: index + 1, bitsPerByte: value))
            try store.finish()
            #expect(try folders(folder).count <= 3)
        }
        #expect(try folders(folder) == ["step-000000007", "step-000000009", "step-000000010"])
        #expect(try store.best()?.snapshot.state.step == 7)
        #expect(try store.restore()?.checkpoint.snapshot.state.step == 10)
    }

    @Test func aSnapshotIsWhatItWasWhenItWasTaken() throws {
        let folder = TemporaryFolder()
        let store = try CheckpointStore(folder: folder.path, keep: 1)
        var weights = [Float](repeating: 1, count: 500_000)
        var snapshot = testSnapshot(step: 1)
        snapshot.arrays[.weights] = weights.withUnsafeBufferPointer {
            [CheckpointArray(name: "w", shape: [500_000], copying: $0)]
        }
        try store.save(snapshot)
        for index in weights.indices { weights[index] = 2 }
        snapshot.arrays[.weights]?[0].values[0] = 3
        let found = try #require(try store.restore()).checkpoint.snapshot
        #expect(found.arrays[.weights]?[0].values.allSatisfy { $0 == 1 } == true)
    }

    @Test func aDamagedNewestFallsBackToTheOneBefore() throws {
        let folder = TemporaryFolder()
        do {
            let store = try CheckpointStore(folder: folder.path, keep: 3)
            for step in 1...3 { try store.save(testSnapshot(step: step)) }
            try store.finish()
        }
        let path = "step-000000003/optimizer.safetensors"
        var bytes = try folder.read(path)
        bytes[bytes.count - 1] ^= 0x10
        try folder.write(path, bytes)
        let store = try CheckpointStore(folder: folder.path, keep: 3)
        let found = try #require(try store.restore())
        expectEqual(found.checkpoint.snapshot, testSnapshot(step: 2))
        #expect(found.skipped.count == 1)
        #expect(found.skipped[0].description.contains("optimizer.safetensors: its SHA-256 is"))
        #expect(try folders(folder) == ["damaged-step-000000003", "step-000000001", "step-000000002"])
        // The run comes by the step again.
        try store.save(testSnapshot(step: 3))
        #expect(try store.restore()?.checkpoint.snapshot.state.step == 3)
    }

    @Test func aStepThatIsSavedAgainTakesThePlaceOfTheOther() throws {
        let folder = TemporaryFolder()
        let store = try CheckpointStore(folder: folder.path, keep: 1)
        try store.save(testSnapshot(step: 5, numbers: 10))
        var other = testSnapshot(step: 5)
        other.state.recipe = "other"
        try store.save(other)
        expectEqual(try store.restore()?.checkpoint.snapshot, other)
        #expect(try folders(folder) == ["step-000000005.2"])
    }

    @Test func whenAllAreDamagedEachIsNamedAndNoneIsTouched() throws {
        let folder = TemporaryFolder()
        do {
            let store = try CheckpointStore(folder: folder.path, keep: 3)
            for step in 1...2 { try store.save(testSnapshot(step: step)) }
            try store.finish()
        }
        for step in 1...2 { try folder.write("step-00000000\(step)/training.json", [0x7B]) }
        let store = try CheckpointStore(folder: folder.path, keep: 3)
        let error = #expect(throws: CheckpointError.self) { try store.restore() }
        guard case .noneIntact(folder.path, let reasons)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(reasons.count == 2 && reasons[0].contains("step-000000002"))
        #expect(try folders(folder) == ["step-000000001", "step-000000002"])
    }

    @Test func aFileThatIsMissingCutOrGrownIsDamage() throws {
        let folder = TemporaryFolder()
        do {
            let store = try CheckpointStore(folder: folder.path, keep: 1)
            try store.save(testSnapshot(step: 1))
            try store.finish()
        }
        let names = [
            "weights.safetensors", "optimizer.safetensors", "state.safetensors", "training.json", "manifest.json",
        ]
        for name in names {
            let original = try folder.read("step-000000001/" + name)
            for change in [nil, Array(original.dropLast(2)), original + [0], []] as [[UInt8]?] {
                let copy = try folder.copy()
                if let change {
                    try copy.write("step-000000001/" + name, change)
                } else {
                    try copy.remove("step-000000001/" + name)
                }
                let error = #expect(throws: CheckpointError.self) {
                    try Checkpoint(path: copy.file("step-000000001"))
                }
                guard case .damaged(_, name, _)? = error else {
                    Issue.record("\(name): \(String(describing: error))")
                    continue
                }
            }
        }
    }

    /// Whatever is done to one byte or to many, opening is an error or gives the same snapshot.
    @Test func mutatedCheckpointsNeverPass() throws {
        let folder = TemporaryFolder()
        let snapshot = testSnapshot(step: 1, bitsPerByte: 1.5)
        do {
            let store = try CheckpointStore(folder: folder.path, keep: 1)
            try store.save(snapshot)
            try store.finish()
        }
        var generator = RandomGenerator(seed: 6)
        var refused = 0
        for name in ["manifest.json", "training.json", "weights.safetensors"] {
            let path = "step-000000001/" + name
            let bytes = try folder.read(path)
            for _ in 0..<500 {
                try folder.write(path, mutated(bytes, &generator))
                do {
                    expectEqual(try Checkpoint(path: folder.file("step-000000001")).snapshot, snapshot)
                } catch {
                    #expect(!error.description.isEmpty)
                    refused += 1
                }
            }
            try folder.write(path, bytes)
        }
        #expect(refused > 1350)
    }

    /// The parsers behind the hashes: a manifest that fits whatever was made of the other files.
    @Test func wellSealedNonsenseIsRefused() throws {
        let folder = TemporaryFolder()
        do {
            let store = try CheckpointStore(folder: folder.path, keep: 1)
            try store.save(testSnapshot(step: 1))
            try store.finish()
        }
        let path = folder.file("step-000000001")
        let manifest = try CheckpointManifest(try folder.read("step-000000001/manifest.json"))
        var generator = RandomGenerator(seed: 7)
        for (index, file) in manifest.files.enumerated() {
            let bytes = try folder.read("step-000000001/" + file.name)
            for _ in 0..<300 {
                let changed = mutated(bytes, &generator)
                var sealed = manifest
                sealed.files[index].bytes = changed.count
                sealed.files[index].checksum = Checksum(of: changed)
                try folder.write("step-000000001/" + file.name, changed)
                try folder.write("step-000000001/manifest.json", sealed.encoded)
                do { _ = try Checkpoint(path: path) } catch { #expect(!error.description.isEmpty) }
            }
            try folder.write("step-000000001/" + file.name, bytes)
        }
    }

    @Test func aSnapshotThatCannotBeIsRefusedAndLeavesTheOthers() throws {
        let folder = TemporaryFolder()
        let store = try CheckpointStore(folder: folder.path, keep: 1)
        try store.save(testSnapshot(step: 1))
        for arrays in [
            [CheckpointArray(name: "a", shape: [2], values: [1])],
            [CheckpointArray(name: "a", shape: [-1, -1], values: [1])],
            [CheckpointArray(name: "a", shape: [.max, 3], values: [1])],
            [CheckpointArray(name: "a", shape: [1], values: [1]), CheckpointArray(name: "a", shape: [1], values: [1])],
        ] {
            var bad = testSnapshot(step: 2)
            bad.arrays[.weights] = arrays
            try store.save(bad)
            let error = #expect(throws: CheckpointError.self) { try store.finish() }
            guard case .badSnapshot("a", _)? = error else {
                Issue.record("\(String(describing: error))")
                continue
            }
            // Said once.
            try store.finish()
        }
        #expect(try folders(folder) == ["step-000000001"])
    }

    @Test func aFolderHasOneWriter() throws {
        let folder = TemporaryFolder()
        let first = try CheckpointStore(folder: folder.path, keep: 1)
        #expect(throws: CheckpointError.storage(.locked(folder: folder.path))) {
            try CheckpointStore(folder: folder.path, keep: 1)
        }
        try first.finish()
    }
}
