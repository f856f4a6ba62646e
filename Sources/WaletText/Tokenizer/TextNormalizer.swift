// The "normalizer" of a tokenizer.json: what is done to text before it is split.

import WaletJSON

/// A text on its way through the normalizers: its bytes, and where each came from if somebody wants to know.
struct NormalizedText {
    var bytes: [UInt8]
    /// For each byte the range of the original text it was made of.
    var origins: [(start: Int32, end: Int32)]?
}

/// One step of normalization.
enum TextNormalizer: Sendable {
    case form(UnicodeNormalization)
    case lowercase
    case replace(SplitRegex, [UInt8])
    case prepend([UInt8])
    case strip(left: Bool, right: Bool)

    static let supported = [
        "Sequence", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Replace", "Prepend", "Strip",
    ]

    /// The steps of a `normalizer` field, in order.
    static func steps(_ json: JSONValue?, path: String = "normalizer", depth: Int = 0) throws(TokenizerError)
        -> [TextNormalizer]
    {
        guard let json, !json.isNull else { return [] }
        guard depth < 32 else {
            throw .field(path: path, expected: "at most 32 nested sequences", found: "more")
        }
        let fields = try JSONFields(json, path)
        let type = try fields.string("type")
        switch type {
        case "Sequence":
            var steps: [TextNormalizer] = []
            for (index, item) in try fields.array("normalizers").enumerated() {
                steps += try self.steps(item, path: "\(path).normalizers[\(index)]", depth: depth + 1)
            }
            return steps
        case "NFC": return [.form(UnicodeNormalization(.nfc))]
        case "NFD": return [.form(UnicodeNormalization(.nfd))]
        case "NFKC": return [.form(UnicodeNormalization(.nfkc))]
        case "NFKD": return [.form(UnicodeNormalization(.nfkd))]
        case "Lowercase": return [.lowercase]
        case "Replace":
            let pattern = try fields.pattern("pattern")
            return [.replace(pattern, Array(try fields.string("content").utf8))]
        case "Prepend": return [.prepend(Array(try fields.string("prepend").utf8))]
        case "Strip": return [.strip(left: try fields.bool("strip_left"), right: try fields.bool("strip_right"))]
        default: throw .unsupported(part: "normalizer", name: type, supported: supported)
        }
    }

    var usesRegex: SplitRegex? { if case .replace(let regex, _) = self { regex } else { nil } }

    func apply(_ text: inout NormalizedText, _ session: RegexSession) {
        switch self {
        case .form(let normalization):
            edit(&text) { bytes, replace in
                normalization.rewrite(bytes) { range, scalars in replace(range, Self.utf8(scalars)) }
            }
        case .lowercase:
            edit(&text) { bytes, replace in
                var index = 0
                while index < bytes.count {
                    let start = index
                    let scalar = UnicodeShadow.scalar(bytes, &index)
                    if let lower = UnicodeLowercase.of(scalar) { replace(start..<index, Self.utf8(lower)) }
                }
            }
        case .replace(let regex, let content):
            edit(&text) { bytes, replace in
                regex.matches(bytes, session) { range in replace(range, content) }
            }
        case .prepend(let prefix):
            guard !text.bytes.isEmpty else { return }
            text.bytes.insert(contentsOf: prefix, at: 0)
            if let first = text.origins?.first {
                text.origins!.insert(
                    contentsOf: repeatElement((start: first.start, end: first.start), count: prefix.count), at: 0)
            }
        case .strip(let left, let right):
            let range = text.bytes.withUnsafeBufferPointer { bytes in
                let start = left ? WhiteSpace.prefix(bytes, from: 0) : 0
                return start..<(right ? max(start, WhiteSpace.suffix(bytes, before: bytes.count, from: 0)) : bytes.count)
            }
            text.bytes = Array(text.bytes[range])
            if let origins = text.origins { text.origins = Array(origins[range]) }
        }
    }

    private static func utf8(_ scalars: [UInt32]) -> [UInt8] {
        var output: [UInt8] = []
        for value in scalars {
            guard let scalar = Unicode.Scalar(value), let encoded = UTF8.encode(scalar) else { continue }
            output.append(contentsOf: encoded)
        }
        return output
    }

    /// Rebuilds a text from replacements in ascending order; leaves it alone where there are none.
    private func edit(
        _ text: inout NormalizedText,
        _ find: (UnsafeBufferPointer<UInt8>, (Range<Int>, [UInt8]) -> Void) -> Void
    ) {
        var bytes: [UInt8] = []
        var origins: [(start: Int32, end: Int32)]? = text.origins == nil ? nil : []
        var copied = 0
        let old = text
        old.bytes.withUnsafeBufferPointer { buffer in
            find(buffer) { range, replacement in
                bytes.append(contentsOf: buffer[copied..<range.lowerBound])
                bytes.append(contentsOf: replacement)
                if let before = old.origins {
                    origins!.append(contentsOf: before[copied..<range.lowerBound])
                    let start =
                        range.lowerBound < before.count ? before[range.lowerBound].start : before.last?.end ?? 0
                    let source = (start: start, end: range.isEmpty ? start : before[range.upperBound - 1].end)
                    origins!.append(contentsOf: repeatElement(source, count: replacement.count))
                }
                copied = range.upperBound
            }
            guard copied > 0 || !bytes.isEmpty else { return }
            bytes.append(contentsOf: buffer[copied...])
            if let before = old.origins { origins!.append(contentsOf: before[copied...]) }
            text = NormalizedText(bytes: bytes, origins: origins)
        }
    }
}

/// Unicode White_Space over UTF-8.
enum WhiteSpace {
    static func contains(_ scalar: UInt32) -> Bool {
        switch scalar {
        case 0x09...0x0D, 0x20, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000: true
        default: false
        }
    }

    /// The end of the white space that starts at an offset.
    static func prefix(_ text: UnsafeBufferPointer<UInt8>, from offset: Int) -> Int {
        var index = offset
        while index < text.count {
            var next = index
            guard contains(UnicodeShadow.scalar(text, &next)) else { break }
            index = next
        }
        return index
    }

    /// The start of the white space that ends at an offset, not before `limit`.
    static func suffix(_ text: UnsafeBufferPointer<UInt8>, before offset: Int, from limit: Int) -> Int {
        var index = offset
        while index > limit {
            var start = index - 1
            while start > limit, text[start] & 0xC0 == 0x80 { start -= 1 }
            var next = start
            guard contains(UnicodeShadow.scalar(text, &next)) else { break }
            index = start
        }
        return index
    }
}
