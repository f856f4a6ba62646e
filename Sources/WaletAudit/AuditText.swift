// Prompts and answers in the log: salted hashes, and the text itself only where the operator asks for it.

import Crypto
import Foundation
import WaletJSON

/// What the log keeps of a prompt or an answer. Made by ``AuditTextRecorder``.
public struct AuditText: Sendable, Equatable {
    /// SHA-256(salt || text in UTF-8), where the salt is HMAC-SHA-256(the log's salt key, ``nonce``).
    public let hash: MerkleHash
    /// 16 random bytes.
    public let nonce: [UInt8]
    /// Length of the text in UTF-8.
    public let byteCount: Int
    /// The text, where the log includes texts.
    public let text: String?
    /// Whether ``text`` is only the beginning.
    public let isCut: Bool

    var json: JSONValue {
        var object = JSONObject([
            ("bytes", .int(byteCount)), ("nonce", .string(Hexadecimal.text(nonce))),
            ("sha256", .string(hash.hexadecimal)),
        ])
        if let text { object["text"] = .string(text) }
        if isCut { object["cut"] = true }
        return .object(object)
    }
}

/// Takes a text piece by piece, as it is streamed, and makes what the log keeps of it.
///
///     var answer = log.recorder()
///     for piece in pieces { answer.add(piece) }
///     request.answer = answer.finish()
public struct AuditTextRecorder: Sendable {
    private let nonce: [UInt8]
    private var hasher = SHA256()
    private var byteCount = 0
    private var kept: [UInt8]?
    private let maximumKept: Int

    /// - Parameter maximumKept: bytes of the text that are kept beside its hash; nil for none.
    package init(salts: SaltKey, maximumKept: Int?) {
        var generator = SystemRandomNumberGenerator()
        nonce = (0..<16).map { _ in UInt8.random(in: 0...255, using: &generator) }
        hasher.update(data: salts.salt(for: nonce))
        kept = maximumKept.map { _ in [] }
        self.maximumKept = maximumKept ?? 0
    }

    /// Adds a piece; pieces are hashed as if they had come as one.
    public mutating func add(_ piece: String) {
        var piece = piece
        piece.withUTF8 { add(UnsafeRawBufferPointer($0)) }
    }

    /// Adds a piece of UTF-8, which may begin and end within a character.
    public mutating func add(utf8 piece: some ContiguousBytes) { piece.withUnsafeBytes { add($0) } }

    private mutating func add(_ bytes: UnsafeRawBufferPointer) {
        hasher.update(bufferPointer: bytes)
        byteCount += bytes.count
        if let count = kept?.count, count < maximumKept { kept?.append(contentsOf: bytes.prefix(maximumKept - count)) }
    }

    /// What the log keeps of the text so far.
    public func finish() -> AuditText {
        let isCut = kept != nil && byteCount > maximumKept
        let text = kept.map { isCut ? $0.prefix(Self.wholeCharacters($0)) : $0[...] }
        return AuditText(
            hash: MerkleHash(hasher.finalize()), nonce: nonce, byteCount: byteCount,
            text: text.map { String(decoding: $0, as: UTF8.self) }, isCut: isCut)
    }

    /// How many bytes of a beginning of UTF-8 text are whole characters.
    private static func wholeCharacters(_ bytes: [UInt8]) -> Int {
        // The last character's first byte is among the last four.
        for index in bytes.indices.reversed().prefix(4) {
            let length =
                switch bytes[index] {
                case 0..<0x80: 1
                case 0xC0..<0xE0: 2
                case 0xE0..<0xF0: 3
                case 0xF0...: 4
                default: 0
                }
            if length > 0 { return index + length <= bytes.count ? bytes.count : index }
        }
        return bytes.count
    }
}

/// The secret from which the salts of all texts are derived, each from its own nonce.
///
/// So an operator can open one text to an auditor, by its salt, without opening any other; and nobody who has only the
/// log can try guesses. Deleting the key makes every hash of the log unusable for good.
package struct SaltKey: Sendable {
    private let secret: [UInt8]

    package init() {
        var generator = SystemRandomNumberGenerator()
        secret = (0..<32).map { _ in UInt8.random(in: 0...255, using: &generator) }
    }

    /// Reads the text of a salt file: 64 hexadecimal digits.
    package init(_ text: String, source: String) throws(AuditError) {
        guard let bytes = Hexadecimal.bytes(text.trimmingCharacters(in: .whitespacesAndNewlines)), bytes.count == 32
        else {
            throw .badKey(source: source, reason: "expected 64 hexadecimal digits in lower case")
        }
        secret = bytes
    }

    package var text: String { Hexadecimal.text(secret) }

    /// Says whether it is the same key as before without giving it away.
    var fingerprint: String {
        String(Hexadecimal.text(SHA256.hash(data: Array("walet audit salt".utf8) + secret)).prefix(16))
    }

    /// The 32 bytes of salt for a nonce.
    package func salt(for nonce: [UInt8]) -> [UInt8] {
        Array(HMAC<SHA256>.authenticationCode(for: nonce, using: SymmetricKey(data: secret)))
    }

    /// The hash of a text under a salt.
    package static func hash(salt: [UInt8], text: [UInt8]) -> MerkleHash { .plain(salt + text) }
}
