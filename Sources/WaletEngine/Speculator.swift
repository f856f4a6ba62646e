import WaletFormats
import WaletModels

/// The drafting side of one answer: a drafter, and how much it may draft. Knows nothing of verification.
struct Speculator {
    private var pacing: DraftPacing
    private let allowance: Int?
    private var lookup: LookupDrafter?
    private var prediction: PredictionDrafter?
    private let endTokens: Set<Int>
    private let forbidden: [Int]

    /// - Parameters:
    ///   - layer: for ``Speculation/mtp(draftTokens:)``.
    ///   - text: prompt, and the answer so far.
    ///   - capacity: tokens that prompt and answer may come to have.
    init(
        _ request: GenerationRequest, _ layer: PredictionLayer?, _ sequence: SequenceState, text: [Int],
        capacity: Int, _ space: Workspace
    ) {
        endTokens = request.endTokens
        forbidden = request.forbidden
        let maximum = request.speculation.maximum
        pacing = DraftPacing(maximum: maximum)
        allowance = request.pacesDrafts ? nil : maximum
        switch request.speculation {
        case .off: break
        case .lookup:
            var drafter = LookupDrafter(capacity: capacity)
            for token in text { drafter.append(token) }
            lookup = drafter
        case .mtp:
            prediction = layer.map { sequence.drafter($0, space) }
        }
    }

    /// Takes in a token of the answer.
    mutating func append(_ token: Int) { lookup?.append(token) }

    /// Takes in rows of the model's last pass, before `space` serves another.
    func append(rows: Range<Int>, _ space: Workspace) { prediction?.append(rows: rows, space) }

    /// Before a pass that only reads the prompt.
    func makeRoom(
        for rows: Int, in sequence: SequenceState, next: Int, _ space: Workspace
    ) throws(FormatError) {
        try prediction?.makeRoom(for: rows, text: sequence.tokens, next: next, space)
    }

    /// Guesses what follows `token`, which follows the sequence; none of the guesses ends the answer. Asked once a pass.
    /// - Parameter limit: guesses that are any use, at most.
    mutating func draft(
        after token: Int, in sequence: SequenceState, limit: Int, _ space: Workspace
    ) throws(FormatError) -> [Int] {
        guard lookup != nil || prediction != nil else { return [] }
        let limit = min(limit, allowance ?? pacing.allowance())
        var draft = lookup?.draft(limit) ?? []
        if let prediction {
            draft += try prediction.draft(
                limit, text: sequence.tokens, next: token, endTokens: endTokens, forbidden: forbidden, space)
        }
        try prediction?.makeRoom(for: space.logitRows, text: sequence.tokens, next: token, space)
        return Array(draft.prefix { !endTokens.contains($0) })
    }

    /// Takes in how a draft fared, and what it took, in seconds.
    mutating func record(drafted: Int, accepted: Int, duration: Double) {
        pacing.record(drafted: drafted, accepted: accepted, duration: duration)
    }
}
