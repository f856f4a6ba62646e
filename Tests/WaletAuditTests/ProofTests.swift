import Foundation
import Testing
import WaletAudit

/// Proofs that leave the log's folder.
@Suite struct ProofTests {
    private let folder = TemporaryFolder()
    private let reader: AuditReader
    private let key: NoteVerifierKey
    private let notes: [SignedCheckpoint]

    init() async throws {
        try await AuditLog.sample(in: folder)
        reader = try AuditReader(folder: folder.path)
        key = try reader.verifierKey()
        var notes: [SignedCheckpoint] = []
        try reader.forEachCheckpoint { notes.append($0) }
        self.notes = notes
    }

    @Test func everyEntryIsProvedToSomebodyWhoHasTheKeyOnly() throws {
        let found = try lines(of: folder)
        for index in 0..<31 {
            let text = "\(try reader.prove(index))"
            let proof = try EntryProof(parsing: Array(text.utf8))
            let record = try proof.check(by: key)
            #expect(record.index == index && record.line == found[index])
            #expect("\(proof)" == text)
            #expect(text.hasPrefix("c2sp.org/tlog-proof@v1\nextra "))
        }
        #expect(throws: AuditError.noSuchEntry(index: 31, entries: 31)) { try reader.prove(31) }
        #expect(throws: AuditError.noSuchEntry(index: -1, entries: 31)) { try reader.prove(-1) }
    }

    @Test func anEntryThatNoCheckpointCoversCannotBeProvedYet() async throws {
        let folder = TemporaryFolder()
        let log = try AuditLog.open(folder: folder.path, options: .test(checkpointEntries: 3))
        for number in 0..<4 { try await log.append(log.request(number)) }
        let reader = try AuditReader(folder: folder.path)
        #expect(try reader.prove(2).checkpoint.size == 3)
        #expect(throws: AuditError.notYetSigned(index: 4, covered: 3)) { try reader.prove(4) }
        try await log.checkpoint()
        #expect(try reader.prove(4).checkpoint.size == 5)
        try await log.close()
    }

    @Test func everyCheckpointIsProvedToBeABeginningOfTheLast() throws {
        for old in notes {
            let text = "\(try reader.prove(extensionOf: old))"
            let proof = try ExtensionProof(parsing: Array(text.utf8))
            try proof.check(by: key, old: old)
            #expect("\(proof)" == text && text.hasPrefix("old \(old.size)\n"))
            for other in notes where other != old {
                #expect(throws: AuditError.self) { try proof.check(by: key, old: other) }
            }
        }
    }

    @Test func proofsOfAnotherLogDoNotHold() async throws {
        let other = TemporaryFolder()
        let foreign = try await AuditLog.sample(in: other)
        #expect(foreign.origin == notes[0].origin)
        let proof = try AuditReader(folder: other.path).prove(3)
        #expect(throws: AuditError.self) { try proof.check(by: key) }
        #expect(throws: AuditError.self) { try reader.prove(extensionOf: foreign) }
        let named = TemporaryFolder()
        let log = try AuditLog.open(folder: named.path, options: .test { $0.origin = "other.example/log" })
        let checkpoint = try await log.checkpoint()
        try await log.close()
        #expect(throws: AuditError.originDiffers(expected: "other.example/log", found: "walet.example/test")) {
            try reader.prove(extensionOf: checkpoint)
        }
        // One that is ahead: the log was cut.
        let longer = TemporaryFolder()
        let ahead = try await AuditLog.sample(in: longer, entries: 40)
        #expect(throws: AuditError.truncated(expected: 41, found: 31, witness: "the older checkpoint")) {
            try reader.prove(extensionOf: ahead)
        }
    }

    @Test func aDamagedLogProvesNothing() throws {
        let damaged = try folder.copy()
        let name = try #require(damaged.segments().first)
        let text = String(decoding: try damaged.read(name), as: UTF8.self)
        try damaged.write(name, text.replacingOccurrences(of: "req_1\"", with: "req_x\"").utf8)
        let reader = try AuditReader(folder: damaged.path)
        #expect(throws: AuditError.self) { try reader.prove(2) }
        _ = try reader.prove(3)
        var bytes = try damaged.read(HashFile.name)
        bytes[HashFile.offset(ofNode: 3)] ^= 1
        try damaged.write(HashFile.name, bytes)
        #expect(throws: AuditError.self) { try reader.prove(3) }
    }

    @Test func readingStartsAnywhere() throws {
        for start in 0...31 {
            var records = try reader.records(from: start)
            var indices: [Int] = []
            while let record = try records.next() { indices.append(record.index) }
            #expect(indices == Array(start..<31))
        }
        #expect(try reader.record(at: 17).value["request"] == "req_16")
        #expect(throws: AuditError.noSuchEntry(index: 31, entries: 31)) { try reader.record(at: 31) }
        #expect(try reader.root(size: 0) == .empty)
        #expect(try reader.root(size: 31) == notes.last?.root)
        #expect(throws: AuditError.self) { try reader.root(size: 32) }
        #expect(throws: AuditError.self) { try reader.consistencyProof(from: 5, to: 32) }
        #expect(throws: AuditError.self) { try reader.inclusionProof(of: 5, size: 5) }
        let none = TemporaryFolder()
        #expect(throws: AuditError.noLog(folder: none.path)) { try AuditReader(folder: none.path) }
        #expect(throws: AuditError.noLog(folder: none.file("x"))) { try AuditReader(folder: none.file("x")) }
        #expect(throws: AuditError.noLog(folder: none.path)) { try AuditVerifier.verify(folder: none.path) }
    }

    @Test func tenThousandDamagedProofsNeverTrapAndNeverLie() throws {
        let found = try lines(of: folder)
        let entries = try (0..<31).map { Array("\(try reader.prove($0, disclosesPrompt: $0 > 0))".utf8) }
        let extensions = try notes.map { Array("\(try reader.prove(extensionOf: $0))".utf8) }
        var generator = SplitMix(state: 21)
        var (held, refused) = (0, 0)
        for _ in 0..<10_000 {
            let bytes = Mutation.apply(to: entries[Int.random(in: 0..<31, using: &generator)], &generator)
            if let record = try? EntryProof(parsing: bytes).check(by: key) {
                // What was damaged does not matter: a salt, or the spelling of the extra line.
                #expect(found[record.index] == record.line)
                held += 1
            } else {
                refused += 1
            }
            let other = Mutation.apply(to: extensions[Int.random(in: 0..<notes.count, using: &generator)], &generator)
            if let proof = try? ExtensionProof(parsing: other),
                let old = notes.first(where: { $0.size == proof.consistency.first }),
                (try? proof.check(by: key, old: old)) != nil
            {
                #expect(notes.contains { $0.root == proof.checkpoint.root && $0.size == proof.checkpoint.size })
            }
        }
        #expect(refused > 9000 && held < 1000)
    }
}
