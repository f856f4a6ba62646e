import Foundation
import Testing
import WaletAutodiff
import WaletFormats
import WaletJSON

@testable import WaletTrain

/// What a run leaves is a published model.
@Suite struct ModelExportTests {
    /// V2's routers have a softmax, no bias, and in V2 itself groups.
    @Test(arguments: ["deepseek-v2-lite", "deepseek-v2"]) func aModelWithARouterOfV2IsSavedAsOne(
        _ name: String
    ) throws {
        let source = try ModelFolder(Fixtures.repository.appending(path: "Tests/Fixtures/models/\(name)").path)
        let model = try TrainableModel(source, try #require(Arena(threads: 1)))
        let folder = TemporaryFolder()
        try model.save(to: folder.path)
        let saved = try ModelFolder(folder.path)
        #expect(saved.configuration.modelType == "deepseek_v2")
        #expect(saved.configuration.experts == source.configuration.experts)
        #expect(saved.configuration.attention == source.configuration.attention)
        #expect(saved.configuration.rope == source.configuration.rope)
        let again = try TrainableModel(saved, model.arena)
        for (a, b) in zip(model.parameters, again.parameters) {
            #expect(a.name == b.name && a.tensor.values == b.tensor.values)
        }
    }

    @Test(.enabled(if: TransformersTests.python != nil, "Tools/requirements-oracle.txt is not installed"))
    func theModelOfARunIsOneOfTransformers() throws {
        let folder = TemporaryFolder()
        try TestData.dataset(in: folder)
        let path = folder.file("run")
        // Heads of a size that transformers' rotary embedding takes, and some training.
        let recipe = try TestRun.recipe(folder, steps: 30, "validation.every=0", "samples.every=0")
        try TestRun.run(recipe, path)
        let model = try TrainableModel(try ModelFolder(path + "/model"), try #require(Arena(threads: 1)))
        let tokens = (0..<16).map { Int32($0 * 17 % 300) }
        let targets = Array(tokens.dropFirst()) + [0]
        let pass = model.forward(
            Tape(model.arena, recording: false), TrainingBatch(tokens: tokens, targets: targets, length: 16))
        let losses = try TransformersTests.losses(path + "/model", tokens, targets)
        #expect(losses.count == 16)
        for (ours, theirs) in zip(pass.tokenLosses, losses) { #expect(abs(Double(ours) - theirs) < 2e-4) }
    }

    /// The trained model with its experts rounded, and the folder that it was written to.
    private func rounded(
        _ folder: TemporaryFolder, as element: SafetensorsFile.Element
    ) throws -> (model: TrainableModel, saved: ModelFolder) {
        let recipe = try ChatRun.shared.get().tuning(steps: 3, ["quantization.experts=int4"])
        try TestRun.run(recipe, folder.file("run"))
        let model = try TrainableModel(try recipe.configuration(), try #require(Arena(threads: 1)), seed: 0)
        try model.restore(try Checkpoint(path: folder.file("run/checkpoints/step-000000003")))
        try ExpertQuantization(model).round()
        #expect(try ModelExport.write(run: folder.file("run"), best: false, as: element, to: folder.file("model")) == 3)
        return (model, try ModelFolder(folder.file("model")))
    }

    private static let text = (0..<24).map { Int32($0 * 29 % 260) }
    private static let batch = TrainingBatch(
        tokens: text, targets: Array(text.dropFirst()) + [0], length: text.count)

    @Test(arguments: [false, true]) func expertsInFourBitsAreReadAsTheyWereTrained(_ isHalf: Bool) throws {
        let folder = TemporaryFolder()
        let (model, saved) = try rounded(folder, as: isHalf ? .bf16 : .f32)
        let read = try TrainableModel(saved, model.arena)
        for (a, b) in zip(model.parameters, read.parameters) where a.isRoutedExpert || !isHalf {
            #expect(a.name == b.name && a.tensor.values == b.tensor.values, "\(a.name)")
        }
        let expected = (isHalf ? read : model).forward(Tape(model.arena, recording: false), Self.batch).tokenLosses
        let losses = try TrainableModelTests.inferred(folder.file("model"), Self.text, Self.batch.targets)
        let most = zip(expected, losses).map { abs($0 - $1) }.max() ?? .nan
        #expect(losses.count == expected.count && most < 1e-4)
        print("experts in 4 bits: log probabilities of engine and trainer at most \(most) apart")
    }

    @Test(.enabled(if: TransformersTests.python != nil, "Tools/requirements-oracle.txt is not installed"))
    func expertsInFourBitsAreThoseOfTransformers() throws {
        let folder = TemporaryFolder()
        let (model, _) = try rounded(folder, as: .f32)
        let pass = model.forward(Tape(model.arena, recording: false), Self.batch)
        let losses = try TransformersTests.losses(folder.file("model"), Self.text, Self.batch.targets)
        #expect(losses.count == Self.text.count)
        let most = zip(pass.tokenLosses, losses).map { abs(Double($0) - $1) }.max() ?? .nan
        #expect(most < 2e-4)
        print("experts in 4 bits: log probabilities of transformers and trainer at most \(most) apart")
    }
}
