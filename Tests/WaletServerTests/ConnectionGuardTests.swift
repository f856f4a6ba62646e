import HTTPTypes
import NIOCore
import NIOEmbedded
import NIOHTTP1
import NIOHTTPTypes
import NIOHTTPTypesHTTP1
import Testing

@testable import WaletServer

/// The guard of a connection, with a clock that the tests wind.
@Suite struct ConnectionGuardTests {
    /// An HTTP/1 connection up to the application.
    private struct Connection {
        let channel = EmbeddedChannel()
        private(set) var parts: [HTTPRequestPart] = []

        init() throws {
            var limits = ConnectionLimits()
            limits.head = .seconds(10)
            limits.body = .seconds(30)
            limits.idle = .seconds(60)
            limits.linger = .seconds(5)
            limits.stall = .seconds(20)
            let pipeline = channel.pipeline.syncOperations
            try pipeline.configureHTTPServerPipeline(
                withPipeliningAssistance: false, withErrorHandling: false, withOutboundHeaderValidation: false)
            try pipeline.addHandler(HTTP1ToHTTPServerCodec(secure: false))
            try pipeline.addHandler(ConnectionGuard(limits, bodyBytes: 100))
            channel.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 1), promise: nil)
        }

        mutating func receive(_ text: String) throws {
            // What is no HTTP is an error for the application too, where it waits for a body.
            do { try channel.writeInbound(ByteBuffer(string: text)) } catch is ProtocolFault {}
            while let part = try channel.readInbound(as: HTTPRequestPart.self) { parts.append(part) }
        }

        func pass(_ time: TimeAmount) { channel.embeddedEventLoop.advanceTime(by: time) }

        func answer(_ status: HTTPResponse.Status = .ok, end: Bool = true) {
            var fields = HTTPFields()
            fields[.contentLength] = "0"
            channel.write(HTTPResponsePart.head(HTTPResponse(status: status, headerFields: fields)), promise: nil)
            if end { channel.writeAndFlush(HTTPResponsePart.end(nil), promise: nil) }
        }

        /// All that was sent since the last call.
        func sent() throws -> String {
            var text = ""
            while let buffer = try channel.readOutbound(as: ByteBuffer.self) { text += String(buffer: buffer) }
            return text
        }

        var isOpen: Bool { channel.isActive }
    }

    private static let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"
    private static let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

    @Test func aConnectionThatSaysNothingIsClosedWithoutAWord() throws {
        let connection = try Connection()
        connection.pass(.seconds(9))
        #expect(connection.isOpen)
        connection.pass(.seconds(2))
        #expect(!connection.isOpen)
        #expect(try connection.sent().isEmpty)
    }

    @Test func aHeadMustEndInTime() throws {
        var connection = try Connection()
        connection.pass(.seconds(8))
        for character in "GET / HTTP/1.1" {
            try connection.receive(String(character))
            connection.pass(.milliseconds(500))
        }
        #expect(connection.isOpen)
        connection.pass(.seconds(4))
        let text = try connection.sent()
        #expect(text.hasPrefix("HTTP/1.1 408 "))
        #expect(text.lowercased().contains("connection: close"))
        #expect(text.contains("request_timeout"))
        #expect(!connection.isOpen)
        #expect(connection.parts.isEmpty)
    }

    @Test func aBodyMustEndInTimeHoweverOftenItComes() throws {
        var connection = try Connection()
        try connection.receive(Self.head)
        for _ in 0..<9 {
            connection.pass(.seconds(3))
            try connection.receive("x")
        }
        #expect(connection.isOpen)
        connection.pass(.seconds(4))
        #expect(try connection.sent().hasPrefix("HTTP/1.1 408 "))
        #expect(!connection.isOpen)
        // What the application still says goes nowhere.
        connection.answer()
        #expect(try connection.sent().isEmpty)
    }

    @Test func anAnswerMayTakeItsTime() throws {
        var connection = try Connection()
        try connection.receive(Self.get)
        connection.pass(.hours(2))
        #expect(connection.isOpen)
        connection.answer()
        #expect(try connection.sent().hasPrefix("HTTP/1.1 200 "))
        connection.pass(.seconds(59))
        try connection.receive(Self.get)
        connection.answer()
        #expect(try connection.sent().hasPrefix("HTTP/1.1 200 "))
        connection.pass(.seconds(61))
        #expect(!connection.isOpen)
        #expect(try connection.sent().isEmpty)
    }

    @Test func aSecondHeadIsTimedFromItsFirstByte() throws {
        var connection = try Connection()
        try connection.receive(Self.get)
        connection.answer()
        _ = try connection.sent()
        connection.pass(.seconds(50))
        try connection.receive("G")
        connection.pass(.seconds(9))
        #expect(connection.isOpen)
        connection.pass(.seconds(2))
        #expect(try connection.sent().hasPrefix("HTTP/1.1 408 "))
        #expect(!connection.isOpen)
    }

    @Test func aSlowHeadBehindARequestThatIsAnsweredDoesNotCutTheAnswer() throws {
        var connection = try Connection()
        try connection.receive(Self.get)
        try connection.receive("GET")
        connection.pass(.minutes(5))
        #expect(connection.isOpen)
        connection.answer()
        #expect(try connection.sent().hasPrefix("HTTP/1.1 200 "))
        connection.pass(.seconds(11))
        #expect(try connection.sent().hasPrefix("HTTP/1.1 408 "))
        #expect(!connection.isOpen)
    }

    @Test func theRestOfARefusedBodyIsReadForAWhile() throws {
        var connection = try Connection()
        try connection.receive(Self.head)
        connection.answer(.contentTooLarge)
        let text = try connection.sent()
        #expect(text.hasPrefix("HTTP/1.1 413 "))
        #expect(text.lowercased().contains("connection: close"))
        let count = connection.parts.count
        try connection.receive("xxx")
        #expect(connection.isOpen)
        #expect(connection.parts.count == count)
        connection.pass(.seconds(6))
        #expect(!connection.isOpen)
        #expect(try connection.sent().isEmpty)
    }

    @Test func theConnectionClosesOnceARefusedBodyIsThere() throws {
        var connection = try Connection()
        try connection.receive(Self.head)
        connection.answer(.contentTooLarge)
        _ = try connection.sent()
        try connection.receive("xxxxxxxxxx" + Self.get)
        #expect(!connection.isOpen)
        #expect(try connection.sent().isEmpty)
    }

    @Test func anAnswerThatBeganIsNotFollowedByAnError() throws {
        var connection = try Connection()
        try connection.receive(Self.head)
        connection.answer(end: false)
        connection.channel.flush()
        #expect(try connection.sent().hasPrefix("HTTP/1.1 200 "))
        connection.pass(.seconds(31))
        #expect(!connection.isOpen)
        #expect(try connection.sent().isEmpty)
    }

    @Test func aFaultBehindOthersIsToldInItsTurn() throws {
        var connection = try Connection()
        try connection.receive(Self.get + Self.get + "BROKEN\r\n\r\n")
        #expect(try connection.sent().isEmpty)
        connection.answer()
        #expect(try connection.sent().hasPrefix("HTTP/1.1 200 "))
        connection.answer()
        let text = try connection.sent()
        #expect(text.hasPrefix("HTTP/1.1 200 "))
        #expect(text.contains("HTTP/1.1 400 "))
        #expect(!connection.isOpen)
    }

    @Test func aClientThatStopsReadingIsCutOff() throws {
        var connection = try Connection()
        try connection.receive(Self.get)
        connection.channel.isWritable = false
        connection.channel.pipeline.fireChannelWritabilityChanged()
        connection.pass(.seconds(19))
        #expect(connection.isOpen)
        connection.channel.isWritable = true
        connection.channel.pipeline.fireChannelWritabilityChanged()
        connection.pass(.seconds(100))
        #expect(connection.isOpen)
        connection.channel.isWritable = false
        connection.channel.pipeline.fireChannelWritabilityChanged()
        connection.pass(.seconds(21))
        #expect(!connection.isOpen)
    }

    @Test func leavingIsToldOnceAndOnlyWhileSomebodyWaits() throws {
        var connection = try Connection()
        try connection.receive(Self.get)
        let guardian = try connection.channel.pipeline.syncOperations.handler(type: ConnectionGuard.self)
        let first = LogLines()
        guardian.onLeave { first.append("left") }
        connection.answer()
        try connection.receive(Self.get)
        let second = LogLines()
        guardian.onLeave { second.append("left") }
        connection.channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        connection.channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        connection.channel.close(promise: nil)
        #expect(first.all.isEmpty)
        #expect(second.all == ["left"])
        guardian.onLeave { second.append("late") }
        #expect(second.all == ["left", "late"])
    }
}
