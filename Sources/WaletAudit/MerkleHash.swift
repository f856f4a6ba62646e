// SHA-256 as RFC 6962 uses it: one prefix for leaves, another for nodes, so that neither passes for the other.

import Crypto
import Foundation

/// A SHA-256 hash of a leaf, of a node or of a whole tree (RFC 6962, section 2.1).
public struct MerkleHash: Sendable, Hashable {
    // Four words and not an array: a log keeps millions.
    private var a: UInt64 = 0
    private var b: UInt64 = 0
    private var c: UInt64 = 0
    private var d: UInt64 = 0

    /// How many bytes a hash has.
    public static let byteCount = 32

    /// - Returns: nil unless there are exactly 32 bytes.
    public init?(_ bytes: some Collection<UInt8>) {
        guard bytes.count == Self.byteCount else { return nil }
        withUnsafeMutableBytes(of: &self) { $0.copyBytes(from: bytes) }
    }

    /// A hash in standard base64, 44 characters in the one spelling that encoding gives.
    public init?(base64 text: some StringProtocol) {
        guard let data = Base64.decode(text) else { return nil }
        self.init(data)
    }

    /// - Parameter bytes: 32 bytes, as the caller has checked.
    init(loading bytes: UnsafeRawBufferPointer) {
        precondition(bytes.count == Self.byteCount)
        withUnsafeMutableBytes(of: &self) { $0.copyMemory(from: bytes) }
    }

    init(_ digest: SHA256Digest) {
        withUnsafeMutableBytes(of: &self) { target in digest.withUnsafeBytes { target.copyMemory(from: $0) } }
    }

    public var bytes: [UInt8] { withUnsafeBytes(of: self) { Array($0) } }

    /// Standard base64, as checkpoints and proofs spell hashes.
    public var base64: String { Base64.encode(bytes) }

    /// 64 digits in lower case.
    public var hexadecimal: String { Hexadecimal.text(bytes) }

    /// What a hash file holds where the disk never got the bytes.
    var isZero: Bool { a == 0 && b == 0 && c == 0 && d == 0 }

    func append(to array: inout [UInt8]) { withUnsafeBytes(of: self) { array.append(contentsOf: $0) } }

    /// The hash of a leaf: SHA-256(0x00 || bytes).
    public static func leaf(_ bytes: some ContiguousBytes) -> MerkleHash {
        var hasher = SHA256()
        withUnsafeBytes(of: UInt8(0)) { hasher.update(bufferPointer: $0) }
        bytes.withUnsafeBytes { hasher.update(bufferPointer: $0) }
        return MerkleHash(hasher.finalize())
    }

    /// The hash of a node: SHA-256(0x01 || left || right).
    public static func node(_ left: MerkleHash, _ right: MerkleHash) -> MerkleHash {
        var hasher = SHA256()
        withUnsafeBytes(of: UInt8(1)) { hasher.update(bufferPointer: $0) }
        withUnsafeBytes(of: left) { hasher.update(bufferPointer: $0) }
        withUnsafeBytes(of: right) { hasher.update(bufferPointer: $0) }
        return MerkleHash(hasher.finalize())
    }

    /// The root of a tree without leaves: SHA-256 of nothing.
    public static let empty = MerkleHash(SHA256().finalize())

    /// SHA-256 of bytes without any prefix.
    package static func plain(_ bytes: some ContiguousBytes) -> MerkleHash {
        var hasher = SHA256()
        bytes.withUnsafeBytes { hasher.update(bufferPointer: $0) }
        return MerkleHash(hasher.finalize())
    }
}

extension MerkleHash: CustomStringConvertible {
    public var description: String { base64 }
}

/// Standard base64 with padding (RFC 4648, section 4), strict.
enum Base64 {
    static func encode(_ bytes: some Sequence<UInt8>) -> String { Data(bytes).base64EncodedString() }

    /// - Returns: nil for anything but the one spelling that ``encode(_:)`` gives.
    static func decode(_ text: some StringProtocol) -> [UInt8]? {
        let text = String(text)
        guard let data = Data(base64Encoded: text), data.base64EncodedString() == text else { return nil }
        return Array(data)
    }
}

/// Hexadecimal digits in lower case.
package enum Hexadecimal {
    private static let digits = Array("0123456789abcdef".utf8)

    package static func text(_ bytes: some Sequence<UInt8>) -> String {
        String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }

    /// - Returns: nil unless the text is an even number of digits in lower case.
    package static func bytes(_ text: some StringProtocol) -> [UInt8]? {
        let utf8 = Array(text.utf8)
        guard utf8.count % 2 == 0 else { return nil }
        var bytes: [UInt8] = []
        for index in stride(from: 0, to: utf8.count, by: 2) {
            guard let high = digits.firstIndex(of: utf8[index]), let low = digits.firstIndex(of: utf8[index + 1])
            else { return nil }
            bytes.append(UInt8(high << 4 | low))
        }
        return bytes
    }
}
