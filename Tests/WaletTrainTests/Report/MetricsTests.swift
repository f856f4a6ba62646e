import Foundation
import Testing
import WaletJSON

@testable import WaletTrain

/// A run's metrics, with everything that a record may have.
func testMetrics(step: Int) -> StepMetrics {
    StepMetrics(
        step: step, tokens: step * 4096, loss: 9 / Double(step + 1) + 2, bitsPerByte: 3 / Double(step + 1) + 0.7,
        learningRate: 0.0016 * min(1, Double(step) / 10), gradientNorm: 1 + 1 / Double(step), balanceLoss: 0.01,
        predictionLoss: 2.5, maximumLogits: [5 + Double(step), 90.5], clippedHeads: [0, step % 3],
        expertTokens: [[4096, 4000, step % 2, 96], [2048, 2048, 2048, 2048]])
}

@Suite struct MetricsTests {
    @Test func recordsComeBackAsTheyWere() throws {
        let folder = TemporaryFolder()
        var strange = testMetrics(step: 2)
        strange.loss = .nan
        strange.gradientNorm = .infinity
        strange.maximumLogits = [-.infinity, 0.1 + 0.2]
        strange.balanceLoss = nil
        strange.expertTokens = []
        let records: [MetricsRecord] = [
            .step(testMetrics(step: 1)), .sample(SampleMetrics(step: 1, prompt: "a\n\"", text: "\u{0}ü 今天")),
            .step(strange), .validation(ValidationMetrics(step: 2, tokens: 8192, loss: 4.25, bitsPerByte: 1.5)),
        ]
        let journal: [JournalRecord] = [
            .event(step: 0, seconds: 1.5, text: "started"),
            .speed(SpeedMetrics(step: 1, seconds: 2, tokensPerSecond: 4512.25, utilization: 0.41)),
            .speed(SpeedMetrics(step: 2, seconds: 3, tokensPerSecond: 4000)),
        ]
        var log = try MetricsLog(folder: folder.path, resumingAt: 0)
        for record in records { try log.append(record) }
        for record in journal { try log.append(record) }
        try log.synchronize()
        let lines = try folder.read("metrics.jsonl").split(separator: 0x0A)
        #expect(lines.count == 4)
        for line in lines { #expect(try JSONValue(parsing: line)["kind"] != nil) }
        let run = try TrainingRun(folder: folder.path)
        #expect(run.steps[0] == testMetrics(step: 1) && run.journal == journal)
        #expect(run.steps[1].loss.isNaN && run.steps[1].gradientNorm == .infinity)
        #expect(run.steps[1].maximumLogits == strange.maximumLogits && run.steps[1].expertTokens == [])
        #expect(run.samples.map(\.text) == ["\u{0}ü 今天"] && run.validations.map(\.loss) == [4.25])
    }

    @Test func aResumedRunWritesTheSameFile() throws {
        let whole = TemporaryFolder()
        let broken = TemporaryFolder()
        var log = try MetricsLog(folder: whole.path, resumingAt: 0)
        for step in 1...30 { try log.append(.step(testMetrics(step: step))) }
        do {
            var log = try MetricsLog(folder: broken.path, resumingAt: 0)
            for step in 1...24 { try log.append(.step(testMetrics(step: step))) }
            try log.append(.event(step: 24, seconds: 5, text: "before"))
        }
        // The process died within a line, and the last checkpoint was of step 20.
        try broken.write("metrics.jsonl", broken.read("metrics.jsonl").dropLast(40))
        var again = try MetricsLog(folder: broken.path, resumingAt: 20)
        try again.append(.event(step: 20, seconds: 6, text: "resumed"))
        for step in 21...30 { try again.append(.step(testMetrics(step: step))) }
        #expect(try broken.read("metrics.jsonl") == whole.read("metrics.jsonl"))
        // The journal keeps its history.
        #expect(try TrainingRun(folder: broken.path).journal.count == 2)
    }

    @Test func aCutLastLineIsLeftOutAndTheNextOneIsWhole() throws {
        let folder = TemporaryFolder()
        do {
            var log = try MetricsLog(folder: folder.path, resumingAt: 0)
            for step in 1...3 { try log.append(.step(testMetrics(step: step))) }
        }
        let bytes = try folder.read("metrics.jsonl")
        for cut in [1, 7, 100] {
            try folder.write("metrics.jsonl", bytes.dropLast(cut))
            #expect(try TrainingRun(folder: folder.path).steps.map(\.step) == [1, 2])
            var log = try MetricsLog(folder: folder.path, resumingAt: 100)
            try log.append(.step(testMetrics(step: 3)))
            #expect(try folder.read("metrics.jsonl") == bytes)
        }
    }

    @Test func aWrongLineIsNamedAndNothingIsCut() throws {
        let folder = TemporaryFolder()
        do {
            var log = try MetricsLog(folder: folder.path, resumingAt: 0)
            for step in 1...3 { try log.append(.step(testMetrics(step: step))) }
        }
        let good = try folder.read("metrics.jsonl")
        for bad in ["{}", "{\"kind\":\"other\",\"step\":1}", "x", "", "{\"kind\":\"step\",\"step\":-1}", "[1]"] {
            let bytes = Array((bad + "\n").utf8) + good
            try folder.write("metrics.jsonl", bytes)
            for error in [
                #expect(throws: MetricsError.self) { try TrainingRun(folder: folder.path) },
                #expect(throws: MetricsError.self) { try MetricsLog(folder: folder.path, resumingAt: 2) },
            ] {
                guard case .badRecord(_, 1, _)? = error else {
                    Issue.record("\(bad): \(String(describing: error))")
                    continue
                }
            }
            #expect(try folder.read("metrics.jsonl") == bytes)
        }
        try folder.write("metrics.jsonl", [])
        #expect(throws: MetricsError.empty(file: folder.path + "/metrics.jsonl")) {
            try TrainingRun(folder: folder.path)
        }
        #expect(throws: MetricsError.self) { try TrainingRun(folder: folder.file("none")) }
    }

    @Test func mutatedMetricsNeverEndTheProcess() throws {
        let folder = TemporaryFolder()
        try TrainingRun.write(Recipe(depth: 2), to: folder.path)
        do {
            var log = try MetricsLog(folder: folder.path, resumingAt: 0)
            for step in 1...12 { try log.append(.step(testMetrics(step: step))) }
            try log.append(.validation(ValidationMetrics(step: 12, tokens: 9, loss: 1, bitsPerByte: 1)))
            try log.append(.speed(SpeedMetrics(step: 1, seconds: 2, tokensPerSecond: 3, utilization: 0.5)))
        }
        var generator = RandomGenerator(seed: 12)
        for name in ["metrics.jsonl", "journal.jsonl", "recipe.yaml"] {
            let bytes = try folder.read(name)
            for _ in 0..<400 {
                try folder.write(name, mutated(bytes, &generator))
                // What passes must not end the report either.
                if let run = try? TrainingRun(folder: folder.path) { #expect(TrainingReport([run]).html.count > 1000) }
            }
            try folder.write(name, bytes)
        }
    }

    @Test func deadAndBusyExpertsAreCounted() {
        let metrics = testMetrics(step: 2)
        #expect(metrics.deadExperts == 1)
        #expect(metrics.largestExpertLoad == 4096 * 4 / Double(4096 + 4000 + 96))
        #expect(
            StepMetrics(
                step: 1, tokens: 1, loss: 1, bitsPerByte: 1, learningRate: 1, gradientNorm: 1, expertTokens: [[0, 0]]
            ).largestExpertLoad == nil)
    }
}

@Suite struct ProgressLineTests {
    @Test func theLineSaysWhereTheRunIs() {
        var progress = ProgressLine(steps: 5500, tokensPerStep: 4096, flopsPerToken: 13e6, peakFlops: 120e9)
        let metrics = StepMetrics(
            step: 1200, tokens: 1200 * 4096, loss: 3.41234, bitsPerByte: 1.7216, learningRate: 0.0016, gradientNorm: 1)
        #expect(progress.text(metrics) == "step 1200/5500  loss 3.4123  1.722 bits/byte  lr 0.00160")
        for step in 1100...1200 { progress.note(step: step, at: Double(step) * 0.8192) }
        #expect(progress.tokensPerSecond.map { abs($0 - 5000) < 1e-6 } == true)
        #expect(
            progress.text(metrics)
                == "step 1200/5500  loss 3.4123  1.722 bits/byte  lr 0.00160  5,000 tokens/s  MFU 54.2%  58 min 43 s left"
        )
        #expect(progress.remaining(after: 5500) == 0 && progress.remaining(after: 6000) == 0)
    }

    @Test func aFasterMachineShowsSoonAndAClockThatStandsDoesNotMatter() {
        var progress = ProgressLine(steps: 1000, tokensPerStep: 100, flopsPerToken: 1, peakFlops: nil)
        var time = 0.0
        for step in 1...50 {
            time += 1
            progress.note(step: step, at: time)
        }
        for step in 51...150 {
            time += 0.5
            progress.note(step: step, at: time)
            progress.note(step: step, at: time)
        }
        #expect(abs((progress.tokensPerSecond ?? 0) - 200) < 2)
        #expect(progress.utilization == nil)
    }

    @Test func numbersAreSpelledForPeople() {
        #expect(ProgressLine.grouped(0) == "0" && ProgressLine.grouped(999.6) == "1,000")
        #expect(ProgressLine.grouped(1_234_567) == "1,234,567" && ProgressLine.grouped(-1234) == "-1,234")
        #expect(ProgressLine.grouped(.nan) == "NaN")
        #expect(ProgressLine.duration(59.4) == "59 s" && ProgressLine.duration(61) == "1 min 1 s")
        #expect(ProgressLine.duration(7260) == "2 h 1 min" && ProgressLine.duration(90_000) == "1 d 1 h")
        #expect(ProgressLine.duration(.infinity) == "?")
        #expect(ProgressLine.fixed(.nan, 2) == "NaN" && ProgressLine.fixed(-.infinity, 2) == "-inf")
    }
}
