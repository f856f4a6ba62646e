// A pattern's automaton: Thompson's construction, then sets of positions.

/// Turns a parsed pattern into a ``CharacterAutomaton``. As JSON Schema has it, a pattern matches anywhere in a string
/// unless it is anchored.
struct RegexAutomaton {
    private enum Kind {
        case set(Int)
        case split(Int32)
        case start
        case end
        case match
    }
    private struct State {
        var kind: Kind
        var next: Int32
    }

    private var states: [State] = []
    private var sets: [CharacterRanges] = []
    private var setNumbers: [CharacterRanges: Int] = [:]
    private let path: String

    /// The strings in which a pattern matches.
    static func automaton(
        _ pattern: String, path: String, budget: inout CompileBudget
    ) throws(GrammarError) -> CharacterAutomaton {
        let node = try RegexParser.parse(pattern, path: path)
        var builder = RegexAutomaton(path: path)
        // Before anything is built: {0,1000000000} must not be unrolled to be refused.
        try budget.spend(builder.size(node) * 4, at: path)
        let match = builder.add(.match, 0)
        let body = builder.build(node, match)
        // Anything may come before; an anchor then forbids it.
        let anything = builder.number(of: .all)
        let prefix = builder.add(.split(body), 0)
        builder.states[Int(prefix)].next = builder.add(.set(anything), prefix)
        return try builder.subsets(from: prefix, match: match, budget: &budget)
    }

    private init(path: String) { self.path = path }

    private func size(_ node: RegexNode) -> Int {
        switch node {
        case .set, .start, .end: return 1
        case .sequence(let items), .choice(let items):
            return items.reduce(1) { min($0 + size($1), 1 << 40) }
        case .repetition(let item, let minimum, let maximum):
            let count = max(1, maximum ?? minimum + 1)
            let (product, overflows) = (size(item) + 1).multipliedReportingOverflow(by: count)
            return overflows ? 1 << 40 : min(product, 1 << 40)
        }
    }

    private mutating func add(_ kind: Kind, _ next: Int32) -> Int32 {
        states.append(State(kind: kind, next: next))
        return Int32(states.count - 1)
    }

    private mutating func number(of set: CharacterRanges) -> Int {
        if let known = setNumbers[set] { return known }
        setNumbers[set] = sets.count
        sets.append(set)
        return sets.count - 1
    }

    /// Adds states that match a node and go on at `next`; the first of them.
    private mutating func build(_ node: RegexNode, _ next: Int32) -> Int32 {
        switch node {
        case .set(let set): return add(.set(number(of: set)), next)
        case .start: return add(.start, next)
        case .end: return add(.end, next)
        case .sequence(let items):
            var next = next
            for item in items.reversed() { next = build(item, next) }
            return next
        case .choice(let items):
            var first = build(items[items.count - 1], next)
            for item in items.dropLast().reversed() { first = add(.split(build(item, next)), first) }
            return first
        case .repetition(let item, let minimum, let maximum):
            var first = next
            if let maximum {
                // a{2,4} is aa(a(a)?)?
                for _ in minimum..<maximum { first = add(.split(build(item, first)), next) }
            } else {
                let loop = add(.split(next), next)
                states[Int(loop)].kind = .split(build(item, loop))
                first = loop
            }
            for _ in 0..<minimum { first = build(item, first) }
            return first
        }
    }

    // MARK: Closures

    private struct Alphabet {
        var intervals: [(range: ClosedRange<UInt32>, kind: Int)] = []
        var classCount = 0
        /// Classes of each set.
        var classes: [[Int]] = []
    }

    /// Splits all characters into classes that no set of the pattern tells apart.
    private func alphabet(_ budget: inout CompileBudget) throws(GrammarError) -> Alphabet {
        var starts: Set<UInt32> = [0, 0xE000]
        for set in sets {
            for range in set.ranges {
                starts.insert(range.lowerBound)
                if range.upperBound < 0x10FFFF, range.upperBound != 0xD7FF { starts.insert(range.upperBound + 1) }
            }
        }
        let sorted = starts.sorted()
        let ends = sorted.indices.map { index -> UInt32 in
            guard index + 1 < sorted.count else { return 0x10FFFF }
            return sorted[index + 1] == 0xE000 ? 0xD7FF : sorted[index + 1] - 1
        }
        let words = (sets.count + 63) / 64
        try budget.spend(sorted.count * words, at: path)
        var signatures = [[UInt64]](repeating: [UInt64](repeating: 0, count: words), count: sorted.count)
        for (number, set) in sets.enumerated() {
            var index = 0
            for range in set.ranges {
                while index < sorted.count, sorted[index] < range.lowerBound { index += 1 }
                while index < sorted.count, sorted[index] <= range.upperBound {
                    signatures[index][number / 64] |= 1 << UInt64(number % 64)
                    index += 1
                }
            }
            try budget.spend(index, at: path)
        }
        var result = Alphabet()
        result.classes = [[Int]](repeating: [], count: sets.count)
        var numbers: [[UInt64]: Int] = [:]
        for (index, signature) in signatures.enumerated() {
            let kind = numbers[signature] ?? result.classCount
            if kind == result.classCount {
                numbers[signature] = kind
                result.classCount += 1
                for number in sets.indices where signature[number / 64] >> UInt64(number % 64) & 1 != 0 {
                    result.classes[number].append(kind)
                }
            }
            result.intervals.append((sorted[index]...ends[index], kind))
        }
        return result
    }

    /// States from which the match is reached without an anchor to the start, since the others are dead after a
    /// character; and those from which it is reached without a character.
    private func reaching(_ match: Int32) -> (alive: [Bool], endsHere: [Bool]) {
        var sources = [[Int32]](repeating: [], count: states.count)
        var endSources = [[Int32]](repeating: [], count: states.count)
        for (index, state) in states.enumerated() {
            switch state.kind {
            case .set:
                sources[Int(state.next)].append(Int32(index))
            case .split(let other):
                sources[Int(state.next)].append(Int32(index))
                sources[Int(other)].append(Int32(index))
                endSources[Int(state.next)].append(Int32(index))
                endSources[Int(other)].append(Int32(index))
            case .end: endSources[Int(state.next)].append(Int32(index))
            case .start, .match: break
            }
        }
        // From here the match follows without another character.
        var isDone = [Bool](repeating: false, count: states.count)
        isDone[Int(match)] = true
        var stack = [match]
        while let state = stack.popLast() {
            for source in endSources[Int(state)] where !isDone[Int(source)] {
                isDone[Int(source)] = true
                stack.append(source)
            }
        }
        var reaches = [Bool](repeating: false, count: states.count)
        for (index, state) in states.enumerated() {
            if case .end = state.kind, isDone[index] { reaches[index] = true }
        }
        reaches[Int(match)] = true
        stack = reaches.indices.filter { reaches[$0] }.map { Int32($0) }
        while let state = stack.popLast() {
            for source in sources[Int(state)] where !reaches[Int(source)] {
                reaches[Int(source)] = true
                stack.append(source)
            }
        }
        return (reaches, isDone)
    }

    /// What is reached without a character, sorted; only states that wait for a character or the end are kept.
    private func closure(
        _ seed: Int32, atStart: Bool, alive: [Bool], _ marks: inout [Int32], _ mark: Int32,
        _ budget: inout CompileBudget
    ) throws(GrammarError) -> [Int32] {
        var stack = [seed]
        var result: [Int32] = []
        var visited = 0
        while let index = stack.popLast() {
            guard marks[Int(index)] != mark else { continue }
            marks[Int(index)] = mark
            visited += 1
            guard atStart || alive[Int(index)] else { continue }
            let state = states[Int(index)]
            switch state.kind {
            case .set, .end, .match: result.append(index)
            case .split(let other):
                stack.append(other)
                stack.append(state.next)
            case .start: if atStart { stack.append(state.next) }
            }
        }
        try budget.spend(visited / 4 + result.count + 1, at: path)
        return result.sorted()
    }

    /// Whether the string may end in a set of states.
    private func accepts(_ set: [Int32], match: Int32, atStart: Bool) -> Bool {
        var stack = set
        var seen: Set<Int32> = []
        while let index = stack.popLast() {
            guard seen.insert(index).inserted else { continue }
            let state = states[Int(index)]
            switch state.kind {
            case .match: return true
            case .set: break
            case .end: stack.append(state.next)
            case .start: if atStart { stack.append(state.next) }
            case .split(let other):
                stack.append(other)
                stack.append(state.next)
            }
        }
        return false
    }

    private func subsets(
        from start: Int32, match: Int32, budget: inout CompileBudget
    ) throws(GrammarError) -> CharacterAutomaton {
        let alphabet = try alphabet(&budget)
        let (alive, endsHere) = reaching(match)
        var marks = [Int32](repeating: -1, count: states.count)
        let first = try closure(start, atStart: true, alive: alive, &marks, Int32(states.count), &budget)
        // Only states that wait for something are followed. Numbered as they were built, each item of a sequence comes
        // right after the one that follows it.
        var numbers = [Int32](repeating: -1, count: states.count)
        var positions: [Int32] = []
        for (index, state) in states.enumerated() where alive[index] {
            switch state.kind {
            case .set, .end, .match:
                numbers[index] = Int32(positions.count)
                positions.append(Int32(index))
            case .split, .start: break
            }
        }
        var sets = try PositionSets(
            count: positions.count, classCount: alphabet.classCount, path: path, budget: &budget)
        for (position, index) in positions.enumerated() {
            if endsHere[Int(index)] { sets.markEnd(position) }
            guard case .set(let number) = states[Int(index)].kind else { continue }
            for kind in alphabet.classes[number] { sets.mark(position, kind) }
            try budget.spend(alphabet.classes[number].count / 2 + 1, at: path)
            let next = try closure(states[Int(index)].next, atStart: false, alive: alive, &marks, index, &budget)
            sets.follow(position, next.map { numbers[Int($0)] })
        }
        return try sets.automaton(
            from: first.map { numbers[Int($0)] }.filter { $0 >= 0 }, match: numbers[Int(match)],
            startAccepts: accepts(first, match: match, atStart: true), intervals: alphabet.intervals, path: path,
            budget: &budget)
    }
}
