/// What one pass of the engine works on.
public struct PassShape: Sendable, Equatable {
    /// Sequences that are given one more token each.
    public var sequences: Int
    /// Tokens that those sequences see, on the average.
    public var context: Int
    /// Tokens of prompts.
    public var promptTokens: Int

    public init(sequences: Int, context: Int, promptTokens: Int) {
        self.sequences = sequences
        self.context = context
        self.promptTokens = promptTokens
    }
}

/// Passes of one kind: what they made, how long they took, and how long a plan expected them to take.
public struct PassWork: Sendable, Equatable {
    public var tokens = 0
    public var seconds = 0.0
    /// 0 where nobody planned.
    public var plannedSeconds = 0.0

    public init() {}

    /// By how much the time exceeds the planned one: 0.1 is a tenth more. Nil where there is nothing to compare.
    public var error: Double? { plannedSeconds > 0 && seconds > 0 ? seconds / plannedSeconds - 1 : nil }
}
