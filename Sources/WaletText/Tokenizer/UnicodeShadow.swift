// Makes PCRE2 see the Unicode version of the reference engines, whatever version its own tables have.

/// Code points that PCRE2 classifies otherwise than `tokenizers` and `tiktoken` do, each with one of the same UTF-8
/// length that PCRE2 classifies the same as they do the first. A pattern is matched against a shadow of the text in
/// which they are replaced; offsets stay the same.
///
/// These are the assignments since Unicode 14, and U+180E, which PCRE2's `\s` takes for white space.
/// `Tools/make_unicode_tables.py` measures them.
struct UnicodeShadow: Sendable {
    private var entries: [(first: UInt32, last: UInt32, standIn: UInt32)]
    /// Whether a block of 256 code points has an entry.
    private let blocks: [Bool]

    /// - Parameter explicitRanges: ranges that the patterns name themselves. A code point that such a range tells
    ///   apart from its stand-in is left alone.
    init(explicitRanges: [ClosedRange<UInt32>]) {
        entries = Self.table.filter { entry in
            explicitRanges.allSatisfy { range in
                range.contains(entry.2)
                    ? range.lowerBound <= entry.0 && entry.1 <= range.upperBound
                    : entry.1 < range.lowerBound || range.upperBound < entry.0
            }
        }.map { (first: $0.0, last: $0.1, standIn: $0.2) }
        var blocks = [Bool](repeating: false, count: 0x1100)
        for entry in entries { for block in entry.first >> 8...entry.last >> 8 { blocks[Int(block)] = true } }
        self.blocks = blocks
    }

    private static let table: [(UInt32, UInt32, UInt32)] = UnicodeTables.classChanges.split(separator: " ").compactMap {
        let fields = $0.split(whereSeparator: { $0 == "-" || $0 == ":" }).compactMap { UInt32($0, radix: 16) }
        guard let first = fields.first, let last = fields.last else { return nil }
        return (first, fields.count == 3 ? fields[1] : first, last)
    }

    /// The shadow of a text, or nil where it is the text itself.
    func callAsFunction(_ text: UnsafeBufferPointer<UInt8>) -> [UInt8]? {
        var shadow: [UInt8]?
        var index = 0
        let count = text.count
        while index < count {
            let lead = text[index]
            if lead < 0x80 {
                index += 1
                continue
            }
            let start = index
            let scalar = Self.scalar(text, &index)
            guard blocks[Int(scalar >> 8)], let standIn = standIn(scalar) else { continue }
            if shadow == nil { shadow = Array(text) }
            for (offset, byte) in UTF8.encode(standIn)!.enumerated() { shadow![start + offset] = byte }
        }
        return shadow
    }

    private func standIn(_ scalar: UInt32) -> Unicode.Scalar? {
        var low = 0
        var high = entries.count
        while low < high {
            let middle = (low + high) / 2
            if entries[middle].last < scalar { low = middle + 1 } else { high = middle }
        }
        guard low < entries.count, entries[low].first <= scalar else { return nil }
        return Unicode.Scalar(entries[low].standIn)
    }

    /// The scalar at an index of valid UTF-8, which moves behind it.
    @inline(__always)
    static func scalar(_ text: UnsafeBufferPointer<UInt8>, _ index: inout Int) -> UInt32 {
        let lead = UInt32(text[index])
        if lead < 0x80 {
            index += 1
            return lead
        }
        if lead < 0xE0 {
            defer { index += 2 }
            return (lead & 0x1F) << 6 | UInt32(text[index + 1] & 0x3F)
        }
        if lead < 0xF0 {
            defer { index += 3 }
            return (lead & 0x0F) << 12 | UInt32(text[index + 1] & 0x3F) << 6 | UInt32(text[index + 2] & 0x3F)
        }
        defer { index += 4 }
        return (lead & 0x07) << 18 | UInt32(text[index + 1] & 0x3F) << 12 | UInt32(text[index + 2] & 0x3F) << 6
            | UInt32(text[index + 3] & 0x3F)
    }
}
