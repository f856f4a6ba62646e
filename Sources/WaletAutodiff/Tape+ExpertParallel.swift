extension Tape {
    /// Routed experts, each held by one process: rows travel to the processes of their experts, and results come back times
    /// the row's weights. All processes run the pass, and its way back, with rows of their own.
    ///
    /// On the way back the gradients of the held experts are those of all processes' rows; those of others have none.
    /// - Parameters:
    ///   - x: `[rows, hidden]`
    ///   - experts: as many as the routing has. Only those that this process holds need values.
    /// - Returns: `[rows, hidden]`
    public func experts(
        _ x: Tensor, _ experts: [GatedWeights], _ routing: Routing, over transport: any ExpertTransport
    ) -> Tensor {
        precondition(experts.count == routing.experts && routing.ids.count == x.rows * routing.perToken)
        let (hidden, arena) = (x.columns, arena)
        let route = ExpertRoute(routing, transport)
        let block = ExpertBlock(experts: Array(experts[route.experts]), firstSlot: route.firstSlot, arena)
        /// The rows of `source` where their experts are, `[slots, hidden]`
        func carried(_ source: UnsafePointer<Float>) -> Tensor {
            route.carry(routing.gathered(source, columns: hidden, arena), columns: hidden, arena)
        }
        /// target += each row's results from where their experts are.
        func combine(_ source: Tensor, into target: UnsafeMutablePointer<Float>, adding: Bool) {
            let brought = route.bring(source, columns: hidden, arena)
            routing.combine(brought, into: target, columns: hidden, adding: adding, arena)
        }
        let input = carried(x.pointer)
        let scale = route.carry(routing.scales(arena), columns: 1, arena)
        let y = arena.tensor(x.shape)
        let outputs = arena.scratch(route.slots * hidden)
        block.forward(input.pointer, scale: scale.pointer, into: outputs.pointer)
        combine(outputs, into: y.pointer, adding: false)
        record {
            // Zeros where nothing has reached it: the other processes' rows must not wait.
            let dOutputs = carried(y.zeroedGradient())
            let (dScale, dInputs) = (arena.scratch(route.slots), arena.scratch(route.slots * hidden))
            // Nothing uses it later, and its memory must not go to what the block takes meanwhile.
            withExtendedLifetime(dOutputs) {
                block.backward(
                    input.pointer, dy: dOutputs.pointer, scale: scale.pointer, dScale: dScale.pointer,
                    dx: dInputs.pointer, adding: false)
            }
            routing.addToWeightGradients(route.bring(dScale, columns: 1, arena))
            let (dx, isSet) = x.gradientTarget()
            combine(dInputs, into: dx, adding: isSet)
        }
        return y
    }
}
