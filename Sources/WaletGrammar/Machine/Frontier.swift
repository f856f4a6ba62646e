/// One way in which the output so far can be read.
struct Reading: Hashable, Sendable {
    /// A state that waits for bytes or tokens; or, as its complement, the edge of a lexer that is under way.
    var place: Int32
    var node: Int32
    /// The rule's counter, or the list of the object's undeclared keys.
    var register: Int32
    /// The lexer's state.
    var state: Int32 = 0
    /// Characters that a string has so far, or the text of a key.
    var detail: Int32 = 0

    /// The order depends on what the grammar says before it depends on numbers that were given as the output came.
    static func < (left: Reading, right: Reading) -> Bool {
        if left.place != right.place { return left.place < right.place }
        if left.state != right.state { return left.state < right.state }
        if left.register != right.register { return left.register < right.register }
        if left.detail != right.detail { return left.detail < right.detail }
        return left.node < right.node
    }
}

/// All ways in which the output so far can be read. Each of them alone can be completed.
struct Frontier: Sendable {
    /// Sorted, without repetition.
    var readings: [Reading] = []
    /// Whether the output may end here.
    var isComplete = false

    var isDead: Bool { readings.isEmpty && !isComplete }
}
