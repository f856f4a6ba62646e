// How a model runs on a machine, by arithmetic: what fits, what is read for a token, and how long that takes.

import Foundation

/// What is to be expected of a model on a machine.
///
/// ```swift
/// let shape = try ModelShape(ModelFolder("config.json"))
/// let plan = try Plan(shape, on: machine, context: 8192, concurrency: 1)
/// print(plan.decodeRate ?? 0, plan.bottleneck)
/// ```
///
/// A step of decoding takes T = weights read / memory's speed + misses / disk's speed, besides attention over the context,
/// and the arithmetic of further sequences that share a reading of the weights. Every term stands in ``decode``.
public struct Plan: Sendable, Equatable {
    public enum Placement: String, Sendable {
        /// All weights stay in memory.
        case resident
        /// Experts are read from the disk when they are chosen and not cached.
        case streamed
        /// What every token needs does not fit, or nothing can be left on the disk.
        case tooLarge = "too_large"
    }

    /// What memory is taken for, in bytes.
    public struct Memory: Sendable, Equatable {
        /// What the operating system and other programs keep.
        public var system: Int
        /// The engine's own, besides weights and cache.
        public var engine: Int
        /// The KV cache.
        public var cache: Int
        /// Weights that every token needs, and those that are looked up.
        public var weights: Int
        /// Routed experts that are in memory.
        public var experts: Int
        /// What all of that needs at the least.
        public var least: Int
        /// What is needed for all experts to be in memory.
        public var whole: Int
    }

    /// Seconds of one step of decoding, for all sequences together.
    public struct Step: Sendable, Equatable {
        /// Reading weights that every token needs.
        public var weights = 0.0
        /// Reading the chosen experts from memory.
        public var experts = 0.0
        /// Reading the chosen experts that memory does not hold from the disk.
        public var disk = 0.0
        /// Reading the KV cache, or multiplying with it where that takes longer.
        public var attention = 0.0
        /// Multiplying for further sequences, besides the time in which the weights are read.
        public var arithmetic = 0.0
        /// Norms, routing, sampling and the workers' meetings between the parts.
        public var other = 0.0

        public var total: Double { weights + experts + disk + attention + arithmetic + other }
    }

    public let shape: ModelShape
    public let machine: Machine
    /// Tokens of a request, prompt and answer.
    public let context: Int
    /// Requests at a time.
    public let concurrency: Int
    public let placement: Placement
    public let memory: Memory
    /// The share of the routed experts that memory holds.
    public let cachedShare: Double
    /// The share of chosen experts that memory holds, and how that is known.
    public let hitRate: Machine.Figure
    /// Nil where the model does not fit.
    public let decode: Step?
    /// Seconds that a token of a prompt takes; nil where the model does not fit.
    public let prefillSeconds: Double?
    /// Of them, those of reading experts from the disk.
    public let prefillDiskSeconds: Double

    /// The engine's own memory: what `--memory` leaves besides weights and cache.
    public static let engineBytes = 300_000_000
    /// Time of a layer besides its matrices and attention, in seconds: for a step of decoding, and for a token of a prompt.
    static let layerSeconds = 20e-6
    static let promptLayerSeconds = 8e-6
    /// Of the operations that the kernels make on matrices alone, what a prompt or a batch reaches, with norms, routing and
    /// quantizing between them (docs/lab-notes.md has the measurements of these three).
    static let promptShare = 0.8
    /// The kernels' attention makes this share of the operations that their products of weights make.
    static let attentionShare = 0.25

    /// Tokens a second of all sequences together.
    public var decodeRate: Double? { decode.map { Double(concurrency) / $0.total } }

    /// Tokens of a prompt a second.
    public var prefillRate: Double? { prefillSeconds.map { 1 / $0 } }

    /// - Parameters:
    ///   - hitRate: the share of chosen experts that memory holds, where it is known; else ``HitRate`` is asked.
    ///   - weightLimit: bytes of weights in memory, as the engine is told by `--memory`; nil for what the machine has.
    /// - Throws: ``PlanError/invalid(field:expected:found:)`` for figures out of range,
    ///   ``PlanError/unmeasurable(what:reason:remedy:)`` where the disk's speed is needed and not known.
    public init(
        _ shape: ModelShape, on machine: Machine, context: Int, concurrency: Int, hitRate: Double? = nil,
        weightLimit: Int? = nil
    ) throws(PlanError) {
        try Self.check(shape, machine, context, concurrency, hitRate)
        self.shape = shape
        self.machine = machine
        self.context = context
        self.concurrency = concurrency
        var (placement, memory) = Self.place(
            shape, memory: machine.memory.value, context: context, concurrency: concurrency)
        if let weightLimit, placement != .tooLarge, weightLimit < shape.residentBytes.addingSaturated(memory.experts) {
            // The table of embeddings stays on the disk then, where the head does not need it.
            let dense = shape.residentBytes - (shape.bytes(.head) > 0 ? shape.bytes(.embedding) : 0)
            memory.experts = min(memory.experts, weightLimit - dense)
            let fewest = shape.expertBytes.multipliedSaturated(by: shape.expertsPerToken)
            placement = memory.experts < fewest ? .tooLarge : .streamed
        }
        self.placement = placement
        self.memory = memory
        let routed = Double(shape.bytes(.routed))
        cachedShare = routed > 0 ? min(1, Double(memory.experts) / routed) : 1
        switch (placement, hitRate) {
        case (.streamed, let given?): self.hitRate = Machine.Figure(given, .given)
        case (.streamed, nil):
            self.hitRate = Machine.Figure(HitRate.assumed(cachedShare: cachedShare), .assumed)
        default: self.hitRate = Machine.Figure(1, .assumed)
        }
        guard placement != .tooLarge else {
            (decode, prefillSeconds, prefillDiskSeconds) = (nil, nil, 0)
            return
        }
        if placement == .streamed, machine.diskSpeed == nil {
            throw .unmeasurable(
                what: "the speed of the disk", reason: "experts must be read from it and no file is there to read",
                remedy: "give --disk-speed")
        }
        let disk = placement == .streamed ? machine.diskSpeed?.value : nil
        decode = Self.decodeStep(
            shape, on: machine, context: context, concurrency: concurrency, misses: 1 - self.hitRate.value,
            diskSpeed: disk)
        (prefillSeconds, prefillDiskSeconds) = Self.prefill(
            shape, machine, context, missing: placement == .streamed ? 1 - cachedShare : 0, disk)
    }

    /// Where the weights go, and what memory is taken for.
    public static func place(
        _ shape: ModelShape, memory: Double, context: Int, concurrency: Int
    ) -> (placement: Placement, memory: Memory) {
        let available = memory > 0 ? Int(min(memory, 0x1p62)) : 0
        let system = min(1 << 30, available / 16)
        let cache = shape.cacheBytes(context: context, concurrency: concurrency)
        let weights = shape.residentBytes
        let routed = shape.bytes(.routed)
        let fixed = weights.addingSaturated(cache).addingSaturated(engineBytes)
        // The chosen experts of one layer at the least.
        let fewest = shape.expertBytes.multipliedSaturated(by: shape.expertsPerToken)
        let free = available - system
        let plan = { (experts: Int) in
            // The share that is the system's grows with memory up to 16 GiB.
            func machine(_ bytes: Int) -> Int {
                bytes.addingSaturated(min(1 << 30, bytes / 15))
            }
            return Memory(
                system: system, engine: engineBytes, cache: cache, weights: weights, experts: experts,
                least: machine(fixed.addingSaturated(fewest)), whole: machine(fixed.addingSaturated(routed)))
        }
        if fixed.addingSaturated(routed) <= free { return (.resident, plan(routed)) }
        if routed > 0, fixed.addingSaturated(fewest) <= free { return (.streamed, plan(free - fixed)) }
        return (.tooLarge, plan(0))
    }

    /// A step of decoding where the share of chosen experts that memory holds is known.
    /// - Parameters:
    ///   - misses: the share of chosen experts that are read from the disk.
    ///   - diskSpeed: bytes a second; nil where nothing is read from a disk.
    public static func decodeStep(
        _ shape: ModelShape, on machine: Machine, context: Int, concurrency: Int, misses: Double,
        diskSpeed disk: Double?
    ) -> Step {
        var step = Step()
        let sequences = Double(concurrency)
        let speed = machine.readSpeed(streaming: disk != nil)
        let perExpert =
            shape.expertsPerToken > 0 ? shape.distinctExperts(tokens: sequences) / Double(shape.expertsPerToken) : 0
        let expertBytes = Double(shape.activeExpertBytes) * perExpert
        step.weights = Double(shape.activeBytes - shape.activeExpertBytes) / speed
        step.experts = expertBytes / speed
        if let disk { step.disk = misses * expertBytes / disk }
        // The first sequence's products are part of the speed at which the kernels read; those of the others come besides.
        step.arithmetic = (sequences - 1) * 2 * shape.multipliedPerToken / (machine.operations.value * promptShare)
        step.attention = sequences * attention(shape, machine, context: Double(context))
        // Rows of a batch share the workers' meetings, and each has norms and a sampling of its own.
        step.other = Double(shape.layers) * layerSeconds * (0.5 + 0.5 * sequences)
        return step
    }

    /// Seconds of attention for one token that sees `context` others.
    private static func attention(_ shape: ModelShape, _ machine: Machine, context: Double) -> Double {
        if let seconds = machine.attention?.value { return Double(shape.layers) * context * seconds }
        let reading = context * Double(shape.cacheBytesPerToken) / machine.memorySpeed.value
        return max(reading, attentionProducts(shape, machine, context: context))
    }

    private static func attentionProducts(_ shape: ModelShape, _ machine: Machine, context: Double) -> Double {
        2 * context * Double(shape.layers) * Double(shape.heads) * Double(shape.attentionWidth)
            / (machine.operations.value * attentionShare)
    }

    /// What a pass over `sequences` sequences that see `context` tokens takes, in seconds; nil where the model does not fit.
    public func passSeconds(sequences: Int, context: Int) -> Double? {
        guard placement != .tooLarge else { return nil }
        let streams = placement == .streamed
        return Self.decodeStep(
            shape, on: machine, context: context, concurrency: sequences, misses: 1 - hitRate.value,
            diskSpeed: streams ? machine.diskSpeed?.value : nil
        ).total
    }

    private static func prefill(
        _ shape: ModelShape, _ machine: Machine, _ context: Int, missing: Double, _ disk: Double?
    ) -> (seconds: Double, disk: Double) {
        let chunk = Double(min(KernelProbe.chunk, context))
        let speed = machine.readSpeed(streaming: disk != nil)
        // The head is multiplied for the last token of a prompt alone.
        let head = shape.groups.filter { $0.part == .head }.reduce(0) {
            $0 + Double($1.rows) * Double($1.columns) * Double($1.read)
        }
        let products = 2 * (shape.multipliedPerToken - head) * chunk / (machine.operations.value * promptShare)
        let distinct = shape.distinctExperts(tokens: chunk)
        let experts =
            shape.expertsPerToken > 0
            ? Double(shape.activeExpertBytes) * distinct / Double(shape.expertsPerToken) : 0
        let reading = (Double(shape.activeBytes - shape.activeExpertBytes) + experts) / speed
        let attention = chunk * attentionProducts(shape, machine, context: Double(context) / 2)
        let fromDisk = disk.map { missing * experts / $0 } ?? 0
        let other = chunk * Double(shape.layers) * promptLayerSeconds
        return ((max(products, reading) + attention + other + fromDisk) / chunk, fromDisk / chunk)
    }

    private static func check(
        _ shape: ModelShape, _ machine: Machine, _ context: Int, _ concurrency: Int, _ hitRate: Double?
    ) throws(PlanError) {
        guard context >= 1, context <= shape.contextLength else {
            throw .invalid(
                field: "context", expected: "1 to the model's \(shape.contextLength) tokens", found: "\(context)")
        }
        guard (1...100_000).contains(concurrency) else {
            throw .invalid(field: "concurrency", expected: "1 to 100000", found: "\(concurrency)")
        }
        try PlanError.check("memory", machine.memory.value, in: 1e6...1e18)
        try PlanError.check("cores", machine.cores.value, in: 1...65536)
        try PlanError.check("memory speed", machine.memorySpeed.value, in: 1e6...1e18)
        try PlanError.check("efficiency", machine.efficiency.value, in: 1e-6...100)
        if let mapped = machine.mapped { try PlanError.check("mapped share", mapped.value, in: 1e-6...100) }
        try PlanError.check("operations", machine.operations.value, in: 1e6...1e24)
        if let disk = machine.diskSpeed { try PlanError.check("disk speed", disk.value, in: 1e3...1e18) }
        if let hitRate { try PlanError.check("hit rate", hitRate, in: 0...1) }
    }
}
