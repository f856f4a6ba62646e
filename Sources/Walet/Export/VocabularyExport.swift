// A model's tokenizer files as the vocabulary of a GGUF file.

import WaletFormats
import WaletJSON
import WaletText

/// What a GGUF file says of a model's text side.
///
/// ```swift
/// let text = try VocabularyExport(model)
/// let export = try GGUFExport(model, vocabulary: text?.vocabulary, chatTemplate: text?.chatTemplate)
/// ```
public struct VocabularyExport: Sendable {
    public let vocabulary: WaletFormats.GGUFVocabulary
    public let chatTemplate: String?

    /// Reads `tokenizer.json` or `tiktoken.model` with what lies beside them. Nil where there is neither.
    /// - Throws: `FormatError` for a tokenizer that no name of GGUF's stands for exactly.
    public init?(_ model: ModelFolder) throws {
        let files = try model.tokenizerFiles()
        guard let text = try LanguageModel.Vocabulary(name: model.path, files: model) else { return nil }
        chatTemplate = text.template?.source
        let tokenizer = text.tokenizer
        var vocabulary: WaletFormats.GGUFVocabulary
        do {
            if let bytes = files.tokenizer {
                vocabulary = try Self.byteLevel(try JSONValue(parsing: bytes), tokenizer)
            } else {
                vocabulary = Self.ranked(tokenizer)
            }
        } catch let error as FormatError {
            throw error
        } catch {
            throw FormatError(
                file: files.source, field: "tokenizer", expected: "one that GGUF can say", found: "\(error)")
        }
        vocabulary.begin = tokenizer.bosID
        vocabulary.end = tokenizer.eosID
        vocabulary.padding = tokenizer.padID
        let others = text.endTokens.filter { $0 != tokenizer.eosID }
        vocabulary.endOfTurn = others.first
        vocabulary.endOfMessage = others.first { $0 != others.first }
        let frame = tokenizer.encode("", addSpecial: true)
        vocabulary.addsBegin = !frame.isEmpty && frame.first == tokenizer.bosID
        vocabulary.addsEnd = frame.count > (vocabulary.addsBegin == true ? 1 : 0)
        let expected = [
            vocabulary.addsBegin == true ? tokenizer.bosID : nil, vocabulary.addsEnd == true ? tokenizer.eosID : nil,
        ]
        guard frame == expected.compactMap({ $0 }) else {
            throw FormatError(
                file: files.source, field: "post_processor",
                expected: "the tokens that begin and end a text, or none, around it", found: "\(frame)")
        }
        self.vocabulary = vocabulary
    }

    private static let normal = 1
    private static let control = 3
    private static let userDefined = 4

    private static func type(_ id: Int, _ tokenizer: Tokenizer) -> Int {
        tokenizer.isSpecial(id) ? control : tokenizer.isAdded(id) ? userDefined : normal
    }

    /// A byte-level tokenizer.json: its names are GGUF's names.
    private static func byteLevel(
        _ json: JSONValue, _ tokenizer: Tokenizer
    ) throws -> WaletFormats.GGUFVocabulary {
        let name = try GGUFPreTokenizer.name(of: json)
        var tokens = (0..<tokenizer.vocabularySize).map { WaletFormats.GGUFVocabulary.filler($0) }
        var types = [Int](repeating: WaletFormats.GGUFVocabulary.unused, count: tokens.count)
        for (name, value) in json["model"]?["vocab"]?.objectValue?.members ?? JSONObject().members {
            guard let id = value.intValue, tokens.indices.contains(id) else { continue }
            tokens[id] = Array(name.utf8)
            types[id] = normal
        }
        // An added token stands for its text, whatever bytes its name would be.
        for id in tokens.indices where tokenizer.isAdded(id) {
            tokens[id] = tokenizer.bytes(of: id) ?? tokens[id]
            types[id] = type(id, tokenizer)
        }
        var vocabulary = WaletFormats.GGUFVocabulary(model: "gpt2", preTokenizer: name, tokens: tokens)
        vocabulary.types = types
        vocabulary.merges = (json["model"]?["merges"]?.arrayValue ?? []).map { merge in
            let pair = merge.arrayValue?.compactMap(\.stringValue).joined(separator: " ")
            return Array((pair ?? merge.stringValue ?? "").utf8)
        }
        return vocabulary
    }

    /// Kimi's tiktoken.model: ranks, of which llama.cpp's converter makes merges too.
    private static func ranked(_ tokenizer: Tokenizer) -> WaletFormats.GGUFVocabulary {
        let tokens = (0..<tokenizer.vocabularySize).map { tokenizer.bytes(of: $0) ?? [] }
        let names = tokens.indices.map { tokenizer.isAdded($0) ? tokens[$0] : ByteAlphabet.encode(tokens[$0]) }
        let count = tokens.indices.first { tokenizer.isAdded($0) } ?? tokens.count
        var vocabulary = WaletFormats.GGUFVocabulary(model: "gpt2", preTokenizer: "kimi-k2", tokens: names)
        vocabulary.types = tokens.indices.map { type($0, tokenizer) }
        vocabulary.merges = RankMerges.pairs(Array(tokens[..<count])).map { names[$0.left] + [0x20] + names[$0.right] }
        return vocabulary
    }
}
