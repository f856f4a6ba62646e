// Server-sent events (WHATWG HTML, section 9.2.6) from bytes that may be hostile.

/// Splits a stream of server-sent events into their data, within bounds. Names, ids and times of retry are passed over: the
/// APIs that are read here do not use them.
struct EventStreamParser {
    struct Limits {
        /// Of one line, and of the data of one event.
        var bytes = 1 << 20
    }

    private let limits: Limits
    private var line: [UInt8] = []
    private var data: [UInt8]?
    /// A line ended in CR: LF would belong to it.
    private var endedInReturn = false
    /// Bytes of a byte order mark that may still come.
    private var mark: ArraySlice<UInt8> = [0xEF, 0xBB, 0xBF]

    init(limits: Limits = Limits()) { self.limits = limits }

    /// Takes more of the stream.
    /// - Returns: the data of the events that are complete now.
    /// - Throws: ``UpstreamError/malformed(what:expected:found:)`` for a line or an event that is too long. The parser is of no
    ///   use afterwards.
    mutating func push(_ bytes: some Collection<UInt8>) throws(UpstreamError) -> [[UInt8]] {
        var events: [[UInt8]] = []
        for byte in bytes {
            if let next = mark.first {
                if byte == next {
                    mark.removeFirst()
                    continue
                }
                // It was none, or only its beginning.
                line += ([0xEF, 0xBB, 0xBF] as [UInt8]).dropLast(mark.count)
                mark = []
            }
            switch byte {
            case UInt8(ascii: "\n") where endedInReturn: endedInReturn = false
            case UInt8(ascii: "\n"), UInt8(ascii: "\r"):
                endedInReturn = byte == UInt8(ascii: "\r")
                if let event = try endLine() { events.append(event) }
            default:
                endedInReturn = false
                guard line.count < limits.bytes else { throw tooLong("line") }
                line.append(byte)
            }
        }
        return events
    }

    /// Takes the end of the stream.
    /// - Returns: the data of an event whose lines are whole, though the empty line after it is missing. A line without an end
    ///   was cut, and says nothing.
    mutating func finish() -> [UInt8]? {
        defer { data = nil }
        return data
    }

    private mutating func endLine() throws(UpstreamError) -> [UInt8]? {
        defer { line.removeAll(keepingCapacity: true) }
        if line.isEmpty {
            defer { data = nil }
            return data
        }
        let colon = line.firstIndex(of: UInt8(ascii: ":")) ?? line.endIndex
        guard line[..<colon].elementsEqual("data".utf8) else { return nil }
        var value = line[colon...].dropFirst()
        if value.first == UInt8(ascii: " ") { value = value.dropFirst() }
        // Several lines of data are one text.
        var text = data.map { $0 + [UInt8(ascii: "\n")] } ?? []
        guard text.count + value.count <= limits.bytes else { throw tooLong("event") }
        text += value
        data = text
        return nil
    }

    private func tooLong(_ what: String) -> UpstreamError {
        .malformed(what: "a \(what) of the stream", expected: "at most \(limits.bytes) bytes", found: "more")
    }
}
