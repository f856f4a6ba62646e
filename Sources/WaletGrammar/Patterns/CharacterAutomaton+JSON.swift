// From strings to their spelling in JSON.

extension CharacterAutomaton {
    /// The bytes of a JSON string whose content is accepted, without its opening and with its closing quote. Each
    /// character has one spelling, as ``StringBody/canonical`` has it. Nil where nothing is accepted.
    func jsonAutomaton(path: String, budget: inout CompileBudget) throws(GrammarError) -> ByteAutomaton? {
        guard !isEmpty else { return nil }
        var writer = SpellingWriter(path: path, stateCount: stateCount)
        let spellings = spellings(&writer)
        for state in 0..<stateCount {
            var items: [SpellingWriter.Item] = []
            for kind in 0..<classCount {
                let target = table[state * classCount + kind]
                guard target >= 0 else { continue }
                for spelling in spellings[kind] { items.append(.init(spelling: spelling, target: target)) }
            }
            if accepting[state] { items.append(.init(spelling: writer.quote, target: writer.closed)) }
            try writer.write(items, to: state, budget: &budget)
        }
        return try writer.finish(budget: &budget)
    }

    /// The spellings of each class of characters.
    private func spellings(_ writer: inout SpellingWriter) -> [[Int32]] {
        var result = [[Int32]](repeating: [], count: classCount)
        for (range, kind) in intervals {
            for sequence in Self.spellings(of: range) { result[kind].append(writer.intern(sequence)) }
        }
        return result
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

/// Writes transitions over whole spellings as transitions over bytes. No spelling begins with another, so that at most
/// one ends at a byte.
private struct SpellingWriter {
    struct Item: Hashable {
        var spelling: Int32
        var target: Int32
    }

    private let path: String
    private var rows: [[ByteAutomaton.Transition]]
    /// Sequences of byte ranges, as their first range and the rest; -1 for none.
    private var firsts: [ClosedRange<UInt8>] = []
    private var rests: [Int32] = []
    private var numbers: [[ClosedRange<UInt8>]: Int32] = [:]
    /// States inside a character, by what may follow.
    private var inner: [[Item]: Int32] = [:]
    let closed: Int32
    private(set) var quote: Int32 = 0

    init(path: String, stateCount: Int) {
        self.path = path
        rows = [[ByteAutomaton.Transition]](repeating: [], count: stateCount + 1)
        closed = Int32(stateCount)
        quote = intern([UInt8(ascii: "\"")...UInt8(ascii: "\"")])
    }

    mutating func intern(_ sequence: [ClosedRange<UInt8>]) -> Int32 {
        guard let first = sequence.first else { return -1 }
        if let known = numbers[sequence] { return known }
        let rest = intern(Array(sequence.dropFirst()))
        let number = Int32(firsts.count)
        firsts.append(first)
        rests.append(rest)
        numbers[sequence] = number
        return number
    }

    mutating func write(_ items: [Item], to state: Int, budget: inout CompileBudget) throws(GrammarError) {
        // Ranges between which nothing changes.
        var starts = ByteSet()
        for item in items {
            let range = firsts[Int(item.spelling)]
            starts.insert(range.lowerBound)
            if range.upperBound < 255 { starts.insert(range.upperBound + 1) }
        }
        try budget.spend(items.count * max(1, starts.count) / 8 + 8, at: path)
        var low: Int?
        for byte in 0...256 where byte == 256 || starts.contains(UInt8(byte)) {
            if let low { try write(items, UInt8(low)...UInt8(byte - 1), to: state, budget: &budget) }
            low = byte
        }
    }

    private mutating func write(
        _ items: [Item], _ range: ClosedRange<UInt8>, to state: Int, budget: inout CompileBudget
    ) throws(GrammarError) {
        var following: [Item] = []
        for item in items where firsts[Int(item.spelling)].contains(range.lowerBound) {
            let rest = rests[Int(item.spelling)]
            if rest < 0 {
                append(range, item.target, to: state)
                return
            }
            following.append(Item(spelling: rest, target: item.target))
        }
        guard !following.isEmpty else { return }
        following.sort { ($0.spelling, $0.target) < ($1.spelling, $1.target) }
        if let known = inner[following] {
            append(range, known, to: state)
            return
        }
        let number = rows.count
        rows.append([])
        inner[following] = Int32(number)
        append(range, Int32(number), to: state)
        // At most five deep: \u00XX is the longest spelling.
        try write(following, to: number, budget: &budget)
    }

    private mutating func append(_ range: ClosedRange<UInt8>, _ target: Int32, to state: Int) {
        if let last = rows[state].last, last.target == target, Int(last.high) + 1 == Int(range.lowerBound) {
            rows[state][rows[state].count - 1].high = range.upperBound
        } else {
            rows[state].append(.init(low: range.lowerBound, high: range.upperBound, target: target))
        }
    }

    func finish(budget: inout CompileBudget) throws(GrammarError) -> ByteAutomaton? {
        var accepting = [Bool](repeating: false, count: rows.count)
        accepting[Int(closed)] = true
        return try ByteAutomaton(
            rows: rows, accepting: accepting, boundaries: Int(closed), path: path, budget: &budget)
    }
}
