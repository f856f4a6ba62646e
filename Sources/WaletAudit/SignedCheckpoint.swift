// A signed statement of how many entries the log has and what the root of their tree is.

import Foundation

/// A checkpoint of a log (c2sp.org/tlog-checkpoint) as a signed note (c2sp.org/signed-note).
///
/// Its text is what to keep elsewhere:
///
///     ORIGIN
///     SIZE
///     base64 of the root
///
///     — ORIGIN base64 of the key's id and the signature
public struct SignedCheckpoint: Sendable, Equatable {
    /// The name of the log.
    public let origin: String
    /// Entries that it covers.
    public let size: Int
    /// The root of the tree of the first ``size`` entries.
    public let root: MerkleHash
    /// Opaque lines after the root; this library writes none.
    package let extensions: [String]
    package let signatures: [Signature]

    package struct Signature: Sendable, Equatable {
        let name: String
        let id: [UInt8]
        let bytes: [UInt8]
    }

    /// What a note may have at most; the specification asks for room for 16 signatures of nearly 5 kB.
    static let maximumBytes = 128 << 10
    static let maximumSignatures = 64

    /// Signs a tree.
    package init(origin: String, size: Int, root: MerkleHash, signer: NoteSigner) throws(AuditError) {
        self.origin = origin
        self.size = size
        self.root = root
        extensions = []
        let text = Self.text(origin: origin, size: size, root: root, extensions: [])
        signatures = [
            Signature(
                name: signer.verifier.name, id: signer.verifier.idBytes,
                bytes: try signer.signature(of: Array(text.utf8)))
        ]
    }

    /// Reads a note. The signatures are not checked by this; see ``check(by:source:)``.
    /// - Parameter source: where it comes from, for the error.
    public init(parsing bytes: some Collection<UInt8>, source: String) throws(AuditError) {
        func bad(_ reason: String) -> AuditError { .badCheckpoint(source: source, reason: reason) }
        guard bytes.count <= Self.maximumBytes else {
            throw bad("it has \(bytes.count) bytes, more than \(Self.maximumBytes)")
        }
        guard let note = String(validating: Array(bytes), as: UTF8.self) else { throw bad("it is not valid UTF-8") }
        guard !note.unicodeScalars.contains(where: { $0.value < 0x20 && $0 != "\n" }) else {
            throw bad("it holds a control character")
        }
        // By scalars: a combining mark after a line end must not hide that.
        var lines = note.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        guard lines.popLast() == "" else { throw bad("its last line has no end") }
        guard let blank = lines.lastIndex(of: "") else { throw bad("no empty line before the signatures") }
        let (body, signatureLines) = (lines[..<blank], lines[(blank + 1)...])
        guard body.count >= 3, !body.contains("") else {
            throw bad("expected origin, size and root on three lines, found \(body.count) lines")
        }
        guard !signatureLines.isEmpty else { throw bad("there is no signature") }
        guard signatureLines.count <= Self.maximumSignatures else {
            throw bad("more than \(Self.maximumSignatures) signatures")
        }
        guard let size = Decimal.parse(body[1]) else {
            throw bad("expected a tree size on the second line, found \(quoted(body[1]))")
        }
        guard let root = MerkleHash(base64: body[2]) else {
            throw bad("expected base64 of 32 bytes on the third line, found \(quoted(body[2]))")
        }
        self.origin = body[0]
        self.size = size
        self.root = root
        extensions = Array(body[3...])
        var signatures: [Signature] = []
        for line in signatureLines {
            let parts = line.unicodeScalars.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 3, parts[0] == "\u{2014}", NoteVerifierKey.problem(withName: parts[1]) == nil,
                let bytes = Base64.decode(parts[2]), bytes.count > 4
            else { throw bad("a signature line is not '\u{2014} NAME BASE64': \(quoted(line))") }
            signatures.append(Signature(name: parts[1], id: Array(bytes[..<4]), bytes: Array(bytes[4...])))
        }
        self.signatures = signatures
    }

    /// Throws unless the note is signed by a key and names that key's log.
    ///
    /// Signatures of other keys are ignored, as the specification demands (witnesses add theirs).
    public func check(by key: NoteVerifierKey, source: String) throws(AuditError) {
        guard origin == key.name else { throw .originDiffers(expected: key.name, found: origin) }
        let text = Array(Self.text(origin: origin, size: size, root: root, extensions: extensions).utf8)
        let ours = signatures.filter { $0.name == key.name && $0.id == key.idBytes }
        guard !ours.isEmpty, ours.allSatisfy({ key.verifies($0.bytes, of: text) }) else {
            throw .badSignature(source: source, key: "\(key.name)+\(key.idText)")
        }
    }

    private static func text(origin: String, size: Int, root: MerkleHash, extensions: [String]) -> String {
        ([origin, String(size), root.base64] + extensions).map { $0 + "\n" }.joined()
    }
}

extension SignedCheckpoint: CustomStringConvertible {
    /// The note, with its last line end.
    public var description: String {
        Self.text(origin: origin, size: size, root: root, extensions: extensions) + "\n"
            + signatures.map { "\u{2014} \($0.name) \(Base64.encode($0.id + $0.bytes))\n" }.joined()
    }
}

/// Numbers as checkpoints and proofs spell them.
enum Decimal {
    /// What a log can reach; beyond it a number comes from nowhere good.
    static let maximum = 1 << 53

    /// ASCII digits without a leading zero or sign, up to ``maximum``.
    static func parse(_ text: some StringProtocol) -> Int? {
        let digits = Array(text.utf8)
        guard !digits.isEmpty, digits.count <= 16, digits.allSatisfy({ (0x30...0x39).contains($0) }),
            digits.count == 1 || digits[0] != 0x30, let number = Int(text), number <= maximum
        else { return nil }
        return number
    }
}
