// A cost for people and for programs.

import Foundation
import WaletJSON

extension ServingCost {
    /// What goes into it, and what a million tokens cost here.
    public var rows: [[String]] {
        let hour = ownership.costPerHour
        let causes = ownership.perHour.map { "\($0.name) \(Amount.text($0.cost))" }.joined(separator: ", ")
        let shares = mix.shares
        let price = perMillion
        return [
            ["machines", "\(ownership.machines), \(Amount.text(hour)) USD an hour: \(causes)"],
            [
                "throughput",
                "\(Plan.number(throughput.fresh)) fresh, \(Plan.number(throughput.cached)) cached, "
                    + "\(Plan.number(throughput.output)) output tokens/s a machine (\(throughput.origin.rawValue))",
            ],
            [
                "mix",
                "\(Plan.percent(shares.fresh)) fresh, \(Plan.percent(shares.cached)) cached, "
                    + "\(Plan.percent(shares.output)) output",
            ],
            [
                "load",
                "\(Plan.percent(utilisation)) of \(Amount.count(capacityPerMonth)) tokens a month: "
                    + "\(Amount.count(tokensPerMonth))",
            ],
            [
                "a million tokens here",
                "\(Amount.text(price.fresh)) fresh, \(Amount.text(price.cached)) cached, \(Amount.text(price.output)) output, "
                    + "\(Amount.text(perMillionOfMix)) USD of the mix",
            ],
        ]
    }

    /// One line a price of somebody else, after a header.
    public func comparisonRows(_ prices: [TokenPrice]) -> [[String]] {
        [["AGAINST", "OF", "FRESH", "CACHED", "OUTPUT", "MIX", "CHEAPER", "BREAK-EVEN, TOKENS A MONTH"]]
            + prices.map { price in
                let comparison = compared(with: price)
                return [
                    price.name, price.date, Amount.text(price.fresh), Amount.text(price.cached),
                    Amount.text(price.output),
                    Amount.text(comparison.perMillionOfMix), Self.cheaper(comparison), Self.breakEven(comparison),
                ]
            }
    }

    /// The plain answer, a sentence a price.
    public func verdict(_ prices: [TokenPrice]) -> String {
        let cheaper = prices.map(compared(with:)).filter(\.isCheaperThere)
        let here =
            "At \(Amount.count(tokensPerMonth)) tokens a month a million cost \(Amount.text(perMillionOfMix)) USD here. "
        guard !prices.isEmpty else { return here }
        if cheaper.isEmpty { return here + "That is less than each of these APIs asks." }
        let names = cheaper.map { "\($0.price.name) (\(Amount.text($0.perMillionOfMix)))" }.joined(separator: ", ")
        let never = cheaper.filter { $0.breakEven == nil }
        var text = here + "The API is cheaper: \(names)."
        if never.count == cheaper.count {
            text += " No load of these machines changes that."
        } else if !never.isEmpty {
            text += " No load changes that against \(never.map(\.price.name).joined(separator: ", "))."
        }
        return text
    }

    /// Costs in US dollars, as one JSON object.
    public func json(_ prices: [TokenPrice], years: Int) -> JSONValue {
        let here = perMillion
        return [
            "usd_per_hour": .double(ownership.costPerHour),
            "usd_per_hour_by_cause": .object(JSONObject(ownership.perHour.map { ($0.name, .double($0.cost)) })),
            "usd_per_month": .double(ownership.costPerMonth), "machines": .int(ownership.machines),
            "utilisation": .double(utilisation), "tokens_per_month": .double(tokensPerMonth),
            "capacity_tokens_per_month": .double(capacityPerMonth), "mix": mix.shares.json,
            "throughput": [
                "fresh": .double(throughput.fresh), "cached": .double(throughput.cached),
                "output": .double(throughput.output), "origin": .string(throughput.origin.rawValue),
            ],
            "usd_per_million": [
                "fresh": .double(here.fresh), "cached": .double(here.cached), "output": .double(here.output),
                "mix": .double(perMillionOfMix),
            ],
            "against": .array(prices.map { json($0, years: years) }),
            "sensitivity": .array(
                sensitivities().map {
                    [
                        "input": .string($0.name), "usd_at_half": .double($0.half),
                        "usd_at_one_and_a_half": .double($0.more),
                    ]
                }),
            "verdict": .string(verdict(prices)),
        ]
    }

    private func json(_ price: TokenPrice, years: Int) -> JSONValue {
        let comparison = compared(with: price)
        return [
            "name": .string(price.name), "date": .string(price.date), "fresh": .double(price.fresh),
            "cached": .double(price.cached), "output": .double(price.output),
            "usd_per_million_of_mix": .double(comparison.perMillionOfMix), "ratio": .double(comparison.ratio),
            "api_is_cheaper": .bool(comparison.isCheaperThere),
            "break_even_tokens_per_month": comparison.breakEven.map { .double($0) } ?? .null,
            "break_even_utilisation": comparison.breakEvenUtilisation.isFinite
                ? .double(comparison.breakEvenUtilisation) : .null,
            "totals": .array(
                totals(years: years, against: price).map {
                    ["year": .int($0.year), "here_usd": .double($0.here), "there_usd": .double($0.there)]
                }),
        ]
    }

    private static func cheaper(_ comparison: Comparison) -> String {
        comparison.isCheaperThere
            ? "API, \(Plan.number(1 / comparison.ratio))x" : "here, \(Plan.number(comparison.ratio))x"
    }

    private static func breakEven(_ comparison: Comparison) -> String {
        guard let tokens = comparison.breakEven else { return "none: the API is cheaper at any load" }
        return "\(Amount.count(tokens)), \(Plan.percent(comparison.breakEvenUtilisation)) of the hours"
    }

    /// What has been spent after each year, here and at each price.
    public func totalRows(_ prices: [TokenPrice], years: Int) -> [[String]] {
        let header = ["SPENT AFTER"] + (1...max(1, years)).map { "\($0) YEAR\($0 > 1 ? "S" : "")" }
        let here = (1...max(1, years)).map { Amount.text(ownership.spent(years: Double($0))) }
        return [header, ["here"] + here]
            + prices.map { price in [price.name] + totals(years: years, against: price).map { Amount.text($0.there) } }
    }
}

extension TokenMix {
    var json: JSONValue { ["fresh": .double(fresh), "cached": .double(cached), "output": .double(output)] }
}

extension TrainingCost {
    public var rows: [[String]] {
        let risk = operations / Self.systemicRisk
        return [
            [
                "operations",
                String(format: "%.3g (6 x %.3g parameters x %.3g tokens)", operations, activeParameters, tokens),
            ],
            [
                "GPU hours",
                Amount.count(hours)
                    + (givenHours == nil
                        ? " at \(Plan.percent(efficiency)) of \(Plan.number(peak / 1e12)) T operations/s"
                        : " (given), \(Plan.number(reached / 1e12)) T operations/s each"),
            ],
            ["cost", "\(Amount.text(cost)) USD at \(Amount.text(hourPrice)) USD an hour"],
            ["left out", Self.leftOut.joined(separator: "; ")],
            [
                "EU AI Act",
                "\(Plan.percent(risk)) of the 1e25 operations from which on a systemic risk is presumed",
            ],
        ]
    }

    /// Operations, hours and US dollars.
    public var json: JSONValue {
        [
            "operations": .double(operations), "active_parameters": .double(activeParameters),
            "tokens": .double(tokens),
            "gpu_hours": .double(hours), "gpu_hours_given": .bool(givenHours != nil),
            "usd_per_hour": .double(hourPrice),
            "usd": .double(cost), "operations_per_second_and_gpu": .double(reached),
            "left_out": .array(Self.leftOut.map { .string($0) }),
            "share_of_systemic_risk_threshold": .double(operations / Self.systemicRisk),
        ]
    }
}

extension Published {
    /// Published figures, the same computed here, and the difference.
    public static func check() throws(PlanError) -> [(what: String, published: Double, computed: Double)] {
        let computed = try day.computedCost()
        return [
            ("a day of serving V3 and R1, cost in USD", day.cost, computed),
            ("the same, nodes of 8 H800", day.nodes, day.computedNodes),
            ("the same, earned at R1's prices, USD", day.earned, day.computedEarned),
            ("the same, profit over cost", day.margin, (day.computedEarned - computed) / computed),
            ("training DeepSeek-V3, cost in USD", trainingCost, try training().cost),
        ]
    }
}
