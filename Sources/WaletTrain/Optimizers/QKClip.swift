import CWaletAutodiff
import WaletAutodiff
import WaletFormats

extension TrainableModel {
    /// QK-Clip (Kimi K2, arXiv 2507.20534, algorithm 1): a head whose largest score S passed tau has its scores made
    /// smaller by gamma = tau / S, in the weights.
    ///
    /// Latent attention: the rows of the head's query and key without position take sqrt(gamma) each; the query with
    /// position takes gamma, as the key that it meets belongs to all heads and stays. Grouped attention: the key takes
    /// the square root of the smallest gamma of the heads that it serves, each query what is left of its own. Where
    /// queries and keys are normed (Qwen3) the scores do not follow these weights, and nothing is done.
    ///
    /// - Parameter maxLogits: of each layer and head, as ``TrainingPass/maxLogits``.
    /// - Returns: how many heads of each layer were clipped. [layers]
    @discardableResult
    public func clipHeads(_ maxLogits: [[Float]], tau: Float) -> [Int] {
        var clipped = maxLogits.map { _ in 0 }
        let all = layers + (prediction.map { [$0.layer] } ?? [])
        for (place, (layer, logits)) in zip(all, maxLogits).enumerated() {
            let gammas = logits.map { $0 > tau && $0.isFinite ? tau / $0 : 1 }
            let count = gammas.count { $0 < 1 }
            if count == 0 { continue }
            switch layer.attention {
            case .latent(let attention): attention.scaleHeads(gammas)
            case .grouped(let attention):
                if attention.norms != nil { continue }
                attention.scaleHeads(gammas)
            }
            clipped[place] = count
        }
        return clipped
    }
}

extension TrainableAttention.Latent {
    fileprivate func scaleHeads(_ gammas: [Float]) {
        let (queryHead, keyHead) = (sizes.plain + sizes.rope, sizes.plain + sizes.value)
        for (head, gamma) in gammas.enumerated() where gamma < 1 {
            let first = head * queryHead
            query.scale(rows: first..<first + sizes.plain, by: gamma.squareRoot())
            query.scale(rows: first + sizes.plain..<first + queryHead, by: gamma)
            expansion.scale(rows: head * keyHead..<head * keyHead + sizes.plain, by: gamma.squareRoot())
        }
    }
}

extension TrainableAttention.Grouped {
    fileprivate func scaleHeads(_ gammas: [Float]) {
        let (size, group) = (shape.headSize, heads / shape.keyValueHeads)
        for keyHead in 0..<shape.keyValueHeads {
            let served = keyHead * group..<(keyHead + 1) * group
            let root = gammas[served].min()!.squareRoot()
            if root == 1 { continue }
            key.scale(rows: keyHead * size..<(keyHead + 1) * size, by: root)
            for head in served { query.scale(rows: head * size..<(head + 1) * size, by: gammas[head] / root) }
        }
    }
}

extension TrainableAttention.Projection {
    fileprivate func scale(rows: Range<Int>, by factor: Float) {
        let columns = weight.columns
        wa_scale(weight.pointer + rows.lowerBound * columns, factor, Int64(rows.count * columns))
        if let bias { wa_scale(bias.pointer + rows.lowerBound, factor, Int64(rows.count)) }
    }
}

extension TrainableModel {
    /// Balance without a loss (DeepSeek-V3, arXiv 2412.19437, section 2.1.2): the bias of an expert with more than the
    /// mean load goes down by `rate`, that of one with less up.
    /// - Parameter counts: rows that each expert got, by layer.
    public func balanceRouters(_ counts: [Int: [Int]], rate: Float) {
        for layer in layers + (prediction.map { [$0.layer] } ?? []) {
            guard case .sparse(let experts) = layer.feedForward, let bias = experts.correctionBias,
                let loads = counts[layer.number]
            else { continue }
            let total = loads.reduce(0, +)
            for (expert, load) in loads.enumerated() {
                let excess = load * loads.count - total
                if excess != 0 { bias.pointer[expert] += excess > 0 ? -rate : rate }
            }
        }
    }
}
