import HTTPTypes
import NIOCore
import NIOHTTP1
import NIOHTTPTypes
import NIOHTTPTypesHTTP1
import WaletJSON

/// Stands between a connection's parser and the application: time limits for slow clients, strict framing, a clean answer to
/// what is no HTTP, and the news that a client left. One for each HTTP/1 connection and each HTTP/2 stream.
final class ConnectionGuard: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    private let limits: ConnectionLimits
    private let bodyBytes: Int
    private var progress: ConnectionProgress
    private var isHTTP1 = false
    private var version: HTTPVersionGate?
    private var timer: (task: Scheduled<Void>, deadline: NIODeadline)?
    private var stall: Scheduled<Void>?
    /// When the last complete answer is with the kernel.
    private var answerWritten: EventLoopFuture<Void>?
    private var leaveActions: [@Sendable () -> Void] = []
    private var hasLeft = false

    init(_ limits: ConnectionLimits, bodyBytes: Int) {
        self.limits = limits
        self.bodyBytes = bodyBytes
        progress = ConnectionProgress(limits, isMultiplexed: true, now: .now())
    }

    /// On the event loop only.
    func onLeave(_ action: @escaping @Sendable () -> Void) {
        hasLeft ? action() : leaveActions.append(action)
    }

    private func leave() {
        guard !hasLeft else { return }
        hasLeft = true
        let actions = leaveActions
        leaveActions = []
        for action in actions { action() }
    }

    // MARK: Life

    func handlerAdded(context: ChannelHandlerContext) {
        let pipeline = context.pipeline.syncOperations
        guard let codec = try? pipeline.handler(type: HTTP1ToHTTPServerCodec.self) else { return }
        isHTTP1 = true
        progress = ConnectionProgress(limits, isMultiplexed: false, now: context.eventLoop.now)
        do {
            let gate = HTTPVersionGate()
            try pipeline.addHandler(gate, position: .before(codec))
            version = gate
            let decoder = try pipeline.handler(type: ByteToMessageHandler<HTTPRequestDecoder>.self)
            let watch = ByteWatch { [weak self] in
                self?.progress.receivedBytes(now: context.eventLoop.now)
                self?.schedule(context)
            }
            try pipeline.addHandler(watch, position: .before(decoder))
        } catch {
            context.fireErrorCaught(error)
            context.close(promise: nil)
            return
        }
        // A client whose machine is gone sends no FIN: the kernel finds out.
        context.channel.setOption(.socketOption(.so_keepalive), value: 1).whenFailure { _ in }
        schedule(context)
    }

    func handlerRemoved(context: ChannelHandlerContext) { stopTimers() }

    func channelInactive(context: ChannelHandlerContext) {
        progress.closed()
        stopTimers()
        leave()
        context.fireChannelInactive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        // On HTTP/1 a client that closes its side has left: none that waits for an answer does so.
        if isHTTP1, event as? ChannelEvent == .inputClosed { leave() }
        context.fireUserInboundEventTriggered(event)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        stall?.cancel()
        stall = nil
        if !context.channel.isWritable {
            stall = context.eventLoop.assumeIsolated().scheduleTask(in: limits.stall) { context.close(promise: nil) }
        }
        context.fireChannelWritabilityChanged()
    }

    // MARK: Requests

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            guard progress.isReceiving else { return }
            if isHTTP1, let fault = fault(of: head) {
                progress.receivedHead(now: context.eventLoop.now)
                return fail(fault, context)
            }
            progress.receivedHead(now: context.eventLoop.now)
            schedule(context)
            if isHTTP1, head.headerFields[.upgrade] != nil || head.method == .connect {
                // Neither upgrade nor tunnel is offered; the parser reads nothing behind such a request, so it is the last.
                progress.closeAfterAnswer()
            }
            if version?.isLegacy == true { progress.closeAfterAnswer() }
            context.fireChannelRead(data)
            promiseToRead(head, context)
        case .body:
            if progress.isReceiving { context.fireChannelRead(data) }
        case .end:
            let receives = progress.isReceiving
            let action = progress.receivedEnd(now: context.eventLoop.now)
            if receives { context.fireChannelRead(data) }
            perform(action, context)
            schedule(context)
        }
    }

    private func fault(of head: HTTPRequest) -> ProtocolFault? {
        let fields = head.headerFields
        let isLegacy = version?.isLegacy == true
        if head.authority == nil, !isLegacy { return .missingHost }
        if fields[.host] != nil { return .missingHost }
        if let coding = fields[.te] {
            if isLegacy || fields[.contentLength] != nil { return .malformed("both or no way to tell its length") }
            if coding.lowercased().trimmingSpaces() != "chunked" { return .transferCoding }
        }
        return nil
    }

    /// Answers `Expect: 100-continue`, unless the body would be turned down anyway.
    private func promiseToRead(_ head: HTTPRequest, _ context: ChannelHandlerContext) {
        guard head.headerFields[.expect]?.lowercased() == "100-continue" else { return }
        if let length = head.headerFields[.contentLength].flatMap({ Int($0) }), length > bodyBytes { return }
        guard progress.unanswered == 1, !progress.hasBegunAnswer else { return }
        context.writeAndFlush(wrapOutboundOut(.head(HTTPResponse(status: .continue))), promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard isHTTP1, let fault = Self.fault(error) else {
            leave()
            context.fireErrorCaught(error)
            return
        }
        fail(fault, context)
    }

    private static func fault(_ error: any Error) -> ProtocolFault? {
        switch error {
        case HTTPParserError.headerOverflow: .headerTooLarge
        case HTTPParserError.invalidVersion: .version
        case let error as HTTPParserError: .malformed("\(error)")
        case is HTTP1TypeConversionError: .malformed("its method or path")
        default: nil
        }
    }

    private func fail(_ fault: ProtocolFault, _ context: ChannelHandlerContext) {
        let isInBody = progress.phase == .body
        let action = progress.failed(fault)
        perform(action, context)
        // A handler that waits for the rest of a body must not take what it has for all of it.
        if action != .nothing, isInBody { context.fireErrorCaught(fault) }
    }

    // MARK: Answers

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard progress.phase != .closed, progress.phase != .lingering else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        switch unwrapOutboundIn(data) {
        case .head(var response):
            if response.status.kind == .informational { return context.write(data, promise: promise) }
            if response.headerFields[.connection] == "close" { progress.closeAfterAnswer() }
            // HTTP/2 knows no such field.
            response.headerFields[.connection] = progress.beginsAnswer() && isHTTP1 ? "close" : nil
            context.write(wrapOutboundOut(.head(response)), promise: promise)
        case .body: context.write(data, promise: promise)
        case .end:
            leaveActions = []
            let action = progress.endedAnswer(now: context.eventLoop.now)
            let written = promise ?? context.eventLoop.makePromise(of: Void.self)
            answerWritten = written.futureResult
            context.write(data, promise: written)
            if action != .nothing {
                context.flush()
                perform(action, context)
            }
            schedule(context)
        }
    }

    /// Closing waits until the last answer is out: it would throw away what a slow client has not read yet.
    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        guard mode == .all, let answerWritten else { return context.close(mode: mode, promise: promise) }
        context.flush()
        answerWritten.assumeIsolated().whenComplete { _ in context.close(mode: mode, promise: promise) }
    }

    private func perform(_ action: ConnectionProgress.Action, _ context: ChannelHandlerContext) {
        switch action {
        case .nothing: break
        case .close: close(context: context, mode: .all, promise: nil)
        case .refuse(let fault):
            let body = ByteBuffer(string: fault.apiError.json(.openAI).text())
            var fields = HTTPFields()
            fields[.contentType] = "application/json"
            fields[.contentLength] = String(body.readableBytes)
            if isHTTP1 { fields[.connection] = "close" }
            let head = HTTPResponse(status: .init(code: fault.status), headerFields: fields)
            context.write(wrapOutboundOut(.head(head)), promise: nil)
            context.write(wrapOutboundOut(.body(body)), promise: nil)
            let written = context.eventLoop.makePromise(of: Void.self)
            answerWritten = written.futureResult
            context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: written)
            written.futureResult.assumeIsolated().whenComplete { _ in context.close(promise: nil) }
        }
    }

    // MARK: Time

    private func schedule(_ context: ChannelHandlerContext) {
        guard let deadline = progress.deadline else { return }
        // A deadline that moved away is found out when the old one passes.
        if let timer, timer.deadline <= deadline { return }
        timer?.task.cancel()
        let task = context.eventLoop.assumeIsolated().scheduleTask(deadline: deadline) { [weak self] in
            guard let self else { return }
            timer = nil
            let isInBody = progress.phase == .body
            let action = progress.checkDeadline(now: context.eventLoop.now)
            perform(action, context)
            if isInBody, case .refuse(let fault) = action { context.fireErrorCaught(fault) }
            schedule(context)
        }
        timer = (task, deadline)
    }

    private func stopTimers() {
        timer?.task.cancel()
        timer = nil
        stall?.cancel()
        stall = nil
    }
}

@available(*, unavailable)
extension ConnectionGuard: Sendable {}

/// Tells that bytes came in, before they are parsed.
final class ByteWatch: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let received: () -> Void

    init(_ received: @escaping () -> Void) { self.received = received }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        received()
        context.fireChannelRead(data)
    }
}

@available(*, unavailable)
extension ByteWatch: Sendable {}

/// Answers HTTP/1.0 as it must be: with its version, so that a body without a length ends with the connection.
final class HTTPVersionGate: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    /// The latest request is one of HTTP/1.0.
    private(set) var isLegacy = false

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if case .head(let head) = unwrapInboundIn(data) { isLegacy = head.version == .http1_0 }
        context.fireChannelRead(data)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard isLegacy, case .head(var head) = unwrapOutboundIn(data) else {
            return context.write(data, promise: promise)
        }
        head.version = .http1_0
        context.write(wrapOutboundOut(.head(head)), promise: promise)
    }
}

@available(*, unavailable)
extension HTTPVersionGate: Sendable {}

/// Closes a connection that has not brought a byte of HTTP in time, such as one that never ends its TLS handshake.
final class FirstByteDeadline: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let limit: TimeAmount
    private var timer: Scheduled<Void>?

    init(_ limit: TimeAmount) { self.limit = limit }

    func handlerAdded(context: ChannelHandlerContext) {
        timer = context.eventLoop.assumeIsolated().scheduleTask(in: limit) { context.close(promise: nil) }
    }

    func handlerRemoved(context: ChannelHandlerContext) { timer?.cancel() }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        timer?.cancel()
        timer = nil
        context.fireChannelRead(data)
    }

    func channelInactive(context: ChannelHandlerContext) {
        timer?.cancel()
        timer = nil
        context.fireChannelInactive()
    }
}

@available(*, unavailable)
extension FirstByteDeadline: Sendable {}
