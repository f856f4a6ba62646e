import CWaletAutodiff
import CWaletKernels
import Testing
import WaletAutodiff

extension AutodiffTests {
    /// The same numbers whatever the threads, what is kept, and the instruction set.
    @Suite struct RepeatabilityTests {
        /// A feed-forward with experts over enough rows for several tiles; the gradients of all weights.
        private func gradients(threads: Int, keeping: Tape.Keeping) throws -> [[Float]] {
            let arena = try makeArena(threads: threads)
            var random = Random(state: 9)
            let x = random.tensor([700, 40])
            let (norm, gate, head) = (random.tensor([40]), random.tensor([4, 40]), random.tensor([90, 40]))
            let experts = (0..<4).map { _ in
                GatedWeights(
                    gate: random.tensor([24, 40]), up: random.tensor([24, 40]), down: random.tensor([40, 24]))
            }
            let rule = RouterRule(scoring: .sigmoid, perToken: 2, normalized: true, scale: 1)
            for _ in 0..<2 {
                let tape = Tape(arena)
                let y = tape.recomputed(tape.add(x, x), keeping: keeping) { tape, x in
                    let normed = tape.rmsNorm(x, norm, epsilon: 1e-5)
                    let routing = tape.route(tape.linear(normed, gate), rule, choose: largest(2, 4))
                    return tape.add(x, tape.experts(normed, experts, routing))
                }
                _ = tape.crossEntropy(y, head: head, targets: (0..<700).map { Int32($0 % 90) }, weight: 0.01)
                tape.backward()
            }
            return ([x, norm, gate, head] + experts.flatMap { [$0.gate, $0.up, $0.down] }).map(\.gradientValues)
        }

        @Test func threadsDoNotChangeASingleBit() throws {
            #expect(try gradients(threads: 1, keeping: .everything) == gradients(threads: 2, keeping: .everything))
        }

        @Test func recomputationChangesNothing() throws {
            #expect(try gradients(threads: 2, keeping: .everything) == gradients(threads: 2, keeping: .input))
        }

        @Test func halfInputsRoundAndNoMore() throws {
            let whole = try gradients(threads: 2, keeping: .everything)
            let half = try gradients(threads: 2, keeping: .halfInput)
            #expect(whole != half)
            // A few rows choose another expert; the gradient of the head sees all of them.
            #expect(distance(half[3], whole[3]) < 0.05)
        }

        @Test func memoryGoesFromStepToStep() throws {
            let arena = try makeArena()
            var random = Random(state: 3)
            let (x, w) = (random.tensor([64, 32]), random.tensor([32, 32]))
            var idle: [Int] = []
            for _ in 0..<3 {
                let tape = Tape(arena)
                let y = tape.linear(tape.linear(x, w), w)
                y.zeroedGradient()
                tape.backward()
                idle.append(arena.idleFloats)
            }
            #expect(idle[1] == idle[2])
        }

        #if arch(x86_64)
            @Test(arguments: ["generic", "avx2"]) func instructionSetsAgree(_ name: String) throws {
                let best = String(cString: wk_isa())
                let reference = try gradients(threads: 2, keeping: .everything)
                guard wk_force_isa(name) else {
                    print("note: this CPU lacks \(name), so its kernels were not tested here")
                    return
                }
                defer { _ = wk_force_isa(best) }
                for (a, b) in zip(reference, try gradients(threads: 2, keeping: .everything)) {
                    #expect(distance(b, a) < 1e-5)
                }
            }
        #endif

        @Test func exponentialsReachTheEndsOfTheirRange() {
            var values: [Float] = [-1000, -87, -10, 0, 1e-3, 10, 88, .nan, 0.5]
            let exact = values.map { Float(exponential(Double($0))) }
            wa_exponentials(&values, Int64(values.count), 0, 1)
            for (ours, theirs) in zip(values, exact) {
                if theirs.isNaN {
                    #expect(ours.isNaN)
                } else {
                    #expect(abs(ours - theirs) <= 3e-7 * theirs + 2e-38)
                }
            }
        }

        @Test func halvesAreRoundedToNearestEven() {
            let values: [Float] = [1, 1.00390625, 1.01171875, -3.14159, .infinity, .nan, 1e-30, 3.4e38]
            var half = [UInt16](repeating: 0, count: values.count)
            wa_to_bf16(values, &half, Int64(values.count))
            #expect(half[0] == 0x3F80 && half[1] == 0x3F80 && half[2] == 0x3F82 && half[4] == 0x7F80)
            var back = [Float](repeating: 0, count: values.count)
            wa_from_bf16(half, &back, Int64(values.count))
            #expect(abs(back[3] + 3.14159) < 0.01 && back[5].isNaN && back[7] == .infinity)
        }
    }
}
