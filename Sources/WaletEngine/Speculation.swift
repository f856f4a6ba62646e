/// How an answer may be made of several tokens a pass, which never changes the answer.
///
/// A drafter guesses what comes next; the model then runs the last token and the guesses in one pass, and the sampler
/// draws after each of them as it always does, until a token differs from its guess. A pass of few rows reads the weights
/// once, so guesses that come true are nearly free. What comes out is token for token what comes out without, whatever
/// the sampling, since a row's logits do not depend on the other rows of its pass.
public enum Speculation: Sendable, Equatable {
    case off
    /// Guesses what followed the last time that prompt and answer went as they go now; pays where the answer repeats
    /// parts of the prompt or of itself. At most `draftTokens` guesses a pass, and fewer where fewer pay.
    case lookup(draftTokens: Int = 15)
    /// Guesses with the checkpoint's multi-token-prediction layer, where it has one.
    case mtp(draftTokens: Int = 1)

    /// So many guesses a pass there can be.
    public static let draftTokens = 1...15

    /// Guesses a pass, at most.
    var maximum: Int {
        switch self {
        case .off: 0
        case .lookup(let count), .mtp(let count): count
        }
    }

    /// - Throws: ``EngineError/parameter(name:expected:found:)`` for a number of guesses out of range.
    public func validate() throws(EngineError) {
        guard self == .off || Self.draftTokens.contains(maximum) else {
            throw .parameter(
                name: "draft-tokens",
                expected: "\(Self.draftTokens.lowerBound) to \(Self.draftTokens.upperBound)", found: "\(maximum)")
        }
    }
}
