// Entries of other processes: the log has one writer, and a command beside a running server leaves its entry here.

import Foundation
import WaletJSON

/// `inbox/`: a file an entry, put there at once and taken by the writer in the order of the names, which begin with
/// the time. An entry is written before its file goes, so that a crash in between leaves both; the writer knows by the
/// submission's number that it has it.
enum AuditInbox {
    static let name = "inbox"
    static let suffix = ".json"
    static let maximumBytes = 1 << 20
    /// Files that are taken at a time.
    static let maximumFiles = 256

    /// Leaves an entry for the writer.
    static func put(_ body: JSONObject, in folder: AuditFolder, time microseconds: Int) throws(AuditError) {
        guard let inbox = try folder.folder(name, create: true) else { throw .noLog(folder: folder.path) }
        var generator = SystemRandomNumberGenerator()
        let number = Hexadecimal.text((0..<8).map { _ in UInt8.random(in: 0...255, using: &generator) })
        let digits = String(microseconds)
        let file = String(repeating: "0", count: max(0, 20 - digits.count)) + digits + "-" + number + suffix
        // Whatever is wrong with it is said to the one who submits it.
        _ = try AuditRecord.line(body, index: 0, time: AuditTime.text(microseconds: microseconds))
        let text: JSONValue = [
            "entry": .object(body), "submission": .string(number),
            "submitted": .string(AuditTime.text(microseconds: microseconds)),
        ]
        let bytes = Array((text.text() + "\n").utf8)
        guard bytes.count <= maximumBytes else { throw .entryTooLarge(bytes: bytes.count, limit: maximumBytes) }
        try inbox.put(file, bytes, mode: 0o600)
    }

    /// An entry that waits.
    struct Waiting {
        let file: String
        let submission: String
        /// What the log writes: the entry with its submission, or that the file is none.
        let body: JSONObject
        let isRejected: Bool
    }

    /// The entries that wait, oldest first.
    static func waiting(in inbox: AuditFolder) throws(AuditError) -> [Waiting] {
        var result: [Waiting] = []
        for file in try inbox.names() where file.hasSuffix(suffix) && !file.hasPrefix(".") {
            guard result.count < maximumFiles else { break }
            guard let submission = submission(of: file) else {
                result.append(rejected(file, "its name is not TIME-NUMBER.json", hash: nil))
                continue
            }
            let bytes: [UInt8]
            do throws(AuditError) {
                guard let contents = try inbox.contents(file, limit: maximumBytes) else { continue }
                bytes = contents
            } catch {
                result.append(rejected(file, "\(error)", hash: nil))
                continue
            }
            result.append(read(bytes, file: file, submission: submission))
        }
        return result
    }

    private static func submission(of file: String) -> String? {
        let parts = file.dropLast(suffix.count).split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, parts[0].count == 20, parts[0].allSatisfy({ $0.isASCII && $0.isNumber }),
            parts[1].count == 16, Hexadecimal.bytes(parts[1]) != nil
        else { return nil }
        return String(parts[1])
    }

    private static func read(_ bytes: [UInt8], file: String, submission: String) -> Waiting {
        let hash = MerkleHash.plain(bytes)
        let value: JSONValue
        do throws(JSONError) {
            value = try JSONValue(parsing: bytes, maximumDepth: AuditRecord.maximumDepth)
        } catch {
            return rejected(file, "\(error)", hash: hash)
        }
        guard var body = value["entry"]?.objectValue, let kind = body["kind"]?.stringValue,
            AuditEntry.kinds.contains(kind), value["submission"]?.stringValue == submission,
            let submitted = value["submitted"]?.stringValue, AuditTime.isValid(submitted)
        else { return rejected(file, "expected entry, submission and submitted, as 'walet' writes them", hash: hash) }
        body["submission"] = .string(submission)
        body["submitted"] = .string(submitted)
        return Waiting(file: file, submission: submission, body: body, isRejected: false)
    }

    private static func rejected(_ file: String, _ reason: String, hash: MerkleHash?) -> Waiting {
        let details: [String: JSONValue] = [
            "file": .string(clean(file)), "reason": .string(clean(reason)),
            "sha256": hash.map { .string($0.hexadecimal) } ?? .null,
        ]
        return Waiting(
            file: file, submission: "", body: AuditEntry.ofLog(event: "rejected", details), isRejected: true)
    }
}

extension AuditWriter {
    /// Takes what waits in the inbox.
    /// - Parameter known: submissions that are in the log though their files are still there.
    mutating func takeInbox(known: inout Set<String>) throws(AuditError) {
        guard broken == nil, let inbox = try folder.folder(AuditInbox.name, create: false) else { return }
        let waiting = try AuditInbox.waiting(in: inbox)
        guard !waiting.isEmpty else { return }
        let new = waiting.filter { !known.contains($0.file) }
        let results = append(new.map(\.body), countsLosses: false)
        for (entry, result) in zip(new, results) {
            switch result {
            case .success: known.insert(entry.file)
            // Its own fault, which trying again does not mend.
            case .failure(.badEntry), .failure(.entryTooLarge): break
            case .failure: return
            }
        }
        // Durable before the file goes, whatever the policy.
        try synchronize()
        for entry in waiting {
            if entry.isRejected || !known.contains(entry.file) {
                try inbox.rename(entry.file, to: entry.file + ".rejected")
            } else {
                try inbox.remove(entry.file)
            }
            known.remove(entry.file)
        }
    }

    /// Which files of the inbox are in the last segment already: a crash came between writing and removing.
    func submissionsTaken() throws(AuditError) -> Set<String> {
        guard let inbox = try folder.folder(AuditInbox.name, create: false) else { return [] }
        var files: [String: String] = [:]
        for entry in try AuditInbox.waiting(in: inbox) where !entry.isRejected { files[entry.submission] = entry.file }
        guard !files.isEmpty else { return [] }
        var known: Set<String> = []
        var lines = LineReader(segment, to: segmentBytes, maximumLine: AuditRecord.maximumBytes)
        while let line = try lines.next() {
            guard let value = try? JSONValue(parsing: line.bytes, maximumDepth: AuditRecord.maximumDepth),
                let submission = value["submission"]?.stringValue, let file = files[submission]
            else { continue }
            known.insert(file)
        }
        return known
    }
}
