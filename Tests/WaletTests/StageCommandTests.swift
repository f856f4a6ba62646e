import Foundation
import Testing
import Walet

/// `walet train` stage after stage, as `Recipes/nano.sh` calls them: from nothing to a model that thinks, small.
@Suite(.timeLimit(.minutes(10))) struct StageCommandTests {
    private func walet(_ arguments: String...) async throws -> ToolRun { try await ToolRun(arguments) }

    /// Sizes and steps of a stage that is over in seconds.
    private static func recipe(_ more: String) -> String {
        """
        batch: {length: 160, sequences: 4, micro_sequences: 2}
        schedule: {warmup_steps: 1}
        validation: {every: 2, tokens: 640}
        checkpoint: {every: 2}
        samples: {every: 0}
        \(more)
        """
    }

    /// Conversations of easy problems, a vocabulary of them, and both as data.
    private func prepare(_ folder: CommandFolder) async throws {
        let conversations = try await walet(
            "train", "conversations", "--count", "300", "--seed", "5", "--direct", "20", "--tasks",
            "letters:1=2,addition:1")
        #expect(conversations.code == 0, "\(conversations.errors)")
        try folder.write("chat.jsonl", conversations.output)
        let text = try await walet("train", "conversations", "--count", "100", "--seed", "6", "--format", "text")
        try folder.write("text.jsonl", text.output)
        let tokenizer = try await walet(
            "train", "tokenizer", folder.file("text.jsonl"), "--out", folder.file("tokenizer"), "--vocabulary-size",
            "320", "--split", "qwen2", "--chat")
        #expect(tokenizer.code == 0, "\(tokenizer.errors)")
        for (name, file, options) in [("text", "text.jsonl", []), ("chat", "chat.jsonl", ["--chat"])] {
            let data = try await ToolRun(
                [
                    "train", "data", folder.file(file), "--tokenizer", folder.file("tokenizer"), "--out",
                    folder.file(name + "-data"), "--validation-fraction", "0.1",
                ] + options)
            #expect(data.code == 0, "\(data.errors)")
        }
    }

    @Test func stageAfterStageMakesAModelThatRunsInINT4() async throws {
        let folder = try CommandFolder("stages")
        try await prepare(folder)
        try folder.write(
            "pretrain.yaml",
            Self.recipe(
                """
                model:
                  {layers: 2, hidden_size: 32, heads: 2, kv_lora_rank: 32, experts: 4, experts_per_token: 2, expert_size: 32}
                training: {tokens: 2560, learning_rate: 0.003}
                """))
        try folder.write("learn.yaml", Self.recipe("training: {tokens: 2560, learning_rate: 0.003}"))
        try folder.write(
            "grpo.yaml",
            Self.recipe(
                """
                training: {learning_rate: 0.0001}
                grpo: {tasks: "letters:1", steps: 2, problems: 4, answers: 2, answer_tokens: 12, validation_problems: 5}
                """))
        func stage(_ command: String, _ recipe: String, _ name: String, _ more: String...) async throws {
            let run = try await ToolRun(
                ["train", command, folder.file(recipe), "--out", folder.file(name), "--threads", "1"] + more)
            #expect(run.code == 0, "\(run.errors)")
            #expect(run.errors.contains("the model is in \(folder.file(name))/model"))
        }
        try await stage("run", "pretrain.yaml", "pretrain", "--data", folder.file("text-data"))
        let (text, chat) = (folder.file("pretrain/model"), folder.file("chat-data"))
        try await stage("sft", "learn.yaml", "sft", "--model", text, "--data", chat)
        try await stage("grpo", "grpo.yaml", "grpo", "--model", folder.file("sft/model"))
        try await stage("qat", "learn.yaml", "qat", "--model", folder.file("grpo/model"), "--data", chat)

        let config = try String(contentsOfFile: folder.file("qat/model/config.json"), encoding: .utf8)
        #expect(config.contains("pack-quantized"))
        let export = try await walet("train", "export", folder.file("qat"), folder.file("half"), "--half")
        #expect(export.code == 0, "\(export.errors)")
        let file = folder.file("model.gguf")
        let gguf = try await walet("export", "gguf", folder.file("half"), "--out", file)
        #expect(gguf.code == 0, "\(gguf.errors)")
        // The same weights, so the same greedy text.
        var answers: [String] = []
        for model in [folder.file("half"), file] {
            let answer = try await walet(
                "run", "--raw", model, "What is", "--max-tokens", "8", "--temperature", "0",
                "--precision", "exact")
            #expect(answer.code == 0, "\(answer.errors)")
            answers.append(answer.output)
        }
        #expect(!answers[0].isEmpty && answers[0] == answers[1])
        let report = try await walet("train", "report", folder.file("grpo"), "--out", folder.file("report.html"))
        #expect(report.code == 0, "\(report.errors)")
    }

    @Test func aStageWithoutWhatItNeedsIsRefused() async throws {
        let folder = try CommandFolder("stages")
        try folder.write("learn.yaml", Self.recipe("training: {tokens: 2560, learning_rate: 0.003}"))
        let (recipe, out) = (folder.file("learn.yaml"), folder.file("run"))
        let cases: [(arguments: [String], expected: String)] = [
            (["sft", recipe, "--out", out, "--data", folder.path], "--model"),
            (["grpo", recipe, "--out", out], "grpo.tasks"),
            (["qat", recipe, "--out", out, "--data", folder.path], "--model"),
            (["sft", recipe, "--out", out, "--data", folder.path, "--model", folder.file("none")], "none"),
            (["conversations", "--tasks", "poetry"], "poetry"), (["conversations", "--brief", "prices"], "--brief"),
            (["conversations", "--brief", "prices=101"], "--brief"), (["conversations", "--count", "0"], "count"),
        ]
        for (arguments, expected) in cases {
            let run = try await ToolRun(["train"] + arguments)
            #expect(run.code != 0 && run.errors.contains(expected), "\(arguments): \(run.code) \(run.errors)")
            #expect(!FileManager.default.fileExists(atPath: out))
        }
    }
}
