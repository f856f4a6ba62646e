import Testing
import WaletAutodiff

extension AutodiffTests {
    /// Gradients against the slopes of the loss itself, along random directions.
    @Suite struct FiniteDifferenceTests {
        /// - Parameters:
        ///   - inputs: what is moved.
        ///   - compute: the result, whose sum with fixed random factors is the loss. Called anew each time, so it copies
        ///     what an operation changes in place.
        private func check(
            _ inputs: [Tensor], step: Float = 1e-2, within tolerance: Double = 2e-3,
            _ compute: (Tape) -> Tensor, extra: (Tape) -> Double = { _ in 0 }
        ) throws {
            let arena = try makeArena()
            var random = Random(state: 77)
            let tape = Tape(arena)
            let result = compute(tape)
            _ = extra(tape)
            let factors = (0..<result.count).map { _ in random.next() }
            result.zeroedGradient().update(from: factors, count: result.count)
            tape.backward()
            func loss() -> Double {
                let quiet = Tape(arena, recording: false)
                let sum = dot(compute(quiet).values, factors)
                return sum + extra(quiet)
            }
            for input in inputs {
                for _ in 0..<3 {
                    let direction = (0..<input.count).map { _ in random.next() }
                    let slope = dot(input.gradientValues, direction)
                    let before = input.values
                    for i in 0..<input.count { input.pointer[i] = before[i] + step * direction[i] }
                    let above = loss()
                    for i in 0..<input.count { input.pointer[i] = before[i] - step * direction[i] }
                    let below = loss()
                    input.pointer.update(from: before, count: input.count)
                    let measured = (above - below) / Double(2 * step)
                    let size = dot(input.gradientValues, input.gradientValues).squareRoot()
                    #expect(abs(measured - slope) < tolerance * max(size, 1e-3), "\(measured) instead of \(slope)")
                }
            }
        }

        @Test func embeddingAddsWhatItsTokensGet() throws {
            var random = Random(state: 1)
            let table = random.tensor([9, 70])
            try check([table]) { $0.embedding(of: [3, 1, 3, 8, 3], in: table) }
        }

        @Test func sumsSelectionsAndConcatenations() throws {
            var random = Random(state: 2)
            let (x, y) = (random.tensor([6, 5]), random.tensor([6, 5]))
            try check([x, y]) { tape in
                let sum = tape.add(x, tape.add(y, x))
                return tape.concatenate(tape.select(sum, rows: [0, 2, 5]), tape.select(y, rows: [1, 2, 3]))
            }
        }

        @Test func normsOfHeadsAndOfFirstColumns() throws {
            var random = Random(state: 3)
            let (x, w) = (random.tensor([7, 24]), random.tensor([8]))
            try check([x, w]) { $0.rmsNorm(x, w, epsilon: 1e-3) }
            x.forgetGradient()
            w.forgetGradient()
            try check([x, w]) { tape in
                tape.add(
                    tape.rmsNorm(x, w, epsilon: 1e-3, ofFirstColumns: true),
                    tape.rmsNorm(tape.select(x, rows: Array(0..<7)), w, epsilon: 1e-3, ofFirstColumns: true))
            }
        }

        @Test(arguments: [RouterRule.Scoring.sigmoid, .softmax]) func balanceLossOfASequence(
            scoring: RouterRule.Scoring
        ) throws {
            var random = Random(state: 4)
            let logits = random.tensor([10, 5])
            let rule = RouterRule(scoring: scoring, perToken: 2, normalized: true, scale: 1.5)
            let balance = SequenceBalance(weight: 3, segments: [0..<6, 6..<10])
            // The choice does not move with the scores, as it has no slope.
            let fixed: [(Int32, Int32)] = (0..<10).map { (row: Int) in
                (Int32(row % 5), Int32((row + 1 + row / 5) % 5))
            }
            func route(_ tape: Tape) -> Routing {
                var row = 0
                return tape.route(logits, rule, balance: balance) { _, ids in
                    (ids[0], ids[1]) = fixed[row]
                    row += 1
                }
            }
            var last = 0.0
            try check([logits], within: 1e-2) { tape in
                let routing = route(tape)
                last = routing.balanceLoss
                return routing.weights
            } extra: { _ in
                last
            }
        }

        @Test func attentionOverSeveralBlocksOfKeys() throws {
            var random = Random(state: 5)
            let (query, key, value) = (random.tensor([330, 8]), random.tensor([330, 4]), random.tensor([330, 4]))
            try check([query, key, value], step: 1e-3, within: 1e-2) {
                $0.groupedAttention(
                    query: query, key: key, value: value, heads: 2, keyValueHeads: 1, segments: [0..<330], scale: 1
                ).output
            }
        }
    }
}
