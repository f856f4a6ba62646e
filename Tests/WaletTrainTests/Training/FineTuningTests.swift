import Foundation
import Testing
import WaletAutodiff
import WaletFormats

@testable import WaletTrain

/// Runs that go on from a model, with conversations and with experts in 4 bits.
@Suite(.timeLimit(.minutes(10))) struct FineTuningTests {
    @Test(arguments: [[], ["quantization.experts=int4", "training.optimizer=adamw"]])
    func aRunThatWasStoppedGoesOnAsIfNothingHadBeen(_ more: [String]) throws {
        let chat = try ChatRun.shared.get()
        let folder = TemporaryFolder()
        let recipe = try chat.tuning(steps: 8, more)
        let (plain, cut) = (folder.file("plain"), folder.file("cut"))
        try TestRun.run(recipe, plain)
        #expect(try TestRun.run(recipe, cut, stopAfter: 2).end == .stopped(step: 2))
        #expect(try TestRun.run(recipe, cut, resuming: true, threads: 2, stopAfter: 6).end == .stopped(step: 6))
        #expect(try TestRun.run(recipe, cut, resuming: true).end == .finished(model: cut + "/model"))
        try TestRun.expectSame(plain, cut)
        let run = try TrainingRun(folder: plain)
        // It began with a model that knows what these conversations are like.
        #expect(run.steps.count == 8 && run.steps.allSatisfy { $0.loss < 1 })
        #expect(run.samples.allSatisfy { $0.prompt.hasPrefix("<|begin|><|im_user|>") })
        #expect(run.validations.map(\.step) == [3, 6, 8] && run.validations.allSatisfy(\.loss.isFinite))
    }

    @Test func aRunBeginsWithTheWeightsOfItsModel() throws {
        let chat = try ChatRun.shared.get()
        let folder = TemporaryFolder()
        // A rate of nothing leaves all as it was but for the routers' biases.
        let recipe = try chat.tuning(steps: 1, ["training.learning_rate=0", "balance.bias_step=0"])
        try TestRun.run(recipe, folder.file("run"))
        let arena = try #require(Arena(threads: 1))
        let models = try [chat.model, folder.file("run/model")].map { try TrainableModel(ModelFolder($0), arena) }
        for (a, b) in zip(models[0].parameters, models[1].parameters) {
            #expect(a.name == b.name && a.tensor.values == b.tensor.values, "\(a.name)")
        }
        for name in ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"] {
            let url = URL(filePath: chat.model + "/" + name)
            #expect(try folder.read("run/model/" + name) == Array(Data(contentsOf: url)), "\(name)")
        }
    }

    @Test(arguments: [
        ("model.experts=8", "model.experts", "has 4"), ("model.layers=3", "model.layers", "has 2"),
        ("model.rope_theta=5000", "model.rope_theta", "has 10000.0"),
        ("model.hidden_size=64", "model.hidden_size", "has 32"),
        ("model.routed_scaling=3", "model.routed_scaling", "has 1.414"),
    ]) func sizesOtherThanTheModelsAreRefused(_ setting: String, _ key: String, _ reason: String) throws {
        let chat = try ChatRun.shared.get()
        let folder = TemporaryFolder()
        let path = folder.file("run")
        for error in [
            TestRun.error { try TestRun.run(try chat.tuning(steps: 1, [setting]), path) },
            TestRun.error { _ = try PolicyTraining(try chat.policy([setting]), folder: path, threads: 1) },
        ] {
            guard case .recipe(.inconsistent(key, let found)) = error else {
                Issue.record("\(String(describing: error))")
                continue
            }
            #expect(found.contains(reason), "\(found)")
        }
        #expect(!FileManager.default.fileExists(atPath: path))
    }

    @Test func anotherVocabularyIsRefused() throws {
        let chat = try ChatRun.shared.get()
        let folder = TemporaryFolder()
        try ChatData.tokenizer(in: folder)
        let data = try ChatData.dataset(in: folder, ChatData.conversations(40))
        let recipe = try chat.tuning(steps: 1, ["data.folder=\(data.folder)"])
        guard case .data(.vocabularyDiffers) = TestRun.error({ try TestRun.run(recipe, folder.file("run")) }) else {
            Issue.record("no error")
            return
        }
    }

    @Test func whatIsNoModelOfARecipeIsRefused() throws {
        let llama = Fixtures.repository.appending(path: "Tests/Fixtures/training/llama").path
        for (path, reason) in [("/nowhere", "/nowhere"), (llama, "recipes describe deepseek_v3")] {
            let error = #expect(throws: RecipeError.self) { try Recipe(settings: ["model.from=\(path)"]) }
            guard case .inconsistent("model.from", let found)? = error else {
                Issue.record("\(String(describing: error))")
                continue
            }
            #expect(found.contains(reason), "\(found)")
        }
    }

    @Test func theRecipeHasTheSizesOfItsModel() throws {
        let recipe = try ChatRun.shared.get().tuning(steps: 1)
        #expect(recipe.model.layers == 2 && recipe.model.hiddenSize == 32 && recipe.model.experts == 4)
        #expect(recipe.model.expertSize == 32 && recipe.model.denseSize == 48 && recipe.model.queryRank == 0)
        // In full, so that it can be read where the model is no more.
        #expect(try Recipe(yaml: recipe.yaml, name: "r.yaml") == recipe)
    }
}
