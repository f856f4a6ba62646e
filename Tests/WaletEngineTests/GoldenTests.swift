import Foundation
import Testing
import WaletEngine
import WaletFormats
import WaletJSON
import WaletModels

/// Log probabilities and greedy answers of tiny checkpoints, against what Hugging Face transformers made of the same
/// files (`Tools/make_model_fixtures.py`).
@Suite struct GoldenTests {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Fixtures/models")

    static let names: [String] = {
        let entries = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        return entries.filter {
            FileManager.default.fileExists(atPath: folder.appending(path: "\($0)/golden.json").path)
        }.sorted()
    }()

    @Test func thereAreFixtures() { #expect(Self.names.count >= 22) }

    @Test(arguments: names) func agreesWithTransformers(_ name: String) async throws {
        let golden = try Golden(name)
        let engine = try Engine(try golden.model(), threads: 2)
        let vocabulary = engine.model.configuration.vocabularySize
        var largest = 0.0
        for example in golden.cases {
            let scores = try await engine.score(example.tokens, top: vocabulary)
            #expect(scores.logprobs.count == example.tokens.count)
            for (ours, theirs) in zip(scores.logprobs, example.logprobs) {
                #expect((ours == nil) == (theirs == nil))
                if let ours, let theirs { largest = max(largest, abs(Double(ours) - theirs)) }
            }
            for (position, distribution) in example.full {
                var ours = [Double](repeating: .infinity, count: vocabulary)
                for candidate in scores.top[position] { ours[candidate.id] = Double(candidate.logprob) }
                for (id, theirs) in distribution.enumerated() { largest = max(largest, abs(ours[id] - theirs)) }
            }
        }
        #expect(largest < 1e-3, "largest difference of a log probability: \(largest)")
        print("golden \(name): largest difference \(largest)")
    }

    @Test(arguments: names) func chunksAndSingleTokensAgree(_ name: String) async throws {
        let golden = try Golden(name)
        let engine = try Engine(try golden.model(), threads: 2)
        let tokens = try #require(golden.cases.map(\.tokens).max { $0.count < $1.count })
        let whole = try await engine.score(tokens, chunk: 512)
        for chunk in [1, 7, 100] {
            let parts = try await engine.score(tokens, chunk: chunk)
            let largest =
                zip(whole.logprobs, parts.logprobs).compactMap { a, b in a.flatMap { a in b.map { abs(a - $0) } } }
                .max() ?? 0
            #expect(largest < 1e-4, "chunks of \(chunk) differ by \(largest)")
        }
    }

    @Test(arguments: names) func greedyAnswersAreEqual(_ name: String) async throws {
        let golden = try Golden(name)
        guard let greedy = golden.greedy else { return }
        let engine = try Engine(try golden.model(), threads: 2)
        let sequence = engine.makeSequence()
        // The second round goes on from the first one's cache.
        for round in 0..<2 {
            let request = GenerationRequest(
                prompt: greedy.prompt, sampling: .greedy, maximumTokens: greedy.tokens.count, sequence: sequence)
            var tokens: [Int] = []
            var usage: GenerationUsage?
            for try await event in try engine.generate(request) {
                switch event {
                case .token(let token, _): tokens.append(token)
                case .finished(let reason, let measured):
                    #expect(reason == .length)
                    usage = measured
                case .started, .promptScores, .logprob: break
                }
            }
            #expect(tokens == greedy.tokens)
            #expect(usage?.cachedTokens == (round == 0 ? 0 : greedy.prompt.count - 1))
            #expect(usage?.answerTokens == greedy.tokens.count)
        }
    }
}

/// One folder's expectations.
struct Golden {
    struct Case {
        let tokens: [Int]
        let logprobs: [Double?]
        let full: [Int: [Double]]
    }

    let path: URL
    let cases: [Case]
    let greedy: (prompt: [Int], tokens: [Int])?

    /// - Parameter file: which of the folder's golden files.
    init(_ name: String, _ file: String = "golden") throws {
        path = GoldenTests.folder.appending(path: name)
        let json = try JSONValue(parsing: Data(contentsOf: path.appending(path: "\(file).json")))
        cases = (json["cases"]?.arrayValue ?? []).map { example in
            Case(
                tokens: example["tokens"]?.arrayValue?.compactMap(\.intValue) ?? [],
                logprobs: example["logprobs"]?.arrayValue?.map(\.doubleValue) ?? [],
                full: Dictionary(
                    uniqueKeysWithValues: (example["full"]?.objectValue?.members).map { members in
                        members.map { (Int($0) ?? -1, $1.arrayValue?.compactMap(\.doubleValue) ?? []) }
                    } ?? []))
        }
        greedy = json["greedy"].flatMap { greedy in
            guard let prompt = greedy["prompt"]?.arrayValue, let tokens = greedy["tokens"]?.arrayValue else {
                return nil
            }
            return (prompt.compactMap(\.intValue), tokens.compactMap(\.intValue))
        }
    }

    func model() throws -> Transformer {
        let files = try ModelFolder(path.path)
        return try Transformer(files.configuration, from: try files.weights())
    }
}
