import Foundation
import Testing
import WaletAudit
import WaletJSON

/// A process that dies at any moment leaves a log that opens with all that was confirmed.
@Suite(.timeLimit(.minutes(20))) struct CrashTests {
    /// What is on the disk when a writer dies: the hash file speaks of `hashed` entries, the checkpoints of no more,
    /// and of the segment there is a beginning that holds at least these.
    private struct State {
        let original: TemporaryFolder
        let segment: [UInt8]
        /// Where each line ends.
        let ends: [Int]
        let hashes: [UInt8]
        let notes: [SignedCheckpoint]

        init(entries: Int, checkpointEntries: Int) async throws {
            original = TemporaryFolder()
            try await AuditLog.sample(
                in: original, entries: entries, segmentBytes: 1 << 20, checkpointEntries: checkpointEntries)
            let bytes = try original.read("000000000000.jsonl")
            segment = bytes
            ends = bytes.indices.filter { bytes[$0] == 0x0A }.map { $0 + 1 }
            hashes = try original.read(HashFile.name)
            var notes: [SignedCheckpoint] = []
            try AuditReader(folder: original.path).forEachCheckpoint { notes.append($0) }
            self.notes = notes
        }

        func folder(segmentBytes: Int, hashed: Int) throws -> TemporaryFolder {
            let folder = try original.copy()
            try folder.write("000000000000.jsonl", segment[..<segmentBytes])
            try folder.write(HashFile.name, hashes[..<HashFile.offset(ofNode: MerklePosition.nodes(leaves: hashed))])
            let text = notes.filter { $0.size <= hashed }.map { "\($0)\n" }.joined()
            try folder.write(CheckpointFile.name, Array(text.utf8))
            return folder
        }
    }

    /// Opens, compares with what must be there, writes on and verifies.
    private func reopen(
        _ folder: TemporaryFolder, expecting entries: Int, cut: Int, in state: State,
        _ place: SourceLocation = #_sourceLocation
    ) async throws {
        let log = try AuditLog.open(folder: folder.path, options: .test(segmentBytes: 1 << 20))
        #expect(log.recovery.cutBytes == cut, sourceLocation: place)
        let said = cut > 0 ? 1 : 0
        #expect(log.status.entries == entries + said, sourceLocation: place)
        try await log.append(log.request(1000))
        try await log.close()
        let found = try folder.read("000000000000.jsonl")
        let kept = entries > 0 ? state.ends[entries - 1] : 0
        #expect(found.starts(with: state.segment[..<kept]), sourceLocation: place)
        if cut > 0 {
            let name = try #require(log.recovery.cutFile, sourceLocation: place)
            let bytes = try folder.read(name)
            #expect(bytes.count == cut, sourceLocation: place)
            let event = try JSONValue(parsing: try lines(of: folder)[entries])
            #expect(event["event"] == "recovery" && event["details"]?["cut_bytes"] == .int(cut), sourceLocation: place)
            #expect(
                event["details"]?["cut_sha256"] == .string(MerkleHash.plain(bytes).hexadecimal), sourceLocation: place)
        }
        let report = try AuditVerifier.verify(folder: folder.path)
        #expect(report.isIntact && report.entries == entries + said + 1, sourceLocation: place)
    }

    @Test func atEveryByteOfTheLastWrite() async throws {
        let state = try await State(entries: 12, checkpointEntries: 5)
        for hashed in [11, 12] {
            for size in state.ends[hashed - 1]...state.segment.count {
                let whole = state.ends.count { $0 <= size }
                let folder = try state.folder(segmentBytes: size, hashed: hashed)
                try await reopen(folder, expecting: whole, cut: size - state.ends[whole - 1], in: state)
            }
        }
        // A group of eight entries, and the very first write.
        for (hashed, step) in [(5, 41), (1, 97)] {
            for size in stride(from: state.ends[hashed - 1], through: state.segment.count, by: step) {
                let whole = state.ends.count { $0 <= size }
                let folder = try state.folder(segmentBytes: size, hashed: hashed)
                try await reopen(folder, expecting: whole, cut: size - state.ends[whole - 1], in: state)
            }
        }
    }

    @Test func beforeTheFirstEntryWasWhole() async throws {
        let state = try await State(entries: 1, checkpointEntries: 5)
        for size in [0, 1, 17, state.ends[0] - 1] {
            let folder = try state.folder(segmentBytes: size, hashed: 0)
            let log = try AuditLog.open(folder: folder.path, options: .test())
            // The log's first entry is written anew, and then what was cut.
            #expect(log.recovery.cutBytes == size && log.status.entries == (size > 0 ? 2 : 1))
            try await log.close()
            #expect(try AuditVerifier.verify(folder: folder.path).isIntact)
        }
    }

    @Test func betweenEachOfTheFilesOfANewLog() async throws {
        let state = try await State(entries: 0, checkpointEntries: 5)
        let order = ["lock", "key", "key.pub", HashFile.name, CheckpointFile.name, "salt", "000000000000.jsonl"]
        for count in 0...order.count {
            let folder = try state.original.copy()
            for name in order[count...] { try folder.remove(name) }
            for name in order[3...] where order[..<count].contains(name) { try folder.write(name, [UInt8]()) }
            if count > 5 { try folder.write("salt", state.original.read("salt")) }
            let log = try AuditLog.open(folder: folder.path, options: .test())
            try await log.append(log.request(1))
            try await log.close()
            #expect(try AuditVerifier.verify(folder: folder.path).entries == 2)
        }
    }

    @Test func atEveryByteOfTheHashFile() async throws {
        let state = try await State(entries: 12, checkpointEntries: 5)
        for size in 0...state.hashes.count {
            let folder = try state.original.copy()
            try folder.write(HashFile.name, state.hashes[..<size])
            let log = try AuditLog.open(folder: folder.path, options: .test(segmentBytes: 1 << 20))
            #expect(log.recovery.cutBytes == 0 && log.status.entries == 13)
            try await log.close()
            #expect(try folder.read(HashFile.name) == state.hashes)
            #expect(try AuditVerifier.verify(folder: folder.path).isIntact)
        }
    }

    /// A file system may give a file its length and lose the bytes.
    @Test func whereTheHashFilesLastPagesAreZeros() async throws {
        let state = try await State(entries: 40, checkpointEntries: 50)
        for first in stride(from: HashFile.header.count, to: state.hashes.count, by: 32) {
            let folder = try state.original.copy()
            try folder.write(
                HashFile.name, state.hashes[..<first] + Array(repeating: 0, count: state.hashes.count - first))
            let log = try AuditLog.open(folder: folder.path, options: .test(segmentBytes: 1 << 20))
            #expect(log.status.entries == 41)
            try await log.close()
            #expect(try folder.read(HashFile.name) == state.hashes)
        }
    }

    @Test func whereASegmentsLastPagesAreZerosOrOthers() async throws {
        let state = try await State(entries: 12, checkpointEntries: 5)
        var generator = SplitMix(state: 5)
        let hashed = 6
        for _ in 0..<60 {
            let folder = try state.folder(segmentBytes: state.segment.count, hashed: hashed)
            var bytes = state.segment
            let start = Int.random(in: state.ends[hashed - 1]..<bytes.count - 1, using: &generator)
            let end = Int.random(in: start + 1...min(bytes.count - 1, start + 700), using: &generator)
            let isZero = Bool.random(using: &generator)
            for index in start..<end { bytes[index] = isZero ? 0 : UInt8.random(in: 128...255, using: &generator) }
            try folder.write("000000000000.jsonl", bytes)
            let whole = state.ends.count { $0 <= start }
            try await reopen(folder, expecting: whole, cut: bytes.count - state.ends[whole - 1], in: state)
        }
    }

    @Test func atEveryByteOfTheCheckpoints() async throws {
        let state = try await State(entries: 12, checkpointEntries: 5)
        let bytes = try state.original.read(CheckpointFile.name)
        var ends = [0]
        for note in state.notes { ends.append(ends[ends.count - 1] + "\(note)\n".utf8.count) }
        #expect(ends.last == bytes.count && ends.count == 4)
        for size in 0...bytes.count {
            let folder = try state.original.copy()
            try folder.write(CheckpointFile.name, bytes[..<size])
            let whole = try #require(ends.last { $0 <= size })
            let torn = try AuditVerifier.verify(folder: folder.path)
            #expect(torn.isIntact && torn.notes.contains { $0.contains("no whole checkpoint") } == (size > whole))
            let log = try AuditLog.open(folder: folder.path, options: .test(segmentBytes: 1 << 20))
            #expect(log.recovery.cutCheckpointBytes == size - whole)
            try await log.close()
            let report = try AuditVerifier.verify(folder: folder.path)
            #expect(report.isIntact && report.signedEntries == report.entries)
        }
    }

    /// The process is killed while four tasks append; each time the log goes on.
    @Test func killedAtRandomMoments() async throws {
        let folder = TemporaryFolder(onDisk: true)
        var generator = SplitMix(state: 9)
        var confirmed: [Int: String] = [:]
        var recoveries = 0
        for round in 0..<15 {
            let process = Process()
            process.executableURL = Helper.program
            process.arguments = ["audit-write", folder.path]
            let output = Pipe()
            process.standardOutput = output
            try process.run()
            let reading = Task.detached { output.fileHandleForReading.readDataToEndOfFile() }
            try await Task.sleep(for: .milliseconds(Int.random(in: 30...400, using: &generator)))
            kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
            let text = String(decoding: await reading.value, as: UTF8.self)
            // The last line may be cut: what it says was not read by anybody.
            for line in text.split(separator: "\n", omittingEmptySubsequences: false).dropLast() {
                let parts = line.split(separator: " ")
                confirmed[try #require(Int(parts[0]))] = String(parts[1])
            }
            let log = try AuditLog.open(folder: folder.path, options: .test(segmentBytes: 16 << 10) { $0.origin = nil })
            if !log.recovery.isClean { recoveries += 1 }
            try await log.append(.server(.start(version: "round \(round)")))
            try await log.close()
            let report = try AuditVerifier.verify(folder: folder.path)
            #expect(report.isIntact && report.signedEntries == report.entries)
        }
        let found = try lines(of: folder)
        for (index, id) in confirmed {
            let value = try JSONValue(parsing: found[index])
            #expect(value["index"] == .int(index) && value["request"] == .string(id))
        }
        print("audit: \(confirmed.count) confirmed entries are all there after 15 kills, \(recoveries) with a repair")
        #expect(confirmed.count > 50)
    }
}
