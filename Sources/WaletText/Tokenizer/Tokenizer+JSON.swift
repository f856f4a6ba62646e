// Reads tokenizer.json as written by `tokenizers`, with tokenizer_config.json beside it.

import WaletJSON

extension Tokenizer {
    /// Reads a vocabulary from tokenizer.json.
    /// - Parameters:
    ///   - tokenizerJSON: the bytes of the file.
    ///   - configuration: `tokenizer_config.json`, for the BOS, EOS and padding tokens.
    /// - Throws: ``TokenizerError`` where the file is damaged or uses a part that Walet does not know.
    public init(tokenizerJSON: some Collection<UInt8>, configuration: JSONValue? = nil) throws(TokenizerError) {
        let json: JSONValue
        do throws(JSONError) { json = try JSONValue(parsing: tokenizerJSON) } catch { throw .json(error) }
        try self.init(tokenizerJSON: json, configuration: configuration)
    }

    /// Reads a vocabulary from a parsed tokenizer.json.
    public init(tokenizerJSON json: JSONValue, configuration: JSONValue? = nil) throws(TokenizerError) {
        let root = try JSONFields(json, "")
        let preTokenizer = try PreTokenizer(root.object["pre_tokenizer"])
        let reader = try JSONVocabulary(root, isByteLevel: preTokenizer.isByteLevel)
        var parts = Parts(model: reader.model, preTokenizer: preTokenizer, output: TokenStrings(count: 0))
        parts.normalizer = try TextNormalizer.steps(root.object["normalizer"])
        parts.names = reader.names
        parts.added = reader.added
        let settings = TokenizerConfiguration(configuration)
        for token in settings.added where !parts.added.contains(where: { $0.id == token.id }) {
            guard token.id < reader.idLimit else {
                throw .token(
                    name: String(decoding: token.content, as: UTF8.self), id: Int(token.id),
                    reason: "too large an id for a vocabulary of \(reader.count) tokens")
            }
            // A token of the vocabulary's own keeps its id.
            if parts.added.contains(where: { $0.content == token.content }) { continue }
            parts.added.append(token)
        }
        let chain = try DecoderChain(root.object["decoder"])
        parts.outputRules = chain.rules
        parts.output = reader.output(chain, parts.added)
        var (prefix, suffix) = try PostProcessor.frame(root.object["post_processor"])
        let added = parts.added
        func id(_ name: String?) -> Int? {
            guard let name else { return nil }
            return added.first { $0.content.elementsEqual(name.utf8) }.map { Int($0.id) } ?? reader.id(name)
        }
        parts.bosID = id(settings.bos)
        parts.eosID = id(settings.eos)
        parts.padID = id(settings.pad)
        settings.adjust(&prefix, &suffix, bos: parts.bosID, eos: parts.eosID)
        parts.prefix = prefix
        parts.suffix = suffix
        storage = try Storage(parts)
    }
}

/// `model` and `added_tokens`.
private struct JSONVocabulary {
    let model: TokenModel
    let names: TokenTable
    let added: [AddedToken]
    let count: Int
    let idLimit: Int
    private let vocabulary: JSONObject
    private let isByteLevel: Bool
    private let highest: Int

    init(_ root: JSONFields, isByteLevel: Bool) throws(TokenizerError) {
        self.isByteLevel = isByteLevel
        let fields = try JSONFields(root.object["model"], "model")
        let type = try fields.optionalString("type") ?? (fields.object["merges"] == nil ? "unknown" : "BPE")
        guard type == "BPE" else { throw .unsupported(part: "model", name: type, supported: ["BPE"]) }
        for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
            if let text = try fields.optionalString(key), !text.isEmpty {
                throw .unsupported(part: "model.\(key)", name: text, supported: ["null"])
            }
        }
        if let dropout = fields.object["dropout"], !dropout.isNull, dropout.doubleValue != 0 {
            throw .unsupported(part: "model.dropout", name: "\(dropout)", supported: ["null"])
        }
        guard let vocabulary = fields.object["vocab"]?.objectValue else {
            throw fields.error("vocab", expected: "object")
        }
        self.vocabulary = vocabulary
        let addedValues = root.object["added_tokens"]?.arrayValue ?? []
        count = vocabulary.count + addedValues.count
        // Ids may have holes, but a small file must not ask for large tables.
        idLimit = 8 * count + 65536

        var table = TokenTable(capacity: vocabulary.count)
        var names = TokenTable(capacity: 16)
        var used = TokenIDSet(count: idLimit)
        var highest = -1
        var scratch: [UInt8] = []
        for (name, value) in vocabulary.members {
            guard let id = value.intValue else {
                throw .field(path: "model.vocab[\"\(name.prefix(120))\"]", expected: "integer", found: value.kind)
            }
            guard id >= 0, id < idLimit else {
                throw .token(name: name, id: id, reason: "not an id for a vocabulary of \(count) tokens")
            }
            guard used.insert(id) else { throw .token(name: name, id: id, reason: "the id of another token too") }
            highest = max(highest, id)
            var name = name
            name.withUTF8 { bytes in
                scratch.removeAll(keepingCapacity: true)
                if isByteLevel, !ByteAlphabet.decode(bytes, into: &scratch) {
                    _ = names.insert(bytes, id: Int32(id))
                } else {
                    _ = isByteLevel ? table.insert(scratch, id: Int32(id)) : table.insert(bytes, id: Int32(id))
                }
            }
        }

        let merges = try Self.merges(fields, table, isByteLevel: isByteLevel)
        var model = TokenModel(ranks: .pairs(merges), table: table)
        model.takesWholePieces = try fields.bool("ignore_merges", default: false)
        model.fusesUnknown = try fields.bool("fuse_unk", default: false)
        if let unknown = try fields.optionalString("unk_token") {
            let id = vocabulary[unknown]?.intValue
            guard let id else {
                throw .field(path: "model.unk_token", expected: "a token of the vocabulary", found: unknown)
            }
            model.unknownID = Int32(id)
        }
        if isByteLevel {
            model.byteIDs = (0..<256).map { table.id([UInt8($0)]) }
        } else if try fields.bool("byte_fallback", default: false) {
            model.byteFallback = (0..<256).map { byte in
                let digits = String(byte, radix: 16, uppercase: true)
                return table.id(Array("<0x\(byte < 16 ? "0" : "")\(digits)>".utf8))
            }
        }
        self.model = model
        self.names = names

        var added: [AddedToken] = []
        var addedIDs: Set<Int32> = []
        for (index, value) in addedValues.enumerated() {
            let item = try JSONFields(value, "added_tokens[\(index)]")
            let content = try item.string("content")
            let id = try item.integer("id")
            guard id >= 0, id < idLimit else {
                throw .token(name: content, id: id, reason: "not an id for a vocabulary of \(count) tokens")
            }
            guard addedIDs.insert(Int32(id)).inserted else {
                throw .token(name: content, id: id, reason: "the id of another added token too")
            }
            highest = max(highest, id)
            added.append(
                AddedToken(
                    content: Array(content.utf8), id: Int32(id), isSpecial: try item.bool("special", default: false),
                    isNormalized: try item.bool("normalized", default: true),
                    stripsLeft: try item.bool("lstrip", default: false),
                    stripsRight: try item.bool("rstrip", default: false),
                    isSingleWord: try item.bool("single_word", default: false)))
        }
        self.added = added
        self.highest = highest
    }

    func id(_ name: String) -> Int? { vocabulary[name]?.intValue }

    private static func merges(
        _ fields: JSONFields, _ table: TokenTable, isByteLevel: Bool
    ) throws(TokenizerError) -> PairTable {
        let values = try fields.array("merges")
        var pairs = PairTable(capacity: values.count)
        var left: [UInt8] = []
        var right: [UInt8] = []
        for (index, value) in values.enumerated() {
            left.removeAll(keepingCapacity: true)
            right.removeAll(keepingCapacity: true)
            var isValid = true
            switch value {
            case .string(var text):
                text.withUTF8 { bytes in
                    guard let space = bytes.firstIndex(of: 0x20),
                        !bytes[(space + 1)...].contains(0x20)
                    else {
                        isValid = false
                        return
                    }
                    isValid =
                        store(UnsafeBufferPointer(rebasing: bytes[..<space]), isByteLevel, &left)
                        && store(UnsafeBufferPointer(rebasing: bytes[(space + 1)...]), isByteLevel, &right)
                }
            case .array(let pair) where pair.count == 2:
                guard var first = pair[0].stringValue, var second = pair[1].stringValue else {
                    throw .merge(index: index, reason: "not a pair of strings")
                }
                isValid =
                    first.withUTF8 { store($0, isByteLevel, &left) }
                    && second.withUTF8 { store($0, isByteLevel, &right) }
            default: isValid = false
            }
            guard isValid else { throw .merge(index: index, reason: "not a pair of tokens") }
            let leftID = table.id(left)
            let rightID = table.id(right)
            let joined = table.id(left + right)
            guard leftID >= 0, rightID >= 0, joined >= 0 else {
                let missing = leftID < 0 ? left : rightID < 0 ? right : left + right
                throw .merge(
                    index: index,
                    reason: "\"\(String(decoding: missing.prefix(120), as: UTF8.self))\" is not in the vocabulary")
            }
            pairs.insert(leftID, rightID, rank: UInt32(truncatingIfNeeded: index), id: joined)
        }
        return pairs
    }

    private static func store(
        _ name: UnsafeBufferPointer<UInt8>, _ isByteLevel: Bool, _ output: inout [UInt8]
    ) -> Bool {
        if isByteLevel { return ByteAlphabet.decode(name, into: &output) }
        output.append(contentsOf: name)
        return true
    }

    /// What each token is in decoded text.
    func output(_ chain: DecoderChain, _ added: [AddedToken]) -> TokenStrings {
        var output = TokenStrings(count: max(highest, added.map { Int($0.id) }.max() ?? -1) + 1)
        var scratch: [UInt8] = []
        for (name, value) in vocabulary.members {
            guard let id = value.intValue else { continue }
            var name = name
            name.withUTF8 { bytes in
                scratch.removeAll(keepingCapacity: true)
                chain.apply(bytes, isAdded: false, into: &scratch)
            }
            output.set(id, scratch)
        }
        for token in added {
            scratch.removeAll(keepingCapacity: true)
            token.content.withUnsafeBufferPointer { chain.apply($0, isAdded: true, into: &scratch) }
            output.set(Int(token.id), scratch)
        }
        return output
    }
}

/// Which ids are taken, without a large allocation for a large limit.
struct TokenIDSet {
    private var words: [UInt64]

    init(count: Int) { words = [UInt64](repeating: 0, count: count / 64 + 1) }

    /// False where the id is there already. It must be below the count.
    mutating func insert(_ id: Int) -> Bool {
        let bit: UInt64 = 1 << UInt64(id % 64)
        if words[id / 64] & bit != 0 { return false }
        words[id / 64] |= bit
        return true
    }
}

/// The `decoder` of a tokenizer.json: what a token's name becomes in text.
struct DecoderChain {
    private enum Step {
        case byteLevel
        case replace([UInt8], [UInt8])
        case byteFallback
        case strip(Unicode.Scalar, start: Int, stop: Int)
    }

    private var steps: [Step] = []
    private(set) var rules = OutputRules()
    private var isJoined = false

    static let supported = ["Sequence", "ByteLevel", "Replace", "ByteFallback", "Fuse", "Strip", "Metaspace"]

    init(_ json: JSONValue?) throws(TokenizerError) {
        guard let json, !json.isNull else {
            rules.separator = [0x20]
            return
        }
        try read(json, "decoder", depth: 0)
    }

    private mutating func read(_ json: JSONValue, _ path: String, depth: Int) throws(TokenizerError) {
        guard depth < 32, steps.count < 64 else {
            throw .field(path: path, expected: "at most 64 steps and 32 nested sequences", found: "more")
        }
        let fields = try JSONFields(json, path)
        let type = try fields.string("type")
        switch type {
        case "Sequence":
            for (index, item) in try fields.array("decoders").enumerated() {
                try read(item, "\(path).decoders[\(index)]", depth: depth + 1)
            }
        case "ByteLevel":
            guard !isJoined else { throw unsupported("ByteLevel after Fuse") }
            steps.append(.byteLevel)
            isJoined = true
        case "Fuse": isJoined = true
        case "ByteFallback":
            guard !isJoined else { throw unsupported("ByteFallback after Fuse") }
            steps.append(.byteFallback)
        case "Replace":
            let pattern = try JSONFields(fields.object["pattern"], "\(path).pattern")
            guard let text = try pattern.optionalString("String") else { throw unsupported("Replace by a Regex") }
            guard !isJoined || text.unicodeScalars.count == 1, !text.isEmpty else {
                throw unsupported("Replace of several characters after Fuse")
            }
            steps.append(.replace(Array(text.utf8), Array(try fields.string("content").utf8)))
        case "Strip":
            let content = try fields.scalar("content")
            let start = try fields.integer("start")
            let stop = try fields.integer("stop")
            guard start >= 0, stop >= 0 else { throw fields.error("start", expected: "a count") }
            if isJoined {
                guard stop == 0, content.isASCII, rules.stripCount == 0 else {
                    throw unsupported("Strip at the end of the text, or of \"\(content)\"")
                }
                rules.stripCount = start
                rules.strippedByte = UInt8(truncatingIfNeeded: content.value)
            } else {
                steps.append(.strip(content, start: start, stop: stop))
            }
        case "Metaspace":
            guard !isJoined, rules.firstTokenLoses.isEmpty else { throw unsupported("Metaspace after Fuse") }
            let replacement = Array(String(try fields.scalar("replacement")).utf8)
            let scheme = try fields.optionalString("prepend_scheme") ?? "always"
            let addsPrefix = try fields.bool("add_prefix_space", default: true)
            if scheme == "never" || !addsPrefix {
                steps.append(.replace(replacement, [0x20]))
            } else if ["always", "first"].contains(scheme) {
                rules.firstTokenLoses = replacement
            } else {
                throw .unsupported(part: "prepend_scheme", name: scheme, supported: ["always", "first", "never"])
            }
        default: throw .unsupported(part: "decoder", name: type, supported: Self.supported)
        }
    }

    private func unsupported(_ name: String) -> TokenizerError {
        .unsupported(part: "decoder", name: name, supported: Self.supported)
    }

    /// Appends the bytes that a token is in text. An added token is literal: no alphabet, no byte tokens.
    func apply(_ name: UnsafeBufferPointer<UInt8>, isAdded: Bool, into output: inout [UInt8]) {
        if steps.count == 1, case .byteLevel = steps[0], !isAdded {
            if !ByteAlphabet.decode(name, into: &output) { output.append(contentsOf: name) }
            return
        }
        var bytes = Array(name)
        for step in steps {
            switch step {
            case .byteLevel:
                var decoded: [UInt8] = []
                if !isAdded, bytes.withUnsafeBufferPointer({ ByteAlphabet.decode($0, into: &decoded) }) {
                    bytes = decoded
                }
            case .replace(let pattern, let replacement):
                bytes = IncrementalDecoder.replacing(pattern, bytes, with: replacement)
            case .byteFallback:
                if !isAdded, let byte = ByteToken.value(bytes) {
                    output.append(byte)
                    return
                }
            case .strip(let content, let start, let stop):
                bytes = Self.strip(bytes, Array(String(content).utf8), start, stop)
            }
        }
        output.append(contentsOf: bytes)
    }

    private static func strip(_ bytes: [UInt8], _ content: [UInt8], _ start: Int, _ stop: Int) -> [UInt8] {
        var bytes = bytes[...]
        var count = 0
        while count < start, bytes.starts(with: content) {
            bytes = bytes.dropFirst(content.count)
            count += 1
        }
        count = 0
        while count < stop, bytes.suffix(content.count).elementsEqual(content), !bytes.isEmpty {
            bytes = bytes.dropLast(content.count)
            count += 1
        }
        return Array(bytes)
    }
}

/// Tokens like `<0x0A>`.
enum ByteToken {
    /// The byte that a token's name stands for, or nil.
    static func value(_ name: some Collection<UInt8>) -> UInt8? {
        let name = Array(name)
        guard name.count == 6, name.starts(with: Array("<0x".utf8)), name[5] == UInt8(ascii: ">"),
            let high = digit(name[3]), let low = digit(name[4])
        else { return nil }
        return high << 4 | low
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - 48
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - 55
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - 87
        default: nil
        }
    }
}

/// The `post_processor` of a tokenizer.json: the tokens around a text.
enum PostProcessor {
    static let supported = ["ByteLevel", "TemplateProcessing", "Sequence"]

    /// Ids before and after a single text.
    static func frame(_ json: JSONValue?, path: String = "post_processor", depth: Int = 0) throws(TokenizerError)
        -> ([Int], [Int])
    {
        guard let json, !json.isNull else { return ([], []) }
        guard depth < 32 else { throw .field(path: path, expected: "at most 32 nested sequences", found: "more") }
        let fields = try JSONFields(json, path)
        let type = try fields.string("type")
        switch type {
        case "ByteLevel": return ([], [])
        case "Sequence":
            var prefix: [Int] = []
            var suffix: [Int] = []
            for (index, item) in try fields.array("processors").enumerated() {
                let (before, after) = try frame(item, path: "\(path).processors[\(index)]", depth: depth + 1)
                prefix = before + prefix
                suffix += after
            }
            return (prefix, suffix)
        case "TemplateProcessing":
            let tokens = try JSONFields(fields.object["special_tokens"], "\(path).special_tokens")
            var prefix: [Int] = []
            var suffix: [Int] = []
            var isAfter = false
            for (index, piece) in try fields.array("single").enumerated() {
                if let special = piece["SpecialToken"] {
                    let name = try JSONFields(special, "\(path).single[\(index)].SpecialToken").string("id")
                    let entry = try JSONFields(tokens.object[name], "\(path).special_tokens[\"\(name.prefix(120))\"]")
                    for value in try entry.array("ids") {
                        guard let id = value.intValue, id >= 0, id < Int32.max else {
                            throw entry.error("ids", expected: "array of ids")
                        }
                        if isAfter { suffix.append(id) } else { prefix.append(id) }
                    }
                } else if piece["Sequence"] != nil {
                    guard !isAfter else {
                        throw .unsupported(
                            part: "post_processor", name: "a template with the text twice", supported: supported)
                    }
                    isAfter = true
                } else {
                    throw .field(
                        path: "\(path).single[\(index)]", expected: "SpecialToken or Sequence", found: piece.kind)
                }
            }
            guard isAfter else {
                throw .unsupported(part: "post_processor", name: "a template without the text", supported: supported)
            }
            return (prefix, suffix)
        default: throw .unsupported(part: "post_processor", name: type, supported: supported)
        }
    }
}
