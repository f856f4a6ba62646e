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
}
