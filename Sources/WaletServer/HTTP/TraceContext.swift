// W3C trace context: https://www.w3.org/TR/trace-context/

/// Where a request stands in a caller's trace.
public struct TraceContext: Sendable, Equatable {
    /// 32 lower-case hexadecimal digits.
    public let traceID: String
    /// 16 lower-case hexadecimal digits: the caller's span.
    public let parentID: String
    public let isSampled: Bool

    /// Reads the header `traceparent`.
    /// - Returns: nil where it does not hold to the specification, which asks to go on as if there were none.
    public init?(header: String) {
        let bytes = Array(header.utf8)
        // 00-<32>-<16>-<2>; later versions may append more after another dash.
        guard bytes.count >= 55, bytes[2] == Self.dash, bytes[35] == Self.dash, bytes[52] == Self.dash else {
            return nil
        }
        guard let version = Self.hexadecimal(bytes[0..<2]), version != "ff" else { return nil }
        if bytes.count > 55 {
            guard version != "00", bytes[55] == Self.dash else { return nil }
        }
        guard let trace = Self.hexadecimal(bytes[3..<35]), let parent = Self.hexadecimal(bytes[36..<52]),
            let flags = Self.hexadecimal(bytes[53..<55]), let value = UInt8(flags, radix: 16)
        else { return nil }
        guard trace.contains(where: { $0 != "0" }), parent.contains(where: { $0 != "0" }) else { return nil }
        traceID = trace
        parentID = parent
        isSampled = value & 1 == 1
    }

    private static let dash = UInt8(ascii: "-")

    private static func hexadecimal(_ bytes: ArraySlice<UInt8>) -> String? {
        let isHexadecimal = bytes.allSatisfy { byte in
            (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
        }
        return isHexadecimal ? String(decoding: bytes, as: UTF8.self) : nil
    }
}
