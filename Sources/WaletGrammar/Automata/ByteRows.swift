// The transitions of an automaton while it is built.

/// Transitions by states, in one array: an array for each state would be most of the work of building one.
struct ByteRows {
    private var transitions: [ByteAutomaton.Transition] = []
    private var ranges: [Range<Int32>]

    init(stateCount: Int) { ranges = [Range<Int32>](repeating: 0..<0, count: stateCount) }

    var count: Int { ranges.count }

    /// - Parameter row: by ascending bytes, without overlap.
    mutating func set(_ row: [ByteAutomaton.Transition], of state: Int) {
        let start = Int32(transitions.count)
        transitions += row
        ranges[state] = start..<Int32(transitions.count)
    }

    /// Adds a state; its number.
    mutating func append(_ row: [ByteAutomaton.Transition]) -> Int32 {
        ranges.append(0..<0)
        set(row, of: ranges.count - 1)
        return Int32(ranges.count - 1)
    }

    subscript(state: Int) -> ArraySlice<ByteAutomaton.Transition> {
        transitions[Int(ranges[state].lowerBound)..<Int(ranges[state].upperBound)]
    }
}
