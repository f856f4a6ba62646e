import Foundation
import Testing
import WaletAutodiff

extension AutodiffTests {
    /// Results and gradients of single operations, against PyTorch's (`Tools/oracle/operations.py`).
    @Suite struct OperationTests {
        static let lengths = [270, 1, 20]
        static var segments: [Range<Int>] {
            var end = 0
            return lengths.map {
                end += $0
                return end - $0..<end
            }
        }

        @Test func linearIsPyTorchs() throws {
            let expected = try Expected("linear")
            let tape = Tape(try makeArena())
            let (x, w, b) = (
                try expected.tensor("x"), try expected.tensor("weight"), try expected.tensor("bias")
            )
            try expected.check(tape.linear(x, w, bias: b), tape, [("x", x), ("weight", w), ("bias", b)])
        }

        /// OpenBLAS is told which kernels to use, so its products are not taken on trust.
        @Test(arguments: [
            [1, 1, 1], [3, 65, 17], [300, 97, 130], [129, 600, 31], [700, 130, 257], [64, 64, 4096],
        ])
        func productsAreThoseOfTheDefinition(_ sizes: [Int]) throws {
            let (rows, outputs, inputs) = (sizes[0], sizes[1], sizes[2])
            var random = Random(state: UInt64(rows))
            let (x, w) = (random.tensor([rows, inputs]), random.tensor([outputs, inputs]))
            let tape = Tape(try makeArena())
            let y = tape.linear(x, w)
            let slopes = random.tensor([rows, outputs])
            y.zeroedGradient().update(from: slopes.pointer, count: y.count)
            func sum(_ count: Int, _ term: (Int) -> Float) -> Float {
                Float((0..<count).reduce(0.0) { $0 + Double(term($1)) })
            }
            /// Every number would take too long.
            func check(_ ours: [Float], _ columns: Int, _ value: (_ row: Int, _ column: Int) -> Float, terms: Int) {
                for index in stride(from: 0, to: ours.count, by: max(1, ours.count / 500)) {
                    let theirs = value(index / columns, index % columns)
                    #expect(abs(ours[index] - theirs) < 1e-5 * Float(terms).squareRoot())
                }
            }
            check(
                y.values, outputs, { r, o in sum(inputs) { x.pointer[r * inputs + $0] * w.pointer[o * inputs + $0] } },
                terms: inputs)
            tape.backward()
            check(
                x.gradientValues, inputs,
                { r, i in sum(outputs) { slopes.pointer[r * outputs + $0] * w.pointer[$0 * inputs + i] } },
                terms: outputs)
            check(
                w.gradientValues, inputs,
                { o, i in sum(rows) { slopes.pointer[$0 * outputs + o] * x.pointer[$0 * inputs + i] } }, terms: rows)
        }

        @Test func rmsNormIsPyTorchs() throws {
            let expected = try Expected("rms_norm")
            let tape = Tape(try makeArena())
            let (x, w) = (try expected.tensor("x"), try expected.tensor("weight"))
            try expected.check(tape.rmsNorm(x, w, epsilon: 1e-5), tape, [("x", x), ("weight", w)])
        }

        @Test(arguments: [true, false]) func rotationIsPyTorchs(interleaved: Bool) throws {
            let expected = try Expected(interleaved ? "rope_interleaved" : "rope_half")
            let tape = Tape(try makeArena())
            let source = try expected.tensor("x")
            let x = Tensor([5, 24], source.values)
            let angles = RopeAngles(rows: 5, pairs: 4, interleaved: interleaved) { row, cosines, sines in
                for (i, frequency) in [1, 0.31622776, 0.1, 0.031622776].enumerated() {
                    (cosines[i], sines[i]) = (cosine(Double(row) * frequency), sine(Double(row) * frequency))
                }
            }
            tape.rotate(x, by: angles, offset: 0, heads: 3, headStride: 8)
            try expected.check(x, tape, [("x", x)])
        }

        @Test func feedForwardIsPyTorchs() throws {
            let expected = try Expected("feed_forward")
            let tape = Tape(try makeArena())
            let x = try expected.tensor("x")
            let weights = GatedWeights(
                gate: try expected.tensor("gate"), up: try expected.tensor("up"), down: try expected.tensor("down"))
            try expected.check(
                tape.feedForward(x, weights), tape,
                [("x", x), ("gate", weights.gate), ("up", weights.up), ("down", weights.down)])
        }

        @Test func latentAttentionIsPyTorchs() throws {
            let expected = try Expected("latent")
            let tape = Tape(try makeArena())
            let query = try expected.tensor("query")
            let keyValue = try expected.tensor("keyValue")
            let compressed = try expected.tensor("compressed")
            let attended = tape.latentAttention(
                query: query, keyValue: keyValue, compressed: compressed,
                LatentSizes(heads: 2, latent: 3, plain: 6, rope: 4, value: 5), segments: Self.segments, scale: 0.4)
            try expected.check(
                attended.output, tape, [("query", query), ("keyValue", keyValue), ("compressed", compressed)])
        }

        @Test func groupedAttentionIsPyTorchs() throws {
            let expected = try Expected("grouped")
            let tape = Tape(try makeArena())
            let (query, key, value) = (
                try expected.tensor("query"), try expected.tensor("key"), try expected.tensor("value")
            )
            let attended = tape.groupedAttention(
                query: query, key: key, value: value, heads: 4, keyValueHeads: 2, segments: Self.segments, scale: 0.5)
            try expected.check(attended.output, tape, [("query", query), ("key", key), ("value", value)])
        }

        @Test func largestScoresAreThoseOfTheSeenPairs() throws {
            let expected = try Expected("grouped")
            let (query, key) = (try expected.tensor("query"), try expected.tensor("key"))
            let attended = Tape(try makeArena()).groupedAttention(
                query: query, key: key, value: try expected.tensor("value"), heads: 4, keyValueHeads: 2,
                segments: Self.segments, scale: 0.5)
            for head in 0..<4 {
                var most = -Float.infinity
                for segment in Self.segments {
                    for row in segment {
                        for other in segment.lowerBound...row {
                            var score: Float = 0
                            for i in 0..<6 {
                                score +=
                                    query.pointer[row * 24 + head * 6 + i]
                                    * key.pointer[other * 12 + head / 2 * 6 + i]
                            }
                            most = max(most, score / 2)
                        }
                    }
                }
                #expect(abs(attended.maxLogits[head] - most) < 1e-5 * abs(most))
            }
        }

        @Test(arguments: ["sigmoid", "softmax", "softmax_normalized"]) func routerIsPyTorchs(_ kind: String) throws {
            let expected = try Expected("router_" + kind)
            let tape = Tape(try makeArena())
            let logits = try expected.tensor("logits")
            let rule = RouterRule(
                scoring: kind == "sigmoid" ? .sigmoid : .softmax, perToken: 3, normalized: kind != "softmax",
                scale: 2.5)
            let routing = tape.route(logits, rule, choose: largest(3, 7))
            try expected.check(routing.weights, tape, [("logits", logits)])
        }

        @Test func expertsArePyTorchs() throws {
            let expected = try Expected("experts")
            let tape = Tape(try makeArena())
            let (x, logits) = (try expected.tensor("x"), try expected.tensor("logits"))
            // The fifth is out of reach.
            let rule = RouterRule(scoring: .sigmoid, perToken: 2, normalized: false, scale: 1)
            let routing = tape.route(logits, rule) { scores, ids in largest(2, 4)(scores, ids) }
            #expect(routing.counts[4] == 0 && routing.counts.reduce(0, +) == 60)
            let weights = try (0..<5).map {
                GatedWeights(
                    gate: try expected.tensor("gate", $0), up: try expected.tensor("up", $0),
                    down: try expected.tensor("down", $0))
            }
            try expected.check(tape.experts(x, weights, routing), tape, [("x", x), ("logits", logits)])
            for (name, matrices) in [
                ("gate", weights.map(\.gate)), ("up", weights.map(\.up)), ("down", weights.map(\.down)),
            ] {
                let far = distance(matrices.flatMap(\.gradientValues), try expected.values(name + ".gradient"))
                #expect(far < 1e-5, "the gradient of \(name) is \(far) away")
            }
        }

        @Test func crossEntropyIsPyTorchs() throws {
            let expected = try Expected("cross_entropy")
            let tape = Tape(try makeArena())
            let (x, head) = (try expected.tensor("x"), try expected.tensor("head"))
            let slopes = try expected.values("slope")
            let targets = try expected.values("targets").map { Int32($0) }
            let result = tape.crossEntropy(x, head: head, targets: targets) { row, loss in
                (slopes[row] * loss, slopes[row])
            }
            tape.backward()
            #expect(distance(result.tokenLosses, try expected.values("result")) < 1e-5)
            let loss = zip(result.tokenLosses, slopes).reduce(0) { $0 + Double($1.0 * $1.1) }
            #expect(abs(result.loss - loss) < 1e-4)
            #expect(distance(x.gradientValues, try expected.values("x.gradient")) < 1e-5)
            #expect(distance(head.gradientValues, try expected.values("head.gradient")) < 1e-5)
        }

        /// Logits of such a vocabulary lie further apart than there are of them.
        @Test func crossEntropyOf1024TokensIsThatOfSums() throws {
            let (rows, hidden, vocabulary) = (3, 5, 1024)
            let arena = try makeArena()
            let tape = Tape(arena)
            let (x, head) = (arena.tensor([rows, hidden]), arena.tensor([vocabulary, hidden]))
            for index in 0..<rows * hidden { x.pointer[index] = Float(sin(Double(index))) }
            for index in 0..<vocabulary * hidden { head.pointer[index] = Float(cos(Double(index))) }
            let targets: [Int32] = [1023, -1, 0]
            let result = tape.crossEntropy(x, head: head, targets: targets, weight: 0.5)
            tape.backward()
            var slopes = [Float](repeating: 0, count: rows * hidden)
            var losses = [Float](repeating: 0, count: rows)
            for row in [0, 2] {
                let logits = (0..<vocabulary).map { token in
                    (0..<hidden).reduce(0.0) {
                        $0 + Double(x.pointer[row * hidden + $1]) * Double(head.pointer[token * hidden + $1])
                    }
                }
                let sum = logits.reduce(0) { $0 + exp($1) }
                losses[row] = Float(log(sum) - logits[Int(targets[row])])
                for column in 0..<hidden {
                    let slope = logits.indices.reduce(0.0) {
                        let own = $1 == Int(targets[row]) ? 1.0 : 0
                        return $0 + (exp(logits[$1]) / sum - own) * Double(head.pointer[$1 * hidden + column])
                    }
                    slopes[row * hidden + column] = Float(0.5 * slope)
                }
            }
            #expect(distance(result.tokenLosses, losses) < 1e-5)
            #expect(distance(x.gradientValues, slopes) < 1e-5)
            #expect(abs(result.loss - 0.5 * Double(losses[0] + losses[2])) < 1e-4)
        }
    }
}
