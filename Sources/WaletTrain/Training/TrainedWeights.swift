// A model that learns, as the engine's transformer reads weights: nothing is copied but norms and biases.

import WaletAutodiff
import WaletFormats
import WaletTensor

/// The parameters of a model as a source of weights, for passes with a cache between two steps.
final class TrainedWeights: WeightSource, @unchecked Sendable {
    // Unchecked: a source is read by the thread that trains, between two steps, and by no other.
    private let tensors: [String: Tensor]

    init(_ model: TrainableModel) {
        tensors = Dictionary(uniqueKeysWithValues: model.parameters.map { ($0.name, $0.tensor) })
    }

    func matrix(_ module: String, rows: Int, columns: Int) throws(FormatError) -> WeightMatrix {
        let tensor = try tensor(module + ".weight", [rows, columns])
        return WeightMatrix(packing: .f32, rows: rows, columns: columns, data: tensor.pointer, owner: tensor)
    }

    func vector(_ name: String, count: Int) throws(FormatError) -> FloatBuffer {
        let tensor = try tensor(name, [count])
        let buffer = FloatBuffer(count: count)
        buffer.pointer.update(from: tensor.pointer, count: count)
        return buffer
    }

    private func tensor(_ name: String, _ shape: [Int]) throws(FormatError) -> Tensor {
        guard let tensor = tensors[name], tensor.shape == shape else {
            throw FormatError(
                file: "the trained model", field: name, expected: "\(shape)",
                found: tensors[name].map { "\($0.shape)" } ?? "nothing")
        }
        return tensor
    }

    func hasMatrix(_ module: String) -> Bool { tensors[module + ".weight"].map { $0.shape.count == 2 } ?? false }
    func hasVector(_ name: String) -> Bool { tensors[name].map { $0.shape.count == 1 } ?? false }
    func checkIntact() {}
}
