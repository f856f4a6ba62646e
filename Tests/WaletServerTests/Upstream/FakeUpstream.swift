import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization
import Testing
import WaletJSON

@testable import WaletServer

/// Another server that does what a script says, down to the bytes on the wire.
final class FakeUpstream: Sendable {
    struct Request: Sendable {
        var method = ""
        var path = ""
        var headers: [String: String] = [:]
        var text = ""

        var body: JSONValue { (try? JSONValue(parsing: text)) ?? .null }
    }

    enum Step: Sendable {
        case send(String)
        case wait(Duration)
        /// Until the client leaves.
        case hang
        case close
    }

    typealias Script = @Sendable (Request) -> [Step]

    private struct State {
        var requests: [Request] = []
        /// Connections that the client closed while a script ran.
        var left = 0
        var channel: (any Channel)?
    }

    private let state = Mutex(State())
    private let script: Script

    private init(_ script: @escaping Script) { self.script = script }

    /// All requests, or those to a path.
    func requests(_ path: String? = nil) -> [Request] {
        state.withLock { $0.requests.filter { path == nil || $0.path == path } }
    }
    var left: Int { state.withLock { $0.left } }
    var port: Int { state.withLock { $0.channel?.localAddress?.port } ?? 0 }
    var address: UpstreamAddress {
        get throws { try UpstreamAddress(parsing: "http://127.0.0.1:\(port)/v1", place: "test") }
    }

    /// Runs one on a port of its own.
    @discardableResult
    static func run<Value: Sendable>(
        _ script: @escaping Script, _ body: @Sendable (FakeUpstream) async throws -> Value
    ) async throws -> Value {
        let upstream = FakeUpstream(script)
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        ByteToMessageHandler(HTTPRequestDecoder(leftOverBytesStrategy: .dropBytes)))
                    try channel.pipeline.syncOperations.addHandler(Handler(upstream))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        upstream.state.withLock { $0.channel = channel }
        do {
            let value = try await body(upstream)
            try await channel.close()
            return value
        } catch {
            try? await channel.close()
            throw error
        }
    }

    private final class Flag: Sendable {
        private let state = Mutex(false)

        var isSet: Bool { state.withLock { $0 } }
        func set() { state.withLock { $0 = true } }
    }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = HTTPServerRequestPart

        private let upstream: FakeUpstream
        private var request = Request()
        private var running: (task: Task<Void, Never>, isOver: Flag)?

        init(_ upstream: FakeUpstream) { self.upstream = upstream }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            switch unwrapInboundIn(data) {
            case .head(let head):
                request = Request(method: head.method.rawValue, path: head.uri)
                for (name, value) in head.headers { request.headers[name.lowercased()] = value }
            case .body(let buffer): request.text += String(buffer: buffer)
            case .end:
                let steps = upstream.script(request)
                upstream.state.withLock { $0.requests.append(request) }
                let channel = context.channel
                let isOver = Flag()
                let task = Task {
                    for step in steps {
                        switch step {
                        case .send(let text): try? await channel.writeAndFlush(ByteBuffer(string: text))
                        case .wait(let duration): try? await Task.sleep(for: duration)
                        case .hang: try? await Task.sleep(for: .seconds(3600))
                        case .close:
                            isOver.set()
                            try? await channel.close()
                        }
                        if Task.isCancelled { return }
                    }
                    isOver.set()
                }
                running = (task, isOver)
            }
        }

        func channelInactive(context: ChannelHandlerContext) {
            guard let running, !running.isOver.isSet else { return }
            running.task.cancel()
            upstream.state.withLock { $0.left += 1 }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }
}

extension FakeUpstream.Step {
    /// An answer with its length.
    static func answer(
        _ body: String, status: String = "200 OK", type: String = "application/json", headers: [String] = []
    ) -> FakeUpstream.Step {
        .send(
            (["HTTP/1.1 \(status)", "Content-Type: \(type)", "Content-Length: \(body.utf8.count)"] + headers)
                .joined(separator: "\r\n") + "\r\n\r\n" + body)
    }

    /// The head of a stream whose chunks follow.
    static let streamHead = FakeUpstream.Step.send(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")

    /// More of a stream.
    static func part(_ text: String) -> FakeUpstream.Step {
        .send(String(text.utf8.count, radix: 16) + "\r\n" + text + "\r\n")
    }

    /// Events with this data, then `[DONE]`, then the end of the body.
    static func stream(_ data: [JSONValue]) -> [FakeUpstream.Step] {
        [.streamHead] + data.map { .part("data: \($0.text())\n\n") } + [.part("data: [DONE]\n\n"), .end]
    }

    static let end = FakeUpstream.Step.send("0\r\n\r\n")

    /// A piece of a chat's answer.
    static func delta(_ delta: JSONValue) -> FakeUpstream.Step {
        .part("data: \(UpstreamChunks.delta(delta).text())\n\n")
    }
}

/// Chunks as servers send them.
enum UpstreamChunks {
    static func delta(_ delta: JSONValue, finish: JSONValue = .null) -> JSONValue {
        [
            "id": "x", "object": "chat.completion.chunk",
            "choices": [["index": 0, "delta": delta, "finish_reason": finish]],
        ]
    }

    static func usage(prompt: Int, answer: Int, cached: Int? = nil) -> JSONValue {
        [
            "choices": [],
            "usage": [
                "prompt_tokens": .int(prompt), "completion_tokens": .int(answer),
                "prompt_tokens_details": cached.map { ["cached_tokens": .int($0)] } ?? .null,
            ],
        ]
    }

    static let hello: [JSONValue] = [
        delta(["role": "assistant", "content": ""]), delta(["content": "Hello"]), delta(["content": " world"]),
        delta([:], finish: "stop"), usage(prompt: 10, answer: 2, cached: 4),
    ]

    static func models(owner: String, context: Int?) -> JSONValue {
        [
            "data": [
                ["id": "big", "owned_by": .string(owner), "max_model_len": context.map { .int($0) } ?? .null]
            ]
        ]
    }

    /// A server that lists one model of its own, counts no tokens, and answers chats so.
    static func script(
        owner: String = "other", context: Int? = 1000, _ answer: @escaping FakeUpstream.Script
    ) -> FakeUpstream.Script {
        { request in
            switch request.path {
            case "/v1/models":
                [.answer(models(owner: owner, context: context).text())]
            case "/v1/chat/completions", "/v1/completions": answer(request)
            default: [.answer(#"{"detail": "Not Found"}"#, status: "404 Not Found")]
            }
        }
    }
}

/// What is recorded of a real llama-server, by Tools/make_upstream_fixtures.py.
enum UpstreamFixtures {
    static func bytes(_ name: String) throws -> [UInt8] {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        return Array(try Data(contentsOf: folder.appending(path: "Fixtures/server/upstream/\(name)")))
    }

    static func text(_ name: String) throws -> String { String(decoding: try bytes(name), as: UTF8.self) }

    static let streams = [
        "chat.sse", "chat-stop.sse", "chat-logprobs.sse", "chat-unicode.sse", "chat-tools.sse", "chat-tools-error.sse",
        "chat-thinking.sse", "completion.sse",
    ]
}
