// One HTML page about one run or several, with everything in it: it can be mailed, kept, and opened without a network.

import Foundation

/// A report on training runs.
///
/// ```swift
/// let runs = try ["runs/a", "runs/b"].map { try TrainingRun(folder: $0) }
/// try TrainingReport(runs).write(to: "report.html")
/// ```
public struct TrainingReport: Sendable {
    public let runs: [TrainingRun]
    public let comparison: RunComparison

    /// - Parameter runs: at least one; those of the same name are told apart by a number.
    public init(_ runs: [TrainingRun]) {
        precondition(!runs.isEmpty)
        var runs = runs
        for index in runs.indices.dropFirst() {
            let name = runs[index].name
            var number = 1
            while runs[..<index].contains(where: { $0.name == runs[index].name }) {
                number += 1
                runs[index].name = "\(name) (\(number))"
            }
        }
        self.runs = runs
        comparison = RunComparison(runs)
    }

    /// Writes the page as a whole.
    /// - Throws: ``StorageError``; a file that was there is then as it was.
    public func write(to path: String) throws(StorageError) {
        let (folder, name) = StorageFolder.parts(of: path)
        try StorageFolder(folder, create: false).put(name, Array(html.utf8))
    }

    /// The page.
    public var html: String {
        let title = "Training: " + runs.map(\.name).joined(separator: ", ")
        return """
            <!doctype html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
            <meta name="color-scheme" content="light dark">
            <title>\(escaped(title))</title>
            <style>
            \(ReportStyle.sheet)
            </style>
            </head>
            <body>
            <main>
            <h1>\(escaped(title))</h1>
            \(summary)
            \(differences)
            \(reinforcement)
            <h2>Loss</h2>
            <div class="charts">
            \(chart("loss", "Training loss", "nats a token") { $0.loss })
            \(validation)
            </div>
            <h2>Attention</h2>
            <div class="charts">
            \(logits)
            \(chart("clips", "Heads changed by QK-Clip", "heads a step", startsAtZero: true, ifAny: \.clippedHeads) {
                Double($0.clippedHeads.reduce(0) { $0 &+ $1 })
            })
            \(runs.enumerated().map { layerLogits($0, $1) }.joined())
            </div>
            \(experts)
            <h2>Optimization</h2>
            <div class="charts">
            \(chart("norm", "Gradient norm before the limit", "norm", isLogarithmic: true) { $0.gradientNorm })
            \(chart("rate", "Learning rate", "rate", startsAtZero: true) { $0.learningRate })
            \(speed)
            </div>
            \(runs.map(details).joined())
            </main>
            </body>
            </html>

            """
    }

    // MARK: Tables

    private var summary: String {
        func cell(_ value: Double?, _ digits: Int = 4) -> String {
            "<td>\(value.map { ProgressLine.fixed($0, digits) } ?? "")</td>"
        }
        func count(_ value: Double?) -> String { "<td>\(value.map(ProgressLine.grouped) ?? "")</td>" }
        let first = comparison.summaries.first?.tokensToCommon
        let rows = comparison.summaries.map { run in
            let cells: [String] = [
                count(Double(run.steps)), count(Double(run.tokens)), cell(run.loss.isFinite ? run.loss : nil),
                cell(run.bestBitsPerByte),
                count(run.bestTokens.map { Double($0) }), count(run.tokensToCommon),
                cell(Self.ratio(run.tokensToCommon, first), 3), cell(run.maximumLogit, 1), count(Double(run.clips)),
                count(Double(run.deadExperts)), count(run.tokensPerSecond),
            ]
            return "<tr><th scope=\"row\">\(escaped(run.name))</th>\(cells.joined())</tr>"
        }.joined(separator: "\n")
        let common =
            comparison.commonBitsPerByte.map {
                "<p>Every run reached \(ProgressLine.fixed($0, 4)) bits per byte on its validation split; the table says "
                    + "after how many tokens, and the ratio to the first run.</p>"
            } ?? ""
        let heads = [
            "run", "steps", "tokens", "last loss", "best bits/byte", "at tokens", "tokens to common", "ratio",
            "largest logit", "clips", "dead experts", "tokens/s",
        ].map { "<th scope=\"col\">\($0)</th>" }.joined()
        return "<div class=\"wide\"><table><caption>What the runs came to</caption><thead><tr>\(heads)</tr></thead>"
            + "<tbody>\n\(rows)</tbody></table></div>\n\(common)"
    }

    private static func ratio(_ value: Double?, _ base: Double?) -> Double? {
        guard let value, let base, base > 0 else { return nil }
        return value / base
    }

    private var differences: String {
        guard runs.count > 1, !comparison.differences.isEmpty else { return "" }
        let heads = runs.map { "<th scope=\"col\">\(escaped($0.name))</th>" }.joined()
        let rows = comparison.differences.map { key, values in
            "<tr><th scope=\"row\">\(escaped(key))</th>"
                + values.map { "<td>\(escaped($0 ?? ""))</td>" }.joined() + "</tr>"
        }.joined(separator: "\n")
        return "<div class=\"wide\"><table><caption>Where the recipes differ</caption><thead><tr>"
            + "<th scope=\"col\">key</th>\(heads)</tr></thead><tbody>\n\(rows)</tbody></table></div>\n"
    }

    private func details(_ run: TrainingRun) -> String {
        var html = "<h2>\(escaped(run.name))</h2>\n"
        let events = run.journal.compactMap { record -> String? in
            guard case .event(let step, _, let text) = record else { return nil }
            return "<li>step \(step): \(escaped(text))</li>"
        }
        if !events.isEmpty { html += "<h3>What happened</h3>\n<ul>\(events.joined(separator: "\n"))</ul>\n" }
        if !run.samples.isEmpty {
            html += "<h3>What it wrote</h3>\n"
            // The first, to see how far it has come, and the last ones.
            for sample in run.samples.prefix(1) + run.samples.dropFirst().suffix(3) {
                html +=
                    "<p>step \(sample.step)</p><pre><b>\(escaped(sample.prompt))</b>\(escaped(sample.text))</pre>\n"
            }
        }
        if let recipe = run.recipe {
            html +=
                "<details><summary>Recipe: \(escaped(run.name))</summary><pre>\(escaped(recipe.yaml))</pre></details>\n"
        }
        return html
    }

    // MARK: Charts

    private func chart(
        _ id: String, _ title: String, _ unit: String, isLogarithmic: Bool = false, startsAtZero: Bool = false,
        ifAny part: KeyPath<StepMetrics, [Int]>? = nil, _ value: (StepMetrics) -> Double
    ) -> String {
        LineChart(
            id: id, title: title, unit: unit,
            series: runs.map { run in
                let steps = part.map { part in run.steps.filter { !$0[keyPath: part].isEmpty } } ?? run.steps
                return .init(name: run.name, points: steps.map { (Double($0.tokens), value($0)) })
            }, isLogarithmic: isLogarithmic, startsAtZero: startsAtZero
        ).html
    }

    private var validation: String {
        LineChart(
            id: "validation", title: "Validation", unit: "bits a byte",
            series: runs.map { run in
                .init(name: run.name, points: run.validations.map { (Double($0.tokens), $0.bitsPerByte) })
            }
        ).html
    }

    private var logits: String {
        let thresholds = Set(
            runs.compactMap { run in
                run.recipe.flatMap { $0.training.optimizer == .muonclip ? $0.training.clipThreshold : nil }
            })
        return LineChart(
            id: "logits", title: "Largest attention logit of all layers", unit: "logit",
            series: runs.map { run in
                .init(
                    name: run.name,
                    points: run.steps.compactMap { step in
                        step.maximumLogits.max().map { (Double(step.tokens), $0) }
                    })
            }, isLogarithmic: true,
            threshold: thresholds.count == 1 ? thresholds.first.map { ($0, "tau \(ChartScale.label($0))") } : nil
        ).html
    }

    private func layerLogits(_ index: Int, _ run: TrainingRun) -> String {
        let layers = run.steps.map(\.maximumLogits.count).max() ?? 0
        // More curves than this cannot be told apart.
        let shown = layers <= 12 ? Array(0..<layers) : (0..<12).map { $0 * (layers - 1) / 11 }
        return LineChart(
            id: "logits-\(index)", title: "Largest attention logit by layer, \(run.name)", unit: "logit",
            series: shown.map { layer in
                .init(
                    name: "layer \(layer)",
                    points: run.steps.compactMap { step in
                        step.maximumLogits.indices.contains(layer)
                            ? (Double(step.tokens), step.maximumLogits[layer]) : nil
                    })
            }, isLogarithmic: true
        ).html
    }

    private var experts: String {
        guard runs.contains(where: { $0.steps.contains { !$0.expertTokens.isEmpty } }) else { return "" }
        let curves = [
            LineChart(
                id: "load", title: "Load of the busiest expert", unit: "by its layer's mean",
                series: runs.map { run in
                    .init(
                        name: run.name,
                        points: run.steps.compactMap { step in
                            step.largestExpertLoad.map { (Double(step.tokens), $0) }
                        })
                }, startsAtZero: true
            ).html,
            LineChart(
                id: "dead", title: "Dead experts", unit: "experts without a token",
                series: runs.map { run in
                    .init(
                        name: run.name,
                        points: run.steps.filter { !$0.expertTokens.isEmpty }.map {
                            (Double($0.tokens), Double($0.deadExperts))
                        })
                }, startsAtZero: true
            ).html,
        ]
        let maps = runs.enumerated().map { ExpertMap(id: "experts-\($0)", run: $1).html }
        return "<h2>Experts</h2>\n<div class=\"charts\">\n\((curves + maps).joined())</div>\n"
    }

    private var speed: String {
        LineChart(
            id: "speed", title: "Speed", unit: "tokens a second",
            series: runs.map { run in
                // The journal knows steps alone.
                let tokens = Double(run.steps.last?.tokens ?? 0) / Double(max(1, run.steps.last?.step ?? 1))
                return .init(
                    name: run.name,
                    points: run.journal.compactMap { record in
                        guard case .speed(let speed) = record else { return nil }
                        return (Double(speed.step) * tokens, speed.tokensPerSecond)
                    })
            }, startsAtZero: true
        ).html
    }
}
