// A hub with one repository, in the shapes of huggingface.co, and a second server in the part of its CDN.

import Crypto
import Foundation
import Synchronization
import WaletHub
import WaletJSON

/// A hub and its CDN on two ports of this machine. Files in LFS are redirected to the CDN, as the real one does.
final class FakeHub: Sendable {
    struct File: Sendable {
        var path: String
        var content: [UInt8]
        var isLFS = false
    }

    /// What goes wrong with one request for a file.
    enum Fault: Sendable {
        case status(String, [(String, String)])
        /// The connection breaks after so many bytes of the body.
        case dropAfter(Int)
        /// Nothing more comes after so many bytes of the body.
        case hangAfter(Int)
        case wrongBytes
        /// 200 and the whole file whatever range was asked for.
        case ignoreRange
        /// 206 with another range than the one asked for.
        case otherRange
        /// A `Content-Length` that differs by so many bytes.
        case lengthOff(Int)
        /// Chunked, with so many bytes more or less than there should be, and a proper end.
        case chunkedOff(Int)
        case redirect(String)
        case slow(Double)
    }

    static let repository = "owner/model"
    static let commit = "0123456789abcdef0123456789abcdef01234567"

    struct State {
        var files: [File]
        var faults: [String: [Fault]] = [:]
        var listing: [[TestServer.Step]] = []
        var json: JSONValue?
        var tellsHashes = true
        var commit = FakeHub.commit
    }

    let server: TestServer
    let cdn: TestServer
    private let box: Box
    let prefix: String

    private final class Box: Sendable {
        let state: Mutex<State>
        init(_ state: State) { self.state = Mutex(state) }
    }

    init(_ files: [File], prefix: String = "") async throws {
        let box = Box(State(files: files))
        self.box = box
        self.prefix = prefix
        let cdn = try await TestServer { request in
            Self.file(request, String(request.target.split(separator: "?")[0].dropFirst("/cdn/".count)), box)
        }
        self.cdn = cdn
        let port = cdn.port
        server = try await TestServer { request in Self.answer(request, box, prefix: prefix, cdn: port) }
    }

    func change(_ body: (inout State) -> Void) { box.state.withLock { body(&$0) } }
    func fail(_ path: String, _ faults: Fault...) { change { $0.faults[path] = faults } }
    var address: String { server.address + prefix }
    var fileRequests: [TestServer.Request] { server.requests.filter { $0.target.contains("/resolve/") } }

    func stop() async {
        await server.stop()
        await cdn.stop()
    }

    static func sha256(_ bytes: [UInt8]) -> String { hexadecimal(SHA256.hash(data: bytes)) }

    static func gitBlob(_ bytes: [UInt8]) -> String {
        hexadecimal(Insecure.SHA1.hash(data: Array("blob \(bytes.count)\0".utf8) + bytes))
    }

    private static func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
        bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    }

    static func listing(_ files: [File], commit: String, tellsHashes: Bool) -> JSONValue {
        let siblings = files.map { file -> JSONValue in
            guard tellsHashes else { return ["rfilename": .string(file.path)] }
            if file.isLFS {
                return [
                    "rfilename": .string(file.path), "size": .int(file.content.count),
                    "blobId": .string(gitBlob(Array("pointer".utf8))),
                    "lfs": [
                        "sha256": .string(sha256(file.content)), "size": .int(file.content.count), "pointerSize": 134,
                    ],
                ]
            }
            return [
                "rfilename": .string(file.path), "size": .int(file.content.count),
                "blobId": .string(gitBlob(file.content)),
            ]
        }
        return [
            "_id": "66", "id": .string(repository), "modelId": .string(repository), "sha": .string(commit),
            "private": false, "gated": false, "tags": ["safetensors"], "siblings": .array(siblings),
        ]
    }

    private static func answer(
        _ request: TestServer.Request, _ box: Box, prefix: String, cdn: Int
    ) -> [TestServer.Step] {
        let missing = TestServer.answer("404 Not Found", [("X-Error-Code", "RepoNotFound")])
        guard request.target.hasPrefix(prefix) else { return missing }
        let target = String(request.target.dropFirst(prefix.count))
        if target.hasPrefix("/api/models/\(repository)/revision/") {
            return box.state.withLock { state in
                if !state.listing.isEmpty { return state.listing.removeFirst() }
                let json = state.json ?? listing(state.files, commit: state.commit, tellsHashes: state.tellsHashes)
                return TestServer.answer(
                    "200 OK", [("Content-Type", "application/json")], Array(json.text().utf8))
            }
        }
        guard target.hasPrefix("/\(repository)/resolve/") else { return missing }
        let path = target.dropFirst("/\(repository)/resolve/".count).split(separator: "/").dropFirst()
            .joined(separator: "/")
        let (file, commit) = box.state.withLock { state in
            (state.files.first { $0.path == path.removingPercentEncoding }, state.commit)
        }
        guard let file else { return TestServer.answer("404 Not Found", [("X-Error-Code", "EntryNotFound")]) }
        if file.isLFS {
            let head = [
                ("X-Repo-Commit", commit), ("X-Linked-Size", "\(file.content.count)"),
                ("X-Linked-Etag", "\"\(sha256(file.content))\""),
                ("Location", "http://127.0.0.1:\(cdn)/cdn/\(path)?Signature=abc%2Fdef&Expires=1"),
            ]
            return TestServer.answer("302 Found", head)
        }
        return Self.file(request, path, box)
    }

    private static func file(_ request: TestServer.Request, _ path: String, _ box: Box) -> [TestServer.Step] {
        let (found, fault) = box.state.withLock { state -> (File?, Fault?) in
            let name = path.removingPercentEncoding ?? path
            let fault = request.method == "GET" && state.faults[name]?.isEmpty == false
                ? state.faults[name]?.removeFirst() : nil
            return (state.files.first { $0.path == name }, fault)
        }
        guard let file = found else { return TestServer.answer("404 Not Found") }
        var start = request.start ?? 0
        var content = file.content
        var headers = [("ETag", "\"\(gitBlob(content))\""), ("Accept-Ranges", "bytes")]
        if start >= content.count, start > 0 { return TestServer.answer("416 Range Not Satisfiable") }
        var isPartial = request.start != nil
        switch fault {
        case .status(let status, let more): return TestServer.answer(status, more)
        case .redirect(let location): return TestServer.answer("302 Found", [("Location", location)])
        case .wrongBytes: content[content.count - 1] ^= 0xFF
        case .ignoreRange: (start, isPartial) = (0, false)
        case .otherRange: start = max(start - 1, 0)
        default: break
        }
        let body = Array(content[start...])
        if isPartial {
            headers.append(("Content-Range", "bytes \(start)-\(content.count - 1)/\(content.count)"))
        }
        let status = isPartial ? "206 Partial Content" : "200 OK"
        if request.method == "HEAD" {
            return [.bytes(TestServer.head(status, headers + [("Content-Length", "\(body.count)")]))]
        }
        switch fault {
        case .dropAfter(let count):
            let head = TestServer.head(status, headers + [("Content-Length", "\(body.count)")])
            return [.bytes(head + body.prefix(count)), .wait(0.05), .close]
        case .hangAfter(let count):
            let head = TestServer.head(status, headers + [("Content-Length", "\(body.count)")])
            return [.bytes(head + body.prefix(count)), .hang]
        case .lengthOff(let count):
            let head = TestServer.head(status, headers + [("Content-Length", "\(body.count + count)")])
            return [.bytes(head + body), .close]
        case .chunkedOff(let count):
            let sent = count < 0 ? Array(body.dropLast(-count)) : body + [UInt8](repeating: 0, count: count)
            let head = TestServer.head(status, headers + [("Transfer-Encoding", "chunked")])
            return [.bytes(head + Array("\(String(sent.count, radix: 16))\r\n".utf8) + sent + Array("\r\n0\r\n\r\n".utf8))]
        case .slow(let seconds):
            return [.wait(seconds)] + TestServer.answer(status, headers, body)
        default:
            return TestServer.answer(status, headers, body)
        }
    }
}

/// Bytes that differ from place to place, the same for the same seed.
func sampleBytes(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
    var state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
    return (0..<count).map { _ in
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return UInt8(truncatingIfNeeded: state >> 24)
    }
}

/// A folder that goes when the test ends.
final class TemporaryFolder: Sendable {
    let url: URL

    init() throws {
        url = FileManager.default.temporaryDirectory.appendingPathComponent("walet-hub-\(UUID().uuidString)")
            .resolvingSymlinksInPath()
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: url) }

    var store: ModelStore { ModelStore(root: url.appendingPathComponent("models")) }

    func write(_ path: String, _ bytes: [UInt8]) throws {
        let file = url.appendingPathComponent(path)
        try FileManager.default.createDirectory(
            at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(bytes).write(to: file)
    }

    func read(_ path: String) throws -> [UInt8] { Array(try Data(contentsOf: url.appendingPathComponent(path))) }

    func exists(_ path: String) -> Bool {
        FileManager.default.fileExists(atPath: url.appendingPathComponent(path).path)
    }
}

/// What a policy was asked to sleep, and the events of a pull.
final class Record: Sendable {
    private let state = Mutex<(delays: [Duration], events: [PullEvent])>(([], []))
    var delays: [Duration] { state.withLock { $0.delays } }
    var events: [PullEvent] { state.withLock { $0.events } }
    func add(_ delay: Duration) { state.withLock { $0.delays.append(delay) } }
    func add(_ event: PullEvent) { state.withLock { $0.events.append(event) } }
}

/// A client of a test's hub that waits for nothing.
func testHub(_ address: String, token: String? = nil, record: Record = Record()) throws -> Hub {
    var hub = Hub(
        endpoint: try Hub.Endpoint(address), token: try token.map { try Hub.Token($0) }, offline: nil)
    hub.retry.sleep = { record.add($0) }
    hub.limits.connectSeconds = 2
    hub.limits.responseSeconds = 5
    hub.limits.idleSeconds = 0.5
    return hub
}

/// The error of a call, as a ``HubError``.
func hubError(_ body: () async throws -> Void) async -> HubError? {
    do {
        try await body()
        return nil
    } catch {
        return error as? HubError
    }
}
