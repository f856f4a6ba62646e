import Foundation
import Testing
import WaletPlan

#if canImport(FoundationXML)
    import FoundationXML
#endif

@Suite struct ChartTests {
    /// Elements of a document, by name; nil where it is not well-formed.
    private final class Counter: NSObject, XMLParserDelegate {
        var counts: [String: Int] = [:]
        var texts: [String] = []

        func parser(
            _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
            attributes: [String: String]
        ) {
            counts[name, default: 0] += 1
            for (key, value) in attributes where ["x", "y", "x1", "x2", "y1", "y2", "points"].contains(key) {
                #expect(!value.contains("nan") && !value.contains("inf"), "\(name) \(key)=\(value)")
            }
        }

        func parser(_ parser: XMLParser, foundCharacters string: String) { texts.append(string) }
    }

    private func read(_ svg: String) -> Counter? {
        let counter = Counter()
        let parser = XMLParser(data: Data(svg.utf8))
        parser.delegate = counter
        return parser.parse() ? counter : nil
    }

    @Test func aChartIsWellFormedWhateverItShows() throws {
        let hostile = "</text><script>alert(1)</script> & \" \u{1B}[2J \u{0} é"
        let chart = Chart(
            title: hostile, xLabel: hostile, yLabel: "y",
            series: [
                Chart.Series(
                    hostile, [Chart.Point(1, 2), Chart.Point(4, .infinity), Chart.Point(.nan, 1), Chart.Point(8, 5)]),
                Chart.Series("empty", []),
            ], marks: [Chart.Mark(Chart.Point(2, 3), "here"), Chart.Mark(Chart.Point(-1, 3), "nowhere")],
            isLogarithmic: true)
        let counter = try #require(read(chart.svg()))
        #expect(counter.counts["script"] == nil)
        #expect(counter.counts["polyline"] == 2)
        #expect(counter.counts["circle"] == 1)
    }

    @Test func emptyAndFlatChartsAreDrawn() throws {
        for series in [[], [Chart.Series("one", [Chart.Point(5, 0)])]] {
            for logarithmic in [false, true] {
                let chart = Chart(title: "t", xLabel: "x", yLabel: "y", series: series, isLogarithmic: logarithmic)
                #expect(read(chart.svg()) != nil)
            }
        }
    }

    @Test func aTornadoShowsTheWidestBarFirst() throws {
        let tornado = Tornado(
            title: "t", xLabel: "USD", bars: [.init("small", low: 1, high: 2), .init("wide", low: 5, high: 0.5)],
            middle: 1.5, marks: [("API", 3), ("far", 1e9)])
        #expect(tornado.bars.map(\.name) == ["wide", "small"])
        let counter = try #require(read(tornado.svg()))
        #expect(counter.texts.contains { $0.contains("API") } && counter.texts.contains("beyond the scale: far 1e+09"))
    }

    @Test func barsForATerminalFitTheirWidth() {
        let lines = TextBars.lines(
            [("a", 10, "x"), ("long name", 5, "y"), ("zero", 0, "z"), ("bad", .nan, "w")], width: 20)
        #expect(lines[0].filter { $0 == "█" }.count == 20)
        #expect(lines[1].filter { $0 == "█" }.count == 10)
        #expect(lines[2].filter { $0 == "█" }.isEmpty)
        #expect(Set(lines.map(\.count)).count == 1)
    }

    @Test func aPlansPlotMarksThisMachine() throws {
        let plan = try Plan(
            Fixtures.shape("kimi-k2-thinking"), on: .given(memory: 64e9, speed: 70e9, disk: 3e9), context: 4096,
            concurrency: 1)
        let chart = plan.chart()
        #expect(chart.series.count == 5 && chart.series.allSatisfy { $0.points.count > 40 })
        for series in chart.series {
            // More memory is never slower.
            #expect(zip(series.points, series.points.dropFirst()).allSatisfy { $0.y <= $1.y * 1.000001 })
        }
        let counter = try #require(read(chart.svg()))
        #expect(counter.texts.contains { $0.contains("here: ") })
    }
}
