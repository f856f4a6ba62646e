// What a plan needs to know of hardware: how much, how fast, and how that is known.

import Foundation
import WaletTensor

/// A machine that a model is to run on: this one, or one that is described.
public struct Machine: Sendable, Equatable {
    /// How a figure is known.
    public enum Origin: String, Sendable { case measured, given, assumed }

    /// A figure with how it is known.
    public struct Figure: Sendable, Equatable {
        public var value: Double
        public var origin: Origin

        public init(_ value: Double, _ origin: Origin) {
            self.value = value
            self.origin = origin
        }
    }

    /// Memory, in bytes.
    public var memory: Figure
    /// Physical cores.
    public var cores: Figure
    /// `generic`, `avx2`, `avx512` or `neon`.
    public var instructionSet: String
    /// Reading memory, in bytes a second.
    public var memorySpeed: Figure
    /// The share of ``memorySpeed`` at which the kernels read this model's weights.
    public var efficiency: Figure
    /// How fast weights that stay mapped are read, over other memory; nil where that was not measured.
    public var mapped: Figure?
    /// Multiplications and additions of the kernels at a prompt, a second.
    public var operations: Figure
    /// One token's attention to one position of the cache in one layer of the model, in seconds; nil where it was not
    /// measured.
    public var attention: Figure?
    /// Reading single experts from the disk, in bytes a second; nil where it is not known.
    public var diskSpeed: Figure?

    public init(
        memory: Figure, cores: Figure, instructionSet: String, memorySpeed: Figure, efficiency: Figure,
        mapped: Figure? = nil, operations: Figure, attention: Figure? = nil, diskSpeed: Figure?
    ) {
        self.memory = memory
        self.cores = cores
        self.instructionSet = instructionSet
        self.memorySpeed = memorySpeed
        self.efficiency = efficiency
        self.mapped = mapped
        self.operations = operations
        self.attention = attention
        self.diskSpeed = diskSpeed
    }

    /// Reading weights, in bytes a second.
    /// - Parameter streaming: whether experts that do not fit are read from the disk; what stays is then in memory of the process.
    public func readSpeed(streaming: Bool) -> Double {
        memorySpeed.value * efficiency.value * (streaming ? 1 : mapped?.value ?? 1)
    }

    /// What the kernels reach of memory's speed where that is not measured: the middle of 0.70 to 0.81 that
    /// docs/performance.md shows of Moonlight's shape.
    public static let assumedEfficiency = Figure(0.75, .assumed)

    /// Operations a second and core that are assumed where they are not measured (docs/lab-notes.md: Q4_0 on Zen 3 makes 157
    /// billion with AVX2; the others are scaled from that by the width of their dot products).
    public static func assumedOperations(perCore instructionSet: String) -> Double {
        switch instructionSet {
        case "avx512": 300e9
        case "avx2": 150e9
        case "neon": 100e9
        default: 5e9
        }
    }

    /// Memory of this machine that a process may have: the least of what is built in and what the control group allows.
    public static func installedMemory() -> Int {
        var bytes = Int(clamping: ProcessInfo.processInfo.physicalMemory)
        for path in ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"] {
            if let text = try? String(contentsOfFile: path, encoding: .utf8),
                let limit = Int(text.trimmingCharacters(in: .whitespacesAndNewlines)), limit > 0
            {
                bytes = min(bytes, limit)
            }
        }
        return bytes
    }
}
