// One training step, timed: `WaletTrainBenchmark FOLDER adamw|muonclip SEQUENCES LENGTH STEPS [KEEPING]`. FOLDER has a
// config.json. Prints one JSON object; Benchmarks/training.py runs it beside PyTorch.
import Foundation
import WaletAutodiff
import WaletFormats
import WaletTensor
import WaletTrain

let arguments = CommandLine.arguments.dropFirst()
guard arguments.count >= 5, let sequences = Int(arguments[3]), let length = Int(arguments[4]),
    let steps = Int(arguments[5]), let arena = Arena(),
    let keeping = Tape.Keeping(rawValue: arguments.count > 5 ? arguments[6] : "everything")
else {
    FileHandle.standardError.write(
        Data("usage: WaletTrainBenchmark FOLDER adamw|muonclip SEQUENCES LENGTH STEPS [KEEPING]\n".utf8))
    exit(2)
}
let folder = try ModelFolder(arguments[1] + "/config.json")
let model = try TrainableModel(folder.configuration, arena, seed: 1)
let optimizer = Optimizer(model, arguments[2] == "adamw" ? .adamW : .muonClip(tau: 100))
var seconds: [Double] = []
var parts = (forward: 0.0, backward: 0.0, update: 0.0)
var loss = 0.0
let clock = ContinuousClock()
func timed(_ body: () -> Void) -> Double {
    let duration = clock.measure(body)
    return Double(duration.components.seconds) + Double(duration.components.attoseconds) * 1e-18
}
for step in 0..<steps {
    let rows = sequences * length
    let tokens = (0...rows).map {
        Int32(truncatingIfNeeded: ($0 &* 7919 &+ step &* 104_729) % model.configuration.vocabularySize)
    }
    let batch = TrainingBatch(tokens: Array(tokens[..<rows]), targets: Array(tokens[1...]), length: length)
    let tape = Tape(arena)
    model.forgetGradients()
    var observed = StepObservation()
    let forward = timed {
        let pass = model.forward(tape, batch, keeping: keeping)
        observed.add(pass)
        loss = pass.loss
    }
    let backward = timed { tape.backward() }
    let update = timed { _ = optimizer.step(rate: 1e-3, observed) }
    seconds.append(forward + backward + update)
    // The first step takes the memory from the system.
    if step > 0 {
        parts.forward += forward / Double(steps - 1)
        parts.backward += backward / Double(steps - 1)
        parts.update += update / Double(steps - 1)
    }
}
print(
    """
    {"seconds":\(seconds),"forward":\(parts.forward),"backward":\(parts.backward),"update":\(parts.update),\
    "loss":\(loss),"threads":\(arena.pool.threads),"instruction_set":"\(Hardware.instructionSet)"}
    """)
