// Reads tiktoken.model as Kimi and Moonlight publish it.

import WaletJSON

extension Tokenizer {
    /// The pre-tokenizer pattern of Kimi K2, Kimi-Linear and Moonlight.
    public static let kimiPattern = [
        #"[\p{Han}]+"#,
        #"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"#,
        #"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"#,
        #"\p{N}{1,3}"#, #" ?[^\s\p{L}\p{N}]+[\r\n]*"#, #"\s*[\r\n]+"#, #"\s+(?!\S)"#, #"\s+"#,
    ].joined(separator: "|")

    /// How many ids after the ranks are special.
    private static let reservedCount = 256

    /// Reads a table of ranks: a line for each token, its bytes in base64 and its rank, which is its id.
    ///
    /// The 256 ids after the last rank are special tokens, named by `added_tokens_decoder` of the configuration; one
    /// that it does not name is `<|reserved_token_ID|>`.
    /// - Parameters:
    ///   - tiktokenModel: the bytes of `tiktoken.model`.
    ///   - configuration: `tokenizer_config.json`.
    ///   - pattern: cuts text into pieces, in the syntax of Rust's `regex`.
    /// - Throws: ``TokenizerError`` for a damaged line, ranks that are no permutation of 0 and up, a byte without a
    ///   token, or a pattern that cannot be honoured.
    public init(
        tiktokenModel: some Collection<UInt8>, configuration: JSONValue? = nil, pattern: String = kimiPattern
    ) throws(TokenizerError) {
        let bytes = Array(tiktokenModel)
        let (table, strings) = try TiktokenReader.read(bytes)
        let count = table.count
        let byteIDs = (0..<256).map { table.id([UInt8($0)]) }
        if let missing = byteIDs.firstIndex(of: -1) {
            throw .token(
                name: "byte \(missing)", id: -1, reason: "tiktoken.model has no rank for it, or the file is cut off")
        }
        var output = TokenStrings(count: count + Self.reservedCount)
        for (id, range) in strings.spans.enumerated() {
            strings.arena.withUnsafeBufferPointer { output.set(id, UnsafeBufferPointer(rebasing: $0[range])) }
        }
        let settings = TokenizerConfiguration(configuration)
        var added: [AddedToken] = []
        var named: [Int: AddedToken] = [:]
        for token in settings.added {
            let id = Int(token.id)
            guard id >= count else { continue }
            guard id < count + Self.reservedCount else {
                throw .token(
                    name: String(decoding: token.content, as: UTF8.self), id: id,
                    reason: "special tokens have the \(Self.reservedCount) ids from \(count) on")
            }
            named[id] = token
        }
        for id in count..<count + Self.reservedCount {
            // tiktoken knows neither normalization nor stripping.
            var token = AddedToken(content: Array("<|reserved_token_\(id)|>".utf8), id: Int32(id))
            if let known = named[id] {
                token.content = known.content
                token.isSpecial = known.isSpecial
            }
            output.set(id, token.content)
            added.append(token)
        }
        var model = TokenModel(ranks: .joined(JoinedRanks(table: table)), table: table)
        model.byteIDs = byteIDs
        model.takesWholePieces = true
        var parts = Parts(
            model: model,
            preTokenizer: PreTokenizer(
                steps: [.split(try SplitRegex(pattern, .rust), .isolated, invert: false)], isByteLevel: true),
            output: output)
        parts.added = added
        func id(_ name: String?) -> Int? {
            guard let name else { return nil }
            return added.first { $0.content.elementsEqual(name.utf8) }.map { Int($0.id) }
        }
        parts.bosID = id(settings.bos)
        parts.eosID = id(settings.eos)
        parts.padID = id(settings.pad)
        storage = try Storage(parts)
    }
}

private enum TiktokenReader {
    /// The byte strings of the tokens, one after another.
    struct Strings {
        var arena: [UInt8] = []
        var spans: [Range<Int>] = []
    }

    static func read(_ bytes: [UInt8]) throws(TokenizerError) -> (TokenTable, Strings) {
        guard bytes.count < Int32.max else { throw .line(number: 1, reason: "the file is larger than 2 GiB") }
        var strings = Strings()
        var entries: [(rank: Int, range: Range<Int>)] = []
        strings.arena.reserveCapacity(bytes.count / 2)
        var number = 0
        var index = 0
        while index < bytes.count {
            number += 1
            var end = index
            while end < bytes.count, bytes[end] != 0x0A { end += 1 }
            var stop = end
            if stop > index, bytes[stop - 1] == 0x0D { stop -= 1 }
            if stop > index {
                guard let space = bytes[index..<stop].firstIndex(of: 0x20) else {
                    throw .line(number: number, reason: "expected base64, a space, and a rank")
                }
                let start = strings.arena.count
                guard decode(bytes[index..<space], into: &strings.arena) else {
                    throw .line(number: number, reason: "the token is not base64")
                }
                guard let rank = rank(bytes[(space + 1)..<stop]) else {
                    throw .line(number: number, reason: "the rank is not a number")
                }
                guard strings.arena.count > start else {
                    throw .line(number: number, reason: "an empty token")
                }
                entries.append((rank, start..<strings.arena.count))
            }
            index = end + 1
        }
        strings.spans = [Range<Int>](repeating: 0..<0, count: entries.count)
        for (line, entry) in entries.enumerated() {
            guard entry.rank < entries.count, strings.spans[entry.rank].isEmpty else {
                throw .line(
                    number: line + 1,
                    reason: "rank \(entry.rank) of \(entries.count): ranks must be 0 and up without holes, each once")
            }
            strings.spans[entry.rank] = entry.range
        }
        var table = TokenTable(capacity: entries.count)
        for (rank, range) in strings.spans.enumerated() {
            let isNew = strings.arena.withUnsafeBufferPointer {
                table.insert(UnsafeBufferPointer(rebasing: $0[range]), id: Int32(rank))
            }
            guard isNew else {
                throw .token(
                    name: String(decoding: strings.arena[range].prefix(120), as: UTF8.self), id: rank,
                    reason: "the bytes of another rank too")
            }
        }
        return (table, strings)
    }

    private static func rank(_ text: ArraySlice<UInt8>) -> Int? {
        guard !text.isEmpty, text.count <= 9 else { return nil }
        var value = 0
        for byte in text {
            guard (0x30...0x39).contains(byte) else { return nil }
            value = value * 10 + Int(byte - 0x30)
        }
        return value
    }

    /// Standard base64 with padding.
    private static func decode(_ text: ArraySlice<UInt8>, into output: inout [UInt8]) -> Bool {
        guard text.count % 4 == 0 else { return false }
        var index = text.startIndex
        while index < text.endIndex {
            var value: UInt32 = 0
            var padding = 0
            for offset in 0..<4 {
                let byte = text[index + offset]
                if byte == UInt8(ascii: "="), offset >= 2, index + 4 == text.endIndex {
                    padding += 1
                    value <<= 6
                    continue
                }
                guard padding == 0, let digit = digit(byte) else { return false }
                value = value << 6 | digit
            }
            output.append(UInt8(truncatingIfNeeded: value >> 16))
            if padding < 2 { output.append(UInt8(truncatingIfNeeded: value >> 8)) }
            if padding < 1 { output.append(UInt8(truncatingIfNeeded: value)) }
            index += 4
        }
        return true
    }

    private static func digit(_ byte: UInt8) -> UInt32? {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(byte) - 65
        case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(byte) - 71
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(byte) + 4
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        default: nil
        }
    }
}
