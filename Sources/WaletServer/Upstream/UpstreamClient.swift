import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import WaletJSON

/// Calls other servers, for all models that they serve. Redirects are not followed, certificates are verified.
public final class UpstreamClient: Sendable {
    /// Bytes of an answer that tells of an error.
    private static let errorBytes = 64 << 10
    /// For short answers, such as a list of models.
    private static let shortLimit = Duration.seconds(20)
    /// What comes after the last event is waited for only so long.
    static let drainLimit = Duration.seconds(1)

    /// Silence after which an answer counts as broken.
    let silence: Duration
    private let client: HTTPClient

    /// - Parameters:
    ///   - silence: after which an answer counts as broken; the first byte may take as long.
    ///   - connections: to each server, at once.
    public init(silence: Duration = .seconds(300), connections: Int = 4096) {
        self.silence = silence
        var configuration = HTTPClient.Configuration()
        configuration.redirectConfiguration = .disallow
        configuration.decompression = .disabled
        // A connection for each answer, so that cancelling one is closing it, which every engine understands.
        configuration.httpVersion = .http1Only
        let amount = TimeAmount(silence)
        configuration.timeout = .init(connect: .seconds(5), read: amount, write: amount)
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = max(1, connections)
        // Less than the five seconds after which the engines' own servers close one.
        configuration.connectionPool.idleTimeout = .seconds(3)
        client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }

    deinit {
        client.shutdown { _ in }
    }

    /// Sends a request whose answer is a stream of events.
    /// - Returns: the body of an answer with status 200.
    /// - Throws: ``UpstreamError``, or `CancellationError`.
    func open(_ url: String, key: UpstreamKey?, body: JSONValue) async throws -> HTTPClientResponse.Body {
        var request = request(url, key: key, body: body)
        request.headers.add(name: "Accept", value: "text/event-stream")
        let response = try await send(request)
        guard response.status == .ok else {
            throw await fault(response, key: key)
        }
        let type = response.headers.first(name: "Content-Type") ?? "none"
        guard type.lowercased().hasPrefix("text/event-stream") else {
            throw UpstreamError.malformed(
                what: "the answer's Content-Type", expected: "text/event-stream", found: String(type.prefix(100)))
        }
        return response.body
    }

    /// Sends a request whose answer is one short document.
    /// - Parameters:
    ///   - body: nil for GET.
    ///   - maximumBytes: of the answer.
    /// - Throws: ``UpstreamError``, or `CancellationError`.
    func document(
        _ url: String, key: UpstreamKey?, body: JSONValue?, maximumBytes: Int = 4 << 20
    ) async throws -> JSONValue {
        let request = request(url, key: key, body: body)
        return try await within(Self.shortLimit) { [self] in
            let response = try await send(request)
            guard response.status == .ok else { throw await fault(response, key: key) }
            let bytes = try await read(response.body, maximumBytes)
            do throws(JSONError) {
                return try JSONValue(parsing: bytes, maximumDepth: 64)
            } catch {
                throw UpstreamError.malformed(what: "the answer", expected: "JSON", found: error.description)
            }
        }
    }

    private func request(_ url: String, key: UpstreamKey?, body: JSONValue?) -> HTTPClientRequest {
        var request = HTTPClientRequest(url: url)
        request.headers.add(name: "User-Agent", value: "walet/1")
        if let key { request.headers.add(name: "Authorization", value: "Bearer \(key.secret)") }
        if let body {
            request.method = .POST
            request.headers.add(name: "Content-Type", value: "application/json")
            request.body = .bytes(ByteBuffer(string: body.text()))
        }
        return request
    }

    private func send(_ request: HTTPClientRequest) async throws -> HTTPClientResponse {
        let limit = TimeAmount(silence + .seconds(5))
        do {
            return try await client.execute(request, timeout: limit)
        } catch let error as HTTPClientError where error == .remoteConnectionClosed && !Task.isCancelled {
            // A connection from the pool that the other side closed just then: nothing of an answer was lost.
            do {
                return try await client.execute(request, timeout: limit)
            } catch {
                throw fault(error)
            }
        } catch {
            throw fault(error)
        }
    }

    private func read(_ body: HTTPClientResponse.Body, _ maximumBytes: Int) async throws -> [UInt8] {
        var bytes: [UInt8] = []
        do {
            for try await buffer in body {
                guard bytes.count + buffer.readableBytes <= maximumBytes else {
                    throw UpstreamError.malformed(
                        what: "the answer", expected: "at most \(maximumBytes) bytes", found: "more")
                }
                bytes += buffer.readableBytesView
            }
        } catch {
            throw fault(error)
        }
        return bytes
    }

    // MARK: Faults

    /// Sorts a fault of the connection.
    func fault(_ error: any Error) -> any Error {
        if Task.isCancelled || error is CancellationError { return CancellationError() }
        switch error {
        case is UpstreamError: return error
        case let error as HTTPClientError where error == .readTimeout || error == .deadlineExceeded:
            return UpstreamError.silent(seconds: silence / .seconds(1))
        case let error as HTTPClientError where error == .cancelled: return CancellationError()
        case let error as HTTPClientError where error == .remoteConnectionClosed:
            return UpstreamError.broken(reason: "the connection was closed")
        case let error as HTTPClientError where error == .connectTimeout:
            return UpstreamError.unreachable(reason: "no connection within the time")
        case let error as IOError where [ECONNREFUSED, EHOSTUNREACH, ENETUNREACH].contains(error.errnoCode):
            return UpstreamError.unreachable(reason: String(cString: strerror(error.errnoCode)))
        case let error as IOError: return UpstreamError.broken(reason: String(cString: strerror(error.errnoCode)))
        case let error as NIOConnectionError where error.connectionErrors.isEmpty:
            return UpstreamError.unreachable(reason: "the host's name is not known")
        case let error as NIOConnectionError:
            let first = error.connectionErrors.first.map { fault($0.error) }
            if case .unreachable(let reason)? = first as? UpstreamError {
                return UpstreamError.unreachable(reason: reason)
            }
            return UpstreamError.unreachable(reason: "no connection")
        case let error as HTTPParserError: return UpstreamError.broken(reason: "it is no HTTP: \(error)")
        case let error as HTTPClientError:
            return UpstreamError.broken(reason: String("\(error)".prefix(200)))
        // A certificate that does not verify, mostly.
        default: return UpstreamError.unreachable(reason: String("\(error)".prefix(200)))
        }
    }

    /// What an answer with another status than 200 means.
    private func fault(_ response: HTTPClientResponse, key: UpstreamKey?) async -> any Error {
        let status = Int(response.status.code)
        let retryAfter = response.headers.first(name: "Retry-After").flatMap { Int($0) }
        let body = try? await within(Self.shortLimit) { [self] in try await read(response.body, Self.errorBytes) }
        if Task.isCancelled { return CancellationError() }
        return UpstreamFault(body ?? [], key: key).error(status: status, retryAfter: retryAfter)
    }

    /// Runs something for a limited time.
    /// - Throws: ``UpstreamError/silent(seconds:)`` where it takes longer.
    private func within<Value: Sendable>(
        _ limit: Duration, _ body: @escaping @Sendable () async throws -> Value
    ) async throws -> Value {
        try await withThrowingTaskGroup(of: Value.self) { group in
            group.addTask(operation: body)
            group.addTask {
                try await Task.sleep(for: limit)
                throw UpstreamError.silent(seconds: limit / .seconds(1))
            }
            defer { group.cancelAll() }
            guard let value = try await group.next() else { throw CancellationError() }
            return value
        }
    }
}

/// What an answer says is wrong: `{"error": {"message", "param", "code"}}`, or the like.
struct UpstreamFault {
    private static let maximumMessage = 1000

    private(set) var message = "no reason is given"
    private(set) var parameter: String?
    private(set) var code: String?
    /// The status that the document itself names.
    private(set) var status: Int?

    /// - Parameter key: kept out of what is told, should the other server repeat it.
    init(_ body: [UInt8], key: UpstreamKey?) {
        let document = (try? JSONValue(parsing: body, maximumDepth: 64)) ?? .null
        self.init(document["error"] ?? document, key: key)
    }

    /// - Parameter error: the object with the message, or the message.
    init(_ error: JSONValue, key: UpstreamKey?) {
        // vLLM's older form has it at the top; FastAPI says `detail`.
        if let text = error.stringValue ?? error["message"]?.stringValue ?? error["detail"]?.stringValue,
            !text.isEmpty
        {
            message = Self.clean(text, key)
        }
        parameter = error["param"]?.stringValue.map { Self.clean($0, key) }
        status = error["code"]?.intValue
        code = error["code"]?.stringValue.map { Self.clean($0, key) }
        if error["type"]?.stringValue == "exceed_context_size_error" { code = "context_length_exceeded" }
    }

    private static func clean(_ text: String, _ key: UpstreamKey?) -> String {
        var text = text
        if let key { text = text.replacing(key.secret, with: "…") }
        return String(String.UnicodeScalarView(text.unicodeScalars.filter { $0.value >= 0x20 && $0.value != 0x7F }))
            .prefixed(maximumMessage)
    }

    /// - Parameters:
    ///   - status: of the answer, or what stands in the document where it came in a stream.
    ///   - retryAfter: seconds that the server asks to wait.
    func error(status: Int, retryAfter: Int? = nil) -> UpstreamError {
        switch status {
        case 400, 413, 422: .rejected(status: status, message: message, parameter: parameter, code: code)
        case 429, 503:
            .busy(status: status, retryAfter: retryAfter.map { min(max($0, 1), 3600) })
        case 300..<500: .refused(status: status, message: message)
        default: .failed(status: status, message: message)
        }
    }
}
