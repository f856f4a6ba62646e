import NIOCore

/// How long and how much a connection may take.
public struct ConnectionLimits: Sendable {
    /// From a request's first byte, or a connection's begin, to the end of its head.
    public var head: TimeAmount = .seconds(15)
    /// From a request's head to the end of its body.
    public var body: TimeAmount = .seconds(120)
    /// Between requests.
    public var idle: TimeAmount = .seconds(75)
    /// Without the client reading a byte of what waits for it.
    public var stall: TimeAmount = .seconds(60)
    /// After an answer that came before the request's end: for so long the rest is read and thrown away, so that the client
    /// sees the answer and not a reset connection.
    public var linger: TimeAmount = .seconds(5)
    /// Bytes of one header field, and of all of a request.
    public var headerFieldBytes = 32 << 10
    public var headerBytes = 64 << 10
    public var headerCount = 100
    public var connections = 1024

    public init() {}
}
