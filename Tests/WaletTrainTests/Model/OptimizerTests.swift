import Testing
import WaletAutodiff
import WaletFormats
import WaletTrain

@Suite struct OptimizerTests {
    private func run(_ model: TrainableModel, _ optimizer: Optimizer, _ fixture: TrainingFixture, _ steps: Range<Int>)
        throws
    {
        for step in steps {
            let tape = Tape(model.arena)
            model.forgetGradients()
            let pass = model.forward(tape, try fixture.batch(step), fixture.objective)
            tape.backward()
            _ = optimizer.step(rate: 0.01, StepObservation(pass))
        }
    }

    @Test(arguments: [Optimizer.Rule.adamW, .muon, .muonClip(tau: 1.5)]) func aSavedStateGoesOnBitForBit(
        _ rule: Optimizer.Rule
    ) throws {
        let fixture = try TrainingFixture("deepseek-v3")
        let whole = try fixture.model()
        let optimizer = Optimizer(whole, rule)
        try run(whole, optimizer, fixture, 0..<3)
        let saved = Dictionary(uniqueKeysWithValues: optimizer.state.map { ($0.name, $0.tensor.values) })
        let weights = whole.parameters.map(\.tensor.values)
        try run(whole, optimizer, fixture, 3..<6)

        // Other threads, a new process so to speak.
        let resumed = try fixture.model(threads: 1)
        for (parameter, values) in zip(resumed.parameters, weights) {
            parameter.tensor.pointer.update(from: values, count: values.count)
        }
        let second = Optimizer(resumed, rule)
        try second.restore(steps: 3) { name, count in
            let values = try #require(saved[name])
            #expect(values.count == count)
            return values
        }
        try run(resumed, second, fixture, 3..<6)
        #expect(second.steps == optimizer.steps)
        for (a, b) in zip(whole.parameters, resumed.parameters) {
            #expect(a.tensor.values == b.tensor.values, "\(a.name)")
        }
        for (a, b) in zip(optimizer.state, second.state) {
            #expect(a.name == b.name && a.tensor.values == b.tensor.values, "\(a.name)")
        }
    }

    @Test func clippedHeadsScoreTau() throws {
        for name in ["deepseek-v3", "llama"] {
            let fixture = try TrainingFixture(name)
            let model = try fixture.model()
            let batch = try fixture.batch(0)
            let quiet = Tape(model.arena, recording: false)
            // Only the first layer's input stays as it was.
            let before = try #require(model.forward(quiet, batch).maxLogits.first)
            let tau = try #require(before.min()) * 0.9
            #expect(model.clipHeads([before], tau: tau) == [before.count])
            let after = try #require(model.forward(quiet, batch).maxLogits.first)
            for value in after { #expect(abs(value - tau) < 1e-4 * tau, "\(value), not \(tau)") }
            #expect(model.clipHeads([after.map { _ in .nan }, after.map { _ in .infinity }], tau: tau) == [0, 0])
        }
    }

    @Test func biasesMoveAgainstTheLoad() throws {
        let model = try TrainingFixture("deepseek-v3").model()
        let bias = try #require(model.parameters.first { $0.role == .routerBias }).tensor
        let before = bias.values
        model.balanceRouters([1: [8, 2, 4, 4, 4, 2]], rate: 0.5)
        let moves = zip(bias.values, before).map { (($0 - $1) * 2).rounded() }
        #expect(moves == [-1, 1, 0, 0, 0, 1])
    }

    @Test func orthogonalizedMatricesHaveSingularValuesNearOne() throws {
        for (rows, columns) in [(8, 8), (6, 20), (20, 6), (1, 9)] {
            var generator = SystemRandomNumberGenerator()
            let matrix = (0..<rows * columns).map { _ in Float.random(in: -1...1, using: &generator) }
            let x = Tensor([rows, columns], matrix)
            let scratch = Tensor([NewtonSchulz.scratch(rows: rows, columns: columns)])
            withExtendedLifetime(scratch) {
                NewtonSchulz.orthogonalize(x.pointer, rows: rows, columns: columns, scratch: scratch.pointer)
            }
            let square = x.values.reduce(0) { $0 + $1 * $1 } / Float(min(rows, columns))
            // Small singular values may not have come all the way.
            #expect(square > 0.2 && square < 1.5, "\(rows) x \(columns): \(square)")
        }
        let zeros = Tensor([4, 5], [Float](repeating: 0, count: 20))
        let scratch = Tensor([NewtonSchulz.scratch(rows: 4, columns: 5)])
        withExtendedLifetime(scratch) {
            NewtonSchulz.orthogonalize(zeros.pointer, rows: 4, columns: 5, scratch: scratch.pointer)
        }
        #expect(zeros.values.allSatisfy { $0 == 0 })
    }

    @Test func aGradientThatIsNoNumberIsSeen() throws {
        let fixture = try TrainingFixture("llama")
        let model = try fixture.model()
        let tape = Tape(model.arena)
        let pass = model.forward(tape, try fixture.batch(0))
        tape.backward()
        model.parameters[0].tensor.gradient![0] = .nan
        #expect(Optimizer(model, .adamW).step(rate: 0.01, StepObservation(pass)).gradientNorm.isNaN)
    }

    @Test func observationsOfPartsAreThoseOfTheWhole() throws {
        let fixture = try TrainingFixture("deepseek-v3")
        let model = try fixture.model()
        let tape = Tape(model.arena, recording: false)
        let batch = try fixture.batch(0)
        let whole = StepObservation(model.forward(tape, batch, fixture.objective))
        var sum = StepObservation()
        for segment in batch.segments {
            let part = TrainingBatch(
                tokens: Array(batch.tokens[segment]), targets: Array(batch.targets[segment]), length: segment.count)
            sum.add(model.forward(tape, part, fixture.objective))
        }
        #expect(sum.expertCounts == whole.expertCounts)
        for (a, b) in zip(sum.maxLogits, whole.maxLogits) { #expect(distances(a, b).largest < 1e-5) }
    }

    @Test func schedulesRiseStayAndFall() {
        let cosine = Schedule(.cosine, peak: 1, final: 0.1, warmup: 10, steps: 100)
        #expect(cosine.rate(at: 0) == 0.1 && cosine.rate(at: 9) == 1 && abs(cosine.rate(at: 54) - 0.55) < 1e-9)
        #expect(abs(cosine.rate(at: 99) - 0.1) < 1e-12 && abs(cosine.rate(at: 1000) - 0.1) < 1e-12)
        let stable = Schedule(.stable(decay: 20), peak: 2, final: 0, warmup: 0, steps: 100)
        #expect(stable.rate(at: 0) == 2 && stable.rate(at: 79) == 2 && abs(stable.rate(at: 89) - 1) < 1e-12)
        #expect(stable.rate(at: 99) == 0 && stable.rate(at: 100) == 0)
        let short = Schedule(.cosine, peak: 1, final: 0.5, warmup: 3, steps: 3)
        #expect(short.rate(at: 2) == 1 && short.rate(at: 3) == 0.5)
    }
}
