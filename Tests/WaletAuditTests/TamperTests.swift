import Foundation
import Testing
import WaletAudit
import WaletJSON

/// Whatever is done to a log, verifying finds it, and says where, as far as that can be known.
@Suite(.timeLimit(.minutes(20))) struct TamperTests {
    private let original = TemporaryFolder()
    /// The last checkpoint, kept elsewhere.
    private let kept: SignedCheckpoint
    private let key: NoteVerifierKey
    private let entries: [[UInt8]]
    private static let count = 31

    init() async throws {
        kept = try await AuditLog.sample(in: original)
        key = try AuditReader(folder: original.path).verifierKey()
        entries = try lines(of: original)
    }

    /// Segments with the given lines, each where a line with its number belongs.
    private func rewrite(_ folder: TemporaryFolder, _ lines: [[UInt8]]) throws {
        let names = try folder.segments()
        let firsts = names.compactMap { Segment(name: $0)?.first }
        for (number, name) in names.enumerated() {
            let end = number + 1 < firsts.count ? firsts[number + 1] : lines.count
            let part =
                firsts[number] < lines.count ? lines[firsts[number]..<max(firsts[number], min(end, lines.count))] : []
            if part.isEmpty {
                try folder.remove(name)
            } else {
                try folder.write(name, part.flatMap { $0 + [0x0A] })
            }
        }
    }

    /// A hash file that agrees with the lines, as somebody makes who knows how.
    private func rehash(_ folder: TemporaryFolder) throws {
        let nodes = MemoryNodes(leaves: try lines(of: folder).map { .leaf($0) })
        try folder.write(HashFile.name, HashFile.header + nodes.nodes.flatMap(\.bytes))
    }

    private func changed(_ line: [UInt8]) -> [UInt8] {
        let text = String(decoding: line, as: UTF8.self)
        return Array(
            text.replacingOccurrences(of: "\"status\":200", with: "\"status\":500")
                .replacingOccurrences(of: "\"event\":\"created\"", with: "\"event\":\"c\"").utf8)
    }

    private func renumbered(_ line: [UInt8], _ index: Int) throws -> [UInt8] {
        var object = try #require(try JSONValue(parsing: line).objectValue)
        object["index"] = .int(index)
        return Array(JSONValue.object(object).text(.init(sortKeys: true)).utf8)
    }

    private func verify(_ folder: TemporaryFolder, _ checkpoints: [SignedCheckpoint] = []) throws -> AuditReport {
        try AuditVerifier.verify(folder: folder.path, key: key, checkpoints: checkpoints)
    }

    @Test func theUntouchedLogIsIntact() throws {
        let report = try verify(original, [kept])
        #expect(report.isIntact && report.entries == Self.count && report.confirmed == [Self.count])
        #expect(report.notes.isEmpty && report.keyWasGiven && report.checkpoints == 5)
        #expect(report.root == kept.root)
        let ownKey = try AuditVerifier.verify(folder: original.path)
        #expect(ownKey.isIntact && !ownKey.keyWasGiven && ownKey.notes.count == 1)
    }

    @Test(arguments: 0..<31) func anEditedEntryIsNamed(index: Int) throws {
        let folder = try original.copy()
        var lines = entries
        lines[index] = changed(lines[index])
        #expect(lines[index] != entries[index])
        try rewrite(folder, lines)
        let report = try verify(folder)
        #expect(report.firstWrongEntry == index)
        guard case .entryChanged(index, _)? = report.problem else {
            Issue.record("\(String(describing: report.problem))")
            return
        }
        // With hashes that agree, it is known between which checkpoints.
        try rehash(folder)
        let between = try verify(folder)
        guard case .checkpointMismatch(let size, _, _, let trusted)? = between.problem else {
            Issue.record("\(String(describing: between.problem))")
            return
        }
        #expect(trusted <= index && index < size && size - trusted <= 7)
    }

    @Test(arguments: 0..<31) func aDeletedEntryIsNamed(index: Int) throws {
        let folder = try original.copy()
        // Out of its file, the others stay where they are.
        let name = try #require(folder.segments().last { (Segment(name: $0)?.first ?? 0) <= index })
        var part = try folder.read(name).split(separator: 0x0A).map(Array.init)
        part.remove(at: index - (Segment(name: name)?.first ?? 0))
        try folder.write(name, part.flatMap { $0 + [0x0A] })
        #expect(try verify(folder).firstWrongEntry == index)
        // The same without the gap in the numbers.
        var lines = entries
        lines.remove(at: index)
        for number in index..<lines.count { lines[number] = try renumbered(lines[number], number) }
        let second = try original.copy()
        try rewrite(second, lines)
        let report = try verify(second)
        #expect(report.firstWrongEntry == index)
        // And with hashes that agree.
        try rehash(second)
        #expect(try !verify(second).isIntact)
    }

    @Test(arguments: 0..<30) func reorderedEntriesAreNamed(index: Int) throws {
        let folder = try original.copy()
        var lines = entries
        lines.swapAt(index, index + 1)
        try rewrite(folder, lines)
        #expect(try verify(folder).firstWrongEntry == index)
        // With their numbers set right: two entries have changed.
        lines[index] = try renumbered(lines[index], index)
        lines[index + 1] = try renumbered(lines[index + 1], index + 1)
        try rewrite(folder, lines)
        #expect(try verify(folder).firstWrongEntry == index)
        try rehash(folder)
        #expect(try !verify(folder).isIntact)
    }

    @Test(arguments: 0...30) func anInsertedEntryIsNamed(index: Int) throws {
        let folder = try original.copy()
        var lines = entries
        lines.insert(lines[index], at: index)
        try rewrite(folder, lines)
        #expect(try verify(folder).firstWrongEntry == index + 1)
        lines[index] = changed(lines[index])
        for number in index..<lines.count { lines[number] = try renumbered(lines[number], number) }
        try rewrite(folder, lines)
        #expect(try verify(folder).firstWrongEntry == index)
        try rehash(folder)
        #expect(try !verify(folder).isIntact)
    }

    @Test(arguments: 0..<31) func aCutEndIsFound(size: Int) throws {
        let folder = try original.copy()
        try rewrite(folder, Array(entries[..<size]))
        #expect(try verify(folder).firstWrongEntry == size)
        // Hashes cut, too: the checkpoints know.
        try rehash(folder)
        let byCheckpoint = try verify(folder)
        #expect(byCheckpoint.firstWrongEntry == size)
        guard case .truncated(Self.count, size, let witness)? = byCheckpoint.problem else {
            Issue.record("\(String(describing: byCheckpoint.problem))")
            return
        }
        #expect(witness.contains("checkpoint 5"))
        // Checkpoints cut, too: nothing in the folder knows, and the one that was kept elsewhere does.
        var notes: [SignedCheckpoint] = []
        try AuditReader(folder: original.path).forEachCheckpoint { notes.append($0) }
        try folder.write(CheckpointFile.name, notes.filter { $0.size <= size }.map { "\($0)\n" }.joined().utf8)
        if size > 0 { #expect(try verify(folder).isIntact) }
        let report = try verify(folder, [kept])
        #expect(
            report.problem == .truncated(expected: Self.count, found: size, witness: "the checkpoint that was given"))
    }

    @Test func bytesInsteadOfAnEntryAreFound() throws {
        for garbage in ["", "x", "{}", "null", "{\"index\":5}", "\u{FEFF}{}", "{\"index\":5,\"index\":5}"] {
            let folder = try original.copy()
            var lines = entries
            lines[5] = Array(garbage.utf8)
            try rewrite(folder, lines)
            #expect(try verify(folder).firstWrongEntry == 5)
        }
        // The same content in another spelling.
        let folder = try original.copy()
        var lines = entries
        lines[5].insert(0x20, at: 1)
        try rewrite(folder, lines)
        try rehash(folder)
        #expect(try verify(folder).firstWrongEntry == 5)
    }

    @Test func missingAndSwappedSegmentsAreFound() throws {
        let names = try original.segments()
        #expect(names.count >= 4)
        for (number, name) in names.enumerated() {
            let folder = try original.copy()
            try folder.remove(name)
            let report = try verify(folder)
            #expect(report.firstWrongEntry == Segment(name: name)?.first)
            #expect("\(try #require(report.problem))".contains(number == names.count - 1 ? "cut" : "missing"))
            if number == 0 || number == names.count - 1 {
                #expect(throws: AuditError.self) { try AuditLog.open(folder: folder.path, options: .test()) }
            }
        }
        for number in 0..<names.count - 1 {
            let folder = try original.copy()
            let (one, other) = (try folder.read(names[number]), try folder.read(names[number + 1]))
            try folder.write(names[number], other)
            try folder.write(names[number + 1], one)
            #expect(try verify(folder).firstWrongEntry == Segment(name: names[number])?.first)
        }
        // A copy under another number, a file that is no segment, a link.
        let folder = try original.copy()
        try folder.write("000000000003.jsonl", try folder.read(names[0]))
        guard case .badSegment("000000000003.jsonl", _)? = try verify(folder).problem else {
            Issue.record("the second copy was not seen")
            return
        }
        try folder.remove("000000000003.jsonl")
        try folder.write("000000000003.jsonl.bak", try folder.read(names[0]))
        #expect(try verify(folder).isIntact)
        try folder.remove(names[1])
        try FileManager.default.createSymbolicLink(
            atPath: folder.file(names[1]), withDestinationPath: original.file(names[1]))
        #expect(throws: AuditError.self) { try verify(folder) }
    }

    @Test func forgedCheckpointsAreFound() throws {
        var notes: [SignedCheckpoint] = []
        try AuditReader(folder: original.path).forEachCheckpoint { notes.append($0) }
        let texts = notes.map { "\($0)\n" }
        for number in notes.indices {
            // Another size, another root, another signature.
            for (from, to) in [
                ("\n\(notes[number].size)\n", "\n\(notes[number].size + 1)\n"),
                (notes[number].root.base64, MerkleHash.leaf(Array("x".utf8)).base64),
                ("\(notes[number].root)", "\(notes[(number + 1) % notes.count].root)"),
            ] {
                let folder = try original.copy()
                var forged = texts
                forged[number] = texts[number].replacingOccurrences(of: from, with: to)
                #expect(forged != texts)
                try folder.write(CheckpointFile.name, forged.joined().utf8)
                let report = try verify(folder)
                guard case .badSignature(let source, _)? = report.problem else {
                    Issue.record("\(String(describing: report.problem))")
                    continue
                }
                #expect(source.contains("checkpoint \(number + 1) of"))
            }
        }
        // Signed, but by another key of the same name.
        let folder = try original.copy()
        let other = try NoteSigner(newNamed: key.name)
        let forged = try SignedCheckpoint(origin: key.name, size: kept.size, root: kept.root, signer: other)
        try folder.write(CheckpointFile.name, "\(forged)\n".utf8)
        #expect(try !verify(folder).isIntact)
        // In another order.
        try folder.write(CheckpointFile.name, (texts[0] + texts[2] + texts[1]).utf8)
        guard case .badCheckpoint? = try verify(folder).problem else {
            Issue.record("the order was not seen")
            return
        }
        // Fewer of them prove less and say so.
        try folder.write(CheckpointFile.name, texts[0].utf8)
        let fewer = try verify(folder)
        #expect(
            fewer.isIntact && fewer.signedEntries == 7
                && fewer.notes.contains { $0.contains("24 entries are not covered") })
        try folder.remove(CheckpointFile.name)
        let none = try verify(folder)
        #expect(none.isIntact && none.checkpoints == 0)
        #expect(try !verify(folder, [forged]).isIntact)
    }

    /// Somebody who takes the machine over has the key, too: the checkpoints that are elsewhere are what is left.
    @Test func aLogThatWasForgedWithItsOwnKeyIsFoundByACheckpointElsewhere() throws {
        let folder = try original.copy()
        var lines = entries
        lines[20] = changed(lines[20])
        try rewrite(folder, lines)
        try rehash(folder)
        let signer = try NoteSigner(String(decoding: try folder.read("key"), as: UTF8.self), source: "the key")
        let root = MemoryNodes(leaves: lines.map { .leaf($0) }).frontier.root
        let forged = try SignedCheckpoint(origin: key.name, size: lines.count, root: root, signer: signer)
        try folder.write(CheckpointFile.name, "\(forged)\n".utf8)
        #expect(try verify(folder).isIntact)
        guard case .checkpointMismatch(Self.count, _, _, _)? = try verify(folder, [kept]).problem else {
            Issue.record("the forgery was not seen")
            return
        }
        // And the two checkpoints together are the proof of it.
        #expect(forged.size == kept.size && forged.root != kept.root)
    }

    @Test func anotherKeyIsSaidToBeAnother() throws {
        let other = try NoteSigner(newNamed: key.name).verifier
        guard case .keyDiffers? = try AuditVerifier.verify(folder: original.path, key: other).problem else {
            Issue.record("the key was not seen")
            return
        }
        // Exchanged beside the log.
        let folder = try original.copy()
        try folder.write("key.pub", "\(other)\n".utf8)
        #expect(try !verify(folder).isIntact)
        #expect(try !AuditVerifier.verify(folder: folder.path).isIntact)
        #expect(throws: AuditError.self) { try AuditLog.open(folder: folder.path, options: .test()) }
        try folder.remove("key.pub")
        #expect(throws: AuditError.keyMissing(path: folder.file("key.pub"))) {
            try AuditVerifier.verify(folder: folder.path)
        }
        #expect(try verify(folder).isIntact)
        try folder.write("key.pub", "nonsense".utf8)
        #expect(try !verify(folder).isIntact)
        #expect(throws: AuditError.self) { try AuditVerifier.verify(folder: folder.path) }
    }

    @Test func aDamagedHashFileIsToldFromADamagedEntry() throws {
        let hashes = try original.read(HashFile.name)
        for position in 0..<MerklePosition.nodes(leaves: Self.count) {
            let folder = try original.copy()
            var bytes = hashes
            bytes[HashFile.offset(ofNode: position) + 7] ^= 4
            try folder.write(HashFile.name, bytes)
            guard case .badHashFile? = try verify(folder).problem else {
                Issue.record("node \(position): \(String(describing: try verify(folder).problem))")
                continue
            }
            // It can be made again.
            try folder.remove(HashFile.name)
            let again = try verify(folder)
            #expect(again.isIntact && again.notes.contains { $0.contains("no hash in") })
        }
    }

    @Test func aLogWithATamperedEndDoesNotOpen() throws {
        let last = try #require(original.segments().last)
        let first = try #require(Segment(name: last)?.first)
        for index in first..<Self.count {
            let folder = try original.copy()
            var lines = entries
            lines[index] = changed(lines[index])
            try rewrite(folder, lines)
            #expect(throws: AuditError.entryChanged(index: index, file: last)) {
                try AuditLog.open(folder: folder.path, options: .test())
            }
            // With agreeing hashes the last checkpoint knows.
            try rehash(folder)
            #expect(throws: AuditError.self) { try AuditLog.open(folder: folder.path, options: .test()) }
            try rewrite(folder, Array(entries[..<index]))
            #expect(throws: AuditError.self) { try AuditLog.open(folder: folder.path, options: .test()) }
        }
    }

    /// The hash file speaks of durable entries only, so that no crash explains this.
    @Test func anEndThatOnlyTheHashFileKnowsIsMissed() async throws {
        let open = TemporaryFolder()
        let log = try AuditLog.open(folder: open.path, options: .test(checkpointEntries: 1000))
        for number in 0..<5 { try await log.append(log.request(number)) }
        // As it is before the log is closed: without a checkpoint.
        let folder = try open.copy()
        try await log.close()
        let name = "000000000000.jsonl"
        let bytes = try folder.read(name)
        let last = try #require(bytes.dropLast().lastIndex(of: 0x0A))
        for size in [last + 1, last + 9, bytes.count - 1, 0] {
            try folder.write(name, bytes[..<size])
            let found = size == 0 ? 0 : 5
            let expected = AuditError.truncated(expected: 6, found: found, witness: HashFile.name)
            #expect(throws: expected) {
                try AuditLog.open(folder: folder.path, options: .test(checkpointEntries: 1000))
            }
            #expect(try folder.read(name) == Array(bytes[..<size]))
            #expect(try AuditVerifier.verify(folder: folder.path).problem == expected)
        }
    }

    @Test func aFileThatIsCutOrRemovedWhileTheLogIsOpenStopsTheLog() async throws {
        for damage in 0..<3 {
            let folder = TemporaryFolder()
            let log = try AuditLog.open(folder: folder.path, options: .test())
            for number in 0..<3 { try await log.append(log.request(number)) }
            let name = "000000000000.jsonl"
            let size = try folder.read(name).count
            switch damage {
            case 0: try folder.write(name, try folder.read(name).dropLast(10))
            case 1: try folder.write(name, try folder.read(name) + Array("x\n".utf8))
            default: try folder.remove(name)
            }
            let found = damage == 0 ? size - 10 : damage == 1 ? size + 2 : 0
            let expected = AuditError.changedUnderneath(path: folder.file(name), expected: size, found: found)
            await #expect(throws: expected) { try await log.append(log.request(9)) }
            await #expect(throws: expected) { try await log.append(log.request(10)) }
            await #expect(throws: expected) { try await log.ready() }
            #expect(log.status.failure == expected && log.status.lost == 2)
            await #expect(throws: AuditError.self) { try await log.close() }
            if damage == 1 {
                // Bytes after the end are what a torn write leaves, too.
                let again = try AuditLog.open(folder: folder.path, options: .test())
                #expect(again.recovery.cutBytes == 2)
                try await again.close()
            } else {
                #expect(throws: AuditError.self) { try AuditLog.open(folder: folder.path, options: .test()) }
            }
        }
    }
}
