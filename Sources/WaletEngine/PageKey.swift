import Crypto
import Foundation

/// Names a page by all that its numbers depend on: the model and how it computes, the tenant, and every token up to the
/// page's end.
///
///     own   = HMAC-SHA256(secret, model ‖ how it computes)
///     root  = HMAC-SHA256(own, tenant)
///     key n = SHA-256(key n-1 ‖ tokens of page n, 4 bytes each, little endian)
///
/// Without the secret nobody can name another tenant's pages, so no tenant can learn what another has asked.
package struct PageKey: Hashable, Sendable {
    /// 32 bytes
    package let bytes: [UInt8]

    /// - Parameters:
    ///   - secret: the server's own, and with it what else the numbers depend on.
    ///   - tenant: whose pages they are.
    package init(root tenant: String, secret: [UInt8]) {
        let code = HMAC<SHA256>.authenticationCode(for: Data(tenant.utf8), using: SymmetricKey(data: secret))
        bytes = Array(code)
    }

    /// The secret of one model that computes in one way.
    static func secret(_ secret: [UInt8], model: [UInt8], computing: String) -> [UInt8] {
        let code = HMAC<SHA256>.authenticationCode(
            for: Data(model) + Data([0]) + Data(computing.utf8), using: SymmetricKey(data: secret))
        return Array(code)
    }

    /// A name for one model's folder that tells nothing of it.
    static func folder(of secret: [UInt8]) -> String {
        String(PageKey(bytes: Array(SHA256.hash(data: secret))).name.prefix(16))
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    /// The key of the page after this one.
    package func next(_ tokens: ArraySlice<Int>) -> PageKey {
        var data: [UInt8] = bytes
        data.reserveCapacity(bytes.count + 4 * tokens.count)
        for token in tokens {
            let number = UInt32(truncatingIfNeeded: token)
            for shift in stride(from: 0, to: 32, by: 8) {
                data.append(UInt8(truncatingIfNeeded: number >> UInt32(shift)))
            }
        }
        return PageKey(bytes: Array(SHA256.hash(data: data)))
    }

    /// The name of numbers that stand for the same text, but are not bit for bit the same.
    package var variant: PageKey { PageKey(bytes: Array(SHA256.hash(data: bytes + [1]))) }

    /// 64 hexadecimal digits.
    package var name: String {
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }

    /// Reads a name.
    package init?(name: some StringProtocol) {
        let digits = Array(name.utf8)
        guard digits.count == 64 else { return nil }
        var bytes: [UInt8] = []
        for index in stride(from: 0, to: 64, by: 2) {
            guard let high = Self.value(digits[index]), let low = Self.value(digits[index + 1]) else { return nil }
            bytes.append(high << 4 | low)
        }
        self.bytes = bytes
    }

    private static func value(_ digit: UInt8) -> UInt8? {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
        default: nil
        }
    }
}
