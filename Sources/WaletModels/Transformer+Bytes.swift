import WaletTensor

extension Transformer {
    /// Bytes of weights that one token's decode step reads: every matrix once, but of the routed experts only the chosen
    /// share, and of the embedding one row.
    public var bytesPerToken: Int {
        var total = head.matrix.byteCount + embedding.bytesPerToken
        for layer in layers {
            switch layer.attention {
            case .grouped(let attention):
                total += [
                    attention.queryProjection, attention.keyProjection, attention.valueProjection,
                    attention.outputProjection,
                ].reduce(0) { $0 + $1.matrix.byteCount }
            case .latent(let attention):
                switch attention.query {
                case .dense(let linear): total += linear.matrix.byteCount
                case .compressed(let down, _, let up): total += down.matrix.byteCount + up.matrix.byteCount
                }
                total += attention.compression.matrix.byteCount + attention.outputProjection.matrix.byteCount
                switch attention.expansion {
                case .joint(let linear): total += linear.matrix.byteCount
                case .split(let keys, let values): total += keys.matrix.byteCount + values.matrix.byteCount
                }
            }
            switch layer.feedForward {
            case .dense(let feedForward): total += feedForward.byteCount
            case .sparse(let feedForward):
                total += feedForward.router.gate.matrix.byteCount + (feedForward.shared?.byteCount ?? 0)
                total += feedForward.expertBytes * feedForward.router.experts.perToken
            }
        }
        return total
    }
}

extension GatedFeedForward {
    var byteCount: Int { gate.matrix.byteCount + up.matrix.byteCount + down.matrix.byteCount }
}
