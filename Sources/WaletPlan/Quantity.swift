// Sizes and counts as people write them.

/// Texts such as `64G`, `1.5TB` or `2.788M` to numbers.
public enum Quantity {
    /// Reads a size in bytes: digits alone are bytes; `K M G T` and `KiB MiB GiB TiB` are powers of 1024, as elsewhere in
    /// Walet; `kB MB GB TB` are powers of 1000, as sellers count.
    /// - Throws: ``PlanError/invalid(field:expected:found:)`` for anything else, and beyond 1 EiB.
    public static func bytes(_ text: String, field: String) throws(PlanError) -> Int {
        let (digits, unit) = split(text)
        let factor: Double? =
            switch unit.lowercased() {
            case "", "b": 1
            case "k", "kib": 0x1p10
            case "m", "mib": 0x1p20
            case "g", "gib": 0x1p30
            case "t", "tib": 0x1p40
            case "kb": 1e3
            case "mb": 1e6
            case "gb": 1e9
            case "tb": 1e12
            default: nil
            }
        guard let factor, let number = decimal(digits), number * factor <= 0x1p60 else {
            throw .invalid(field: field, expected: "a size such as 64G or 64GB", found: excerpt(text))
        }
        return Int(number * factor)
    }

    /// Reads a count: `2.788M`, `14.8T`, `600k`, `3e12` or digits; letters are powers of 1000.
    /// - Throws: ``PlanError/invalid(field:expected:found:)`` for anything else, and beyond 10^30.
    public static func count(_ text: String, field: String) throws(PlanError) -> Double {
        let (digits, unit) = split(text)
        let factor: Double? =
            switch unit.lowercased() {
            case "": 1
            case "k": 1e3
            case "m": 1e6
            case "b", "g": 1e9
            case "t": 1e12
            case let exponent where exponent.hasPrefix("e"): power(exponent.dropFirst())
            default: nil
            }
        guard let factor, let number = decimal(digits), number * factor <= 1e30 else {
            throw .invalid(field: field, expected: "a count such as 600M, 1.5T or 3e12", found: excerpt(text))
        }
        return number * factor
    }

    static func excerpt(_ text: String) -> String {
        text.isEmpty
            ? "nothing" : "'" + text.unicodeScalars.prefix(60).map { $0.isASCII ? String($0) : "?" }.joined() + "'"
    }

    private static func split(_ text: String) -> (digits: Substring, unit: Substring) {
        let end = text.firstIndex { !(("0"..."9").contains($0) || $0 == ".") } ?? text.endIndex
        return (text[..<end], text[end...])
    }

    /// Digits, with a point and more digits if need be.
    private static func decimal(_ text: Substring) -> Double? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard (1...2).contains(parts.count), text.utf8.count <= 40,
            parts.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy { (0x30...0x39).contains($0) } })
        else { return nil }
        return Double(text)
    }

    private static func power(_ text: Substring) -> Double? {
        guard (1...2).contains(text.utf8.count), text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
            return nil
        }
        return Double("1e\(text)")
    }
}
