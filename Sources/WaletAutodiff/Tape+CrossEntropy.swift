import CWaletAutodiff
import WaletTensor

/// What cross-entropy gives.
public struct CrossEntropy {
    /// The sum of the objective over the rows that have a target.
    public let loss: Double
    /// -ln p(target) of each row; 0 where there is no target.
    public let tokenLosses: [Float]
}

extension Tape {
    /// Cross-entropy times a factor; see ``crossEntropy(_:head:targets:objective:)``.
    /// - Parameter weight: of each row's loss, such as 1 / rows.
    public func crossEntropy(_ x: Tensor, head: Tensor, targets: [Int32], weight: Float) -> CrossEntropy {
        crossEntropy(x, head: head, targets: targets) { _, loss in (weight * loss, weight) }
    }

    /// The logits of rows in chunks, their softmax against targets, and at once the gradients of `x` and `head`: nothing
    /// of the size of all logits is ever there.
    /// - Parameters:
    ///   - x: `[rows, hidden]`
    ///   - head: `[vocabulary, hidden]`
    ///   - targets: a row's right answer; negative where it has none.
    ///   - objective: what a row adds to the loss, given the row and -ln p(target), and by how much that grows with it.
    ///     Called on the pool's workers, so it may read but not write what it shares.
    public func crossEntropy(
        _ x: Tensor, head: Tensor, targets: [Int32],
        objective: (_ row: Int, _ tokenLoss: Float) -> (value: Float, slope: Float)
    ) -> CrossEntropy {
        let (hidden, vocabulary) = (head.columns, head.rows)
        precondition(targets.count == x.rows && x.columns == hidden)
        precondition(targets.allSatisfy { Int($0) < vocabulary })
        let rows = targets.indices.filter { targets[$0] >= 0 }
        var tokenLosses = [Float](repeating: 0, count: targets.count)
        var loss = 0.0
        // About four million logits at a time.
        let size = min(max(32, (1 << 22) / vocabulary), max(1, rows.count))
        // Rows a multiple of 4 KB apart fall into the same lines of the first cache, and a product reads many rows at once.
        let step = vocabulary % 1024 == 0 ? vocabulary + 16 : vocabulary
        let logits = arena.scratch(size * step)
        let inputs = arena.scratch(size * hidden)
        let slopes: Tensor? = isRecording ? arena.scratch(rows.count * hidden) : nil
        for first in stride(from: 0, to: rows.count, by: size) {
            let chunk = rows[first..<min(rows.count, first + size)]
            for (index, row) in chunk.enumerated() {
                (inputs.pointer + index * hidden).update(from: x.pointer + row * hidden, count: hidden)
            }
            arena.product(
                chunk.count, vocabulary, hidden, Factor(inputs.pointer, stride: hidden),
                Factor(head.pointer, stride: hidden, transposed: true), beta: 0, into: logits.pointer,
                stride: step)
            let values = arena.scratch(chunk.count)
            tokenLosses.withUnsafeMutableBufferPointer { tokenLosses in
                arena.forRows(chunk.count, size: 8) { part in
                    for index in part {
                        let row = chunk[chunk.startIndex + index]
                        let logit = logits.pointer + index * step
                        let logSum = wa_log_sum_exp(logit, Int64(vocabulary))
                        tokenLosses[row] = logSum - logit[Int(targets[row])]
                        let (value, slope) = objective(row, tokenLosses[row])
                        values.pointer[index] = value
                        guard slopes != nil else { continue }
                        wa_exponentials(logit, Int64(vocabulary), logSum, slope)
                        logit[Int(targets[row])] -= slope
                    }
                }
            }
            for index in 0..<chunk.count { loss += Double(values.pointer[index]) }
            guard let slopes else { continue }
            arena.product(
                chunk.count, hidden, vocabulary, Factor(logits.pointer, stride: step),
                Factor(head.pointer, stride: hidden), beta: 0, into: slopes.pointer + first * hidden, stride: hidden)
            if head.needsGradient {
                let (target, isSet) = head.gradientTarget()
                arena.product(
                    vocabulary, hidden, chunk.count, Factor(logits.pointer, stride: step, transposed: true),
                    Factor(inputs.pointer, stride: hidden), beta: isSet ? 1 : 0, into: target, stride: hidden)
            }
        }
        if let slopes {
            record { x.addRows(slopes, rows) }
        }
        return CrossEntropy(loss: loss, tokenLosses: tokenLosses)
    }
}

extension Tensor {
    /// gradient[rows[i]] += source[i]
    fileprivate func addRows(_ source: Tensor, _ rows: [Int]) {
        let target = zeroedGradient()
        for (index, row) in rows.enumerated() {
            wa_blend(target + row * columns, 1, source.pointer + index * columns, 1, Int64(columns))
        }
    }
}
