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
    }

    /// A parameter with what the optimizer remembers of it.
    private struct Slot {
        let parameter: Parameter
        let usesMuon: Bool
        /// Muon's momentum, or AdamW's mean of gradients; of the parameter's shape.
        let first: Tensor
        /// AdamW's mean of squares.
        let second: Tensor?
    }

    public let rule: Rule
    public let settings: Settings
    /// Steps that were applied.
    public private(set) var steps = 0
    private let model: TrainableModel
    private let slots: [Slot]
    /// Muon's matrices, those that take longest first.
    private let matrices: [Slot]
    /// Pieces of AdamW's parameters, in numbers of floats.
    private let pieces: [(slot: Slot, range: Range<Int>)]
    private let scratch: Int

    public init(_ model: TrainableModel, _ rule: Rule, _ settings: Settings = Settings()) {
        self.model = model
        self.rule = rule
        self.settings = settings
        func zeros(_ shape: [Int]) -> Tensor {
            let tensor = Tensor(shape, needsGradient: false)
            tensor.pointer.update(repeating: 0, count: tensor.count)
            return tensor
        }
        slots = model.parameters.filter { $0.role != .routerBias }.map {
            let usesMuon = rule != .adamW && $0.role == .matrix
            return Slot(
                parameter: $0, usesMuon: usesMuon, first: zeros($0.tensor.shape),
                second: usesMuon ? nil : zeros($0.tensor.shape))
        }
        func cost(_ slot: Slot) -> Int {
            let (rows, columns) = (slot.first.rows, slot.first.columns)
            return rows * columns * min(rows, columns)
        }
        matrices = slots.filter(\.usesMuon).enumerated().sorted {
            (cost($1.element), $0.offset) < (cost($0.element), $1.offset)
        }.map(\.element)
        pieces = slots.filter { !$0.usesMuon }.flatMap { slot in
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
    public func step(rate: Float, _ observed: StepObservation) -> Report {
        for slot in slots { slot.parameter.tensor.zeroedGradient() }
        let norm = limitGradients()
        guard norm.isFinite else { return Report(gradientNorm: norm, clippedHeads: [], isApplied: false) }
        steps += 1
        runMuon(rate)
        runAdamW(rate)
        var clipped: [Int] = []
        if case .muonClip(let tau) = rule { clipped = model.clipHeads(observed.maxLogits, tau: tau) }
        if settings.biasRate != 0 { model.balanceRouters(observed.expertCounts, rate: settings.biasRate) }
        return Report(gradientNorm: norm, clippedHeads: clipped, isApplied: true)
    }

    /// The norm of all gradients together; they are scaled down where it passes the limit.
    private func limitGradients() -> Double {
        let pool = model.arena.pool
        var sums = [Double](repeating: 0, count: slots.count)
        sums.withUnsafeMutableBufferPointer { sums in
            pool.run(slots.count) { task, _ in
                let tensor = slots[task].parameter.tensor
                sums[task] = wa_square_sum(tensor.gradient!, Int64(tensor.count))
            }
        }
        let norm = sums.reduce(0, +).squareRoot()
        // As torch.nn.utils.clip_grad_norm_ has it.
        if let limit = settings.gradientLimit, norm.isFinite, norm + 1e-6 > Double(limit) {
            let factor = Float(Double(limit) / (norm + 1e-6))
            pool.run(slots.count) { task, _ in
                let tensor = slots[task].parameter.tensor
                wa_scale(tensor.gradient!, factor, Int64(tensor.count))
            }
        }
        return norm
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
    /// The name of the first parameter whose gradient is not finite; nil where all are.
    public var parameterWithoutFiniteGradient: String? {
        slots.first { slot in
            let tensor = slot.parameter.tensor
            return tensor.gradient.map { !wa_square_sum($0, Int64(tensor.count)).isFinite } ?? false
        }?.parameter.name
    }

    /// Everything that the optimizer remembers beside ``steps``, in a fixed order: the arrays themselves, which a step
    /// changes. With equal arrays and steps, equal gradients make equal parameters, bit for bit.
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
            tensor.pointer.update(from: values, count: values.count)
        }
        self.steps = steps
    }
}
