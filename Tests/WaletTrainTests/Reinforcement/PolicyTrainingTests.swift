import Foundation
import Testing
import WaletAutodiff
import WaletFormats
import WaletTasks

@testable import WaletTrain

/// Runs of reinforcement: what they leave, and what they refuse.
@Suite(.timeLimit(.minutes(10))) struct PolicyTrainingTests {
    @Test func aRunLeavesARecordAModelAndAReport() async throws {
        let chat = try ChatRun.shared.get()
        let folder = TemporaryFolder()
        let path = folder.file("run")
        #expect(try await ChatRun.run(try chat.policy(), path) == .finished(model: path + "/model"))
        let run = try TrainingRun(folder: path)
        #expect(run.policies.map(\.step) == Array(1...5) && run.policyValidations.map(\.step) == [0, 2, 4, 5])
        #expect(run.policyValidations.allSatisfy { $0.problems == 20 && $0.right > 0 })
        // There was something to learn, and engine and trainer agree.
        #expect(run.policies.contains { $0.learnedGroups > 0 && $0.gradientNorm > 0 })
        #expect(run.policies.allSatisfy { $0.differenceMean < 1e-5 && $0.wellFormed > 0.5 })
        for policy in run.policies {
            #expect(policy.learnedGroups == policy.drawnGroups - policy.rightGroups - policy.wrongGroups)
            #expect(policy.learnedGroups <= 6 && policy.drawnGroups <= 18)
        }
        let worst = run.policies.map(\.differenceMaximum).max() ?? .nan
        print("log probabilities of engine and trainer: at most \(worst) apart")

        let arena = try #require(Arena(threads: 1))
        let models = try [chat.model, path + "/model"].map { try TrainableModel(ModelFolder($0), arena) }
        #expect(zip(models[0].parameters, models[1].parameters).contains { $0.tensor.values != $1.tensor.values })
        #expect(FileManager.default.fileExists(atPath: path + "/model/chat_template.jinja"))
        #expect(try ModelExport.write(run: path, best: false, as: .f32, to: folder.file("again")) == 5)
        #expect(try folder.read("again/model.safetensors") == folder.read("run/model/model.safetensors"))

        #expect(
            TestRun.error { _ = try ModelExport.write(run: path, best: true, as: .f32, to: folder.file("best")) }
                == .noCheckpoint(folder: path, isBest: true))
        let report = TrainingReport([run])
        let summary = try #require(report.comparison.summaries.first)
        #expect(summary.steps == 5 && summary.tokens == run.policies.last?.tokens)
        #expect(summary.firstRight == run.policyValidations.first?.right && summary.lastRight != nil)
        for title in ["Right answers to held-out problems", "Right answers to drawn problems", "Length of an answer"] {
            #expect(report.html.contains(title))
        }
        try report.write(to: folder.file("report.html"))
    }

    @Test(arguments: [
        [],
        ["quantization.experts=int4", "grpo.divergence=0.1", "grpo.level=answer", "grpo.advantage=std"],
    ]) func aRunThatWasStoppedGoesOnAsIfNothingHadBeen(_ more: [String]) async throws {
        let chat = try ChatRun.shared.get()
        let folder = TemporaryFolder()
        let recipe = try chat.policy(more)
        let (plain, cut) = (folder.file("plain"), folder.file("cut"))
        try await ChatRun.run(recipe, plain)
        #expect(try await ChatRun.run(recipe, cut, stopAfter: 3) == .stopped(step: 3))
        let end = try await ChatRun.run(recipe, cut, resuming: true, threads: 2)
        #expect(end == .finished(model: cut + "/model"))
        try TestRun.expectSame(plain, cut)
        let run = try TrainingRun(folder: plain)
        #expect(run.policies.count == 5 && run.policies.count { $0.learnedGroups > 0 } >= 2)
        #expect(run.policies.allSatisfy { $0.differenceMean < 1e-5 })
    }

    @Test func aRunThatEndedBeforeItsFirstCheckpointBeginsAnew() async throws {
        let chat = try ChatRun.shared.get()
        let folder = TemporaryFolder()
        let recipe = try chat.policy(["grpo.steps=2"])
        let (plain, cut) = (folder.file("plain"), folder.file("cut"))
        try await ChatRun.run(recipe, plain)
        try await ChatRun.run(recipe, cut, stopAfter: 1)
        try folder.remove("cut/checkpoints/step-000000001")
        try await ChatRun.run(recipe, cut, resuming: true)
        try TestRun.expectSame(plain, cut)
        #expect(try TrainingRun(folder: cut).policyValidations.map(\.step) == [0, 2])
    }

    /// Experts are balanced over all of a model's text, which a few tasks are not.
    @Test func biasesOfRoutersStayUnlessTheRecipeSaysOtherwise() throws {
        let chat = try ChatRun.shared.get()
        #expect(try chat.policy([]).balance.biasStep == 0)
        #expect(try chat.policy(["balance.bias_step=0.002"]).balance.biasStep == 0.002)
        #expect(Recipe().balance.biasStep > 0)
    }

    /// The engine's answers are those of the weights that will be stored.
    @Test func theModelOfARunWithRoundedExpertsIsTheOneThatAnswered() async throws {
        let chat = try ChatRun.shared.get()
        let folder = TemporaryFolder()
        let recipe = try chat.policy(["quantization.experts=int4", "grpo.steps=1", "validation.every=0"])
        try await ChatRun.run(recipe, folder.file("run"))
        let json = String(decoding: try folder.read("run/model/config.json"), as: UTF8.self)
        #expect(json.contains("pack-quantized"))
        let again = try ModelFolder(folder.file("run/model"))
        #expect(again.configuration.experts?.count == 4)
        _ = try TrainableModel(again, try #require(Arena(threads: 1)))
    }

    @Test func anEngineThatComputesOtherwiseEndsTheRun() async throws {
        let chat = try ChatRun.shared.get()
        let folder = TemporaryFolder()
        let path = folder.file("run")
        let recipe = try chat.policy(["grpo.agreement=0", "grpo.steps=9"])
        let error = await #expect(throws: TrainingError.self) { try await ChatRun.run(recipe, path) }
        guard case .policiesDiffer(_, let mean, 0)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(mean > 0 && error?.description.contains("grpo.agreement") == true)
        let journal = String(decoding: try folder.read("run/journal.jsonl"), as: UTF8.self)
        #expect(journal.split(separator: "\n").last?.contains("ended: step") == true)
    }

    @Test(arguments: [
        ("grpo.tasks=nonsense", "grpo.tasks", "nonsense"), ("grpo.tasks=letters:9", "grpo.tasks", "letters"),
        ("grpo.tasks=letters:2-1", "grpo.tasks", "letters"), ("grpo.tasks=letters:", "grpo.tasks", "letters"),
        ("grpo.tasks=letters:1,", "grpo.tasks", "expected"), ("grpo.updates=7", "grpo.updates", "7 updates of 6"),
    ]) func whatNoRunCanDoIsRefused(_ setting: String, _ key: String, _ reason: String) throws {
        let chat = try ChatRun.shared.get()
        let error = #expect(throws: RecipeError.self) { try chat.policy([setting]) }
        guard case .inconsistent(key, let found)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(found.contains(reason), "\(found)")
    }

    @Test func aRecipeIsPrintedInFull() throws {
        let recipe = try ChatRun.shared.get().policy(["grpo.tasks=letters:1-2=3,addition", "grpo.level=answer"])
        for field in Recipe.fields { #expect(recipe.yaml.contains("\(field.name.split(separator: ".").last ?? ""): ")) }
        #expect(try Recipe(yaml: recipe.yaml, name: "again") == recipe)
        #expect(recipe.steps == 5 && recipe.isReinforcement)
    }

    @Test func problemsAreDrawnAsOftenAsTheirWeightsSay() throws {
        var settings = Recipe.Reinforcement()
        settings.tasks = "letters:1-2=3,addition:2"
        settings.language = .id
        let tasks = try ReinforcementTasks(settings)
        let problems = tasks.problems(70, .train, seed: 3)
        #expect(problems == tasks.problems(70, .train, seed: 3) && problems != tasks.problems(70, .train, seed: 4))
        let counts = Dictionary(grouping: problems) { "\($0.task) \($0.level)" }.mapValues(\.count)
        #expect(counts == ["letters 1": 30, "letters 2": 30, "addition 2": 10])
        #expect(problems.allSatisfy { $0.language == .indonesian && !$0.isHeldOut })
        #expect(Set(problems.map(\.key)).count == 70)
        #expect(tasks.problems(20, .heldOut, seed: 3).allSatisfy { $0.isHeldOut })
    }

    @Test func aRateAndAModelMustBeGiven() throws {
        let chat = try ChatRun.shared.get()
        var error = #expect(throws: RecipeError.self) {
            try Recipe(settings: ["model.from=\(chat.model)", "grpo.tasks=letters:1"])
        }
        #expect(error?.description.hasPrefix("training.learning_rate: no rule is known for reinforcement") == true)
        error = #expect(throws: RecipeError.self) {
            try Recipe(depth: 2, settings: ["grpo.tasks=letters:1", "training.learning_rate=0.001"])
        }
        #expect(error?.description.hasPrefix("model.from: reinforcement needs a model") == true)
        error = #expect(throws: RecipeError.self) { try chat.policy(["grpo.answers=1"]) }
        #expect(error?.description.contains("grpo.answers is \"1\"") == true)
    }

    @Test func aModelThatCannotConverseIsRefused() throws {
        let folder = TemporaryFolder()
        try TestData.dataset(in: folder)
        try TestRun.run(
            try TestRun.recipe(folder, steps: 1, "schedule.warmup_steps=0", "samples.every=0"), folder.file("run"))
        let recipe = try Recipe(
            settings: [
                "model.from=\(folder.file("run/model"))", "grpo.tasks=letters:1", "training.learning_rate=0.001",
            ])
        #expect(
            TestRun.error { _ = try PolicyTraining(recipe, folder: folder.file("policy"), threads: 1) }
                == .data(.badVocabulary(reason: "it has no chat template, which conversations need")))
        #expect(!FileManager.default.fileExists(atPath: folder.file("policy")))
    }

    @Test func aRunGoesOnWithItsRecipeAlone() async throws {
        let chat = try ChatRun.shared.get()
        let folder = TemporaryFolder()
        let path = folder.file("run")
        try await ChatRun.run(try chat.policy(), path, stopAfter: 1)
        let other = try chat.policy(["grpo.clip_high=0.3"])
        #expect(
            TestRun.error { _ = try PolicyTraining(other, folder: path, resuming: true, threads: 1) }
                == .recipeDiffers(key: "grpo.clip_high", expected: "0.28", found: "0.3"))
        #expect(
            TestRun.error { _ = try PolicyTraining(try chat.policy(), folder: path, threads: 1) }
                == .runExists(folder: path))
    }
}
