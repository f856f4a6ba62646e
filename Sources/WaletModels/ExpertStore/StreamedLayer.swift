import WaletFormats
import WaletTensor

/// The experts of one layer: where they lie in the files, and, of those that are in memory, their matrices.
final class StreamedLayer: @unchecked Sendable {
    // Unchecked: `experts` is written and read by whoever is in ``ExpertStore/bring(_:_:compute:)``, under its lock; the
    // place is set once, before any pass.
    let count: Int
    let plans: [BlockPlan]
    /// Bytes of memory that holds any of them.
    let slabBytes: Int
    /// The experts, `[count]`: those that are in memory can be computed with, the others not.
    let experts: UnsafeMutablePointer<GatedFeedForward>
    private let prefix: String
    private(set) var slabClass = 0
    /// The first one's number among those of its class.
    private(set) var firstExpert = 0
    private(set) var store: ExpertStore?

    /// - Parameters:
    ///   - experts: views of the mapped files, of which nothing is read.
    ///   - prefix: of the experts' names, with the dot.
    init(_ experts: [GatedFeedForward], _ prefix: String, in files: WeightFiles) throws(FormatError) {
        var plans: [BlockPlan] = []
        plans.reserveCapacity(experts.count)
        for (index, expert) in experts.enumerated() {
            let name = "\(prefix)\(index)."
            plans.append(
                try BlockPlan(
                    [
                        (name + "gate_proj", expert.gate.matrix), (name + "up_proj", expert.up.matrix),
                        (name + "down_proj", expert.down.matrix),
                    ], in: files))
        }
        self.plans = plans
        count = experts.count
        slabBytes = Self.slabBytes(plans.reduce(0) { max($0, $1.byteCount) })
        self.prefix = prefix
        self.experts = .allocate(capacity: max(1, experts.count))
        self.experts.initialize(from: experts, count: experts.count)
    }

    deinit {
        experts.deinitialize(count: count)
        experts.deallocate()
    }

    /// A slab for so many bytes: rounded up by at most a sixty-fourth, so that layers whose experts begin elsewhere in a block
    /// share slabs of one size.
    private static func slabBytes(_ bytes: Int) -> Int {
        var unit = WeightFile.block
        while unit * 128 <= bytes { unit *= 2 }
        return (bytes + unit - 1) / unit * unit
    }

    func name(_ expert: Int) -> String { "\(prefix)\(expert)" }

    func place(_ slabClass: Int, firstExpert: Int) {
        self.slabClass = slabClass
        self.firstExpert = firstExpert
    }

    func attach(to store: ExpertStore) { self.store = store }

    /// Says that an expert's bytes lie in memory now.
    func put(_ expert: Int, at base: UnsafeRawPointer, owner: AnyObject) {
        let old = experts[expert]
        let matrices = plans[expert].matrices(
            [old.gate.matrix, old.up.matrix, old.down.matrix], at: base, owner: owner)
        experts[expert] = GatedFeedForward(
            gate: old.gate.with(matrices[0]), up: old.up.with(matrices[1]), down: old.down.with(matrices[2]))
    }
}
