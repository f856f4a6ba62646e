import CWaletKernels
import WaletTensor

/// What was computed, so that gradients can be computed from it in reverse.
///
/// ```swift
/// let tape = Tape(arena)
/// let x = tape.embedding(of: tokens, in: table)
/// let loss = tape.crossEntropy(tape.linear(x, weight), head: head, targets: targets, weight: 1 / Float(targets.count))
/// tape.backward()      // weight.gradient, table.gradient and head.gradient are set
/// ```
///
/// Each operation is a fused one with its backward written by hand. There is one scalar to differentiate: the sum of the
/// loss terms, each of which gets its factor when it is computed. That lets the largest one, cross-entropy, leave its
/// gradient behind at once and forget its logits.
public final class Tape {
    public let arena: Arena
    /// False where nothing is to be differentiated: operations then keep nothing.
    public let isRecording: Bool
    /// True while operations run a second time, because their results were not kept.
    public let isReplay: Bool
    private var steps: [() -> Void] = []

    public init(_ arena: Arena, recording: Bool = true) {
        self.arena = arena
        isRecording = recording
        isReplay = false
    }

    init(replaying arena: Arena) {
        self.arena = arena
        isRecording = true
        isReplay = true
    }

    /// Notes what an operation has to do on the way back.
    func record(_ backward: @escaping () -> Void) { if isRecording { steps.append(backward) } }

    /// Takes the gradients of all loss terms back to every tensor that needs one, adding to what is there. The memory of
    /// intermediate results becomes free on the way.
    public func backward() {
        while let step = steps.popLast() { step() }
    }

    /// x + y
    /// - Parameters: x, y: `[rows, columns]`
    public func add(_ x: Tensor, _ y: Tensor) -> Tensor {
        precondition(x.count == y.count)
        let z = arena.tensor(x.shape)
        arena.forRows(x.rows, size: 64) { rows in
            let (first, count) = (rows.lowerBound * x.columns, rows.count * x.columns)
            (z.pointer + first).update(from: x.pointer + first, count: count)
            wk_add(y.pointer + first, z.pointer + first, Int64(count))
        }
        record { [arena] in
            guard z.gradient != nil else { return }
            if y.needsGradient { y.add(gradientOf: z, arena) }
            if x.needsGradient {
                if x.gradient == nil { x.adoptGradient(of: z) } else { x.add(gradientOf: z, arena) }
            }
        }
        return z
    }

    /// Some rows of x.
    /// - Parameters:
    ///   - x: `[any, columns]`
    ///   - rows: ascending.
    /// - Returns: `[rows.count, columns]`
    public func select(_ x: Tensor, rows: [Int]) -> Tensor {
        let columns = x.columns
        let y = arena.tensor([rows.count, columns])
        for (index, row) in rows.enumerated() {
            (y.pointer + index * columns).update(from: x.pointer + row * columns, count: columns)
        }
        record {
            guard let dy = y.gradient else { return }
            let dx = x.zeroedGradient()
            for (index, row) in rows.enumerated() { wk_add(dy + index * columns, dx + row * columns, Int64(columns)) }
        }
        return y
    }

    /// The columns of x and then those of y.
    /// - Parameters: x, y: `[rows, any]`
    /// - Returns: `[rows, columns of x + columns of y]`
    public func concatenate(_ x: Tensor, _ y: Tensor) -> Tensor {
        precondition(x.rows == y.rows)
        let (left, right) = (x.columns, y.columns)
        let z = arena.tensor([x.rows, left + right])
        for row in 0..<x.rows {
            let target = z.pointer + row * (left + right)
            target.update(from: x.pointer + row * left, count: left)
            (target + left).update(from: y.pointer + row * right, count: right)
        }
        record {
            guard let dz = z.gradient else { return }
            for (part, offset) in [(x, 0), (y, left)] where part.needsGradient {
                let target = part.zeroedGradient()
                for row in 0..<part.rows {
                    wk_add(
                        dz + row * (left + right) + offset, target + row * part.columns, Int64(part.columns))
                }
            }
        }
        return z
    }
}

extension Tensor {
    /// gradient += the gradient of `other`, which has this shape.
    func add(gradientOf other: Tensor, _ arena: Arena) {
        guard let source = other.gradient else { return }
        let (target, isSet) = gradientTarget()
        arena.forRows(rows, size: 64) { rows in
            let (first, count) = (rows.lowerBound * columns, rows.count * columns)
            if isSet {
                wk_add(source + first, target + first, Int64(count))
            } else {
                (target + first).update(from: source + first, count: count)
            }
        }
    }
}
