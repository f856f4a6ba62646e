// Builds a tokenizer from the vocabulary that a GGUF file carries in its metadata.

/// The `tokenizer.ggml.*` metadata of a GGUF file, as plain values.
public struct GGUFVocabulary: Sendable {
    /// `model`: "gpt2" for byte-level BPE, "llama" for SentencePiece BPE.
    public var model: String
    /// `pre`: names the pre-tokenizer of a "gpt2" vocabulary. Empty where the file has none.
    public var pre: String
    /// `tokens`, by id: UTF-8, though nothing checks that.
    public var tokens: [[UInt8]]
    /// `token_type`, by id: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte. May be empty.
    public var tokenTypes: [Int]
    /// `merges` of "gpt2", in order, each "left right".
    public var merges: [[UInt8]]
    /// `scores` of "llama", by id.
    public var scores: [Float]
    public var bosID: Int?
    public var eosID: Int?
    /// `eot_token_id`: the end of a turn.
    public var eotID: Int?
    public var unknownID: Int?
    public var padID: Int?
    /// `add_bos_token`; nil where the file does not say.
    public var addBOS: Bool?
    /// `add_eos_token`; nil where the file does not say.
    public var addEOS: Bool?
    /// `add_space_prefix`; nil where the file does not say.
    public var addSpacePrefix: Bool?

    public init(
        model: String, pre: String = "", tokens: [[UInt8]], tokenTypes: [Int] = [], merges: [[UInt8]] = [],
        scores: [Float] = [], bosID: Int? = nil, eosID: Int? = nil, eotID: Int? = nil, unknownID: Int? = nil,
        padID: Int? = nil, addBOS: Bool? = nil, addEOS: Bool? = nil, addSpacePrefix: Bool? = nil
    ) {
        self.model = model
        self.pre = pre
        self.tokens = tokens
        self.tokenTypes = tokenTypes
        self.merges = merges
        self.scores = scores
        self.bosID = bosID
        self.eosID = eosID
        self.eotID = eotID
        self.unknownID = unknownID
        self.padID = padID
        self.addBOS = addBOS
        self.addEOS = addEOS
        self.addSpacePrefix = addSpacePrefix
    }
}

extension Tokenizer {
    /// Builds a tokenizer from a GGUF file's vocabulary. The ids are those of the tokenizer that the file was
    /// converted from.
    /// - Throws: ``TokenizerError`` for a kind of vocabulary or pre-tokenizer that Walet does not know, lists whose
    ///   lengths disagree, ids out of range, or merges that name no token.
    public init(vocabulary: GGUFVocabulary) throws(TokenizerError) {
        let count = vocabulary.tokens.count
        guard count > 0, count < Int32.max else {
            throw .field(path: "tokenizer.ggml.tokens", expected: "an array of tokens", found: "\(count) tokens")
        }
        guard vocabulary.tokenTypes.isEmpty || vocabulary.tokenTypes.count == count else {
            throw .field(
                path: "tokenizer.ggml.token_type", expected: "\(count) types", found: "\(vocabulary.tokenTypes.count)")
        }
        for (key, id) in [
            ("bos_token_id", vocabulary.bosID), ("eos_token_id", vocabulary.eosID), ("eot_token_id", vocabulary.eotID),
            ("unknown_token_id", vocabulary.unknownID), ("padding_token_id", vocabulary.padID),
        ] {
            if let id, id < 0 || id >= count {
                throw .field(path: "tokenizer.ggml.\(key)", expected: "an id below \(count)", found: "\(id)")
            }
        }
        var parts: Parts
        switch vocabulary.model {
        case "gpt2": parts = try Self.byteLevel(vocabulary)
        case "llama": parts = try Self.sentencePiece(vocabulary)
        default:
            throw .unsupported(
                part: "tokenizer.ggml.model", name: vocabulary.model, supported: ["gpt2", "llama"])
        }
        parts.bosID = vocabulary.bosID
        parts.eosID = vocabulary.eosID
        parts.padID = vocabulary.padID
        storage = try Storage(parts)
    }

    private static func text(of token: [UInt8]) -> String { String(decoding: token.prefix(120), as: UTF8.self) }

    private static func duplicate(_ token: [UInt8], _ id: Int) -> TokenizerError {
        .token(name: text(of: token), id: id, reason: "the name of another token too")
    }

    private static let unknown = 2
    private static let control = 3
    private static let userDefined = 4

    /// Whether a type of token is nothing that text is made of.
    private static func isControl(_ type: Int) -> Bool { type == control || type == unknown }

    private static func byteLevel(_ vocabulary: GGUFVocabulary) throws(TokenizerError) -> Parts {
        let scheme = try GGUFPreTokenizer(vocabulary.pre)
        let count = vocabulary.tokens.count
        var table = TokenTable(capacity: count)
        var names = TokenTable(capacity: 16)
        var output = TokenStrings(count: count)
        var added: [AddedToken] = []
        var scratch: [UInt8] = []
        for (id, token) in vocabulary.tokens.enumerated() {
            let type = vocabulary.tokenTypes.isEmpty ? 1 : vocabulary.tokenTypes[id]
            var isNew = true
            token.withUnsafeBufferPointer { bytes in
                if isControl(type) || type == userDefined {
                    added.append(AddedToken(content: Array(bytes), id: Int32(id), isSpecial: isControl(type)))
                    output.set(id, bytes)
                    return
                }
                scratch.removeAll(keepingCapacity: true)
                if ByteAlphabet.decode(bytes, into: &scratch) {
                    isNew = table.insert(scratch, id: Int32(id))
                    output.set(id, scratch)
                } else {
                    isNew = names.insert(bytes, id: Int32(id))
                    output.set(id, bytes)
                }
            }
            guard isNew else { throw duplicate(token, id) }
        }
        var pairs = PairTable(capacity: vocabulary.merges.count)
        var left: [UInt8] = []
        var right: [UInt8] = []
        for (index, merge) in vocabulary.merges.enumerated() {
            left.removeAll(keepingCapacity: true)
            right.removeAll(keepingCapacity: true)
            let isPair = merge.withUnsafeBufferPointer { bytes in
                guard let space = bytes.firstIndex(of: 0x20) else { return false }
                return ByteAlphabet.decode(UnsafeBufferPointer(rebasing: bytes[..<space]), into: &left)
                    && ByteAlphabet.decode(UnsafeBufferPointer(rebasing: bytes[(space + 1)...]), into: &right)
            }
            guard isPair else { throw .merge(index: index, reason: "not a pair of tokens") }
            let leftID = table.id(left)
            let rightID = table.id(right)
            let joined = table.id(left + right)
            guard leftID >= 0, rightID >= 0, joined >= 0 else {
                throw .merge(index: index, reason: "\"\(text(of: merge))\" names no token of the vocabulary")
            }
            pairs.insert(leftID, rightID, rank: UInt32(truncatingIfNeeded: index), id: joined)
        }
        var model = TokenModel(ranks: .pairs(pairs), table: table)
        model.byteIDs = (0..<256).map { table.id([UInt8($0)]) }
        model.takesWholePieces = scheme.takesWholePieces
        var parts = Parts(model: model, preTokenizer: scheme.preTokenizer, output: output)
        parts.names = names
        parts.added = added
        parts.normalizer = scheme.normalizer
        if vocabulary.addBOS ?? scheme.addsBOS, let bos = vocabulary.bosID { parts.prefix = [bos] }
        if vocabulary.addEOS ?? false, let eos = vocabulary.eosID { parts.suffix = [eos] }
        return parts
    }

    private static func sentencePiece(_ vocabulary: GGUFVocabulary) throws(TokenizerError) -> Parts {
        let count = vocabulary.tokens.count
        guard vocabulary.scores.count == count else {
            throw .field(
                path: "tokenizer.ggml.scores", expected: "\(count) scores", found: "\(vocabulary.scores.count)")
        }
        guard vocabulary.scores.allSatisfy({ !$0.isNaN }) else {
            throw .field(path: "tokenizer.ggml.scores", expected: "numbers", found: "NaN")
        }
        var table = TokenTable(capacity: count)
        var names = TokenTable(capacity: 16)
        var output = TokenStrings(count: count)
        var added: [AddedToken] = []
        var byteFallback = [Int32](repeating: -1, count: 256)
        var ranks = [UInt32](repeating: .max, count: count)
        var unknownID = vocabulary.unknownID
        var mergeable: [Int] = []
        for (id, token) in vocabulary.tokens.enumerated() {
            let type = vocabulary.tokenTypes.isEmpty ? 1 : vocabulary.tokenTypes[id]
            let text = IncrementalDecoder.replacing(SpacePrefix.mark, token)
            var isNew = true
            switch type {
            case unknown, control, userDefined:
                let content = type == userDefined ? text : token
                added.append(AddedToken(content: content, id: Int32(id), isSpecial: isControl(type)))
                output.set(id, content)
                if type == unknown, unknownID == nil { unknownID = id }
            case 6:
                guard let byte = ByteToken.value(token) else {
                    throw .token(name: Self.text(of: token), id: id, reason: "a byte token is written <0xNN>")
                }
                byteFallback[Int(byte)] = Int32(id)
                isNew = names.insert(token, id: Int32(id))
                output.set(id, [byte])
            case 1:
                isNew = table.insert(token, id: Int32(id))
                mergeable.append(id)
                output.set(id, text)
            default:
                isNew = names.insert(token, id: Int32(id))
                output.set(id, text)
            }
            guard isNew else { throw duplicate(token, id) }
        }
        // The higher the score, the sooner; equal scores share a rank, so that the leftmost pair wins.
        mergeable.sort { vocabulary.scores[$0] > vocabulary.scores[$1] }
        var rank: UInt32 = 0
        for (index, id) in mergeable.enumerated() {
            if index > 0, vocabulary.scores[id] != vocabulary.scores[mergeable[index - 1]] { rank += 1 }
            ranks[id] = rank
        }
        var model = TokenModel(ranks: .joined(JoinedRanks(table: table, ranks: ranks)), table: table)
        model.byteFallback = byteFallback.contains { $0 >= 0 } ? byteFallback : nil
        model.unknownID = unknownID.map { Int32($0) }
        model.fusesUnknown = true
        let addsPrefix = vocabulary.addSpacePrefix ?? true
        var parts = Parts(model: model, preTokenizer: PreTokenizer(steps: [], isByteLevel: false), output: output)
        parts.names = names
        parts.added = added
        parts.spacePrefix = addsPrefix ? .afterTokens : .escapesOnly
        if addsPrefix { parts.outputRules.stripCount = 1 }
        if vocabulary.addBOS ?? true, let bos = vocabulary.bosID { parts.prefix = [bos] }
        if vocabulary.addEOS ?? false, let eos = vocabulary.eosID { parts.suffix = [eos] }
        return parts
    }
}

/// What GGUF's `tokenizer.ggml.pre` stands for.
package struct GGUFPreTokenizer {
    let preTokenizer: PreTokenizer
    var normalizer: [TextNormalizer] = []
    var takesWholePieces = false
    var addsBOS = false

    static let supported = [
        "default", "gpt-2", "smollm", "llama-bpe", "llama3", "llama-v3", "smaug-bpe", "qwen2", "deepseek-llm",
        "deepseek-coder", "deepseek-v3", "deepseek-r1-qwen", "kimi-k2", "gpt-4o", "llama4",
    ]

    init(_ pre: String) throws(TokenizerError) {
        switch pre {
        case "", "default", "gpt-2", "gpt2": preTokenizer = try Self.splits([PreTokenizer.gpt2Pattern])
        case "smollm": preTokenizer = try Self.splits([PreTokenizer.digitPattern, PreTokenizer.gpt2Pattern])
        case "llama-bpe", "llama3", "llama-v3":
            preTokenizer = try Self.splits([Self.llama3])
            takesWholePieces = true
            addsBOS = true
        case "smaug-bpe": preTokenizer = try Self.splits([Self.llama3])
        case "qwen2":
            preTokenizer = try Self.splits([Self.qwen2])
            normalizer = [.form(UnicodeNormalization(.nfc))]
        case "deepseek-r1-qwen": preTokenizer = try Self.splits([Self.qwen2])
        case "deepseek-v3", "deepseek-v3.1", "deepseek-r1":
            preTokenizer = try Self.splits([
                #"\p{N}{1,3}"#, #"[\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+"#, Self.deepSeekV3,
            ])
        case "deepseek-llm":
            preTokenizer = try Self.splits([
                #"[\r\n]"#, "\\s?[\(Self.casedLetters)]+",
                #"\s?[!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3000}-\x{3002}]+"#,
                #"\s+$"#,
                #"[\x{4E00}-\x{9FA5}\x{800}-\x{4E00}\x{AC00}-\x{D7FF}]+"#, PreTokenizer.digitPattern,
            ])
        case "deepseek-coder":
            preTokenizer = try Self.splits([
                #"[\r\n]"#, #"\s?\p{L}+"#, #"\s?\p{P}+"#, #"[\x{4E00}-\x{9FA5}\x{800}-\x{4E00}\x{AC00}-\x{D7FF}]+"#,
                PreTokenizer.digitPattern,
            ])
        case "kimi-k2":
            preTokenizer = try Self.splits([Tokenizer.kimiPattern])
            takesWholePieces = true
        case "gpt-4o", "llama4":
            preTokenizer = try Self.splits([Self.o200k])
            takesWholePieces = pre == "llama4"
        default:
            throw .unsupported(part: "tokenizer.ggml.pre", name: pre, supported: Self.supported)
        }
    }

    private static func splits(_ patterns: [String]) throws(TokenizerError) -> PreTokenizer {
        var steps: [PreTokenizer.Step] = []
        for pattern in patterns {
            steps.append(.split(try SplitRegex(pattern, .oniguruma), .isolated, invert: false))
        }
        return PreTokenizer(steps: steps, isByteLevel: true)
    }

    static let llama3 =
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#

    static let qwen2 =
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#

    static let deepSeekV3 =
        ##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##

    private static let o200k = [
        #"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"#,
        #"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"#,
        #"\p{N}{1,3}"#, #" ?[^\s\p{L}\p{N}]+[\r\n/]*"#, #"\s*[\r\n]+"#, #"\s+(?!\S)"#, #"\s+"#,
    ].joined(separator: "|")

    /// The cased letters that DeepSeek's first tokenizers list one by one.
    private static let casedLetters = [
        #"A-Za-z\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-\x{293}"#,
        #"\x{295}-\x{2AF}\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D}\x{37F}\x{386}\x{388}-\x{38A}\x{38C}"#,
        #"\x{38E}-\x{3A1}\x{3A3}-\x{3F5}\x{3F7}-\x{481}\x{48A}-\x{52F}\x{531}-\x{556}\x{10A0}-\x{10C5}"#,
        #"\x{13A0}-\x{13F5}\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B}"#,
        #"\x{1D6B}-\x{1D77}\x{1D79}-\x{1D9A}\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D}\x{1F20}-\x{1F45}"#,
        #"\x{1F48}-\x{1F4D}\x{1F50}-\x{1F57}\x{1F59}\x{1F5B}\x{1F5D}\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}"#,
        #"\x{1FB6}-\x{1FBC}\x{1FBE}\x{1FC2}-\x{1FC4}\x{1FC6}-\x{1FCC}\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}"#,
        #"\x{1FE0}-\x{1FEC}\x{1FF2}-\x{1FF4}\x{1FF6}-\x{1FFC}\x{2102}\x{2107}\x{210A}-\x{2113}\x{2115}"#,
        #"\x{2119}-\x{211D}\x{2124}\x{2126}\x{2128}\x{212A}-\x{212D}\x{212F}-\x{2134}\x{2139}"#,
        #"\x{213C}-\x{213F}\x{2145}-\x{2149}\x{214E}\x{2183}\x{2184}\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4}"#,
        #"\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3}\x{A640}-\x{A66D}\x{A680}-\x{A69B}\x{A722}-\x{A76F}"#,
        #"\x{A771}-\x{A787}\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17}"#,
        #"\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A}\x{10400}-\x{1044F}\x{104B0}-\x{104D3}\x{104D8}-\x{104FB}"#,
        #"\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2}\x{118A0}-\x{118DF}\x{1E900}-\x{1E943}"#,
    ].joined()
}
