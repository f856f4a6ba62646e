// What the processes of a run tell each other in a step.

import WaletAutodiff

extension Trainer {
    /// Sums of a few numbers over all processes.
    func sum(_ values: [Double]) throws(TrainingError) -> [Double] {
        var values = values
        try TrainingError.wrapping { try values.withUnsafeMutableBufferPointer { try communicator.sum($0) } }
        return values
    }

    /// The largest of each number over all processes.
    func maximum(_ values: [Float]) throws(TrainingError) -> [Float] {
        var values = values
        try TrainingError.wrapping { try values.withUnsafeMutableBufferPointer { try communicator.maximum($0) } }
        return values
    }

    /// Gradients become those of all processes; one that has none has a gradient of zeros.
    func reduceGradients() throws(TrainingError) {
        guard communicator.size > 1 else { return }
        try TrainingError.wrapping {
            for parameter in model.parameters where parameter.role != .routerBias {
                let gradient = parameter.tensor.zeroedGradient()
                try communicator.sum(UnsafeMutableBufferPointer(start: gradient, count: parameter.tensor.count))
            }
        }
    }

    /// The largest scores and the sums of loads of all processes.
    func reduce(_ observed: StepObservation) throws(TrainingError) -> StepObservation {
        guard communicator.size > 1 else { return observed }
        let logits = try maximum(observed.maxLogits.flatMap { $0 })
        let layers = observed.expertCounts.keys.sorted()
        let counts = try sum(layers.flatMap { observed.expertCounts[$0, default: []].map { Double($0) } })
        return observed.replacing(maxLogits: logits, expertCounts: counts, ofLayers: layers)
    }
}
