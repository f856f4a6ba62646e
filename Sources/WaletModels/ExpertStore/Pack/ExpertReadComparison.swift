import Foundation
import WaletFormats
import WaletTensor

/// How a model's routed experts are read from its files, beside how they would be where each is one stretch of a file.
///
/// ```swift
/// let comparison = try ExpertReadComparison(model, try model.packedLayout())
/// if !comparison.isPacked { print(try comparison.measure().gain) }
/// ```
public struct ExpertReadComparison: Sendable {
    /// What reading an expert takes, on average.
    public struct Pattern: Sendable, Equatable {
        /// Stretches of files that lie apart.
        public var stretches: Double
        /// Reads of at most a megabyte each.
        public var reads: Double
        /// Bytes in whole blocks, with what lies between an expert's parts.
        public var bytes: Double
    }

    /// Bytes of experts that came in a second, one figure a round; blocks' other bytes do not count.
    public struct Speeds: Sendable, Equatable {
        public var now: [Double]
        public var packed: [Double]
        /// Whether reads went past the page cache.
        public var isDirect: Bool
        /// `io_uring` or `threads`.
        public var reader: String

        public var medianNow: Double { Self.median(now) }
        public var medianPacked: Double { Self.median(packed) }
        /// How much faster packed experts are read: 0.1 for a tenth.
        public var gain: Double { medianPacked / medianNow - 1 }

        static func median(_ values: [Double]) -> Double {
            guard !values.isEmpty else { return .nan }
            let sorted = values.sorted()
            return (sorted[sorted.count / 2] + sorted[(sorted.count - 1) / 2]) / 2
        }
    }

    private struct Expert: Sendable {
        var plan: BlockPlan
        var bytes: Int
        /// As one stretch, with what fills up between its parts.
        var packedBytes: Int
    }

    /// Layers with experts, and the experts of all of them.
    public let layers: Int
    public let experts: Int
    /// Bytes of an expert, on average.
    public let expertBytes: Double
    public let now: Pattern
    public let packed: Pattern
    /// Whether each expert is one stretch already, which begins with its first block and is no longer than need be.
    public let isPacked: Bool
    /// The experts of each layer.
    private let members: [[Expert]]
    private let perToken: Int
    private let files: WeightFiles

    /// Looks up where each expert's parts lie; no weight is read.
    /// - Throws: ``FormatError`` for a model without experts, or whose files lack some.
    public init(_ model: ModelFolder, _ layout: PackedLayout) throws(FormatError) {
        let configuration = model.configuration
        guard let shape = configuration.experts else {
            throw FormatError(file: model.path, expected: "a model with routed experts", found: "a dense one")
        }
        let source = try model.weights()
        files = try WeightFiles(source.mappedFiles)
        perToken = shape.perToken
        var layers: [[Expert]] = []
        var (now, packed) = (Pattern(stretches: 0, reads: 0, bytes: 0), Pattern(stretches: 0, reads: 0, bytes: 0))
        var (isPacked, needed) = (true, 0)
        for layer in 0..<configuration.layers where configuration.isSparse(layer: layer) {
            var members: [Expert] = []
            for expert in 0..<shape.count {
                let prefix = "model.layers.\(layer).mlp.experts.\(expert)."
                func matrix(_ name: String, _ rows: Int, _ columns: Int) throws(FormatError) -> (String, WeightMatrix) {
                    (prefix + name, try source.matrix(prefix + name, rows: rows, columns: columns))
                }
                let plan = try BlockPlan(
                    [
                        matrix("gate_proj", shape.width, configuration.hiddenSize),
                        matrix("up_proj", shape.width, configuration.hiddenSize),
                        matrix("down_proj", configuration.hiddenSize, shape.width),
                    ], in: files)
                let bytes = plan.parts.reduce(0) { $0 + $1.count }
                let name = PackedLayout.ExpertName(layer: layer, expert: expert)
                let packedBytes = layout.experts[name] ?? bytes
                let blocks = (packedBytes + WeightFile.block - 1) / WeightFile.block * WeightFile.block
                needed += bytes
                now.add(plan.stretches.map(\.count))
                packed.add([blocks])
                let starts = plan.stretches.first?.offset == plan.parts.map(\.offset).min()
                isPacked = isPacked && plan.stretches.count == 1 && starts && plan.byteCount <= blocks
                members.append(Expert(plan: plan, bytes: bytes, packedBytes: packedBytes))
            }
            layers.append(members)
        }
        let count = layers.reduce(0) { $0 + $1.count }
        guard count > 0 else {
            throw FormatError(file: model.path, expected: "layers with routed experts", found: "none")
        }
        members = layers
        self.layers = layers.count
        self.isPacked = isPacked
        experts = count
        expertBytes = Double(needed) / Double(count)
        self.now = now.divided(by: count)
        self.packed = packed.divided(by: count)
    }

    /// Measures both patterns with the reader that runs use: the chosen experts of a layer at a time, as they lie, and as
    /// many stretches of a packed expert's size at random places of the same files. Rounds of the two alternate, as the speed
    /// of a disk that others use too changes.
    /// - Throws: ``FormatError`` where a read fails.
    public func measure(rounds: Int = 5, of duration: Duration = .milliseconds(300)) throws(FormatError) -> Speeds {
        let reader = StreamedWeights.makeReader()
        let isDirect = ReadProbe.isDirect(.direct, members[0].map(\.plan), files, reader)
        let room = members.joined().reduce(0) { max($0, $1.plan.byteCount, $1.packedBytes + WeightFile.block) }
        let memory = (0..<perToken).map { _ in
            UnsafeMutableRawPointer.allocate(byteCount: room, alignment: WeightFile.block)
        }
        defer { for block in memory { block.deallocate() } }
        var speeds = Speeds(now: [], packed: [], isDirect: isDirect, reader: reader.name)
        // The first reads of all wake the disk, and are no round.
        _ = try speed(false, duration / 3, reader, isDirect, memory)
        for round in 0..<rounds {
            for packed in round % 2 == 0 ? [false, true] : [true, false] {
                let speed = try speed(packed, duration, reader, isDirect, memory)
                if packed { speeds.packed.append(speed) } else { speeds.now.append(speed) }
            }
        }
        return speeds
    }

    private func speed(
        _ packed: Bool, _ duration: Duration, _ reader: any BlockReader, _ isDirect: Bool,
        _ memory: [UnsafeMutableRawPointer]
    ) throws(FormatError) -> Double {
        var transfer = BlockTransfer(files, reader, isDirect: isDirect)
        var useful = 0
        let start = ContinuousClock.now
        repeat {
            let layer = members[Int.random(in: members.indices)]
            for (slot, index) in layer.indices.shuffled().prefix(perToken).enumerated() {
                let plan = packed ? elsewhere(layer[index]) : layer[index].plan
                // Found in the page cache is not read.
                if !isDirect { ReadProbe.forget([plan], files) }
                useful += layer[index].bytes
                transfer.start(slot, "experts", plan, into: memory[slot])
            }
            while !transfer.isIdle, transfer.failure == nil { _ = transfer.finished(waits: true) }
            if let failure = transfer.failure {
                transfer.drain()
                throw failure
            }
        } while .now - start < duration
        return Double(useful) / max(1e-9, (.now - start) / .seconds(1))
    }

    /// One stretch of an expert's bytes at a random place of its file.
    private func elsewhere(_ expert: Expert) -> BlockPlan {
        // An expert in several files may be larger than the first of them.
        let file = expert.plan.stretches.max { $0.count < $1.count }?.file ?? 0
        let size = files.files[file].mapped.size
        let count = min(expert.packedBytes, size)
        let offset = Int.random(in: 0...(size - count) / WeightFile.block) * WeightFile.block
        return BlockPlan(file: file, offset: offset, count: count)
    }
}

extension ExpertReadComparison.Pattern {
    fileprivate mutating func add(_ stretches: [Int]) {
        self.stretches += Double(stretches.count)
        reads += stretches.reduce(0) { $0 + Double(($1 + BlockTransfer.largestRead - 1) / BlockTransfer.largestRead) }
        bytes += stretches.reduce(0) { $0 + Double($1) }
    }

    fileprivate func divided(by count: Int) -> Self {
        Self(stretches: stretches / Double(count), reads: reads / Double(count), bytes: bytes / Double(count))
    }
}
