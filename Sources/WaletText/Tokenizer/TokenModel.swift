// From a piece of text to ids.

/// How the pieces of a text become tokens.
struct TokenModel: Sendable {
    enum Ranks: Sendable {
        /// Merges are listed as pairs of tokens.
        case pairs(PairTable)
        /// Any two neighbours may join whose bytes together are a token.
        case joined(JoinedRanks)
    }

    var ranks: Ranks
    /// Every token that text can become, by its bytes.
    var table: TokenTable
    /// The token of each byte where a piece starts out as bytes; -1 for a byte without one. Nil where it starts out as
    /// characters.
    var byteIDs: [Int32]?
    /// The token `<0xNN>` of each byte, for characters that have no token; -1 for a byte without one.
    var byteFallback: [Int32]?
    /// The token for what no other token stands for. Without one such text vanishes, as in the reference.
    var unknownID: Int32?
    /// One unknown token stands for a whole run.
    var fusesUnknown = false
    /// A piece that is a token as a whole is not merged.
    var takesWholePieces = false

    /// Appends the tokens of a piece.
    func encode(_ piece: UnsafeBufferPointer<UInt8>, _ merger: inout PairMerger, into ids: inout [Int]) {
        if takesWholePieces {
            let id = table.id(piece)
            if id >= 0 {
                ids.append(Int(id))
                return
            }
        }
        // Positions are 32 bits wide.
        guard piece.count < Int32.max else { return }
        merger.symbols.removeAll(keepingCapacity: true)
        if let byteIDs { startWithBytes(piece, byteIDs, &merger.symbols) } else { startWithCharacters(piece, &merger.symbols) }
        switch ranks {
        case .pairs(let table): merger.run(piece, table)
        case .joined(let joined): merger.run(piece, joined)
        }
        for symbol in merger.symbols { ids.append(Int(symbol.id)) }
    }

    private func startWithBytes(
        _ piece: UnsafeBufferPointer<UInt8>, _ byteIDs: [Int32], _ symbols: inout [PairSymbol]
    ) {
        byteIDs.withUnsafeBufferPointer { byteIDs in
            for index in 0..<piece.count {
                let id = byteIDs[Int(piece[index])]
                if id >= 0 {
                    symbols.append(PairSymbol(id: id, start: Int32(index), end: Int32(index + 1)))
                } else {
                    appendUnknown(index, index + 1, &symbols)
                }
            }
        }
    }

    private func startWithCharacters(_ piece: UnsafeBufferPointer<UInt8>, _ symbols: inout [PairSymbol]) {
        var index = 0
        while index < piece.count {
            let start = index
            _ = UnicodeShadow.scalar(piece, &index)
            let id = table.id(UnsafeBufferPointer(rebasing: piece[start..<index]))
            if id >= 0 {
                symbols.append(PairSymbol(id: id, start: Int32(start), end: Int32(index)))
            } else if let byteFallback, piece[start..<index].allSatisfy({ byteFallback[Int($0)] >= 0 }) {
                for offset in start..<index {
                    symbols.append(
                        PairSymbol(
                            id: byteFallback[Int(piece[offset])], start: Int32(offset), end: Int32(offset + 1)))
                }
            } else {
                appendUnknown(start, index, &symbols)
            }
        }
    }

    private func appendUnknown(_ start: Int, _ end: Int, _ symbols: inout [PairSymbol]) {
        guard let unknownID else { return }
        if fusesUnknown, let last = symbols.last, last.id == unknownID, Int(last.end) == start {
            symbols[symbols.count - 1].end = Int32(end)
        } else {
            symbols.append(PairSymbol(id: unknownID, start: Int32(start), end: Int32(end)))
        }
    }
}
