// Text to tokens and back, whatever files the vocabulary came in.

import WaletJSON

/// Which special tokens `Tokenizer/encode(_:addSpecial:special:)` finds in a text.
public struct SpecialTokens: Sendable {
    fileprivate enum Kind { case recognized, asText, outside([Range<Int>]) }

    fileprivate let kind: Kind

    /// All: the text was made by a chat template from nothing that a user wrote.
    public static let recognized = SpecialTokens(kind: .recognized)
    /// None: a user wrote all of it. `<|im_end|>` is then half a dozen ordinary tokens.
    public static let asText = SpecialTokens(kind: .asText)

    /// Those that touch none of some byte ranges of the text's UTF-8, which a user wrote.
    public static func recognized(outside userRanges: [Range<Int>]) -> SpecialTokens {
        SpecialTokens(kind: .outside(userRanges))
    }
}

/// The vocabulary of a model: turns text into token ids and ids into text.
///
/// It gives the ids that the reference implementations give (`tokenizers` for tokenizer.json and GGUF, `tiktoken` for
/// tiktoken.model, `sentencepiece` for GGUF's "llama"). A copy shares its tables, so that it is cheap.
///
/// ```swift
/// let tokenizer = try Tokenizer(tokenizerJSON: bytes)
/// let ids = tokenizer.encode("Hello, world!", addSpecial: true)
/// print(tokenizer.decode(ids, skipSpecial: true))
/// ```
public struct Tokenizer: Sendable {
    let storage: Storage

    /// One more than the highest id that is a token. The model's `vocab_size` may be larger.
    public var vocabularySize: Int { storage.output.count }

    /// The token that begins a text, from the configuration.
    public var bosID: Int? { storage.bosID }
    /// The token that ends a text, from the configuration. A model may stop at others too: `generation_config.json`.
    public var eosID: Int? { storage.eosID }
    /// The token that fills up a batch, from the configuration.
    public var padID: Int? { storage.padID }

    /// The id of a token by the name it has in the vocabulary's file: `"Ġthe"` in a byte-level vocabulary,
    /// `"<|im_end|>"` for an added token.
    public func id(ofToken name: String) -> Int? { storage.id(ofToken: Array(name.utf8)) }

    /// The bytes that a token stands for in decoded text, which need not be whole characters; nil where the id is no
    /// token.
    public func bytes(of id: Int) -> [UInt8]? { storage.output[id].map(Array.init) }

    /// Whether `decode` leaves a token out with `skipSpecial`.
    public func isSpecial(_ id: Int) -> Bool { Int32(exactly: id).flatMap { storage.added[$0] }?.isSpecial ?? false }

    /// Whether a token is matched literally before text is split, special or not.
    public func isAdded(_ id: Int) -> Bool { Int32(exactly: id).map { storage.added[$0] != nil } ?? false }

    /// The tokens of a text.
    ///
    /// Where no special token lies in a user's range, the ids are those of the reference implementation for the whole
    /// text. An added token that is nothing but white space is an ordinary way to write it and always recognized.
    /// - Parameters:
    ///   - addSpecial: also adds what the vocabulary puts around a text (its post-processor), such as a BOS token.
    ///     Leave it off for text from a chat template, which writes these itself.
    ///   - special: which special tokens are recognized in the text.
    public func encode(_ text: String, addSpecial: Bool, special: SpecialTokens = .recognized) -> [Int] {
        var text = text
        return text.withUTF8 { bytes in
            var ids: [Int] = []
            ids.reserveCapacity(bytes.count / 3 + 8)
            if addSpecial { ids += storage.prefix }
            storage.encode(bytes, special, into: &ids)
            if addSpecial { ids += storage.suffix }
            return ids
        }
    }

    /// The text of some tokens. Bytes that are not UTF-8 become U+FFFD; ids that are no token are left out.
    public func decode(_ ids: some Sequence<Int>, skipSpecial: Bool) -> String {
        var decoder = IncrementalDecoder(self, skipSpecial: skipSpecial)
        var bytes: [UInt8] = []
        for id in ids { decoder.appendBytes(of: id, to: &bytes) }
        return String(decoding: bytes, as: UTF8.self)
    }
}

extension Tokenizer {
    /// Everything that a tokenizer knows, immutable.
    final class Storage: Sendable {
        let model: TokenModel
        let preTokenizer: PreTokenizer
        let normalizer: [TextNormalizer]
        let spacePrefix: SpacePrefix
        /// What each token is in decoded text.
        let output: TokenStrings
        let outputRules: OutputRules
        let added: [Int32: AddedToken]
        /// Names as they stand in the file, where they are not those of `model.table`.
        let names: TokenTable
        let prefix: [Int]
        let suffix: [Int]
        let bosID: Int?
        let eosID: Int?
        let padID: Int?
        private let rawMatcher: AddedTokenMatcher
        private let normalizedMatcher: AddedTokenMatcher

        init(_ parts: Parts) throws(TokenizerError) {
            model = parts.model
            preTokenizer = parts.preTokenizer
            normalizer = parts.normalizer
            spacePrefix = parts.spacePrefix
            output = parts.output
            outputRules = parts.outputRules
            prefix = parts.prefix
            suffix = parts.suffix
            bosID = parts.bosID
            eosID = parts.eosID
            padID = parts.padID
            var names = parts.names
            var added: [Int32: AddedToken] = [:]
            var raw: [AddedToken] = []
            var normalized: [AddedToken] = []
            for token in parts.added {
                let name = String(decoding: token.content.prefix(120), as: UTF8.self)
                guard token.content.count <= AddedTokenMatcher.longest else {
                    throw .token(
                        name: name, id: Int(token.id),
                        reason: "an added token longer than \(AddedTokenMatcher.longest) bytes")
                }
                guard !token.content.isEmpty else { continue }
                _ = names.insert(token.content, id: token.id)
                added[token.id] = token
                if token.isNormalized {
                    var token = token
                    if let session = RegexSession(byteCount: token.content.count) {
                        var text = NormalizedText(bytes: token.content)
                        for step in parts.normalizer { step.apply(&text, session) }
                        token.content = text.bytes
                    }
                    normalized.append(token)
                } else {
                    raw.append(token)
                }
            }
            self.names = names
            self.added = added
            rawMatcher = try AddedTokenMatcher(raw)
            normalizedMatcher = try AddedTokenMatcher(normalized)
        }

        func id(ofToken name: [UInt8]) -> Int? {
            var id = names.id(name)
            if id < 0 {
                if preTokenizer.isByteLevel {
                    var bytes: [UInt8] = []
                    if name.withUnsafeBufferPointer({ ByteAlphabet.decode($0, into: &bytes) }) {
                        id = model.table.id(bytes)
                    }
                } else {
                    id = model.table.id(name)
                }
            }
            return id < 0 ? nil : Int(id)
        }

        // MARK: Encoding

        func encode(_ text: UnsafeBufferPointer<UInt8>, _ special: SpecialTokens, into ids: inout [Int]) {
            guard !text.isEmpty, let session = RegexSession(byteCount: text.count) else { return }
            let users = UserRanges(special)
            var merger = PairMerger()
            var isAfterToken = true
            rawMatcher.parts(
                text, session, isAllowed: { $0.isWhiteSpace || !users.touches($1.lowerBound, $1.upperBound) },
                { range, token in
                    if let token {
                        ids.append(Int(token.id))
                        isAfterToken = true
                    } else {
                        encode(
                            text, range, users, session, &merger, isAfterToken: isAfterToken, into: &ids)
                        isAfterToken = false
                    }
                })
        }

        /// A stretch of text without unnormalized tokens.
        private func encode(
            _ text: UnsafeBufferPointer<UInt8>, _ range: Range<Int>, _ users: UserRanges, _ session: RegexSession,
            _ merger: inout PairMerger, isAfterToken: Bool, into ids: inout [Int]
        ) {
            let stretch = UnsafeBufferPointer(rebasing: text[range])
            let isStart = range.lowerBound == 0
            if spacePrefix != .none {
                encodeEscaped(stretch, isAfterToken, &merger, into: &ids)
                return
            }
            if normalizer.isEmpty && normalizedMatcher.isEmpty {
                encodePieces(stretch, isStart, session, &merger, into: &ids)
                return
            }
            var normalized = NormalizedText(bytes: Array(stretch))
            if !normalizedMatcher.isEmpty, !users.isEmpty {
                normalized.origins = (0..<Int32(stretch.count)).map {
                    ($0 + Int32(range.lowerBound), $0 + Int32(range.lowerBound) + 1)
                }
            }
            for step in normalizer { step.apply(&normalized, session) }
            let origins = normalized.origins
            normalized.bytes.withUnsafeBufferPointer { bytes in
                normalizedMatcher.parts(
                    bytes, session,
                    isAllowed: { token, match in
                        if token.isWhiteSpace || users.isEmpty { return true }
                        guard let origins else { return !users.isEverything }
                        return !match.contains { users.touches(Int(origins[$0].start), Int(origins[$0].end)) }
                    },
                    { match, token in
                        if let token {
                            ids.append(Int(token.id))
                        } else {
                            encodePieces(
                                UnsafeBufferPointer(rebasing: bytes[match]), isStart && match.lowerBound == 0, session,
                                &merger, into: &ids)
                        }
                    })
            }
        }

        private func encodePieces(
            _ text: UnsafeBufferPointer<UInt8>, _ isStart: Bool, _ session: RegexSession, _ merger: inout PairMerger,
            into ids: inout [Int]
        ) {
            preTokenizer.pieces(text, isStart: isStart, session) { piece in
                model.encode(piece, &merger, into: &ids)
            }
        }

        /// SentencePiece: spaces become U+2581, and one may be put before the text.
        private func encodeEscaped(
            _ text: UnsafeBufferPointer<UInt8>, _ isAfterToken: Bool, _ merger: inout PairMerger,
            into ids: inout [Int]
        ) {
            var escaped: [UInt8] = []
            escaped.reserveCapacity(text.count + text.count / 2)
            if spacePrefix == .afterTokens, isAfterToken { escaped += SpacePrefix.mark }
            for byte in text {
                if byte == 0x20 { escaped += SpacePrefix.mark } else { escaped.append(byte) }
            }
            escaped.withUnsafeBufferPointer { model.encode($0, &merger, into: &ids) }
        }
    }

    /// What the readers of the three kinds of files put together.
    struct Parts {
        var model: TokenModel
        var preTokenizer: PreTokenizer
        var normalizer: [TextNormalizer] = []
        var spacePrefix = SpacePrefix.none
        var output: TokenStrings
        var outputRules = OutputRules()
        var added: [AddedToken] = []
        var names = TokenTable(capacity: 16)
        var prefix: [Int] = []
        var suffix: [Int] = []
        var bosID: Int?
        var eosID: Int?
        var padID: Int?
    }

    /// Whether spaces are written as U+2581 in the vocabulary, and whether text gets one before it.
    enum SpacePrefix: Sendable {
        case none
        case escapesOnly
        case afterTokens

        /// U+2581 in UTF-8.
        static let mark: [UInt8] = [0xE2, 0x96, 0x81]
    }
}

/// The byte ranges of a text that a user wrote.
private struct UserRanges {
    private var ranges: [Range<Int>] = []
    let isEverything: Bool

    init(_ special: SpecialTokens) {
        switch special.kind {
        case .recognized: isEverything = false
        case .asText: isEverything = true
        case .outside(let outside):
            isEverything = false
            // Sorted and disjoint, for a binary search.
            for range in outside.sorted(by: { $0.lowerBound < $1.lowerBound }) where !range.isEmpty {
                if let last = ranges.last, range.lowerBound <= last.upperBound {
                    ranges[ranges.count - 1] = last.lowerBound..<max(last.upperBound, range.upperBound)
                } else {
                    ranges.append(range)
                }
            }
        }
    }

    var isEmpty: Bool { !isEverything && ranges.isEmpty }

    func touches(_ start: Int, _ end: Int) -> Bool {
        if isEverything { return true }
        var low = 0
        var high = ranges.count
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].upperBound <= start { low = middle + 1 } else { high = middle }
        }
        return low < ranges.count && ranges[low].lowerBound < end
    }
}
