import Foundation
import Testing

@testable import WaletTrain

/// What happens around checkpoints: killed processes, full disks, halves of files.
@Suite(.timeLimit(.minutes(10))) struct CheckpointFaultTests {
    /// The worker's steps are functions of those before, so that what a resumed run has must be what an undisturbed one
    /// has.
    private func expected(step: Int, numbers: Int) -> [Float] {
        var values = [Float](repeating: 0, count: numbers)
        var generator = RandomGenerator(seed: 2)
        for _ in 0..<step {
            for index in 0..<numbers { values[index] += Float(generator.next(below: 1000)) / 7 }
        }
        return values
    }

    @Test func fiftyKillsAtRandomMomentsLoseAtMostTheStepUnderWay() async throws {
        let folder = TemporaryFolder(onDisk: true)
        let numbers = 40_000
        var generator = RandomGenerator(seed: 8)
        var confirmed = 0
        var interrupted = 0
        for _ in 0..<50 {
            let process = Process()
            process.executableURL = Worker.program
            process.arguments = ["save", folder.path, "\(numbers)"]
            let output = Pipe()
            process.standardOutput = output
            try process.run()
            let reading = Task.detached { output.fileHandleForReading.readDataToEndOfFile() }
            try await Task.sleep(for: .milliseconds(15 + generator.next(below: 120)))
            kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
            let text = String(decoding: await reading.value, as: UTF8.self)
            // The last line may be cut: what it says was not read by anybody.
            for line in text.split(separator: "\n", omittingEmptySubsequences: false).dropLast() {
                let words = line.split(separator: " ")
                guard let number = words.count > 1 ? Int(words[1]) : nil else { continue }
                if words[0] == "from" {
                    #expect(number == confirmed && words[2] == "0")
                } else {
                    #expect(number == confirmed + 1)
                    confirmed = number
                }
            }
            if try folder.names().contains(where: { $0.hasPrefix(".") }) { interrupted += 1 }
            let store = try CheckpointStore(folder: folder.path, keep: 2)
            let found = try store.restore()
            #expect(found?.skipped.isEmpty ?? true)
            let step = found?.checkpoint.snapshot.state.step ?? 0
            #expect(step == confirmed || step == confirmed + 1)
            confirmed = step
            #expect(try !folder.names().contains { $0.hasPrefix(".") })
        }
        let store = try CheckpointStore(folder: folder.path, keep: 2)
        let found = try #require(try store.restore()).checkpoint.snapshot
        #expect(found.arrays[.weights]?[0].values == expected(step: confirmed, numbers: numbers))
        print("checkpoints: \(confirmed) steps after 50 kills, \(interrupted) while a checkpoint was being written")
        #expect(confirmed > 50)
    }

    /// All that a crash can leave of a checkpoint under its temporary name, or of one that is being removed.
    @Test func whatACrashLeavesIsRemovedAndNeverCounts() throws {
        let folder = TemporaryFolder()
        do {
            let store = try CheckpointStore(folder: folder.path, keep: 2)
            for step in 1...2 { try store.save(testSnapshot(step: step)) }
            try store.finish()
        }
        let files = try FileManager.default.contentsOfDirectory(atPath: folder.file("step-000000002")).sorted()
        for prefix in [".writing-", ".removing-"] {
            for count in 0...files.count {
                let copy = try folder.copy()
                let name = prefix + "step-000000003"
                try FileManager.default.createDirectory(
                    atPath: copy.file(name), withIntermediateDirectories: false)
                for file in files.prefix(count) {
                    let bytes = try folder.read("step-000000002/" + file)
                    try copy.write(name + "/" + file, bytes.prefix(bytes.count / 2))
                }
                let store = try CheckpointStore(folder: copy.path, keep: 2)
                expectEqual(try store.restore()?.checkpoint.snapshot, testSnapshot(step: 2))
                #expect(try copy.names() == ["lock", "step-000000001", "step-000000002"])
            }
        }
    }

    /// A file system may give a file its length and lose the bytes.
    @Test func lostPagesAreDamageAndTheOneBeforeIsTaken() throws {
        let folder = TemporaryFolder()
        do {
            let store = try CheckpointStore(folder: folder.path, keep: 2)
            for step in 1...2 { try store.save(testSnapshot(step: step)) }
            try store.finish()
        }
        for file in try FileManager.default.contentsOfDirectory(atPath: folder.file("step-000000002")) {
            let copy = try folder.copy()
            let bytes = try folder.read("step-000000002/" + file)
            try copy.write("step-000000002/" + file, [UInt8](repeating: 0, count: bytes.count))
            let store = try CheckpointStore(folder: copy.path, keep: 2)
            let found = try #require(try store.restore())
            expectEqual(found.checkpoint.snapshot, testSnapshot(step: 1))
            #expect(found.skipped.count == 1)
        }
    }

    /// In another process, whose files may not grow beyond a limit: in the first file, the header of the second, later.
    @Test(arguments: [0, 1000, 20_100]) func aFullDiskIsSaidAndTheLastGoodOneStays(limit: Int) throws {
        let folder = TemporaryFolder()
        let (code, lines, errors) = try Worker.run(["fill", folder.path, "\(limit)"])
        #expect(code == 0, "\(errors)")
        #expect(lines.count == 4)
        #expect(lines.prefix(2).allSatisfy { $0.hasPrefix("refused no room on the disk for \(folder.path)/.writing-") })
        #expect(lines.suffix(2) == ["left 1", "left 2"])
        #expect(try folder.names() == ["lock", "step-000000001", "step-000000002"])
    }

    static let canMount = mount(at: nil)

    /// Mounts a memory file system of 256 KiB, or only tries.
    @discardableResult
    private static func mount(at path: String?) -> Bool {
        #if os(Linux)
            let folder = TemporaryFolder()
            let target = path ?? folder.path
            guard run("/bin/mount", ["-t", "tmpfs", "-o", "size=256k", "walet-test", target]) else { return false }
            if path == nil { run("/bin/umount", [target]) }
            return true
        #else
            return false
        #endif
    }

    @discardableResult
    private static func run(_ program: String, _ arguments: [String]) -> Bool {
        let process = Process()
        process.executableURL = URL(filePath: program)
        process.arguments = arguments
        process.standardError = FileHandle.nullDevice
        guard (try? process.run()) != nil else { return false }
        process.waitUntilExit()
        return process.terminationStatus == 0
    }

    @Test(.enabled(if: canMount, "mounting a small disk needs root"))
    func aDiskThatIsReallyFullIsTheSame() throws {
        let folder = TemporaryFolder()
        #expect(Self.mount(at: folder.path))
        defer { Self.run("/bin/umount", ["-l", folder.path]) }
        let path = folder.file("checkpoints")
        let store = try CheckpointStore(folder: path, keep: 5)
        var saved = 0
        var failure: CheckpointError?
        while failure == nil, saved < 20 {
            try store.save(testSnapshot(step: saved + 1, numbers: 10_000))
            do throws(CheckpointError) {
                try store.finish()
                saved += 1
            } catch {
                failure = error
            }
        }
        guard case .storage(.diskFull(let file, let needed, let free))? = failure else {
            Issue.record("\(String(describing: failure))")
            return
        }
        #expect(file.contains(".writing-") && needed > 0 && free != nil && saved >= 2)
        expectEqual(try store.restore()?.checkpoint.snapshot, testSnapshot(step: saved, numbers: 10_000))
    }
}
