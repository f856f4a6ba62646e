import Foundation
import Testing
import WaletAudit
import WaletJSON

/// A disk without room: said at once, nothing half-written, and the log says afterwards what it could not take.
@Suite struct DiskFullTests {
    /// Whether this process can make a small disk of its own.
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

    /// In another process, whose files may not grow beyond a limit.
    @Test(arguments: [9000, 20_000, 20_321]) func aLimitOnFilesIsAFullDisk(limit: Int) throws {
        let folder = TemporaryFolder()
        let (code, output, errors) = try Helper.run(["audit-fill", folder.path, "\(limit)"])
        #expect(code == 0, "\(errors)")
        #expect(output.count { $0.hasPrefix("refused no room on the disk for") } == 3)
        #expect(output.contains { $0.hasPrefix("not ready no room on the disk for") })
        #expect(output.contains("lost 3") && output.contains("ready after") && output.last == "lost 0")
        let confirmed = output.compactMap { line -> (Int, String)? in
            let parts = line.split(separator: " ")
            return parts.count == 2 ? Int(parts[0]).map { ($0, String(parts[1])) } : nil
        }
        let found = try lines(of: folder)
        for (index, id) in confirmed { #expect(try JSONValue(parsing: found[index])["request"] == .string(id)) }
        // The log's first line, what was confirmed, and what the log says about those that are missing.
        #expect(found.count == confirmed.count + 2)
        let gaps = try found.map { try JSONValue(parsing: $0) }.filter { $0["event"] == "gap" }
        #expect(gaps.count == 1 && gaps[0]["details"]?["lost"] == 3)
        #expect(gaps[0]["details"]?["reason"]?.stringValue?.contains("no room") == true)
        let report = try AuditVerifier.verify(folder: folder.path)
        #expect(report.isIntact && report.signedEntries == found.count)
        #expect(report.notes.contains { $0.contains("'gap'") })
    }

    @Test(.enabled(if: canMount, "mounting a small disk needs root"))
    func aFullDiskIsTheSameAndRoomEndsIt() async throws {
        let folder = TemporaryFolder()
        #expect(Self.mount(at: folder.path))
        defer { Self.run("/bin/umount", ["-l", folder.path]) }
        let path = folder.file("audit")
        let options = AuditOptions.test(segmentBytes: 16 << 10)
        let log = try AuditLog.open(folder: path, options: options)
        try folder.write("ballast", [UInt8](repeating: 1, count: 64 << 10))
        var written = 0
        var failure: AuditError?
        for number in 0..<10_000 where failure == nil {
            do throws(AuditError) {
                try await log.append(log.request(number))
                written += 1
            } catch {
                failure = error
            }
        }
        guard case .diskFull(let file, _, let free)? = failure else {
            Issue.record("\(String(describing: failure))")
            return
        }
        #expect(file.contains("/audit/") && free != nil)
        await #expect(throws: AuditError.self) { try await log.ready() }
        #expect(log.status.failure != nil && log.status.lost == 1)
        // What was confirmed is whole, also as seen by somebody else now.
        let before = try AuditVerifier.verify(folder: path)
        #expect(before.isIntact && before.entries >= written + 1)

        try folder.remove("ballast")
        try await log.ready()
        try await log.append(log.request(0))
        #expect(log.status.failure == nil && log.status.lost == 0)
        try await log.close()
        let report = try AuditVerifier.verify(folder: path)
        #expect(report.isIntact && report.entries == written + 3 && report.signedEntries == report.entries)
    }
}
