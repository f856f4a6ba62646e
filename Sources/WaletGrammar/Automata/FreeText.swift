// Text that is anything but some marks.

import Synchronization

/// Automata over all byte strings in which none of some marks occurs (Aho and Corasick 1975).
enum FreeText {
    /// Those of the marks that were used: all grammars of a model have the same few, and share the masks with them.
    private static let known = Mutex<[[[UInt8]]: ByteAutomaton]>([:])
    private static let knownLimit = 64

    static func automaton(
        without marks: [[UInt8]], path: String, budget: inout CompileBudget
    ) throws(GrammarError) -> ByteAutomaton? {
        if let automaton = known.withLock({ $0[marks] }) { return automaton }
        let automaton = try make(marks, path: path, budget: &budget)
        known.withLock { known in
            if known.count >= knownLimit { known.removeAll() }
            known[marks] = automaton
        }
        return automaton
    }

    private static func make(
        _ marks: [[UInt8]], path: String, budget: inout CompileBudget
    ) throws(GrammarError) -> ByteAutomaton? {
        // A trie of the marks: a state is the longest end of the text that begins a mark.
        var children: [[UInt8: Int32]] = [[:]]
        var isMark = [false]
        for mark in marks where !mark.isEmpty {
            var state = 0
            for byte in mark {
                if let next = children[state][byte] {
                    state = Int(next)
                } else {
                    children[state][byte] = Int32(children.count)
                    state = children.count
                    children.append([:])
                    isMark.append(false)
                }
            }
            isMark[state] = true
        }
        try budget.spend(children.count * 256, at: path)
        var failure = [Int32](repeating: 0, count: children.count)
        var table = [[Int32]](repeating: [Int32](repeating: 0, count: 256), count: children.count)
        var queue: [Int32] = [0]
        var next = 0
        while next < queue.count {
            let state = Int(queue[next])
            next += 1
            isMark[state] = isMark[state] || isMark[Int(failure[state])]
            for byte in 0..<256 {
                let fallback = state == 0 ? 0 : table[Int(failure[state])][byte]
                if let child = children[state][UInt8(byte)] {
                    failure[Int(child)] = fallback
                    table[state][byte] = child
                    queue.append(child)
                } else {
                    table[state][byte] = fallback
                }
            }
        }
        var rows = ByteRows(stateCount: 0)
        for state in children.indices {
            var row: [ByteAutomaton.Transition] = []
            for byte in 0..<256 {
                let target = table[state][byte]
                guard !isMark[Int(target)] else { continue }
                if let last = row.last, last.target == target, Int(last.high) + 1 == byte {
                    row[row.count - 1].high = UInt8(byte)
                } else {
                    row.append(.init(low: UInt8(byte), high: UInt8(byte), target: target))
                }
            }
            _ = rows.append(row)
        }
        return try ByteAutomaton(
            rows: rows, accepting: [Bool](repeating: true, count: rows.count), path: path, budget: &budget)
    }
}
