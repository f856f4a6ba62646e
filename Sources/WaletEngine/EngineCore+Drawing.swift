import WaletModels
import WaletTensor

// What a pass's rows give: scores of prompts, and tokens.
extension EngineCore {
    /// A request's rows in a pass.
    struct Part {
        let request: ActiveRequest
        let sequence: SequenceState
        /// Rows of its text, and guesses after them.
        let own: Int
        let draft: [Int]
        var firstRow = 0
        let wasDecoding: Bool
        /// Its text is run to the end, so that a token can be drawn.
        let isWhole: Bool

        init(request: ActiveRequest, sequence: SequenceState, own: Int, draft: [Int]) {
            self.request = request
            self.sequence = sequence
            self.own = own
            self.draft = draft
            wasDecoding = request.isDecoding
            isWhole = own == request.pending
        }

        /// The row that the next token is drawn from; those of guesses follow.
        var lastRow: Int { firstRow + own - 1 }
    }

    func scorePrompts(_ parts: [Part]) {
        let vocabulary = model.configuration.vocabularySize
        for part in parts where part.request.promptScores != nil && !part.wasDecoding {
            let begin = part.sequence.tokens.count - part.own
            for first in stride(from: 0, to: part.own, by: space.logitRows) {
                let count = min(space.logitRows, part.own - first)
                let row = part.firstRow + first
                let logits = model.logits(ofRows: row..<row + count, space)
                for index in 0..<count {
                    let position = begin + first + index
                    guard position < part.request.promptCount else { break }
                    part.request.promptScores?.append(
                        UnsafeBufferPointer(start: logits + index * vocabulary, count: vocabulary),
                        next: position + 1 < part.request.promptCount ? part.request.tokens[position + 1] : nil,
                        top: part.request.request.logprobs ?? 0)
                }
            }
            if part.isWhole, let scores = part.request.promptScores {
                part.request.promptScores = nil
                part.request.continuation.yield(.promptScores(scores))
            }
        }
    }

    /// What was drawn after a part's rows.
    private struct Drawn {
        /// Guesses that came true.
        var accepted = 0
        var end: FinishReason?
        /// No more guesses are to be looked at.
        var isDone = false

        mutating func draw(_ logits: UnsafeMutableBufferPointer<Float>, guess: Int, of part: Part) {
            let token: Int
            (token, end) = part.request.draw(logits)
            let comesTrue = guess < part.draft.count && token == part.draft[guess]
            if comesTrue, end != .stop { part.request.usage.acceptedTokens += 1 }
            isDone = end != nil || !comesTrue
            if comesTrue, end == nil { accepted += 1 }
        }
    }

    /// Draws after all rows that are the last of their text, as many rows of logits at a time as there is memory for.
    func draw(_ parts: [Part]) {
        let vocabulary = model.configuration.vocabularySize
        var wanted: [(part: Int, guess: Int)] = []
        for (index, part) in parts.enumerated() where part.isWhole {
            for guess in 0...part.draft.count { wanted.append((index, guess)) }
        }
        var drawn = [Drawn](repeating: Drawn(), count: parts.count)
        for first in stride(from: 0, to: wanted.count, by: space.logitRows) {
            let group = Array(wanted[first..<min(first + space.logitRows, wanted.count)])
            guard group.contains(where: { !drawn[$0.part].isDone }) else { continue }
            let logits = model.logits(ofRows: group.map { parts[$0.part].lastRow + $0.guess }, space)
            // A request's rows lie together; of several requests each draws on a worker of its own.
            let starts = group.indices.filter { $0 == 0 || group[$0].part != group[$0 - 1].part }
            drawn.withUnsafeMutableBufferPointer { drawn in
                func drawAll(_ task: Int) {
                    for index in starts[task]..<(task + 1 < starts.count ? starts[task + 1] : group.count) {
                        let (part, guess) = group[index]
                        if drawn[part].isDone { return }
                        let row = UnsafeMutableBufferPointer(start: logits + index * vocabulary, count: vocabulary)
                        drawn[part].draw(row, guess: guess, of: parts[part])
                    }
                }
                if starts.count == 1 { return drawAll(0) }
                CoreBudget.shared.spend(space.pool.threads) {
                    space.pool.run(starts.count) { task, _ in drawAll(task) }
                }
            }
        }
        for (index, part) in parts.enumerated() {
            let request = part.request
            let accepted = drawn[index].accepted
            let rows = part.firstRow..<part.lastRow + (part.isWhole ? accepted + 1 : 1)
            // The rows of guesses that did not come true are forgotten.
            part.sequence.truncate(to: part.sequence.tokens.count - (part.draft.count - accepted))
            request.speculator?.append(rows: rows, space)
            request.usage.draftedTokens += part.draft.count
            request.draft = []
            guard part.isWhole else { continue }
            if part.wasDecoding || request.usage.answerTokens > 0 {
                request.recordPass(drafted: part.draft.count, accepted: accepted)
            }
            if let end = drawn[index].end { self.end(request, end) }
        }
    }
}
