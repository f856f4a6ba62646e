import Foundation
import Synchronization
import Testing
import Walet
import WaletJSON

@testable import WaletServer

@Suite struct ServerMetricsTests {
    /// A clock that the test moves.
    private final class Clock: Sendable {
        private let time = Mutex(100.0)
        var now: Double { time.withLock { $0 } }
        func advance(_ seconds: Double) { time.withLock { $0 += seconds } }
    }

    private func metrics(_ clock: Clock = Clock(), keyLimit: Int = 10) -> ServerMetrics {
        let metrics = ServerMetrics(
            build: ServerMetrics.BuildInfo(version: "1.2.3", instructionSet: "avx2"),
            keyLimit: keyLimit, now: { clock.now })
        metrics.setModels(["k2", "r1"])
        return metrics
    }

    /// The value of one sample, spelled as on the page: `name{label="value"}`.
    private func value(_ metrics: ServerMetrics, _ sample: String) -> Double? {
        let line = metrics.page(accept: nil).body.split(separator: "\n").first { $0.hasPrefix(sample + " ") }
        return line.flatMap { Double($0.dropFirst(sample.count + 1)) }
    }

    @Test func `A request is counted from its beginning to its end`() {
        let clock = Clock()
        let metrics = metrics(clock)
        let request = metrics.begin(.messages, model: "k2", key: "alice", n: 2, maximumTokens: 300)
        #expect(value(metrics, #"walet_requests_in_flight{model="k2",endpoint="messages"}"#) == 1)
        request.started(promptTokens: 100, cachedTokens: 64)
        clock.advance(0.3)
        request.output()
        clock.advance(0.02)
        request.output()
        clock.advance(0.02)
        request.output()
        clock.advance(0.66)
        request.finish(
            .toolCalls,
            RequestTotals(
                promptTokens: 100, cachedTokens: 64, answerTokens: 11, thinkingTokens: 4, draftedTokens: 8,
                acceptedTokens: 5, queueSeconds: 0.1, prefillSeconds: 0.2, decodeSeconds: 0.5))

        func has(_ sample: String, _ expected: Double, _ location: SourceLocation = #_sourceLocation) {
            #expect(value(metrics, sample) == expected, "\(sample)", sourceLocation: location)
        }
        has(#"walet_requests_in_flight{model="k2",endpoint="messages"}"#, 0)
        has(#"walet_request_success_total{model="k2",finished_reason="tool_calls"}"#, 1)
        has(#"walet_prompt_tokens_total{model="k2"}"#, 100)
        has(#"walet_prompt_tokens_cached_total{model="k2"}"#, 64)
        has(#"walet_generation_tokens_total{model="k2"}"#, 11)
        has(#"walet_reasoning_tokens_total{model="k2"}"#, 4)
        has(#"walet_spec_decode_num_draft_tokens_total{model="k2"}"#, 8)
        has(#"walet_spec_decode_num_accepted_tokens_total{model="k2"}"#, 5)
        has(#"walet_key_prompt_tokens_total{key="alice",model="k2"}"#, 100)
        has(#"walet_key_prompt_tokens_cached_total{key="alice",model="k2"}"#, 64)
        has(#"walet_key_generation_tokens_total{key="alice",model="k2"}"#, 11)
        has(#"walet_request_params_n_sum{model="k2"}"#, 2)
        has(#"walet_request_params_max_tokens_sum{model="k2"}"#, 300)
        has(#"walet_time_to_first_token_seconds_bucket{model="k2",le="0.25"}"#, 0)
        has(#"walet_time_to_first_token_seconds_bucket{model="k2",le="0.5"}"#, 1)
        has(#"walet_inter_token_latency_seconds_count{model="k2"}"#, 2)
        has(#"walet_time_per_output_token_seconds_sum{model="k2"}"#, 0.05)
        has(#"walet_request_queue_time_seconds_sum{model="k2"}"#, 0.1)
        has(#"walet_request_prefill_time_seconds_sum{model="k2"}"#, 0.2)
        has(#"walet_request_decode_time_seconds_sum{model="k2"}"#, 0.5)
        has(#"walet_e2e_request_latency_seconds_count{model="k2"}"#, 1)
        has(#"walet_request_prompt_tokens_sum{model="k2"}"#, 100)
        has(#"walet_request_generation_tokens_sum{model="k2"}"#, 11)
    }

    @Test func `A request ends once, whoever says so again`() {
        let metrics = metrics()
        var request: RequestObservation? = metrics.begin(.responses, model: "r1", key: "bob")
        request?.finish(.stop, RequestTotals(promptTokens: 5, answerTokens: 3))
        request?.finish(.abort, RequestTotals(promptTokens: 5, answerTokens: 3))
        request = nil
        #expect(value(metrics, #"walet_request_success_total{model="r1",finished_reason="stop"}"#) == 1)
        #expect(value(metrics, #"walet_request_success_total{model="r1",finished_reason="abort"}"#) == nil)
        #expect(value(metrics, #"walet_request_success_total{model="r1",finished_reason="error"}"#) == nil)
        #expect(value(metrics, #"walet_prompt_tokens_total{model="r1"}"#) == 5)
    }

    @Test func `A request that is dropped unfinished counts as an error with the prompt that it had`() {
        let metrics = metrics()
        var request: RequestObservation? = metrics.begin(.completions, model: "r1", key: "bob")
        request?.started(promptTokens: 70, cachedTokens: 6)
        request = nil
        #expect(value(metrics, #"walet_request_success_total{model="r1",finished_reason="error"}"#) == 1)
        #expect(value(metrics, #"walet_requests_in_flight{model="r1",endpoint="completions"}"#) == 0)
        #expect(value(metrics, #"walet_prompt_tokens_total{model="r1"}"#) == 70)
        #expect(value(metrics, #"walet_request_decode_time_seconds_count{model="r1"}"#) == 0)
    }

    @Test func `Names that clients make up fold into one`() {
        let metrics = metrics(keyLimit: 2)
        for number in 0..<100 {
            metrics.begin(.chatCompletions, model: "model-\(number)", key: "key-\(number)").finish(.stop)
            metrics.httpFinished(
                route: "/route/\(number)", method: "METHOD\(number)", status: 1000 + number, seconds: 1)
            metrics.refused(.invalidRequest, endpoint: nil)
        }
        let body = metrics.page(accept: nil).body
        #expect(value(metrics, #"walet_request_success_total{model="other",finished_reason="stop"}"#) == 100)
        #expect(body.contains(#"key="key-1""#))
        #expect(!body.contains(#"key="key-2""#))
        #expect(!body.contains("METHOD"))
        #expect(value(metrics, #"walet_requests_refused_total{kind="invalid_request",endpoint="other"}"#) == 100)
        #expect(body.split(separator: "\n").count < 1200 + 100 * 32)
    }

    @Test func `Spend, refusals and HTTP are counted`() {
        let metrics = metrics()
        metrics.spent(0.25, key: "alice", model: "k2")
        metrics.spent(0.5, key: "alice", model: "k2")
        metrics.refused(.queueFull, endpoint: .messages)
        metrics.httpStarted()
        metrics.httpStarted()
        metrics.httpFinished(route: "/v1/messages", method: "POST", status: 529, seconds: 0.004)
        #expect(value(metrics, #"walet_key_spend_usd_total{key="alice",model="k2"}"#) == 0.75)
        #expect(value(metrics, #"walet_requests_refused_total{kind="queue_full",endpoint="messages"}"#) == 1)
        #expect(value(metrics, #"walet_http_requests_total{route="/v1/messages",method="POST",status="529"}"#) == 1)
        #expect(value(metrics, #"walet_http_request_duration_seconds_bucket{route="/v1/messages",le="0.005"}"#) == 1)
        #expect(value(metrics, "walet_http_requests_in_flight") == 1)
    }

    @Test func `An engine is asked at each scrape until its model is unloaded`() {
        let metrics = metrics()
        let scrapes = Mutex(0)
        metrics.setEngine("k2") {
            let count = scrapes.withLock { scrapes in
                scrapes += 1
                return scrapes
            }
            return EngineSnapshot(
                running: count, waiting: 7, preemptions: 3, pagesUsed: 30, pagesTotal: 120,
                tiers: [
                    .init(name: "memory", queryTokens: 1000, hitTokens: 640, bytes: 4096),
                    .init(name: "disk", queryTokens: 360, hitTokens: 64, bytes: 1 << 40),
                ])
        }
        #expect(value(metrics, #"walet_num_requests_running{model="k2"}"#) == 1)
        #expect(value(metrics, #"walet_num_requests_running{model="k2"}"#) == 2)
        #expect(value(metrics, #"walet_num_requests_waiting{model="k2"}"#) == 7)
        #expect(value(metrics, #"walet_num_preemptions_total{model="k2"}"#) == 3)
        #expect(value(metrics, #"walet_kv_cache_usage_perc{model="k2"}"#) == 0.25)
        #expect(value(metrics, #"walet_prefix_cache_queries_total{model="k2",tier="disk"}"#) == 360)
        #expect(value(metrics, #"walet_prefix_cache_hits_total{model="k2",tier="memory"}"#) == 640)
        #expect(value(metrics, #"walet_prefix_cache_bytes{model="k2",tier="disk"}"#) == 0x1p40)
        metrics.setEngine("k2", nil)
        #expect(value(metrics, #"walet_num_requests_running{model="k2"}"#) == nil)
    }

    @Test func `Experts on disk are told of the models that have them`() {
        let metrics = metrics()
        var experts = ExpertStatistics()
        (experts.hits, experts.misses, experts.bytesRead) = (30, 70, 1 << 40)
        (experts.readSeconds, experts.waitSeconds) = (2.5, 1.25)
        (experts.slabs, experts.slabBytes, experts.denseBytes) = (12, 4096, 8192)
        metrics.setEngine("k2") { [experts] in EngineSnapshot(experts: experts) }
        metrics.setEngine("llama") { EngineSnapshot() }
        #expect(value(metrics, #"walet_expert_cache_queries_total{model="k2"}"#) == 100)
        #expect(value(metrics, #"walet_expert_cache_hits_total{model="k2"}"#) == 30)
        #expect(value(metrics, #"walet_expert_read_bytes_total{model="k2"}"#) == 0x1p40)
        #expect(value(metrics, #"walet_expert_read_seconds_total{model="k2"}"#) == 2.5)
        #expect(value(metrics, #"walet_expert_wait_seconds_total{model="k2"}"#) == 1.25)
        #expect(value(metrics, #"walet_expert_cache_slabs{model="k2"}"#) == 12)
        #expect(value(metrics, #"walet_expert_cache_bytes{model="k2"}"#) == 4096)
        #expect(value(metrics, #"walet_dense_weights_bytes{model="k2"}"#) == 8192)
        #expect(value(metrics, #"walet_expert_cache_slabs{model="llama"}"#) == nil)
    }

    @Test func `A plan stands beside what passes took`() {
        let metrics = metrics()
        var snapshot = EngineSnapshot()
        (snapshot.decoding.tokens, snapshot.decoding.seconds, snapshot.decoding.plannedSeconds) = (100, 5, 4)
        (snapshot.prompts.tokens, snapshot.prompts.seconds) = (1000, 2)
        snapshot.plan = PlannedFigures(decodeRate: 25, prefillRate: 400, expertHitRate: 0.4, hourlyCost: 3.6)
        metrics.setEngine("k2") { [snapshot] in snapshot }
        metrics.setEngine("llama") { EngineSnapshot() }
        #expect(value(metrics, #"walet_pass_seconds_total{model="k2",work="decode"}"#) == 5)
        #expect(value(metrics, #"walet_pass_tokens_total{model="k2",work="prefill"}"#) == 1000)
        #expect(value(metrics, #"walet_plan_pass_seconds_total{model="k2",work="decode"}"#) == 4)
        #expect(value(metrics, #"walet_plan_error_ratio{model="k2",work="decode"}"#) == 0.25)
        #expect(value(metrics, #"walet_plan_error_ratio{model="k2",work="prefill"}"#) == nil)
        #expect(value(metrics, #"walet_plan_tokens_per_second{model="k2",work="prefill"}"#) == 400)
        #expect(value(metrics, #"walet_plan_expert_hit_rate{model="k2"}"#) == 0.4)
        // A thousandth of a dollar a second: 25 tokens a second by the plan, 20 in fact.
        #expect(value(metrics, #"walet_plan_usd_per_million_tokens{model="k2",work="decode"}"#) == 40)
        #expect(value(metrics, #"walet_usd_per_million_tokens{model="k2",work="decode"}"#) == 50)
        #expect(value(metrics, #"walet_pass_seconds_total{model="llama",work="decode"}"#) == 0)
        #expect(value(metrics, #"walet_plan_error_ratio{model="llama",work="decode"}"#) == nil)
    }

    @Test func `An engine without pages uses none of them`() {
        let metrics = metrics()
        metrics.setEngine("k2") { EngineSnapshot() }
        #expect(value(metrics, #"walet_kv_cache_usage_perc{model="k2"}"#) == 0)
    }

    @Test func `A gauge of somebody else's replaces the one of its name`() {
        let metrics = metrics()
        metrics.gauge("walet_ledger_backlog", "Unwritten.") { 4 }
        metrics.gauge("walet_ledger_backlog", "Unwritten.") { 5 }
        #expect(value(metrics, "walet_ledger_backlog") == 5)
        #expect(metrics.families().filter { $0.name == "walet_ledger_backlog" }.count == 1)
    }

    @Test func `The build is told`() {
        #expect(
            value(metrics(), #"walet_build_info{version="1.2.3",instruction_set="avx2"}"#) == 1)
    }

    @Test func `No two families share a name`() {
        let names = metrics().families().map(\.name)
        #expect(Set(names).count == names.count)
    }

    @Test func `Every query of the Grafana dashboard names metrics that exist`() throws {
        let file = RepositoryFiles.root.appending(path: "deploy/grafana-dashboard.json")
        let dashboard = try JSONValue(parsing: Data(contentsOf: file))
        var known: Set<String> = []
        for family in metrics().families() {
            known.insert(family.sampleName)
            if family.kind == .histogram { known.formUnion(["_bucket", "_sum", "_count"].map { family.name + $0 }) }
        }
        var queries: [String] = []
        func collect(_ value: JSONValue) {
            // The variable that chooses a data source has a query of another kind.
            if value["type"] == "datasource" { return }
            for (key, member) in value.objectValue.map({ Array($0.members) }) ?? [] {
                if key == "expr" || key == "query", let text = member.stringValue { queries.append(text) }
                collect(member)
            }
            value.arrayValue?.forEach(collect)
        }
        collect(dashboard)
        #expect(queries.count >= 20)
        for query in queries {
            let names = query.matches(of: /\b(?:walet|process)_[a-z0-9_]+/).map { String($0.output) }
            #expect(!names.isEmpty, "\(query)")
            for name in names { #expect(known.contains(name), "\(name) in \(query)") }
        }
    }
}

@Suite struct ProcessMetricsTests {
    @Test func `The fields of a process are found whatever its name holds`() throws {
        let text =
            "42 (a) b (c d) S 1 2 3 4 5 6 7 8 9 10 250 50 13 14 15 16 17 18 12345 1073741824 2048 18446744073709551615 1\n"
        let stat = try #require(ProcessMetrics.Stat(text, ticksPerSecond: 100))
        #expect(stat.cpuSeconds == 3)
        #expect(stat.startSeconds == 123.45)
        #expect(stat.virtualBytes == 1 << 30)
        #expect(stat.residentPages == 2048)
    }

    @Test(arguments: ["", ")", "1 (x) S", "1 (x) S a b c d e f g h i j k l m n o p q r s t u v w", "(((((("])
    func `A text of another form is no process`(_ text: String) {
        #expect(ProcessMetrics.Stat(text, ticksPerSecond: 100) == nil)
        #expect(ProcessMetrics.Stat(text, ticksPerSecond: 0) == nil)
    }

    @Test func `The time of the machine's start is found`() {
        #expect(ProcessMetrics.bootTime("cpu 1 2\nbtime 1700000000\nprocesses 5\n") == 1_700_000_000)
        #expect(ProcessMetrics.bootTime("cpu 1 2\n") == nil)
    }

    #if os(Linux)
        @Test func `This process has memory, time, files and a start in the past`() throws {
            let values = Dictionary(
                uniqueKeysWithValues: ProcessMetrics().collect().map { ($0.sampleName, $0.samples[0].value) })
            #expect(try #require(values["process_resident_memory_bytes"]) > 1_000_000)
            #expect(
                try #require(values["process_virtual_memory_bytes"])
                    >= #require(values["process_resident_memory_bytes"]))
            #expect(try #require(values["process_cpu_seconds_total"]) >= 0)
            #expect(try #require(values["process_open_fds"]) >= 3)
            #expect(try #require(values["process_max_fds"]) >= #require(values["process_open_fds"]))
            let start = try #require(values["process_start_time_seconds"])
            #expect(start > 1_600_000_000)
            #expect(start <= Date().timeIntervalSince1970 + 2)
        }
    #endif
}
