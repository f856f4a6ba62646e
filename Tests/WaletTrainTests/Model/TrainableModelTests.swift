import Foundation
import Testing
import WaletAutodiff
import WaletFormats
import WaletJSON
import WaletModels
import WaletTensor
import WaletTrain

/// Trained folders are published ones, and a batch may be taken in any parts.
@Suite struct TrainableModelTests {
    private func withFolder(_ body: (String) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "walet-train-\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try body(folder.path)
    }

    /// ln p of each next token, as the engine's own transformer has it.
    static func inferred(_ path: String, _ tokens: [Int32], _ targets: [Int32]) throws -> [Float] {
        let folder = try ModelFolder(path)
        let configuration = folder.configuration
        let transformer = try Transformer(configuration, from: folder.weights())
        let pool = try #require(ThreadPool(threads: 1))
        let space = Workspace(configuration, pool: pool, rows: tokens.count, logitRows: tokens.count)
        let cache = KVCache(configuration, capacity: 64)
        space.batch.append(tokens.map { Int($0) }[...], to: cache)
        try transformer.forward(space)
        let logits = transformer.logits(ofRows: 0..<tokens.count, space)
        return targets.enumerated().map { row, target in
            let values = (0..<configuration.vocabularySize).map {
                Double(logits[row * configuration.vocabularySize + $0])
            }
            let most = values.max()!
            return Float(most + log(values.reduce(0) { $0 + exp($1 - most) }) - values[Int(target)])
        }
    }

    @Test(arguments: TrainingFixture.names) func aSavedModelRunsAndLoadsAgain(_ name: String) throws {
        let fixture = try TrainingFixture(name)
        let model = try fixture.model()
        let batch = try fixture.batch(0)
        let length = batch.segments[0].count
        let pass = model.forward(Tape(model.arena, recording: false), batch)
        try withFolder { path in
            try model.save(to: path)
            #expect(
                try FileManager.default.contentsOfDirectory(atPath: path).sorted() == [
                    "config.json", "model.safetensors",
                ])
            let saved = try ModelFolder(path)
            #expect(saved.configuration.attention == model.configuration.attention)
            #expect(saved.configuration.experts == model.configuration.experts)
            #expect(saved.configuration.rope == model.configuration.rope)
            let losses = try Self.inferred(path, Array(batch.tokens[..<length]), Array(batch.targets[..<length]))
            for (ours, theirs) in zip(pass.tokenLosses, losses) { #expect(abs(ours - theirs) < 2e-4) }
            let again = try TrainableModel(saved, model.arena)
            for (a, b) in zip(model.parameters, again.parameters) {
                #expect(a.name == b.name && a.tensor.values == b.tensor.values)
            }
        }
    }

    @Test func halfWeightsAreHalfTheSizeAndNear() throws {
        let model = try TrainingFixture("deepseek-v3").model()
        try withFolder { path in
            try model.save(to: path, as: .bf16)
            let file = try SafetensorsFile(path + "/model.safetensors")
            #expect(file["model.layers.1.mlp.gate.e_score_correction_bias"]?.element == .f32)
            #expect(file["lm_head.weight"]?.element == .bf16)
            // As published: the prediction layer has copies of embedding and head.
            #expect(file["model.layers.2.shared_head.head.weight"]?.shape == file["lm_head.weight"]?.shape)
            let again = try TrainableModel(try ModelFolder(path), model.arena)
            for (a, b) in zip(model.parameters, again.parameters) {
                for (x, y) in zip(a.tensor.values, b.tensor.values) { #expect(abs(x - y) <= abs(x) / 256) }
            }
        }
    }

    @Test func aFolderThatIsNotThereIsReported() throws {
        let model = try TrainingFixture("llama").model()
        #expect(throws: FormatError.self) { try model.save(to: "/nonexistent/folder") }
    }

    @Test func gradientsOfPartsAddUpToThoseOfTheWhole() throws {
        let fixture = try TrainingFixture("deepseek-v3")
        let batch = try fixture.batch(0)
        func gradients(_ batches: [TrainingBatch]) throws -> [[Float]] {
            let model = try fixture.model()
            for part in batches {
                let tape = Tape(model.arena)
                var objective = fixture.objective
                objective.share = 1 / Float(batches.count)
                _ = model.forward(tape, part, objective)
                tape.backward()
            }
            return model.parameters.map(\.tensor.gradientValues)
        }
        let parts = batch.segments.map {
            TrainingBatch(tokens: Array(batch.tokens[$0]), targets: Array(batch.targets[$0]), length: $0.count)
        }
        for (whole, sum) in zip(try gradients([batch]), try gradients(parts)) {
            #expect(distances(sum, whole).largest < 1e-5)
        }
    }

    @Test(arguments: TrainingFixture.names) func recomputationGivesTheSameGradients(_ name: String) throws {
        let fixture = try TrainingFixture(name)
        func gradients(_ keeping: Tape.Keeping) throws -> [[Float]] {
            let model = try fixture.model()
            let tape = Tape(model.arena)
            let pass = model.forward(tape, try fixture.batch(0), fixture.objective, keeping: keeping)
            tape.backward()
            #expect(pass.maxLogits.allSatisfy { !$0.isEmpty })
            return model.parameters.map(\.tensor.gradientValues)
        }
        #expect(try gradients(.everything) == gradients(.input))
    }

    @Test func textsDoNotSeeEachOther() throws {
        let fixture = try TrainingFixture("llama")
        let model = try fixture.model()
        let batch = try fixture.batch(0)
        let packed = TrainingBatch(tokens: batch.tokens, targets: batch.targets, segments: [0..<5, 5..<24])
        let alone = TrainingBatch(
            tokens: Array(batch.tokens[5...]), targets: Array(batch.targets[5...]), segments: [0..<19])
        let tape = Tape(model.arena, recording: false)
        let (together, apart) = (model.forward(tape, packed), model.forward(tape, alone))
        for (a, b) in zip(together.tokenLosses[5...], apart.tokenLosses) { #expect(abs(a - b) < 1e-5) }
    }

    @Test func aSeedGivesTheSameWeightsAndAnotherOneOthers() throws {
        let fixture = try TrainingFixture("deepseek-v3")
        let configuration = try ModelFolder(fixture.folder).configuration
        let arena = try #require(Arena(threads: 1))
        let models = try [1, 1, 2].map { try TrainableModel(configuration, arena, seed: $0, deviation: 0.1) }
        let values = models.map { $0.parameters.map(\.tensor.values) }
        #expect(values[0] == values[1] && values[0] != values[2])
        let matrix = try #require(models[0].parameters.first { $0.role == .tokens }).tensor.values
        let square = matrix.reduce(0) { $0 + Double($1 * $1) } / Double(matrix.count)
        #expect(abs(square.squareRoot() - 0.1) < 0.01)
        #expect(
            models[0].parameters.filter { $0.name.hasSuffix("norm.weight") }.allSatisfy {
                $0.tensor.values.allSatisfy { $0 == 1 }
            })
    }

    @Test func parametersAreAsManyAsTheConfigurationSays() throws {
        for name in TrainingFixture.names {
            var configuration = try ModelFolder(try TrainingFixture(name).folder).configuration
            configuration.predictionLayers = 0
            let model = try TrainableModel(configuration, try #require(Arena(threads: 1)), seed: 1)
            let count = model.parameters.reduce(0) { $0 + $1.tensor.count }
            #expect(count == configuration.parameters.total)
        }
    }
}
