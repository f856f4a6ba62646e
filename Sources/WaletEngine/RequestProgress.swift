import Synchronization

/// How far a request has come; whoever started it may look at any time, also after leaving it.
public final class RequestProgress: Sendable {
    private let prompt = Atomic(0)

    public init() {}

    /// Tokens of the prompt that have been run or were found in the cache.
    public var promptTokens: Int { prompt.load(ordering: .relaxed) }

    func record(promptTokens: Int) { prompt.store(promptTokens, ordering: .relaxed) }
}
