// Which input moves the result.

extension ServingCost {
    /// A changed input, with the cost of a million tokens of the mix at its two values.
    public struct Sensitivity: Sendable, Equatable {
        public var name: String
        /// US dollars with half of the input, and with one and a half of it.
        public var half: Double
        public var more: Double
    }

    private struct Inputs {
        var ownership: Ownership
        var throughput: Throughput
        var utilisation: Double
        var mix: TokenMix
    }

    /// The cost where one input at a time is half and one and a half of what is assumed, the widest first. Utilisation ends
    /// at 100%.
    public func sensitivities() -> [Sensitivity] {
        func entry(_ name: String, _ isUsed: Bool = true, _ change: (inout Inputs, Double) -> Void) -> Sensitivity? {
            guard isUsed else { return nil }
            func cost(_ factor: Double) -> Double {
                var inputs = Inputs(
                    ownership: ownership, throughput: throughput, utilisation: utilisation, mix: mix)
                change(&inputs, factor)
                let changed = try? ServingCost(
                    inputs.ownership, inputs.throughput, mix: inputs.mix, utilisation: min(1, inputs.utilisation))
                return changed?.perMillionOfMix ?? perMillionOfMix
            }
            return Sensitivity(name: name, half: cost(0.5), more: cost(1.5))
        }
        let list = [
            entry("price of the machine", ownership.capital > 0) { $0.ownership.capital *= $1 },
            entry("years in use", ownership.capital > 0) { $0.ownership.years *= $1 },
            entry("rent", ownership.rent > 0) { $0.ownership.rent *= $1 },
            entry("power, or its price", ownership.watts > 0) { $0.ownership.watts *= $1 },
            entry("staff", ownership.staff > 0) { $0.ownership.staff *= $1 },
            entry("other", ownership.other > 0) { $0.ownership.other *= $1 },
            entry("speed of decoding") { $0.throughput.output *= $1 },
            entry("speed of prompts") { inputs, factor in
                inputs.throughput.fresh *= factor
                inputs.throughput.cached *= factor
            },
            entry("utilisation") { $0.utilisation *= $1 },
            entry("cached share of prompts", mix.cached > 0 && mix.fresh > 0) { inputs, factor in
                let prompt = inputs.mix.fresh + inputs.mix.cached
                inputs.mix.cached = min(prompt, inputs.mix.cached * factor)
                inputs.mix.fresh = prompt - inputs.mix.cached
            },
        ].compactMap(\.self)
        return list.sorted { abs($0.more - $0.half) > abs($1.more - $1.half) }
    }

    /// What each input moves, with other prices as lines.
    public func tornado(against prices: [TokenPrice]) -> Tornado {
        Tornado(
            title: "A million tokens here: each input from half to one and a half of what is assumed",
            xLabel: "USD per million tokens of the mix",
            bars: sensitivities().map { Tornado.Bar($0.name, low: $0.half, high: $0.more) }, middle: perMillionOfMix,
            marks: prices.map { ($0.name, $0.perMillion(mix)) })
    }
}
