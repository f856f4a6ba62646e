import Foundation
import Testing
import WaletAudit
import WaletJSON

/// Writing a log, closing it and going on.
@Suite struct AuditLogTests {
    @Test func entriesAreCanonicalLinesWithAnIndexATimeAndAKind() async throws {
        let folder = TemporaryFolder()
        let log = try AuditLog.open(folder: folder.path, options: .test())
        #expect(log.recovery.isNew && log.recovery.isClean)
        try await log.append(.server(.start(version: "1.2.3", details: ["listen": "127.0.0.1:8080"])))
        try await log.append(log.request(7))
        try await log.append(
            .key(AuditKeyAction(.create, key: "k_1", tenant: "hr", by: "cli:ada", details: ["budget": 5.5])))
        try await log.append(.configuration(AuditConfigurationChange("price.input", from: nil, to: 0.56, by: "reload")))
        try await log.append(.server(.reload()))
        let receipt = try await log.append(.server(.stop(reason: "SIGTERM")))
        #expect(receipt.index == 6)
        try await log.close()

        let found = try lines(of: folder)
        #expect(found.count == 7)
        for (index, line) in found.enumerated() {
            let record = try AuditRecord(parsing: line)
            #expect(record.index == index && record.time == "2026-11-25T09:46:40.000000Z")
        }
        let texts = found.map { String(decoding: $0, as: UTF8.self) }
        #expect(texts[0].contains("\"event\":\"created\"") && texts[0].contains("\(log.verifierKey)"))
        #expect(
            texts[1]
                == #"{"details":{"listen":"127.0.0.1:8080"},"event":"start","index":1,"kind":"server","time":"2026-11-25T09:46:40.000000Z","version":"1.2.3"}"#
        )
        #expect(
            texts[3]
                == #"{"action":"create","by":"cli:ada","details":{"budget":5.5},"index":3,"key":"k_1","kind":"key","tenant":"hr","time":"2026-11-25T09:46:40.000000Z"}"#
        )
        #expect(
            texts[4]
                == #"{"by":"reload","from":null,"index":4,"kind":"configuration","setting":"price.input","time":"2026-11-25T09:46:40.000000Z","to":0.56}"#
        )
        let request = try JSONValue(parsing: found[2])
        #expect(request["request"] == "req_7" && request["cached_tokens"] == 64 && request["status"] == 200)
        #expect(request["prompt"]?["bytes"] == 8 && request["prompt"]?["text"] == nil)
        #expect(receipt.leafHash == .leaf(found[6]))
    }

    @Test func theRootIsThatOfTheLinesAndCheckpointsAreSigned() async throws {
        let folder = TemporaryFolder()
        let last = try await AuditLog.sample(in: folder)
        let found = try lines(of: folder)
        #expect(found.count == 31 && last.size == 31)
        #expect(last.root == MemoryNodes(leaves: found.map { .leaf($0) }).frontier.root)
        let reader = try AuditReader(folder: folder.path)
        #expect(try reader.verifierKey().name == "walet.example/test")
        var sizes: [Int] = []
        try reader.forEachCheckpoint { sizes.append($0.size) }
        #expect(sizes == [7, 14, 21, 28, 31])
        #expect(try reader.lastCheckpoint() == last)
        #expect(try folder.segments().count > 2)
        #expect(try folder.segments().first == "000000000000.jsonl")
    }

    @Test func aClosedLogGoesOnWhereItEnded() async throws {
        let folder = TemporaryFolder()
        var expected: [Int] = []
        for round in 0..<6 {
            let log = try AuditLog.open(folder: folder.path, options: .test())
            #expect(log.recovery.isNew == (round == 0) && log.recovery.isClean)
            for number in 0..<5 { expected.append(try await log.append(log.request(number)).index) }
            try await log.close()
        }
        #expect(expected == Array(1...30))
        let report = try AuditVerifier.verify(folder: folder.path)
        #expect(report.isIntact && report.entries == 31 && report.signedEntries == 31)
        #expect(report.segments == (try folder.segments().count))
    }

    @Test func aSegmentIsNamedAfterItsFirstEntryAndHoldsWhatItsSizeAllows() async throws {
        let folder = TemporaryFolder()
        try await AuditLog.sample(in: folder, entries: 100)
        let segments = try folder.segments()
        var index = 0
        for (number, name) in segments.enumerated() {
            #expect(Segment(name: name)?.first == index)
            let bytes = try folder.read(name)
            #expect(bytes.count <= 4096 && bytes.last == 0x0A)
            index += bytes.count { $0 == 0x0A }
            if number < segments.count - 1 { #expect(bytes.count > 3000) }
        }
        #expect(index == 101)
        for name in ["1.jsonl", "00000000000a.jsonl", "000000000000.json", "-00000000001.jsonl", "0000000000001.jsonl"]
        {
            #expect(Segment(name: name) == nil)
        }
    }

    @Test func tenThousandEntriesOfEightTasksAreAllThereInOneOrder() async throws {
        let folder = TemporaryFolder(onDisk: true)
        let log = try AuditLog.open(folder: folder.path, options: .test(segmentBytes: 1 << 20, checkpointEntries: 1000))
        let clock = ContinuousClock()
        let start = clock.now
        let receipts = try await withThrowingTaskGroup(of: [(Int, AuditReceipt)].self) { group in
            for task in 0..<8 {
                group.addTask {
                    var receipts: [(Int, AuditReceipt)] = []
                    for number in 0..<1250 {
                        let id = task * 1250 + number
                        receipts.append((id, try await log.append(log.request(id))))
                    }
                    return receipts
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        let seconds = (clock.now - start) / .seconds(1)
        print(
            "audit: \(Int(10_000 / seconds)) entries per second, 8 tasks, each entry synchronized before it is confirmed"
        )
        let status = log.status
        #expect(status.entries == 10_001 && status.durableEntries == 10_001 && status.failure == nil)
        try await log.close()

        let found = try lines(of: folder)
        #expect(found.count == 10_001)
        // A task's own entries stand in its order.
        for list in receipts { #expect(zip(list, list.dropFirst()).allSatisfy { $0.1.index < $1.1.index }) }
        let all = receipts.flatMap { $0 }
        #expect(Set(all.map(\.1.index)) == Set(1...10_000))
        for (id, receipt) in all {
            #expect(MerkleHash.leaf(found[receipt.index]) == receipt.leafHash)
            #expect(try JSONValue(parsing: found[receipt.index])["request"] == .string("req_\(id)"))
        }
        #expect(try AuditVerifier.verify(folder: folder.path).isIntact)
    }

    @Test func byIntervalEntriesAreConfirmedBeforeAndDurableAfterIt() async throws {
        let folder = TemporaryFolder(onDisk: true)
        let log = try AuditLog.open(
            folder: folder.path,
            options: .test(segmentBytes: 1 << 20, checkpointEntries: 1000) { $0.sync = .interval(.milliseconds(20)) })
        let clock = ContinuousClock()
        let start = clock.now
        for number in 0..<5000 { try await log.append(log.request(number)) }
        let seconds = (clock.now - start) / .seconds(1)
        print("audit: \(Int(5000 / seconds)) entries per second, one task, synchronized every 20 ms")
        while log.status.durableEntries < 5001 { try await Task.sleep(for: .milliseconds(5)) }
        try await log.close()
        #expect(try AuditVerifier.verify(folder: folder.path).entries == 5001)
    }

    @Test func timeBringsACheckpointWhereThereIsSomethingNew() async throws {
        let folder = TemporaryFolder()
        let log = try AuditLog.open(
            folder: folder.path,
            options: .test(checkpointEntries: 1_000_000) { $0.checkpointInterval = .milliseconds(20) })
        try await log.append(log.request(1))
        while log.status.checkpointSize < 2 { try await Task.sleep(for: .milliseconds(5)) }
        let size = try folder.read(CheckpointFile.name).count
        try await Task.sleep(for: .milliseconds(100))
        #expect(try folder.read(CheckpointFile.name).count == size)
        try await log.append(log.request(2))
        while log.status.checkpointSize < 3 { try await Task.sleep(for: .milliseconds(5)) }
        let (one, same) = (try await log.checkpoint(), try await log.checkpoint())
        #expect(one == same && one.size == 3)
        try await log.close()
    }

    @Test func afterClosingNothingIsTaken() async throws {
        let folder = TemporaryFolder()
        let log = try AuditLog.open(folder: folder.path, options: .test())
        try await log.close()
        try await log.close()
        await #expect(throws: AuditError.closed) { try await log.append(.server(.reload())) }
        await #expect(throws: AuditError.closed) { try await log.checkpoint() }
        await #expect(throws: AuditError.closed) { try await log.ready() }
        #expect(log.status.entries == 1)
    }

    @Test func oneWriterHasTheLogAndLetsItGo() async throws {
        let folder = TemporaryFolder()
        let log = try AuditLog.open(folder: folder.path, options: .test())
        #expect(throws: AuditError.locked(folder: folder.path)) {
            try AuditLog.open(folder: folder.path, options: .test())
        }
        try await log.close()
        let process = Process()
        process.executableURL = Helper.program
        process.arguments = ["audit-hold", folder.path]
        let (input, output) = (Pipe(), Pipe())
        process.standardInput = input
        process.standardOutput = output
        try process.run()
        #expect(try output.fileHandleForReading.read(upToCount: 5) == Data("open\n".utf8))
        #expect(throws: AuditError.locked(folder: folder.path)) {
            try AuditLog.open(folder: folder.path, options: .test())
        }
        // Reading and verifying need no lock.
        #expect(try AuditVerifier.verify(folder: folder.path).isIntact)
        try input.fileHandleForWriting.close()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        try await AuditLog.open(folder: folder.path, options: .test()).close()
    }

    @Test func secretsAreTheOwnersAlone() async throws {
        let folder = TemporaryFolder()
        try await AuditLog.sample(in: folder)
        for name in ["key", "salt"] {
            let attributes = try FileManager.default.attributesOfItem(atPath: folder.file(name))
            #expect(attributes[.posixPermissions] as? Int == 0o600)
            try FileManager.default.setAttributes([.posixPermissions: 0o640], ofItemAtPath: folder.file(name))
            #expect(throws: AuditError.keyExposed(path: folder.file(name), mode: 0o640)) {
                try AuditLog.open(folder: folder.path, options: .test())
            }
            try FileManager.default.setAttributes([.posixPermissions: 0o400], ofItemAtPath: folder.file(name))
        }
        try await AuditLog.open(folder: folder.path, options: .test()).close()
    }

    @Test func theKeyMayLieElsewhere() async throws {
        let (folder, elsewhere) = (TemporaryFolder(), TemporaryFolder())
        let options = AuditOptions.test { $0.keyFile = elsewhere.file("secrets/walet.key") }
        let log = try AuditLog.open(folder: folder.path, options: options)
        try await log.append(log.request(1))
        try await log.close()
        #expect(try !folder.names().contains("key"))
        #expect(try AuditVerifier.verify(folder: folder.path).key == log.verifierKey)
        #expect(throws: AuditError.keyMissing(path: folder.file("key"))) {
            try AuditLog.open(folder: folder.path, options: .test())
        }
        try await AuditLog.open(folder: folder.path, options: options).close()
    }

    @Test func aLogGoesOnUnderItsOwnKeyAndNameOnly() async throws {
        let folder = TemporaryFolder()
        try await AuditLog.sample(in: folder)
        let key = try folder.read("key")
        #expect(throws: AuditError.originDiffers(expected: "other.example/log", found: "walet.example/test")) {
            try AuditLog.open(folder: folder.path, options: .test { $0.origin = "other.example/log" })
        }
        try folder.write("key", Array((try NoteSigner(newNamed: "walet.example/test").text + "\n").utf8))
        #expect(throws: AuditError.self) { try AuditLog.open(folder: folder.path, options: .test()) }
        try folder.remove("key.pub")
        // The last checkpoint still knows better.
        #expect(throws: AuditError.self) { try AuditLog.open(folder: folder.path, options: .test()) }
        try folder.remove("key.pub")
        try folder.write("key", key)
        try await AuditLog.open(folder: folder.path, options: .test { $0.origin = nil }).close()
        try folder.remove("key")
        #expect(throws: AuditError.keyMissing(path: folder.file("key"))) {
            try AuditLog.open(folder: folder.path, options: .test())
        }
    }

    @Test func badOptionsAreNamed() {
        let changes: [(inout AuditOptions) -> Void] = [
            { $0.segmentBytes = 10 }, { $0.checkpointEntries = 0 }, { $0.checkpointInterval = .zero },
            { $0.sync = .interval(.zero) }, { $0.maximumTextBytes = -1 }, { $0.maximumTextBytes = 1 << 30 },
            { $0.keyFile = "/" },
        ]
        for change in changes {
            let folder = TemporaryFolder()
            #expect(throws: AuditError.self) { try AuditLog.open(folder: folder.path, options: .test(change)) }
        }
    }

    @Test func entriesThatCannotBeWrittenAreRefusedAlone() async throws {
        let folder = TemporaryFolder()
        let log = try AuditLog.open(folder: folder.path, options: .test())
        var deep: JSONValue = 1
        for _ in 0..<40 { deep = [deep] }
        await #expect(throws: AuditError.badEntry(field: "details", reason: "nested deeper than 32")) {
            try await log.append(.server(.reload(details: ["a": deep])))
        }
        await #expect(throws: AuditError.badEntry(field: "to", reason: "nan is no number of JSON")) {
            try await log.append(.configuration(AuditConfigurationChange("a", from: nil, to: .double(.nan), by: "b")))
        }
        await #expect(throws: AuditError.self) {
            try await log.append(.server(.stop(reason: String(repeating: "\u{1}", count: 3 << 20))))
        }
        #expect(log.status.lost == 0)
        try await log.append(.server(.stop(reason: "\u{0}\u{1F}\u{7F}\u{2028}\"\\ größer 👩🏽‍🚀")))
        try await log.close()
        #expect(try AuditVerifier.verify(folder: folder.path).entries == 2)
    }

    @Test func timesAreThoseOfTheCalendar() {
        let times = [
            (0, "1970-01-01T00:00:00.000000Z"), (-5, "1970-01-01T00:00:00.000000Z"),
            (951_782_399_999_999, "2000-02-28T23:59:59.999999Z"), (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (951_868_800_000_001, "2000-03-01T00:00:00.000001Z"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z"),
            (Int.max, "9999-12-31T23:59:59.999999Z"),
        ]
        for (microseconds, text) in times {
            #expect(AuditTime.text(microseconds: microseconds) == text)
            #expect(AuditTime.isValid(text))
        }
        let formatter = Date.ISO8601FormatStyle(includingFractionalSeconds: false)
        var generator = SplitMix(state: 3)
        for _ in 0..<2000 {
            let seconds = Int.random(in: 0..<253_402_300_799, using: &generator)
            let expected = Date(timeIntervalSince1970: Double(seconds)).formatted(formatter)
            #expect(AuditTime.text(microseconds: seconds * 1_000_000) == expected.dropLast() + ".000000Z")
        }
        for text in [
            "", "2026-11-25", "2026-11-25T10:00:00Z", "2026-11-25 10:00:00.000000Z",
            "2026-11-25T10:00:00.00000\u{0660}Z",
        ] {
            #expect(!AuditTime.isValid(text))
        }
    }
}
