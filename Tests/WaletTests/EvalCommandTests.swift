import Foundation
import Testing
import Walet

/// `walet eval` and `walet train problems`: what they print, with which exit code.
@Suite struct EvalCommandTests {
    private static let model = TestFiles.smollm2 + "/SmolLM2-135M-Instruct.Q4_1.gguf"

    @Test func aModelIsMeasuredAndEveryAnswerKept() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "walet-eval-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let (out, plot) = (folder.appending(path: "a.jsonl"), folder.appending(path: "a.svg"))
        let command = [
            "eval", Self.model, "--task", "addition", "--task", "calendar", "--level", "2-3", "--problems", "3",
            "--max-tokens", "8", "--samples", "2", "--language", "both", "--out", out.path, "--plot", plot.path,
        ]
        let outcome = try await ToolRun(command)
        #expect(outcome.code == 0, "\(outcome.errors)")
        let lines = outcome.output.split(separator: "\n")
        // A heading, two levels and their sum for each task, and the sum of all.
        #expect(lines.count == 8 && lines[0].contains("PASS@2  MAJORITY@2") && lines[7].hasPrefix("all"))
        let answers = try String(contentsOf: out, encoding: .utf8).split(separator: "\n").map {
            try JSONValue(parsing: String($0))
        }
        #expect(answers.count == 24 && answers.allSatisfy { ($0["tokens"]?.intValue ?? 99) <= 8 })
        #expect(Set(answers.compactMap { $0["language"]?.stringValue }) == ["en", "id"])
        #expect(try String(contentsOf: plot, encoding: .utf8).hasPrefix("<svg"))
        // Seeds make it the same again, and JSON has the same figures.
        let json = try await ToolRun(command + ["--json"]).json
        let run = json?.arrayValue?.first
        #expect(run?["levels"]?.arrayValue?.count == 4 && run?["samples"] == 2)
        let again = try await ToolRun(command + ["--json"]).json
        #expect(json == again)
    }

    @Test func problemsAreDrawnFromASeed() async throws {
        let command = ["train", "problems", "--task", "letters", "--level", "1", "--count", "50"]
        let (one, other) = (try await ToolRun(command), try await ToolRun(command))
        #expect(one.code == 0 && one.output == other.output)
        #expect(one.output.split(separator: "\n").count == 50)
        let heldOut = try await ToolRun(command + ["--split", "held-out", "--seed", "2"])
        let lines = Set(one.output.split(separator: "\n"))
        #expect(lines.isDisjoint(with: heldOut.output.split(separator: "\n")))
        let few = try await ToolRun(["train", "problems", "--task", "addition", "--level", "1", "--count", "500"])
        #expect(few.code == 0 && few.errors.contains("different problems were found"))
        #expect(try await ToolRun(["train", "problems", "--list"]).output.contains("countdown"))
    }

    @Test(arguments: [
        ["--task", "poetry"], ["--level", "9"], ["--level", "3-1"], ["--level", "x"], ["--problems", "0"],
        ["--samples", "4", "--temperature", "0"], ["--thinking", "maybe"], ["--batch", "-1"], ["--split", "test"],
        ["--temperature", "-1"],
    ])
    func whatMakesNoSenseIsWrongUsage(_ arguments: [String]) async throws {
        let outcome = try await ToolRun(["eval", Self.model] + arguments)
        #expect(outcome.code == 2, "\(outcome.errors)")
    }

    @Test(arguments: ["--out", "--plot"]) func whatCannotBeWrittenIsSaidBeforeTheWork(_ option: String) async throws {
        let outcome = try await ToolRun(["eval", Self.model, "--task", "letters", option, "/none/at/all"])
        #expect(outcome.code == 1 && outcome.output.isEmpty)
        #expect(outcome.errors.hasPrefix("walet: /none/at/all: it cannot be written"), "\(outcome.errors)")
    }

    @Test func aModelWithoutATemplateOrAtAllIsAnError() async throws {
        #expect(try await ToolRun(["eval", "/none/at/all"]).code == 1)
        let bare = TestFiles.fixtures.appending(path: "models/deepseek-v3").path
        let outcome = try await ToolRun(["eval", bare, "--problems", "1"])
        #expect(outcome.code == 1 && outcome.errors.hasPrefix("walet: "), "\(outcome.errors)")
    }
}
