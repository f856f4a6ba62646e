/// A decimal number without rounding: `digits` / 10^`places`, with as few places as it needs.
public struct ExactDecimal: Sendable, Hashable, Comparable, CustomStringConvertible {
    public let digits: Int
    public let places: Int

    public init(_ digits: Int, places: Int = 0) {
        var (digits, places) = (digits, places)
        while places > 0, digits % 10 == 0 {
            digits /= 10
            places -= 1
        }
        self.digits = digits
        self.places = places
    }

    /// - Parameter text: digits with at most one point, and a sign before them.
    /// - Returns: nil for anything else, and for more than 15 digits.
    public init?(_ text: some StringProtocol) {
        var digits = 0
        var places: Int?
        var count = 0
        var isNegative = false
        for (index, character) in text.utf8.enumerated() {
            switch character {
            case UInt8(ascii: "-") where index == 0: isNegative = true
            case UInt8(ascii: "0")...UInt8(ascii: "9"):
                count += 1
                guard count <= 15 else { return nil }
                digits = digits * 10 + Int(character - UInt8(ascii: "0"))
                places = places.map { $0 + 1 }
            case UInt8(ascii: ".") where places == nil && count > 0: places = 0
            default: return nil
            }
        }
        guard count > 0, places != 0 else { return nil }
        self.init(isNegative ? -digits : digits, places: places ?? 0)
    }

    public var description: String {
        guard places > 0 else { return "\(digits)" }
        let text = String(digits.magnitude)
        let padded = String(repeating: "0", count: max(0, places + 1 - text.count)) + text
        return (digits < 0 ? "-" : "") + padded.dropLast(places) + "." + padded.suffix(places)
    }

    public static func < (left: ExactDecimal, right: ExactDecimal) -> Bool {
        let places = max(left.places, right.places)
        let a = left.digits.multipliedFullWidth(by: Numerals.power(10, places - left.places))
        let b = right.digits.multipliedFullWidth(by: Numerals.power(10, places - right.places))
        return (a.high, a.low) < (b.high, b.low)
    }
}

enum Numerals {
    static func power(_ base: Int, _ exponent: Int) -> Int { (0..<exponent).reduce(1) { product, _ in product * base } }

    /// The digits of a number that is not negative, the ones first.
    static func digits(of number: Int) -> [Int] {
        var digits: [Int] = []
        var rest = number
        repeat {
            digits.append(rest % 10)
            rest /= 10
        } while rest > 0
        return digits
    }
}
