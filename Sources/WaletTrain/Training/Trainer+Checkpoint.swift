// A trainer's whole state, to a checkpoint and back.

import CWaletAutodiff
import WaletAutodiff

extension Trainer {
    /// Brings what other processes hold or remember to the first one; called on all.
    func collect() throws(TrainingError) {
        try TrainingError.wrapping {
            try model.collectExperts()
            try optimizer.collectState(communicator)
        }
    }

    /// Gives the memory of what was collected back.
    func releaseCollected() {
        model.releaseExperts()
        optimizer.releaseState()
    }

    /// Copies weights, optimizer and router biases, so that training can go on while they are written. Of several processes
    /// the first one can, after ``collect()``.
    func snapshot(_ state: TrainingState) -> CheckpointSnapshot {
        func copied(_ name: String, _ tensor: Tensor) -> CheckpointArray {
            CheckpointArray(
                name: name, shape: tensor.shape,
                copying: UnsafeBufferPointer(start: tensor.pointer, count: tensor.count))
        }
        let weights = model.parameters.filter { $0.role != .routerBias }
        let biases = model.parameters.filter { $0.role == .routerBias }
        return CheckpointSnapshot(
            state: state,
            arrays: [
                .weights: weights.map { copied($0.name, $0.tensor) },
                .optimizer: optimizer.state.map { copied($0.name, $0.tensor) },
                .state: biases.map { copied($0.name, $0.tensor) },
            ])
    }

    /// Takes over a checkpoint's weights, optimizer and router biases.
    /// - Throws: ``TrainingError/stateDiffers(checkpoint:reason:)`` for one of another model; the model is then a mixture.
    func restore(_ checkpoint: Checkpoint) throws(TrainingError) {
        try model.restore(checkpoint)
        let arrays = Self.byName(checkpoint.snapshot.arrays[.optimizer] ?? [])
        let state = checkpoint.snapshot.state
        try optimizer.restore(steps: state.applied) { (name, count) throws(TrainingError) in
            guard let array = arrays[name], array.values.count == count else {
                throw .stateDiffers(checkpoint: checkpoint.path, reason: "its optimizer has no \(name) of \(count)")
            }
            return array.values
        }
        skippedInARow = state.skippedInARow
    }

    fileprivate static func byName(_ arrays: [CheckpointArray]) -> [String: CheckpointArray] {
        Dictionary(arrays.map { ($0.name, $0) }) { first, _ in first }
    }

    /// The name of the first parameter here with a value that is not finite; nil where there is none.
    var weightThatIsNotFinite: String? {
        model.parameters.first {
            $0.tensor.hasValues && !wa_square_sum($0.tensor.pointer, Int64($0.tensor.count)).isFinite
        }?.name
    }
}

extension TrainableModel {
    /// Takes over the weights and router biases of a checkpoint.
    /// - Throws: ``TrainingError/stateDiffers(checkpoint:reason:)`` for one of another model; this is then a mixture.
    public func restore(_ checkpoint: Checkpoint) throws(TrainingError) {
        let snapshot = checkpoint.snapshot
        let arrays = Trainer.byName((snapshot.arrays[.weights] ?? []) + (snapshot.arrays[.state] ?? []))
        for parameter in parameters {
            guard let array = arrays[parameter.name], array.shape == parameter.tensor.shape else {
                throw .stateDiffers(
                    checkpoint: checkpoint.path,
                    reason: "expected \(parameter.name) \(parameter.tensor.shape), found "
                        + (arrays[parameter.name].map { "\($0.shape)" } ?? "nothing"))
            }
            // Experts of other processes have no place here.
            guard parameter.tensor.hasValues else { continue }
            parameter.tensor.pointer.update(from: array.values, count: array.values.count)
        }
    }
}
