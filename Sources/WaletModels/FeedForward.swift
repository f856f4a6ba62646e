import CWaletKernels
import WaletFormats
import WaletTensor

/// Memory of the feed-forward blocks.
final class FeedForwardSpace {
    struct Sizes {
        /// Floats a row: widest inner activation, routed inner activations and inputs and outputs, router scores.
        let inner: Int
        let hidden: Int
        let perToken: Int
        let experts: Int
        let groups: Int
        let dense: Int
        let shared: Int
        let routed: Int

        init(_ configuration: Configuration) {
            let experts = configuration.experts
            hidden = configuration.hiddenSize
            perToken = experts?.perToken ?? 0
            self.experts = experts?.count ?? 0
            groups = experts?.groups ?? 0
            dense = configuration.feedForwardSize
            routed = experts?.width ?? 0
            shared = routed * (experts?.shared ?? 0)
            inner = max(
                configuration.feedForwardSize, (experts?.width ?? 0) * (perToken + (experts?.shared ?? 0)))
        }

        var rowFloats: Int { 2 * inner + 2 * perToken * hidden + 2 * experts + groups + 2 * perToken }
    }

    /// silu(gate) * up, `[slots, width]`, and up alone; those of shared experts come before those of routed ones.
    let gate: FloatBuffer
    let up: FloatBuffer
    /// Inputs in order of experts, `[rows * perToken, hidden]`
    let gathered: FloatBuffer
    /// Expert outputs in that order, `[rows * perToken, hidden]`
    let outputs: FloatBuffer
    /// The inner activation's blocks, for a width each: dense, shared, routed (a row a slot).
    let denseBlocks: BlockBuffer
    let sharedBlocks: BlockBuffer
    let routedBlocks: BlockBuffer
    /// The token of each slot.
    let tokenOfSlot: UnsafeMutablePointer<Int32>
    /// Router scores, `[rows, experts]`, and its scratch, `[rows, experts + groups]`
    let scores: FloatBuffer
    let choice: FloatBuffer
    /// Weights of the chosen experts, `[rows, perToken]`
    let weights: FloatBuffer
    /// The chosen experts, `[rows, perToken]`
    let ids: UnsafeMutablePointer<Int32>
    /// Where each choice lies in the order of experts, `[rows, perToken]`
    let slots: UnsafeMutablePointer<Int32>
    /// First slot of each expert, `[experts + 1]`
    let firstSlot: UnsafeMutablePointer<Int32>
    /// Experts that have a token, `[experts]`
    let active: UnsafeMutablePointer<Int32>
    /// The slots of the experts that are computed together, `[rows * perToken]`
    let computed: UnsafeMutablePointer<Int32>

    init(_ sizes: Sizes, rows: Int, _ precision: Precision) {
        denseBlocks = BlockBuffer(rows: rows, columns: sizes.dense, precision)
        sharedBlocks = BlockBuffer(rows: rows, columns: sizes.shared, precision)
        routedBlocks = BlockBuffer(rows: rows * sizes.perToken, columns: sizes.routed, precision)
        tokenOfSlot = .allocate(capacity: max(1, rows * sizes.perToken))
        gate = FloatBuffer(count: rows * sizes.inner)
        up = FloatBuffer(count: rows * sizes.inner)
        gathered = FloatBuffer(count: rows * sizes.perToken * sizes.hidden)
        outputs = FloatBuffer(count: rows * sizes.perToken * sizes.hidden)
        scores = FloatBuffer(count: rows * sizes.experts)
        choice = FloatBuffer(count: rows * (sizes.experts + sizes.groups))
        weights = FloatBuffer(count: rows * sizes.perToken)
        ids = .allocate(capacity: max(1, rows * sizes.perToken))
        slots = .allocate(capacity: max(1, rows * sizes.perToken))
        firstSlot = .allocate(capacity: sizes.experts + 1)
        active = .allocate(capacity: max(1, sizes.experts))
        computed = .allocate(capacity: max(1, rows * sizes.perToken))
    }

    deinit {
        ids.deallocate()
        slots.deallocate()
        firstSlot.deallocate()
        active.deallocate()
        computed.deallocate()
        tokenOfSlot.deallocate()
    }
}

/// down(silu(gate x) * up x)
struct GatedFeedForward: Sendable {
    let gate: Linear
    let up: Linear
    let down: Linear

    init(_ prefix: String, hidden: Int, width: Int, bias: Bool = false, from source: some WeightSource)
        throws(FormatError)
    {
        gate = try Linear(prefix + "gate_proj", outputs: width, inputs: hidden, bias: bias, from: source)
        up = try Linear(prefix + "up_proj", outputs: width, inputs: hidden, bias: bias, from: source)
        down = try Linear(prefix + "down_proj", outputs: hidden, inputs: width, bias: bias, from: source)
    }

    init(gate: Linear, up: Linear, down: Linear) {
        self.gate = gate
        self.up = up
        self.down = down
    }

    /// Gate and up can take int8 blocks.
    var takesBlocks: Bool { gate.takesBlocks && up.takesBlocks }

    /// A tile of the inner activation, on the calling worker: inner[t, row] for `rows`.
    /// - Parameters:
    ///   - x: `[count, hidden]`
    ///   - tokenRows: which row of the blocks is row t.
    ///   - inner, up: `[count, width]`
    @inline(__always)
    func activate(
        _ rows: Range<Int>, _ x: Activations, tokenRows: UnsafePointer<Int32>? = nil, count: Int,
        into inner: UnsafeMutablePointer<Float>,
        up upper: UnsafeMutablePointer<Float>, _ scratch: UnsafeMutablePointer<Float>
    ) {
        let width = gate.outputs
        let hidden = gate.inputs
        let first = rows.lowerBound
        gate.multiply(
            rows, x, stride: hidden, tokenRows: tokenRows, count: count, into: inner + first, stride: width, scratch)
        up.multiply(
            rows, x, stride: hidden, tokenRows: tokenRows, count: count, into: upper + first, stride: width, scratch)
        for t in 0..<count {
            wk_silu_mul(inner + t * width + first, upper + t * width + first, Int64(rows.count))
        }
    }

    /// All of it, in parallel: output[t] for `count` rows.
    /// - Parameter blocks: for the inner activation, of this feed-forward's width.
    func callAsFunction(
        _ x: Activations, count: Int, into output: UnsafeMutablePointer<Float>, _ space: FeedForwardSpace,
        _ blocks: BlockBuffer, _ pool: ThreadPool
    ) {
        let inner = space.gate.pointer
        let portions = Portions(
            rows: gate.outputs, tokens: count, inBlocks: x.blocks != nil && takesBlocks, threads: pool.threads)
        pool.run(portions.count) { task, worker in
            let (rows, tokens) = portions[task]
            let offset = tokens.lowerBound * gate.outputs
            activate(
                rows, x.from(tokens.lowerBound, columns: gate.inputs), count: tokens.count, into: inner + offset,
                up: space.up.pointer + offset, pool.scratch(of: worker))
        }
        if blocks.isActive, down.takesBlocks {
            pool.runRows(count) { row in blocks.quantize(inner + row * down.inputs, row: row) }
        }
        down(blocks.activations(inner), count: count, into: output, pool)
    }
}

/// Routed experts, and the shared ones.
struct SparseFeedForward: Sendable {
    let layer: Int
    let router: Router
    let experts: ExpertSource
    let shared: GatedFeedForward?
    /// Of one expert.
    let width: Int
    let expertBytes: Int
    /// Every expert's gate and up can take int8 blocks, so that inputs need not be gathered.
    let takesBlocks: Bool

    init(
        _ configuration: Configuration, _ shape: Configuration.Experts, layer: Int, _ prefix: String,
        from source: some WeightSource
    ) throws(FormatError) {
        self.layer = layer
        let hidden = configuration.hiddenSize
        router = try Router(configuration, shape, prefix, from: source)
        var experts: [GatedFeedForward] = []
        experts.reserveCapacity(shape.count)
        for expert in 0..<shape.count {
            experts.append(
                try GatedFeedForward("\(prefix)experts.\(expert).", hidden: hidden, width: shape.width, from: source))
        }
        self.experts = try ExpertSource(experts, prefix + "experts.", perToken: shape.perToken, from: source)
        width = shape.width
        expertBytes = experts.first?.byteCount ?? 0
        takesBlocks = experts.allSatisfy(\.takesBlocks)
        shared =
            shape.shared > 0
            ? try GatedFeedForward(
                prefix + "shared_experts.", hidden: hidden, width: shape.shared * shape.width, from: source) : nil
    }

    /// - Throws: ``FormatError`` where an expert cannot be read.
    func callAsFunction(_ workspace: Workspace) throws(FormatError) {
        let space = workspace.feedForward
        let pool = workspace.pool
        let rows = workspace.batch.count
        let x = workspace.input
        let output = workspace.output.pointer
        let hidden = router.gate.inputs
        let perToken = router.experts.perToken

        route(x, rows: rows, space, pool)
        workspace.routing?.record(
            layer: layer, UnsafeBufferPointer(start: space.ids, count: rows * perToken), perToken: perToken)
        let active = group(rows: rows, space)
        if x.blocks == nil || !takesBlocks {
            pool.run(rows) { row, _ in
                for k in row * perToken..<(row + 1) * perToken {
                    (space.gathered.pointer + Int(space.slots[k]) * hidden).update(
                        from: x.floats + row * hidden, count: hidden)
                }
            }
        }

        try experts.compute(UnsafeBufferPointer(start: space.active, count: active)) { chosen, experts, isFirst in
            compute(chosen, of: experts, isFirst ? shared : nil, workspace)
        }
        if shared == nil { output.update(repeating: 0, count: rows * hidden) }
        pool.runRows(rows) { row in
            for k in row * perToken..<(row + 1) * perToken {
                wk_axpy(
                    space.weights.pointer[k], space.outputs.pointer + Int(space.slots[k]) * hidden,
                    output + row * hidden, Int64(hidden))
            }
        }
    }

    /// Some of the active experts, each for all of its tokens, and the shared ones with the first of them: results of the
    /// routed experts go to their slots, those of the shared ones to the output.
    /// - Parameters:
    ///   - chosen: numbers of experts.
    ///   - experts: all of the layer's, `[experts]`.
    private func compute(
        _ chosen: UnsafeBufferPointer<Int32>, of experts: UnsafePointer<GatedFeedForward>, _ shared: GatedFeedForward?,
        _ workspace: Workspace
    ) {
        let space = workspace.feedForward
        let pool = workspace.pool
        let rows = workspace.batch.count
        let x = workspace.input
        let output = workspace.output.pointer
        let hidden = router.gate.inputs
        // One region for gate and up of the shared experts and of the chosen ones, one for down.
        let sharedWidth = shared?.gate.outputs ?? 0
        let sharedRows = self.shared.map { rows * $0.gate.outputs } ?? 0
        let gate = space.gate.pointer + sharedRows
        let up = space.up.pointer + sharedRows
        let upper = Shares(rows: sharedWidth + chosen.count * width, threads: pool.threads)
        pool.run(upper.count) { task, worker in
            let share = upper.rows(task)
            let scratch = pool.scratch(of: worker)
            if let shared, share.lowerBound < sharedWidth {
                shared.activate(
                    share.lowerBound..<min(share.upperBound, sharedWidth), x, count: rows, into: space.gate.pointer,
                    up: space.up.pointer, scratch)
            }
            let routed = max(0, share.lowerBound - sharedWidth)..<max(0, share.upperBound - sharedWidth)
            forEachPiece(routed, size: width) { index, piece in
                let (expert, first, count) = slots(of: chosen[index], space)
                let inputs = Activations(
                    floats: space.gathered.pointer + first * hidden, blocks: takesBlocks ? x.blocks : nil)
                experts[expert].activate(
                    piece, inputs, tokenRows: space.tokenOfSlot + first, count: count, into: gate + first * width,
                    up: up + first * width, scratch)
            }
        }
        if space.routedBlocks.isActive || space.sharedBlocks.isActive {
            var computed = 0
            for expert in chosen {
                let (_, first, count) = slots(of: expert, space)
                for slot in first..<first + count {
                    space.computed[computed] = Int32(slot)
                    computed += 1
                }
            }
            pool.runRows(computed + (shared == nil ? 0 : rows)) { task in
                if task < computed {
                    let slot = Int(space.computed[task])
                    space.routedBlocks.quantize(gate + slot * width, row: slot)
                } else {
                    let row = task - computed
                    space.sharedBlocks.quantize(space.gate.pointer + row * sharedWidth, row: row)
                }
            }
        }
        let sharedHidden = shared == nil ? 0 : hidden
        let lower = Shares(rows: sharedHidden + chosen.count * hidden, threads: pool.threads)
        pool.run(lower.count) { task, worker in
            let share = lower.rows(task)
            let scratch = pool.scratch(of: worker)
            if let shared, share.lowerBound < sharedHidden {
                let piece = share.lowerBound..<min(share.upperBound, sharedHidden)
                shared.down.multiply(
                    piece, space.sharedBlocks.activations(space.gate.pointer), stride: sharedWidth, count: rows,
                    into: output + piece.lowerBound, stride: hidden, scratch)
            }
            let routed = max(0, share.lowerBound - sharedHidden)..<max(0, share.upperBound - sharedHidden)
            forEachPiece(routed, size: hidden) { index, piece in
                let (expert, first, count) = slots(of: chosen[index], space)
                experts[expert].down.multiply(
                    piece, space.routedBlocks.activations(gate + first * width, from: first), stride: width,
                    count: count, into: space.outputs.pointer + first * hidden + piece.lowerBound, stride: hidden,
                    scratch)
            }
        }
    }

    /// An expert's first slot, and how many it has.
    @inline(__always)
    private func slots(of expert: Int32, _ space: FeedForwardSpace) -> (expert: Int, first: Int, count: Int) {
        let expert = Int(expert)
        let first = Int(space.firstSlot[expert])
        return (expert, first, Int(space.firstSlot[expert + 1]) - first)
    }

    private func route(_ x: Activations, rows: Int, _ space: FeedForwardSpace, _ pool: ThreadPool) {
        let shape = router.experts
        // In fp32 whatever the precision: with less, close scores change places.
        router.gate(Activations(floats: x.floats, blocks: nil), count: rows, into: space.scores.pointer, pool)
        pool.run(rows) { row, _ in
            router.route(
                space.scores.pointer + row * shape.count,
                choice: space.choice.pointer + row * (shape.count + shape.groups),
                ids: space.ids + row * shape.perToken, weights: space.weights.pointer + row * shape.perToken)
        }
    }

    /// Orders all choices by expert, so that each expert's weights are read once.
    /// - Returns: how many experts have a token.
    private func group(rows: Int, _ space: FeedForwardSpace) -> Int {
        let shape = router.experts
        let choices = rows * shape.perToken
        space.firstSlot.update(repeating: 0, count: shape.count + 1)
        for k in 0..<choices { space.firstSlot[Int(space.ids[k]) + 1] += 1 }
        var active = 0
        for expert in 0..<shape.count {
            if space.firstSlot[expert + 1] > 0 {
                space.active[active] = Int32(expert)
                active += 1
            }
            space.firstSlot[expert + 1] += space.firstSlot[expert]
        }
        // Each expert's start moves on with its tokens, and is put back afterwards.
        for k in 0..<choices {
            let expert = Int(space.ids[k])
            space.slots[k] = space.firstSlot[expert]
            space.tokenOfSlot[Int(space.firstSlot[expert])] = Int32(k / shape.perToken)
            space.firstSlot[expert] += 1
        }
        for expert in stride(from: shape.count, to: 0, by: -1) { space.firstSlot[expert] = space.firstSlot[expert - 1] }
        space.firstSlot[0] = 0
        return active
    }
}

/// One layer's feed-forward: reads `normed`, writes `output`.
enum FeedForward: Sendable {
    case dense(GatedFeedForward)
    case sparse(SparseFeedForward)

    /// - Parameter sparse: whether it has experts; nil for what the configuration says.
    init(
        _ configuration: Configuration, layer: Int, sparse: Bool? = nil, from source: some WeightSource
    ) throws(FormatError) {
        let prefix = "model.layers.\(layer).mlp."
        if let experts = configuration.experts, sparse ?? configuration.isSparse(layer: layer) {
            self = .sparse(try SparseFeedForward(configuration, experts, layer: layer, prefix, from: source))
        } else {
            self = .dense(
                try GatedFeedForward(
                    prefix, hidden: configuration.hiddenSize, width: configuration.feedForwardSize,
                    bias: configuration.feedForwardBias, from: source))
        }
    }

    /// - Throws: ``FormatError`` where an expert cannot be read.
    func callAsFunction(_ workspace: Workspace) throws(FormatError) {
        switch self {
        case .dense(let feedForward):
            feedForward(
                workspace.input, count: workspace.batch.count, into: workspace.output.pointer, workspace.feedForward,
                workspace.feedForward.denseBlocks, workspace.pool)
        case .sparse(let feedForward): try feedForward(workspace)
        }
    }
}
