// Training that sees routed experts as they will be stored: in 4 bits.

import CWaletAutodiff
import WaletAutodiff
import WaletTensor

/// Puts weights of routed experts, rounded to what compressed-tensors stores in 4 bits with a scale for each 32, in the
/// place of those that are trained, and these back.
///
/// A pass in between computes with the rounded weights, and its gradients are added to the weights that are trained: the
/// straight-through estimate (Bengio and others, arXiv 1308.3432), as Kimi K2 Thinking was trained.
final class ExpertQuantization {
    static let group = 32
    private let experts: [Tensor]
    /// What is trained, while rounded weights stand in its place.
    private var trained: [FloatBuffer] = []
    private(set) var isRounded = false

    /// - Throws: ``TrainingError/recipe(_:)`` for a model without experts, or with rows that are no whole groups.
    init(_ model: TrainableModel) throws(TrainingError) {
        let experts = model.parameters.filter(\.isRoutedExpert)
        guard !experts.isEmpty else {
            throw .recipe(.inconsistent(key: "quantization.experts", reason: "a model with model.experts 0 has none"))
        }
        for parameter in experts where parameter.tensor.shape[1] % Self.group != 0 {
            throw .recipe(
                .inconsistent(
                    key: "quantization.experts",
                    reason: "rows of \(parameter.name) have \(parameter.tensor.shape[1]) values, which are no whole "
                        + "groups of \(Self.group)"))
        }
        self.experts = experts.map(\.tensor).filter(\.hasValues)
    }

    /// Puts rounded weights in the place of the trained ones.
    func round() {
        guard !isRounded else { return }
        isRounded = true
        if trained.isEmpty { trained = experts.map { FloatBuffer(count: $0.count) } }
        for (tensor, buffer) in zip(experts, trained) {
            buffer.pointer.update(from: tensor.pointer, count: tensor.count)
            wa_int4_round(buffer.pointer, tensor.pointer, Int64(tensor.count / Self.group))
        }
    }

    /// Puts the trained weights back.
    func restore() {
        guard isRounded else { return }
        isRounded = false
        for (tensor, buffer) in zip(experts, trained) {
            tensor.pointer.update(from: buffer.pointer, count: tensor.count)
        }
    }
}

extension Parameter {
    /// Whether it is a matrix of a routed expert.
    var isRoutedExpert: Bool { role == .matrix && name.contains(".mlp.experts.") }
}
