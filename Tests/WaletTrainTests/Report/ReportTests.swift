import Foundation
import Testing

#if canImport(FoundationXML)
    import FoundationXML
#endif

@testable import WaletTrain

@Suite struct ReportTests {
    private func run(_ name: String, steps: Int = 200, slower: Double = 1) throws -> TrainingRun {
        var records: [MetricsRecord] = []
        for step in 1...steps {
            records.append(.step(testMetrics(step: step)))
            if step % 20 == 0 {
                let tokens = step * 4096
                records.append(
                    .validation(
                        ValidationMetrics(
                            step: step, tokens: tokens, loss: 2, bitsPerByte: 1 + slower * 1e5 / Double(tokens))))
            }
        }
        records.append(.sample(SampleMetrics(step: steps, prompt: "<p>&", text: "</pre><script>alert(1)</script>")))
        return TrainingRun(
            name: name, recipe: try Recipe(depth: 2, settings: ["training.learning_rate=\(0.001 * slower)"]),
            records: records,
            journal: [
                .event(step: 0, seconds: 0, text: "started <b>"),
                .speed(SpeedMetrics(step: 10, seconds: 1, tokensPerSecond: 5000, utilization: 0.5)),
                .speed(SpeedMetrics(step: 20, seconds: 2, tokensPerSecond: 5200, utilization: 0.5)),
            ])
    }

    @Test func thePageIsWellFormedAndNeedsNothingFromOutside() throws {
        let html = TrainingReport([try run("one <i>"), try run("two", slower: 2)]).html
        #expect(!html.contains("<script"))
        for outside in ["http://", "https://", "src=", "url(", "@import", "<link"] {
            #expect(!html.contains(outside), "\(outside)")
        }
        #expect(html.contains("default-src 'none'"))
        #expect(html.contains("&lt;/pre&gt;&lt;script&gt;") && html.contains("started &lt;b&gt;"))
        #expect(html.contains("prefers-color-scheme: dark"))
        // But for the doctype and the empty elements of the head it is XML.
        var xml = html.replacing("<!doctype html>", with: "")
        for line in html.split(separator: "\n") where line.hasPrefix("<meta ") {
            xml = xml.replacing(line, with: line.dropLast() + "/>")
        }
        let parser = XMLParser(data: Data(xml.utf8))
        let delegate = Elements()
        parser.delegate = delegate
        #expect(parser.parse(), "\(parser.parserError.map { "\($0)" } ?? "")")
        // Each chart has a title, a description and a table.
        #expect(delegate.charts >= 13)
        #expect(delegate.names["desc"] == delegate.charts)
        #expect(delegate.names["details"] == delegate.charts + 2)
        #expect(Set(delegate.ids).count == delegate.ids.count)
        #expect(delegate.references.allSatisfy { delegate.ids.contains($0) })
    }

    @Test func runsAreComparedAtWhatAllReached() throws {
        // The second run needs twice the tokens for everything.
        let comparison = RunComparison([try run("a"), try run("b", slower: 2)])
        let best = 1 + 2e5 / (200.0 * 4096)
        #expect(comparison.commonBitsPerByte == best)
        let tokens = comparison.summaries.map { $0.tokensToCommon ?? 0 }
        #expect(abs(tokens[1] / tokens[0] - 2) < 0.01)
        #expect(comparison.summaries.map(\.bestTokens) == [200 * 4096, 200 * 4096])
        #expect(comparison.summaries[0].maximumLogit == 205 && comparison.summaries[0].tokensPerSecond == 5200)
        #expect(
            comparison.differences.contains { $0.key == "training.learning_rate" && $0.values == ["0.001", "0.002"] })
        #expect(!comparison.differences.contains { $0.key == "model.layers" })
        #expect(RunComparison([TrainingRun(name: "x"), try run("y")]).commonBitsPerByte == nil)
    }

    @Test func runsOfTheSameNameAreToldApart() throws {
        let report = TrainingReport([try run("a"), try run("a"), try run("a")])
        #expect(Set(report.runs.map(\.name)).count == 3)
    }

    @Test func aRunWithoutExpertsOrValidationHasAReportToo() throws {
        let step = StepMetrics(step: 1, tokens: 10, loss: .nan, bitsPerByte: .nan, learningRate: 0, gradientNorm: .nan)
        let html = TrainingReport([TrainingRun(name: "a", records: [.step(step)])]).html
        #expect(!html.contains("<h2>Experts</h2>") && html.contains("no finite value"))
        #expect(!html.contains("NaN\"") && !html.contains("inf\""))
    }

    @Test func noPeakIsLostWhenACurveIsThinned() {
        var points = (0..<10_000).map { (x: Double($0), y: 1.0) }
        points[5003].y = 1000
        points[777].y = -5
        points[9001].y = .nan
        let thinned = LineChart.thinned(points)
        #expect(thinned.count <= 800)
        #expect(thinned.contains { $0.y == 1000 } && thinned.contains { $0.y == -5 } && thinned.contains { $0.y.isNaN })
        #expect(zip(thinned, thinned.dropFirst()).allSatisfy { $0.x < $1.x })
    }

    @Test(arguments: [
        ([0.0, 1.0], false), ([2.31, 2.32], false), ([5, 5], false), ([0, 0], false), ([-3, 1e9], false), ([], false),
        ([1, 1000], true), ([0.003, 0.004], true), ([0, -1], true), ([1e-300, 1e300], true),
        ([0x1p-1070, 0x1p-1069], false), ([-1e308, 1e308], false), ([.nan, .infinity], false),
        ([7e-5, 7.0000001e-5], false),
    ])
    func anAxisHoldsAllValuesBetweenItsTicks(values: [Double], isLogarithmic: Bool) {
        let scale = ChartScale(values, isLogarithmic: isLogarithmic)
        #expect(scale.ticks.count >= 2 && scale.ticks.count <= 21)
        #expect(zip(scale.ticks, scale.ticks.dropFirst()).allSatisfy { $0 < $1 })
        for value in values where value.isFinite && (!isLogarithmic || value > 0) {
            let place = scale.place(value)
            #expect(place.map { $0 >= -1e-9 && $0 <= 1 + 1e-9 } == true, "\(value)")
        }
    }

    @Test func anAxisOfTokensEndsWithTheRun() {
        let scale = ChartScale([4096, 6_144_000], startsAtZero: true, endsAtHighest: true)
        #expect(scale.range == 0...6_144_000 && scale.ticks == [0, 2e6, 4e6, 6e6])
    }

    @Test func labelsAreShort() {
        let labels = [0, 0.0016, 0.5, 12.5, 999, 1000, 3200, 44_000_000, 1e9, -2500, 1.5e-7, 100].map(ChartScale.label)
        #expect(
            labels == ["0", "0.0016", "0.5", "12.5", "999", "1k", "3.2k", "44M", "1B", "-2.5k", "1.5e-07", "100"])
    }

    @Test func theFileIsWrittenWhole() throws {
        let folder = TemporaryFolder()
        let report = TrainingReport([try run("a")])
        try report.write(to: folder.file("report.html"))
        #expect(try folder.read("report.html") == Array(report.html.utf8))
        #expect(throws: StorageError.self) { try report.write(to: folder.file("none/report.html")) }
    }
}

/// Counts what is in a page.
private final class Elements: NSObject, XMLParserDelegate {
    var names: [String: Int] = [:]
    var charts = 0
    var ids: [String] = []
    var references: [String] = []

    func parser(
        _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
        attributes: [String: String]
    ) {
        names[name, default: 0] += 1
        if name == "svg", attributes["role"] == "img" { charts += 1 }
        if let id = attributes["id"] { ids.append(id) }
        if let labels = attributes["aria-labelledby"] {
            references += labels.split(separator: " ").map(String.init)
        }
    }
}
