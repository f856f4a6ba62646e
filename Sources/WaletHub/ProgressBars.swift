// Drawing a pull: events in, text for standard error out. No clock and no terminal of its own.

/// The bars of a pull, one a file under way and one for all, or a line every few seconds where nobody watches.
///
/// ```swift
/// var bars = ProgressBars(width: 100, isTerminal: true)
/// // for each event, `now` in seconds from whatever start:
/// if let text = bars.draw(event, at: now) { standardError.write(text) }
/// ```
public struct ProgressBars: Sendable {
    private struct Row {
        var done = 0
        var total: Int?
        var speed = 0.0
        /// What the row says instead of speed and time left.
        var note: String?
    }

    private let width: Int
    private let isTerminal: Bool
    /// Seconds between two drawings.
    private let interval: Double
    private var order: [String] = []
    private var rows: [String: Row] = [:]
    private var title = ""
    private var files = 0
    private var filesDone = 0
    private var bytes = 0
    /// Bytes of files that were here before or have finished.
    private var settled = 0
    private var history: [(time: Double, bytes: Int)] = []
    private var lastDrawn = -Double.infinity
    private var linesOnScreen = 0

    /// - Parameters:
    ///   - width: columns of the terminal; lines are never longer.
    ///   - isTerminal: whether standard error is one, and can move its cursor.
    ///   - interval: seconds between two drawings; by default a tenth on a terminal, else five.
    public init(width: Int = 80, isTerminal: Bool, interval: Double? = nil) {
        self.width = max(width, 20)
        self.isTerminal = isTerminal
        self.interval = interval ?? (isTerminal ? 0.1 : 5)
    }

    /// Takes in an event without drawing.
    public mutating func take(_ event: PullEvent, at seconds: Double) {
        switch event {
        case .planned(let repository, let commit, let files, let bytes, let bytesHere):
            title = repository + (commit.map { " at \($0.prefix(12))" } ?? "")
            self.files = files
            self.bytes = bytes
            settled = bytesHere
            // Files on the disk are checked before the plan stands.
            order = []
            rows = [:]
        case .checking(let file):
            note(file, "checking")
        case .progress(let progress):
            var row = rows[progress.file] ?? Row()
            if rows[progress.file] == nil {
                order.append(progress.file)
                // What an earlier pull left is no speed of this one.
                for index in history.indices { history[index].bytes += progress.bytesDone }
            }
            row.done = progress.bytesDone
            row.total = progress.bytesTotal
            row.speed = progress.bytesPerSecond.isFinite ? max(progress.bytesPerSecond, 0) : 0
            row.note = nil
            rows[progress.file] = row
        case .retrying(let file, let reason, _):
            note(file, reason)
        case .finished(let file, let bytes):
            close(file)
            filesDone += 1
            settled += bytes
        case .completed:
            order = []
            rows = [:]
        }
        history.append((seconds, doneBytes))
        while let first = history.first, history.count > 2, seconds - first.time > 10 { history.removeFirst() }
        if history.count > 512 { history = history.enumerated().filter { $0.offset % 2 == 0 }.map(\.element) }
    }

    private mutating func note(_ file: String, _ note: String) {
        if rows[file] == nil { order.append(file) }
        rows[file, default: Row()].note = note
    }

    private mutating func close(_ file: String) {
        order.removeAll { $0 == file }
        rows[file] = nil
    }

    private var doneBytes: Int { rows.values.reduce(settled) { $0 + $1.done } }

    /// Bytes a second of all files together over the last ten seconds.
    private var speed: Double {
        guard let first = history.first, let last = history.last, last.time > first.time else { return 0 }
        return max(Double(last.bytes - first.bytes) / (last.time - first.time), 0)
    }

    /// The bars as they stand: one a file under way, and the total.
    public func lines() -> [String] {
        var lines = order.compactMap { file in
            rows[file].map { row in
                bar(clean(file), done: row.done, total: row.total, speed: row.speed, note: row.note.map(clean))
            }
        }
        lines.append(bar("\(filesDone) of \(files) files", done: doneBytes, total: bytes, speed: speed, note: nil))
        return lines
    }

    /// One line on the whole.
    public func summary() -> String {
        let percent = bytes > 0 ? Int(Double(doneBytes) / Double(bytes) * 100) : 100
        return String(
            "\(title): \(percent)%, \(ByteCount.text(doneBytes)) of \(ByteCount.text(bytes)), \(Self.rate(speed))\(left)"
                .prefix(max(width, 200)))
    }

    private var left: String {
        guard let time = Self.timeLeft(done: doneBytes, total: bytes, speed: speed) else { return "" }
        return ", \(time) left"
    }

    /// Takes in an event and returns what to write now, if anything. On a terminal that is the bars, over the ones of the
    /// last time; otherwise whole lines only: the plan, each file that has arrived, each thing that went wrong, and the
    /// whole every few seconds.
    public mutating func draw(_ event: PullEvent, at seconds: Double) -> String? {
        take(event, at: seconds)
        return isTerminal ? drawBars(event, seconds) : drawLine(event, seconds)
    }

    private mutating func drawBars(_ event: PullEvent, _ seconds: Double) -> String? {
        if case .completed(let model, let files, let bytes, let changed) = event {
            defer { linesOnScreen = 0 }
            return eraser() + Self.closing(model, files, bytes, changed) + "\n"
        }
        guard seconds - lastDrawn >= interval else { return nil }
        lastDrawn = seconds
        let lines = lines()
        defer { linesOnScreen = lines.count }
        return eraser() + lines.map { $0 + "\n" }.joined()
    }

    /// Clears the bars from the screen, for an error message or another line to follow.
    public mutating func clear() -> String {
        defer { linesOnScreen = 0 }
        return eraser()
    }

    /// Goes up to the first bar and clears everything from there.
    private func eraser() -> String { linesOnScreen > 0 ? "\u{1B}[\(linesOnScreen)F\u{1B}[J" : "" }

    private mutating func drawLine(_ event: PullEvent, _ seconds: Double) -> String? {
        switch event {
        case .planned(_, _, let files, let bytes, let bytesHere):
            lastDrawn = seconds
            let here = bytesHere > 0 ? ", \(ByteCount.text(bytesHere)) here already" : ""
            return "\(title): \(files) files, \(ByteCount.text(bytes))\(here)\n"
        case .finished(let file, let bytes):
            return "\(clean(file)): \(ByteCount.text(bytes))\n"
        case .retrying(let file, let reason, _):
            return "\(clean(file)): \(clean(reason))\n"
        case .completed(let model, let files, let bytes, let changed):
            return Self.closing(model, files, bytes, changed) + "\n"
        case .checking, .progress:
            guard seconds - lastDrawn >= interval else { return nil }
            lastDrawn = seconds
            return summary() + "\n"
        }
    }

    private static func closing(_ model: String, _ files: Int, _ bytes: Int, _ changed: Bool) -> String {
        changed
            ? "\(clean(model)): \(files) files, \(ByteCount.text(bytes))" : "\(clean(model)): already complete"
    }

    /// A bar of exactly `width` columns at most: name, bar, percent, bytes, speed and time left.
    private func bar(_ name: String, done: Int, total: Int?, speed: Double, note: String?) -> String {
        let fraction = total.map { $0 > 0 ? min(max(Double(done) / Double($0), 0), 1) : 1 }
        let percent = fraction.map { Self.pad("\(Int($0 * 100))%", to: 4) } ?? "   ?"
        let time = Self.timeLeft(done: done, total: total, speed: speed)
        let tail = note ?? "\(ByteCount.text(done)) \(Self.rate(speed))" + (time.map { " \($0)" } ?? "")
        // A bar that is too narrow to read is left out.
        let nameWidth = min(max(width / 3, 10), 40)
        let barWidth = min(width - nameWidth - 38, 40)
        let head = Self.fit(name, nameWidth)
        guard barWidth >= 5, let fraction else { return String("\(head) \(percent) \(tail)".prefix(width)) }
        let filled = Int(fraction * Double(barWidth))
        let drawn = String(repeating: "█", count: filled) + String(repeating: "░", count: barWidth - filled)
        return String("\(head) \(drawn) \(percent) \(tail)".prefix(width))
    }

    /// The end of a long name, which tells files in parts apart; a short one filled up with spaces.
    private static func fit(_ name: String, _ width: Int) -> String {
        name.count <= width
            ? name + String(repeating: " ", count: width - name.count) : "…" + name.suffix(width - 1)
    }

    private static func pad(_ text: String, to width: Int) -> String {
        String(repeating: " ", count: max(width - text.count, 0)) + text
    }

    private static func rate(_ speed: Double) -> String {
        let tenths = Int((min(max(speed, 0), 1e15) / 1e5).rounded())
        return "\(tenths / 10).\(tenths % 10) MB/s"
    }

    private static func timeLeft(done: Int, total: Int?, speed: Double) -> String? {
        guard let total, total > done, speed >= 1 else { return nil }
        let seconds = Int((Double(total - done) / speed).rounded(.up))
        if seconds >= 360_000 { return nil }
        if seconds >= 3600 { return "\(seconds / 3600)h\(pad2(seconds / 60 % 60))m" }
        return "\(seconds / 60):\(pad2(seconds % 60))"
    }

    private static func pad2(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
}
