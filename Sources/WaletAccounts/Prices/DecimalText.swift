// Decimal text to whole numbers and back, exactly: amounts of money never pass through floating point.

enum DecimalText {
    enum Failure: Error {
        case notADecimal
        case tooManyDecimals
        case tooLarge
    }

    /// `text` times 10 to the power of `digits`, as a whole number.
    /// - Parameters:
    ///   - text: digits, with a point and more digits if need be. No sign, no spaces.
    ///   - allowsExponent: also `5e-07`, as floating point numbers are printed.
    static func scaled(_ text: some StringProtocol, by digits: Int, allowsExponent: Bool = false) throws(Failure)
        -> Int64
    {
        var rest = Array(text.utf8.prefix(65))[...]
        guard rest.count <= 64 else { throw .tooLarge }
        var mantissa: Int128 = 0
        var count = 0
        var shift = digits

        func isDigit(_ byte: UInt8?) -> Bool { byte.map { $0 >= 0x30 && $0 <= 0x39 } ?? false }
        func takeDigits(_ each: () -> Void = {}) throws(Failure) {
            guard isDigit(rest.first) else { throw .notADecimal }
            while isDigit(rest.first) {
                let digit = Int128(rest.removeFirst() - 0x30)
                if mantissa != 0 || digit != 0 { count += 1 }
                guard count <= 30 else { throw .tooLarge }
                mantissa = mantissa * 10 + digit
                each()
            }
        }

        try takeDigits()
        if rest.first == UInt8(ascii: ".") {
            rest.removeFirst()
            try takeDigits { shift -= 1 }
        }
        if allowsExponent, let mark = rest.first, mark == UInt8(ascii: "e") || mark == UInt8(ascii: "E") {
            rest.removeFirst()
            guard let exponent = Int(String(decoding: rest, as: UTF8.self)), abs(exponent) <= 400 else {
                throw .notADecimal
            }
            shift += exponent
            rest = []
        }
        guard rest.isEmpty else { throw .notADecimal }
        if mantissa == 0 { return 0 }
        while shift > 0 {
            mantissa *= 10
            shift -= 1
            guard mantissa <= Int128(Int64.max) else { throw .tooLarge }
        }
        while shift < 0 {
            let (quotient, remainder) = mantissa.quotientAndRemainder(dividingBy: 10)
            guard remainder == 0 else { throw .tooManyDecimals }
            mantissa = quotient
            shift += 1
        }
        guard let result = Int64(exactly: mantissa) else { throw .tooLarge }
        return result
    }

    /// `value` divided by 10 to the power of `digits`, with all decimals that it has and no fewer than `minimum`.
    static func text(_ value: Int64, scale digits: Int, minimum: Int) -> String {
        let magnitude = String(value.magnitude)
        let padded = String(repeating: "0", count: max(0, digits + 1 - magnitude.utf8.count)) + magnitude
        var fraction = padded.suffix(digits)
        while fraction.count > minimum, fraction.last == "0" { fraction.removeLast() }
        let whole = padded.dropLast(digits)
        return (value < 0 ? "-" : "") + whole + (fraction.isEmpty ? "" : "." + fraction)
    }
}
