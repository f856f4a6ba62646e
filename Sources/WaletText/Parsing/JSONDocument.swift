// A tool call's JSON, with its arguments as they were written.

import WaletJSON

/// A JSON object of which one member is wanted byte for byte.
struct JSONDocument {
    private let bytes: [UInt8]
    private let value: JSONObject

    /// Nil for what is no JSON object.
    init?(_ bytes: [UInt8]) {
        guard case .object(let value)? = try? JSONValue(parsing: bytes) else { return nil }
        self.bytes = bytes
        self.value = value
    }

    var keys: Set<String> { Set(value.keys) }

    var name: String? { value["name"]?.stringValue }

    /// The text of `arguments` or `parameters`: as written, or decoded where it is a string that holds JSON.
    var arguments: [UInt8] {
        for key in ["arguments", "parameters"] {
            switch value[key] {
            case nil, .null?: continue
            case .string(let text)?: if !text.isEmpty { return Array(text.utf8) }
            case .some: if let text = written(key) { return text }
            }
        }
        return Array("{}".utf8)
    }

    /// The bytes of a member's value. The document is valid JSON, so quotes and brackets are all there is to follow.
    private func written(_ key: String) -> [UInt8]? {
        var depth = 0
        var index = 0
        var memberStart: Int?
        var lastString: Range<Int>?
        while index < bytes.count {
            switch bytes[index] {
            case UInt8(ascii: "\""):
                let start = index
                index += 1
                while index < bytes.count, bytes[index] != UInt8(ascii: "\"") {
                    index += bytes[index] == UInt8(ascii: "\\") ? 2 : 1
                }
                if depth == 1, memberStart == nil { lastString = start..<min(index + 1, bytes.count) }
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                depth -= 1
                if depth == 0, let memberStart { return trimmed(memberStart..<index) }
            case UInt8(ascii: ":") where depth == 1 && memberStart == nil:
                if let lastString, (try? JSONValue(parsing: bytes[lastString])) == .string(key) {
                    memberStart = index + 1
                }
            case UInt8(ascii: ",") where depth == 1:
                if let memberStart { return trimmed(memberStart..<index) }
            default: break
            }
            index += 1
        }
        return nil
    }

    private func trimmed(_ range: Range<Int>) -> [UInt8] {
        let isSpace: (UInt8) -> Bool = { $0 == 0x20 || (0x09...0x0D).contains($0) }
        let part = bytes[range]
        let start = part.firstIndex { !isSpace($0) } ?? part.endIndex
        return Array(part[start..<((part.lastIndex { !isSpace($0) }).map { $0 + 1 } ?? start)])
    }
}
