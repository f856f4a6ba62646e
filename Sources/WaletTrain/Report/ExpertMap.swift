// Which experts work: one cell an expert, as dark as its load.

/// The load of each expert over the last records of a run.
struct ExpertMap {
    let id: String
    let title: String
    /// Load of each expert by the mean of its layer's, so that 1 is balanced. [sparse layers][experts]
    let loads: [[Double]]

    init(id: String, run: TrainingRun) {
        self.id = id
        title = "Expert load, \(run.name)"
        loads = Self.loads(run.steps)
    }

    /// Loads over the last tenth of the records, at least one.
    static func loads(_ steps: [StepMetrics]) -> [[Double]] {
        let last = steps.suffix(max(1, steps.count / 10))
        guard let shape = last.last?.expertTokens.map(\.count), !shape.isEmpty else { return [] }
        var sums = shape.map { [Double](repeating: 0, count: $0) }
        for step in last where step.expertTokens.map(\.count) == shape {
            for (layer, tokens) in step.expertTokens.enumerated() {
                for (expert, count) in tokens.enumerated() { sums[layer][expert] += Double(count) }
            }
        }
        return sums.map { layer in
            let mean = layer.reduce(0, +) / Double(max(1, layer.count))
            return layer.map { mean > 0 ? $0 / mean : 0 }
        }
    }

    var html: String {
        let columns = loads.map(\.count).max() ?? 0
        guard columns > 0 else { return "" }
        let dead = loads.reduce(0) { $0 + $1.count { $0 == 0 } }
        let low = loads.flatMap { $0 }.min() ?? 0
        let high = loads.flatMap { $0 }.max() ?? 0
        let description =
            "\(loads.count) layers of \(columns) experts. Load is 1 where it is balanced; here it is from "
            + "\(ChartScale.label(low)) to \(ChartScale.label(high)). \(dead) experts took no token."
        var svg =
            "<svg viewBox=\"0 0 \(40 + columns * 14) \(loads.count * 14 + 4)\" role=\"img\" "
            + "aria-labelledby=\"\(id)-t \(id)-d\">\n<title id=\"\(id)-t\">\(escaped(title))</title>\n"
            + "<desc id=\"\(id)-d\">\(escaped(description))</desc>\n"
        for (layer, experts) in loads.enumerated() {
            svg += "<text class=\"tick\" text-anchor=\"end\" x=\"34\" y=\"\(layer * 14 + 12)\">\(layer + 1)</text>"
            for (expert, load) in experts.enumerated() {
                let place = "x=\"\(40 + expert * 14)\" y=\"\(layer * 14 + 2)\" width=\"12\" height=\"12\""
                let name = "<title>layer \(layer + 1), expert \(expert + 1): \(ChartScale.label(load))</title>"
                // Twice the balanced load is as dark as it gets.
                let share = Int((min(load, 2) * 50).rounded())
                svg +=
                    load == 0
                    ? "<rect class=\"dead\" \(place)>\(name)</rect>"
                    : "<rect class=\"cell\" fill-opacity=\"\(share == 100 ? "1" : share < 10 ? ".0\(share)" : ".\(share)")\" \(place)>"
                        + "\(name)</rect>"
            }
            svg += "\n"
        }
        let rows = loads.enumerated().map { layer, experts in
            "<tr><th scope=\"row\">\(layer + 1)</th>"
                + experts.map { "<td>\(ChartScale.label($0))</td>" }.joined() + "</tr>"
        }.joined(separator: "\n")
        let head = (1...columns).map { "<th scope=\"col\">\($0)</th>" }.joined()
        return "<figure id=\"\(id)\"><h3>\(escaped(title))</h3>\n\(svg)</svg>\n<p>\(escaped(description)) Layers with "
            + "experts are numbered from 1; a cell with a broken border is a dead expert.</p>\n<details><summary>Numbers: "
            + "\(escaped(title))</summary><div class=\"wide\"><table><thead><tr><th scope=\"col\">layer</th>\(head)</tr>"
            + "</thead><tbody>\n\(rows)</tbody></table></div></details></figure>\n"
    }
}
