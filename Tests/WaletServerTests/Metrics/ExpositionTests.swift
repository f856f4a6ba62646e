import Foundation
import Testing

@testable import WaletServer

/// Files of the repository.
enum RepositoryFiles {
    static let root = (0..<4).reduce(URL(filePath: #filePath)) { url, _ in url.deletingLastPathComponent() }
    static let fixtures = root.appending(path: "Tests/Fixtures/server")
}

@Suite struct ExpositionTests {
    /// The metrics of Tools/make_metrics_fixtures.py.
    private func page() -> MetricsPage {
        let requests = MetricFamily(
            "demo_requests", "Requests, \"all\" of them; a \\ and\na line break.",
            labels: [LabelBound("kind", first: 10), LabelBound("route", first: 10)], make: Counter.init)
        requests("plain", "/v1/messages").add(1)
        requests("plain", "/v1/messages").add(2)
        requests("quoted \"x\"", "back\\slash").add(1e6)
        requests("", "empty label").add(0.5)
        requests("two\nlines", "größer – 你好 🐦").add(12_345_678.5)
        let latency = MetricFamily("demo_latency_seconds", "Times.", labels: [LabelBound("kind", first: 10)]) {
            Histogram([0.005, 0.1, 1, 2.5, 10, 1e6, 2.5e6])
        }
        for value in [0.001, 0.005, 0.0051, 2.5, 9.75, 1e5, 3e6] { latency("a").observe(value) }
        _ = latency("b")
        var families = requests.collect()
        let gauges: [(String, String, Double)] = [
            ("level", "A level.", -0.25), ("not_a_number", "An extreme.", .nan), ("infinite", "An extreme.", .infinity),
            ("minus_infinite", "An extreme.", -.infinity), ("tiny", "An extreme.", 1e-7),
            ("huge", "An extreme.", 1.5e300), ("million", "An extreme.", 1e6),
            ("below_million", "An extreme.", 999_999), ("zero", "An extreme.", 0),
        ]
        for (name, help, value) in gauges {
            let family = MetricFamily("demo_" + name, help, labels: [], make: Gauge.init)
            family().set(value)
            families += family.collect()
        }
        return MetricsPage(families + latency.collect())
    }

    @Test func `A page is spelled byte for byte as Prometheus' client for Python spells it`() throws {
        let file = RepositoryFiles.fixtures.appending(path: "metrics.prometheus.txt")
        #expect(page().text(.prometheus) == (try String(contentsOf: file, encoding: .utf8)))
    }

    @Test func `A page of OpenMetrics is spelled byte for byte as Prometheus' client for Python spells it`() throws {
        let file = RepositoryFiles.fixtures.appending(path: "metrics.openmetrics.txt")
        #expect(page().text(.openMetrics) == (try String(contentsOf: file, encoding: .utf8)))
    }

    @Test(
        arguments: [
            (nil, .prometheus), ("", .prometheus), ("*/*", .prometheus), ("text/plain", .prometheus),
            ("text/html,application/xhtml+xml", .prometheus), (";;q=,,=", .prometheus),
            ("application/openmetrics-text", .openMetrics),
            ("application/openmetrics-text; version=1.0.0", .openMetrics),
            ("application/openmetrics-text;q=0", .prometheus),
            ("application/openmetrics-text;q=0.3, text/plain;q=0.5", .prometheus),
            (
                "application/openmetrics-text;version=1.0.0;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,"
                    + "text/plain;version=1.0.0;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.1", .openMetrics
            ),
            ("APPLICATION/OpenMetrics-Text ; Q=0.9", .openMetrics),
        ] as [(String?, MetricsPage.Format)])
    func `The header Accept picks the format`(_ accept: String?, _ format: MetricsPage.Format) {
        #expect(MetricsPage.Format(accept: accept) == format)
    }

    @Test func `The content types are those that Prometheus names`() {
        #expect(MetricsPage.Format.prometheus.contentType == "text/plain; version=0.0.4; charset=utf-8")
        #expect(
            MetricsPage.Format.openMetrics.contentType == "application/openmetrics-text; version=1.0.0; charset=utf-8")
    }

    @Test(
        arguments: [
            (1, "1.0"), (0.1, "0.1"), (123_456, "123456.0"), (1_234_567, "1.234567e+06"), (1e15, "1e+15"),
            (9_007_199_254_740_992, "9.007199254740992e+15"), (1e16, "1e+16"), (-5_000_000, "-5000000.0"),
            (12_345_678_901, "1.2345678901e+10"), (1e-5, "1e-05"), (.leastNonzeroMagnitude, "5e-324"),
        ] as [(Double, String)])
    func `Numbers have one spelling, which reads back to the same number`(_ value: Double, _ text: String) {
        #expect(MetricsPage.spell(value) == text)
        #expect(Double(MetricsPage.spell(value)) == value)
    }
}
