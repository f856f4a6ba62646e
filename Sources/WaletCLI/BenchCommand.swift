import ArgumentParser
import Foundation
import Walet

enum AttentionForm: String, ExpressibleByArgument, CaseIterable {
    case auto, absorbed, expanded

    /// Whether keys and values are made; nil as the prompt's length says.
    var longPrompt: Bool? { self == .auto ? nil : self == .expanded }
}

/// `walet bench`: how fast a model runs here.
struct BenchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measures prefill and decode on random tokens.")

    @OptionGroup var arguments: ModelArguments
    @Option(help: "Tokens of each prompt.") var prompt = 512
    @Option(help: "Decode steps.") var generate = 64
    @Option(help: "Sequences that are decoded together, 1 to 16.") var batch = 1
    @Option(help: "Made-up tokens that each sequence's cache holds before.") var depth = 0
    @Option(help: "Latent attention over the prompt: auto, absorbed, or expanded to keys and values.")
    var attention = AttentionForm.auto
    @Flag(help: "Make weights up: MODEL need be no more than a config.json.") var randomWeights = false
    @Flag(help: "Compare with the plan of this machine, measured in some seconds; always with --memory.")
    var plan = false
    @Option(help: ArgumentHelp("With the plan, what an hour of this machine costs.", valueName: "USD"))
    var hourlyCost: Double?
    @Flag(help: "One JSON object.") var json = false

    func validate() throws {
        if randomWeights, arguments.memory != nil {
            throw ValidationError("--memory reads experts from files, and --random-weights has none")
        }
        if randomWeights, plan { throw ValidationError("--plan is for models whose weights are there") }
        if let hourlyCost, !(hourlyCost > 0 && hourlyCost < 1e9) {
            throw ValidationError("--hourly-cost: expected an amount above 0, found \(hourlyCost)")
        }
        if hourlyCost != nil, !plan, arguments.memory == nil {
            throw ValidationError("--hourly-cost belongs to --plan or --memory")
        }
    }

    /// What was measured of the model, which is let go when it is returned.
    private struct Measured {
        var result: BenchmarkResult
        var loadSeconds: Double
        var peakBytes: Int
        var threads: Int
    }

    private func measure() async throws -> Measured {
        let start = ContinuousClock.now
        let model =
            randomWeights
            ? try LanguageModel.withRandomWeights(
                arguments.model, threads: arguments.threads, precision: arguments.precision)
            : try await arguments.load()
        await model.pagesAreMapped()
        let load = (ContinuousClock.now - start) / .seconds(1)
        let result = try await model.benchmark(
            prompt: prompt, generate: generate, batch: batch, depth: depth, longPrompt: attention.longPrompt)
        return Measured(
            result: result, loadSeconds: load, peakBytes: ProcessMemory.peakResidentBytes, threads: model.threads)
    }

    /// - Parameter diskSpeed: bytes a second; nil where nothing was read from the disk, or no file is large enough to tell.
    private func comparison(_ result: BenchmarkResult, _ diskSpeed: Double?) throws -> PlanComparison? {
        if result.decodeExperts != nil, diskSpeed == nil { return nil }
        let run = try PlannedRun(
            arguments.model, weightLimit: arguments.memoryLimit, context: depth + prompt + generate / 2,
            concurrency: batch, diskSpeed: diskSpeed)
        return PlanComparison(
            run, decodeRate: result.decodeRate, prefillRate: result.prefillRate, hitRate: result.decodeExperts?.hitRate,
            hourlyCost: hourlyCost)
    }

    func run() async throws {
        // Before and after, as a disk that others use too is not always equally fast.
        let diskBefore = arguments.memory == nil ? nil : try PlannedRun.diskSpeed(arguments.model)
        let measured = try await measure()
        let (result, load, peak) = (measured.result, measured.loadSeconds, measured.peakBytes)
        // A step of a batch reads the weights once, or more of the experts; the figure counts one sequence's share.
        let speed = Double(result.bytesPerToken) * result.decodeRate / Double(batch) / 1e9
        // What it measures takes memory, which the model no longer does.
        let diskAfter = diskBefore == nil ? nil : try PlannedRun.diskSpeed(arguments.model)
        let disk = diskBefore.flatMap { before in diskAfter.map { 2 / (1 / before + 1 / $0) } }
        let planned = try plan || result.decodeExperts != nil ? comparison(result, disk) : nil
        if json {
            var object: JSONValue = [
                "prefill_tokens_per_second": .double(result.prefillRate),
                "decode_tokens_per_second": .double(result.decodeRate), "bytes_per_token": .int(result.bytesPerToken),
                "read_gb_per_second": .double(speed), "peak_resident_bytes": .int(peak), "load_seconds": .double(load),
                "kv_bytes": .int(result.cacheBytes), "threads": .int(measured.threads),
                "instruction_set": .string(LanguageModel.instructionSet),
            ]
            if let experts = result.decodeExperts, let prefill = result.prefillExperts,
                case .object(var members) = object
            {
                members["experts"] = ExpertReport.placement(experts)
                members["decode_experts"] = ExpertReport.json(experts)
                members["prefill_experts"] = ExpertReport.json(prefill)
                object = .object(members)
            }
            if let planned, case .object(var members) = object {
                members["planned"] = planned.json
                object = .object(members)
            }
            Terminal.output(object.text() + "\n")
        } else {
            var rows = [
                ["prefill", String(format: "%.1f tokens/s", result.prefillRate)],
                ["decode", String(format: "%.1f tokens/s", result.decodeRate)],
                ["weights read a token", Terminal.bytes(result.bytesPerToken)],
                ["weights read", String(format: "%.2f GB/s", speed)],
                ["KV cache", Terminal.bytes(result.cacheBytes)],
                ["peak resident memory", Terminal.bytes(peak)],
                ["load", String(format: "%.3f s", load)],
                ["threads", "\(measured.threads), \(LanguageModel.instructionSet)"],
            ]
            if let experts = result.decodeExperts { rows += ExpertReport.rows(experts) }
            if let planned { rows += planned.rows }
            Terminal.output(Terminal.table(rows) + "\n")
        }
    }
}
