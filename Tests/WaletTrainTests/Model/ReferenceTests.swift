import Foundation
import Testing
import WaletAutodiff
import WaletFormats
import WaletTrain

/// Losses, gradients and ten steps of the optimizers, against PyTorch's and transformers' of the same weights.
@Suite struct ReferenceTests {
    @Test(arguments: TrainingFixture.names) func lossAndGradientsAreThoseOfTransformers(_ name: String) throws {
        let fixture = try TrainingFixture(name)
        let model = try fixture.model()
        let tape = Tape(model.arena)
        let pass = model.forward(tape, try fixture.batch(0), fixture.objective)
        tape.backward()
        #expect(abs(pass.loss - (try fixture.number("parts", "main"))) < 1e-5)
        if let loss = fixture.json["parts"]?["mtp"]?.doubleValue {
            #expect(abs(try #require(pass.predictionLoss) - loss) < 1e-5)
        }
        if let loss = fixture.json["parts"]?["balance"]?.doubleValue { #expect(abs(pass.balanceLoss - loss) < 1e-6) }
        let expected = try fixture.tensors("gradients")
        #expect(expected.count == model.parameters.count { $0.role != .routerBias })
        var worst = (0.0, "")
        for parameter in model.parameters where parameter.role != .routerBias {
            let theirs = try #require(expected[parameter.name], "\(parameter.name)")
            let (largest, norm) = distances(parameter.tensor.gradientValues, theirs)
            #expect(largest < 1e-4 && norm < 1e-4, "\(parameter.name): \(largest), \(norm)")
            if max(largest, norm) > worst.0 { worst = (max(largest, norm), parameter.name) }
        }
        print("gradients of \(name): at most \(worst.0) from transformers, in \(worst.1)")
    }

    @Test(arguments: TrainingFixture.names) func largestScoresAndLoadsAreThoseOfTransformers(_ name: String) throws {
        let fixture = try TrainingFixture(name)
        let model = try fixture.model()
        let pass = model.forward(Tape(model.arena, recording: false), try fixture.batch(0), fixture.objective)
        for (layer, logits) in pass.maxLogits.enumerated() {
            let theirs = try fixture.numbers(fixture.json["max_logits"]?["\(layer)"])
            #expect(distances(logits, theirs.map { Float($0) }).largest < 1e-4, "layer \(layer)")
        }
        for (layer, counts) in pass.expertCounts {
            #expect(try fixture.numbers(fixture.json["counts"]?["\(layer)"]) == counts.map { Double($0) })
        }
    }

    @Test(arguments: TrainingFixture.names, ["muonclip", "adamw"]) func tenStepsFollowPyTorch(
        _ name: String, _ optimizer: String
    ) throws {
        let fixture = try TrainingFixture(name)
        let model = try fixture.model()
        var settings = try fixture.settings
        if optimizer == "adamw" { settings.biasRate = 0 }
        let tau = Float(try fixture.number("options", "tau"))
        let ours = Optimizer(model, optimizer == "adamw" ? .adamW : .muonClip(tau: tau), settings)
        let rates = try fixture.numbers(fixture.json["rates"]?[optimizer])
        let log = try #require(fixture.json[optimizer]?.arrayValue)
        for (step, rate) in rates.enumerated() {
            let tape = Tape(model.arena)
            model.forgetGradients()
            let pass = model.forward(tape, try fixture.batch(step), fixture.objective)
            tape.backward()
            let total = pass.loss + Double(fixture.objective.prediction) * (pass.predictionLoss ?? 0) + pass.balanceLoss
            let report = ours.step(rate: Float(rate), StepObservation(pass))
            let loss = try #require(log[step]["loss"]?.doubleValue)
            #expect(abs(total - loss) < 1e-4 * abs(loss), "loss of step \(step): \(total), not \(loss)")
            let norm = try #require(log[step]["norm"]?.doubleValue)
            #expect(abs(report.gradientNorm - norm) < 1e-3 * norm, "step \(step)")
            #expect(report.clippedHeads.reduce(0, +) == log[step]["clipped"]?.intValue, "step \(step)")
        }
        let expected = try fixture.tensors(optimizer)
        #expect(expected.count == model.parameters.count)
        var worst = (0.0, "")
        for parameter in model.parameters {
            let theirs = try #require(expected[parameter.name], "\(parameter.name)")
            let (largest, norm) = distances(parameter.tensor.values, theirs)
            #expect(largest < 1e-4 && norm < 1e-4, "\(parameter.name): \(largest), \(norm)")
            if max(largest, norm) > worst.0 { worst = (max(largest, norm), parameter.name) }
        }
        print("ten steps of \(optimizer) on \(name): at most \(worst.0) from PyTorch, in \(worst.1)")
    }
}
