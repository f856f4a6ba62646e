// Keys of signed notes, in the text form that Go's checksum database brought up and C2SP's tools read.

import Crypto
import Foundation

/// A public key under which a log's checkpoints are checked (c2sp.org/signed-note, Ed25519).
///
/// Its text is `NAME+ID+KEY`: the key's name, its id as eight digits, and base64 of 0x01 and the 32 bytes of the key.
public struct NoteVerifierKey: Sendable, Hashable, CustomStringConvertible {
    /// The log's origin.
    public let name: String
    /// The first four bytes of SHA-256(name || 0x0A || 0x01 || key).
    public let id: UInt32
    let key: [UInt8]

    static let algorithm: UInt8 = 1

    init(name: String, key: [UInt8]) throws(AuditError) {
        if let reason = Self.problem(withName: name) { throw .badKey(source: quoted(name), reason: reason) }
        guard key.count == 32, (try? Curve25519.Signing.PublicKey(rawRepresentation: key)) != nil else {
            throw .badKey(source: quoted(name), reason: "an Ed25519 public key has 32 bytes")
        }
        self.name = name
        self.key = key
        let hash = SHA256.hash(data: Array(name.utf8) + [0x0A, Self.algorithm] + key)
        id = hash.prefix(4).reduce(0) { $0 << 8 | UInt32($1) }
    }

    /// Reads a key's text; white space around it is ignored.
    /// - Parameter source: where it comes from, for the error.
    public init(_ text: String, source: String = "the public key") throws(AuditError) {
        let parts = text.trimmingCharacters(in: .whitespacesAndNewlines)
            .split(separator: "+", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3 else {
            throw .badKey(source: source, reason: "expected NAME+ID+KEY, found \(quoted(text))")
        }
        guard let bytes = Base64.decode(parts[2]), bytes.count == 33, bytes[0] == Self.algorithm else {
            throw .badKey(source: source, reason: "expected base64 of 33 bytes for Ed25519 after the second '+'")
        }
        do {
            try self.init(name: String(parts[0]), key: Array(bytes.dropFirst()))
        } catch .badKey(_, let reason) {
            throw .badKey(source: source, reason: reason)
        }
        guard parts[1] == idText else {
            throw .badKey(source: source, reason: "expected id \(idText) for this name and key, found \(parts[1])")
        }
    }

    public var description: String { "\(name)+\(idText)+\(Base64.encode([Self.algorithm] + key))" }

    package var idText: String { Hexadecimal.text(idBytes) }

    var idBytes: [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: id >> (24 - 8 * UInt32($0))) } }

    package func verifies(_ signature: [UInt8], of bytes: [UInt8]) -> Bool {
        guard let key = try? Curve25519.Signing.PublicKey(rawRepresentation: key) else { return false }
        return key.isValidSignature(signature, for: bytes)
    }

    /// Why a key cannot have this name, or nil.
    static func problem(withName name: String) -> String? {
        if name.isEmpty { return "the name is empty" }
        if name.utf8.count > 200 { return "the name has more than 200 bytes" }
        let isBad = name.unicodeScalars.contains {
            $0 == "+" || $0.properties.isWhitespace || $0.value < 0x20 || (0x7F..<0xA0).contains($0.value)
        }
        return isBad ? "the name holds a space, a control character or '+'" : nil
    }
}

/// The secret key that signs a log's checkpoints.
///
/// Its text is `PRIVATE+KEY+NAME+ID+SEED`, with base64 of 0x01 and the 32 bytes of the seed.
package struct NoteSigner: Sendable {
    package let verifier: NoteVerifierKey
    private let seed: [UInt8]

    static let prefix = "PRIVATE+KEY+"

    /// A new key.
    package init(newNamed name: String) throws(AuditError) {
        try self.init(name: name, seed: Array(Curve25519.Signing.PrivateKey().rawRepresentation))
    }

    init(name: String, seed: [UInt8]) throws(AuditError) {
        guard let key = try? Curve25519.Signing.PrivateKey(rawRepresentation: seed) else {
            throw .badKey(source: quoted(name), reason: "an Ed25519 seed has 32 bytes")
        }
        self.seed = seed
        verifier = try NoteVerifierKey(name: name, key: Array(key.publicKey.rawRepresentation))
    }

    package init(_ text: String, source: String) throws(AuditError) {
        // The message never quotes the text: it is a secret.
        let text = text.trimmingCharacters(in: .whitespacesAndNewlines)
        let parts = text.dropFirst(Self.prefix.count).split(
            separator: "+", maxSplits: 2, omittingEmptySubsequences: false)
        guard text.hasPrefix(Self.prefix), parts.count == 3 else {
            throw .badKey(source: source, reason: "expected PRIVATE+KEY+NAME+ID+SEED")
        }
        guard let bytes = Base64.decode(parts[2]), bytes.count == 33, bytes[0] == NoteVerifierKey.algorithm else {
            throw .badKey(source: source, reason: "expected base64 of 33 bytes for an Ed25519 seed")
        }
        do {
            try self.init(name: String(parts[0]), seed: Array(bytes.dropFirst()))
        } catch .badKey(_, let reason) {
            throw .badKey(source: source, reason: reason)
        }
        guard parts[1] == verifier.idText else {
            throw .badKey(source: source, reason: "expected id \(verifier.idText), found \(quoted(String(parts[1])))")
        }
    }

    /// The secret text for the key file.
    package var text: String {
        "\(Self.prefix)\(verifier.name)+\(verifier.idText)+\(Base64.encode([NoteVerifierKey.algorithm] + seed))"
    }

    package func signature(of bytes: [UInt8]) throws(AuditError) -> [UInt8] {
        do {
            return Array(try Curve25519.Signing.PrivateKey(rawRepresentation: seed).signature(for: bytes))
        } catch {
            throw .badKey(source: quoted(verifier.name), reason: "it cannot sign: \(error)")
        }
    }
}
