// Proofs as files, which somebody checks who has the log's public key and nothing else of it.

import Foundation
import WaletJSON

/// A proof that an entry is in a log, in the format of c2sp.org/tlog-proof.
///
/// The optional first line carries the entry itself and, where they are disclosed, the salts of its texts.
public struct EntryProof: Sendable, Equatable {
    /// The entry's line, without its end.
    public let line: [UInt8]
    public let inclusion: InclusionProof
    /// The checkpoint that covers the entry.
    public let checkpoint: SignedCheckpoint
    /// Salts of "prompt" and "answer", where they are disclosed.
    public let salts: [String: [UInt8]]

    static let header = "c2sp.org/tlog-proof@v1"

    init(line: [UInt8], inclusion: InclusionProof, checkpoint: SignedCheckpoint, salts: [String: [UInt8]]) {
        self.line = line
        self.inclusion = inclusion
        self.checkpoint = checkpoint
        self.salts = salts
    }

    /// Reads a proof. Nothing is checked by this; see ``check(by:)``.
    public init(parsing bytes: [UInt8]) throws(AuditError) {
        var lines = try ProofLines(bytes)
        guard lines.next() == Self.header else { throw .badProof(reason: "the first line is not \(Self.header)") }
        guard let extra = lines.next(), extra.hasPrefix("extra "), let json = Base64.decode(extra.dropFirst(6)),
            let value = try? JSONValue(parsing: json, maximumDepth: 4), let entry = value["entry"]?.stringValue
        else { throw .badProof(reason: "expected a line 'extra BASE64' with the entry") }
        var salts: [String: [UInt8]] = [:]
        for (name, salt) in value["salts"]?.objectValue?.members ?? JSONObject().members {
            guard let text = salt.stringValue, let bytes = Hexadecimal.bytes(text), bytes.count == 32 else {
                throw .badProof(reason: "salt of \(clean(name)): expected 64 hexadecimal digits")
            }
            salts[name] = bytes
        }
        guard let number = lines.next(), number.hasPrefix("index "), let index = Decimal.parse(number.dropFirst(6))
        else {
            throw .badProof(reason: "expected a line 'index NUMBER'")
        }
        let hashes = try lines.hashes()
        checkpoint = try lines.checkpoint()
        line = Array(entry.utf8)
        inclusion = InclusionProof(index: index, size: checkpoint.size, hashes: hashes)
        self.salts = salts
    }

    /// Throws unless the checkpoint is signed by the key and the entry is in its tree.
    /// - Returns: the entry.
    public func check(by key: NoteVerifierKey) throws(AuditError) -> AuditRecord {
        try checkpoint.check(by: key, source: "the proof's checkpoint")
        let record: AuditRecord
        do throws(AuditRecord.Problem) {
            record = try AuditRecord(parsing: line)
        } catch {
            throw .badProof(reason: "the entry: \(error.reason)")
        }
        guard record.index == inclusion.index else {
            throw .badProof(reason: "the entry says that it is \(record.index), the proof is of \(inclusion.index)")
        }
        guard inclusion.proves(record.leafHash, in: checkpoint.root) else {
            throw .badProof(reason: "the entry does not lead to the checkpoint's root")
        }
        return record
    }

    /// Throws unless a text is the one whose hash the entry has, which takes its salt.
    /// - Parameter name: "prompt" or "answer".
    public func check(_ name: String, is text: [UInt8]) throws(AuditError) {
        guard let salt = salts[name] else {
            throw .badProof(reason: "the proof does not disclose the salt of the \(name)")
        }
        guard let value = try? JSONValue(parsing: line, maximumDepth: AuditRecord.maximumDepth),
            let hash = value[name]?["sha256"]?.stringValue
        else { throw .badProof(reason: "the entry has no \(name)") }
        guard SaltKey.hash(salt: salt, text: text).hexadecimal == hash else { throw .textDiffers(what: name) }
    }
}

extension EntryProof: CustomStringConvertible {
    /// The text of the proof's file.
    public var description: String {
        var extra: JSONValue = ["entry": .string(String(decoding: line, as: UTF8.self))]
        if !salts.isEmpty, case .object(var object) = extra {
            let members = salts.sorted { $0.key < $1.key }.map {
                ($0.key, JSONValue.string(Hexadecimal.text($0.value)))
            }
            object["salts"] = .object(JSONObject(members))
            extra = .object(object)
        }
        return "\(Self.header)\nextra \(Base64.encode(extra.text().utf8))\nindex \(inclusion.index)\n"
            + inclusion.hashes.map { "\($0)\n" }.joined() + "\n\(checkpoint)"
    }
}

/// A proof that a log is an extension of what an older checkpoint covered, in the form in which c2sp.org/tlog-witness
/// takes it: the old size, the hashes, the new checkpoint.
public struct ExtensionProof: Sendable, Equatable {
    public let consistency: ConsistencyProof
    /// The newer checkpoint.
    public let checkpoint: SignedCheckpoint

    init(consistency: ConsistencyProof, checkpoint: SignedCheckpoint) {
        self.consistency = consistency
        self.checkpoint = checkpoint
    }

    /// Reads a proof. Nothing is checked by this; see ``check(by:old:)``.
    public init(parsing bytes: [UInt8]) throws(AuditError) {
        var lines = try ProofLines(bytes)
        guard let number = lines.next(), number.hasPrefix("old "), let first = Decimal.parse(number.dropFirst(4)) else {
            throw .badProof(reason: "the first line is not 'old SIZE'")
        }
        let hashes = try lines.hashes()
        checkpoint = try lines.checkpoint()
        consistency = ConsistencyProof(first: first, second: checkpoint.size, hashes: hashes)
    }

    /// Throws unless both checkpoints are signed by the key and the newer log begins with the older.
    public func check(by key: NoteVerifierKey, old: SignedCheckpoint) throws(AuditError) {
        try old.check(by: key, source: "the older checkpoint")
        try checkpoint.check(by: key, source: "the proof's checkpoint")
        guard consistency.first == old.size else {
            throw .badProof(reason: "it is about \(consistency.first) entries, the older checkpoint about \(old.size)")
        }
        guard consistency.proves(old.root, isBeginningOf: checkpoint.root) else {
            throw .badProof(reason: "the log is not an extension of the older checkpoint's")
        }
    }
}

extension ExtensionProof: CustomStringConvertible {
    /// The text of the proof's file.
    public var description: String {
        "old \(consistency.first)\n" + consistency.hashes.map { "\($0)\n" }.joined() + "\n\(checkpoint)"
    }
}

/// A proof's file by its lines.
private struct ProofLines {
    private var lines: ArraySlice<Substring>

    /// An entry of the largest size, as base64 of JSON that escapes it.
    private static let maximumBytes = 64 << 20
    private static let maximumHashes = 128

    init(_ bytes: [UInt8]) throws(AuditError) {
        guard bytes.count <= Self.maximumBytes else {
            throw .badProof(reason: "it has \(bytes.count) bytes, more than \(Self.maximumBytes)")
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw .badProof(reason: "it is not valid UTF-8")
        }
        lines = text.split(separator: "\n", omittingEmptySubsequences: false)[...]
    }

    mutating func next() -> String? { lines.popFirst().map(String.init) }

    /// Hashes up to an empty line.
    mutating func hashes() throws(AuditError) -> [MerkleHash] {
        var hashes: [MerkleHash] = []
        while let line = lines.popFirst() {
            if line.isEmpty { return hashes }
            guard let hash = MerkleHash(base64: line) else {
                throw .badProof(reason: "expected base64 of 32 bytes, found \(quoted(String(line)))")
            }
            hashes.append(hash)
            guard hashes.count <= Self.maximumHashes else {
                throw .badProof(reason: "more than \(Self.maximumHashes) hashes")
            }
        }
        throw .badProof(reason: "no empty line before the checkpoint")
    }

    /// All that is left.
    func checkpoint() throws(AuditError) -> SignedCheckpoint {
        try SignedCheckpoint(parsing: Array(lines.joined(separator: "\n").utf8), source: "the proof's checkpoint")
    }
}
