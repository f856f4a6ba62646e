import WaletFormats
import WaletTensor

/// All memory that a forward pass writes, made once: threads, activations, routing and logits.
public final class Workspace {
    public let pool: ThreadPool
    public let precision: Precision
    public var batch: Batch
    /// Rows of logits that ``Transformer/logits(ofRows:_:)`` makes at once.
    public let logitRows: Int

    /// The residual stream, `[rows, hidden]`.
    let x: FloatBuffer
    /// Normalized input of a block, `[rows, hidden]`.
    let normed: FloatBuffer
    let normedBlocks: BlockBuffer
    /// Output of a block, `[rows, hidden]`.
    let output: FloatBuffer
    /// Cosines and sines of each row's position, `[rows, pairs]`.
    let cosines: FloatBuffer
    let sines: FloatBuffer
    let attention: AttentionSpace
    let feedForward: FeedForwardSpace
    /// `[logitRows, vocabulary]`
    let logits: FloatBuffer
    /// What prediction layers read; made when one runs first.
    private(set) lazy var predictionInput = PredictionInput(rows: batch.capacity, hidden: hiddenSize, precision)
    private let hiddenSize: Int
    /// Is told which experts are chosen; nil where nobody asks.
    public var routing: RoutingTrace?

    /// - Parameter rows: tokens of one pass, at most; by default as many as keep the activations below 200 MB.
    public init(
        _ configuration: Configuration, pool: ThreadPool, precision: Precision = .exact, rows: Int? = nil,
        logitRows: Int = 16
    ) {
        let attention = AttentionSpace.Sizes(configuration)
        let feedForward = FeedForwardSpace.Sizes(configuration)
        let rowFloats = 3 * configuration.hiddenSize + attention.rowFloats + feedForward.rowFloats
        let rows = rows ?? min(512, max(16, 45_000_000 / rowFloats / 16 * 16))
        hiddenSize = configuration.hiddenSize
        self.pool = pool
        self.precision = precision
        self.logitRows = min(logitRows, rows)
        batch = Batch(capacity: rows)
        x = FloatBuffer(count: rows * configuration.hiddenSize)
        normed = FloatBuffer(count: rows * configuration.hiddenSize)
        normedBlocks = BlockBuffer(rows: rows, columns: configuration.hiddenSize, precision)
        output = FloatBuffer(count: rows * configuration.hiddenSize)
        cosines = FloatBuffer(count: rows * configuration.rotaryPairs)
        sines = FloatBuffer(count: rows * configuration.rotaryPairs)
        self.attention = AttentionSpace(attention, rows: rows, precision)
        self.feedForward = FeedForwardSpace(feedForward, rows: rows, precision)
        logits = FloatBuffer(count: self.logitRows * configuration.vocabularySize)
    }
}

extension Workspace {
    /// The block's input: ``normed`` and its blocks.
    var input: Activations { normedBlocks.activations(normed.pointer) }
}

extension Configuration {
    /// Pairs of dimensions that a head rotates.
    public var rotaryPairs: Int {
        switch attention {
        case .latent(let latent): latent.ropeHeadSize / 2
        case .grouped(let grouped): grouped.headSize / 2
        }
    }
}
