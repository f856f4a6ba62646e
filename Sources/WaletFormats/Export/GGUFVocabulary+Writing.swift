// A vocabulary to `tokenizer.ggml.*`, as ModelFolder+Tokenizer.swift reads it.

extension GGUFVocabulary {
    /// The keys of this vocabulary.
    /// - Parameter size: rows of the embedding; ids after the last token are filled up, as llama.cpp asks for.
    /// - Throws: ``FormatError`` for more tokens than rows.
    func metadata(
        size: Int, file: String
    ) throws(FormatError) -> [(key: String, value: GGUFWriter.Value)] {
        guard tokens.count <= size else {
            throw FormatError(
                file: file, field: "vocab_size", expected: "at least the tokenizer's \(tokens.count) tokens",
                found: "\(size)")
        }
        var keys: [(key: String, value: GGUFWriter.Value)] = []
        func put(_ name: String, _ value: GGUFWriter.Value?) {
            if let value { keys.append(("tokenizer.ggml." + name, value)) }
        }
        func id(_ id: Int?) -> GGUFWriter.Value? { id.flatMap { UInt32(exactly: $0) }.map { .uint32($0) } }
        let extra = tokens.count..<size
        put("model", .text(model))
        put("pre", preTokenizer.map { .text($0) })
        put("tokens", .texts(tokens + extra.map { Self.filler($0) }))
        let types = (types ?? [Int](repeating: 1, count: tokens.count)) + extra.map { _ in Self.unused }
        put("token_type", .int32s(types.map { Int32(truncatingIfNeeded: $0) }))
        put("merges", merges.map { .texts($0) })
        put("bos_token_id", id(begin))
        put("eos_token_id", id(end))
        put("eot_token_id", id(endOfTurn))
        put("eom_token_id", id(endOfMessage))
        put("padding_token_id", id(padding))
        put("add_bos_token", addsBegin.map { .bool($0) })
        put("add_eos_token", addsEnd.map { .bool($0) })
        return keys
    }

    /// The type of an id that no text has.
    package static let unused = 5

    /// What converters call an id without a token.
    package static func filler(_ id: Int) -> [UInt8] { Array("[PAD\(id)]".utf8) }
}
