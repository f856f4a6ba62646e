// What a million tokens cost here, and whether somebody else's are cheaper.

/// The cost of serving tokens on machines of one's own.
///
/// A token costs the time that it takes of a machine: cost an hour / (3600 x tokens a second x utilisation). Hours in which
/// nobody asks are paid too, so that a utilisation of 30% makes tokens 3.3 times dearer than a full machine does.
public struct ServingCost: Sendable, Equatable {
    public let ownership: Ownership
    public let throughput: Throughput
    /// Which tokens there are; only the shares count.
    public let mix: TokenMix
    /// The share of all hours in which the machines work.
    public let utilisation: Double

    /// - Throws: ``PlanError/invalid(field:expected:found:)``.
    public init(
        _ ownership: Ownership, _ throughput: Throughput, mix: TokenMix = .published, utilisation: Double
    ) throws(PlanError) {
        try ownership.validate()
        try throughput.validate()
        try mix.validate()
        try PlanError.check("utilisation", utilisation, in: 1e-6...1)
        self.ownership = ownership
        self.throughput = throughput
        self.mix = mix
        self.utilisation = utilisation
    }

    /// For so many tokens a month, which set the utilisation.
    /// - Throws: ``PlanError/invalid(field:expected:found:)`` where the machines cannot do so many: it says how many could.
    public init(
        _ ownership: Ownership, _ throughput: Throughput, tokensPerMonth tokens: Double, mix: TokenMix = .published
    ) throws(PlanError) {
        try PlanError.check("tokens a month", tokens, in: 1...1e24)
        let full = try ServingCost(ownership, throughput, mix: mix, utilisation: 1)
        let share = tokens / full.capacityPerMonth
        guard share <= 1 else {
            let needed = (share * Double(ownership.machines)).rounded(.up)
            throw .invalid(
                field: "tokens a month",
                expected:
                    "at most \(Amount.count(full.capacityPerMonth)), what \(ownership.machines) machine(s) can do",
                found: "\(Amount.count(tokens)); that takes \(Amount.count(needed)) machines")
        }
        try self.init(ownership, throughput, mix: mix, utilisation: max(share, 1e-6))
    }

    /// US dollars per million tokens of each kind.
    public var perMillion: TokenPrice {
        let second = ownership.costPerHour / 3600 / Double(ownership.machines) / utilisation
        return TokenPrice(
            name: "here", date: "", fresh: second / throughput.fresh * 1e6, cached: second / throughput.cached * 1e6,
            output: second / throughput.output * 1e6)
    }

    /// US dollars per million tokens of the mix.
    public var perMillionOfMix: Double { perMillion.perMillion(mix) }

    /// Tokens of the mix that the machines can do in a month without a pause.
    public var capacityPerMonth: Double {
        Double(ownership.machines) * Ownership.hoursPerMonth * 3600 / throughput.seconds(mix)
    }

    public var tokensPerMonth: Double { capacityPerMonth * utilisation }

    /// How a price of somebody else compares.
    public struct Comparison: Sendable, Equatable {
        public var price: TokenPrice
        /// US dollars per million tokens of the mix.
        public var perMillionOfMix: Double
        /// What a million tokens cost there over what they cost here.
        public var ratio: Double
        /// Tokens a month from which on the own machines are cheaper; nil where they cannot do so many.
        public var breakEven: Double?
        /// The utilisation that this takes; above 1 where it cannot be.
        public var breakEvenUtilisation: Double

        /// The API's million tokens cost less.
        public var isCheaperThere: Bool { ratio < 1 }
    }

    public func compared(with price: TokenPrice) -> Comparison {
        let there = price.perMillion(mix)
        let tokens = there > 0 ? ownership.costPerMonth / there * 1e6 : .infinity
        let share = tokens / capacityPerMonth
        return Comparison(
            price: price, perMillionOfMix: there, ratio: there / perMillionOfMix,
            breakEven: share <= 1 ? tokens : nil, breakEvenUtilisation: share)
    }

    /// What has been spent after each year, here and at a price of somebody else, for the same tokens.
    public func totals(years: Int, against price: TokenPrice) -> [(year: Int, here: Double, there: Double)] {
        let yearly = tokensPerMonth * 12 / 1e6 * price.perMillion(mix)
        return (1...max(1, years)).map { ($0, ownership.spent(years: Double($0)), yearly * Double($0)) }
    }
}

/// Amounts as people read them.
package enum Amount {
    /// Dollars with as many decimals as tell something.
    package static func text(_ amount: Double) -> String {
        switch abs(amount) {
        case 1000...: grouped(amount.rounded())
        case 0.1...: String(hundredths: amount)
        case 0: "0"
        default: Plan.number(amount)
        }
    }

    /// 1.2 billion as `1.2B`.
    package static func count(_ value: Double) -> String {
        for (limit, letter) in [(1e12, "T"), (1e9, "B"), (1e6, "M")] where abs(value) >= limit {
            return Plan.number(value / limit) + letter
        }
        return value.isFinite && abs(value) >= 1000 ? grouped(value.rounded()) : Plan.number(value)
    }

    private static func grouped(_ value: Double) -> String {
        guard value.isFinite, abs(value) < 1e18 else { return "\(value)" }
        let digits = String(Int(abs(value)))
        var text = ""
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index) % 3 == 0 { text.append(",") }
            text.append(digit)
        }
        return (value < 0 ? "-" : "") + text
    }
}

extension String {
    fileprivate init(hundredths value: Double) {
        let cents = Int((abs(value) * 100).rounded())
        self = "\(value < 0 ? "-" : "")\(cents / 100).\(cents % 100 < 10 ? "0" : "")\(cents % 100)"
    }
}
