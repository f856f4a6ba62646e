import NIOCore

/// Tells when a request's client is gone: its connection closed or half-closed, or its HTTP/2 stream reset.
public struct ClientPresence: Sendable {
    let channel: any Channel

    /// Runs an action once, as soon as the client is gone; at once where it is gone already; never where the answer is
    /// complete before.
    public func onLeave(_ action: @escaping @Sendable () -> Void) {
        let channel = channel
        if channel.eventLoop.inEventLoop {
            Self.register(action, channel)
        } else {
            channel.eventLoop.execute { Self.register(action, channel) }
        }
    }

    private static func register(_ action: @escaping @Sendable () -> Void, _ channel: any Channel) {
        if let guardian = try? channel.pipeline.syncOperations.handler(type: ConnectionGuard.self) {
            guardian.onLeave(action)
        } else {
            channel.closeFuture.whenComplete { _ in action() }
        }
    }
}
