// What the processes of a run tell each other in a step, beside gradients and parameters.

extension Trainer {
    /// Sums of a few numbers over all processes.
    func sum(_ values: [Double]) throws(TrainingError) -> [Double] {
        try TrainingError.wrapping { try communicator.sum(values) }
    }

    /// The largest of each number over all processes.
    func maximum(_ values: [Float]) throws(TrainingError) -> [Float] {
        try TrainingError.wrapping { try communicator.maximum(values) }
    }

    /// The largest scores and the sums of loads of all processes.
    func reduce(_ observed: StepObservation) throws(TrainingError) -> StepObservation {
        guard communicator.size > 1 else { return observed }
        let logits = try maximum(observed.maxLogits.flatMap { $0 })
        let layers = observed.expertCounts.keys.sorted()
        let counts = try sum(layers.flatMap { observed.expertCounts[$0, default: []].map { Double($0) } })
        return observed.replacing(maxLogits: logits, expertCounts: counts, ofLayers: layers)
    }

    /// The same with the bytes of all processes.
    func total(_ own: CommunicationTraffic) throws(TrainingError) -> CommunicationTraffic {
        var all = own
        all.bytes = Int(try sum([Double(own.bytes)])[0])
        return all
    }

    /// - Throws: ``CommunicationError`` where rows did not come back from the processes that hold their experts.
    func checkExchange() throws(TrainingError) { try TrainingError.wrapping { try model.exchange?.check() } }
}
