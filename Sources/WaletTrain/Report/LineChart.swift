// A chart of curves as SVG, with the same numbers in a table for whoever cannot see it.

/// Curves over tokens.
struct LineChart {
    struct Series {
        var name: String
        var points: [(x: Double, y: Double)]
    }

    var id: String
    var title: String
    var unit: String
    var series: [Series]
    var isLogarithmic = false
    var startsAtZero = false
    /// A line across, such as QK-Clip's tau.
    var threshold: (value: Double, name: String)?

    private static let width = 640.0
    private static let height = 280.0
    private static let left = 58.0
    private static let right = 12.0
    private static let top = 10.0
    private static let bottom = 38.0
    /// Points of a curve beyond this are drawn as the lowest and the highest of each column.
    private static let columns = 400
    /// Colours that the style sheet has; then they come again, dashed otherwise.
    static let colours = 8
    private static let dashes = ["", "7 3", "2 3", "9 3 2 3"]

    private var plotWidth: Double { Self.width - Self.left - Self.right }
    private var plotHeight: Double { Self.height - Self.top - Self.bottom }

    /// A figure, or nothing where there is nothing to draw.
    var html: String {
        let drawn = series.filter { !$0.points.isEmpty }
        guard !drawn.isEmpty else { return "" }
        let x = ChartScale(drawn.flatMap { $0.points.map(\.x) }, startsAtZero: true)
        let y = ChartScale(
            drawn.flatMap { $0.points.map(\.y) } + (threshold.map { [$0.value] } ?? []),
            isLogarithmic: isLogarithmic, startsAtZero: startsAtZero)
        var svg =
            "<svg viewBox=\"0 0 \(Self.place(Self.width)) \(Self.place(Self.height))\" role=\"img\" "
            + "aria-labelledby=\"\(id)-t \(id)-d\">\n<title id=\"\(id)-t\">\(escaped(title))</title>\n"
            + "<desc id=\"\(id)-d\">\(escaped(description(drawn)))</desc>\n"
        svg += axes(x, y)
        if let threshold, let place = y.place(threshold.value) {
            let height = Self.place(Self.top + plotHeight * (1 - place))
            svg +=
                "<path class=\"limit\" d=\"M\(Self.place(Self.left)) \(height)H\(Self.place(Self.width - Self.right))\"/>"
                + "<text class=\"tick\" text-anchor=\"end\" x=\"\(Self.place(Self.width - Self.right))\" "
                + "y=\"\(Self.place(Self.top + plotHeight * (1 - place) - 4))\">\(escaped(threshold.name))</text>\n"
        }
        for (index, curve) in drawn.enumerated() {
            svg += "<path class=\"curve c\(index % Self.colours)\"\(Self.dash(index)) d=\"\(path(curve, x, y))\"/>\n"
        }
        svg += "</svg>"
        let legend = drawn.enumerated().map { index, curve in
            "<li><svg viewBox=\"0 0 28 8\" aria-hidden=\"true\"><path class=\"curve c\(index % Self.colours)\""
                + "\(Self.dash(index)) d=\"M0 4H28\"/></svg>\(escaped(curve.name))</li>"
        }.joined()
        return "<figure id=\"\(id)\"><h3>\(escaped(title))</h3>\n\(svg)\n<ul class=\"legend\">\(legend)</ul>\n"
            + "\(table(drawn))</figure>\n"
    }

    private static func dash(_ index: Int) -> String {
        let dash = dashes[(index + index / colours) % dashes.count]
        return dash.isEmpty ? "" : " stroke-dasharray=\"\(dash)\""
    }

    private func axes(_ x: ChartScale, _ y: ChartScale) -> String {
        var svg = ""
        for tick in y.ticks {
            guard let place = y.place(tick) else { continue }
            let height = Self.top + plotHeight * (1 - place)
            svg +=
                "<path class=\"grid\" d=\"M\(Self.place(Self.left)) \(Self.place(height))"
                + "H\(Self.place(Self.width - Self.right))\"/><text class=\"tick\" text-anchor=\"end\" "
                + "x=\"\(Self.place(Self.left - 6))\" y=\"\(Self.place(height + 4))\">\(ChartScale.label(tick))</text>\n"
        }
        for tick in x.ticks {
            guard let place = x.place(tick) else { continue }
            svg +=
                "<text class=\"tick\" text-anchor=\"middle\" x=\"\(Self.place(Self.left + plotWidth * place))\" "
                + "y=\"\(Self.place(Self.height - Self.bottom + 16))\">\(ChartScale.label(tick))</text>\n"
        }
        return svg
            + "<text class=\"tick\" text-anchor=\"end\" x=\"\(Self.place(Self.width - Self.right))\" "
            + "y=\"\(Self.place(Self.height - 6))\">tokens</text><text class=\"tick\" "
            + "x=\"\(Self.place(Self.left))\" y=\"\(Self.place(Self.height - 6))\">\(escaped(unit))</text>\n"
    }

    /// The curve, with a gap where a value is not finite.
    private func path(_ curve: Series, _ x: ChartScale, _ y: ChartScale) -> String {
        var path = ""
        var isDrawing = false
        for point in Self.thinned(curve.points) {
            guard let across = x.place(point.x), let up = y.place(point.y) else {
                isDrawing = false
                continue
            }
            path += isDrawing ? "L" : "M"
            path += Self.place(Self.left + plotWidth * across) + " " + Self.place(Self.top + plotHeight * (1 - up))
            // A point alone would not be seen.
            if !isDrawing { path += "h.01" }
            isDrawing = true
        }
        return path
    }

    /// At most the lowest and the highest point of each column, in their order, so that no peak is lost.
    static func thinned(_ points: [(x: Double, y: Double)]) -> [(x: Double, y: Double)] {
        guard points.count > 2 * columns else { return points }
        var result: [(x: Double, y: Double)] = []
        for column in 0..<columns {
            let part = points[points.count * column / columns..<points.count * (column + 1) / columns]
            guard let broken = part.first(where: { !$0.y.isFinite }) else {
                guard let low = part.indices.min(by: { part[$0].y < part[$1].y }),
                    let high = part.indices.max(by: { part[$0].y < part[$1].y })
                else { continue }
                result.append(part[min(low, high)])
                if low != high { result.append(part[max(low, high)]) }
                continue
            }
            result.append(broken)
        }
        return result
    }

    private func description(_ drawn: [Series]) -> String {
        drawn.map { curve in
            let finite = curve.points.filter(\.y.isFinite)
            guard let first = finite.first, let last = finite.last,
                let low = finite.map(\.y).min(), let high = finite.map(\.y).max()
            else { return "\(curve.name): no finite value." }
            let lost = curve.points.count - finite.count
            return "\(curve.name): from \(ChartScale.label(first.y)) to \(ChartScale.label(last.y)), lowest "
                + "\(ChartScale.label(low)), highest \(ChartScale.label(high))"
                + (lost > 0 ? ", \(lost) values not finite." : ".")
        }.joined(separator: " ")
    }

    /// The values at a few places.
    private func table(_ drawn: [Series]) -> String {
        let end = drawn.flatMap { $0.points.map(\.x) }.filter(\.isFinite).max() ?? 0
        let places = (1...8).map { end * Double($0) / 8 }
        let head = drawn.map { "<th scope=\"col\">\(escaped($0.name))</th>" }.joined()
        let rows = places.map { place in
            let cells = drawn.map { curve in
                let value = curve.points.last { $0.x <= place }?.y
                return "<td>\(value.map(ChartScale.label) ?? "")</td>"
            }.joined()
            return "<tr><th scope=\"row\">\(ChartScale.label(place))</th>\(cells)</tr>"
        }.joined(separator: "\n")
        return "<details><summary>Numbers: \(escaped(title))</summary><div class=\"wide\"><table><thead><tr>"
            + "<th scope=\"col\">tokens</th>\(head)</tr></thead><tbody>\n\(rows)</tbody></table></div></details>\n"
    }

    private static func place(_ value: Double) -> String {
        let tenths = Int((value * 10).rounded())
        return tenths % 10 == 0 ? "\(tenths / 10)" : "\(Double(tenths) / 10)"
    }
}
