import ArgumentParser
import Foundation
import Walet
import WaletPlan

/// `walet pack`: the same weights, each routed expert in one stretch of a file.
struct PackCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pack",
        abstract: "Writes a model anew with each routed expert in one stretch of a file, where that pays.",
        discussion: """
            Never needed: --memory reads any model as it was published. What it would gain is measured in some seconds
            first, and below 5% nothing is written. The new folder holds the same tensors, byte for byte; each file is
            compared with the source before it has its name. A run that was cut short goes on where it stopped when the
            same command is given again.
            """)

    @Argument(help: "A folder of safetensors, a .gguf file, or a name that `walet list` shows.") var model: String
    @Option(help: ArgumentHelp("The folder to be made; it must be new, empty, or one that packing has begun.")) var out:
        String?
    @Option(
        help: ArgumentHelp(
            "Weights in memory, at most, that the gain is to be computed for; by default what this machine has.",
            valueName: "size"))
    var memory: String?
    @Flag(help: "Pack without measuring whether it pays.") var force = false
    @Flag(help: "Say what would be gained and written, and write nothing.") var dryRun = false
    @Flag(help: "One JSON object.") var json = false

    func validate() throws {
        guard out != nil || dryRun else { throw ValidationError("expected --out FOLDER, or --dry-run") }
        _ = try memoryLimit
    }

    private var memoryLimit: Int? { get throws { try SizeOption.bytes(memory, "--memory") } }

    func run() async throws {
        try await Puller.pullIfNamed(model)
        let folder = try ModelFolder(try LanguageModel.locate(model))
        let layout = try folder.packedLayout()
        let comparison = try ExpertReadComparison(folder, layout)
        let packer = try out.map { try ModelPacker(folder, layout, into: $0) }
        let state = try packer?.state() ?? .new
        var report = PackReport(comparison, bytes: layout.byteCount, files: layout.files.count)
        report.free = out.flatMap { ModelPacker.freeBytes(at: $0) }
        if comparison.isPacked {
            report.verdict = .packed
        } else if !force, state == .new {
            try report.measure(model, weightLimit: memoryLimit)
        }
        let writes = !dryRun && (force || state != .new || report.pays)
        if !json {
            Terminal.output(Terminal.table(report.rows) + "\n")
            if !writes { Terminal.output(report.words(force: force, dryRun: dryRun) + "\n") }
        }
        guard let packer, writes else {
            if json { Terminal.output(report.json(nil).text() + "\n") }
            return
        }
        let outcome = try await write(packer)
        if json {
            Terminal.output(report.json(outcome).text() + "\n")
        } else {
            var words =
                "\(Terminal.bytes(outcome.bytes)) in \(PackReport.files(outcome.files.count)) in \(packer.target)"
            if outcome.found > 0 { words += ", \(outcome.found) of them from an earlier run" }
            words += "; \(outcome.tensors) tensors, each read again and equal to the source's, byte for byte\n"
            Terminal.output(words)
        }
    }

    private func write(_ packer: ModelPacker) async throws -> ModelPacker.Outcome {
        let progress = PackProgress(total: 2 * packer.layout.byteCount)
        do {
            return try await Interrupt.cancelling {
                defer { progress.end() }
                return try packer.run(progress: progress.take)
            }
        } catch is CancellationError {
            Terminal.log("walet: stopped; the same command goes on from there")
            throw ExitCode(1)
        }
    }
}

/// What packing gains, and whether that is enough.
struct PackReport {
    enum Verdict: Equatable {
        case unmeasured
        /// The experts are one stretch each already.
        case packed
        /// The model fits in memory, and no expert is read from the disk.
        case resident
        /// Of a token's speed: 0.1 for a tenth.
        case gain(Double)
    }

    /// A gain that is worth a copy of the weights.
    static let threshold = 0.05

    let comparison: ExpertReadComparison
    /// To be written.
    let bytes: Int
    let files: Int
    /// Of the target's disk.
    var free: Int?
    var verdict = Verdict.unmeasured
    private var speeds: ExpertReadComparison.Speeds?
    /// Seconds of a token.
    private var token: (now: Double, packed: Double, hitRate: Double)?

    init(_ comparison: ExpertReadComparison, bytes: Int, files: Int) {
        self.comparison = comparison
        self.bytes = bytes
        self.files = files
    }

    var pays: Bool {
        if case .gain(let gain) = verdict { gain >= Self.threshold } else { false }
    }

    /// Measures both ways of reading, and what that makes of a token by the plan of this machine.
    mutating func measure(_ model: String, weightLimit: Int?) throws {
        let speeds = try comparison.measure()
        self.speeds = speeds
        let plan = try PlannedRun(
            model, weightLimit: weightLimit, context: 4096, concurrency: 1, diskSpeed: speeds.medianNow
        ).plan
        switch plan.placement {
        case .resident: verdict = .resident
        case .tooLarge:
            throw PlanError.invalid(
                field: "memory", expected: "at least \(Terminal.bytes(plan.memory.least)) for \(plan.shape.name)",
                found: Terminal.bytes(weightLimit ?? Int(plan.machine.memory.value)))
        case .streamed:
            func seconds(_ diskSpeed: Double) -> Double {
                Plan.decodeStep(
                    plan.shape, on: plan.machine, context: plan.context, concurrency: 1,
                    misses: 1 - plan.hitRate.value, diskSpeed: diskSpeed
                ).total
            }
            let (now, packed) = (seconds(speeds.medianNow), seconds(speeds.medianPacked))
            token = (now, packed, plan.hitRate.value)
            verdict = .gain(now / packed - 1)
        }
    }

    var rows: [[String]] {
        func count(_ number: Double, _ what: String) -> String {
            let digits = String(format: "%.3g", number)
            return "\(digits) \(what)" + (digits == "1" ? "" : what == "stretch" ? "es" : "s")
        }
        func pattern(_ pattern: ExpertReadComparison.Pattern) -> String {
            "\(count(pattern.stretches, "stretch")), \(count(pattern.reads, "read")), "
                + Terminal.bytes(Int(pattern.bytes))
        }
        func speed(_ values: [Double]) -> String {
            let sorted = values.sorted().map { $0 / 1e9 }
            guard let least = sorted.first, let most = sorted.last else { return "-" }
            return String(format: "%.2f / %.2f / %.2f GB/s", least, sorted[sorted.count / 2], most)
        }
        var rows = [
            [
                "experts",
                "\(comparison.experts) in \(comparison.layers) layers, \(Terminal.bytes(Int(comparison.expertBytes))) each",
            ],
            ["an expert now", pattern(comparison.now)], ["an expert packed", pattern(comparison.packed)],
        ]
        if let speeds {
            let how = ", smallest / median / largest of \(speeds.now.count) rounds, "
            rows.append([
                "reads now", speed(speeds.now) + how + (speeds.isDirect ? "direct" : "buffered") + ", \(speeds.reader)",
            ])
            rows.append(["reads packed", speed(speeds.packed)])
        }
        if let token {
            rows.append([
                "a token",
                String(
                    format: "%.1f ms now, %.1f ms packed: %+.1f%% tokens/s at %.0f%% hits, by the plan",
                    1000 * token.now, 1000 * token.packed, 100 * (token.now / token.packed - 1), 100 * token.hitRate),
            ])
        }
        let free = free.map { ", \(Terminal.bytes($0)) free" } ?? ""
        rows.append(["to write", "\(Terminal.bytes(bytes)) in \(Self.files(files))\(free)"])
        return rows
    }

    static func files(_ count: Int) -> String { count == 1 ? "1 file" : "\(count) files" }

    /// Why nothing is written.
    func words(force: Bool, dryRun: Bool) -> String {
        let reason: String
        switch verdict {
        case .packed: reason = "each expert is one stretch already"
        case .resident:
            reason = "the model fits in memory, so that no expert is read from the disk (--memory computes for less)"
        case .gain(let gain) where gain < Self.threshold:
            reason = String(format: "a gain below %.0f%% is not worth a copy", 100 * Self.threshold)
        default: return "nothing is written: --dry-run"
        }
        return "nothing is written: " + reason + (force || dryRun ? "" : "; --force packs all the same")
    }

    /// - Parameter outcome: nil where nothing was written.
    func json(_ outcome: ModelPacker.Outcome?) -> JSONValue {
        func pattern(_ pattern: ExpertReadComparison.Pattern, _ speeds: [Double]?) -> JSONValue {
            [
                "stretches": .double(pattern.stretches), "reads": .double(pattern.reads),
                "bytes": .double(pattern.bytes),
                "gb_per_second": speeds.map { .array($0.map { .double($0 / 1e9) }) } ?? .null,
            ]
        }
        let name: String
        var gain: Double?
        switch verdict {
        case .unmeasured: name = "unmeasured"
        case .packed: name = "packed"
        case .resident: name = "resident"
        case .gain(let value):
            name = value < Self.threshold ? "small" : "pays"
            gain = value
        }
        let written = outcome.map { outcome -> JSONValue in
            let files = outcome.files.map { file -> JSONValue in
                ["name": .string(file.name), "bytes": .int(file.bytes), "sha256": .string(file.sha256)]
            }
            return [
                "bytes": .int(outcome.bytes), "tensors": .int(outcome.tensors), "found": .int(outcome.found),
                "files": .array(files),
            ]
        }
        return [
            "experts": .int(comparison.experts), "layers": .int(comparison.layers),
            "expert_bytes": .double(comparison.expertBytes), "now": pattern(comparison.now, speeds?.now),
            "packed": pattern(comparison.packed, speeds?.packed), "verdict": .string(name),
            "gain": gain.map { .double($0) } ?? .null, "hit_rate": token.map { .double($0.hitRate) } ?? .null,
            "bytes": .int(bytes), "free_bytes": free.map { .int($0) } ?? .null, "written": written ?? .null,
        ]
    }
}

/// How far packing has come: a line that moves on a terminal, and one for each file everywhere.
struct PackProgress {
    private let bytes: ByteProgress

    /// - Parameter total: bytes to be written and read again.
    init(total: Int) { bytes = ByteProgress("packing", total: total) }

    func take(_ event: ModelPacker.Event) {
        switch event {
        case .advanced(let file, let count): bytes.advance(file, count)
        case .found(let file): say(file, "is whole since an earlier run")
        case .damaged(let file): say(file, "is gone or not what was written; it is written again")
        case .finished(let file): say(file, "written and compared")
        }
    }

    private func say(_ file: String, _ words: String) {
        end()
        Terminal.log("\(Terminal.printable(file)): \(words)")
    }

    func end() { bytes.end() }
}
