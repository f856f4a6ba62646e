// From the positions of a pattern to a deterministic automaton: sets of positions as bits, many at a time.

/// The positions of a pattern at which it can wait for a character, and which follow which.
///
/// A set of them is a state of the automaton. In a sequence each position is followed by the one before it, so that all
/// steps along sequences are one shift (Baeza-Yates and Gonnet 1992, Navarro and Raffinot 2001): x{1000} has sets of a
/// thousand positions, and stepping through them one by one would cost a million steps. Of a set only those words are
/// kept that are not 0, so that a long pattern with an anchor, whose sets are small, costs no more than its length.
struct PositionSets {
    /// 64 positions of a set.
    private struct Word: Hashable {
        var index: Int32
        var bits: UInt64
    }

    private let classCount: Int
    private let words: Int
    /// Positions that a character of a class takes a step from. `[classes, words]`
    private var taking: [UInt64]
    /// Positions that are followed by the one before them. `[words]`
    private var shifting: [UInt64]
    /// Positions that are followed by others too. `[words]`
    private var branching: [UInt64]
    /// Positions at which the string may end. `[words]`
    private var ending: [UInt64]
    /// The others that follow a branching position, as a number of `lists`.
    private var listOf: [Int32]
    private var lists: [[Int32]] = []
    private var listNumbers: [[Int32]: Int32] = [:]

    init(count: Int, classCount: Int, path: String, budget: inout CompileBudget) throws(GrammarError) {
        self.classCount = classCount
        words = max(1, (count + 63) / 64)
        try budget.spend(classCount * words / 4, at: path)
        taking = [UInt64](repeating: 0, count: classCount * words)
        shifting = [UInt64](repeating: 0, count: words)
        branching = shifting
        ending = shifting
        listOf = [Int32](repeating: -1, count: count)
    }

    private static func bit(_ position: Int) -> UInt64 { 1 << UInt64(position & 63) }

    mutating func mark(_ position: Int, _ kind: Int) { taking[kind * words + position >> 6] |= Self.bit(position) }

    mutating func markEnd(_ position: Int) { ending[position >> 6] |= Self.bit(position) }

    /// - Parameter next: positions after one, sorted.
    mutating func follow(_ position: Int, _ next: [Int32]) {
        let others = next.filter { Int($0) != position - 1 }
        if others.count < next.count { shifting[position >> 6] |= Self.bit(position) }
        guard !others.isEmpty else { return }
        branching[position >> 6] |= Self.bit(position)
        if let known = listNumbers[others] {
            listOf[position] = known
        } else {
            listOf[position] = Int32(lists.count)
            listNumbers[others] = Int32(lists.count)
            lists.append(others)
        }
    }

    /// A set while it is put together.
    private struct Draft {
        /// `[words]`
        var bits: [UInt64]
        /// Words that are not 0.
        var used: [Int32] = []
        /// Lists that are in it already carry its stamp.
        var stamps: [Int]
        var stamp = 0

        init(words: Int, lists: Int) {
            bits = [UInt64](repeating: 0, count: words)
            stamps = [Int](repeating: 0, count: lists)
        }

        @inline(__always)
        mutating func add(_ word: Int, _ added: UInt64) {
            if bits[word] == 0 { used.append(Int32(word)) }
            bits[word] |= added
        }

        /// Where the words are now.
        mutating func keep(in arena: inout [Word]) -> Range<Int> {
            let first = arena.count
            used.sort()
            for word in used { arena.append(Word(index: word, bits: bits[Int(word)])) }
            return first..<arena.count
        }

        mutating func removeAll() {
            for word in used { bits[Int(word)] = 0 }
            used.removeAll(keepingCapacity: true)
            stamp += 1
        }
    }

    /// - Parameters:
    ///   - start: where the string begins. That is a state of its own, to which nothing leads.
    ///   - match: after it, everything matches.
    func automaton(
        from start: [Int32], match: Int32, startAccepts: Bool, intervals: [(range: ClosedRange<UInt32>, kind: Int)],
        path: String, budget: inout CompileBudget
    ) throws(GrammarError) -> CharacterAutomaton {
        // The words of all sets, and where those of each begin and end.
        var arena: [Word] = []
        var ranges: [Range<Int>] = []
        var known = InternTable()
        var draft = Draft(words: words, lists: lists.count)
        for position in start { draft.add(Int(position) >> 6, Self.bit(Int(position))) }
        ranges.append(draft.keep(in: &arena))
        var table: [Int32] = []
        var accepting: [Bool] = []
        while accepting.count < ranges.count {
            let set = ranges[accepting.count]
            accepting.append(
                accepting.isEmpty ? startAccepts : arena[set].contains { $0.bits & ending[Int($0.index)] != 0 })
            try budget.spend(4 + set.count + classCount * (1 + set.count / 4), at: path)
            let isMatched = arena[set].contains {
                Int($0.index) == Int(match) >> 6 && $0.bits & Self.bit(Int(match)) != 0
            }
            for kind in 0..<classCount {
                draft.removeAll()
                if isMatched {
                    draft.add(Int(match) >> 6, Self.bit(Int(match)))
                } else {
                    let cost = step(arena[set], kind, &draft)
                    if cost > 0 { try budget.spend(cost, at: path) }
                }
                guard !draft.used.isEmpty else {
                    table.append(-1)
                    continue
                }
                draft.used.sort()
                var hash = SeededHash()
                for word in draft.used {
                    hash.add(word)
                    hash.add(draft.bits[Int(word)])
                }
                let found = known.find(hash.value) { number in
                    let other = ranges[Int(number)]
                    return other.count == draft.used.count
                        && zip(arena[other], draft.used).allSatisfy {
                            $0.index == $1 && $0.bits == draft.bits[Int($1)]
                        }
                }
                if found >= 0 {
                    table.append(found)
                } else {
                    let number = Int32(ranges.count)
                    ranges.append(draft.keep(in: &arena))
                    known.insert(number, hash: hash.value)
                    table.append(number)
                }
            }
        }
        return CharacterAutomaton(
            intervals: intervals, classCount: classCount, table: table, accepting: accepting
        ).trimmed()
    }

    /// Adds what follows a set after a character of a class; what that cost beyond the shift.
    @inline(__always)
    private func step(_ set: ArraySlice<Word>, _ kind: Int, _ next: inout Draft) -> Int {
        var cost = 0
        for item in set {
            let word = Int(item.index)
            let stepping = item.bits & taking[kind * words + word]
            guard stepping != 0 else { continue }
            let shifted = stepping & shifting[word]
            if shifted >> 1 != 0 { next.add(word, shifted >> 1) }
            // Position 0 is followed by none before it.
            if shifted & 1 != 0, word > 0 { next.add(word - 1, 1 << 63) }
            var others = stepping & branching[word]
            cost += others.nonzeroBitCount / 8
            while others != 0 {
                let list = Int(listOf[word * 64 + others.trailingZeroBitCount])
                others &= others - 1
                guard next.stamps[list] != next.stamp else { continue }
                next.stamps[list] = next.stamp
                cost += lists[list].count / 4
                for position in lists[list] { next.add(Int(position) >> 6, Self.bit(Int(position))) }
            }
        }
        return cost
    }
}
