// Numbers to places on a chart, and the marks beside it.

import Foundation

/// One axis.
struct ChartScale {
    let range: ClosedRange<Double>
    let isLogarithmic: Bool
    let ticks: [Double]

    /// - Parameters:
    ///   - values: finite ones count; for a logarithmic axis those above zero.
    ///   - startsAtZero: whether the axis has to show zero.
    init(_ values: some Sequence<Double>, isLogarithmic: Bool = false, startsAtZero: Bool = false) {
        self.isLogarithmic = isLogarithmic
        var low = Double.infinity
        var high = -Double.infinity
        for value in values where value.isFinite && (!isLogarithmic || value > 0) {
            // Beyond these the arithmetic below would leave the range of a double.
            let value = isLogarithmic ? min(max(value, 1e-300), 1e300) : abs(value) < 1e-300 ? 0 : value
            low = min(low, max(value, -1e300))
            high = max(high, min(value, 1e300))
        }
        if low > high { (low, high) = isLogarithmic ? (1, 10) : (0, 1) }
        if isLogarithmic {
            let first = Foundation.log10(low).rounded(.down)
            let last = max(Foundation.log10(high).rounded(.up), first + 1)
            range = pow(10, first)...pow(10, last)
            let step = max(1, ((last - first) / 6).rounded(.up))
            ticks = stride(from: first, through: last, by: step).map { pow(10, $0) }
        } else {
            if startsAtZero { (low, high) = (min(low, 0), max(high, 0)) }
            // A spread that the axis could not show.
            if high - low < max(abs(low), abs(high)) * 1e-9 || high == low {
                let margin = high == 0 ? 1 : abs(high) * 0.1
                if !startsAtZero || low < 0 { low -= margin }
                high += margin
            }
            let step = Self.niceStep((high - low) / 5)
            let first = (low / step).rounded(.down)
            let last = (high / step).rounded(.up)
            range = first * step...last * step
            ticks = (0...Int(min(last - first, 20))).map { (first + Double($0)) * step }
        }
    }

    /// 1, 2 or 5 times a power of ten.
    private static func niceStep(_ step: Double) -> Double {
        let power = pow(10, Foundation.log10(step).rounded(.down))
        let digit = step / power
        return (digit <= 1 ? 1 : digit <= 2 ? 2 : digit <= 5 ? 5 : 10) * power
    }

    /// The place of a value, from 0 to 1; nil where the axis has none.
    func place(_ value: Double) -> Double? {
        guard value.isFinite else { return nil }
        if isLogarithmic {
            guard value > 0 else { return nil }
            let low = Foundation.log10(range.lowerBound)
            return Self.clamped((Foundation.log10(value) - low) / (Foundation.log10(range.upperBound) - low))
        }
        return Self.clamped((value - range.lowerBound) / (range.upperBound - range.lowerBound))
    }

    private static func clamped(_ place: Double) -> Double { min(max(place, 0), 1) }

    /// A number as short as it can be read: 0.0016, 12.5, 3.2k, 44M.
    static func label(_ value: Double) -> String {
        guard value.isFinite else { return ProgressLine.fixed(value, 0) }
        let magnitude = abs(value)
        for (unit, suffix) in [(1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")] where magnitude >= unit * 0.9999 {
            return trimmed(value / unit) + suffix
        }
        if magnitude > 0, magnitude < 1e-4 { return String(format: "%.1e", value) }
        return trimmed(value)
    }

    private static func trimmed(_ value: Double) -> String {
        let magnitude = abs(value)
        let digits = magnitude >= 100 ? 0 : magnitude >= 10 ? 1 : magnitude >= 1 ? 2 : magnitude >= 0.01 ? 4 : 6
        var text = String(format: "%.\(digits)f", value)
        if text.contains(".") {
            while text.hasSuffix("0") { text.removeLast() }
            if text.hasSuffix(".") { text.removeLast() }
        }
        return text == "-0" ? "0" : text
    }
}

/// Text that stands in HTML as itself.
func escaped(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "&": result += "&amp;"
        case "<": result += "&lt;"
        case ">": result += "&gt;"
        case "\"": result += "&quot;"
        case "'": result += "&#39;"
        case "\n", "\t": result.unicodeScalars.append(scalar)
        case _ where scalar.value < 0x20 || (0x7F..<0xA0).contains(scalar.value): result += "\u{FFFD}"
        default: result.unicodeScalars.append(scalar)
        }
    }
    return result
}
