import Testing
import WaletJSON
import WaletText

/// Files that are damaged or made to harm: a typed error or a tokenizer that works, never a trap, a hang, or memory
/// without bound.
@Suite struct TokenizerRobustnessTests {
    /// A byte-level vocabulary of a few kilobytes with every kind of part.
    static func smallJSON() throws -> JSONValue {
        let llama = try TokenizerFixtures.json("llama/tokenizer.json")
        var root = try #require(llama.objectValue)
        var model = try #require(root["model"]?.objectValue)
        let vocabulary = try #require(model["vocab"]?.objectValue)
        let merges = try #require(model["merges"]?.arrayValue).prefix(24)
        var kept = JSONObject(vocabulary.members.filter { ($0.1.intValue ?? 0) < 256 + 24 }.map { ($0.0, $0.1) })
        kept["<unk>"] = 280
        model["vocab"] = .object(kept)
        // The newer way to write merges, and the older.
        model["merges"] = .array(
            merges.enumerated().map { index, merge in
                let pair = merge.arrayValue?.compactMap(\.stringValue) ?? []
                return index % 2 == 0 ? merge : .string(pair.joined(separator: " "))
            })
        model["unk_token"] = "<unk>"
        root["model"] = .object(model)
        root["added_tokens"] = .array(
            try #require(root["added_tokens"]?.arrayValue).enumerated().map { index, token in
                var token = token.objectValue ?? JSONObject()
                token["id"] = .int(281 + index)
                return .object(token)
            })
        root["post_processor"] = [
            "type": "TemplateProcessing", "pair": [],
            "single": [
                ["SpecialToken": ["id": "<|begin_of_text|>", "type_id": 0]], ["Sequence": ["id": "A", "type_id": 0]],
            ],
            "special_tokens": ["<|begin_of_text|>": ["id": "<|begin_of_text|>", "ids": [281], "tokens": ["x"]]],
        ]
        return .object(root)
    }

    static let sample = "Hello  <|im_end|> wörld 123 字 <left>e\u{301}\u{1F600}\n"

    /// Uses a tokenizer, so that what a damaged file let through shows.
    static func exercise(_ tokenizer: Tokenizer) {
        let ids = tokenizer.encode(sample, addSpecial: true)
        _ = tokenizer.encode(sample, addSpecial: false, special: .recognized(outside: [3..<20]))
        _ = tokenizer.decode(ids + [-1, 1 << 40, 300, 5], skipSpecial: false)
        _ = (tokenizer.bosID, tokenizer.bytes(of: 7), tokenizer.id(ofToken: "<|im_end|>"), tokenizer.isSpecial(281))
    }

    @Test func everyTruncationOfTokenizerJSONIsATypedError() throws {
        let bytes = Array(try Self.smallJSON().text(.compact).utf8)
        #expect(bytes.count < 20_000)
        #expect(throws: Never.self) { Self.exercise(try Tokenizer(tokenizerJSON: bytes)) }
        for count in 0..<bytes.count {
            #expect(throws: TokenizerError.self) { try Tokenizer(tokenizerJSON: bytes[..<count]) }
        }
    }

    @Test func survivesMutatedBytesOfTokenizerJSON() throws {
        let bytes = Array(try Self.smallJSON().text(.compact).utf8)
        var random = SeededGenerator(state: 1)
        var working = 0
        for _ in 0..<10_000 {
            let mutated = Self.mutate(bytes, &random)
            do throws(TokenizerError) {
                Self.exercise(try Tokenizer(tokenizerJSON: mutated))
                working += 1
            } catch {
                #expect(!error.description.isEmpty)
            }
        }
        #expect(working > 100)
    }

    @Test func survivesMutatedValuesOfTokenizerJSON() throws {
        let json = try Self.smallJSON()
        let configuration = try TokenizerFixtures.json("llama/tokenizer_config.json")
        var random = SeededGenerator(state: 2)
        var working = 0
        for _ in 0..<10_000 {
            var mutated = json
            for _ in 0..<Int.random(in: 1...3, using: &random) { mutated = Self.mutate(mutated, &random, depth: 0) }
            do throws(TokenizerError) {
                Self.exercise(try Tokenizer(tokenizerJSON: mutated, configuration: configuration))
                working += 1
            } catch {
                #expect(!error.description.isEmpty)
            }
        }
        #expect(working > 100)
    }

    @Test func survivesTruncatedAndMutatedTiktokenModels() throws {
        let whole = try TokenizerFixtures.bytes("kimi/tiktoken.model")
        let lines = whole.split(separator: 0x0A).prefix(300)
        let bytes = Array(lines.joined(separator: [0x0A]))
        let configuration: JSONValue = [
            "added_tokens_decoder": ["300": ["content": "[BOS]"], "301": ["content": "<|im_end|>", "special": false]],
            "bos_token": "[BOS]",
        ]
        let good = try Tokenizer(tiktokenModel: bytes, configuration: configuration)
        #expect(good.vocabularySize == 300 + 256)
        #expect(good.bosID == 300)
        Self.exercise(good)
        var random = SeededGenerator(state: 3)
        for attempt in 0..<20_000 + bytes.count {
            let mutated = attempt < bytes.count ? Array(bytes[..<attempt]) : Self.mutate(bytes, &random)
            do throws(TokenizerError) {
                Self.exercise(try Tokenizer(tiktokenModel: mutated, configuration: configuration))
            } catch {
                #expect(!error.description.isEmpty)
            }
        }
    }

    @Test(arguments: ["gpt2", "llama"])
    func survivesMutatedGGUFVocabularies(_ model: String) throws {
        let good = try Self.smallVocabulary(model)
        Self.exercise(try Tokenizer(vocabulary: good))
        var random = SeededGenerator(state: 4)
        var working = 0
        for _ in 0..<20_000 {
            var mutated = good
            for _ in 0..<Int.random(in: 1...3, using: &random) { Self.mutate(&mutated, &random) }
            do throws(TokenizerError) {
                Self.exercise(try Tokenizer(vocabulary: mutated))
                working += 1
            } catch {
                #expect(!error.description.isEmpty)
            }
        }
        #expect(working > 100)
    }

    @Test func namesWhatItDoesNotSupport() throws {
        func error(_ change: (inout JSONObject) -> Void) throws -> String {
            var json = try #require(try Self.smallJSON().objectValue)
            change(&json)
            do throws(TokenizerError) {
                _ = try Tokenizer(tokenizerJSON: .object(json))
                return "none"
            } catch { return error.description }
        }
        #expect(
            try error { $0["normalizer"] = ["type": "Precompiled", "precompiled_charsmap": "AA=="] }.contains(
                "\"Precompiled\"; supported: Sequence, NFC"))
        #expect(try error { $0["pre_tokenizer"] = ["type": "BertPreTokenizer"] }.contains("BertPreTokenizer"))
        #expect(try error { $0["decoder"] = ["type": "WordPiece"] }.contains("WordPiece"))
        #expect(try error { $0["post_processor"] = ["type": "BertProcessing"] }.contains("BertProcessing"))
        #expect(try error { $0["model"] = ["type": "Unigram"] }.contains("Unigram"))
        #expect(throws: TokenizerError.self) {
            try Tokenizer(vocabulary: GGUFVocabulary(model: "bert", tokens: [[65]]))
        }
        do throws(TokenizerError) {
            _ = try Tokenizer(vocabulary: GGUFVocabulary(model: "gpt2", pre: "viking", tokens: [[65]]))
            Issue.record("no error")
        } catch {
            #expect(error.description.contains("viking") && error.description.contains("deepseek-v3"))
        }
    }

    @Test func refusesVocabulariesThatContradictThemselves() throws {
        func vocabulary(_ change: (inout GGUFVocabulary) -> Void, _ model: String = "gpt2") throws -> GGUFVocabulary {
            var vocabulary = try Self.smallVocabulary(model)
            change(&vocabulary)
            return vocabulary
        }
        let bad = try [
            vocabulary { $0.tokens[9] = $0.tokens[8] }, vocabulary { $0.merges[0] = Array("Q qq".utf8) },
            vocabulary { $0.merges[0] = Array("Q".utf8) }, vocabulary { $0.bosID = -1 },
            vocabulary { $0.eosID = 1 << 40 }, vocabulary { $0.tokenTypes.removeLast() },
            vocabulary { $0.tokens = [] }, vocabulary({ $0.scores = [] }, "llama"),
            vocabulary(
                {
                    $0.tokens[260] = Array("<0x-1>".utf8); $0.tokenTypes[260] = 6
                }, "llama"),
            vocabulary({ $0.scores[7] = .nan }, "llama"),
            vocabulary {
                $0.tokens[5] = [0xFF, 0xC3]; $0.tokenTypes[5] = 3
            },
            vocabulary {
                $0.tokens[5] = [UInt8](repeating: 65, count: 1 << 20); $0.tokenTypes[5] = 3
            },
        ]
        for vocabulary in bad {
            #expect(throws: TokenizerError.self) { try Tokenizer(vocabulary: vocabulary) }
        }
        // A token of a megabyte is of no use and does no harm.
        let large = try vocabulary { $0.tokens[5] = [UInt8](repeating: 65, count: 1 << 20) }
        Self.exercise(try Tokenizer(vocabulary: large))
    }

    @Test func refusesIDsThatWouldNeedLargeTables() throws {
        for id in [JSONValue.int(-1), .int(3_000_000_000), .int(.max), .double(0.5), .string("1")] {
            var json = try #require(try Self.smallJSON().objectValue)
            var model = try #require(json["model"]?.objectValue)
            var vocabulary = try #require(model["vocab"]?.objectValue)
            vocabulary["<unk>"] = id
            model["vocab"] = .object(vocabulary)
            json["model"] = .object(model)
            #expect(throws: TokenizerError.self) { try Tokenizer(tokenizerJSON: .object(json)) }
        }
        // Holes are allowed.
        var json = try #require(try Self.smallJSON().objectValue)
        var added = try #require(json["added_tokens"]?.arrayValue)
        added[2] = ["id": 5000, "content": "<far>", "special": true, "normalized": false]
        json["added_tokens"] = .array(added)
        let tokenizer = try Tokenizer(tokenizerJSON: .object(json))
        #expect(tokenizer.vocabularySize == 5001)
        #expect(tokenizer.encode("<far>", addSpecial: false) == [5000])
        #expect(tokenizer.bytes(of: 4000) == nil)
        #expect(tokenizer.decode([4000, 5000], skipSpecial: false) == "<far>")
    }

    @Test(arguments: [
        "(a+)+$", "(a|a)*b", "(.*)*x", "a*a*a*a*a*a*b", "(?:(?:(?:a?){9}){9}){9}b", #"(\p{L}*)*\p{N}"#, #"(a*)\1b"#,
        "(?=(a+))a*b", #"\s+$"#, "(a?){40}a{40}", "", "a*", "|", "^", "$", "(?=a)", "(?<=a)",
    ])
    func hostilePatternsEndInTime(_ pattern: String) throws {
        var json = try #require(try Self.smallJSON().objectValue)
        json["pre_tokenizer"] = [
            "type": "Sequence",
            "pretokenizers": [
                ["type": "Split", "pattern": ["Regex": .string(pattern)], "behavior": "Isolated", "invert": false],
                ["type": "ByteLevel", "add_prefix_space": false, "use_regex": false],
            ],
        ]
        let tokenizer = try Tokenizer(tokenizerJSON: .object(json))
        for text in [String(repeating: "a", count: 50_000), String(repeating: " ", count: 50_000) + "x", "aab ab"] {
            var ids: [Int] = []
            let seconds = TokenizerSpeedTests.seconds { ids = tokenizer.encode(text, addSpecial: false) }
            if seconds > 0.2 { print("tokenizer: \(pattern) ends after \(seconds) s") }
            #expect(seconds < 60)
            #expect(tokenizer.decode(ids, skipSpecial: false) == text)
        }
    }

    @Test(arguments: [
        "(", ")", "[", "a{2,1}", "a{1001}", "*a", "a**", "(?x)a", "(?R)", #"\Q"#, #"\K"#, "(*FAIL)", #"\p{Klingon}"#,
        "[[:klingon:]]", "[b-a]", #"\x{110000}"#, #"\xZZ"#, "\\", "(?<a", "(?(1)a)", #"\g<1>"#, #"[a-\s]"#, #"\12"#,
    ])
    func refusesPatternsThatItCannotHonour(_ pattern: String) throws {
        #expect(throws: TokenizerError.self) {
            try Tokenizer(tiktokenModel: TokenizerFixtures.bytes("kimi/tiktoken.model"), pattern: pattern)
        }
        var json = try #require(try Self.smallJSON().objectValue)
        json["pre_tokenizer"] = [
            "type": "Split", "pattern": ["Regex": .string(pattern)], "behavior": "Isolated", "invert": false,
        ]
        #expect(throws: TokenizerError.self) { try Tokenizer(tokenizerJSON: .object(json)) }
    }

    @Test func refusesReplacementsThatExplode() throws {
        var json = try #require(try Self.smallJSON().objectValue)
        let double: JSONValue = ["type": "Replace", "pattern": ["String": "a"], "content": "aa"]
        json["normalizer"] = ["type": "Sequence", "normalizers": .array(Array(repeating: double, count: 40))]
        #expect(throws: TokenizerError.self) { try Tokenizer(tokenizerJSON: .object(json)) }
    }

    @Test func refusesDeepNesting() throws {
        var json = try #require(try Self.smallJSON().objectValue)
        for (key, inner) in [
            ("normalizer", "normalizers"), ("pre_tokenizer", "pretokenizers"), ("decoder", "decoders"),
            ("post_processor", "processors"),
        ] {
            var value: JSONValue = ["type": "ByteLevel"]
            for _ in 0..<1000 { value = .object(JSONObject([("type", "Sequence"), (inner, .array([value]))])) }
            let old = json[key]
            json[key] = value
            #expect(throws: TokenizerError.self) { try Tokenizer(tokenizerJSON: .object(json)) }
            json[key] = old
        }
    }

    // MARK: Mutations

    static func smallVocabulary(_ model: String) throws -> GGUFVocabulary {
        if model == "llama" {
            var whole = TokenizerFixtures.vocabulary(try TokenizerFixtures.json("sentencepiece.json"))
            whole.tokens = Array(whole.tokens.prefix(400))
            whole.tokenTypes = Array(whole.tokenTypes.prefix(400))
            whole.scores = Array(whole.scores.prefix(400))
            return whole
        }
        let json = try smallJSON()
        let members = json["model"]?["vocab"]?.objectValue?.members.sorted { $0.1.intValue! < $1.1.intValue! } ?? []
        return GGUFVocabulary(
            model: "gpt2", pre: "llama-bpe", tokens: members.map { Array($0.0.utf8) } + [Array("<|im_end|>".utf8)],
            tokenTypes: members.map { _ in 1 } + [3],
            merges: json["model"]?["merges"]?.arrayValue?.map { merge in
                Array(
                    (merge.stringValue ?? merge.arrayValue?.compactMap(\.stringValue).joined(separator: " ") ?? "").utf8
                )
            } ?? [], bosID: 3, eosID: 4)
    }

    static func mutate(_ bytes: [UInt8], _ random: inout SeededGenerator) -> [UInt8] {
        var bytes = bytes
        for _ in 0..<Int.random(in: 1...4, using: &random) where !bytes.isEmpty {
            let at = Int.random(in: 0..<bytes.count, using: &random)
            switch Int.random(in: 0..<6, using: &random) {
            case 0: bytes[at] = UInt8.random(in: 0...255, using: &random)
            case 1: bytes[at] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            case 2: bytes.insert(UInt8.random(in: 0x20...0x7E, using: &random), at: at)
            case 3: bytes.removeSubrange(at..<min(bytes.count, at + Int.random(in: 1...8, using: &random)))
            case 4:
                let end = min(bytes.count, at + Int.random(in: 1...40, using: &random))
                bytes.insert(contentsOf: bytes[at..<end], at: at)
            default: bytes[at] = Array("0123456789\"{}[],:-.\\eE ".utf8).randomElement(using: &random)!
            }
        }
        return bytes
    }

    static func mutate(_ value: JSONValue, _ random: inout SeededGenerator, depth: Int) -> JSONValue {
        let stop = depth > 0 && Int.random(in: 0..<(depth < 2 ? 12 : 3), using: &random) == 0
        switch value {
        case .object(var object) where !stop && !object.isEmpty:
            let key = object.keys.randomElement(using: &random)!
            if Int.random(in: 0..<12, using: &random) == 0 {
                object[key] = nil
            } else {
                object[key] = mutate(object[key]!, &random, depth: depth + 1)
            }
            return .object(object)
        case .array(var array) where !stop && !array.isEmpty:
            let index = Int.random(in: 0..<array.count, using: &random)
            switch Int.random(in: 0..<12, using: &random) {
            case 0: array.remove(at: index)
            case 1: array.append(array[index])
            case 2: array.swapAt(0, index)
            default: array[index] = mutate(array[index], &random, depth: depth + 1)
            }
            return .array(array)
        default:
            let pool: [JSONValue] = [
                nil, true, false, 0, 1, -1, 7, 255, 280, 281, 300, 65535, 2_147_483_647, 2_147_483_648, .int(.min),
                .int(.max),
                0.5, 1e300, "", "a", "Ġ", "Ġ t", "e e", " ", "<0x0A>", "<0x-1>", "\u{0}", "é", "e\u{301}", "ByteLevel",
                "Sequence", "Metaspace", "NFC", "Lowercase", "Removed", "(a+)+b", #"\p{L}+|\s"#, "[", [], [[]], [:],
                ["type": "ByteLevel"], ["type": "NFKC"], ["Regex": "a|b"], ["String": ""],
                .string(String(repeating: "x", count: 5000)),
            ]
            return pool.randomElement(using: &random)!
        }
    }

    static func mutate(_ vocabulary: inout GGUFVocabulary, _ random: inout SeededGenerator) {
        func bytes(_ random: inout SeededGenerator) -> [UInt8] {
            let pool: [[UInt8]] = [
                [], [0xFF], [0xC3], [0xE2, 0x96], [0x20], Array("<0x-1>".utf8), Array("<0xZZ>".utf8),
                Array("<0x41>".utf8),
                Array("Ġ".utf8), Array("Ġ Ġ".utf8), Array(" a".utf8), Array("a ".utf8), Array("a b c".utf8),
                Array("▁".utf8),
                [UInt8](repeating: 97, count: 5000), [0], Array("<|im_end|>".utf8),
            ]
            return pool.randomElement(using: &random)!
        }
        func id(_ random: inout SeededGenerator) -> Int? {
            [nil, -1, 0, 5, 279, 281, 400, 1 << 31, .max, .min].randomElement(using: &random)!
        }
        switch Int.random(in: 0..<12, using: &random) {
        case 0...2:
            guard !vocabulary.tokens.isEmpty else { return }
            vocabulary.tokens[Int.random(in: 0..<vocabulary.tokens.count, using: &random)] = bytes(&random)
        case 3...4:
            guard !vocabulary.tokenTypes.isEmpty else { return }
            vocabulary.tokenTypes[Int.random(in: 0..<vocabulary.tokenTypes.count, using: &random)] =
                [0, 1, 2, 3, 4, 5, 6, 7, -1, .max].randomElement(using: &random)!
        case 5:
            guard !vocabulary.merges.isEmpty else { return }
            vocabulary.merges[Int.random(in: 0..<vocabulary.merges.count, using: &random)] = bytes(&random)
        case 6:
            guard !vocabulary.scores.isEmpty else { return }
            vocabulary.scores[Int.random(in: 0..<vocabulary.scores.count, using: &random)] =
                [.nan, .infinity, -.infinity, 0, -0.0, 1e30].randomElement(using: &random)!
        case 7: (vocabulary.bosID, vocabulary.eosID) = (id(&random), id(&random))
        case 8: (vocabulary.unknownID, vocabulary.padID) = (id(&random), id(&random))
        case 9:
            vocabulary.pre = ["", "qwen2", "smollm", "deepseek-llm", "kimi-k2", "nothing"].randomElement(
                using: &random)!
        case 10: (vocabulary.addBOS, vocabulary.addEOS, vocabulary.addSpacePrefix) = (true, true, false)
        default:
            let count = Int.random(in: 0...vocabulary.tokens.count, using: &random)
            vocabulary.tokens = Array(vocabulary.tokens.prefix(count))
            vocabulary.tokenTypes = Array(vocabulary.tokenTypes.prefix(count))
            vocabulary.scores = Array(vocabulary.scores.prefix(count))
        }
    }
}
