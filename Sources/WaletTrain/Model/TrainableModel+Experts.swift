import WaletAutodiff

extension TrainableModel {
    /// Brings the experts of all processes to the first one, for whoever reads the whole model there; called on all.
    func collectExperts() throws(CommunicationError) {
        guard let exchange else { return }
        if exchange.rank == 0 { for parameter in parameters { parameter.tensor.holdValues() } }
        let members = (0..<exchange.size).map { rank in parameters.indices.filter { parameters[$0].holder == rank } }
        try PackedArrays.gather(parameters.map(\.tensor.buffer), members, on: 0, exchange.communicator)
    }

    /// Gives the memory of experts back that were collected.
    func releaseExperts() {
        guard let exchange else { return }
        for parameter in parameters where parameter.holder.map({ $0 != exchange.rank }) ?? false {
            parameter.tensor.releaseValues()
        }
    }
}

extension Tensor {
    /// The values; nothing where they are not in memory.
    var buffer: UnsafeMutableBufferPointer<Float> {
        hasValues ? UnsafeMutableBufferPointer(start: pointer, count: count) : .init(start: nil, count: 0)
    }
}
