import ArgumentParser
import Foundation
import Walet
import WaletPlan

/// `walet plan`: what a model needs, and how fast it will be, before anything is downloaded.
struct PlanCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan",
        abstract: "What a model needs and how fast it will be, here or on a machine that you describe.",
        discussion: """
            MODEL may be a config.json alone: weights are not needed. Memory and kernels are measured here in some seconds,
            and the disk where experts must be read from it. With --memory-speed the machine is another one: nothing but
            the disk is measured then, and what the kernels reach of that speed is assumed.
            Several MODELs give a line each.
            """)

    @Argument(help: "A folder of safetensors, a .gguf file, a config.json, or a name that `walet list` shows.")
    var models: [String]
    @OptionGroup var machine: MachineArguments
    @Option(help: "Write a plot of speed against memory to this SVG file.") var plot: String?
    @Flag(help: "One JSON object a model.") var json = false

    func validate() throws {
        guard !models.isEmpty else { throw ValidationError("expected a MODEL") }
        if plot != nil, models.count > 1 { throw ValidationError("--plot: expected one MODEL, found \(models.count)") }
    }

    func run() async throws {
        var lines = [
            [
                "MODEL", "WEIGHTS", "READ A TOKEN", "KV A TOKEN", "PLACEMENT", "HIT RATE", "PREFILL", "DECODE",
                "BOTTLENECK",
            ]
        ]
        for model in models {
            let plan = try machine.plan(model)
            if json { Terminal.output(plan.json.text() + "\n") }
            if let plot {
                try Files.write(plan.chart().svg(), to: plot)
                Terminal.log("the plot is in \(plot)")
            }
            if json { continue }
            if models.count > 1 {
                lines.append(plan.line)
            } else {
                Terminal.output(Terminal.table(plan.rows) + "\n")
                if plan.decode != nil {
                    Terminal.output("\na step of decoding\n" + TextBars.lines(plan.bars).joined(separator: "\n") + "\n")
                }
            }
        }
        if !json, models.count > 1 { Terminal.output(Terminal.table(lines) + "\n") }
    }
}

/// The machine, and the requests that it is to serve: what `plan` and `cost` share.
struct MachineArguments: ParsableArguments {
    @Option(help: "Tokens of a request, prompt and answer; by default 4096, or the model's context.") var context: Int?
    @Option(help: "Requests at a time.") var concurrency = 1
    @Option(
        help: ArgumentHelp(
            "Memory of the machine, such as 64G; by default what is installed here.", valueName: "size"))
    var memory: String?
    @Option(
        name: .long, help: ArgumentHelp("Memory's reading speed, in GB/s; by default measured.", valueName: "GB/s"))
    var memorySpeed: Double?
    @Option(help: ArgumentHelp("The disk's speed for single experts, in GB/s; by default measured.", valueName: "GB/s"))
    var diskSpeed: Double?
    @Option(
        help: ArgumentHelp(
            "A file to read, or a folder to write 512 MB to and read, where the model's own files do not lie on the disk.",
            valueName: "path"))
    var disk: String?
    @Option(help: "Physical cores; by default those here.") var cores: Int?
    @Option(help: "The share of chosen experts that memory holds, 0 to 1; by default assumed from like models.")
    var hitRate: Double?

    func validate() throws {
        _ = try described
        if let hitRate, !(0...1).contains(hitRate) {
            throw ValidationError("--hit-rate: expected a number from 0 to 1, found \(hitRate)")
        }
        if let cores, !(1...65536).contains(cores) {
            throw ValidationError("--cores: expected a number from 1 to 65536, found \(cores)")
        }
        for (name, value) in [("--memory-speed", memorySpeed), ("--disk-speed", diskSpeed)] {
            if let value, !(0.001...1e6).contains(value) {
                throw ValidationError("\(name): expected GB/s from 0.001 to 1000000, found \(value)")
            }
        }
        if disk != nil, diskSpeed != nil { throw ValidationError("--disk and --disk-speed exclude each other") }
    }

    private var described: Machine.Description {
        get throws {
            Machine.Description(
                memory: try SizeOption.bytes(memory, "--memory"), cores: cores,
                memorySpeed: memorySpeed.map { $0 * 1e9 }, diskSpeed: diskSpeed.map { $0 * 1e9 }, disk: disk)
        }
    }

    /// The plan of a model that is here; nothing is pulled for it.
    func plan(_ model: String) throws -> Plan {
        let path = try LanguageModel.locate(model)
        let folder = try ModelFolder(path)
        let shape = try ModelShape(folder)
        let context = context ?? min(4096, shape.contextLength)
        let files = folder.source == nil ? [] : try folder.files().map { folder.path + "/" + $0.name } + [path]
        let machine = try Machine.measured(
            for: shape, described,
            needsDisk: { machine in
                let memory = machine.memory.value
                return Plan.place(shape, memory: memory, context: context, concurrency: concurrency).placement
                    == .streamed
            }, files: files)
        return try Plan(shape, on: machine, context: context, concurrency: concurrency, hitRate: hitRate)
    }
}

extension Plan {
    /// The plan as one line of a table of several models.
    fileprivate var line: [String] {
        [
            shape.name, Terminal.bytes(shape.totalBytes), Terminal.bytes(shape.activeBytes),
            Terminal.bytes(shape.cacheBytesPerToken), placement.rawValue.replacing("_", with: " "),
            placement == .streamed ? String(format: "%.0f%%", hitRate.value * 100) : "-",
            prefillRate.map { String(format: "%.3g", $0) } ?? "-",
            decodeRate.map { String(format: "%.3g", $0) } ?? "-", bottleneck?.words ?? "-",
        ]
    }
}

/// Files that commands write.
enum Files {
    /// Writes a text whole or not at all.
    static func write(_ text: String, to path: String) throws {
        do {
            try Data(text.utf8).write(to: URL(filePath: path), options: .atomic)
        } catch {
            throw PlanError.file(path: path, reason: "it cannot be written: \(error.localizedDescription)")
        }
    }
}
