import Foundation
import Walet
import WaletJSON
import WaletPlan
import WaletServer

/// What the plan of this machine says of a model that runs here, and how far off it was.
struct PlannedRun: Sendable {
    /// By the hit rate that the plan assumes.
    let plan: Plan

    /// Measures memory, kernels and, where experts do not fit, the disk, in some seconds.
    /// - Parameters:
    ///   - weightLimit: what `--memory` says.
    ///   - diskSpeed: bytes a second, where it has been measured.
    init(_ model: String, weightLimit: Int?, context: Int, concurrency: Int, diskSpeed: Double? = nil) throws {
        let path = try LanguageModel.locate(model)
        let folder = try ModelFolder(path)
        let shape = try ModelShape(folder)
        let machine = try Machine.measured(
            for: shape, Machine.Description(diskSpeed: diskSpeed),
            needsDisk: { machine in
                let place = Plan.place(
                    shape, memory: machine.memory.value, context: context, concurrency: concurrency)
                return place.placement == .streamed || weightLimit.map { $0 < shape.totalBytes } == true
            }, files: try folder.files().map { folder.path + "/" + $0.name } + [path])
        plan = try Plan(
            shape, on: machine, context: min(context, shape.contextLength), concurrency: concurrency,
            weightLimit: weightLimit)
    }

    /// How fast the disk gives blocks of a model's largest file, in bytes a second; nil where that is too small.
    static func diskSpeed(_ model: String) throws -> Double? {
        let folder = try ModelFolder(try LanguageModel.locate(model))
        guard let largest = try folder.files().max(by: { $0.bytes < $1.bytes }), largest.bytes >= 64 << 12 else {
            return nil
        }
        return try DiskProbe.readSpeed(file: try folder.location(of: largest), block: min(1 << 20, largest.bytes / 64))
            .speed
    }

    /// A decode step where the share of chosen experts that memory holds has been measured.
    func step(hitRate: Double?) -> Plan.Step {
        Plan.decodeStep(
            plan.shape, on: plan.machine, context: plan.context, concurrency: plan.concurrency,
            misses: 1 - (hitRate ?? plan.hitRate.value),
            diskSpeed: plan.placement == .streamed ? plan.machine.diskSpeed?.value : nil)
    }
}

extension PlannedRun {
    /// What a server shows of a model's plan, and what tells how long its passes should take.
    static func forServing(
        _ model: String, _ configuration: ServerConfiguration
    ) async throws -> (figures: PlannedFigures, forecast: @Sendable (PassShape) -> Double) {
        // Seconds of work, which the threads that serve connections must not be held for.
        let plan = try await withCheckedThrowingContinuation { continuation in
            DispatchQueue.global().async {
                continuation.resume(
                    with: Result {
                        try PlannedRun(
                            model, weightLimit: configuration.engine.memoryLimit,
                            context: min(configuration.contextLength ?? .max, 4096), concurrency: 1
                        ).plan
                    })
            }
        }
        guard let decode = plan.decodeRate, let prefill = plan.prefillSeconds else {
            throw PlanError.invalid(
                field: "memory", expected: "at least \(Terminal.bytes(plan.memory.least)) for \(plan.shape.name)",
                found: Terminal.bytes(Int(plan.machine.memory.value)))
        }
        let figures = PlannedFigures(
            decodeRate: decode, prefillRate: 1 / prefill,
            expertHitRate: plan.placement == .streamed ? plan.hitRate.value : nil, hourlyCost: configuration.hourlyCost)
        return (
            figures,
            { pass in
                pass.promptTokens > 0
                    ? Double(pass.promptTokens) * prefill
                    : plan.passSeconds(sequences: pass.sequences, context: pass.context) ?? 0
            }
        )
    }
}

/// A run beside its plan.
struct PlanComparison {
    private let run: PlannedRun
    private let step: Plan.Step
    private let decodeRate: Double
    private let prefillRate: Double
    /// Measured; nil where all experts were in memory.
    private let hitRate: Double?
    /// US dollars.
    private let hourlyCost: Double?

    init(_ run: PlannedRun, decodeRate: Double, prefillRate: Double, hitRate: Double?, hourlyCost: Double?) {
        self.run = run
        self.decodeRate = decodeRate
        self.prefillRate = prefillRate
        self.hitRate = hitRate
        self.hourlyCost = hourlyCost
        step = run.step(hitRate: hitRate)
    }

    /// Tokens a second of all sequences, at the hit rate that was measured.
    private var plannedRate: Double { Double(run.plan.concurrency) / step.total }

    private static func error(_ measured: Double, _ planned: Double) -> Double { measured / planned - 1 }

    private static func words(_ planned: Double, _ measured: Double) -> String {
        String(format: "%.3g planned, %.3g measured: %+.1f%%", planned, measured, 100 * error(measured, planned))
    }

    /// Rows of `walet bench`.
    var rows: [[String]] {
        let machine = run.plan.machine
        let reading = machine.readSpeed(streaming: run.plan.placement == .streamed) / 1e9
        var from = String(format: "weights at %.2f GB/s", reading)
        if let disk = machine.diskSpeed { from += String(format: ", disk at %.2f GB/s", disk.value / 1e9) }
        var rows = [["plan, decode", Self.words(plannedRate, decodeRate) + " (\(from))"]]
        if let rate = run.plan.prefillRate { rows.append(["plan, prefill", Self.words(rate, prefillRate)]) }
        if let hitRate {
            rows.append([
                "plan, hits",
                String(format: "%.1f%% assumed, %.1f%% measured", 100 * run.plan.hitRate.value, 100 * hitRate),
            ])
        }
        if let hourlyCost {
            rows.append([
                "USD a million tokens",
                Self.words(hourlyCost / plannedRate / 0.0036, hourlyCost / decodeRate / 0.0036),
            ])
        }
        return rows
    }

    var json: JSONValue {
        let machine = run.plan.machine
        let reading = machine.readSpeed(streaming: run.plan.placement == .streamed) / 1e9
        let numbers: [(String, Double)] = [
            ("decode_tokens_per_second", plannedRate), ("error", Self.error(decodeRate, plannedRate)),
            ("weights_seconds", step.weights), ("experts_seconds", step.experts), ("disk_seconds", step.disk),
            ("attention_seconds", step.attention), ("other_seconds", step.arithmetic + step.other),
            ("memory_gb_per_second", reading),
        ]
        var members = JSONObject()
        for (name, number) in numbers { members[name] = .double(number) }
        members["disk_gb_per_second"] = machine.diskSpeed.map { .double($0.value / 1e9) } ?? .null
        if let rate = run.plan.prefillRate {
            members["prefill_tokens_per_second"] = .double(rate)
            members["prefill_error"] = .double(Self.error(prefillRate, rate))
        }
        if hitRate != nil { members["hit_rate"] = .double(run.plan.hitRate.value) }
        if let hourlyCost {
            members["usd_per_million_tokens"] = .double(hourlyCost / plannedRate / 0.0036)
            members["measured_usd_per_million_tokens"] = .double(hourlyCost / decodeRate / 0.0036)
        }
        return .object(members)
    }
}
