import WaletAutodiff
import WaletFormats
import WaletModels

/// What the layers of a pass read, and where they leave what they saw.
final class LayerContext {
    let segments: [Range<Int>]
    let angles: RopeAngles
    let objective: TrainingObjective
    var pass = TrainingPass()

    init(segments: [Range<Int>], angles: RopeAngles, _ objective: TrainingObjective, layers: Int) {
        self.segments = segments
        self.angles = angles
        self.objective = objective
        pass.maxLogits = [[Float]](repeating: [], count: layers)
    }
}

/// Attention and feed-forward on a residual stream.
struct TrainableLayer {
    enum FeedForward {
        case dense(GatedWeights)
        case sparse(TrainableExperts)
    }

    let number: Int
    let epsilon: Float
    /// `[hidden]`
    let attentionNorm: Tensor
    let attention: TrainableAttention
    /// `[hidden]`
    let feedForwardNorm: Tensor
    let feedForward: FeedForward

    init(_ configuration: Configuration, _ number: Int, sparse: Bool, _ maker: ParameterMaker) throws(FormatError) {
        let prefix = "model.layers.\(number)."
        let hidden = configuration.hiddenSize
        self.number = number
        epsilon = configuration.normEpsilon
        attentionNorm = try maker.norm(prefix + "input_layernorm", hidden)
        attention = try TrainableAttention(configuration, prefix + "self_attn.", maker)
        feedForwardNorm = try maker.norm(prefix + "post_attention_layernorm", hidden)
        if sparse, let experts = configuration.experts {
            feedForward = .sparse(try TrainableExperts(experts, hidden: hidden, prefix + "mlp.", maker))
        } else {
            feedForward = .dense(
                try maker.feedForward(prefix + "mlp.", hidden: hidden, width: configuration.feedForwardSize))
        }
    }

    /// - Parameter x: the residual stream, `[rows, hidden]`
    func callAsFunction(_ tape: Tape, _ x: Tensor, _ context: LayerContext) -> Tensor {
        let attended = attention(tape, tape.rmsNorm(x, attentionNorm, epsilon: epsilon), context)
        if !tape.isReplay { context.pass.maxLogits[number] = attended.maxLogits }
        let x = tape.add(x, attended.output)
        let input = tape.rmsNorm(x, feedForwardNorm, epsilon: epsilon)
        switch feedForward {
        case .dense(let weights): return tape.add(x, tape.feedForward(input, weights))
        case .sparse(let experts):
            let (output, routing) = experts(tape, input, context)
            if !tape.isReplay {
                context.pass.expertCounts[number] = routing.counts
                context.pass.balanceLoss += routing.balanceLoss
            }
            return tape.add(x, output)
        }
    }
}

/// Routed experts with a router, and those that all tokens share.
struct TrainableExperts {
    let shape: Configuration.Experts
    /// `[experts, hidden]`
    let router: Tensor
    /// Added to the scores for the choice only, `[experts]`
    let correctionBias: Tensor?
    let routed: [GatedWeights]
    let shared: GatedWeights?
    /// To the processes that hold the routed experts; nil where all are here.
    let exchange: ExpertExchange?

    init(_ shape: Configuration.Experts, hidden: Int, _ prefix: String, _ maker: ParameterMaker) throws(FormatError) {
        self.shape = shape
        router = try maker.matrix(prefix + "gate", shape.count, hidden)
        correctionBias =
            shape.selection == .biased
            ? try maker.vector(
                prefix + "gate.e_score_correction_bias", shape.count, filling: 0, role: .routerBias) : nil
        var routed: [GatedWeights] = []
        exchange = maker.exchange
        let held = maker.exchange.map { exchange in
            (0..<exchange.size).map { exchange.experts(of: $0, count: shape.count) }
        }
        for expert in 0..<shape.count {
            routed.append(
                try maker.feedForward(
                    prefix + "experts.\(expert).", hidden: hidden, width: shape.width,
                    holder: held?.firstIndex { $0.contains(expert) }))
        }
        self.routed = routed
        shared =
            shape.shared > 0
            ? try maker.feedForward(prefix + "shared_experts.", hidden: hidden, width: shape.shared * shape.width)
            : nil
    }

    func callAsFunction(_ tape: Tape, _ x: Tensor, _ context: LayerContext) -> (output: Tensor, routing: Routing) {
        let rule = RouterRule(
            scoring: shape.scoring == .sigmoid ? .sigmoid : .softmax, perToken: shape.perToken,
            normalized: shape.normalized, scale: shape.scale)
        let choice = ExpertChoice(shape)
        let scratch = Tensor([choice.scratch], needsGradient: false)
        let objective = context.objective
        let balance =
            objective.balance > 0
            ? SequenceBalance(weight: objective.balance * objective.share, segments: context.segments) : nil
        let routing = tape.route(tape.linear(x, router), rule, balance: balance) { scores, ids in
            choice.choose(scores, bias: correctionBias?.pointer, scratch: scratch.pointer, ids: ids)
        }
        let output =
            exchange.map { tape.experts(x, routed, routing, over: $0) } ?? tape.experts(x, routed, routing)
        return (shared.map { tape.add(output, tape.feedForward(x, $0)) } ?? output, routing)
    }
}
