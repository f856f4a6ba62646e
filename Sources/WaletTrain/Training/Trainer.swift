// One optimizer step: forward and backward over the parts of a batch, the sum over all processes, the update.

import WaletAutodiff

/// What one step came to, over the whole batch and all processes.
public struct StepOutcome: Sendable {
    /// Mean of -ln p(target), in nats.
    public var loss: Double
    /// The same in bits a byte of text; not a number where no target stands for text, or no ``TokenBytes`` were given.
    public var bitsPerByte: Double
    /// The prediction layer's mean; nil without one.
    public var predictionLoss: Double?
    /// Sum of the layers' balance losses, times alpha.
    public var balanceLoss: Double
    /// Of all gradients, before they were limited; not a number where the loss was not finite.
    public var gradientNorm: Double
    /// What attention and routers did.
    public var observed: StepObservation
    /// How many heads of each layer QK-Clip made smaller; empty without it. [layers]
    public var clippedHeads: [Int]
    /// False where loss or gradients were not finite: no weight was changed then.
    public var isApplied: Bool
    /// What was found not finite first; nil where all was.
    public var notFinite: String?
    /// What the step took of communication: bytes of all processes, calls and seconds of this one.
    public var traffic = CommunicationTraffic()
}

/// Takes steps: the part that pretraining, fine-tuning and reinforcement learning share.
///
/// ```swift
/// let trainer = Trainer(model, optimizer)
/// let outcome = try trainer.step(rate: schedule.rate(at: step), batches)    // gradients of all batches add up
/// ```
///
/// A step whose loss or gradients are not finite changes nothing and is counted; too many in a row are an error. With equal
/// weights, optimizer state and batches a step makes equal weights, bit for bit.
public final class Trainer {
    public let model: TrainableModel
    public let optimizer: Optimizer
    public let communicator: Communicator
    /// Weights of the losses beside cross-entropy. ``TrainingObjective/share`` is set for each batch.
    public var objective = TrainingObjective()
    /// What is kept of each layer for the way back.
    public var keeping = Tape.Keeping.everything
    /// For bits per byte; nil to leave them out.
    public var tokenBytes: TokenBytes?
    /// Shows passes the routed experts as they will be stored; nil to show them as they are.
    var quantization: ExpertQuantization?
    /// Steps in a row that may be not finite before one more is an error.
    public var skipLimit = 3
    /// Steps in a row that were not finite until now.
    public internal(set) var skippedInARow = 0

    /// - Parameters:
    ///   - optimizer: made for this process of as many as the communicator has.
    public init(_ model: TrainableModel, _ optimizer: Optimizer, communicator: Communicator = Communicator()) {
        self.model = model
        self.optimizer = optimizer
        self.communicator = communicator
    }

    /// One step over batches, whose gradients are added up: each counts by the part that it has of all targets.
    /// - Parameters:
    ///   - rate: the learning rate.
    ///   - batches: this process's, at least one.
    ///   - step: number of the step, for errors.
    /// - Throws: ``TrainingError/notFinite(step:inARow:place:)``, ``TrainingError/communication(_:)``.
    public func step(rate: Double, _ batches: [TrainingBatch], step: Int = 0) throws(TrainingError) -> StepOutcome {
        let before = communicator.traffic
        let targets = try sum([batches.reduce(0) { $0 + Double($1.targetCount) }])[0]
        return try take(rate, batches.count, step, since: before) { part, tape in
            let batch = batches[part]
            var objective = objective
            objective.share = Float(Double(batch.targetCount) / max(1, targets))
            return (model.forward(tape, batch, objective, keeping: keeping), batch, Double(objective.share))
        }
    }

    /// One step with a forward pass of one's own.
    /// - Parameters:
    ///   - parts: this process's passes, at least one.
    ///   - forward: runs one of them on a tape; gives what it found, its batch, and the part that it has of the whole, by
    ///     which its gradients are multiplied already.
    public func step(
        rate: Double, parts: Int, step: Int = 0,
        _ forward: (_ part: Int, _ tape: Tape) -> (pass: TrainingPass, batch: TrainingBatch, share: Double)
    ) throws(TrainingError) -> StepOutcome {
        try take(rate, parts, step, since: communicator.traffic, forward)
    }

    private func take(
        _ rate: Double, _ parts: Int, _ step: Int, since before: CommunicationTraffic,
        _ forward: (_ part: Int, _ tape: Tape) -> (pass: TrainingPass, batch: TrainingBatch, share: Double)
    ) throws(TrainingError) -> StepOutcome {
        precondition(parts > 0)
        model.forgetGradients()
        var observed = StepObservation()
        var sums = Sums()
        quantization?.round()
        // Also where a process is lost on the way.
        defer { quantization?.restore() }
        for part in 0..<parts {
            let tape = Tape(model.arena)
            let (pass, batch, share) = forward(part, tape)
            observed.add(pass)
            sums.add(pass, batch, share: share, tokenBytes)
            // Gradients that are wasted: what is to come cannot mend a loss that is not finite. But rows of other
            // processes may wait for the experts here.
            if pass.loss.isFinite || model.exchange != nil { tape.backward() }
            try checkExchange()
        }
        quantization?.restore()
        sums = Sums(try sum(sums.values), hasPrediction: sums.hasPrediction)
        observed = try reduce(observed)
        var outcome = sums.outcome(observed)
        if sums.loss.isFinite {
            let report = try TrainingError.wrapping {
                try optimizer.step(rate: Float(rate), observed, communicator)
            }
            outcome.gradientNorm = report.gradientNorm
            outcome.clippedHeads = report.clippedHeads
            if !report.isApplied {
                outcome.notFinite = report.notFinite.map { "the gradient of \($0)" } ?? "the gradients' norm"
            }
        } else {
            outcome.notFinite = "the loss"
        }
        outcome.traffic = try total(communicator.traffic - before)
        if let place = outcome.notFinite {
            outcome.isApplied = false
            try noteSkipped(place, step)
        } else {
            skippedInARow = 0
        }
        return outcome
    }

    private func noteSkipped(_ place: String, _ step: Int) throws(TrainingError) {
        skippedInARow += 1
        guard skippedInARow <= skipLimit else {
            throw .notFinite(step: step, inARow: skippedInARow, place: place)
        }
    }
}

/// What adds up over the parts of a step.
private struct Sums {
    /// Loss, the prediction layer's, balance, nats of text in bits, bytes of text.
    private(set) var values = [Double](repeating: 0, count: 5)
    private(set) var hasPrediction = false

    init() {}

    init(_ values: [Double], hasPrediction: Bool) {
        self.values = values
        self.hasPrediction = hasPrediction
    }

    var loss: Double { values[0] }

    mutating func add(_ pass: TrainingPass, _ batch: TrainingBatch, share: Double, _ bytes: TokenBytes?) {
        // A part without targets has no mean.
        if share > 0 { values[0] += share * pass.loss }
        if let loss = pass.predictionLoss {
            values[1] += share * loss
            hasPrediction = true
        }
        values[2] += pass.balanceLoss
        guard let bytes else { return }
        let text = bytes.sums(losses: pass.tokenLosses, targets: batch.targets)
        values[3] += text.bits
        values[4] += Double(text.bytes)
    }

    func outcome(_ observed: StepObservation) -> StepOutcome {
        StepOutcome(
            loss: values[0], bitsPerByte: values[4] > 0 ? values[3] / values[4] : .nan,
            predictionLoss: hasPrediction ? values[1] : nil, balanceLoss: values[2], gradientNorm: .nan,
            observed: observed, clippedHeads: [], isApplied: true, notFinite: nil)
    }
}
