extension EngineCore {
    /// What a pass that has run worked on; nil for one whose time says nothing of decoding or of prompts.
    func shape(of parts: [Part]) -> PassShape? {
        let decoding = parts.filter(\.wasDecoding)
        if decoding.isEmpty {
            return PassShape(sequences: 0, context: 0, promptTokens: parts.reduce(0) { $0 + $1.own })
        }
        guard decoding.count == parts.count, decoding.allSatisfy({ $0.own == 1 && $0.draft.isEmpty }) else {
            return nil
        }
        let context = decoding.reduce(0) { $0 + $1.sequence.tokens.count } / decoding.count
        return PassShape(sequences: decoding.count, context: context, promptTokens: 0)
    }

    func record(_ shape: PassShape, seconds: Double) {
        let planned = options.forecast.map { $0(shape) } ?? 0
        if shape.promptTokens > 0 {
            statistics.prompts.add(shape.promptTokens, seconds, planned)
        } else {
            statistics.decoding.add(shape.sequences, seconds, planned)
        }
    }
}

extension PassWork {
    fileprivate mutating func add(_ count: Int, _ time: Double, _ planned: Double) {
        tokens += count
        seconds += time
        plannedSeconds += planned
    }
}
