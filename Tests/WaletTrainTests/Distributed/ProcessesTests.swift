import Foundation
import Testing
import WaletAutodiff

@testable import WaletTrain

/// Steps of several processes are those of one, whether experts are apart or not.
@Suite(.timeLimit(.minutes(5))) struct ProcessesTests {
    /// What a process has after some steps.
    private struct Trained: Sendable {
        /// Parameters and what the optimizer remembers, by name; the first process has all.
        var arrays: [String: [Float]] = [:]
        var outcomes: [Numbers] = []

        struct Numbers: Sendable, Equatable {
            var loss, norm: Double
            var experts: [Int: [Int]]
            var notFinite: String?
            var traffic: CommunicationTraffic
        }
    }

    private static let settings = [
        "model.hidden_size=32", "model.heads=2", "model.kv_lora_rank=16", "model.qk_nope_head_dim=8",
        "model.qk_rope_head_dim=8", "model.v_head_dim=16", "model.expert_size=16", "model.vocabulary_size=258",
        "batch.length=12", "batch.sequences=6", "training.tokens=7200", "model.prediction_layers=1",
        "balance.sequence_weight=0.001",
    ]

    /// Some steps on made-up tokens.
    /// - Parameter spoil: the step in which, on the last process, what is computed is no number.
    private func train(
        _ ranks: Int, _ more: String..., rate: Double = 0.01, steps: Int = 4, spoil: Int? = nil
    ) throws -> [Trained] {
        let recipe = try Recipe(depth: 2, settings: Self.settings + more)
        return try ThreadGroup.run(ranks) { try Self.train(recipe, $0, rate, steps, spoil) }.map { try $0.get() }
    }

    private static func train(
        _ recipe: Recipe, _ communicator: Communicator, _ rate: Double, _ steps: Int, _ spoil: Int?
    ) throws -> Trained {
        let arena = try #require(Arena(threads: 1))
        let isApart = recipe.parallel.experts && communicator.size > 1
        let model = try TrainableModel(
            try recipe.configuration(), arena, seed: 1, exchange: isApart ? ExpertExchange(communicator) : nil)
        let optimizer = Optimizer(
            model, recipe.optimizerRule, recipe.optimizerSettings, rank: communicator.rank, ranks: communicator.size)
        let trainer = Trainer(model, optimizer, communicator: communicator)
        trainer.objective = recipe.objective
        trainer.keeping = recipe.keeping
        let (sequences, length) = (recipe.batch.sequences, recipe.batch.length)
        let own = sequences / communicator.size
        var result = Trained()
        for step in 0..<steps {
            let all = (0..<sequences * (length + 1)).map { Int32(($0 * 7919 + step * 104_729) % 251) }
            let batches = (communicator.rank * own..<(communicator.rank + 1) * own).map { sequence in
                let text = all[sequence * (length + 1)..<(sequence + 1) * (length + 1)]
                return TrainingBatch(tokens: Array(text.dropLast()), targets: Array(text.dropFirst()), length: length)
            }
            let norm = model.layers[0].attentionNorm
            let saved = norm.pointer[0]
            let isSpoilt = step == spoil && communicator.rank == communicator.size - 1
            if isSpoilt { norm.pointer[0] = .nan }
            let outcome = try trainer.step(rate: rate, batches)
            if isSpoilt { norm.pointer[0] = saved }
            result.outcomes.append(
                Trained.Numbers(
                    loss: outcome.loss, norm: outcome.gradientNorm, experts: outcome.observed.expertCounts,
                    notFinite: outcome.notFinite, traffic: outcome.traffic))
        }
        // What others hold takes no memory here, nor does what others remember.
        if isApart {
            #expect(
                model.parameters.allSatisfy { parameter in
                    let isHere = parameter.holder.map { $0 == communicator.rank } ?? true
                    return parameter.tensor.hasValues == isHere && (isHere || parameter.tensor.gradient == nil)
                })
            #expect(model.parameters.contains { $0.holder != nil })
        }
        #expect((optimizer.state.count { $0.tensor.hasValues } == optimizer.state.count) == (communicator.size == 1))
        try trainer.collect()
        for (name, tensor) in model.parameters.map({ ($0.name, $0.tensor) }) + optimizer.state
        where communicator.rank == 0 || tensor.hasValues {
            result.arrays[name] = tensor.values
        }
        trainer.releaseCollected()
        return result
    }

    /// The arrays of two trainings that differ most, in the Euclidean norm and in a single number, relative to the array's
    /// norm and largest number.
    private func distance(_ a: Trained, _ b: Trained) -> (norm: Double, largest: Double) {
        #expect(a.arrays.keys.sorted() == b.arrays.keys.sorted())
        return a.arrays.reduce(into: (0, 0)) { result, entry in
            let (largest, norm) = distances(b.arrays[entry.key] ?? [], entry.value)
            result = (max(result.0, norm), max(result.1, largest))
        }
    }

    /// AdamW divides the gradient of each number by its own size, so that a number whose gradient is little more than the
    /// rounding of a sum moves by that rounding: single numbers are farther apart than their arrays are.
    @Test(arguments: [("muonclip", 0.01, 1e-5), ("adamw", 0.001, 1e-4)], [false, true])
    func severalProcessesEqualOne(_ optimizer: (name: String, rate: Double, limit: Double), _ isApart: Bool) throws {
        let settings = ["training.optimizer=\(optimizer.name)", "parallel.experts=\(isApart)"]
        let one = try train(1, settings[0], settings[1], rate: optimizer.rate)[0]
        for ranks in [2, 3] {
            let several = try train(ranks, settings[0], settings[1], rate: optimizer.rate)
            let (norm, largest) = distance(one, several[0])
            print("\(optimizer.name), \(ranks) processes, experts apart \(isApart): \(norm), \(largest)")
            #expect(norm < 1e-5 && largest < optimizer.limit)
            for (a, b) in zip(one.outcomes, several[0].outcomes) {
                #expect(abs(a.loss / b.loss - 1) < 1e-6 && abs(a.norm / b.norm - 1) < 1e-5)
                #expect(a.experts == b.experts)
            }
            // Replicas are the same to the last bit, and what was seen is too.
            for other in several {
                for (name, values) in other.arrays { #expect(several[0].arrays[name] == values, "\(name)") }
                #expect(other.outcomes.map(\.norm) == several[0].outcomes.map(\.norm))
            }
        }
    }

    @Test(arguments: [false, true]) func aRunIsRepeatableBitForBit(_ isApart: Bool) throws {
        for ranks in [2, 3] {
            let runs = try (0..<2).map { _ in try train(ranks, "parallel.experts=\(isApart)")[0] }
            #expect(runs[0].arrays == runs[1].arrays)
            #expect(runs[0].outcomes.map(\.norm) == runs[1].outcomes.map(\.norm))
            #expect(runs[0].outcomes.map(\.traffic.bytes) == runs[1].outcomes.map(\.traffic.bytes))
        }
    }

    @Test func layersThatAreComputedTwiceAreTheSame() throws {
        let plain = try train(2, "parallel.experts=true")[0]
        let twice = try train(2, "parallel.experts=true", "memory.recompute=true")[0]
        #expect(plain.arrays == twice.arrays)
    }

    /// What `docs/training-processes.md` says of the bytes of a step.
    @Test(arguments: [2, 3], [false, true]) func theTrafficIsThatOfTheFormula(_ ranks: Int, _ isApart: Bool) throws {
        for recompute in [false, true] {
            // Each token goes to every expert, so that it is known how many rows travel.
            let more = ["model.experts=4", "model.experts_per_token=4", "memory.recompute=\(recompute)"]
            let recipe = try Recipe(depth: 2, settings: Self.settings + more)
            let trained = try train(ranks, more[0], more[1], more[2], "parallel.experts=\(isApart)", steps: 2)
            let model = try TrainableModel(
                try recipe.configuration(), try #require(Arena(threads: 1)), seed: 1)
            let others = ranks - 1
            let trainable = model.parameters.filter { $0.role != .routerBias }
            let replicated = trainable.filter { !isApart || !$0.name.contains(".experts.") }
            let (experts, hidden, passes) = (4, recipe.model.hiddenSize, recipe.batch.sequences)
            // The prediction layer has one row less of each sequence.
            let rows = [recipe.batch.length, recipe.batch.length - 1].map { $0 * passes }
            let numbers = 1 + 5 + 2 * experts + trainable.count
            let logits = (recipe.model.layers + 1) * recipe.model.heads
            var bytes = 8 * others * replicated.reduce(0) { $0 + $1.tensor.count }
            bytes += 16 * others * numbers + 8 * others * logits
            var calls = 12
            if isApart {
                for rows in rows {
                    let travelling = rows * experts * others / ranks
                    let forward = 4 * (2 * hidden + 1) * travelling + 8 * others * experts * passes / ranks
                    let back = 4 * (2 * hidden + 1) * travelling
                    bytes += (recompute ? 2 : 1) * forward + back
                    calls += passes / ranks * ((recompute ? 2 : 1) * 4 + 3)
                }
            }
            for outcome in trained.flatMap(\.outcomes) {
                #expect(outcome.traffic.bytes == bytes && outcome.traffic.calls == calls)
                #expect(outcome.traffic.seconds > 0)
            }
        }
    }

    @Test(arguments: [false, true]) func whatIsNotFiniteOnOneChangesNothingOnAny(_ isApart: Bool) throws {
        let trained = try train(2, "parallel.experts=\(isApart)", steps: 3, spoil: 1)
        for one in trained {
            #expect(one.outcomes.map(\.notFinite) == [nil, "the loss", nil])
            #expect(one.arrays.values.allSatisfy { $0.allSatisfy(\.isFinite) })
        }
    }
}
