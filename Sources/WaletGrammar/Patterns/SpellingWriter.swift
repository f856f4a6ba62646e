// From steps over characters to steps over the bytes that spell them.

/// The spellings of all characters as a trie of byte ranges whose leaves are classes of characters: the same for every
/// state of an automaton, so that it is made once.
struct SpellingTrie {
    struct Edge {
        var low: UInt8
        var high: UInt8
        /// A class, or as its complement a node.
        var target: Int32
    }

    private struct Item: Hashable {
        var spelling: Int32
        var kind: Int32
    }

    /// Edges of a node by ascending bytes. Node 0 is the beginning of a character.
    private(set) var edges: [[Edge]] = []
    /// Classes of the leaves below a node, ascending.
    private(set) var kinds: [[Int32]] = []

    /// Sequences of byte ranges, as their first range and the rest; -1 for none.
    private var firsts: [ClosedRange<UInt8>] = []
    private var rests: [Int32] = []
    private var numbers: [[ClosedRange<UInt8>]: Int32] = [:]
    private var nodes: [[Item]: Int32] = [:]

    init(
        _ intervals: [(range: ClosedRange<UInt32>, kind: Int)], path: String, budget: inout CompileBudget
    ) throws(GrammarError) {
        var items: [Item] = []
        for (range, kind) in intervals {
            for sequence in CharacterAutomaton.spellings(of: range) {
                items.append(Item(spelling: intern(sequence), kind: Int32(kind)))
            }
        }
        _ = try node(items, path: path, budget: &budget)
    }

    private mutating func intern(_ sequence: [ClosedRange<UInt8>]) -> Int32 {
        guard let first = sequence.first else { return -1 }
        if let known = numbers[sequence] { return known }
        let rest = intern(Array(sequence.dropFirst()))
        let number = Int32(firsts.count)
        firsts.append(first)
        rests.append(rest)
        numbers[sequence] = number
        return number
    }

    /// The node after which these spellings can follow. At most six deep: \u00XX is the longest spelling.
    private mutating func node(
        _ items: [Item], path: String, budget: inout CompileBudget
    ) throws(GrammarError) -> Int32 {
        if let known = nodes[items] { return known }
        let number = Int32(edges.count)
        nodes[items] = number
        edges.append([])
        kinds.append([])
        // Items by the bytes at which their first range begins and ends; between two of these nothing changes.
        var starting = [[Item]](repeating: [], count: 257)
        var isEdge = [Bool](repeating: false, count: 257)
        for item in items {
            let range = firsts[Int(item.spelling)]
            starting[Int(range.lowerBound)].append(item)
            isEdge[Int(range.lowerBound)] = true
            isEdge[Int(range.upperBound) + 1] = true
        }
        try budget.spend(items.count + 8, at: path)
        var open: [Item] = []
        var below: Set<Int32> = []
        var own: [Edge] = []
        var low = 0
        for byte in 0...256 where isEdge[byte] || byte == 256 {
            if !open.isEmpty {
                try budget.spend(open.count / 4 + 1, at: path)
                let target: Int32
                if rests[Int(open[0].spelling)] < 0 {
                    // No spelling begins with another, so that there is one.
                    target = open[0].kind
                    below.insert(target)
                } else {
                    var following = open.map { Item(spelling: rests[Int($0.spelling)], kind: $0.kind) }
                    following.sort { ($0.spelling, $0.kind) < ($1.spelling, $1.kind) }
                    let child = try node(following, path: path, budget: &budget)
                    target = ~child
                    below.formUnion(kinds[Int(child)])
                }
                if let last = own.last, last.target == target, Int(last.high) + 1 == low {
                    own[own.count - 1].high = UInt8(byte - 1)
                } else {
                    own.append(Edge(low: UInt8(low), high: UInt8(byte - 1), target: target))
                }
            }
            guard byte < 256 else { break }
            open.removeAll { Int(firsts[Int($0.spelling)].upperBound) < byte }
            open += starting[byte]
            low = byte
        }
        edges[Int(number)] = own
        kinds[Int(number)] = below.sorted()
        return number
    }
}

/// Writes the steps of an automaton over characters as steps over bytes.
struct SpellingWriter {
    private let trie: SpellingTrie
    private let automaton: CharacterAutomaton
    private let path: String
    private var rows: ByteRows
    /// States inside of characters: a node of the trie and where its classes lead.
    private var inner: [[Int32]: Int32] = [:]
    /// The one that was used last for each node: states differ in few characters, so that it is mostly the same.
    private var latest: [(key: [Int32], state: Int32)]
    private let closed: Int32

    init(_ trie: SpellingTrie, automaton: CharacterAutomaton, path: String) {
        self.trie = trie
        self.automaton = automaton
        self.path = path
        rows = ByteRows(stateCount: automaton.stateCount + 1)
        latest = [(key: [Int32], state: Int32)](repeating: ([], -1), count: trie.edges.count)
        closed = Int32(automaton.stateCount)
    }

    /// Writes a state; all states are written in ascending order.
    mutating func write(_ state: Int, budget: inout CompileBudget) throws(GrammarError) {
        var row = try row(0, state, budget: &budget)
        if automaton.accepting[state] {
            let quote = UInt8(ascii: "\"")
            let index = row.firstIndex { $0.low > quote } ?? row.count
            row.insert(ByteAutomaton.Transition(low: quote, high: quote, target: closed), at: index)
        }
        rows.set(row, of: state)
    }

    /// The transitions at a node of the trie, for the characters of a state.
    private mutating func row(
        _ node: Int, _ state: Int, budget: inout CompileBudget
    ) throws(GrammarError) -> [ByteAutomaton.Transition] {
        let base = state * automaton.classCount
        try budget.spend(trie.edges[node].count / 4 + 2, at: path)
        var row: [ByteAutomaton.Transition] = []
        for edge in trie.edges[node] {
            let target =
                edge.target >= 0
                ? automaton.table[base + Int(edge.target)]
                : try innerState(Int(~edge.target), state, budget: &budget)
            guard target >= 0 else { continue }
            if let last = row.last, last.target == target, Int(last.high) + 1 == Int(edge.low) {
                row[row.count - 1].high = edge.high
            } else {
                row.append(ByteAutomaton.Transition(low: edge.low, high: edge.high, target: target))
            }
        }
        return row
    }

    /// The state inside of a character, or -1 where nothing may follow.
    private mutating func innerState(
        _ node: Int, _ state: Int, budget: inout CompileBudget
    ) throws(GrammarError) -> Int32 {
        let base = state * automaton.classCount
        let kinds = trie.kinds[node]
        try budget.spend(kinds.count / 8 + 1, at: path)
        let recent = latest[node].key
        if !recent.isEmpty, zip(kinds, recent.dropFirst()).allSatisfy({ automaton.table[base + Int($0)] == $1 }) {
            return latest[node].state
        }
        try budget.spend(kinds.count / 4 + 2, at: path)
        var key = [Int32(node)]
        var isDead = true
        for kind in kinds {
            let target = automaton.table[base + Int(kind)]
            isDead = isDead && target < 0
            key.append(target)
        }
        if isDead { return -1 }
        if let known = inner[key] {
            latest[node] = (key, known)
            return known
        }
        // What is below is written first; at most six deep.
        let row = try row(node, state, budget: &budget)
        let number = rows.append(row)
        inner[key] = number
        latest[node] = (key, number)
        return number
    }

    consuming func finish(budget: inout CompileBudget) throws(GrammarError) -> ByteAutomaton? {
        var accepting = [Bool](repeating: false, count: rows.count)
        accepting[Int(closed)] = true
        return try ByteAutomaton(
            rows: rows, accepting: accepting, boundaries: Int(closed), path: path, budget: &budget)
    }
}
