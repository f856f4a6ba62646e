// A plan for people and for programs.

import Foundation
import WaletJSON

extension Plan {
    /// The plan as rows of a table.
    public var rows: [[String]] {
        var rows = [
            ["model", "\(shape.name), \(shape.modelType)"],
            ["weights", weightsText],
            ["read a token", readText],
            ["machine", machineText],
            ["request", "\(concurrency) at a time, \(context) tokens each"],
            ["placement", placementText],
            ["memory", memoryText],
        ]
        if placement == .streamed { rows.append(["hit rate", hitRateText]) }
        if let decode, let decodeRate, let prefillRate, let prefillSeconds {
            rows.append(["prefill", Self.rate(prefillRate) + prefillNote(prefillSeconds)])
            rows.append([
                "decode",
                Self.rate(decodeRate) + (concurrency > 1 ? ", \(Self.rate(1 / decode.total)) each" : "")
                    + (placement == .streamed && hitRate.origin == .assumed ? rangeText : ""),
            ])
            rows.append(["bottleneck", bottleneck?.words ?? "none"])
            rows += advice.map { ["to double it", Self.text($0)] }
        }
        rows += shape.notes.map { ["note", $0] }
        return rows
    }

    /// Where a step's time goes: names, seconds and their share.
    public var bars: [(name: String, value: Double, text: String)] {
        guard let decode else { return [] }
        let terms: [(String, Double)] = [
            ("weights from memory", decode.weights), ("experts from memory", decode.experts),
            ("experts from disk", decode.disk), ("attention", decode.attention),
            ("arithmetic", decode.arithmetic), ("other", decode.other),
        ]
        return terms.filter { $0.1 > 0 }.map { name, seconds in
            (name, seconds, String(format: "%.2f ms, %.0f%%", seconds * 1000, 100 * seconds / decode.total))
        }
    }

    /// The plan as one JSON object: bytes, seconds, and tokens a second.
    public var json: JSONValue {
        var object = JSONObject([
            ("model", .string(shape.name)), ("model_type", .string(shape.modelType)), ("shape", shape.json),
            ("machine", machine.json), ("context", .int(context)), ("concurrency", .int(concurrency)),
            ("placement", .string(placement.rawValue)), ("fits", .bool(placement != .tooLarge)),
            (
                "memory",
                [
                    "system_bytes": .int(memory.system), "engine_bytes": .int(memory.engine),
                    "kv_bytes": .int(memory.cache), "resident_weight_bytes": .int(memory.weights),
                    "expert_bytes": .int(memory.experts), "least_bytes": .int(memory.least),
                    "whole_bytes": .int(memory.whole),
                ]
            ),
            ("cached_share", .double(cachedShare)),
            ("hit_rate", .double(hitRate.value)), ("hit_rate_origin", .string(hitRate.origin.rawValue)),
        ])
        if let decode, let decodeRate, let prefillRate {
            object["prefill_tokens_per_second"] = .double(prefillRate)
            object["decode_tokens_per_second"] = .double(decodeRate)
            object["decode_step_seconds"] = [
                "weights": .double(decode.weights), "experts": .double(decode.experts), "disk": .double(decode.disk),
                "attention": .double(decode.attention), "arithmetic": .double(decode.arithmetic),
                "other": .double(decode.other), "total": .double(decode.total),
            ]
            object["bottleneck"] = bottleneck.map { .string($0.rawValue) } ?? .null
            object["to_double"] = .array(
                advice.map {
                    [
                        "part": .string($0.part.rawValue), "now": .double($0.now),
                        "needed": $0.needed.map { .double($0) } ?? .null,
                        "decode_tokens_per_second": .double($0.decodeRate),
                    ]
                })
        }
        object["notes"] = .array(shape.notes.map { .string($0) })
        return .object(object)
    }

    private var weightsText: String {
        let parts = ModelShape.Part.allCases.filter { shape.bytes($0) > 0 && $0 != .norms }
        return Self.bytes(shape.totalBytes) + ": "
            + parts.map { "\($0.name) \(Self.bytes(shape.bytes($0)))" }.joined(separator: ", ")
    }

    private var readText: String {
        let active = Self.bytes(shape.activeBytes)
        guard shape.activeExpertBytes > 0 else { return active + " of weights" }
        return "\(active) of weights, of them \(Self.bytes(shape.activeExpertBytes)) of experts "
            + "(\(shape.expertsPerToken) of \(shape.experts) in \(shape.sparseLayers) layers, "
            + "\(Self.bytes(shape.expertBytes)) each); \(Self.bytes(shape.cacheBytesPerToken)) of KV cache a token"
    }

    private var machineText: String {
        var text =
            "\(Self.bytes(Int(machine.memory.value))) (\(machine.memory.origin.rawValue)), "
            + "\(Int(machine.cores.value)) cores, \(machine.instructionSet), memory "
            + "\(Self.speed(machine.memorySpeed)), the kernels at \(Self.percent(machine.efficiency.value)) of it "
            + "(\(machine.efficiency.origin.rawValue))"
        if let mapped = machine.mapped, placement == .resident {
            text += ", its files in the page cache at \(Self.percent(mapped.value)) of that"
        }
        if let disk = machine.diskSpeed { text += ", disk \(Self.speed(disk))" }
        return text
    }

    private var placementText: String {
        switch placement {
        case .resident: "fits: all weights stay in memory"
        case .streamed:
            "does not fit whole; the rest of the experts is read from the disk. All of it takes "
                + Self.bytes(memory.whole)
        case .tooLarge:
            "does not fit: at least \(Self.bytes(memory.least)) are needed"
                + (shape.experts > 0 ? ", \(Self.bytes(memory.whole)) to hold all experts" : "")
        }
    }

    private var memoryText: String {
        "weights \(Self.bytes(memory.weights))"
            + (shape.experts > 0 ? ", experts \(Self.bytes(memory.experts)) (\(Self.percent(cachedShare)))" : "")
            + ", KV cache \(Self.bytes(memory.cache)), engine \(Self.bytes(memory.engine)), "
            + "system \(Self.bytes(memory.system))"
    }

    private var hitRateText: String {
        guard hitRate.origin == .assumed else { return Self.percent(hitRate.value) + " (given)" }
        let (low, high) = (
            HitRate.assumed(cachedShare: cachedShare, .low), HitRate.assumed(cachedShare: cachedShare, .high)
        )
        return "\(Self.percent(hitRate.value)) assumed, between \(Self.percent(low)) and \(Self.percent(high)): "
            + "measured on like models with \(Self.percent(cachedShare)) of the experts cached"
    }

    /// The speed at the lower and the upper curve of hit rates.
    private var rangeText: String {
        let rates = [HitRate.Curve.low, .high].compactMap { curve -> Double? in
            let rate = HitRate.assumed(cachedShare: cachedShare, curve)
            return (try? Plan(shape, on: machine, context: context, concurrency: concurrency, hitRate: rate))?
                .decodeRate
        }
        guard rates.count == 2 else { return "" }
        return " (\(Self.number(rates[0])) to \(Self.number(rates[1])))"
    }

    private func prefillNote(_ seconds: Double) -> String {
        guard prefillDiskSeconds > seconds / 2 else { return "" }
        return ", mostly reading experts from the disk, each once a chunk of \(min(KernelProbe.chunk, context)) tokens"
    }

    private static func text(_ advice: Advice) -> String {
        func amount(_ value: Double) -> String {
            switch advice.part {
            case .memory: bytes(Int(value))
            case .memorySpeed, .diskSpeed: gigabytes(value)
            case .cores: "\(Int(value.rounded(.up)))"
            }
        }
        let name =
            switch advice.part {
            case .memory: "memory"
            case .memorySpeed: "memory's speed"
            case .diskSpeed: "disk"
            case .cores: "cores"
            }
        guard let needed = advice.needed else {
            return "\(name): no amount does, \(number(advice.decodeRate)) tokens/s at most"
        }
        return "\(name): \(amount(needed)) instead of \(amount(advice.now)), \(rate(advice.decodeRate))"
    }

    static func rate(_ value: Double) -> String { number(value) + " tokens/s" }

    /// Three digits.
    static func number(_ value: Double) -> String {
        switch abs(value) {
        case 100...: String(format: "%.0f", value)
        case 10...: String(format: "%.1f", value)
        case 0.1...: String(format: "%.2f", value)
        default: String(format: "%.3g", value)
        }
    }

    static func percent(_ share: Double) -> String {
        String(format: share >= 0.1 || share == 0 ? "%.0f%%" : "%.1f%%", share * 100)
    }

    static func gigabytes(_ value: Double) -> String { number(value / 1e9) + " GB/s" }

    static func speed(_ figure: Machine.Figure) -> String { "\(gigabytes(figure.value)) (\(figure.origin.rawValue))" }

    static func bytes(_ count: Int) -> String {
        var value = Double(count)
        for unit in ["B", "kB", "MB", "GB", "TB"] {
            if value < 1000 || unit == "TB" { return unit == "B" ? "\(count) B" : "\(number(value)) \(unit)" }
            value /= 1000
        }
        return "\(count) B"
    }
}

extension ModelShape {
    var json: JSONValue {
        var parts = JSONObject()
        for part in Part.allCases {
            parts[part.rawValue] = ["bytes": .int(bytes(part)), "read_bytes_per_token": .int(readBytes(part))]
        }
        return [
            "total_bytes": .int(totalBytes), "resident_bytes": .int(residentBytes), "active_bytes": .int(activeBytes),
            "active_expert_bytes": .int(activeExpertBytes), "expert_bytes": .int(expertBytes),
            "kv_bytes_per_token": .int(cacheBytesPerToken), "layers": .int(layers),
            "sparse_layers": .int(sparseLayers), "experts": .int(experts), "experts_per_token": .int(expertsPerToken),
            "context_length": .int(contextLength), "estimated": .bool(isEstimated), "parts": .object(parts),
        ]
    }
}

extension Machine {
    var json: JSONValue {
        func figure(_ figure: Figure?) -> JSONValue {
            figure.map { ["value": .double($0.value), "origin": .string($0.origin.rawValue)] } ?? .null
        }
        return [
            "memory_bytes": figure(memory), "cores": figure(cores), "instruction_set": .string(instructionSet),
            "memory_bytes_per_second": figure(memorySpeed), "kernel_share": figure(efficiency),
            "mapped_share": figure(mapped),
            "operations_per_second": figure(operations), "disk_bytes_per_second": figure(diskSpeed),
        ]
    }
}
