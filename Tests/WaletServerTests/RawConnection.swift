import NIOCore
import NIOPosix
import Testing

/// A TCP connection that sends what no HTTP client would.
struct RawConnection: Sendable {
    private let channel: any Channel
    private let received: AsyncStream<ByteBuffer>

    /// - Parameter readsNothing: what the server sends stays with the kernel.
    static func open(port: Int, readsNothing: Bool = false) async throws -> RawConnection {
        let (stream, continuation) = AsyncStream.makeStream(of: ByteBuffer.self)
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.allowRemoteHalfClosure, value: true)
            .channelOption(.autoRead, value: !readsNothing)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Collector(continuation))
                }
            }.connect(host: "127.0.0.1", port: port).get()
        return RawConnection(channel: channel, received: stream)
    }

    /// Sends bytes; a connection that the server closed meanwhile is no error here.
    func send(_ text: String) async { await send(Array(text.utf8)) }

    func send(_ bytes: [UInt8]) async {
        try? await channel.writeAndFlush(ByteBuffer(bytes: bytes))
    }

    /// All that comes until the server closes, or until it is enough, or for at most some seconds.
    func read(
        within limit: Duration = .seconds(20), until isEnough: @escaping @Sendable (String) -> Bool = { _ in false }
    ) async -> (text: String, isClosed: Bool) {
        await withTaskGroup(of: (String, Bool)?.self) { group in
            group.addTask {
                var text = ""
                for await buffer in received {
                    text += String(buffer: buffer)
                    if isEnough(text) { return (text, false) }
                }
                return Task.isCancelled ? (text, false) : (text, true)
            }
            group.addTask {
                try? await Task.sleep(for: limit)
                return nil
            }
            var result = ("", false)
            while let next = await group.next() {
                if let next { result = next }
                group.cancelAll()
            }
            return result
        }
    }

    func close() async { try? await channel.close() }

    func closeOutput() async { try? await channel.close(mode: .output) }

    private final class Collector: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private let continuation: AsyncStream<ByteBuffer>.Continuation

        init(_ continuation: AsyncStream<ByteBuffer>.Continuation) { self.continuation = continuation }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) { continuation.yield(unwrapInboundIn(data)) }

        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            if event as? ChannelEvent == .inputClosed { continuation.finish() }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

        func channelInactive(context: ChannelHandlerContext) { continuation.finish() }
    }
}

/// The head of a post with a key.
func postHead(_ path: String, _ fields: [String] = [], key: String = TestServer.userKey) -> String {
    (["POST \(path) HTTP/1.1", "Host: localhost", "Authorization: Bearer \(key)", "Content-Type: application/json"]
        + fields).joined(separator: "\r\n") + "\r\n\r\n"
}
