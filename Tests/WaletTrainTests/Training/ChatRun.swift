import Foundation
import Testing
import WaletAutodiff
import WaletTasks

@testable import WaletTrain

/// Small runs on conversations: a model that knows how an answer looks, and is right now and then.
final class ChatRun: Sendable {
    /// One for all tests, since it takes some seconds to train.
    static let shared = Result { try ChatRun() }

    private let folder = TemporaryFolder()
    /// The data set.
    var data: String { folder.file("chat") }
    /// The model that knows nothing but how often letters are in short words, mostly.
    var model: String { folder.file("run/model") }

    private static let sizes = [
        "model.hidden_size=32", "model.heads=2", "model.kv_lora_rank=8", "model.qk_nope_head_dim=8",
        "model.qk_rope_head_dim=4", "model.v_head_dim=8", "model.dense_size=48", "model.experts=4",
        "model.expert_size=32",
    ]

    private init() throws {
        let problems = Self.problems(900)
        var trainer = try TokenizerTrainer(
            vocabularySize: 320, split: .qwen2, specialTokens: TokenizerTrainer.chatSpecialTokens)
        trainer.add(problems.map(\.question))
        try trainer.train().write(to: folder.file("chat-tokenizer"))
        try ChatData.dataset(
            in: folder, problems.map { ChatData.conversation($0.question, $0.answer) }, validationFraction: 0.05,
            shardTokens: 1 << 20)
        let size = try TokenDataset.vocabularySize(in: data)
        let recipe = try Recipe(
            depth: 2,
            settings: Self.sizes + Self.usual(steps: 60) + [
                "model.vocabulary_size=\(size)", "data.folder=\(data)", "training.learning_rate=0.02",
            ])
        try TestRun.run(recipe, folder.file("run"))
    }

    private static func problems(_ count: Int) -> [TaskProblem] {
        var random = TaskRandom(seed: 6)
        var known: Set<String> = []
        guard let task = ReasoningTasks.named("letters") else { return [] }
        return (0..<count).compactMap { _ in task.problem(level: 1, .english, .train, notOf: &known, &random) }
    }

    private static func usual(steps: Int) -> [String] {
        [
            "batch.length=64", "batch.sequences=8", "batch.micro_sequences=4", "training.tokens=\(steps * 512)",
            "schedule.warmup_steps=\(min(2, steps - 1))", "schedule.decay_fraction=0", "validation.every=3",
            "validation.tokens=256", "checkpoint.every=3", "samples.every=6", "samples.tokens=4", "log.every=1",
        ]
    }

    private func recipe(_ usual: [String], _ more: [String]) throws -> Recipe {
        let given = Set(more.map { $0.prefix { $0 != "=" } })
        return try Recipe(settings: usual.filter { !given.contains($0.prefix { $0 != "=" }) } + more)
    }

    /// Fine-tuning of the model.
    func tuning(steps: Int, _ more: [String] = []) throws -> Recipe {
        try recipe(
            Self.usual(steps: steps) + ["model.from=\(model)", "data.folder=\(data)", "training.learning_rate=0.002"],
            more)
    }

    /// Reinforcement of the model.
    func policy(_ more: [String] = []) throws -> Recipe {
        try recipe(
            [
                "model.from=\(model)", "training.learning_rate=0.003", "batch.length=64", "batch.sequences=4",
                "batch.micro_sequences=2", "schedule.warmup_steps=1", "schedule.decay_fraction=0",
                "validation.every=2", "checkpoint.every=2", "log.every=1", "grpo.tasks=letters:1", "grpo.language=en",
                "grpo.steps=5", "grpo.problems=6", "grpo.answers=6", "grpo.answer_tokens=8",
                "grpo.validation_problems=20",
            ], more)
    }

    /// Runs reinforcement to its end.
    @discardableResult
    static func run(
        _ recipe: Recipe, _ folder: String, resuming: Bool = false, threads: Int = 1, stopAfter: Int? = nil
    ) async throws -> Pretraining.End {
        let run = try PolicyTraining(recipe, folder: folder, resuming: resuming, threads: threads)
        return try await run.run { run.step == stopAfter }
    }
}
