import Foundation
import Testing
import WaletJSON
import WaletText
import WaletTrain

/// Golden values: Tools/make_vocabulary_fixtures.py, Hugging Face tokenizers 0.23.3.
@Suite struct TokenizerTrainerTests {
    static func texts() throws -> [String] {
        var texts: [String] = []
        try DocumentReader([Fixtures.path("texts.jsonl")]).forEachBatch { (batch) throws(DataError) in texts += batch }
        return texts
    }

    static func trainer(_ name: String) throws -> TokenizerTrainer {
        let marks = TokenizerTrainer.defaultSpecialTokens
        return switch name {
        case "deepseek-1000": try TokenizerTrainer(vocabularySize: 1000, minimumCount: 0)
        case "deepseek-4000":
            try TokenizerTrainer(vocabularySize: 4000, split: .deepseek, specialTokens: marks, minimumCount: 2)
        case "llama3-700":
            try TokenizerTrainer(
                vocabularySize: 700, split: .llama3, specialTokens: ["<s>", "</s>"], minimumCount: 5)
        case "qwen2-700":
            try TokenizerTrainer(
                vocabularySize: 700, split: .qwen2, specialTokens: TokenizerTrainer.chatSpecialTokens)
        default:
            try TokenizerTrainer(
                vocabularySize: 600, split: .gpt2, specialTokens: ["<|endoftext|>", "th", "in"], minimumCount: 0)
        }
    }

    @Test(arguments: ["deepseek-1000", "deepseek-4000", "llama3-700", "qwen2-700", "gpt2-600"])
    func theFileIsTheReferencesFile(name: String) throws {
        var trainer = try Self.trainer(name)
        trainer.add(try Self.texts())
        let found = trainer.train().tokenizerJSON
        let expected = try JSONValue(parsing: Fixtures.bytes("\(name).json"))
        #expect(found["model"]?["merges"] == expected["model"]?["merges"])
        #expect(found["model"]?["vocab"] == expected["model"]?["vocab"])
        #expect(found == expected)
    }

    @Test func digitsStandAloneWithTheSplitOfQwen2() throws {
        var trainer = try Self.trainer("qwen2-700")
        trainer.add([String](repeating: "2026 2026 30 30", count: 50))
        let tokenizer = try trainer.train().tokenizer()
        #expect(tokenizer.encode("2026", addSpecial: false).count == 4)
        #expect(tokenizer.encode(" 30", addSpecial: false).count == 3)
    }

    @Test func theOrderOfDocumentsDoesNotMatter() throws {
        var forward = try Self.trainer("deepseek-1000")
        var backward = try Self.trainer("deepseek-1000")
        let texts = try Self.texts()
        forward.add(texts)
        for text in texts.reversed() { backward.add(text) }
        #expect(forward.train().tokenizerJSON.text() == backward.train().tokenizerJSON.text())
    }

    @Test func whatWasTrainedEncodesAndDecodesEveryText() throws {
        var trainer = try Self.trainer("deepseek-1000")
        let texts = try Self.texts()
        trainer.add(texts)
        let vocabulary = trainer.train()
        let folder = TemporaryFolder()
        try vocabulary.write(to: folder.file("tokenizer"))
        let tokenizer = try Tokenizer(
            tokenizerJSON: folder.read("tokenizer/tokenizer.json"),
            configuration: JSONValue(parsing: folder.read("tokenizer/tokenizer_config.json")))
        #expect(tokenizer.vocabularySize == 1000)
        #expect(tokenizer.bosID == 0 && tokenizer.eosID == 1 && tokenizer.padID == 2)
        #expect(tokenizer.isSpecial(0) && tokenizer.isSpecial(2) && !tokenizer.isSpecial(3))
        var tokens = 0
        var bytes = 0
        for text in texts + ["\u{0}\u{7F} never seen: Ωßø🜁 <|end|>"] {
            let ids = tokenizer.encode(text, addSpecial: false, special: .asText)
            #expect(tokenizer.decode(ids, skipSpecial: false) == text)
            #expect(!ids.contains { $0 < 3 })
            tokens += ids.count
            bytes += text.utf8.count
        }
        #expect(tokens * 2 < bytes)
    }

    @Test func aVocabularyThatCannotBeIsRefused() {
        #expect(throws: DataError.self) { try TokenizerTrainer(vocabularySize: 258) }
        #expect(throws: DataError.self) {
            try TokenizerTrainer(vocabularySize: 1000, specialTokens: ["<a>", "<a>"])
        }
        #expect(throws: DataError.self) { try TokenizerTrainer(vocabularySize: 1000, specialTokens: ["<a>"]) }
        #expect(throws: DataError.self) { try TokenizerTrainer(vocabularySize: 1000, specialTokens: ["<a>", "b"]) }
    }

    @Test func aCorpusThatIsTooSmallGivesASmallerVocabulary() throws {
        var trainer = try TokenizerTrainer(vocabularySize: 1000)
        trainer.add("abab abab")
        let vocabulary = trainer.train()
        #expect(vocabulary.names.count < 265 && vocabulary.names.contains("abab"))
        #expect(try vocabulary.tokenizer().encode("abab", addSpecial: false).count == 1)
    }
}
