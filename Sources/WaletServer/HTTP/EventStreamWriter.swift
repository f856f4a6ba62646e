// Server-sent events (WHATWG HTML, section 9.2) as the body of an answer.

import HTTPTypes
import Hummingbird
import NIOCore
import WaletJSON

/// Writes server-sent events. Each call suspends while the client does not read what was written before, so a slow client
/// holds up nobody but itself.
public struct EventStreamWriter {
    private var writer: any ResponseBodyWriter

    init(_ writer: any ResponseBodyWriter) { self.writer = writer }

    /// One event with a JSON document as its data.
    public mutating func send(_ data: JSONValue, event: String? = nil) async throws {
        // The writer spells line breaks as escapes, so a document is always one line.
        try await write(data.text(), event)
    }

    /// One event with text as its data, such as `[DONE]`.
    public mutating func send(text: String, event: String? = nil) async throws {
        try await write(
            text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline)
                .joined(separator: "\ndata: "), event)
    }

    /// A comment, which clients ignore; it keeps proxies from closing a silent connection.
    public mutating func comment(_ text: String = "keep-alive") async throws {
        let line = String(text.map { $0.isNewline ? " " : $0 })
        try await writer.write(ByteBuffer(string: ": \(line)\n\n"))
    }

    private mutating func write(_ data: String, _ event: String?) async throws {
        var buffer = ByteBuffer()
        buffer.reserveCapacity(data.utf8.count + 32)
        if let event {
            buffer.writeString("event: ")
            buffer.writeString(event)
            buffer.writeString("\n")
        }
        buffer.writeString("data: ")
        buffer.writeString(data)
        buffer.writeString("\n\n")
        try await writer.write(buffer)
    }

    fileprivate consuming func finish() async throws { try await writer.finish(nil) }
}

extension Response {
    /// 200 with a stream of events.
    /// - Parameter body: runs once the head is out. An error that it throws cuts the answer, so that a client can tell it
    ///   from a whole one.
    public static func eventStream(
        _ body: @escaping @Sendable (inout EventStreamWriter) async throws -> Void
    ) -> Response {
        Response(
            status: .ok,
            headers: [
                .contentType: "text/event-stream; charset=utf-8", .cacheControl: "no-cache, no-transform",
                // nginx would collect the events otherwise.
                .accelBuffering: "no",
            ],
            body: ResponseBody { writer in
                var events = EventStreamWriter(writer)
                try await body(&events)
                try await events.finish()
            })
    }
}
