// A deterministic automaton over Unicode scalars: what a pattern, a format and a length bound leave of all strings.

/// Decides strings character by character. State 0 is the start; every state can still accept, unless there is none.
struct CharacterAutomaton: Sendable {
    /// Characters that no state tells apart: ranges in ascending order that cover all scalars, each with its class.
    var intervals: [(range: ClosedRange<UInt32>, kind: Int)]
    var classCount: Int
    /// The next state, or -1. `[states, classes]`
    var table: [Int32]
    var accepting: [Bool]

    var stateCount: Int { accepting.count }
    /// Whether no string is accepted.
    var isEmpty: Bool { accepting.isEmpty }

    /// All strings.
    static let everything = CharacterAutomaton(
        intervals: CharacterRanges.all.ranges.map { ($0, 0) }, classCount: 1, table: [0], accepting: [true])

    func accepts(_ text: String) -> Bool {
        guard !isEmpty else { return false }
        var state: Int32 = 0
        for scalar in text.unicodeScalars {
            state = table[Int(state) * classCount + kind(of: scalar.value)]
            guard state >= 0 else { return false }
        }
        return accepting[Int(state)]
    }

    private func kind(of character: UInt32) -> Int {
        var low = 0
        var high = intervals.count - 1
        while low < high {
            let middle = (low + high) / 2
            if intervals[middle].range.upperBound < character { low = middle + 1 } else { high = middle }
        }
        return intervals[low].kind
    }

    /// Strings that both accept.
    func intersection(
        _ other: CharacterAutomaton, path: String, budget: inout CompileBudget
    ) throws(GrammarError) -> CharacterAutomaton {
        guard !isEmpty else { return self }
        guard !other.isEmpty else { return other }
        var intervals: [(range: ClosedRange<UInt32>, kind: Int)] = []
        var kinds: [(Int, Int)] = []
        var numbers: [Int: Int] = [:]
        var (i, j) = (0, 0)
        while i < self.intervals.count, j < other.intervals.count {
            let (mine, theirs) = (self.intervals[i], other.intervals[j])
            let low = max(mine.range.lowerBound, theirs.range.lowerBound)
            let high = min(mine.range.upperBound, theirs.range.upperBound)
            if low <= high {
                let key = mine.kind * other.classCount + theirs.kind
                let kind = numbers[key] ?? kinds.count
                if kind == kinds.count {
                    numbers[key] = kind
                    kinds.append((mine.kind, theirs.kind))
                }
                intervals.append((low...high, kind))
            }
            if mine.range.upperBound == high { i += 1 }
            if theirs.range.upperBound == high { j += 1 }
        }
        return try Self.exploring(
            from: [0, 0], intervals: intervals, classCount: kinds.count, path: path, budget: &budget,
            accepts: { self.accepting[Int($0[0])] && other.accepting[Int($0[1])] },
            step: { state, kind in
                let mine = self.table[Int(state[0]) * self.classCount + kinds[kind].0]
                let theirs = other.table[Int(state[1]) * other.classCount + kinds[kind].1]
                return mine < 0 || theirs < 0 ? nil : [mine, theirs]
            })
    }

    /// Strings of a number of characters at least.
    func ofLength(atLeast minimum: Int, path: String, budget: inout CompileBudget) throws(GrammarError)
        -> CharacterAutomaton
    {
        guard minimum > 0, !isEmpty else { return self }
        let least = Int32(clamping: minimum)
        return try Self.exploring(
            from: [0, 0], intervals: intervals, classCount: classCount, path: path, budget: &budget,
            accepts: { self.accepting[Int($0[0])] && $0[1] >= least },
            step: { state, kind in
                let next = self.table[Int(state[0]) * self.classCount + kind]
                return next < 0 ? nil : [next, min(state[1] + 1, least)]
            })
    }

    private static func exploring(
        from start: SIMD2<Int32>, intervals: [(range: ClosedRange<UInt32>, kind: Int)], classCount: Int,
        path: String, budget: inout CompileBudget, accepts: (SIMD2<Int32>) -> Bool,
        step: (SIMD2<Int32>, Int) -> SIMD2<Int32>?
    ) throws(GrammarError) -> CharacterAutomaton {
        var numbers: [SIMD2<Int32>: Int32] = [start: 0]
        var states = [start]
        var table: [Int32] = []
        var next = 0
        while next < states.count {
            try budget.spend(classCount + 8, at: path)
            let state = states[next]
            next += 1
            for kind in 0..<classCount {
                guard let target = step(state, kind) else {
                    table.append(-1)
                    continue
                }
                if let known = numbers[target] {
                    table.append(known)
                } else {
                    let number = Int32(states.count)
                    numbers[target] = number
                    states.append(target)
                    table.append(number)
                }
            }
        }
        return CharacterAutomaton(
            intervals: intervals, classCount: classCount, table: table, accepting: states.map(accepts)
        ).trimmed()
    }

    /// Without the states from which nothing is accepted; all states are reached already.
    func trimmed() -> CharacterAutomaton {
        let sources = ReverseEdges(table, classCount: classCount)
        var isUseful = accepting
        var stack = accepting.indices.filter { accepting[$0] }.map { Int32($0) }
        while let state = stack.popLast() {
            for source in sources[Int(state)] where !isUseful[Int(source)] {
                isUseful[Int(source)] = true
                stack.append(source)
            }
        }
        var result = CharacterAutomaton(intervals: intervals, classCount: classCount, table: [], accepting: [])
        guard isUseful.first == true else { return result }
        var number = [Int32](repeating: -1, count: stateCount)
        var count: Int32 = 0
        for state in 0..<stateCount where isUseful[state] {
            number[state] = count
            count += 1
        }
        for state in 0..<stateCount where isUseful[state] {
            result.accepting.append(accepting[state])
            for kind in 0..<classCount {
                let target = table[state * classCount + kind]
                result.table.append(target < 0 ? -1 : number[Int(target)])
            }
        }
        return result
    }
}
