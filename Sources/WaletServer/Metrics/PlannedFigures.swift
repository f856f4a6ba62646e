// What a plan says of a model, beside what its engine does.

import Walet

/// What a plan expects of a model on this machine.
public struct PlannedFigures: Sendable, Equatable {
    /// Tokens a second of one request.
    public var decodeRate: Double
    /// Tokens of a prompt a second.
    public var prefillRate: Double
    /// The share of chosen experts that memory holds; nil where it holds all.
    public var expertHitRate: Double?
    /// What an hour of the machine costs, in US dollars.
    public var hourlyCost: Double?

    public init(decodeRate: Double, prefillRate: Double, expertHitRate: Double? = nil, hourlyCost: Double? = nil) {
        self.decodeRate = decodeRate
        self.prefillRate = prefillRate
        self.expertHitRate = expertHitRate
        self.hourlyCost = hourlyCost
    }
}

extension EngineSnapshot {
    /// Time and tokens of passes; and, of models with a plan, the plan of the same passes and by how much it was wrong.
    static func workFamilies(_ engines: [(model: String, snapshot: EngineSnapshot)]) -> [MetricsPage.Family] {
        func family(
            _ name: String, _ kind: MetricKind, _ help: String, _ value: (EngineSnapshot, PassWork) -> Double?
        ) -> MetricsPage.Family {
            MetricsPage.Family(
                name, kind, help,
                engines.flatMap { model, snapshot in
                    [("decode", snapshot.decoding), ("prefill", snapshot.prompts)].compactMap { work, passes in
                        value(snapshot, passes).map {
                            MetricSample(
                                kind == .counter ? "_total" : "",
                                [MetricLabel("model", model), MetricLabel("work", work)], $0)
                        }
                    }
                })
        }
        func planned(
            _ name: String, _ help: String, _ value: (PlannedFigures) -> [(String, Double?)]
        ) -> MetricsPage.Family {
            MetricsPage.Family(
                name, .gauge, help,
                engines.flatMap { model, snapshot in
                    (snapshot.plan.map(value) ?? []).compactMap { work, number in
                        number.map {
                            MetricSample("", [MetricLabel("model", model), MetricLabel("work", work)], $0)
                        }
                    }
                })
        }
        return [
            family("walet_pass_seconds", .counter, "Time of passes that decoded alone, or worked on prompts alone.") {
                $1.seconds
            },
            family("walet_pass_tokens", .counter, "Tokens of those passes.") { Double($1.tokens) },
            family("walet_plan_pass_seconds", .counter, "Time that the plan expected those passes to take.") {
                $0.plan == nil ? nil : $1.plannedSeconds
            },
            family(
                "walet_plan_error_ratio", .gauge, "Time of those passes over the planned time, less 1."
            ) { $0.plan == nil ? nil : $1.error },
            planned("walet_plan_tokens_per_second", "What the plan expects of one request.") {
                [("decode", $0.decodeRate), ("prefill", $0.prefillRate)]
            },
            MetricsPage.Family(
                "walet_plan_expert_hit_rate", .gauge, "The share of chosen experts that the plan expects in memory.",
                engines.compactMap { model, snapshot in
                    snapshot.plan?.expertHitRate.map { MetricSample("", [MetricLabel("model", model)], $0) }
                }),
            planned(
                "walet_plan_usd_per_million_tokens", "What a million tokens of one request cost by the plan, in USD."
            ) { plan in
                [("decode", plan.decodeRate), ("prefill", plan.prefillRate)].map { work, rate in
                    (work, plan.hourlyCost.map { $0 / 3600 / rate * 1e6 })
                }
            },
            family(
                "walet_usd_per_million_tokens", .gauge,
                "What a million tokens cost by the time that those passes took, in USD; waiting costs nothing here."
            ) { snapshot, passes in
                guard let cost = snapshot.plan?.hourlyCost, passes.tokens > 0 else { return nil }
                return cost / 3600 * passes.seconds / Double(passes.tokens) * 1e6
            },
        ]
    }
}
