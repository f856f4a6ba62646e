// A recipe's numbers as the values that the parts of training take.

import WaletAutodiff

extension Recipe {
    var optimizerRule: WaletTrain.Optimizer.Rule {
        switch training.optimizer {
        case .muonclip: .muonClip(tau: Float(training.clipThreshold))
        case .muon: .muon
        case .adamw: .adamW
        }
    }

    var optimizerSettings: WaletTrain.Optimizer.Settings {
        var settings = WaletTrain.Optimizer.Settings()
        settings.decay = Float(training.weightDecay)
        settings.momentum = Float(training.momentum)
        settings.beta1 = Float(training.beta1)
        settings.beta2 = Float(training.beta2)
        settings.epsilon = Float(training.epsilon)
        settings.gradientLimit = training.gradientClip > 0 ? Float(training.gradientClip) : nil
        settings.biasRate = Float(balance.biasStep)
        return settings
    }

    /// The learning rate over the steps.
    public var learningRates: WaletTrain.Schedule {
        WaletTrain.Schedule(
            schedule.shape == .cosine ? .cosine : .stable(decay: decaySteps), peak: training.learningRate,
            final: training.learningRate * schedule.finalFraction, warmup: schedule.warmupSteps, steps: steps)
    }

    var objective: TrainingObjective {
        TrainingObjective(
            balance: model.experts > 0 ? Float(balance.sequenceWeight) : 0,
            prediction: model.predictionLayers > 0 ? Float(training.predictionWeight) : 0)
    }

    var keeping: Tape.Keeping {
        memory.recompute ? (memory.activations == .bf16 ? .halfInput : .input) : .everything
    }

    /// Keys that may change when a run goes on: none of them changes what is computed, but for the order of sums.
    static let changeableKeys: Set = [
        "data.folder", "checkpoint.every", "checkpoint.keep", "parallel.experts",
    ]

    /// What all processes of a run must have alike.
    var shared: [UInt8] {
        var shared = self
        // Each machine may have the data where it likes; that they are the same is known by their hash.
        shared.data.folder = ""
        return Array(shared.yaml.utf8)
    }

    /// - Throws: ``TrainingError/recipeDiffers(key:expected:found:)`` for the first key in which another recipe would
    ///   train otherwise.
    func requireSameTraining(as started: Recipe) throws(TrainingError) {
        for field in Self.fields where !Self.changeableKeys.contains(field.name) {
            let (expected, found) = (field.read(started), field.read(self))
            if expected != found { throw .recipeDiffers(key: field.name, expected: expected, found: found) }
        }
    }
}
