// From strings to their spelling in JSON.

extension CharacterAutomaton {
    /// The bytes of a JSON string whose content is accepted, without its opening and with its closing quote. Each
    /// character has one spelling, as ``StringBody/canonical`` has it. Nil where nothing is accepted.
    func jsonAutomaton(path: String, budget: inout CompileBudget) throws(GrammarError) -> ByteAutomaton? {
        guard !isEmpty else { return nil }
        let trie = try SpellingTrie(intervals, path: path, budget: &budget)
        var writer = SpellingWriter(trie, automaton: self, path: path)
        for state in 0..<stateCount { try writer.write(state, budget: &budget) }
        return try writer.finish(budget: &budget)
    }

    /// A range of characters as sequences of byte ranges.
    static func spellings(of range: ClosedRange<UInt32>) -> [[ClosedRange<UInt8>]] {
        var result: [[ClosedRange<UInt8>]] = []
        var plain: [ClosedRange<UInt32>] = []
        var next = range.lowerBound
        let special = Array(UInt32(0)..<0x20) + [0x22, 0x5C]
        for character in special where range.contains(character) {
            if character > next { plain.append(next...(character - 1)) }
            next = character + 1
            if let scalar = Unicode.Scalar(character) { result.append(scalar.jsonSpelling.map { $0...$0 }) }
        }
        if next <= range.upperBound { plain.append(next...range.upperBound) }
        for range in plain { result += utf8(range) }
        return result
    }

    /// A range of scalars, none of them a surrogate, in UTF-8.
    private static func utf8(_ range: ClosedRange<UInt32>) -> [[ClosedRange<UInt8>]] {
        var result: [[ClosedRange<UInt8>]] = []
        // Lengths first, then whatever has the same first bytes.
        let lengths: [ClosedRange<UInt32>] = [0...0x7F, 0x80...0x7FF, 0x800...0xFFFF, 0x10000...0x10FFFF]
        for (index, bounds) in lengths.enumerated() where range.overlaps(bounds) {
            let part = range.clamped(to: bounds)
            split(part.lowerBound, part.upperBound, continuation: index, into: &result)
        }
        return result
    }

    private static func split(
        _ low: UInt32, _ high: UInt32, continuation: Int, into result: inout [[ClosedRange<UInt8>]]
    ) {
        // Where the last bytes do not run through all their values, the range is cut so that they do.
        for count in stride(from: continuation, to: 0, by: -1) {
            let mask: UInt32 = 1 << UInt32(6 * count) - 1
            guard low & ~mask != high & ~mask else { continue }
            if low & mask != 0 {
                split(low, low | mask, continuation: continuation, into: &result)
                split((low | mask) + 1, high, continuation: continuation, into: &result)
                return
            }
            if high & mask != mask {
                split(low, (high & ~mask) - 1, continuation: continuation, into: &result)
                split(high & ~mask, high, continuation: continuation, into: &result)
                return
            }
        }
        let first = encode(low, continuation: continuation)
        let last = encode(high, continuation: continuation)
        result.append(zip(first, last).map { $0...$1 })
    }

    private static func encode(_ value: UInt32, continuation: Int) -> [UInt8] {
        guard continuation > 0 else { return [UInt8(value)] }
        let leads: [UInt8] = [0, 0xC0, 0xE0, 0xF0]
        var bytes = [leads[continuation] | UInt8(value >> UInt32(6 * continuation))]
        for index in (0..<continuation).reversed() { bytes.append(0x80 | UInt8(value >> UInt32(6 * index) & 0x3F)) }
        return bytes
    }
}
