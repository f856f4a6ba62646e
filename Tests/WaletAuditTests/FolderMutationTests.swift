import Foundation
import Testing
import WaletAudit

/// Damage anywhere in a log's folder: opening and verifying end with an error or a sound log, never with a trap, and a
/// log whose entries differ from what was signed is never taken for intact.
@Suite(.timeLimit(.minutes(20))) struct FolderMutationTests {
    @Test func fifteenHundredDamagedFolders() async throws {
        let original = TemporaryFolder()
        let kept = try await AuditLog.sample(in: original, entries: 20)
        let key = try AuditReader(folder: original.path).verifierKey()
        let names = try original.names().filter { $0 != "lock" }
        let segments = Set(try original.segments())
        var files: [String: [UInt8]] = [:]
        for name in names { files[name] = try original.read(name) }
        let folder = try original.copy()
        var generator = SplitMix(state: 77)
        var (opened, refused, found) = (0, 0, 0)
        for _ in 0..<1500 {
            // As it was, but for one to three files.
            for name in try folder.names() where files[name] == nil && name != "lock" { try folder.remove(name) }
            for (name, bytes) in files { try folder.write(name, bytes) }
            var isDamaged = false
            for _ in 0..<Int.random(in: 1...3, using: &generator) {
                let name = try #require(names.randomElement(using: &generator))
                let before = try #require(files[name])
                let after = Mutation.apply(to: before, &generator)
                try folder.write(name, after)
                // More after the end may be the beginning of another entry.
                if segments.contains(name), !after.starts(with: before) { isDamaged = true }
            }
            let report = try? AuditVerifier.verify(folder: folder.path, key: key, checkpoints: [kept])
            if isDamaged {
                #expect(report?.isIntact != true)
                found += 1
            }
            if let log = try? AuditLog.open(folder: folder.path, options: .test()) {
                opened += 1
                _ = try? await log.append(log.request(1))
                try? await log.close()
                if report?.isIntact == true {
                    let after = try AuditVerifier.verify(folder: folder.path, key: key, checkpoints: [kept])
                    #expect(after.isIntact, "\(String(describing: after.problem))")
                }
            } else {
                refused += 1
            }
            _ = try? AuditReader(folder: folder.path).prove(Int.random(in: 0..<21, using: &generator))
        }
        #expect(opened > 100 && refused > 500 && found > 300)
    }

    @Test func tenThousandDamagedLinesAreRefusedOrCanonical() async throws {
        let original = TemporaryFolder()
        try await AuditLog.sample(in: original, entries: 10)
        let good = try lines(of: original)
        var generator = SplitMix(state: 78)
        var accepted = 0
        for _ in 0..<10_000 {
            let line = Mutation.apply(to: good[Int.random(in: 0..<good.count, using: &generator)], &generator)
            guard let record = try? AuditRecord(parsing: line) else { continue }
            accepted += 1
            #expect(Array(record.value.text(.init(sortKeys: true)).utf8) == line && record.index >= 0)
        }
        #expect(accepted > 100)
    }
}
