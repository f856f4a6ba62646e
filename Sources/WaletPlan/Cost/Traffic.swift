// Tokens: how fast a machine works on each kind, how many there are, and what others charge.

/// Tokens of the three kinds that are charged differently.
public struct TokenMix: Sendable, Equatable {
    /// Prompt tokens that are computed.
    public var fresh: Double
    /// Prompt tokens that the prefix cache holds.
    public var cached: Double
    /// Generated tokens, reasoning included.
    public var output: Double

    public init(fresh: Double, cached: Double, output: Double) {
        self.fresh = fresh
        self.cached = cached
        self.output = output
    }

    /// Reads `fresh,cached,output`, each a count such as `266`, `1.5M` or `3e9`.
    /// - Throws: ``PlanError/invalid(field:expected:found:)``.
    public init(parsing text: String, field: String) throws(PlanError) {
        let parts = text.split(separator: ",", omittingEmptySubsequences: false)
        guard parts.count == 3 else {
            throw .invalid(
                field: field, expected: "fresh, cached and output tokens such as 266,342,168",
                found: Quantity.excerpt(text))
        }
        self.init(
            fresh: try Quantity.count(String(parts[0]), field: field),
            cached: try Quantity.count(String(parts[1]), field: field),
            output: try Quantity.count(String(parts[2]), field: field))
        try validate()
    }

    public var total: Double { fresh + cached + output }

    /// The shares of the kinds, which add up to 1.
    public var shares: TokenMix { TokenMix(fresh: fresh / total, cached: cached / total, output: output / total) }

    /// What DeepSeek's users asked for on a day: 266 billion fresh, 342 cached, 168 generated (``Published/day``).
    public static let published = TokenMix(fresh: 266e9, cached: 342e9, output: 168e9)

    /// - Throws: ``PlanError/invalid(field:expected:found:)``.
    public func validate() throws(PlanError) {
        for (name, value) in [("fresh", fresh), ("cached", cached), ("output", output)] {
            try PlanError.check("\(name) tokens", value, in: 0...1e24)
        }
        guard total > 0 else { throw .invalid(field: "tokens", expected: "more than none", found: "0") }
    }
}

/// Tokens a second that one machine does of each kind while it does nothing else.
public struct Throughput: Sendable, Equatable {
    public var fresh: Double
    public var cached: Double
    public var output: Double
    public var origin: Machine.Origin

    public init(fresh: Double, cached: Double, output: Double, origin: Machine.Origin) {
        self.fresh = fresh
        self.cached = cached
        self.output = output
        self.origin = origin
    }

    /// A cached token takes this share of a fresh one's time, where nothing else is said: docs/performance.md shows 23.8 ms
    /// to the first token of a prompt that is cached, and 4,154 ms where it is not.
    public static let cachedShare = 0.01

    /// Seconds of one machine for a token of the mix.
    public func seconds(_ mix: TokenMix) -> Double {
        let shares = mix.shares
        return shares.fresh / fresh + shares.cached / cached + shares.output / output
    }

    /// - Throws: ``PlanError/invalid(field:expected:found:)``.
    public func validate() throws(PlanError) {
        for (name, value) in [("prefill", fresh), ("cached", cached), ("decode", output)] {
            try PlanError.check("\(name) tokens a second", value, in: 1e-6...1e12)
        }
    }
}

/// What somebody charges per million tokens, as of a day, in US dollars.
public struct TokenPrice: Sendable, Equatable {
    public var name: String
    /// `2026-11-25`.
    public var date: String
    public var fresh: Double
    public var cached: Double
    public var output: Double

    public init(name: String, date: String, fresh: Double, cached: Double, output: Double) {
        self.name = name
        self.date = date
        self.fresh = fresh
        self.cached = cached
        self.output = output
    }

    /// What a million tokens of the mix cost.
    public func perMillion(_ mix: TokenMix) -> Double {
        let shares = mix.shares
        return shares.fresh * fresh + shares.cached * cached + shares.output * output
    }

    /// What so many tokens cost.
    public func cost(_ tokens: TokenMix) -> Double {
        (tokens.fresh * fresh + tokens.cached * cached + tokens.output * output) / 1e6
    }
}
