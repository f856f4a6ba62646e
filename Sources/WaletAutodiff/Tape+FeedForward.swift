import CWaletAutodiff
import WaletTensor

/// The matrices of a gated feed-forward: down(silu(gate x) * up x).
public struct GatedWeights {
    /// `[width, hidden]`
    public let gate: Tensor
    /// `[width, hidden]`
    public let up: Tensor
    /// `[hidden, width]`
    public let down: Tensor

    public init(gate: Tensor, up: Tensor, down: Tensor) {
        self.gate = gate
        self.up = up
        self.down = down
    }
}

extension Tape {
    /// A dense gated feed-forward.
    /// - Parameter x: `[rows, hidden]`
    /// - Returns: `[rows, hidden]`
    public func feedForward(_ x: Tensor, _ weights: GatedWeights) -> Tensor {
        let block = ExpertBlock(experts: [weights], firstSlot: [0, x.rows], arena)
        let y = arena.tensor(x.shape)
        block.forward(x.pointer, scale: nil, into: y.pointer)
        record {
            guard let dy = y.gradient else { return }
            let (dx, isSet) = x.gradientTarget()
            block.backward(x.pointer, dy: dy, scale: nil, dScale: nil, dx: dx, adding: isSet)
        }
        return y
    }

    /// Routed experts: each row goes to its experts, and their results come back times the row's weights.
    /// - Parameters:
    ///   - x: `[rows, hidden]`
    ///   - experts: as many as the routing has.
    /// - Returns: `[rows, hidden]`
    public func experts(_ x: Tensor, _ experts: [GatedWeights], _ routing: Routing) -> Tensor {
        precondition(experts.count == routing.experts && routing.ids.count == x.rows * routing.perToken)
        let (slots, hidden, arena) = (routing.ids.count, x.columns, arena)
        let block = ExpertBlock(experts: experts, firstSlot: routing.firstSlot, arena)
        let gathered = routing.gathered(x.pointer, columns: hidden, arena)
        let scale = routing.scales(arena)
        let y = arena.tensor(x.shape)
        do {
            let outputs = arena.scratch(slots * hidden)
            block.forward(gathered.pointer, scale: scale.pointer, into: outputs.pointer)
            routing.combine(outputs, into: y.pointer, columns: hidden, adding: false, arena)
        }
        record {
            guard let dy = y.gradient else { return }
            let dGathered = routing.gathered(dy, columns: hidden, arena)
            let (dScale, dInputs) = (arena.scratch(slots), arena.scratch(slots * hidden))
            // Nothing uses it later, and its memory must not go to what the block takes meanwhile.
            withExtendedLifetime(dGathered) {
                block.backward(
                    gathered.pointer, dy: dGathered.pointer, scale: scale.pointer, dScale: dScale.pointer,
                    dx: dInputs.pointer, adding: false)
            }
            routing.addToWeightGradients(dScale)
            let (dx, isSet) = x.gradientTarget()
            routing.combine(dInputs, into: dx, columns: hidden, adding: isSet, arena)
        }
        return y
    }
}

/// Gated feed-forwards over rows in the order of experts, tile by tile: what a tile makes is still in the cache when the
/// next product reads it.
final class ExpertBlock {
    static let tileRows = 256

    let experts: [GatedWeights]
    let firstSlot: [Int]
    let arena: Arena
    let hidden: Int
    let width: Int
    /// gate x and up x, and after the way back their gradients; silu(gate x) * up x * scale. `[slots, width]`
    let gate: Tensor
    let up: Tensor
    let inner: Tensor
    /// Which expert, and which slots.
    let tiles: [(expert: Int, slots: Range<Int>)]

    init(experts: [GatedWeights], firstSlot: [Int], _ arena: Arena) {
        self.experts = experts
        self.firstSlot = firstSlot
        self.arena = arena
        width = experts[0].gate.rows
        hidden = experts[0].gate.columns
        let slots = firstSlot[experts.count]
        gate = arena.scratch(slots * width)
        up = arena.scratch(slots * width)
        inner = arena.scratch(slots * width)
        var tiles: [(expert: Int, slots: Range<Int>)] = []
        for expert in experts.indices {
            let end = firstSlot[expert + 1]
            for first in stride(from: firstSlot[expert], to: end, by: Self.tileRows) {
                tiles.append((expert, first..<min(end, first + Self.tileRows)))
            }
        }
        self.tiles = tiles
    }

    /// - Parameters:
    ///   - x: `[slots, hidden]`
    ///   - scale: of each slot's result; nil for ones.
    ///   - y: `[slots, hidden]`
    func forward(_ x: UnsafePointer<Float>, scale: UnsafePointer<Float>?, into y: UnsafeMutablePointer<Float>) {
        let (hidden, width) = (hidden, width)
        arena.pool.run(tiles.count) { task, _ in
            let (expert, slots) = tiles[task]
            let (first, count, weights) = (slots.lowerBound, slots.count, experts[expert])
            let input = Factor(x + first * hidden, stride: hidden)
            let place = first * width
            for (matrix, target) in [(weights.gate, gate), (weights.up, up)] {
                multiply(
                    count, width, hidden, input, Factor(matrix.pointer, stride: hidden, transposed: true), beta: 0,
                    into: target.pointer + place, stride: width)
            }
            wa_swiglu(
                gate.pointer + place, up.pointer + place, scale.map { $0 + first }, Int64(count), Int64(width),
                inner.pointer + place)
            multiply(
                count, hidden, width, Factor(inner.pointer + place, stride: width),
                Factor(weights.down.pointer, stride: width, transposed: true), beta: 0, into: y + first * hidden,
                stride: hidden)
        }
    }

    /// Adds to the gradients of the matrices.
    /// - Parameters:
    ///   - dScale: receives the gradients of the scales.
    ///   - dx: receives the gradient of x, or has it added.
    func backward(
        _ x: UnsafePointer<Float>, dy: UnsafePointer<Float>, scale: UnsafePointer<Float>?,
        dScale: UnsafeMutablePointer<Float>?, dx: UnsafeMutablePointer<Float>, adding: Bool
    ) {
        let (hidden, width) = (hidden, width)
        let dInner = arena.scratch(gate.count)
        arena.pool.run(tiles.count) { task, _ in
            let (expert, slots) = tiles[task]
            let (first, count, weights) = (slots.lowerBound, slots.count, experts[expert])
            let place = first * width
            multiply(
                count, width, hidden, Factor(dy + first * hidden, stride: hidden),
                Factor(weights.down.pointer, stride: width), beta: 0, into: dInner.pointer + place, stride: width)
            wa_swiglu_backward(
                gate.pointer + place, up.pointer + place, scale.map { $0 + first }, dInner.pointer + place,
                Int64(count), Int64(width), dScale.map { $0 + first })
            for (index, (slope, matrix)) in [(gate, weights.gate), (up, weights.up)].enumerated() {
                multiply(
                    count, hidden, width, Factor(slope.pointer + place, stride: width),
                    Factor(matrix.pointer, stride: hidden), beta: index == 0 && !adding ? 0 : 1,
                    into: dx + first * hidden, stride: hidden)
            }
        }
        accumulate(x, dy: dy)
    }

    /// The gradients of the matrices: bands of rows of each, so that one dense feed-forward keeps all workers busy too.
    private func accumulate(_ x: UnsafePointer<Float>, dy: UnsafePointer<Float>) {
        struct Band {
            let target: UnsafeMutablePointer<Float>
            let columns: Int
            let rows: Int
            let slots: Range<Int>
            let slope: Factor
            let input: Factor
            let beta: Float
        }
        let (hidden, width) = (hidden, width)
        var bands: [Band] = []
        for (expert, weights) in experts.enumerated() {
            let slots = firstSlot[expert]..<firstSlot[expert + 1]
            if slots.isEmpty { continue }
            let outer = (dy + slots.lowerBound * hidden, x + slots.lowerBound * hidden)
            let place = slots.lowerBound * width
            for (matrix, slope, slopeStride, input, inputStride) in [
                (weights.gate, UnsafePointer(gate.pointer + place), width, outer.1, hidden),
                (weights.up, UnsafePointer(up.pointer + place), width, outer.1, hidden),
                (weights.down, outer.0, hidden, UnsafePointer(inner.pointer + place), width),
            ] where matrix.needsGradient {
                let (target, isSet) = matrix.gradientTarget()
                for first in stride(from: 0, to: matrix.rows, by: 256) {
                    bands.append(
                        Band(
                            target: target + first * matrix.columns, columns: matrix.columns,
                            rows: min(256, matrix.rows - first), slots: slots,
                            slope: Factor(slope + first, stride: slopeStride, transposed: true),
                            input: Factor(input, stride: inputStride), beta: isSet ? 1 : 0))
                }
            }
        }
        arena.pool.run(bands.count) { task, _ in
            let band = bands[task]
            multiply(
                band.rows, band.columns, band.slots.count, band.slope, band.input, beta: band.beta, into: band.target,
                stride: band.columns)
        }
    }
}
