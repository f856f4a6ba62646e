import CWaletAutodiff
import WaletAutodiff
import WaletTensor

/// Changes a model's parameters by their gradients.
///
/// ```swift
/// let optimizer = Optimizer(model, .muonClip(tau: 100))
/// let report = optimizer.step(rate: schedule.rate(at: step), observed)
/// ```
public final class Optimizer {
    public enum Rule: Sendable, Equatable {
        /// AdamW for everything.
        case adamW
        /// Muon for the matrices between hidden states, AdamW for embedding, head, norms and biases.
        case muon
        /// Muon, then QK-Clip (Kimi K2, arXiv 2507.20534, algorithm 1).
        case muonClip(tau: Float)
    }

    public struct Settings: Sendable, Equatable {
        /// Decoupled weight decay, times the rate, on all parameters.
        public var decay: Float = 0.1
        /// Muon's momentum, Nesterov's way.
        public var momentum: Float = 0.95
        public var beta1: Float = 0.9
        public var beta2: Float = 0.95
        public var epsilon: Float = 1e-8
        /// The largest norm of all gradients together; nil for no limit.
        public var gradientLimit: Float? = 1
        /// By how much a router's bias moves against the load of its experts; 0 for not at all.
        public var biasRate: Float = 0.001

        public init() {}
    }

    /// What a step did.
    public struct Report: Sendable, Equatable {
        /// Of all gradients, before they were limited.
        public var gradientNorm: Double
        /// How many heads of each layer QK-Clip made smaller; empty for a rule without it. [layers]
        public var clippedHeads: [Int]
        /// False where the gradients were not finite: nothing was changed then.
        public var isApplied: Bool
        /// The first parameter whose gradient was not finite; nil where all were.
        public var notFinite: String?
    }

    /// A parameter with what the optimizer remembers of it.
    private struct Slot {
        let parameter: Parameter
        let usesMuon: Bool
        /// Muon's momentum, or AdamW's mean of gradients; of the parameter's shape. Without values where another process
        /// updates the parameter.
        let first: Tensor
        /// AdamW's mean of squares.
        let second: Tensor?

        /// About how long an update takes. AdamW's work on a number is that of some 64 terms of a product.
        var cost: Int { first.count * (usesMuon ? min(first.rows, first.columns) : 64) }
    }

    public let rule: Rule
    public let settings: Settings
    /// Steps that were applied.
    public private(set) var steps = 0
    private let model: TrainableModel
    private let slots: [Slot]
    /// Which process updates what, and which of them this is.
    private let ownership: Ownership
    private let rank: Int
    /// Muon's matrices of this process, those that take longest first.
    private let matrices: [Slot]
    /// Pieces of AdamW's parameters of this process, in numbers of floats.
    private let pieces: [(slot: Slot, range: Range<Int>)]
    private let scratch: Int

    /// - Parameters:
    ///   - rank: which process this is, of `ranks` that train the model together.
    ///   - ranks: each updates its part of the parameters, and remembers what belongs to these only.
    public init(
        _ model: TrainableModel, _ rule: Rule, _ settings: Settings = Settings(), rank: Int = 0, ranks: Int = 1
    ) {
        precondition(rank >= 0 && rank < ranks)
        self.model = model
        self.rule = rule
        self.settings = settings
        self.rank = rank
        func empty(_ shape: [Int]) -> Tensor {
            // Memory that nobody has written to is none yet.
            let tensor = Tensor(shape, needsGradient: false)
            tensor.releaseValues()
            return tensor
        }
        slots = model.parameters.filter { $0.role != .routerBias }.map {
            let usesMuon = rule != .adamW && $0.role == .matrix
            return Slot(
                parameter: $0, usesMuon: usesMuon, first: empty($0.tensor.shape),
                second: usesMuon ? nil : empty($0.tensor.shape))
        }
        ownership = Ownership(costs: slots.map(\.cost), holders: slots.map(\.parameter.holder), ranks: ranks)
        let owned = ownership.owned[rank].map { [slots] in slots[$0] }
        for tensor in owned.flatMap({ [$0.first] + ($0.second.map { [$0] } ?? []) }) {
            tensor.holdValues()
            tensor.pointer.update(repeating: 0, count: tensor.count)
        }
        matrices = owned.filter(\.usesMuon).enumerated().sorted {
            ($1.element.cost, $0.offset) < ($0.element.cost, $1.offset)
        }.map(\.element)
        pieces = owned.filter { !$0.usesMuon }.flatMap { slot in
            stride(from: 0, to: slot.first.count, by: 1 << 16).map {
                (slot, $0..<min(slot.first.count, $0 + 1 << 16))
            }
        }
        scratch = matrices.reduce(0) {
            max($0, $1.first.count + NewtonSchulz.scratch(rows: $1.first.rows, columns: $1.first.columns))
        }
    }

    /// One step by the gradients that the parameters have; a parameter without one has a gradient of zeros. Gradients whose
    /// norm is not finite would spoil every weight: then nothing is changed, and the report says so.
    /// - Parameters:
    ///   - rate: the learning rate.
    ///   - observed: what the passes since the last step saw: QK-Clip and the routers' biases follow it.
    /// - Precondition: this process is alone.
    public func step(rate: Float, _ observed: StepObservation) -> Report {
        precondition(ownership.owned.count == 1)
        fillGradients()
        var report = update(rate, squares: gradientSquares())
        if report.isApplied { report.clippedHeads = follow(observed) }
        return report
    }

    /// One step by the sum of the gradients of all processes. Each updates the parameters that it owns and sends them to
    /// the others.
    /// - Parameter observed: what the passes of all processes saw, together.
    /// - Throws: ``CommunicationError`` where another process is lost; the parameters are then a mixture, not to be used.
    public func step(
        rate: Float, _ observed: StepObservation, _ communicator: Communicator
    ) throws(CommunicationError) -> Report {
        precondition(communicator.rank == rank && communicator.size == ownership.owned.count)
        if communicator.size == 1 { return step(rate: rate, observed) }
        fillGradients()
        try ownership.reduce(
            slots.map { slot in
                let gradient = slot.parameter.tensor.gradient
                return UnsafeMutableBufferPointer(start: gradient, count: gradient == nil ? 0 : slot.first.count)
            }, communicator, model.arena.pool)
        // Those of others' parameters are zeros here, which change no sum.
        var report = update(rate, squares: try communicator.sum(gradientSquares()))
        guard report.isApplied else { return report }
        try ownership.share(slots.map(\.parameter.tensor.buffer), communicator)
        report.clippedHeads = follow(observed)
        return report
    }

    /// Zeros where nothing has reached a gradient.
    private func fillGradients() {
        for slot in slots where slot.parameter.tensor.hasValues { slot.parameter.tensor.zeroedGradient() }
    }

    /// The sum of squares of each gradient of this process's parameters; 0 for the others.
    private func gradientSquares() -> [Double] {
        let owned = ownership.owned[rank]
        var result = [Double](repeating: 0, count: slots.count)
        result.withUnsafeMutableBufferPointer { result in
            model.arena.pool.run(owned.count) { task, _ in
                let tensor = slots[owned[task]].parameter.tensor
                if let gradient = tensor.gradient { result[owned[task]] = wa_square_sum(gradient, Int64(tensor.count)) }
            }
        }
        return result
    }

    /// Updates this process's parameters, unless the gradients are not finite.
    /// - Parameter squares: sums of squares of all gradients.
    private func update(_ rate: Float, squares: [Double]) -> Report {
        let norm = squares.reduce(0, +).squareRoot()
        guard norm.isFinite else {
            let place = squares.firstIndex { !$0.isFinite }
            return Report(
                gradientNorm: norm, clippedHeads: [], isApplied: false,
                notFinite: place.map { slots[$0].parameter.name })
        }
        // As torch.nn.utils.clip_grad_norm_ has it.
        if let limit = settings.gradientLimit, norm + 1e-6 > Double(limit) {
            let factor = Float(Double(limit) / (norm + 1e-6))
            let owned = ownership.owned[rank]
            model.arena.pool.run(owned.count) { task, _ in
                let tensor = slots[owned[task]].parameter.tensor
                if let gradient = tensor.gradient { wa_scale(gradient, factor, Int64(tensor.count)) }
            }
        }
        steps += 1
        runMuon(rate)
        runAdamW(rate)
        return Report(gradientNorm: norm, clippedHeads: [], isApplied: true)
    }

    /// What follows from attention and experts rather than from gradients.
    /// - Returns: how many heads of each layer were clipped.
    private func follow(_ observed: StepObservation) -> [Int] {
        var clipped: [Int] = []
        if case .muonClip(let tau) = rule { clipped = model.clipHeads(observed.maxLogits, tau: tau) }
        if settings.biasRate != 0 { model.balanceRouters(observed.expertCounts, rate: settings.biasRate) }
        return clipped
    }

    private func runMuon(_ rate: Float) {
        let pool = model.arena.pool
        pool.reserve(scratch: scratch)
        let momentum = settings.momentum
        pool.run(matrices.count) { task, worker in
            let slot = matrices[task]
            let (rows, columns, count) = (slot.first.rows, slot.first.columns, Int64(slot.first.count))
            let tensor = slot.parameter.tensor
            let update = pool.scratch(of: worker)
            // A mean rather than Moonlight's sum: the same direction, and torch.optim.Muon's state.
            wa_blend(slot.first.pointer, momentum, tensor.gradient!, 1 - momentum, count)
            update.update(from: tensor.gradient!, count: slot.first.count)
            wa_blend(update, 1 - momentum, slot.first.pointer, momentum, count)
            NewtonSchulz.orthogonalize(
                update, rows: rows, columns: columns, scratch: update + slot.first.count)
            // An orthogonal matrix has an RMS of 1 / sqrt(max(rows, columns)); 0.2 is that of AdamW's updates.
            let size = 0.2 * Float(max(rows, columns)).squareRoot()
            wa_blend(tensor.pointer, 1 - rate * settings.decay, update, -rate * size, count)
        }
    }

    private func runAdamW(_ rate: Float) {
        let correction1 = 1 - power(settings.beta1, steps)
        let correction2 = 1 - power(settings.beta2, steps)
        model.arena.pool.run(pieces.count) { task, _ in
            let (slot, range) = pieces[task]
            let (tensor, first) = (slot.parameter.tensor, range.lowerBound)
            wa_adamw(
                tensor.pointer + first, tensor.gradient! + first, slot.first.pointer + first,
                slot.second!.pointer + first, Int64(range.count), rate, settings.beta1, settings.beta2,
                settings.epsilon, 1 - rate * settings.decay, correction1, correction2)
        }
    }

    private func power(_ base: Float, _ exponent: Int) -> Float {
        var (result, factor, rest) = (1.0, Double(base), exponent)
        while rest > 0 {
            if rest & 1 == 1 { result *= factor }
            factor *= factor
            rest >>= 1
        }
        return Float(result)
    }
}

extension Optimizer {
    /// Brings ``state`` from all processes to the first one, for a checkpoint; called on all.
    func collectState(_ communicator: Communicator) throws(CommunicationError) {
        guard communicator.size > 1 else { return }
        if communicator.rank == 0 { for (_, tensor) in state { tensor.holdValues() } }
        try PackedArrays.gather(slots.map(\.first.buffer), ownership.owned, on: 0, communicator)
        try PackedArrays.gather(
            slots.map { $0.second?.buffer ?? .init(start: nil, count: 0) }, ownership.owned, on: 0, communicator)
    }

    /// Gives the memory of what was collected back.
    func releaseState() {
        for (slot, owner) in zip(slots, ownership.owners) where owner != rank {
            slot.first.releaseValues()
            slot.second?.releaseValues()
        }
    }

    /// Everything that the optimizer remembers beside ``steps``, in a fixed order: the arrays themselves, which a step
    /// changes; those of parameters that other processes update have no values. With equal arrays and steps, equal gradients
    /// make equal parameters, bit for bit.
    public var state: [(name: String, tensor: Tensor)] {
        slots.flatMap { slot in
            let name = slot.parameter.name
            return [(slot.usesMuon ? "momentum." + name : "mean." + name, slot.first)]
                + (slot.second.map { [("square." + name, $0)] } ?? [])
        }
    }

    /// Goes on from a state that was saved.
    /// - Parameter array: the saved values of a name; as many as the array of that name in ``state`` has.
    /// - Throws: what `array` throws; the state is then a mixture, not to be used.
    public func restore<Failure: Error>(
        steps: Int, _ array: (_ name: String, _ count: Int) throws(Failure) -> [Float]
    ) throws(Failure) {
        for (name, tensor) in state {
            let values = try array(name, tensor.count)
            precondition(values.count == tensor.count, "\(name) has \(tensor.count) values")
            if tensor.hasValues { tensor.pointer.update(from: values, count: values.count) }
        }
        self.steps = steps
    }
}
