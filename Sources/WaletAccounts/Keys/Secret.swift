// A key's secret: made, hashed, compared.

import Crypto
import Foundation

/// `walet-` and 256 random bits.
///
/// The secret is as long as its hash, so that a fast hash is enough: there is nothing to guess that a slow one would
/// protect, unlike with passwords.
package enum Secret {
    static let prefix = "walet-"
    /// What is longer cannot be a secret and is not even hashed.
    static let maximumBytes = 256

    static func make() -> String {
        var generator = SystemRandomNumberGenerator()
        let words = (0..<4).map { _ in generator.next() }
        let bytes = words.withUnsafeBytes { Data($0) }
        return prefix
            + bytes.base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
    }

    /// The SHA-256 of the secret's UTF-8 bytes: 32 bytes; nil where it is too long.
    package static func hash(_ secret: String) -> [UInt8]? {
        guard secret.utf8.count <= maximumBytes else { return nil }
        return Array(SHA256.hash(data: Array(secret.utf8)))
    }

    /// Compares in a time that does not depend on where the two differ.
    package static func areEqual(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        guard left.count == right.count else { return false }
        return zip(left, right).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
    }

    package static func hexadecimal(_ bytes: [UInt8]) -> String {
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }

    package static func bytes(hexadecimal text: String) -> [UInt8]? {
        let nibbles = text.utf8.map { byte -> UInt8? in
            switch byte {
            case 0x30...0x39: byte - 0x30
            case 0x61...0x66: byte - 0x61 + 10
            default: nil
            }
        }
        guard nibbles.count == 64 else { return nil }
        var bytes: [UInt8] = []
        for index in stride(from: 0, to: 64, by: 2) {
            guard let high = nibbles[index], let low = nibbles[index + 1] else { return nil }
            bytes.append(high << 4 | low)
        }
        return bytes
    }

    /// A key's public id; says nothing about the secret.
    static func makeID() -> String {
        let letters = Array("0123456789abcdefghijklmnopqrstuvwxyz")
        return AccessKey.idPrefix + String((0..<12).compactMap { _ in letters.randomElement() })
    }
}
