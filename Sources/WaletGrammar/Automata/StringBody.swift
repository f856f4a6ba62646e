// What may stand between the quotes of a JSON string.

/// The states of a JSON string after its opening quote: well-formed UTF-8 and escapes, no lone surrogates.
enum StringBody {
    /// Before a character; also where the string begins.
    static let boundary: Int32 = 0
    /// After the closing quote.
    static let closed: Int32 = 1

    /// Every spelling that JSON has for a character. `[states, 256]`, -1 for none.
    static let free = makeTable(isCanonical: false)
    /// One spelling for each character, so that equal bytes are equal strings: short escapes where there are some,
    /// `\u00xx` for other control characters, everything else as it is.
    static let canonical = makeTable(isCanonical: true)

    private enum State: Int8, CaseIterable {
        case boundary, closed, escape
        // \uXXXX: what is left of it. A high surrogate must be followed by a low one.
        case unicode, threeDigits, twoDigits, oneDigit, afterD
        case highTwo, highOne, lowBackslash, lowU, lowD, lowSecond
        // \u00XX in its canonical form.
        case plainSecond, plainThird, zeroDigit, oneXDigit
        // UTF-8: how many bytes follow, and the first bytes after which not all may.
        case one, two, three, afterE0, afterED, afterF0, afterF4
    }

    private static func makeTable(isCanonical: Bool) -> [Int8] {
        var table = [Int8](repeating: -1, count: State.allCases.count * 256)
        func add(_ from: State, _ bytes: ClosedRange<UInt8>, _ to: State) {
            for byte in bytes { table[Int(from.rawValue) * 256 + Int(byte)] = to.rawValue }
        }
        func add(_ from: State, _ characters: String, _ to: State) {
            for byte in characters.utf8 { add(from, byte...byte, to) }
        }
        let digits = "0123456789abcdefABCDEF"

        add(.boundary, 0x20...0x7F, .boundary)
        add(.boundary, "\"", .closed)
        add(.boundary, "\\", .escape)
        add(.boundary, 0xC2...0xDF, .one)
        add(.boundary, 0xE0...0xE0, .afterE0)
        add(.boundary, 0xE1...0xEF, .two)
        add(.boundary, 0xED...0xED, .afterED)
        add(.boundary, 0xF0...0xF0, .afterF0)
        add(.boundary, 0xF1...0xF3, .three)
        add(.boundary, 0xF4...0xF4, .afterF4)
        add(.one, 0x80...0xBF, .boundary)
        add(.two, 0x80...0xBF, .one)
        add(.three, 0x80...0xBF, .two)
        add(.afterE0, 0xA0...0xBF, .one)
        add(.afterED, 0x80...0x9F, .one)
        add(.afterF0, 0x90...0xBF, .two)
        add(.afterF4, 0x80...0x8F, .two)

        add(.escape, "\"\\bfnrt", .boundary)
        if isCanonical {
            add(.escape, "u", .unicode)
            add(.unicode, "0", .plainSecond)
            add(.plainSecond, "0", .plainThird)
            add(.plainThird, "0", .zeroDigit)
            add(.plainThird, "1", .oneXDigit)
            add(.zeroDigit, "01234567bef", .boundary)
            add(.oneXDigit, "0123456789abcdef", .boundary)
        } else {
            add(.escape, "/", .boundary)
            add(.escape, "u", .unicode)
            add(.unicode, digits, .threeDigits)
            add(.unicode, "dD", .afterD)
            add(.threeDigits, digits, .twoDigits)
            add(.twoDigits, digits, .oneDigit)
            add(.oneDigit, digits, .boundary)
            add(.afterD, "01234567", .twoDigits)
            add(.afterD, "89abAB", .highTwo)
            add(.highTwo, digits, .highOne)
            add(.highOne, digits, .lowBackslash)
            add(.lowBackslash, "\\", .lowU)
            add(.lowU, "u", .lowD)
            add(.lowD, "dD", .lowSecond)
            add(.lowSecond, "cdefCDEF", .twoDigits)
        }
        return table
    }
}

extension String {
    /// The string between quotes as ``StringBody/canonical`` spells it, the quotes included.
    var jsonSpelling: [UInt8] {
        var bytes: [UInt8] = [UInt8(ascii: "\"")]
        for scalar in unicodeScalars { bytes += scalar.jsonSpelling }
        bytes.append(UInt8(ascii: "\""))
        return bytes
    }
}

extension Unicode.Scalar {
    /// The character inside a JSON string.
    var jsonSpelling: [UInt8] {
        switch self {
        case "\"": Array("\\\"".utf8)
        case "\\": Array("\\\\".utf8)
        case "\n": Array("\\n".utf8)
        case "\r": Array("\\r".utf8)
        case "\t": Array("\\t".utf8)
        case "\u{08}": Array("\\b".utf8)
        case "\u{0C}": Array("\\f".utf8)
        case _ where value < 0x20: Array("\\u00\(value < 16 ? "0" : "")\(String(value, radix: 16))".utf8)
        default: Array(String(Character(self)).utf8)
        }
    }
}
