import Foundation
import Testing

@testable import WaletTrain

/// Runs in a process of their own, which is killed or whose disk is full.
@Suite(.timeLimit(.minutes(20))) struct PretrainingFaultTests {
    /// Runs the worker; gives the lines that it had written when it ended.
    /// - Parameters:
    ///   - marker: the line after which it is killed.
    ///   - steps: the steps after which it is killed, and the delay from there.
    private func run(
        _ arguments: [String], killAtLine marker: String? = nil, killAfter steps: (Int, Duration)? = nil
    ) async throws -> (code: Int32, lines: [String]) {
        let process = Process()
        process.executableURL = Worker.program
        process.arguments = arguments
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let identifier = process.processIdentifier
        let reading = Task.detached { () -> String in
            var text = ""
            var isKilled = false
            while true {
                let bytes = output.fileHandleForReading.availableData
                if bytes.isEmpty { return text }
                text += String(decoding: bytes, as: UTF8.self)
                if isKilled { continue }
                if let marker, text.contains(marker + "\n") {
                    kill(identifier, SIGKILL)
                    isKilled = true
                }
                if let steps, text.split(separator: "\n").count(where: { $0.hasPrefix("step ") }) >= steps.0 {
                    try? await Task.sleep(for: steps.1)
                    kill(identifier, SIGKILL)
                    isKilled = true
                }
            }
        }
        process.waitUntilExit()
        let text = await reading.value
        // The last line may be cut.
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
        return (process.terminationStatus, lines.map(String.init))
    }

    private func write(_ recipe: Recipe, _ folder: TemporaryFolder) throws -> String {
        try folder.write("recipe.yaml", Array(recipe.yaml.utf8))
        return folder.file("recipe.yaml")
    }

    @Test func aKilledRunThatGoesOnIsTheRunThatWasNotKilled() async throws {
        let folder = TemporaryFolder(onDisk: true)
        try TestData.dataset(in: folder)
        let recipe = try write(try TestRun.recipe(folder, steps: 20, "checkpoint.every=4"), folder)
        let (plain, cut) = (folder.file("plain"), folder.file("cut"))
        #expect(try await run(["pretrain", recipe, plain]).code == 0)
        // In the middle of a stretch, and while the checkpoint of step 12 is being written.
        _ = try await run(["pretrain", recipe, cut], killAtLine: "step 7")
        #expect(!FileManager.default.fileExists(atPath: cut + "/model"))
        _ = try await run(["pretrain", recipe, cut, "resume"], killAtLine: "step 12")
        let (code, lines) = try await run(["pretrain", recipe, cut, "resume"])
        #expect(code == 0 && lines.contains { $0.hasPrefix("note resumed from") })
        try TestRun.expectSame(plain, cut)
    }

    @Test func fiftyKillsAtRandomMomentsLoseAtMostTheWorkSinceTheLastCheckpoint() async throws {
        let folder = TemporaryFolder(onDisk: true)
        try TestData.dataset(in: folder)
        let recipe = try write(
            try TestRun.recipe(
                folder, steps: 4000, "checkpoint.every=5", "validation.every=50", "samples.every=0"), folder)
        let path = folder.file("run")
        var generator = RandomGenerator(seed: 5)
        var (durable, interrupted) = (0, 0)
        for _ in 0..<50 {
            // Killed before its first step now and then: no obstacle to the next attempt.
            let hasBegun = FileManager.default.fileExists(atPath: path + "/recipe.yaml")
            let (_, lines) = try await run(
                ["pretrain", recipe, path] + (hasBegun ? ["resume"] : []),
                killAfter: (generator.next(below: 14), .microseconds(generator.next(below: 20_000))))
            for line in lines {
                let words = line.split(separator: " ")
                if words.first == "durable", let step = Int(words[1]) { durable = max(durable, step) }
                #expect(!line.contains("damaged"), "\(line)")
            }
            let names = (try? TestRun.checkpoints(path)) ?? []
            if names.contains(where: { $0.hasPrefix(".") }) { interrupted += 1 }
            // Every checkpoint that has a name is whole, and the newest is no older than what was confirmed.
            var newest = 0
            for name in names where name.hasPrefix("step-") {
                newest = max(newest, try Checkpoint(path: path + "/checkpoints/" + name).snapshot.state.step)
            }
            #expect(newest >= durable)
        }
        print("training: 50 kills, step \(durable), \(interrupted) while a checkpoint was being written")
        #expect(durable > 10)
        // As many steps without a disturbance have the same weights and the same log.
        let plain = folder.file("plain")
        let reached = try #require(try TestRun.checkpoints(path).last { $0.hasPrefix("step-") })
        let number = try Checkpoint(path: path + "/checkpoints/" + reached).snapshot.state.step
        _ = try await run(["pretrain", recipe, plain, "until", "\(number)"])
        for name in ["weights", "optimizer", "state"] {
            let file = "checkpoints/\(reached)/\(name).safetensors"
            #expect(
                try Data(contentsOf: URL(filePath: path + "/" + file))
                    == Data(contentsOf: URL(filePath: plain + "/" + file)), "\(name)")
        }
        func log(_ run: String) throws -> [String] {
            try TrainingRun(folder: run).steps.prefix(number).map { MetricsRecord.step($0).text }
        }
        #expect(try log(path) == log(plain))
    }

    @Test func aFullDiskIsSaidAndTheLastGoodCheckpointStays() async throws {
        let folder = TemporaryFolder(onDisk: true)
        try TestData.dataset(in: folder)
        let recipe = try write(
            try TestRun.recipe(folder, steps: 12, "samples.every=0", "log.every=12"), folder)
        let (plain, full) = (folder.file("plain"), folder.file("full"))
        #expect(try await run(["pretrain", recipe, plain]).code == 0)
        // The limit comes after the first checkpoint and is below the size of the weights' file.
        let (code, lines) = try await run(["pretrain-full", recipe, full, "3", "8000"])
        #expect(code == 1)
        #expect(lines.contains { $0.contains("a checkpoint could not be written: no room on the disk for") })
        #expect(lines.contains { $0.contains("the last good one is of step 3, training goes on") })
        #expect(lines.contains { $0.hasPrefix("error no room on the disk for") }, "\(lines)")
        #expect(try TestRun.checkpoints(full).filter { $0.hasPrefix("step-") } == ["step-000000003"])
        // With room again it goes on, and nothing is missing.
        #expect(try await run(["pretrain", recipe, full, "resume"]).code == 0)
        try TestRun.expectSame(plain, full)
    }
}
