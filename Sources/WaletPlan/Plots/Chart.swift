// Plots as SVG files that need nothing else, and bars for a terminal.

import Foundation

/// Lines over one horizontal axis, with marked points.
public struct Chart: Sendable, Equatable {
    public struct Series: Sendable, Equatable {
        public var name: String
        /// In the order of x.
        public var points: [Point]

        public init(_ name: String, _ points: [Point]) {
            self.name = name
            self.points = points
        }
    }

    public struct Point: Sendable, Equatable {
        public var x: Double
        public var y: Double

        public init(_ x: Double, _ y: Double) {
            self.x = x
            self.y = y
        }
    }

    public struct Mark: Sendable, Equatable {
        public var point: Point
        public var text: String

        public init(_ point: Point, _ text: String) {
            self.point = point
            self.text = text
        }
    }

    public var title: String
    public var xLabel: String
    public var yLabel: String
    public var series: [Series]
    public var marks: [Mark]
    /// Horizontal steps of equal ratio instead of equal difference.
    public var isLogarithmic: Bool

    public init(
        title: String, xLabel: String, yLabel: String, series: [Series], marks: [Mark] = [], isLogarithmic: Bool = false
    ) {
        self.title = title
        self.xLabel = xLabel
        self.yLabel = yLabel
        self.series = series
        self.marks = marks
        self.isLogarithmic = isLogarithmic
    }

    static let (width, height) = (860.0, 480.0)
    static let (left, right, top, bottom) = (70.0, 190.0, 46.0, 54.0)

    /// The plot as an SVG document. Points that are not finite are left out.
    public func svg() -> String {
        let points = (series.flatMap(\.points) + marks.map(\.point)).filter {
            $0.x.isFinite && $0.y.isFinite && (!isLogarithmic || $0.x > 0)
        }
        let xs = points.map(\.x)
        let (low, high) = (xs.min() ?? 1, xs.max() ?? 2)
        let yTop = Ticks.ceiling(points.map(\.y).max() ?? 1)
        func place(_ point: Point) -> (x: Double, y: Double)? {
            guard point.x.isFinite, point.y.isFinite, !isLogarithmic || point.x > 0 else { return nil }
            let span = isLogarithmic ? log(high / low) : high - low
            let part = span > 0 ? (isLogarithmic ? log(point.x / low) : point.x - low) / span : 0.5
            return (
                Self.left + part * (Self.width - Self.left - Self.right),
                Self.height - Self.bottom - max(0, point.y) / yTop * (Self.height - Self.top - Self.bottom)
            )
        }
        var svg = SVG(width: Self.width, height: Self.height, title: title)
        for value in Ticks.linear(to: yTop) {
            guard let (_, y) = place(Point(low, value)) else { continue }
            svg.line(Self.left, y, Self.width - Self.right, y, "#ddd")
            svg.text(Self.left - 8, y + 4, Ticks.label(value), anchor: "end")
        }
        for value in isLogarithmic ? Ticks.doublings(low, high) : Ticks.linear(to: high).filter({ $0 >= low }) {
            guard let (x, _) = place(Point(value, 0)) else { continue }
            svg.line(x, Self.height - Self.bottom, x, Self.height - Self.bottom + 5, "#888")
            svg.text(x, Self.height - Self.bottom + 20, Ticks.label(value), anchor: "middle")
        }
        svg.text(
            (Self.left + Self.width - Self.right) / 2, Self.height - 12, xLabel, anchor: "middle")
        svg.text(16, Self.top - 10, yLabel, anchor: "start")
        for (index, line) in series.enumerated() {
            let color = SVG.colors[index % SVG.colors.count]
            svg.polyline(line.points.compactMap(place), color)
            let y = Self.top + 10 + Double(index) * 20
            svg.line(Self.width - Self.right + 16, y, Self.width - Self.right + 40, y, color, width: 2.5)
            svg.text(Self.width - Self.right + 46, y + 4, line.name, anchor: "start")
        }
        for mark in marks {
            guard let (x, y) = place(mark.point) else { continue }
            svg.circle(x, y, "#111")
            svg.text(
                min(x + 8, Self.width - Self.right), max(y - 10, Self.top + 4), mark.text, anchor: "start", bold: true)
        }
        return svg.document
    }
}

/// Spans around a middle value, the widest first: what a change of each input does to a result.
public struct Tornado: Sendable, Equatable {
    public struct Bar: Sendable, Equatable {
        public var name: String
        public var low: Double
        public var high: Double

        public init(_ name: String, low: Double, high: Double) {
            self.name = name
            self.low = min(low, high)
            self.high = max(low, high)
        }
    }

    public var title: String
    public var xLabel: String
    public var bars: [Bar]
    public var middle: Double
    /// Vertical lines, such as prices of others.
    public var marks: [(name: String, value: Double)]

    public init(title: String, xLabel: String, bars: [Bar], middle: Double, marks: [(name: String, value: Double)] = [])
    {
        self.title = title
        self.xLabel = xLabel
        self.bars = bars.sorted { $0.high - $0.low > $1.high - $1.low }
        self.middle = middle
        self.marks = marks
    }

    public static func == (left: Tornado, right: Tornado) -> Bool {
        left.title == right.title && left.xLabel == right.xLabel && left.bars == right.bars
            && left.middle == right.middle && left.marks.elementsEqual(right.marks, by: ==)
    }

    /// The plot as an SVG document. Marks beyond twice the widest bar are named above
    /// it, so that bars stay readable.
    public func svg() -> String {
        let height = 120 + Double(bars.count) * 30 + Double(marks.count) * 16
        let widest = max(bars.map(\.high).filter(\.isFinite).max() ?? 1, middle)
        let shown = marks.filter { $0.value.isFinite && $0.value <= 2 * widest }
        let limit = Ticks.ceiling(max(widest, shown.map(\.value).max() ?? 0))
        let (left, right) = (230.0, 820.0)
        func place(_ value: Double) -> Double { left + min(max(0, value), limit) / limit * (right - left) }
        var svg = SVG(width: 860, height: height, title: title)
        let base = height - 44
        for value in Ticks.linear(to: limit) {
            svg.line(place(value), 46, place(value), base, "#ddd")
            svg.text(place(value), base + 18, Ticks.label(value), anchor: "middle")
        }
        svg.text((left + right) / 2, height - 8, xLabel, anchor: "middle")
        for (index, bar) in bars.enumerated() where bar.low.isFinite && bar.high.isFinite {
            let y = 56 + Double(index) * 30
            svg.rectangle(place(bar.low), y, max(1, place(bar.high) - place(bar.low)), 18, SVG.colors[0])
            svg.text(left - 8, y + 13, bar.name, anchor: "end")
        }
        svg.line(place(middle), 46, place(middle), base, "#111", width: 2)
        let beyond = marks.filter { $0.value.isFinite && $0.value > 2 * widest }
        if !beyond.isEmpty {
            let list = beyond.map { "\($0.name) \(Ticks.label($0.value))" }.joined(separator: ", ")
            svg.text(16, 40, "beyond the scale: " + list, anchor: "start")
        }
        for (index, mark) in shown.enumerated() {
            let color = SVG.colors[(index + 1) % SVG.colors.count]
            svg.line(place(mark.value), 46, place(mark.value), base, color, width: 2)
            let isRight = place(mark.value) > (left + right) / 2
            svg.text(
                place(mark.value) + (isRight ? -6 : 6), base - 6 - Double(index) * 16,
                "\(mark.name) \(Ticks.label(mark.value))", anchor: isRight ? "end" : "start", bold: true)
        }
        return svg.document
    }
}

/// Round numbers along an axis.
enum Ticks {
    /// The next number at or above `value` that is 1, 2, 2.5 or 5 times a power of ten.
    static func ceiling(_ value: Double) -> Double {
        guard value.isFinite, value > 0 else { return 1 }
        let power = pow(10, floor(log10(value)))
        for factor in [1, 2, 2.5, 5, 10] where value <= factor * power * 1.000001 { return factor * power }
        return 10 * power
    }

    static func linear(to limit: Double) -> [Double] {
        let top = ceiling(limit)
        return (0...5).map { Double($0) * top / 5 }
    }

    /// Powers of two between two numbers.
    static func doublings(_ low: Double, _ high: Double) -> [Double] {
        guard low > 0, high >= low else { return [] }
        var ticks: [Double] = []
        var value = pow(2, log2(low).rounded(.up))
        while value <= high * 1.000001, ticks.count < 40 {
            ticks.append(value)
            value *= 2
        }
        return ticks
    }

    static func label(_ value: Double) -> String {
        if value == 0 { return "0" }
        if abs(value) >= 1e6 || abs(value) < 1e-3 { return String(format: "%.3g", value) }
        return abs(value) >= 100 || value == value.rounded()
            ? String(format: "%.0f", value) : String(format: "%.3g", value)
    }
}

/// The few shapes that a plot is made of.
struct SVG {
    static let colors = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17a2b8", "#8c564b"]
    private let width: Double
    private let height: Double
    private let title: String
    private var body = ""

    init(width: Double, height: Double, title: String) {
        self.width = width
        self.height = height
        self.title = title
        text(16, 24, title, anchor: "start", bold: true, size: 16)
    }

    var document: String {
        """
        <svg xmlns="http://www.w3.org/2000/svg" width="\(n(width))" height="\(n(height))" \
        viewBox="0 0 \(n(width)) \(n(height))" role="img" font-family="sans-serif">
        <title>\(Self.escape(title))</title>
        <rect width="100%" height="100%" fill="#fff"/>
        \(body)</svg>

        """
    }

    mutating func line(_ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, _ color: String, width: Double = 1) {
        body += "<line x1=\"\(n(x1))\" y1=\"\(n(y1))\" x2=\"\(n(x2))\" y2=\"\(n(y2))\" "
        body += "stroke=\"\(color)\" stroke-width=\"\(n(width))\"/>\n"
    }

    mutating func polyline(_ points: [(x: Double, y: Double)], _ color: String) {
        let list = points.map { "\(n($0.x)),\(n($0.y))" }.joined(separator: " ")
        body += "<polyline points=\"\(list)\" fill=\"none\" stroke=\"\(color)\" stroke-width=\"2.5\"/>\n"
    }

    mutating func rectangle(_ x: Double, _ y: Double, _ width: Double, _ height: Double, _ color: String) {
        body += "<rect x=\"\(n(x))\" y=\"\(n(y))\" width=\"\(n(width))\" height=\"\(n(height))\" fill=\"\(color)\"/>\n"
    }

    mutating func circle(_ x: Double, _ y: Double, _ color: String) {
        body += "<circle cx=\"\(n(x))\" cy=\"\(n(y))\" r=\"5\" fill=\"\(color)\"/>\n"
    }

    mutating func text(
        _ x: Double, _ y: Double, _ text: String, anchor: String, bold: Bool = false, size: Int = 12
    ) {
        body += "<text x=\"\(n(x))\" y=\"\(n(y))\" text-anchor=\"\(anchor)\" font-size=\"\(size)\" fill=\"#111\""
        body += "\(bold ? " font-weight=\"bold\"" : "")>\(Self.escape(text))</text>\n"
    }

    private func n(_ value: Double) -> String { String(format: "%.1f", value) }

    static func escape(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            default:
                // XML 1.0 has no other control characters.
                let isControl = scalar.value < 0x20 && scalar != "\n" && scalar != "\t"
                let isNone = scalar.value == 0xFFFE || scalar.value == 0xFFFF
                result.unicodeScalars.append(isControl || isNone ? "\u{FFFD}" : scalar)
            }
        }
        return result
    }
}

/// Bars for a terminal.
public enum TextBars {
    /// One line a bar: name, bar, text. The largest value takes `width` characters.
    public static func lines(_ bars: [(name: String, value: Double, text: String)], width: Int = 40) -> [String] {
        let largest = bars.map(\.value).filter(\.isFinite).max() ?? 0
        let widest = bars.map(\.name.count).max() ?? 0
        return bars.map { bar in
            let share = largest > 0 && bar.value.isFinite ? max(0, bar.value / largest) : 0
            let length = bar.value > 0 ? max(1, Int((share * Double(width)).rounded())) : 0
            let name = bar.name + String(repeating: " ", count: widest - bar.name.count)
            let block = String(repeating: "█", count: length) + String(repeating: " ", count: width - length)
            return "\(name)  \(block)  \(bar.text)"
        }
    }
}
