// Reads a JSON document from front to back and keeps nothing that it is not asked for. Headers and indexes of large
// checkpoints list hundreds of thousands of tensors; as a tree of values they would take many times their size.

struct ScanError: Error {
    var offset: Int
    var reason: String
}

struct JSONScanner {
    private let bytes: UnsafeRawBufferPointer
    private(set) var offset = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    private var current: UInt8? { offset < bytes.count ? bytes[offset] : nil }

    func error(_ reason: String) -> ScanError { ScanError(offset: offset, reason: reason) }

    private mutating func skipSpace() {
        while let byte = current, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { offset += 1 }
    }

    /// The next byte that is not white space, or 0 at the end.
    mutating func peek() -> UInt8 {
        skipSpace()
        return current ?? 0
    }

    mutating func expect(_ byte: UInt8) throws(ScanError) {
        guard peek() == byte, offset < bytes.count else {
            throw error("expected '\(Character(Unicode.Scalar(byte)))'")
        }
        offset += 1
    }

    mutating func end() throws(ScanError) {
        skipSpace()
        guard offset == bytes.count else { throw error("text after the end of the document") }
    }

    /// Steps to the first or next member of an object whose `{` was read; nil at its end.
    mutating func nextKey(first: Bool) throws(ScanError) -> String? {
        let byte = peek()
        if byte == UInt8(ascii: "}") {
            offset += 1
            return nil
        }
        if !first {
            try expect(UInt8(ascii: ","))
        }
        let key = try string()
        try expect(UInt8(ascii: ":"))
        return key
    }

    /// Steps to the first or next element of an array whose `[` was read; false at its end.
    mutating func nextElement(first: Bool) throws(ScanError) -> Bool {
        if peek() == UInt8(ascii: "]") {
            offset += 1
            return false
        }
        if !first {
            try expect(UInt8(ascii: ","))
            if peek() == UInt8(ascii: "]") { throw error("expected a value after ','") }
        }
        return true
    }

    /// A number without sign, fraction or exponent.
    mutating func natural() throws(ScanError) -> Int {
        skipSpace()
        guard let first = current, first >= 0x30, first <= 0x39 else {
            throw error("expected a whole number that is not negative")
        }
        var value = 0
        let start = offset
        while let byte = current, byte >= 0x30, byte <= 0x39 {
            let (product, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, overflowToo) = product.addingReportingOverflow(Int(byte) - 0x30)
            guard !overflow, !overflowToo else { throw error("a number beyond 64 bits") }
            value = sum
            offset += 1
        }
        if first == 0x30, offset - start > 1 { throw error("a number may not begin with 0") }
        if let byte = current, byte == UInt8(ascii: ".") || byte | 0x20 == UInt8(ascii: "e") {
            throw error("expected a whole number")
        }
        return value
    }

    mutating func string() throws(ScanError) -> String {
        try expect(UInt8(ascii: "\""))
        let start = offset
        var all: UInt8 = 0
        while let byte = current, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte >= 0x20 {
            all |= byte
            offset += 1
        }
        if current == UInt8(ascii: "\"") {
            let slice = UnsafeRawBufferPointer(rebasing: bytes[start..<offset])
            offset += 1
            // ASCII, as nearly all names are, needs no validation.
            if all < 0x80 { return String(decoding: slice, as: UTF8.self) }
            guard let text = String(validating: slice, as: UTF8.self) else {
                throw ScanError(offset: start, reason: "a string that is not valid UTF-8")
            }
            return text
        }
        var buffer = Array(bytes[start..<offset])
        while true {
            guard let byte = current else { throw error("the document ends inside a string") }
            switch byte {
            case UInt8(ascii: "\""):
                offset += 1
                guard let text = String(validating: buffer, as: UTF8.self) else {
                    throw ScanError(offset: start, reason: "a string that is not valid UTF-8")
                }
                return text
            case UInt8(ascii: "\\"):
                offset += 1
                try escape(into: &buffer)
            case 0..<0x20: throw error("a control character inside a string")
            default:
                buffer.append(byte)
                offset += 1
            }
        }
    }

    private mutating func escape(into buffer: inout [UInt8]) throws(ScanError) {
        guard let byte = current else { throw error("the document ends inside an escape") }
        offset += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): buffer.append(byte)
        case UInt8(ascii: "b"): buffer.append(0x08)
        case UInt8(ascii: "f"): buffer.append(0x0C)
        case UInt8(ascii: "n"): buffer.append(0x0A)
        case UInt8(ascii: "r"): buffer.append(0x0D)
        case UInt8(ascii: "t"): buffer.append(0x09)
        case UInt8(ascii: "u"):
            var code = try hexadecimal()
            if (0xD800..<0xDC00).contains(code), current == UInt8(ascii: "\\"), offset + 1 < bytes.count,
                bytes[offset + 1] == UInt8(ascii: "u")
            {
                offset += 2
                let low = try hexadecimal()
                guard (0xDC00..<0xE000).contains(low) else { throw error("a lone surrogate") }
                code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
            }
            guard let scalar = Unicode.Scalar(code) else { throw error("a lone surrogate") }
            buffer.append(contentsOf: Array(String(scalar).utf8))
        default: throw error("unknown escape")
        }
    }

    private mutating func hexadecimal() throws(ScanError) -> UInt32 {
        var code: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = current else { throw error("the document ends inside an escape") }
            let digit: UInt8
            switch byte {
            case 0x30...0x39: digit = byte - 0x30
            case 0x41...0x46: digit = byte - 0x41 + 10
            case 0x61...0x66: digit = byte - 0x61 + 10
            default: throw error("expected four hexadecimal digits")
            }
            code = code << 4 | UInt32(digit)
            offset += 1
        }
        return code
    }

    /// Skips one value of any kind, which must be valid JSON.
    mutating func skipValue(depth: Int = 0) throws(ScanError) {
        guard depth < 64 else { throw error("nested deeper than 64") }
        switch peek() {
        case UInt8(ascii: "{"):
            offset += 1
            var first = true
            while try nextKey(first: first) != nil {
                first = false
                try skipValue(depth: depth + 1)
            }
        case UInt8(ascii: "["):
            offset += 1
            var first = true
            while try nextElement(first: first) {
                first = false
                try skipValue(depth: depth + 1)
            }
        case UInt8(ascii: "\""): _ = try string()
        case UInt8(ascii: "t"): try word("true")
        case UInt8(ascii: "f"): try word("false")
        case UInt8(ascii: "n"): try word("null")
        default: try skipNumber()
        }
    }

    private mutating func word(_ word: StaticString) throws(ScanError) {
        let count = word.utf8CodeUnitCount
        guard bytes.count - offset >= count else { throw error("expected \(word)") }
        for index in 0..<count where bytes[offset + index] != word.utf8Start[index] {
            throw error("expected \(word)")
        }
        offset += count
    }

    private mutating func skipNumber() throws(ScanError) {
        if current == UInt8(ascii: "-") { offset += 1 }
        guard let first = current, first >= 0x30, first <= 0x39 else { throw error("expected a value") }
        offset += 1
        if first != 0x30 { skipDigits() }
        if current == UInt8(ascii: ".") {
            offset += 1
            guard let byte = current, byte >= 0x30, byte <= 0x39 else { throw error("expected a digit") }
            skipDigits()
        }
        if let byte = current, byte | 0x20 == UInt8(ascii: "e") {
            offset += 1
            if current == UInt8(ascii: "+") || current == UInt8(ascii: "-") { offset += 1 }
            guard let byte = current, byte >= 0x30, byte <= 0x39 else { throw error("expected a digit") }
            skipDigits()
        }
    }

    private mutating func skipDigits() {
        while let byte = current, byte >= 0x30, byte <= 0x39 { offset += 1 }
    }
}
