import CWaletAutodiff
import Foundation
import Testing
import WaletAutodiff
import WaletFormats
import WaletJSON

@testable import WaletTrain

/// Golden values: Tools/oracle/int4.py, compressed-tensors; steps with PyTorch's gradients of the same rounding.
@Suite struct ExpertQuantizationTests {
    private func values<Value: BitwiseCopyable>(
        _ name: String, _ file: SafetensorsFile, _ type: Value.Type
    ) throws -> [Value] {
        let tensor = try #require(file.tensors.first { $0.name == name })
        let pointer = file.pointer(to: tensor)
        let size = MemoryLayout<Value>.size
        return (0..<tensor.range.count / size).map { pointer.loadUnaligned(fromByteOffset: size * $0, as: type) }
    }

    @Test func roundingAndPackingAreThoseOfCompressedTensors() throws {
        let file = try SafetensorsFile(
            Fixtures.repository.appending(path: "Tests/Fixtures/training/int4.expected").path)
        let x = try values("x", file, Float.self)
        let groups = x.count / ExpertQuantization.group
        var rounded = [Float](repeating: .nan, count: x.count)
        wa_int4_round(x, &rounded, Int64(groups))
        var words = [Int32](repeating: 0, count: x.count / 8)
        var scales = [UInt16](repeating: 0, count: groups)
        wa_int4_pack(x, &words, &scales, Int64(groups))
        #expect(try scales == values("scales", file, UInt16.self))
        #expect(try words == values("packed", file, Int32.self))
        #expect(try rounded == values("rounded", file, Float.self))
        // Groups of zeros stay zeros: 8 in four bits is 0.
        let zeros = (0..<groups).filter { group in x[group * 32..<group * 32 + 32].allSatisfy { $0 == 0 } }
        #expect(zeros.count >= 3)
        for group in zeros {
            #expect(rounded[group * 32..<group * 32 + 32].allSatisfy { $0 == 0 })
            #expect(words[group * 4..<group * 4 + 4].allSatisfy { $0 == Int32(bitPattern: 0x8888_8888) })
        }
    }

    private func trainer(_ fixture: TrainingFixture) throws -> Trainer {
        let model = try fixture.model()
        let tau = Float(try fixture.number("options", "tau"))
        let trainer = Trainer(model, Optimizer(model, .muonClip(tau: tau), try fixture.settings))
        trainer.objective = fixture.objective
        trainer.quantization = try ExpertQuantization(model)
        return trainer
    }

    @Test func aPassWithRoundedExpertsHasTheGradientsOfPyTorch() throws {
        let fixture = try TrainingFixture("deepseek-v3-int4")
        let trainer = try trainer(fixture)
        let model = trainer.model
        let tape = Tape(model.arena)
        trainer.quantization?.round()
        let pass = model.forward(tape, try fixture.batch(0), fixture.objective)
        tape.backward()
        trainer.quantization?.restore()
        #expect(abs(pass.loss - (try fixture.number("parts", "main"))) < 1e-5)
        let expected = try fixture.tensors("gradients")
        var worst = (0.0, "")
        for parameter in model.parameters where parameter.role != .routerBias {
            let theirs = try #require(expected[parameter.name], "\(parameter.name)")
            let (largest, norm) = distances(parameter.tensor.gradientValues, theirs)
            #expect(largest < 1e-4 && norm < 1e-4, "\(parameter.name): \(largest), \(norm)")
            if max(largest, norm) > worst.0 { worst = (max(largest, norm), parameter.name) }
        }
        print("gradients with rounded experts: at most \(worst.0) from PyTorch, in \(worst.1)")
    }

    @Test func twoStepsWithRoundedExpertsFollowPyTorch() throws {
        let fixture = try TrainingFixture("deepseek-v3-int4")
        let trainer = try trainer(fixture)
        let rates = try fixture.numbers(fixture.json["rates"]?["muonclip"])
        let log = try #require(fixture.json["muonclip"]?.arrayValue)
        #expect(log.count == 2)
        for (step, facts) in log.enumerated() {
            let outcome = try trainer.step(rate: rates[step], [fixture.batch(step)])
            let loss = try #require(facts["loss"]?.doubleValue)
            #expect(abs(outcome.loss + outcome.balanceLoss - loss) < 1e-4 * loss)
            let norm = try #require(facts["norm"]?.doubleValue)
            #expect(abs(outcome.gradientNorm - norm) < 1e-3 * norm)
            #expect(outcome.clippedHeads.reduce(0, +) == facts["clipped"]?.intValue)
        }
        let expected = try fixture.tensors("muonclip")
        #expect(expected.count == trainer.model.parameters.count)
        var worst = (0.0, "")
        for parameter in trainer.model.parameters {
            let theirs = try #require(expected[parameter.name], "\(parameter.name)")
            let (largest, norm) = distances(parameter.tensor.values, theirs)
            #expect(largest < 1e-4 && norm < 1e-4, "\(parameter.name): \(largest), \(norm)")
            if max(largest, norm) > worst.0 { worst = (max(largest, norm), parameter.name) }
        }
        print("two steps with rounded experts: at most \(worst.0) from PyTorch, in \(worst.1)")
    }

    @Test func whatIsTrainedComesBackBitForBitAndThePassWasThatOfTheRoundedWeights() throws {
        let fixture = try TrainingFixture("deepseek-v3-int4")
        let batch = try fixture.batch(0)
        let trainer = try trainer(fixture)
        let model = trainer.model
        let quantization = try #require(trainer.quantization)
        let before = model.parameters.map(\.tensor.values)
        func gradients(_ model: TrainableModel) -> (loss: Double, values: [[Float]]) {
            model.forgetGradients()
            let tape = Tape(model.arena)
            let loss = model.forward(tape, batch, fixture.objective).loss
            tape.backward()
            return (loss, model.parameters.filter { $0.role != .routerBias }.map(\.tensor.gradientValues))
        }
        quantization.round()
        quantization.round()
        let rounded = model.parameters.map(\.tensor.values)
        let seen = gradients(model)
        quantization.restore()
        quantization.restore()
        #expect(model.parameters.map(\.tensor.values) == before)
        for (index, parameter) in model.parameters.enumerated() {
            #expect((rounded[index] != before[index]) == parameter.isRoutedExpert, "\(parameter.name)")
        }
        // The same weights in a model that nobody rounds.
        let plain = try fixture.model()
        for (parameter, values) in zip(plain.parameters, rounded) {
            parameter.tensor.pointer.update(from: values, count: values.count)
        }
        let expected = gradients(plain)
        #expect(seen.loss == expected.loss && seen.values == expected.values)
        #expect(gradients(model).loss != seen.loss)
    }

    @Test func aModelWithoutWholeGroupsIsRefused() throws {
        let none = try TrainingFixture("llama").model()
        #expect(
            TestRun.error { _ = try ExpertQuantization(none) }
                == .recipe(
                    .inconsistent(key: "quantization.experts", reason: "a model with model.experts 0 has none")))
        let odd = try TrainingFixture("deepseek-v3").model()
        guard
            case .recipe(.inconsistent("quantization.experts", let reason)) = TestRun.error({
                _ = try ExpertQuantization(odd)
            })
        else {
            Issue.record("no error")
            return
        }
        #expect(reason.contains("model.layers.1.mlp.experts.0.gate_proj.weight have 24 values"))
    }
}
