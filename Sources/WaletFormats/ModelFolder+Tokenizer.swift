// What a tokenizer is made of, as bytes and plain values: this target does not know tokenizers.

import WaletJSON

/// The tokenizer's files, as they are; nil where there is none.
public struct TokenizerFiles: Sendable {
    /// `tokenizer.json`
    public var tokenizer: [UInt8]?
    /// `tokenizer_config.json`
    public var configuration: [UInt8]?
    /// `special_tokens_map.json`
    public var specialTokens: [UInt8]?
    /// `tiktoken.model`
    public var tiktoken: [UInt8]?
    /// `chat_template.jinja`, or `tokenizer.chat_template` of GGUF.
    public var chatTemplate: String?
    public var gguf: GGUFVocabulary?
    /// For error messages: where the vocabulary lies.
    public var source: String

    public init(source: String) { self.source = source }
}

/// `tokenizer.ggml.*` of a GGUF file.
public struct GGUFVocabulary: Sendable {
    /// `gpt2` (byte-level BPE) or `llama` (SentencePiece), and others.
    public var model: String
    /// Name of the pre-tokenizer, such as `kimi-k2`.
    public var preTokenizer: String?
    /// Bytes that need not be UTF-8.
    public var tokens: [[UInt8]]
    /// 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte; nil where the file has none.
    public var types: [Int]?
    public var scores: [Float]?
    /// "left right" each.
    public var merges: [[UInt8]]?
    public var begin: Int?
    public var end: Int?
    public var endOfTurn: Int?
    public var endOfMessage: Int?
    public var unknown: Int?
    public var separator: Int?
    public var padding: Int?
    public var addsBegin: Bool?
    public var addsEnd: Bool?
    public var addsSpacePrefix: Bool?
    public var removesExtraSpaces: Bool?

    public init(model: String, preTokenizer: String? = nil, tokens: [[UInt8]]) {
        self.model = model
        self.preTokenizer = preTokenizer
        self.tokens = tokens
    }
}

extension ModelFolder {
    /// Reads what the tokenizer is made of. Nothing of it is read before.
    public func tokenizerFiles() throws(FormatError) -> TokenizerFiles {
        var files = TokenizerFiles(source: path)
        if let folder {
            func read(_ name: String, limit: Int) throws(FormatError) -> [UInt8]? {
                folder.has(name) ? try folder.read(name, limit: limit) : nil
            }
            files.tokenizer = try read("tokenizer.json", limit: Self.maximumTokenizer)
            files.configuration = try read("tokenizer_config.json", limit: Self.maximumJSON)
            files.specialTokens = try read("special_tokens_map.json", limit: Self.maximumJSON)
            files.tiktoken = try read("tiktoken.model", limit: Self.maximumTokenizer)
            if let template = try read("chat_template.jinja", limit: 4 << 20) {
                guard let text = String(validating: template, as: UTF8.self) else {
                    throw FormatError(
                        file: folder.path("chat_template.jinja"), expected: "UTF-8 text", found: "other bytes")
                }
                files.chatTemplate = text
            }
        }
        if case .gguf(let set) = contents {
            files.gguf = try GGUFVocabulary(set)
            if files.chatTemplate == nil { files.chatTemplate = set["tokenizer.chat_template"]?.text }
        }
        return files
    }
}

extension GGUFVocabulary {
    /// Nil where the file has no vocabulary.
    init?(_ set: GGUFSet) throws(FormatError) {
        func failure(_ key: String, _ expected: String, _ found: String) -> FormatError {
            FormatError(file: set.path, field: "tokenizer.ggml." + key, expected: expected, found: found)
        }
        func value(_ key: String) -> GGUFValue? { set["tokenizer.ggml." + key] }
        func array<T>(
            _ key: String, _ kind: String, _ read: (GGUFArray) -> [T]?, count: Int? = nil
        ) throws(FormatError) -> [T]? {
            guard let value = value(key) else { return nil }
            guard let values = value.array.flatMap(read) else {
                throw failure(
                    key, "an array of \(kind)",
                    value.array.map { "an array of \($0.element.name)" } ?? "a value of type \(value.kind.name)")
            }
            guard count == nil || values.count == count else {
                throw failure(key, "one for each of the \(count ?? 0) tokens", "\(values.count)")
            }
            return values
        }
        func id(_ key: String) throws(FormatError) -> Int? {
            guard let value = value(key + "_token_id") else { return nil }
            guard let id = value.integer else {
                throw failure(key + "_token_id", "a token id", "a value of type \(value.kind.name)")
            }
            return tokens.indices.contains(id) ? id : nil
        }
        func flag(_ key: String) throws(FormatError) -> Bool? {
            guard let value = value(key) else { return nil }
            guard let flag = value.bool else { throw failure(key, "a bool", "a value of type \(value.kind.name)") }
            return flag
        }
        guard let tokens = try array("tokens", "strings", \.strings) else { return nil }
        guard let model = value("model")?.text else {
            throw failure("model", "the kind of vocabulary", value("model") == nil ? "nothing" : "no string")
        }
        self.tokens = tokens
        self.model = model
        preTokenizer = value("pre")?.text
        types = try array("token_type", "integers", \.integers, count: tokens.count)
        scores = try array("scores", "numbers", \.floats, count: tokens.count)
        merges = try array("merges", "strings", \.strings)
        begin = try id("bos")
        end = try id("eos")
        endOfTurn = try id("eot")
        endOfMessage = try id("eom")
        unknown = try id("unknown")
        separator = try id("seperator")
        padding = try id("padding")
        addsBegin = try flag("add_bos_token")
        addsEnd = try flag("add_eos_token")
        addsSpacePrefix = try flag("add_space_prefix")
        removesExtraSpaces = try flag("remove_extra_whitespaces")
    }
}
