import Foundation
import Walet
import WaletPlan

/// What commands say of experts that are read from the disk.
enum ExpertReport {
    /// One line for the end of a run.
    static func summary(_ experts: ExpertStatistics) -> String {
        String(
            format: "%d experts from memory, %d from disk (%.1f%% hits), %@ read at %.2f GB/s, %.2f s of waiting",
            experts.hits, experts.misses, 100 * (experts.hitRate ?? 0), Terminal.bytes(experts.bytesRead),
            (experts.readSpeed ?? 0) / 1e9, experts.waitSeconds)
    }

    static func json(_ experts: ExpertStatistics) -> JSONValue {
        [
            "hits": .int(experts.hits), "misses": .int(experts.misses),
            "hit_rate": experts.hitRate.map { .double($0) } ?? .null, "bytes_read": .int(experts.bytesRead),
            "read_seconds": .double(experts.readSeconds), "wait_seconds": .double(experts.waitSeconds),
            "read_gb_per_second": experts.readSpeed.map { .double($0 / 1e9) } ?? .null,
        ]
    }

    /// Rows of `walet bench`, of its decode steps.
    static func rows(_ experts: ExpertStatistics) -> [[String]] {
        [
            [
                "weights in memory",
                "\(Terminal.bytes(experts.denseBytes + experts.slabBytes)) of \(Terminal.bytes(experts.limit)): "
                    + "\(experts.slabs) of \(experts.experts) experts",
            ],
            ["experts from memory", String(format: "%.1f%%", 100 * (experts.hitRate ?? 0))],
            [
                "experts from disk",
                String(
                    format: "%d, %@ at %.2f GB/s, %.2f s of waiting", experts.misses, Terminal.bytes(experts.bytesRead),
                    (experts.readSpeed ?? 0) / 1e9, experts.waitSeconds),
            ],
            ["reads", "\(experts.isDirect ? "direct" : "buffered"), \(experts.reader)"],
        ]
    }

    static func placement(_ experts: ExpertStatistics) -> JSONValue {
        [
            "limit_bytes": .int(experts.limit), "dense_bytes": .int(experts.denseBytes),
            "slab_bytes": .int(experts.slabBytes), "slabs": .int(experts.slabs), "experts": .int(experts.experts),
            "direct": .bool(experts.isDirect), "reader": .string(experts.reader),
        ]
    }
}

/// What the plan says of a run that has been measured: T = weights / memory's speed + misses / disk's speed.
struct PlannedDecode {
    let step: Plan.Step
    let machine: Machine
    /// Tokens a second of all sequences.
    let rate: Double
    /// What was measured over what was planned, less 1.
    let error: Double

    /// Measures memory and kernels, in some seconds.
    /// - Parameter diskSpeed: bytes a second; nil where no file is large enough to tell.
    init(
        _ model: String, measured rate: Double, hitRate: Double, context: Int, batch: Int, diskSpeed: Double?
    ) throws {
        let path = try LanguageModel.locate(model)
        let folder = try ModelFolder(path)
        let shape = try ModelShape(folder)
        machine = try Machine.measured(
            for: shape, Machine.Description(diskSpeed: diskSpeed), needsDisk: { _ in false }, files: [])
        step = Plan.decodeStep(
            shape, on: machine, context: context, concurrency: batch, misses: 1 - hitRate,
            diskSpeed: machine.diskSpeed?.value)
        self.rate = Double(batch) / step.total
        error = rate / self.rate - 1
    }

    /// How fast the disk gives blocks of a model's largest file, in bytes a second; nil where that is too small.
    static func diskSpeed(_ model: String) throws -> Double? {
        let folder = try ModelFolder(try LanguageModel.locate(model))
        guard let largest = try folder.files().max(by: { $0.bytes < $1.bytes }), largest.bytes >= 64 << 20 else {
            return nil
        }
        return try DiskProbe.readSpeed(file: try folder.location(of: largest), block: 1 << 20).speed
    }

    /// Rows of `walet bench`.
    var rows: [[String]] {
        [
            ["planned", String(format: "%.2f tokens/s, so %+.1f%% were measured", rate, 100 * error)],
            [
                "planned from",
                String(
                    format: "memory %.2f GB/s, disk %@", machine.memorySpeed.value * machine.efficiency.value / 1e9,
                    machine.diskSpeed.map { String(format: "%.2f GB/s", $0.value / 1e9) } ?? "not measured"),
            ],
        ]
    }

    var json: JSONValue {
        [
            "decode_tokens_per_second": .double(rate), "error": .double(error),
            "weights_seconds": .double(step.weights), "experts_seconds": .double(step.experts),
            "disk_seconds": .double(step.disk), "attention_seconds": .double(step.attention),
            "other_seconds": .double(step.arithmetic + step.other),
            "memory_gb_per_second": .double(machine.memorySpeed.value * machine.efficiency.value / 1e9),
            "disk_gb_per_second": machine.diskSpeed.map { .double($0.value / 1e9) } ?? .null,
        ]
    }
}
