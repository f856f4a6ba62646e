import Testing
import WaletHub

@Suite struct ProgressBarsTests {
    private let plan = PullEvent.planned(
        repository: "owner/model", commit: "0123456789abcdef", files: 3, bytes: 1_000_000_000, bytesHere: 0)

    private func progress(_ file: String, _ done: Int, _ total: Int, _ speed: Double = 50e6) -> PullEvent {
        .progress(.init(file: file, bytesDone: done, bytesTotal: total, bytesPerSecond: speed))
    }

    @Test func drawsABarAFileAndTheTotal() {
        var bars = ProgressBars(width: 100, isTerminal: true)
        bars.take(plan, at: 0)
        bars.take(progress("model-00001-of-00002.safetensors", 0, 400_000_000), at: 0)
        bars.take(progress("model-00001-of-00002.safetensors", 200_000_000, 400_000_000), at: 4)
        bars.take(progress("config.json", 500, 1000, 100), at: 4)
        let lines = bars.lines()
        #expect(lines.count == 3)
        #expect(lines[0].hasPrefix("model-00001-of-00002.safetensors "))
        #expect(lines[0].contains(" 50% 200 MB 50.0 MB/s 0:04"))
        #expect(lines[1].contains(" 50% 500 B 0.0 MB/s 0:05"))
        #expect(lines[2].hasPrefix("0 of 3 files"))
        #expect(lines[2].contains(" 20% 200 MB 50.0 MB/s 0:16"))
        bars.take(.finished(file: "config.json", bytes: 1000), at: 5)
        #expect(bars.lines().count == 2)
        #expect(bars.lines()[1].hasPrefix("1 of 3 files"))
    }

    @Test func redrawsInPlaceAndNotTooOften() {
        var bars = ProgressBars(width: 80, isTerminal: true)
        let first = bars.draw(plan, at: 0)
        #expect(first?.contains("\u{1B}") == false)
        #expect(bars.draw(progress("a.json", 1, 10), at: 0.05) == nil)
        let second = bars.draw(progress("a.json", 2, 10), at: 0.2)
        #expect(second?.hasPrefix("\u{1B}[1F\u{1B}[J") == true)
        let last = bars.draw(.completed(model: "owner/model", files: 3, bytes: 10, changed: true), at: 0.21)
        #expect(last == "\u{1B}[2F\u{1B}[Jowner/model: 3 files, 10 B\n")
        #expect(bars.clear() == "")
    }

    @Test func writesLinesWhereNobodyWatches() {
        var bars = ProgressBars(isTerminal: false)
        #expect(bars.draw(plan, at: 0) == "owner/model at 0123456789ab: 3 files, 1.0 GB\n")
        #expect(bars.draw(progress("a", 0, 1_000_000_000), at: 1) == nil)
        #expect(
            bars.draw(progress("a", 600_000_000, 1_000_000_000), at: 6)
                == "owner/model at 0123456789ab: 60%, 600 MB of 1.0 GB, 100.0 MB/s, 0:04 left\n")
        #expect(bars.draw(.retrying(file: "a", reason: "it\u{1B}[2J broke", delay: .zero), at: 6.1) == "a: it\u{FFFD}[2J broke\n")
        #expect(bars.draw(.finished(file: "a", bytes: 1_000_000_000), at: 7) == "a: 1.0 GB\n")
        let end = PullEvent.completed(model: "owner/model", files: 3, bytes: 1, changed: false)
        #expect(bars.draw(end, at: 8) == "owner/model: already complete\n")
    }

    @Test func whatAnEarlierPullLeftIsNoSpeed() {
        var bars = ProgressBars(width: 100, isTerminal: true)
        bars.take(plan, at: 0)
        bars.take(progress("a", 900_000_000, 1_000_000_000, 0), at: 0)
        bars.take(progress("a", 910_000_000, 1_000_000_000, 10e6), at: 1)
        #expect(bars.lines().last?.contains(" 91% 910 MB 10.0 MB/s") == true)
    }

    @Test(arguments: [1, 20, 40, 79, 80, 200]) func noLineIsWiderThanTheTerminal(_ width: Int) {
        var bars = ProgressBars(width: width, isTerminal: true)
        bars.take(plan, at: 0)
        bars.take(progress(String(repeating: "long", count: 60), 1, 3_000_000_000_000_000, 1), at: 1)
        bars.take(.progress(.init(file: "unknown", bytesDone: 5, bytesTotal: nil, bytesPerSecond: .infinity)), at: 2)
        bars.take(.progress(.init(file: "odd", bytesDone: 50, bytesTotal: 0, bytesPerSecond: .nan)), at: 2)
        bars.take(.retrying(file: "bad", reason: String(repeating: "reason ", count: 50), delay: .zero), at: 3)
        #expect(bars.lines().count == 5)
        #expect(bars.lines().allSatisfy { $0.count <= max(width, 20) })
    }

    @Test(arguments: [
        (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_250_000, "1.3 MB"), (99_900_000, "99.9 MB"),
        (99_960_000, "100 MB"), (594_000_000_000, "594 GB"), (999_600_000, "1.0 GB"),
    ])
    func sizesForPeople(_ bytes: Int, _ text: String) {
        #expect(ByteCount.text(bytes) == text)
    }
}
