import CWaletKernels
import WaletTensor

extension Tape {
    /// The rows of a table.
    /// - Parameters:
    ///   - tokens: numbers of rows.
    ///   - table: `[vocabulary, hidden]`
    /// - Returns: `[tokens, hidden]`
    public func embedding(of tokens: [Int32], in table: Tensor) -> Tensor {
        let hidden = table.columns
        let x = arena.tensor([tokens.count, hidden])
        for (row, token) in tokens.enumerated() {
            precondition(token >= 0 && Int(token) < table.rows)
            (x.pointer + row * hidden).update(from: table.pointer + Int(token) * hidden, count: hidden)
        }
        record { [arena] in
            guard let dx = x.gradient, table.needsGradient else { return }
            let target = table.zeroedGradient()
            // A worker has some columns, so that the order of sums is that of the tokens.
            arena.forRows(hidden, size: max(64, (hidden + 7) / 8)) { columns in
                let (first, count) = (columns.lowerBound, Int64(columns.count))
                for (row, token) in tokens.enumerated() {
                    wk_add(dx + row * hidden + first, target + Int(token) * hidden + first, count)
                }
            }
        }
        return x
    }

    /// y = x Wᵀ + b
    /// - Parameters:
    ///   - x: `[rows, inputs]`
    ///   - weight: `[outputs, inputs]`
    ///   - bias: `[outputs]`
    /// - Returns: `[rows, outputs]`
    public func linear(_ x: Tensor, _ weight: Tensor, bias: Tensor? = nil) -> Tensor {
        let (rows, inputs, outputs) = (x.rows, weight.columns, weight.rows)
        precondition(x.columns == inputs)
        let y = arena.tensor([rows, outputs])
        if let bias {
            for row in 0..<rows { (y.pointer + row * outputs).update(from: bias.pointer, count: outputs) }
        }
        arena.product(
            rows, outputs, inputs, Factor(x.pointer, stride: inputs),
            Factor(weight.pointer, stride: inputs, transposed: true), beta: bias == nil ? 0 : 1, into: y.pointer,
            stride: outputs)
        record { [arena] in
            guard let dy = y.gradient else { return }
            if x.needsGradient {
                let (dx, isSet) = x.gradientTarget()
                arena.product(
                    rows, inputs, outputs, Factor(dy, stride: outputs), Factor(weight.pointer, stride: inputs),
                    beta: isSet ? 1 : 0, into: dx, stride: inputs)
            }
            if weight.needsGradient {
                let (dw, isSet) = weight.gradientTarget()
                arena.product(
                    outputs, inputs, rows, Factor(dy, stride: outputs, transposed: true),
                    Factor(x.pointer, stride: inputs), beta: isSet ? 1 : 0, into: dw, stride: inputs)
            }
            if let bias, bias.needsGradient {
                let db = bias.zeroedGradient()
                for row in 0..<rows { wk_add(dy + row * outputs, db, Int64(outputs)) }
            }
        }
        return y
    }
}
