import Foundation
import Logging
import Testing
import WaletAccounts
import WaletAudit
import WaletJSON
import WaletServer

/// What is done to keys, on its way into a real audit log.
@Suite struct KeyActionRecorderTests {
    /// Accounts and a place for a log, in a folder of a test's own.
    private final class Place: Sendable {
        let folder = FileManager.default.temporaryDirectory.appending(path: "walet-\(UUID().uuidString)")
        var audit: String { folder.appending(path: "audit").path }

        init() throws { try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true) }
        deinit { try? FileManager.default.removeItem(at: folder) }

        func open() async throws -> Accounts {
            try await Accounts.open(.sqlite(folder.appending(path: "accounts.sqlite").path), durability: .process)
        }

        /// The log's entries about keys, as they are now.
        func entries() throws -> [JSONValue] {
            var records = try AuditReader(folder: audit).records()
            var found: [JSONValue] = []
            while let record = try records.next() {
                if record.kind == "key" { found.append(record.value) }
            }
            return found
        }
    }

    private static func recorder(
        _ accounts: Accounts, _ log: AuditLog, interval: Duration = .seconds(3600)
    ) -> KeyActionRecorder {
        KeyActionRecorder(
            accounts, log, logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }), interval: interval
        )
    }

    @Test func whatAnotherProcessDidToKeysIsInTheLogInItsOrder() async throws {
        let place = try Place()
        let (tool, server) = (try await place.open(), try await place.open())
        let log = try AuditLog.open(folder: place.audit)
        let (key, secret) = try await tool.createKey(
            KeySpecification(name: "payroll", tenant: "hr", limits: Limits(requestsPerMinute: 60)), by: "cli:ada")
        try await tool.update(key.id, by: "cli:grace") { $0.limits.requestsPerMinute = nil }
        try await tool.revoke(key.id, by: "cli:ada")
        // More than are recorded together.
        for index in 0..<150 { _ = try await tool.createKey(KeySpecification(name: "k\(index)"), by: "cli:ada") }
        let recorder = Self.recorder(server, log)
        async let first: Void = recorder.record()
        async let second: Void = recorder.record()
        _ = await (first, second)
        #expect(try await server.pendingKeyActions().isEmpty)
        try await log.close()
        let entries = try place.entries()
        #expect(entries.count == 153)
        #expect(entries.prefix(3).map { $0["action"] } == ["create", "set", "revoke"])
        #expect(entries.prefix(3).map { $0["by"] } == ["cli:ada", "cli:grace", "cli:ada"])
        #expect(entries.prefix(3).allSatisfy { $0["key"] == .string(key.id) && $0["tenant"] == "hr" })
        #expect(entries[0]["details"]?["requests_per_minute"] == 60 && entries[0]["details"]?["name"] == "payroll")
        #expect(entries[1]["details"]?["requests_per_minute"] == ["from": 60, "to": .null])
        #expect(entries[3]["tenant"] == nil)
        #expect(entries.map { $0["details"]?["journal"]?.intValue } == Array(1...153))
        #expect(entries.allSatisfy { UTCTime.parse($0["details"]?["at"]?.stringValue ?? "") != nil })
        #expect(!entries.map { $0.text() }.joined().contains(secret))
        await tool.close()
        await server.close()
    }

    @Test func theLastActionsAreRecordedWhenTheServerEnds() async throws {
        let place = try Place()
        let accounts = try await place.open()
        let log = try AuditLog.open(folder: place.audit)
        struct Failure: Error {}
        await #expect(throws: Failure.self) {
            try await Self.recorder(accounts, log).recording {
                _ = try await accounts.createKey(KeySpecification(name: "a"))
                throw Failure()
            }
        }
        #expect(try place.entries().count == 1)
        try await Self.recorder(accounts, log).recording {
            _ = try await accounts.createKey(KeySpecification(name: "b"))
        }
        #expect(try place.entries().count == 2)
        try await log.close()
        await accounts.close()
    }

    @Test func actionsAreRecordedWhileTheServerRuns() async throws {
        let place = try Place()
        let accounts = try await place.open()
        let log = try AuditLog.open(folder: place.audit)
        _ = try await accounts.createKey(KeySpecification(name: "before"))
        try await Self.recorder(accounts, log, interval: .milliseconds(5)).recording {
            while try place.entries().count < 1 { try await Task.sleep(for: .milliseconds(5)) }
            _ = try await accounts.createKey(KeySpecification(name: "while"))
            while try place.entries().count < 2 { try await Task.sleep(for: .milliseconds(5)) }
        }
        #expect(try place.entries().map { $0["details"]?["name"] } == ["before", "while"])
        try await log.close()
        await accounts.close()
    }

    @Test func aCrashBetweenLogAndJournalShowsTheSamePlaceTwice() async throws {
        let place = try Place()
        let dying = try await place.open()
        _ = try await dying.createKey(KeySpecification(name: "a"))
        // The log is written, and the journal, which refuses, is not: as after a crash between the two.
        try await dying.lanes.run(.write) {
            try $0.script(
                """
                CREATE TRIGGER no_mark BEFORE UPDATE OF recorded_at ON walet_key_action
                BEGIN SELECT RAISE(ABORT, 'not now'); END
                """)
        }
        let log = try AuditLog.open(folder: place.audit)
        let recorder = Self.recorder(dying, log)
        for _ in 0..<3 { await recorder.record() }
        // Who lives knows what it has logged.
        #expect(try place.entries().count == 1)
        #expect(try await dying.pendingKeyActions().count == 1)
        try await dying.lanes.run(.write) { try $0.script("DROP TRIGGER no_mark") }
        await dying.close()
        let next = try await place.open()
        await Self.recorder(next, log).record()
        #expect(try place.entries().map { $0["details"]?["journal"] } == [1, 1])
        #expect(try await next.pendingKeyActions().isEmpty)
        try await log.close()
        await next.close()
    }

    @Test func whatALogCannotTakeWaitsForOneThatCan() async throws {
        let place = try Place()
        let accounts = try await place.open()
        let closed = try AuditLog.open(folder: place.audit)
        try await closed.close()
        let (key, _) = try await accounts.createKey(KeySpecification(name: "a"))
        await Self.recorder(accounts, closed).record()
        #expect(try place.entries().isEmpty)
        let log = try AuditLog.open(folder: place.audit)
        await Self.recorder(accounts, log).record()
        try await log.close()
        #expect(try place.entries().map { $0["key"] } == [.string(key.id)])
        await accounts.close()
    }
}
