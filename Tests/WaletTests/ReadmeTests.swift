import Foundation
import Testing
import Walet

/// The example of the README, so that it compiles, answers, and stays what the README prints.
@Suite struct ReadmeTests {
    private func example(print: (String) -> Void) async throws {
        // example
        let model = try await LanguageModel.load("smollm2")
        let session = model.session(system: "Answer in one sentence.")
        for try await event in session.respond(to: "What is the capital of France?") {
            switch event {
            case .thinking(let piece), .text(let piece): print(piece)
            case .toolCall(let call): print("\(call.name)(\(call.arguments))")
            case .finish(let reason, let usage): print("\n\(reason), \(usage.answerTokens) tokens")
            }
        }
        // end
    }

    @Test func theExampleIsInTheReadme() throws {
        let source = try String(contentsOf: URL(filePath: #filePath), encoding: .utf8).split(
            separator: "\n", omittingEmptySubsequences: false)
        let start = try #require(source.firstIndex { $0.hasSuffix("// example") })
        let end = try #require(source.firstIndex { $0.hasSuffix("// end") })
        let example = source[(start + 1)..<end].map { $0.dropFirst(8) }.joined(separator: "\n")
        let readme = try String(contentsOf: TestFiles.root.appending(path: "README.md"), encoding: .utf8)
        #expect(readme.contains("```swift\nimport Walet\n\n" + example + "\n```"))
    }

    @Test func theExampleAnswers() async throws {
        // The example names a stored model; `make test` has it beside the sources.
        setenv("WALET_MODELS", TestFiles.root.appending(path: ".models").path, 1)
        var text = ""
        try await example { text += $0 }
        #expect(text.contains("Paris"))
        #expect(text.contains("\nstop, "))
    }
}
