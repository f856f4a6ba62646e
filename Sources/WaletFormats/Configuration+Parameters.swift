// How many parameters a configuration describes.

extension Configuration {
    /// Parameters counted from the configuration, not from a file. Quantized values count as the values they stand for,
    /// their scales do not. Prediction layers are not counted, as publishers do not.
    public struct Parameters: Sendable, Equatable {
        /// All: embedding, layers, norms, and the head unless it is the embedding.
        public var total: Int
        /// What takes part in a token: everything but the routed experts that are not chosen, with one row of the
        /// embedding in place of the whole. A head counts in full, also where it is the embedding matrix.
        public var active: Int
        /// Those of all routed experts, within ``total``.
        public var routed: Int
        /// Those of one routed expert.
        public var expert: Int
    }

    /// Counted by formula; a count beyond 64 bits stays at the largest number.
    public var parameters: Parameters {
        let h = Count(hiddenSize)
        let V = Count(vocabularySize)
        let H = Count(heads)
        var attention: Count
        switch self.attention {
        case .latent(let latent):
            let head = Count(latent.plainHeadSize) + Count(latent.ropeHeadSize)
            if let rank = latent.queryRank.map(Count.init) {
                attention = h * rank + rank + rank * H * head
                if attentionBias { attention += rank }
            } else {
                attention = h * H * head
            }
            let rank = Count(latent.latentRank)
            let value = Count(latent.valueHeadSize)
            attention += h * (rank + Count(latent.ropeHeadSize)) + rank
            attention += rank * H * (Count(latent.plainHeadSize) + value)
            attention += H * value * h
            if attentionBias { attention += rank + Count(latent.ropeHeadSize) + h }
        case .grouped(let grouped):
            let query = H * Count(grouped.headSize)
            let key = Count(grouped.keyValueHeads) * Count(grouped.headSize)
            attention = h * query + h * key + h * key + query * h
            if attentionBias { attention += query + key + key + h }
            if grouped.queryKeyNorm { attention += Count(grouped.headSize) + Count(grouped.headSize) }
        }
        let dense = feedForward(Count(feedForwardSize), h)
        let norms = h + h
        let sparseCount = experts?.sparseLayers.filter { $0 < layers }.count ?? 0
        let common = Count(layers) * (attention + norms) + Count(layers - sparseCount) * dense + h

        var expert = Count(0)
        var shared = Count(0)
        var routed = Count(0)
        var chosen = Count(0)
        if let experts {
            let sparse = Count(sparseCount)
            expert = Count(3) * h * Count(experts.width)
            shared = sparse * (Count(3) * h * Count(experts.width) * Count(experts.shared) + h * Count(experts.count))
            if experts.selection == .biased { shared += sparse * Count(experts.count) }
            routed = sparse * Count(experts.count) * expert
            chosen = sparse * Count(experts.perToken) * expert
        }
        let head = V * h
        let total = V * h + common + shared + routed + (tiedEmbeddings ? Count(0) : head)
        let active = h + common + shared + chosen + head
        return Parameters(total: total.value, active: active.value, routed: routed.value, expert: expert.value)
    }

    private func feedForward(_ width: Count, _ h: Count) -> Count {
        var count = Count(3) * h * width
        if feedForwardBias { count += width + width + h }
        return count
    }
}

/// A number that stays at the largest one instead of overflowing.
private struct Count {
    var value: Int

    init(_ value: Int) { self.value = value }

    static func + (left: Count, right: Count) -> Count {
        let (sum, overflow) = left.value.addingReportingOverflow(right.value)
        return Count(overflow ? .max : sum)
    }

    static func += (left: inout Count, right: Count) { left = left + right }

    static func * (left: Count, right: Count) -> Count {
        let (product, overflow) = left.value.multipliedReportingOverflow(by: right.value)
        return Count(overflow ? .max : product)
    }
}
