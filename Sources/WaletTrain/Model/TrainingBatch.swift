/// Tokens to learn from, and what should follow each.
public struct TrainingBatch: Sendable, Equatable {
    /// `[rows]`
    public let tokens: [Int32]
    /// The token after each row's; negative where nothing is to be learnt. `[rows]`
    public let targets: [Int32]
    /// Rows that belong to one text, in order, and together all rows: a row sees those before it in its own text only,
    /// and its position counts from there.
    public let segments: [Range<Int>]

    /// - Precondition: as many targets as tokens; segments one behind the other, none empty.
    public init(tokens: [Int32], targets: [Int32], segments: [Range<Int>]) {
        precondition(tokens.count == targets.count)
        var end = 0
        for segment in segments {
            precondition(segment.lowerBound == end && !segment.isEmpty, "segments leave no row out")
            end = segment.upperBound
        }
        precondition(end == tokens.count, "segments leave no row out")
        self.tokens = tokens
        self.targets = targets
        self.segments = segments
    }

    /// Sequences of one length, one behind the other.
    public init(tokens: [Int32], targets: [Int32], length: Int) {
        precondition(length > 0 && tokens.count % length == 0)
        self.init(
            tokens: tokens, targets: targets,
            segments: stride(from: 0, to: tokens.count, by: length).map { $0..<$0 + length })
    }

    public var rows: Int { tokens.count }
    /// Rows that have a target.
    public var targetCount: Int { targets.reduce(0) { $0 + ($1 >= 0 ? 1 : 0) } }
}

/// What a pass adds to the loss beside cross-entropy, and what it keeps in memory.
public struct TrainingObjective: Sendable, Equatable {
    /// alpha of the balance loss within a sequence (DeepSeek-V3: 0.0001); 0 for none.
    public var balance: Float
    /// lambda of the prediction layer's loss (DeepSeek-V3: 0.3, then 0.1); 0 leaves the layer out.
    public var prediction: Float
    /// The part that this batch is of all that one step of the optimizer sees.
    public var share: Float

    public init(balance: Float = 0, prediction: Float = 0, share: Float = 1) {
        self.balance = balance
        self.prediction = prediction
        self.share = share
    }
}

/// What a pass found.
public struct TrainingPass: Sendable {
    /// Mean of -ln p(target) over the rows that have one; not a number where none has.
    public internal(set) var loss = Double.nan
    /// The same of the prediction layer; nil without it.
    public internal(set) var predictionLoss: Double?
    /// Sum of the layers' balance losses, times alpha.
    public internal(set) var balanceLoss = 0.0
    /// -ln p(target) of each row; 0 where there is no target.
    public internal(set) var tokenLosses: [Float] = []
    /// The largest scaled attention score of each head, a layer at a time; the prediction layer's is last.
    public internal(set) var maxLogits: [[Float]] = []
    /// Rows that each expert got, by layer; dense layers are absent.
    public internal(set) var expertCounts: [Int: [Int]] = [:]
}
