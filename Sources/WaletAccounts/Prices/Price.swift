// What tokens cost.

/// Prices per million tokens.
public struct Price: Sendable, Hashable {
    /// For prompt tokens that are computed.
    public let fresh: Money
    /// For prompt tokens that the prefix cache holds.
    public let cached: Money
    /// For generated tokens, reasoning included.
    public let output: Money

    /// 0.56, 0.14 and 2.24 USD per million.
    public static let standard = Price(
        unchecked: Money(nanodollars: 560_000_000), Money(nanodollars: 140_000_000), Money(nanodollars: 2_240_000_000))

    /// - Throws: ``AccountsError/invalid(field:expected:found:)`` outside 0 to a million dollars.
    public init(fresh: Money, cached: Money, output: Money) throws(AccountsError) {
        for (name, price) in [("input", fresh), ("cached_input", cached), ("output", output)] {
            guard (0...Self.maximum.nanodollars).contains(price.nanodollars) else {
                throw .invalid(field: name, expected: "0 to \(Self.maximum) USD per million tokens", found: "\(price)")
            }
        }
        self.init(unchecked: fresh, cached, output)
    }

    private init(unchecked fresh: Money, _ cached: Money, _ output: Money) {
        self.fresh = fresh
        self.cached = cached
        self.output = output
    }

    package static let maximum = Money(nanodollars: 1_000_000_000_000_000)

    /// What the tokens cost: the exact sum of the three products, rounded once to a nano-dollar, half to even.
    /// - Throws: ``AccountsError/overflow(_:)`` beyond 9.2 billion dollars; ``AccountsError/tokensDoNotAddUp(_:)`` and
    ///   ``AccountsError/invalid(field:expected:found:)`` for counts that are none.
    public func cost(of counts: TokenCounts) throws(AccountsError) -> Money {
        try counts.validate()
        return try cost(fresh: counts.fresh, cached: counts.cached, output: counts.output)
    }

    /// The most that a request can cost: nothing of its prompt is cached (or all, if that should be dearer) and its output
    /// is as long as allowed. No smaller use costs more, since rounding keeps the order.
    package func worstCase(prompt: Int, output: Int) throws(AccountsError) -> Money {
        fresh >= cached
            ? try cost(fresh: prompt, cached: 0, output: output) : try cost(fresh: 0, cached: prompt, output: output)
    }

    /// The same for sums over many requests; counts must not be negative.
    func cost(fresh: Int, cached: Int, output: Int) throws(AccountsError) -> Money {
        // Below 3 * 2^63 * 2^50.
        let exact =
            Int128(fresh) * Int128(self.fresh.nanodollars) + Int128(cached) * Int128(self.cached.nanodollars)
            + Int128(output) * Int128(self.output.nanodollars)
        let (quotient, remainder) = exact.quotientAndRemainder(dividingBy: 1_000_000)
        let roundsUp = remainder > 500_000 || (remainder == 500_000 && !quotient.isMultiple(of: 2))
        guard let cost = Int64(exactly: roundsUp ? quotient + 1 : quotient) else {
            throw .overflow("the cost of \(fresh) fresh, \(cached) cached and \(output) output tokens")
        }
        return Money(nanodollars: cost)
    }
}
