import Testing
import WaletJSON
import WaletText

/// Ids and texts against `tokenizers`, `tiktoken` and `sentencepiece`; Tools/make_tokenizer_fixtures.py made them.
@Suite struct TokenizerReferenceTests {
    enum Vocabulary: String, CaseIterable {
        case smollm2, deepseek, kimi, llama, sentencepiece

        func tokenizer() throws -> Tokenizer {
            switch self {
            case .smollm2: try TokenizerFixtures.smolLM2()
            case .deepseek: try TokenizerFixtures.deepSeek()
            case .kimi: try TokenizerFixtures.kimi()
            case .llama: try TokenizerFixtures.llama()
            case .sentencepiece: try TokenizerFixtures.sentencePiece()
            }
        }
    }

    @Test(arguments: Vocabulary.allCases)
    func givesTheIDsOfTheReference(_ vocabulary: Vocabulary) throws {
        let tokenizer = try vocabulary.tokenizer()
        let strings = TokenizerFixtures.strings
        #expect(strings.count >= 20_000)
        var reader = FixtureReader(bytes: try TokenizerFixtures.bytes("\(vocabulary.rawValue).ids"))
        var differing = 0
        for text in strings {
            let expected = reader.numbers()
            // What sentencepiece is asked for here has no control tokens in it.
            let ids = tokenizer.encode(
                text, addSpecial: vocabulary == .llama, special: vocabulary == .sentencepiece ? .asText : .recognized)
            guard ids != expected else { continue }
            differing += 1
            if differing <= 5 { Issue.record("\(text.debugDescription): \(ids), expected \(expected)") }
        }
        #expect(differing == 0, "\(differing) of \(strings.count) texts")
        #expect(reader.isAtEnd)
    }

    @Test(arguments: [Vocabulary.smollm2, .deepseek, .kimi, .sentencepiece])
    func decodesWhatItEncoded(_ vocabulary: Vocabulary) throws {
        let tokenizer = try vocabulary.tokenizer()
        for text in TokenizerFixtures.strings {
            // SentencePiece writes a space as U+2581 and cannot tell the two apart.
            if vocabulary == .sentencepiece, text.unicodeScalars.contains("\u{2581}") { continue }
            for special in [SpecialTokens.recognized, .asText] {
                if vocabulary == .sentencepiece, case let ids = tokenizer.encode(text, addSpecial: false),
                    ids.contains(where: tokenizer.isSpecial)
                {
                    continue
                }
                let ids = tokenizer.encode(text, addSpecial: false, special: special)
                let decoded = tokenizer.decode(ids, skipSpecial: false)
                #expect(decoded.utf8.elementsEqual(text.utf8), "\(text.debugDescription) -> \(ids) -> \(decoded)")
            }
        }
    }

    @Test(arguments: [Vocabulary.smollm2, .deepseek, .kimi, .llama])
    func decodesRandomIDsAsTheReference(_ vocabulary: Vocabulary) throws {
        let tokenizer = try vocabulary.tokenizer()
        var reader = FixtureReader(bytes: try TokenizerFixtures.bytes("\(vocabulary.rawValue).decode"))
        var count = 0
        while !reader.isAtEnd {
            let ids = reader.numbers()
            for skipSpecial in [false, true] {
                let expected = reader.text()
                let text = tokenizer.decode(ids, skipSpecial: skipSpecial)
                #expect(text.utf8.elementsEqual(expected.utf8), "\(ids) skipping \(skipSpecial)")
            }
            count += 1
        }
        #expect(count == 1500)
    }

    @Test func followsEveryKindOfPipeline() throws {
        let file = try TokenizerFixtures.json("variants.json")
        let llama = try TokenizerFixtures.json("llama/tokenizer.json")
        let strings = stride(from: 0, to: TokenizerFixtures.strings.count, by: 20).map { TokenizerFixtures.strings[$0] }
        var ids = FixtureReader(bytes: try TokenizerFixtures.bytes("variants.ids"))
        var texts = FixtureReader(bytes: try TokenizerFixtures.bytes("variants.texts"))
        for variant in try #require(file["variants"]?.arrayValue) {
            var json = try #require(variant.objectValue)
            let name = try #require(json["name"]?.stringValue)
            var model = try #require(json["model_options"]?.objectValue)
            let source = json["model"] == "characters" ? file["characters"] : llama["model"]
            model["vocab"] = source?["vocab"]
            model["merges"] = source?["merges"]
            json["model"] = .object(model)
            let tokenizer: Tokenizer
            do { tokenizer = try Tokenizer(tokenizerJSON: .object(json)) } catch {
                Issue.record("\(name): \(error)")
                for _ in strings { (_, _) = (ids.numbers(), texts.text()) }
                continue
            }
            var differing = 0
            for text in strings {
                let expected = ids.numbers()
                let expectedText = texts.text()
                let found = tokenizer.encode(text, addSpecial: true)
                let decoded = tokenizer.decode(expected, skipSpecial: false)
                if found != expected || !decoded.utf8.elementsEqual(expectedText.utf8) {
                    differing += 1
                    if differing <= 3 {
                        Issue.record(
                            """
                            \(name), \(text.debugDescription): \(found), expected \(expected); \
                            \(decoded.debugDescription), expected \(expectedText.debugDescription)
                            """)
                    }
                }
            }
            #expect(differing == 0, "\(name): \(differing) of \(strings.count) texts")
        }
    }
}
