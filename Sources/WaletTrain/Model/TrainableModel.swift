import WaletAutodiff
import WaletFormats
import WaletModels

/// A model whose weights learn: the architectures, configurations and tensor names of `WaletModels`, in fp32.
///
/// ```swift
/// let model = try TrainableModel(configuration, arena, seed: 1)
/// let tape = Tape(arena)
/// let pass = model.forward(tape, batch)
/// tape.backward()                        // the gradients of model.parameters are set
/// ```
public final class TrainableModel {
    public let configuration: Configuration
    public let arena: Arena
    /// All, in the order of their layers.
    public let parameters: [Parameter]
    /// Between processes that hold experts of their own; nil where all are here.
    let exchange: ExpertExchange?
    let layers: [TrainableLayer]
    let prediction: TrainablePrediction?
    /// `[vocabulary, hidden]`
    private let embedding: Tensor
    /// `[hidden]`
    private let norm: Tensor
    /// `[vocabulary, hidden]`; the embedding where the configuration ties them.
    private let head: Tensor
    private let rope: RotaryEmbedding

    /// Weights at random: matrices from a normal distribution, norms 1, biases 0.
    /// - Parameters:
    ///   - seed: the same seed gives the same weights.
    ///   - deviation: of the matrices (DeepSeek-V3: 0.006).
    ///   - exchange: between processes that each hold a part of the experts; nil to hold all. Every process then runs as
    ///     many passes as the others, forward and back.
    /// - Throws: ``FormatError`` for a configuration that cannot be trained.
    public convenience init(
        _ configuration: Configuration, _ arena: Arena, seed: UInt64, deviation: Float = 0.02,
        exchange: ExpertExchange? = nil
    ) throws(FormatError) {
        try self.init(configuration, arena, ParameterMaker(.drawn(seed: seed, deviation: deviation), exchange))
    }

    /// Weights of a checkpoint, of any packing that can be unpacked.
    /// - Throws: ``FormatError`` also for a weight that is missing or of another shape.
    public convenience init(
        _ configuration: Configuration, _ arena: Arena, from source: any WeightSource, exchange: ExpertExchange? = nil
    ) throws(FormatError) {
        try self.init(configuration, arena, ParameterMaker(.read(source), exchange))
        try source.checkIntact()
    }

    private init(_ configuration: Configuration, _ arena: Arena, _ maker: ParameterMaker) throws(FormatError) {
        guard !configuration.feedForwardBias else {
            throw FormatError(
                file: "config.json", field: "mlp_bias", expected: "false, since such biases are not trained",
                found: "true")
        }
        guard configuration.predictionLayers <= 1 else {
            throw FormatError(
                file: "config.json", field: "num_nextn_predict_layers", expected: "0 or 1",
                found: "\(configuration.predictionLayers)")
        }
        let (hidden, vocabulary) = (configuration.hiddenSize, configuration.vocabularySize)
        self.configuration = configuration
        self.arena = arena
        exchange = maker.exchange
        embedding = try maker.matrix("model.embed_tokens", vocabulary, hidden, role: .tokens)
        var layers: [TrainableLayer] = []
        for number in 0..<configuration.layers {
            layers.append(
                try TrainableLayer(configuration, number, sparse: configuration.isSparse(layer: number), maker))
        }
        self.layers = layers
        norm = try maker.norm("model.norm", hidden)
        head =
            configuration.tiedEmbeddings
            ? embedding : try maker.matrix("lm_head", vocabulary, hidden, role: .tokens)
        prediction = configuration.predictionLayers > 0 ? try TrainablePrediction(configuration, maker) : nil
        rope = RotaryEmbedding(configuration.rope, dimensions: configuration.rotaryPairs * 2)
        parameters = maker.parameters
    }

    /// Runs a batch. With a recording tape, its `backward()` then adds to the parameters' gradients those of
    ///
    ///     share * (mean cross-entropy + lambda * mean cross-entropy of the prediction layer + balance losses)
    ///
    /// - Parameter keeping: what a recording tape keeps of each layer.
    /// - Precondition: tokens and targets are less than the vocabulary.
    public func forward(
        _ tape: Tape, _ batch: TrainingBatch, _ objective: TrainingObjective = TrainingObjective(),
        keeping: Tape.Keeping = .everything
    ) -> TrainingPass {
        let (hidden, context) = states(tape, batch, objective, keeping)
        let targets = batch.targetCount
        let result = tape.crossEntropy(
            hidden, head: head, targets: batch.targets, weight: objective.share / Float(max(1, targets)))
        context.pass.tokenLosses = result.tokenLosses
        context.pass.loss = Self.mean(result.tokenLosses, targets)
        if let prediction, objective.prediction > 0 { predict(tape, batch, hidden, prediction, context, keeping) }
        return context.pass
    }

    /// What the head reads: for objectives of one's own, such as that of reinforcement learning, over ``outputHead``.
    /// - Returns: the states after the final norm, `[rows, hidden]`, and a pass without losses of tokens.
    public func hiddenStates(
        _ tape: Tape, _ batch: TrainingBatch, _ objective: TrainingObjective = TrainingObjective(),
        keeping: Tape.Keeping = .everything
    ) -> (states: Tensor, pass: TrainingPass) {
        let (hidden, context) = states(tape, batch, objective, keeping)
        return (hidden, context.pass)
    }

    private func states(
        _ tape: Tape, _ batch: TrainingBatch, _ objective: TrainingObjective, _ keeping: Tape.Keeping
    ) -> (Tensor, LayerContext) {
        let context = LayerContext(
            segments: batch.segments, angles: angles(batch.segments, from: 0), objective, layers: layers.count)
        var x = tape.embedding(of: batch.tokens, in: embedding)
        for layer in layers {
            x = tape.recomputed(x, keeping: keeping) { tape, x in layer(tape, x, context) }
        }
        return (tape.rmsNorm(x, norm, epsilon: configuration.normEpsilon), context)
    }

    /// `[vocabulary, hidden]`
    public var outputHead: Tensor { head }

    /// Forgets all gradients.
    public func forgetGradients() {
        for parameter in parameters { parameter.tensor.forgetGradient() }
    }

    /// From each position's final state and the token after it, the token after that (DeepSeek-V3, section 2.2).
    private func predict(
        _ tape: Tape, _ batch: TrainingBatch, _ hidden: Tensor, _ layer: TrainablePrediction,
        _ context: LayerContext, _ keeping: Tape.Keeping
    ) {
        var rows: [Int] = []
        var segments: [Range<Int>] = []
        for segment in batch.segments where segment.count > 1 {
            segments.append(rows.count..<rows.count + segment.count - 1)
            rows += segment.dropLast()
        }
        let targets = rows.map { batch.targets[$0 + 1] }
        let count = targets.reduce(0) { $0 + ($1 >= 0 ? 1 : 0) }
        guard count > 0 else { return }
        let own = LayerContext(
            segments: segments, angles: angles(segments, from: 1), context.objective, layers: layers.count + 1)
        let embedded = tape.embedding(of: rows.map { batch.tokens[$0 + 1] }, in: embedding)
        let states = layer(tape, embedded, tape.select(hidden, rows: rows), own, keeping)
        let result = tape.crossEntropy(
            states, head: head, targets: targets,
            weight: context.objective.share * context.objective.prediction / Float(count))
        context.pass.predictionLoss = Self.mean(result.tokenLosses, count)
        context.pass.maxLogits.append(own.pass.maxLogits[layers.count])
        context.pass.balanceLoss += own.pass.balanceLoss
        context.pass.expertCounts[layers.count] = own.pass.expertCounts[layers.count]
    }

    /// Each segment's positions count from `first`.
    private func angles(_ segments: [Range<Int>], from first: Int) -> RopeAngles {
        let positions = segments.flatMap { first..<first + $0.count }
        return RopeAngles(rows: positions.count, pairs: rope.pairs, interleaved: rope.isInterleaved) {
            row, cosines, sines in rope.angles(position: positions[row], cos: cosines, sin: sines)
        }
    }

    private static func mean(_ losses: [Float], _ count: Int) -> Double {
        count == 0 ? .nan : losses.reduce(0) { $0 + Double($1) } / Double(count)
    }
}

/// The multi-token-prediction layer. Embedding and head are the model's.
struct TrainablePrediction {
    /// `[hidden]`
    let embeddingNorm: Tensor
    /// `[hidden]`
    let stateNorm: Tensor
    /// `[hidden, 2 * hidden]`: the embedding's half first.
    let projection: Tensor
    let layer: TrainableLayer
    /// `[hidden]`
    let norm: Tensor
    let epsilon: Float

    init(_ configuration: Configuration, _ maker: ParameterMaker) throws(FormatError) {
        let (hidden, number) = (configuration.hiddenSize, configuration.layers)
        let prefix = "model.layers.\(number)."
        embeddingNorm = try maker.norm(prefix + "enorm", hidden)
        stateNorm = try maker.norm(prefix + "hnorm", hidden)
        projection = try maker.matrix(prefix + "eh_proj", hidden, 2 * hidden)
        layer = try TrainableLayer(configuration, number, sparse: configuration.experts != nil, maker)
        norm = try maker.norm(prefix + "shared_head.norm", hidden)
        epsilon = configuration.normEpsilon
    }

    /// - Parameters:
    ///   - embedded: of the tokens after those of the states, `[rows, hidden]`
    ///   - states: after the model's final norm, `[rows, hidden]`
    func callAsFunction(
        _ tape: Tape, _ embedded: Tensor, _ states: Tensor, _ context: LayerContext, _ keeping: Tape.Keeping
    ) -> Tensor {
        let pair = tape.concatenate(
            tape.rmsNorm(embedded, embeddingNorm, epsilon: epsilon), tape.rmsNorm(states, stateNorm, epsilon: epsilon))
        let x = tape.linear(pair, projection)
        let y = tape.recomputed(x, keeping: keeping) { tape, x in layer(tape, x, context) }
        return tape.rmsNorm(y, norm, epsilon: epsilon)
    }
}
