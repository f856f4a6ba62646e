import Foundation
import WaletFormats
import WaletModels

/// One text's scores.
struct Scoring: Sendable {
    let model: Transformer
    let tokens: [Int]
    let top: Int
    let chunk: Int
    let routing: RoutingTrace?
    let cancelled: CancellationFlag

    func run(_ space: Workspace) throws -> TokenScores {
        let vocabulary = model.configuration.vocabularySize
        let cache = KVCache(model.configuration, capacity: tokens.count, precision: space.precision)
        var scores = TokenScores(logprobs: [nil], top: [])
        scores.logprobs.reserveCapacity(tokens.count)
        var first = 0
        space.routing = routing
        defer { space.routing = nil }
        while first < tokens.count {
            if cancelled.isSet { throw CancellationError() }
            let rows = min(tokens.count - first, space.batch.capacity, chunk)
            space.batch.removeAll()
            space.batch.append(
                tokens[first..<first + rows], to: cache,
                ofLongPrompt: model.isLongPrompt(fresh: tokens.count, cached: 0))
            try model.forward(space)
            var row = 0
            while row < rows {
                let count = min(space.logitRows, rows - row)
                let logits = model.logits(ofRows: row..<row + count, space)
                for index in 0..<count {
                    let position = first + row + index
                    scores.append(
                        UnsafeBufferPointer(start: logits + index * vocabulary, count: vocabulary),
                        next: position + 1 < tokens.count ? tokens[position + 1] : nil, top: top)
                }
                row += count
            }
            first += rows
        }
        return scores
    }
}

extension TokenScores {
    /// Adds what follows a position.
    /// - Parameters:
    ///   - logits: `[vocabulary]`
    ///   - next: the token that does follow; nil at the end.
    ///   - top: how many of the likeliest to keep.
    mutating func append(_ logits: UnsafeBufferPointer<Float>, next: Int?, top count: Int) {
        let normalizer = Self.normalizer(logits)
        if let next { logprobs.append(Float(Double(logits[next]) - normalizer)) }
        if count > 0 { top.append(Self.likeliest(count, logits, normalizer)) }
    }

    /// The logarithm of the sum of exponentials.
    static func normalizer(_ logits: UnsafeBufferPointer<Float>) -> Double {
        let highest = logits.max() ?? 0
        var sum = 0.0
        for logit in logits { sum += exp(Double(logit - highest)) }
        return Double(highest) + log(sum)
    }

    /// The likeliest tokens, largest first, the lowest id first of equals.
    static func likeliest(_ count: Int, _ logits: UnsafeBufferPointer<Float>, _ normalizer: Double) -> [Candidate] {
        func precedes(_ left: Int, _ right: Int) -> Bool {
            logits[left] != logits[right] ? logits[left] > logits[right] : left < right
        }
        var order: [Int]
        if count < 64, count < logits.count {
            // A few of many: kept sorted while all are looked at once.
            order = []
            order.reserveCapacity(count + 1)
            var bound = -Float.infinity
            for id in logits.indices where order.count < count || logits[id] > bound {
                let place = order.firstIndex { precedes(id, $0) } ?? order.count
                order.insert(id, at: place)
                if order.count > count { order.removeLast() }
                if order.count == count, let last = order.last { bound = logits[last] }
            }
        } else {
            order = Array(logits.indices.sorted(by: precedes).prefix(count))
        }
        return order.map { Candidate(id: $0, logprob: Float(Double(logits[$0]) - normalizer)) }
    }
}

extension Duration {
    /// The duration in seconds.
    var seconds: Double {
        let (seconds, attoseconds) = components
        return Double(seconds) + Double(attoseconds) * 1e-18
    }
}
