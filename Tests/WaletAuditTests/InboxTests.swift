import Foundation
import Testing
import WaletAudit
import WaletJSON

/// Entries of processes that do not have the log.
@Suite struct InboxTests {
    private func action(_ key: String) -> AuditEntry { .key(AuditKeyAction(.revoke, key: key, by: "cli:ada")) }

    private func keys(of folder: TemporaryFolder) throws -> [String] {
        try lines(of: folder).compactMap { try JSONValue(parsing: $0) }.filter { $0["kind"] == "key" }
            .map { $0["key"]?.stringValue ?? "?" }
    }

    @Test func withNoServerTheEntryIsAppended() async throws {
        let folder = TemporaryFolder()
        try await AuditLog.submit(action("k_1"), folder: folder.path, options: .test())
        try await AuditLog.submit(action("k_2"), folder: folder.path, options: .test())
        #expect(try keys(of: folder) == ["k_1", "k_2"])
        #expect(try !folder.names().contains("inbox"))
        #expect(try AuditVerifier.verify(folder: folder.path).signedEntries == 3)
    }

    @Test func besideAServerTheEntryIsTakenBySoon() async throws {
        let folder = TemporaryFolder()
        let log = try AuditLog.open(folder: folder.path, options: .test { $0.checkpointInterval = .milliseconds(20) })
        for number in 0..<20 {
            try await AuditLog.submit(
                action("k_\(number)"), folder: folder.path,
                options: .test { $0.now = { 1_795_600_000_000_000 + number } })
        }
        while log.status.entries < 21 { try await Task.sleep(for: .milliseconds(5)) }
        try await log.close()
        #expect(try keys(of: folder) == (0..<20).map { "k_\($0)" })
        let last = try JSONValue(parsing: try #require(try lines(of: folder).last))
        #expect(last["submitted"] == "2026-11-25T09:46:40.000019Z")
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.file("inbox")).isEmpty)
    }

    @Test func whatWasLeftIsTakenAtTheNextStart() async throws {
        let folder = TemporaryFolder()
        let log = try AuditLog.open(folder: folder.path, options: .test { $0.checkpointInterval = .seconds(3600) })
        // The log is closed before its next look into the inbox, or just after it: both are fine.
        try await AuditLog.submit(action("k_1"), folder: folder.path, options: .test())
        try await log.close()
        try await AuditLog.open(folder: folder.path, options: .test()).close()
        #expect(try keys(of: folder) == ["k_1"])
    }

    @Test func aCrashBetweenWritingAndRemovingWritesNothingTwice() async throws {
        let folder = TemporaryFolder()
        let log = try AuditLog.open(folder: folder.path, options: .test { $0.checkpointInterval = .milliseconds(20) })
        try await AuditLog.submit(action("k_1"), folder: folder.path, options: .test())
        let inbox = folder.file("inbox")
        let name = try #require(
            try FileManager.default.contentsOfDirectory(atPath: inbox).first { $0.hasSuffix(".json") })
        let bytes = try Data(contentsOf: URL(filePath: inbox + "/" + name))
        while log.status.entries < 2 { try await Task.sleep(for: .milliseconds(5)) }
        try await log.close()
        // As the crash would leave it.
        try bytes.write(to: URL(filePath: inbox + "/" + name))
        try await AuditLog.open(folder: folder.path, options: .test()).close()
        #expect(try keys(of: folder) == ["k_1"])
        #expect(try FileManager.default.contentsOfDirectory(atPath: inbox).isEmpty)
    }

    @Test func whatIsNoEntryIsPutAsideAndSaidSo() async throws {
        let folder = TemporaryFolder()
        try await AuditLog.open(folder: folder.path, options: .test()).close()
        let inbox = folder.file("inbox")
        try FileManager.default.createDirectory(atPath: inbox, withIntermediateDirectories: true)
        let number = "00112233445566ff"
        let time = "2026-11-25T09:46:40.000000Z"
        let bad: [String: String] = [
            "x.json": "{}",
            "00000000000000000001-\(number).json": "not JSON",
            "00000000000000000002-\(number).json": "{}",
            "00000000000000000003-\(number).json":
                #"{"entry":{"kind":"log","event":"gap"},"submission":"\#(number)","submitted":"\#(time)"}"#,
            "00000000000000000004-\(number).json":
                #"{"entry":{"kind":"key"},"submission":"0000000000000000","submitted":"\#(time)"}"#,
            "00000000000000000005-\(number).json":
                #"{"entry":{"kind":"key","x":\#(String(repeating: "[", count: 40))\#(String(repeating: "]", count: 40))},"submission":"\#(number)","submitted":"\#(time)"}"#,
            "00000000000000000006-\(number).json": String(repeating: " ", count: 2 << 20),
        ]
        for (name, text) in bad { try Data(text.utf8).write(to: URL(filePath: inbox + "/" + name)) }
        try FileManager.default.createDirectory(atPath: inbox + "/folder.json", withIntermediateDirectories: true)
        // Not an entry yet, and nothing that anybody asked for.
        try Data("{".utf8).write(to: URL(filePath: inbox + "/.00000000000000000007-\(number).json.tmp"))
        try Data("x".utf8).write(to: URL(filePath: inbox + "/README"))
        try await AuditLog.open(folder: folder.path, options: .test()).close()
        let left = try FileManager.default.contentsOfDirectory(atPath: inbox)
        #expect(left.count { $0.hasSuffix(".rejected") } == 8 && left.count == 10)
        let events = try lines(of: folder).map { try JSONValue(parsing: $0) }
        #expect(events.count { $0["event"] == "rejected" } == 8)
        #expect(try keys(of: folder).isEmpty)
        #expect(try AuditVerifier.verify(folder: folder.path).isIntact)
    }

    @Test func anEntryThatCannotBeWrittenIsRefusedAtOnce() async throws {
        let folder = TemporaryFolder()
        let log = try AuditLog.open(folder: folder.path, options: .test())
        let entry = AuditEntry.key(AuditKeyAction(.set, key: "k", by: "b", details: ["x": .double(.infinity)]))
        await #expect(throws: AuditError.self) {
            try await AuditLog.submit(entry, folder: folder.path, options: .test())
        }
        try await log.close()
        await #expect(throws: AuditError.self) {
            try await AuditLog.submit(entry, folder: folder.path, options: .test())
        }
    }
}
