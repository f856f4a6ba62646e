import CWaletKernels

// Rows, and their copies in the order of experts.
extension Routing {
    /// The rows of `source` in the order of experts, `[slots, columns]`
    func gathered(_ source: UnsafePointer<Float>, columns: Int, _ arena: Arena) -> Tensor {
        let target = arena.scratch(ids.count * columns)
        arena.forRows(ids.count, size: 64) { part in
            for slot in part {
                let row = Int(choiceOfSlot[slot]) / perToken
                (target.pointer + slot * columns).update(from: source + row * columns, count: columns)
            }
        }
        return target
    }

    /// target += each row's copies, in the order of its choices.
    /// - Parameter source: `[slots, columns]`
    func combine(
        _ source: Tensor, into target: UnsafeMutablePointer<Float>, columns: Int, adding: Bool, _ arena: Arena
    ) {
        arena.forRows(ids.count / perToken, size: 64) { part in
            for row in part {
                for k in 0..<perToken {
                    let copy = source.pointer + Int(slotOfChoice[row * perToken + k]) * columns
                    if k == 0, !adding {
                        (target + row * columns).update(from: copy, count: columns)
                    } else {
                        wk_add(copy, target + row * columns, Int64(columns))
                    }
                }
            }
        }
    }

    /// The weight of each slot, `[slots]`
    func scales(_ arena: Arena) -> Tensor {
        let scale = arena.scratch(ids.count)
        for (slot, choice) in choiceOfSlot.enumerated() { scale.pointer[slot] = weights.pointer[Int(choice)] }
        return scale
    }

    /// - Parameter dScale: the gradients of the slots' weights, `[slots]`
    func addToWeightGradients(_ dScale: Tensor) {
        let target = weights.zeroedGradient()
        for (slot, choice) in choiceOfSlot.enumerated() { target[Int(choice)] += dScale.pointer[slot] }
    }
}
