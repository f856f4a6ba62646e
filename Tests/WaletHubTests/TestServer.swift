// A server on 127.0.0.1 that does exactly what a test says, good manners not included.

import NIOCore
import NIOPosix
import Synchronization

/// Answers each request with the steps that a closure returns, byte for byte.
final class TestServer: Sendable {
    struct Request: Sendable {
        let method: String
        /// With the query, as it came.
        let target: String
        /// Names in lower case.
        let headers: [String: String]

        /// The first byte of a `Range: bytes=N-`.
        var start: Int? {
            guard let range = headers["range"], range.hasPrefix("bytes="), range.hasSuffix("-") else { return nil }
            return Int(range.dropFirst(6).dropLast())
        }
    }

    enum Step: Sendable {
        case bytes([UInt8])
        case repeating([UInt8], Int)
        case wait(Double)
        /// Closes the connection; without it the connection waits for the next request.
        case close
        /// Answers nothing more and keeps the connection open.
        case hang
    }

    fileprivate struct State {
        var requests: [Request] = []
        var open = 0
        var mostOpen = 0
    }

    private let channel: any Channel
    private let state: SharedState
    let port: Int

    fileprivate final class SharedState: Sendable {
        let value = Mutex(State())
    }

    init(_ answer: @escaping @Sendable (Request) -> [Step]) async throws {
        let state = SharedState()
        self.state = state
        channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.backlog, value: 64)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Connection(answer, state))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        port = channel.localAddress?.port ?? 0
    }

    var requests: [Request] { state.value.withLock { $0.requests } }
    /// The most requests that were being answered at one time.
    var mostAtOnce: Int { state.value.withLock { $0.mostOpen } }
    var address: String { "http://127.0.0.1:\(port)" }

    func stop() async { try? await channel.close() }

    static func head(_ status: String, _ headers: [(String, String)] = []) -> [UInt8] {
        Array(
            ("HTTP/1.1 \(status)\r\n" + headers.map { "\($0.0): \($0.1)\r\n" }.joined() + "\r\n").utf8)
    }

    static func answer(_ status: String, _ headers: [(String, String)] = [], _ body: [UInt8] = []) -> [Step] {
        [.bytes(head(status, headers + [("Content-Length", "\(body.count)")]) + body)]
    }

    private final class Connection: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        private let answer: @Sendable (Request) -> [Step]
        private let state: SharedState
        private var received: [UInt8] = []
        private var isBusy = false

        init(_ answer: @escaping @Sendable (Request) -> [Step], _ state: SharedState) {
            self.answer = answer
            self.state = state
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            received += Array(buffer: unwrapInboundIn(data))
            next(context)
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

        func channelInactive(context: ChannelHandlerContext) { finish() }

        private func finish() {
            guard isBusy else { return }
            isBusy = false
            state.value.withLock { $0.open -= 1 }
        }

        private func next(_ context: ChannelHandlerContext) {
            guard !isBusy, let request = take() else { return }
            isBusy = true
            state.value.withLock { state in
                state.requests.append(request)
                state.open += 1
                state.mostOpen = max(state.mostOpen, state.open)
            }
            run(answer(request)[...], context)
        }

        /// Requests of this client have no bodies: the head is all.
        private func take() -> Request? {
            let end = Array("\r\n\r\n".utf8)
            guard received.count >= end.count,
                let index = (0...received.count - end.count).first(where: { received[$0..<$0 + 4].elementsEqual(end) })
            else { return nil }
            let text = String(decoding: received[..<index], as: UTF8.self)
            received.removeFirst(index + 4)
            var lines = text.split(separator: "\r\n").map(String.init)
            let first = lines.removeFirst().split(separator: " ").map(String.init)
            var headers: [String: String] = [:]
            for line in lines {
                let pair = line.split(separator: ":", maxSplits: 1).map(String.init)
                headers[pair[0].lowercased()] = pair.count > 1 ? String(pair[1].drop { $0 == " " }) : ""
            }
            return Request(method: first[0], target: first.count > 1 ? first[1] : "", headers: headers)
        }

        private func run(_ steps: ArraySlice<Step>, _ context: ChannelHandlerContext) {
            guard let step = steps.first else {
                finish()
                return next(context)
            }
            let rest = steps.dropFirst()
            let loop = context.eventLoop
            let bound = NIOLoopBound((self, context), eventLoop: loop)
            switch step {
            case .bytes(let bytes):
                context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: bytes))).whenSuccess {
                    bound.value.0.run(rest, bound.value.1)
                }
            case .repeating(let bytes, let times):
                guard times > 0 else { return run(rest, context) }
                context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: bytes))).whenSuccess {
                    bound.value.0.run([.repeating(bytes, times - 1)] + rest, bound.value.1)
                }
            case .wait(let seconds):
                loop.scheduleTask(in: .nanoseconds(Int64(seconds * 1e9))) { bound.value.0.run(rest, bound.value.1) }
            case .close:
                finish()
                context.close(promise: nil)
            case .hang: break
            }
        }
    }
}
