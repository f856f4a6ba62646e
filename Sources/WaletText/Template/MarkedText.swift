// Text that remembers which of its bytes came from outside the template.

/// UTF-8 text with the ranges of bytes that a message, a tool description or another argument supplied.
struct MarkedText: Sendable {
    private(set) var bytes: [UInt8]
    /// Untrusted byte ranges: sorted, not empty, neither overlapping nor touching.
    private(set) var untrusted: [Range<Int>]

    init() {
        bytes = []
        untrusted = []
    }

    init(_ bytes: [UInt8], untrusted: Bool = false) {
        self.bytes = bytes
        self.untrusted = untrusted && !bytes.isEmpty ? [0..<bytes.count] : []
    }

    init(_ text: String, untrusted: Bool = false) {
        self.init(Array(text.utf8), untrusted: untrusted)
    }

    var count: Int { bytes.count }
    var isEmpty: Bool { bytes.isEmpty }
    var isMarked: Bool { !untrusted.isEmpty }
    var string: String { String(decoding: bytes, as: UTF8.self) }
    var isASCII: Bool { bytes.allSatisfy { $0 < 0x80 } }

    mutating func append(_ other: MarkedText) {
        let base = bytes.count
        bytes.append(contentsOf: other.bytes)
        for range in other.untrusted { mark(range.lowerBound + base..<range.upperBound + base) }
    }

    /// Appends bytes of the template itself.
    mutating func append(_ other: [UInt8]) { bytes.append(contentsOf: other) }

    mutating func append(_ other: String) { bytes.append(contentsOf: other.utf8) }

    mutating func append(_ other: some Sequence<UInt8>, untrusted: Bool) {
        let base = bytes.count
        bytes.append(contentsOf: other)
        if untrusted, bytes.count > base { mark(base..<bytes.count) }
    }

    /// Marks a range that begins at or after every range marked before.
    private mutating func mark(_ range: Range<Int>) {
        if let last = untrusted.last, last.upperBound >= range.lowerBound {
            untrusted[untrusted.count - 1] = last.lowerBound..<max(last.upperBound, range.upperBound)
        } else {
            untrusted.append(range)
        }
    }

    /// The bytes of a range, with their marks.
    func slice(_ range: Range<Int>) -> MarkedText {
        var result = MarkedText()
        result.bytes = Array(bytes[range])
        guard !untrusted.isEmpty, !range.isEmpty else { return result }
        // The first mark that ends after the start.
        var low = 0
        var high = untrusted.count
        while low < high {
            let middle = (low + high) / 2
            if untrusted[middle].upperBound <= range.lowerBound { low = middle + 1 } else { high = middle }
        }
        while low < untrusted.count, untrusted[low].lowerBound < range.upperBound {
            let mark = untrusted[low].clamped(to: range)
            result.mark(mark.lowerBound - range.lowerBound..<mark.upperBound - range.lowerBound)
            low += 1
        }
        return result
    }

    /// The text with every stretch between two ends of marks rewritten on its own, so that marks stay exact.
    func mapped(_ transform: (ArraySlice<UInt8>) -> [UInt8]) -> MarkedText {
        var result = MarkedText()
        var start = 0
        for mark in untrusted {
            result.append(transform(bytes[start..<mark.lowerBound]), untrusted: false)
            result.append(transform(bytes[mark]), untrusted: true)
            start = mark.upperBound
        }
        result.append(transform(bytes[start...]), untrusted: false)
        return result
    }

    /// The same marks on other text: all of it where any byte of this one is marked.
    func carrying(_ bytes: [UInt8]) -> MarkedText { MarkedText(bytes, untrusted: isMarked) }
}

// MARK: - Characters as Python counts them: Unicode scalars

extension MarkedText {
    var scalarCount: Int {
        var count = 0
        for byte in bytes where byte & 0xC0 != 0x80 { count += 1 }
        return count
    }

    /// Where each scalar begins, and the end.
    var scalarOffsets: [Int] {
        var offsets: [Int] = []
        offsets.reserveCapacity(bytes.count + 1)
        for (offset, byte) in bytes.enumerated() where byte & 0xC0 != 0x80 { offsets.append(offset) }
        offsets.append(bytes.count)
        return offsets
    }

    func trimmed(leading: Bool, trailing: Bool, where matches: (Unicode.Scalar) -> Bool) -> MarkedText {
        var start = 0
        var end = bytes.count
        while leading, start < end {
            let (scalar, length) = Self.scalar(in: bytes, at: start)
            guard matches(scalar) else { break }
            start += length
        }
        while trailing, end > start {
            var first = end - 1
            while first > start, bytes[first] & 0xC0 == 0x80 { first -= 1 }
            let (scalar, _) = Self.scalar(in: bytes, at: first)
            guard matches(scalar) else { break }
            end = first
        }
        return slice(start..<end)
    }

    /// The first place of a needle at or after an offset.
    func firstOffset(of needle: [UInt8], from start: Int) -> Int? {
        bytes.firstOffset(of: needle, from: start)
    }

    func contains(_ needle: MarkedText) -> Bool { firstOffset(of: needle.bytes, from: 0) != nil }

    /// The scalar that begins at an offset of valid UTF-8, and its length.
    static func scalar(in bytes: [UInt8], at offset: Int) -> (Unicode.Scalar, Int) {
        let first = bytes[offset]
        if first < 0x80 { return (Unicode.Scalar(first), 1) }
        let length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2
        guard offset + length <= bytes.count else { return ("\u{FFFD}", bytes.count - offset) }
        var value = UInt32(first) & (0xFF >> UInt32(length + 1))
        for index in 1..<length { value = value << 6 | UInt32(bytes[offset + index] & 0x3F) }
        return (Unicode.Scalar(value) ?? "\u{FFFD}", length)
    }
}

extension [UInt8] {
    /// The first place of a needle at or after an offset, in time linear in the text: the needle's border table
    /// keeps a hostile pair of texts from costing their product.
    func firstOffset(of needle: [UInt8], from start: Int) -> Int? {
        guard start >= 0, start <= count else { return nil }
        if needle.isEmpty { return start }
        guard needle.count <= count - start else { return nil }
        if needle.count == 1 {
            let byte = needle[0]
            for offset in start..<count where self[offset] == byte { return offset }
            return nil
        }
        var borders = [Int](repeating: 0, count: needle.count)
        var length = 0
        for index in 1..<needle.count {
            while length > 0, needle[index] != needle[length] { length = borders[length - 1] }
            if needle[index] == needle[length] { length += 1 }
            borders[index] = length
        }
        length = 0
        for offset in start..<count {
            let byte = self[offset]
            while length > 0, byte != needle[length] { length = borders[length - 1] }
            if byte == needle[length] { length += 1 }
            if length == needle.count { return offset - needle.count + 1 }
        }
        return nil
    }
}

extension Unicode.Scalar {
    /// Whether Python's `str.isspace` and `\s` take this for white space.
    var isPythonSpace: Bool {
        switch value {
        case 0x09...0x0D, 0x1C...0x20, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000:
            true
        default: false
        }
    }

    /// Whether Python's `repr` shows the character itself.
    var isPythonPrintable: Bool {
        if value >= 0x20 && value < 0x7F { return true }
        switch properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator,
            .spaceSeparator:
            return false
        default: return true
        }
    }
}
