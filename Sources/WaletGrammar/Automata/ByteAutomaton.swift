// A deterministic automaton over bytes, all of whose states can still accept.

import Synchronization

/// Immutable tables. State 0 is the start. From each state some continuation is accepted, so that whoever follows the
/// transitions never comes to a dead end.
final class ByteAutomaton: Sendable {
    struct Transition {
        var low: UInt8
        var high: UInt8
        var target: Int32
    }

    private static let counter = Atomic<UInt64>(1)

    /// Tells automata apart in caches.
    let id: UInt64
    let classCount: Int
    /// Bytes that no state tells apart share a class.
    let classes: [UInt8]
    /// The next state, or -1. `[states, classes]`
    let table: [Int32]
    let accepting: [Bool]
    /// Whether any byte may follow.
    let continues: [Bool]
    /// Whether a state is between two characters, where that is known.
    let isBoundary: [Bool]
    /// Characters that are needed at least from a state until it is accepted, where boundaries are known.
    let needed: [Int32]
    /// The largest of these.
    let mostNeeded: Int32
    /// Bytes on any transition.
    private let usedBytes: ByteSet

    var stateCount: Int { accepting.count }
    var approximateBytes: Int { table.count * 4 + accepting.count * 2 + needed.count * 5 + 512 }

    /// Keeps what can be reached and can accept; nil where that is nothing.
    /// - Parameters:
    ///   - rows: the transitions of all states.
    ///   - boundaries: how many of the states, from the first on, are between two characters; nil where bytes are not
    ///     counted as characters.
    init?(
        rows: ByteRows, accepting: [Bool], boundaries: Int? = nil, path: String, budget: inout CompileBudget
    ) throws(GrammarError) {
        guard let order = Self.usefulStates(rows, accepting) else { return nil }
        var number = [Int32](repeating: -1, count: rows.count)
        for (index, state) in order.enumerated() { number[Int(state)] = Int32(index) }

        // A class begins wherever some transition begins, or ends before.
        var starts = ByteSet()
        starts.insert(0)
        for state in order {
            for transition in rows[Int(state)] where number[Int(transition.target)] >= 0 {
                starts.insert(transition.low)
                if transition.high < 255 { starts.insert(transition.high + 1) }
            }
        }
        var classes = [UInt8](repeating: 0, count: 256)
        var count = 0
        for byte in 0...255 {
            if byte > 0, starts.contains(UInt8(byte)) { count += 1 }
            classes[byte] = UInt8(count)
        }
        count += 1
        try budget.allocate(cells: order.count * count, at: path)
        try budget.spend(order.count * count / 8, at: path)

        var used = ByteSet()
        var table = [Int32](repeating: -1, count: order.count * count)
        var continues = [Bool](repeating: false, count: order.count)
        for (index, state) in order.enumerated() {
            for transition in rows[Int(state)] {
                let target = number[Int(transition.target)]
                guard target >= 0 else { continue }
                continues[index] = true
                used.insert(transition.low...transition.high)
                for column in classes[Int(transition.low)]...classes[Int(transition.high)] {
                    table[index * count + Int(column)] = target
                }
            }
        }
        id = Self.counter.wrappingAdd(1, ordering: .relaxed).newValue
        classCount = count
        self.classes = classes
        self.table = table
        self.continues = continues
        let isAccepting = order.map { accepting[Int($0)] }
        self.accepting = isAccepting
        usedBytes = used
        if let boundaries {
            let isBoundary = order.map { Int($0) < boundaries }
            let needed = Self.needed(table, count, isAccepting, isBoundary)
            self.isBoundary = isBoundary
            self.needed = needed
            mostNeeded = needed.max() ?? 0
        } else {
            isBoundary = []
            needed = []
            mostNeeded = 0
        }
    }

    /// Distances to acceptance, counted in characters: a breadth-first search in which bytes within characters are free.
    private static func needed(
        _ table: [Int32], _ classCount: Int, _ accepting: [Bool], _ isBoundary: [Bool]
    ) -> [Int32] {
        let sources = ReverseEdges(table, classCount: classCount)
        var result = [Int32](repeating: -1, count: accepting.count)
        var level = accepting.indices.filter { accepting[$0] }.map { Int32($0) }
        var distance: Int32 = 0
        while !level.isEmpty {
            var next: [Int32] = []
            while let state = level.popLast() {
                guard result[Int(state)] < 0 else { continue }
                result[Int(state)] = distance
                for source in sources[Int(state)] where result[Int(source)] < 0 {
                    if isBoundary[Int(state)] { next.append(source) } else { level.append(source) }
                }
            }
            level = next
            distance += 1
        }
        return result
    }

    /// States that can be reached and can accept, the start first; nil where the start cannot.
    private static func usefulStates(_ rows: ByteRows, _ accepting: [Bool]) -> [Int32]? {
        let sources = ReverseEdges(rows)
        var canAccept = accepting
        var stack = accepting.indices.filter { accepting[$0] }.map { Int32($0) }
        while let state = stack.popLast() {
            for source in sources[Int(state)] where !canAccept[Int(source)] {
                canAccept[Int(source)] = true
                stack.append(source)
            }
        }
        guard rows.count > 0, canAccept[0] else { return nil }
        var isReached = [Bool](repeating: false, count: rows.count)
        isReached[0] = true
        var order: [Int32] = [0]
        var next = 0
        while next < order.count {
            for transition in rows[Int(order[next])] {
                let target = Int(transition.target)
                guard canAccept[target], !isReached[target] else { continue }
                isReached[target] = true
                order.append(transition.target)
            }
            next += 1
        }
        return order
    }

    /// The automaton of a machine that is given by its step; nil where it accepts nothing.
    static func exploring<State: Hashable>(
        from start: State, alphabet: [UInt8], path: String, budget: inout CompileBudget,
        accepts: (State) -> Bool, step: (State, UInt8) -> State?
    ) throws(GrammarError) -> ByteAutomaton? {
        var numbers: [State: Int32] = [start: 0]
        var states = [start]
        var rows = ByteRows(stateCount: 0)
        while rows.count < states.count {
            try budget.spend(alphabet.count * 4, at: path)
            let state = states[rows.count]
            var row: [Transition] = []
            for byte in alphabet {
                guard let next = step(state, byte) else { continue }
                let number: Int32
                if let known = numbers[next] {
                    number = known
                } else {
                    number = Int32(states.count)
                    numbers[next] = number
                    states.append(next)
                }
                if let last = row.last, last.target == number, last.high + 1 == byte {
                    row[row.count - 1].high = byte
                } else {
                    row.append(Transition(low: byte, high: byte, target: number))
                }
            }
            _ = rows.append(row)
        }
        return try ByteAutomaton(rows: rows, accepting: states.map(accepts), path: path, budget: &budget)
    }

    /// The state after a byte, or -1.
    @inline(__always)
    func next(_ state: Int32, _ byte: UInt8) -> Int32 {
        table[Int(state) * classCount + Int(classes[Int(byte)])]
    }

    func nextBytes(_ state: Int32) -> ByteSet {
        var bytes = ByteSet()
        for byte in UInt8.min...UInt8.max where next(state, byte) >= 0 { bytes.insert(byte) }
        return bytes
    }

    /// Whether every state can accept by some of these bytes alone.
    func isUsable(with bytes: ByteSet) -> Bool {
        if usedBytes.isSubset(of: bytes) { return true }
        var columns = [Bool](repeating: false, count: classCount)
        for byte in UInt8.min...UInt8.max where bytes.contains(byte) { columns[Int(classes[Int(byte)])] = true }
        var rest = table
        for index in rest.indices where !columns[index % classCount] { rest[index] = -1 }
        let sources = ReverseEdges(rest, classCount: classCount)
        var usable = accepting
        var stack = accepting.indices.filter { accepting[$0] }.map { Int32($0) }
        while let state = stack.popLast() {
            for source in sources[Int(state)] where !usable[Int(source)] {
                usable[Int(source)] = true
                stack.append(source)
            }
        }
        return usable.allSatisfy { $0 }
    }
}

/// Where transitions come from, by where they lead.
struct ReverseEdges {
    private var position: [Int32]
    private var sources: [Int32]

    /// - Parameter table: `[states, classes]`, -1 where there is no transition.
    init(_ table: [Int32], classCount: Int) {
        let count = classCount == 0 ? 0 : table.count / classCount
        position = [Int32](repeating: 0, count: count + 1)
        for target in table where target >= 0 { position[Int(target) + 1] += 1 }
        for state in 0..<count { position[state + 1] += position[state] }
        sources = [Int32](repeating: 0, count: Int(position[count]))
        var filled = position
        for (index, target) in table.enumerated() where target >= 0 {
            sources[Int(filled[Int(target)])] = Int32(index / classCount)
            filled[Int(target)] += 1
        }
    }

    init(_ rows: ByteRows) {
        position = [Int32](repeating: 0, count: rows.count + 1)
        for state in 0..<rows.count {
            for transition in rows[state] { position[Int(transition.target) + 1] += 1 }
        }
        for state in 0..<rows.count { position[state + 1] += position[state] }
        sources = [Int32](repeating: 0, count: Int(position[rows.count]))
        var filled = position
        for state in 0..<rows.count {
            for transition in rows[state] {
                sources[Int(filled[Int(transition.target)])] = Int32(state)
                filled[Int(transition.target)] += 1
            }
        }
    }

    subscript(state: Int) -> ArraySlice<Int32> { sources[Int(position[state])..<Int(position[state + 1])] }
}
