// What a request used, in tokens.

/// Tokens of one request, or sums over many.
///
/// The prompt is what came from the cache plus what was computed; `output` is all that was generated, reasoning included.
public struct TokenCounts: Sendable, Hashable {
    public var prompt: Int
    /// Prompt tokens that were computed.
    public var fresh: Int
    /// Prompt tokens that came from the prefix cache.
    public var cached: Int
    public var output: Int
    /// Those tokens of `output` that were reasoning.
    public var reasoning: Int

    public static let none = TokenCounts(prompt: 0, fresh: 0, cached: 0, output: 0, reasoning: 0)

    public init(prompt: Int, fresh: Int, cached: Int, output: Int, reasoning: Int) {
        self.prompt = prompt
        self.fresh = fresh
        self.cached = cached
        self.output = output
        self.reasoning = reasoning
    }

    public init(prompt: Int, cached: Int, output: Int, reasoning: Int = 0) {
        // An absurd pair makes an absurd rest, which `validate` finds; it must not trap here.
        self.init(prompt: prompt, fresh: prompt &- cached, cached: cached, output: output, reasoning: reasoning)
    }

    /// - Throws: ``AccountsError/invalid(field:expected:found:)`` for a negative count or one of more than 2⁴⁰,
    ///   ``AccountsError/tokensDoNotAddUp(_:)`` where cached and fresh are not the prompt, or reasoning is not within output.
    func validate() throws(AccountsError) {
        let fields = [
            ("prompt", prompt), ("fresh", fresh), ("cached", cached), ("output", output), ("reasoning", reasoning),
        ]
        for (name, count) in fields where !(0...Self.maximum).contains(count) {
            throw .invalid(field: "\(name) tokens", expected: "0 to \(Self.maximum)", found: "\(count)")
        }
        guard fresh + cached == prompt else {
            throw .tokensDoNotAddUp("\(cached) cached and \(fresh) fresh are not a prompt of \(prompt)")
        }
        guard reasoning <= output else {
            throw .tokensDoNotAddUp("\(reasoning) reasoning tokens are more than the output of \(output)")
        }
    }

    /// No request has more; keeps every product of tokens and prices far within 128 bits.
    static let maximum = 1 << 40

    /// - Throws: ``AccountsError/overflow(_:)``.
    func adding(_ other: TokenCounts) throws(AccountsError) -> TokenCounts {
        func sum(_ path: KeyPath<TokenCounts, Int>) throws(AccountsError) -> Int {
            let (sum, overflow) = self[keyPath: path].addingReportingOverflow(other[keyPath: path])
            guard !overflow else { throw .overflow("a sum of tokens") }
            return sum
        }
        return TokenCounts(
            prompt: try sum(\.prompt), fresh: try sum(\.fresh), cached: try sum(\.cached), output: try sum(\.output),
            reasoning: try sum(\.reasoning))
    }
}
