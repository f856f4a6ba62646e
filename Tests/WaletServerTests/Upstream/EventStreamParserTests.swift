import Testing

@testable import WaletServer

@Suite struct EventStreamParserTests {
    private static func events(_ text: String, bytesAtOnce: Int = .max) throws -> [String] {
        var parser = EventStreamParser()
        var events: [[UInt8]] = []
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            events += try parser.push(rest.prefix(bytesAtOnce))
            rest = rest.dropFirst(min(bytesAtOnce, rest.count))
        }
        if let last = parser.finish() { events.append(last) }
        return events.map { String(decoding: $0, as: UTF8.self) }
    }

    @Test(arguments: ["\n", "\r\n", "\r"], [1, 2, 3, 1000])
    func linesMayEndInAnyWayAndComeInAnyPieces(end: String, size: Int) throws {
        let text = [
            ": comment", "event: a", "data: one", "data:two", "id: 7", "", "data", "", "retry: 3", "", "data:  x", "",
            "",
        ]
        .joined(separator: end)
        #expect(try Self.events(text, bytesAtOnce: size) == ["one\ntwo", "", " x"])
    }

    @Test func aByteOrderMarkIsPassedOverAndHalfOfOneIsNot() throws {
        #expect(try Self.events("\u{FEFF}data: a\n\n", bytesAtOnce: 1) == ["a"])
        var parser = EventStreamParser()
        let events = try parser.push([0xEF, 0xBB] + Array("data: a\n\ndata: b\n\n".utf8))
        #expect(events == [Array("b".utf8)])
    }

    @Test func eventsWithoutDataAreNone() throws {
        #expect(try Self.events(": ping\n\nevent: x\n\n\n\ndata: a\n\n") == ["a"])
    }

    @Test func theLastLineCountsOnlyWhereItIsWhole() throws {
        #expect(try Self.events("data: a\n\ndata: b\n") == ["a", "b"])
        #expect(try Self.events("data: a\n\ndata: b") == ["a"])
    }

    @Test func linesAndEventsAreBounded() throws {
        var limits = EventStreamParser.Limits()
        limits.bytes = 100
        let line = [UInt8](repeating: 0x61, count: 101)
        #expect(throws: UpstreamError.self) {
            var parser = EventStreamParser(limits: limits)
            _ = try parser.push(line)
        }
        #expect(throws: UpstreamError.self) {
            var parser = EventStreamParser(limits: limits)
            for _ in 0..<20 { _ = try parser.push(Array("data: 1234567890\n".utf8)) }
        }
        // Comments without an end of all are no event.
        var parser = EventStreamParser(limits: limits)
        for _ in 0..<1000 { #expect(try parser.push(Array(": ping\n\n".utf8)).isEmpty) }
    }

    @Test(arguments: UpstreamFixtures.streams)
    func recordedStreamsAreTheSameInAnyPieces(file: String) throws {
        let text = try UpstreamFixtures.text(file)
        let whole = try Self.events(text)
        #expect(whole.count > 2)
        for size in [1, 7, 64] { #expect(try Self.events(text, bytesAtOnce: size) == whole) }
    }
}
