// What a model's engine knows of itself at a scrape.

import Walet

/// The state of one model's engine. Totals count since that engine's start.
public struct EngineSnapshot: Sendable, Equatable {
    /// One level of the prefix cache.
    public struct Tier: Sendable, Equatable {
        /// "memory" or "disk".
        public var name: String
        /// Prompt tokens that were looked for here, and those of them that were found.
        public var queryTokens: Int
        public var hitTokens: Int
        /// What the tier holds.
        public var bytes: Int

        public init(name: String, queryTokens: Int, hitTokens: Int, bytes: Int) {
            self.name = name
            self.queryTokens = queryTokens
            self.hitTokens = hitTokens
            self.bytes = bytes
        }
    }

    public var running: Int
    public var waiting: Int
    public var preemptions: Int
    /// Pages of keys and values that requests or the cache hold, of all that there are.
    public var pagesUsed: Int
    public var pagesTotal: Int
    public var tiers: [Tier]
    /// Nil where all weights are mapped.
    public var experts: ExpertStatistics?
    public var decoding = PassWork()
    public var prompts = PassWork()
    /// Nil where nobody planned.
    public var plan: PlannedFigures?

    public init(
        running: Int = 0, waiting: Int = 0, preemptions: Int = 0, pagesUsed: Int = 0, pagesTotal: Int = 0,
        tiers: [Tier] = [], experts: ExpertStatistics? = nil
    ) {
        self.running = running
        self.waiting = waiting
        self.preemptions = preemptions
        self.pagesUsed = pagesUsed
        self.pagesTotal = pagesTotal
        self.tiers = tiers
        self.experts = experts
    }
}

extension EngineSnapshot {
    /// The families of all models. Each is there without a model too, so that a dashboard's queries always name
    /// something.
    static func families(_ engines: [(model: String, snapshot: EngineSnapshot)]) -> [MetricsPage.Family] {
        func gauge(_ name: String, _ help: String, _ value: (EngineSnapshot) -> Double) -> MetricsPage.Family {
            MetricsPage.Family(
                name, .gauge, help,
                engines.map { MetricSample("", [MetricLabel("model", $0.model)], value($0.snapshot)) })
        }
        func tiers(
            _ name: String, _ kind: MetricKind, _ help: String, _ value: (Tier) -> Int
        ) -> MetricsPage.Family {
            MetricsPage.Family(
                name, kind, help,
                engines.flatMap { model, snapshot in
                    snapshot.tiers.map { tier in
                        MetricSample(
                            kind == .counter ? "_total" : "",
                            [MetricLabel("model", model), MetricLabel("tier", tier.name)], Double(value(tier)))
                    }
                })
        }
        let families = [
            gauge("walet_num_requests_running", "Requests that the engine works on.") { Double($0.running) },
            gauge("walet_num_requests_waiting", "Requests that wait for the engine.") { Double($0.waiting) },
            gauge("walet_kv_cache_usage_perc", "Pages of keys and values in use; 1 is all of them.") {
                $0.pagesTotal > 0 ? Double($0.pagesUsed) / Double($0.pagesTotal) : 0
            },
            gauge("walet_kv_cache_pages", "Pages of keys and values that there are.") { Double($0.pagesTotal) },
            MetricsPage.Family(
                "walet_num_preemptions", .counter, "Requests set back because pages ran out.",
                engines.map {
                    MetricSample("_total", [MetricLabel("model", $0.model)], Double($0.snapshot.preemptions))
                }),
            tiers(
                "walet_prefix_cache_queries", .counter,
                "Prompt tokens looked for in a tier of the prefix cache.", \.queryTokens),
            tiers(
                "walet_prefix_cache_hits", .counter, "Prompt tokens found in a tier of the prefix cache.",
                \.hitTokens),
            tiers("walet_prefix_cache_bytes", .gauge, "What a tier of the prefix cache holds.", \.bytes),
        ]
        return families + workFamilies(engines) + expertFamilies(engines)
    }

    /// What is told of models whose experts are read from the disk.
    private static func expertFamilies(_ engines: [(model: String, snapshot: EngineSnapshot)]) -> [MetricsPage.Family] {
        func family(
            _ name: String, _ kind: MetricKind, _ help: String, _ value: (ExpertStatistics) -> Double
        ) -> MetricsPage.Family {
            MetricsPage.Family(
                name, kind, help,
                engines.compactMap { model, snapshot in
                    snapshot.experts.map {
                        MetricSample(kind == .counter ? "_total" : "", [MetricLabel("model", model)], value($0))
                    }
                })
        }
        return [
            family("walet_expert_cache_queries", .counter, "Experts that passes chose.") {
                Double($0.hits + $0.misses)
            },
            family("walet_expert_cache_hits", .counter, "Experts that passes chose and memory held.") {
                Double($0.hits)
            },
            family("walet_expert_read_bytes", .counter, "Bytes read from the disk for experts.") {
                Double($0.bytesRead)
            },
            family(
                "walet_expert_read_seconds", .counter, "Time in which reads of experts were under way.", \.readSeconds),
            family(
                "walet_expert_wait_seconds", .counter, "Time of it in which nothing was left to compute.", \.waitSeconds
            ),
            family("walet_expert_cache_slabs", .gauge, "Experts that memory has room for.") { Double($0.slabs) },
            family("walet_expert_cache_bytes", .gauge, "Memory for experts.") { Double($0.slabBytes) },
            family("walet_dense_weights_bytes", .gauge, "Memory for the weights that every token needs.") {
                Double($0.denseBytes)
            },
        ]
    }
}
