import Testing

@testable import WaletServer

@Suite struct MetricTests {
    @Test func `Many tasks count at once and nothing is lost`() async {
        let counter = Counter()
        let gauge = Gauge()
        let histogram = Histogram([1, 2, 3])
        await withTaskGroup(of: Void.self) { group in
            for task in 0..<16 {
                group.addTask {
                    for step in 0..<2000 {
                        counter.add(0.5)
                        gauge.add(step % 2 == 0 ? 1 : -1)
                        histogram.observe(Double(task % 4) + 0.5)
                    }
                }
            }
        }
        #expect(counter.value == 16_000)
        #expect(gauge.value == 0)
        let samples = histogram.samples([])
        #expect(samples.map(\.value) == [8000, 16_000, 24_000, 32_000, 32_000, 64_000])
    }

    @Test func `A counter takes no amount that would make it fall or no number`() {
        let counter = Counter()
        for amount in [1.0, -5, Double.nan, Double.infinity, -Double.infinity, 0, 2] { counter.add(amount) }
        #expect(counter.value == 3)
    }

    @Test func `A histogram takes finite values only`() {
        let histogram = Histogram([1])
        for value in [Double.nan, Double.infinity, -Double.infinity, -1, 1, 1.5] { histogram.observe(value) }
        #expect(histogram.samples([]).map(\.value) == [2, 3, 3, 1.5])
    }

    @Test func `A label shows the first values up to its limit, and folds the rest into one`() {
        let label = LabelBound("key", first: 3)
        #expect(["a", "b", "c", "d", "a", "e"].map(label.shown) == ["a", "b", "c", "other", "a", "other"])
    }

    @Test func `A value that is too long is not shown even while there is room`() {
        let label = LabelBound("key", first: 3)
        #expect(label.shown(String(repeating: "x", count: 128)) != "other")
        #expect(label.shown(String(repeating: "x", count: 129)) == "other")
    }

    @Test func `A closed label shows the values that it was told, and others once it is told anew`() {
        let label = LabelBound("model", only: ["k2"])
        #expect(label.shown("k2") == "k2")
        #expect(label.shown("r1") == "other")
        label.admit(only: ["r1"])
        #expect(label.shown("k2") == "other")
        #expect(label.shown("r1") == "r1")
    }

    @Test func `A family stops growing at its limit whatever its labels' values are`() {
        let family = MetricFamily(
            "x", "", labels: [LabelBound("a", first: 1000), LabelBound("b", first: 1000)], limit: 100,
            make: Counter.init)
        for first in 0..<50 {
            for second in 0..<50 { family("\(first)", "\(second)").add() }
        }
        let samples = family.collect()[0].samples
        #expect(samples.count == 101)
        #expect(samples.reduce(0) { $0 + $1.value } == 2500)
        #expect(samples.first { $0.labels.allSatisfy { $0.value == "other" } }?.value == 2400)
    }

    @Test func `A family without labels shows zero from the start`() {
        let family = MetricFamily("x", "", labels: [], make: Gauge.init)
        #expect(family.collect()[0].samples == [MetricSample("", [], 0)])
    }
}
