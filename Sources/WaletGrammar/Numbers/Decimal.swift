// Numbers by their digits, so that bounds are compared as they are written.

import WaletJSON

/// A finite decimal number: sign, digits before and after the point.
struct Decimal: Hashable, Sendable {
    var isNegative: Bool
    /// Without leading zeros; empty for numbers below 1.
    var whole: [UInt8]
    /// Without trailing zeros.
    var fraction: [UInt8]

    var isZero: Bool { whole.isEmpty && fraction.isEmpty }

    static let zero = Decimal(isNegative: false, whole: [], fraction: [])

    /// Nil for what is no number.
    init?(_ value: JSONValue) {
        switch value {
        case .int(let value): self.init(text: String(value))
        case .double(let value): self.init(text: "\(value)")
        default: return nil
        }
    }

    init(isNegative: Bool, whole: [UInt8], fraction: [UInt8]) {
        self.isNegative = isNegative
        self.whole = Array(whole.drop { $0 == 0 })
        self.fraction = fraction
        while self.fraction.last == 0 { self.fraction.removeLast() }
        if isZero { self.isNegative = false }
    }

    /// - Parameter text: digits with an optional sign, point and exponent, as Swift prints a double.
    private init?(text: String) {
        var rest = text[...]
        let isNegative = rest.first == "-"
        if isNegative { rest = rest.dropFirst() }
        var exponent = 0
        if let mark = rest.firstIndex(where: { $0 == "e" || $0 == "E" }) {
            guard let value = Int(rest[rest.index(after: mark)...]), abs(value) <= 400 else { return nil }
            exponent = value
            rest = rest[..<mark]
        }
        let parts = rest.split(separator: ".", maxSplits: 1)
        guard let first = parts.first else { return nil }
        var digits: [UInt8] = []
        for byte in (first + (parts.count > 1 ? parts[1] : "")).utf8 {
            guard byte >= 0x30, byte <= 0x39 else { return nil }
            digits.append(byte - 0x30)
        }
        let point = first.utf8.count + exponent
        if point < 0 { digits.insert(contentsOf: [UInt8](repeating: 0, count: -point), at: 0) }
        let position = max(point, 0)
        if position > digits.count { digits += [UInt8](repeating: 0, count: position - digits.count) }
        self.init(
            isNegative: isNegative, whole: Array(digits[..<position]), fraction: Array(digits[position...]))
    }

    var magnitude: Decimal { Decimal(isNegative: false, whole: whole, fraction: fraction) }

    var negated: Decimal { Decimal(isNegative: !isNegative, whole: whole, fraction: fraction) }

    static func < (left: Decimal, right: Decimal) -> Bool {
        if left.isNegative != right.isNegative { return left.isNegative }
        let isSmaller = left.isCloserToZero(than: right)
        return left.isNegative ? right.isCloserToZero(than: left) : isSmaller
    }

    private func isCloserToZero(than other: Decimal) -> Bool {
        if whole.count != other.whole.count { return whole.count < other.whole.count }
        if whole != other.whole { return whole.lexicographicallyPrecedes(other.whole) }
        return fraction.lexicographicallyPrecedes(other.fraction)
    }

    /// Whether this is a multiple of a positive number. Exact, and false where the numbers are too long to tell.
    func isMultiple(of other: Decimal) -> Bool {
        let places = max(fraction.count, other.fraction.count)
        guard places <= 40, other.whole.count + places <= 17 else { return false }
        func digits(_ number: Decimal) -> [UInt8] {
            number.whole + number.fraction + [UInt8](repeating: 0, count: places - number.fraction.count)
        }
        let divisor = digits(other).reduce(0) { $0 * 10 + Int($1) }
        guard divisor > 0 else { return false }
        return digits(self).reduce(0) { ($0 * 10 + Int($1)) % divisor } == 0
    }
}
