import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Testing
import Walet

@testable import WaletServer

@Suite struct TLSTests {
    private static func files(_ folder: URL) throws -> TLSFiles {
        try TLSFiles(
            certificate: folder.appending(path: "cert.pem").path, key: folder.appending(path: "key.pem").path)
    }

    /// Runs a server with TLS and gives its address and a client.
    private static func live(
        _ server: TestServer, http1: Bool = false, maximum: TLSVersion? = nil,
        _ body: @escaping @Sendable (String, HTTPClient) async throws -> Void
    ) async throws {
        let folder = try TestCertificates.folder(TestCertificates.first)
        defer { try? FileManager.default.removeItem(at: folder) }
        let tls = try files(folder)
        try await server.live(tls: tls) { port async throws in
            var configuration = HTTPClient.Configuration()
            configuration.tlsConfiguration = .makeClientConfiguration()
            configuration.tlsConfiguration?.certificateVerification = .none
            configuration.tlsConfiguration?.maximumTLSVersion = maximum
            configuration.httpVersion = http1 ? .http1Only : .automatic
            configuration.timeout.connect = .seconds(30)
            let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
            do {
                try await body("https://127.0.0.1:\(port)", client)
                try await client.shutdown()
            } catch {
                try? await client.shutdown()
                throw error
            }
        }
    }

    private static func chat(_ address: String, _ body: JSONValue) -> HTTPClientRequest {
        var request = HTTPClientRequest(url: address + "/v1/chat/completions")
        request.method = .POST
        request.headers.add(name: "authorization", value: "Bearer \(TestServer.userKey)")
        request.headers.add(name: "content-type", value: "application/json")
        request.body = .bytes(ByteBuffer(string: body.text()))
        return request
    }

    @Test(arguments: [true, false], [true, false])
    func bothVersionsOfHTTPAreSpoken(http1: Bool, isStream: Bool) async throws {
        try await Self.live(TestServer(), http1: http1) { address, client in
            for _ in 0..<3 {
                let response = try await client.execute(
                    Self.chat(address, hello(("stream", .bool(isStream)))), timeout: .seconds(60))
                #expect(response.version == (http1 ? .http1_1 : .http2))
                #expect(response.status == .ok)
                #expect(response.headers.first(name: "strict-transport-security") != nil)
                let text = String(buffer: try await response.body.collect(upTo: 1 << 20))
                #expect(isStream ? text.hasSuffix("data: [DONE]\n\n") : text.contains("Hello world"))
            }
        }
    }

    @Test func manyStreamsShareAConnection() async throws {
        let server = TestServer()
        try await Self.live(server) { address, client in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<20 {
                    group.addTask {
                        let response = try await client.execute(Self.chat(address, hello()), timeout: .seconds(60))
                        #expect(response.status == .ok)
                        _ = try await response.body.collect(upTo: 1 << 20)
                    }
                }
                try await group.waitForAll()
            }
        }
        #expect(server.gatekeeper.settled.count == 20)
    }

    @Test func theLimitsHoldForHTTP2Too() async throws {
        var server = TestServer()
        server.configuration.request.bodyBytes = 10_000
        let model = server.model
        try await Self.live(server) { address, client in
            let large = hello(("user", .string(String(repeating: "x", count: 200_000))))
            let response = try await client.execute(Self.chat(address, large), timeout: .seconds(60))
            #expect(response.status == .payloadTooLarge)
            #expect(response.headers.first(name: "connection") == nil)
            _ = try await response.body.collect(upTo: 1 << 20)
            var gzip = Self.chat(address, hello())
            gzip.headers.add(name: "content-encoding", value: "gzip")
            #expect(try await client.execute(gzip, timeout: .seconds(60)).status == .unsupportedMediaType)
            var keyless = Self.chat(address, hello())
            keyless.headers.remove(name: "authorization")
            #expect(try await client.execute(keyless, timeout: .seconds(60)).status == .unauthorized)
        }
        #expect(model.requests.isEmpty)
    }

    @Test(arguments: [true, false])
    func theModelStopsWhenTheClientLeaves(isStream: Bool) async throws {
        let server = TestServer(
            FakeModel { [.event(.started(FakeModel.usage($0))), .event(.text("abc")), .hang] })
        try await Self.live(server) { address, client in
            let task = Task {
                let response = try await client.execute(
                    Self.chat(address, hello(("stream", .bool(isStream)))), timeout: .seconds(60))
                for try await _ in response.body {}
            }
            try await eventually("the model runs") { server.model.counts.running == 1 }
            task.cancel()
            try await eventually("the model stops") { server.model.counts.cancelled == 1 }
            try await eventually("it is charged") { server.gatekeeper.settled.map(\.outcome) == [.disconnected] }
        }
    }

    @Test func oldVersionsOfTLSAreTurnedDown() async throws {
        try await Self.live(TestServer(), maximum: .tlsv11) { address, client in
            await #expect(throws: (any Error).self) {
                try await client.execute(HTTPClientRequest(url: address + "/health"), timeout: .seconds(5))
            }
        }
        try await Self.live(TestServer(), maximum: .tlsv12) { address, client in
            let response = try await client.execute(HTTPClientRequest(url: address + "/health"), timeout: .seconds(60))
            #expect(response.status == .ok)
        }
    }

    @Test func aHandshakeThatNeverEndsIsCutOff() async throws {
        var server = TestServer()
        server.configuration.connection.head = .milliseconds(300)
        let folder = try TestCertificates.folder(TestCertificates.first)
        defer { try? FileManager.default.removeItem(at: folder) }
        let tls = try Self.files(folder)
        try await server.live(tls: tls) { port async throws in
            let connection = try await RawConnection.open(port: port)
            await connection.send([0x16, 0x03, 0x01])
            let (_, isClosed) = await connection.read()
            #expect(isClosed)
            let plain = try await RawConnection.open(port: port)
            await plain.send("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            #expect(await plain.read().isClosed)
        }
    }

    @Test func aRenewedCertificateCountsWithoutARestart() async throws {
        let folder = try TestCertificates.folder(TestCertificates.first)
        defer { try? FileManager.default.removeItem(at: folder) }
        let tls = try Self.files(folder)
        try await TestServer().live(tls: tls) { port async throws in
            #expect(try await Self.name(port) == "walet-test-1")
            try TestCertificates.write(TestCertificates.second, to: folder)
            #expect(try await Self.name(port) == "walet-test-1")
            try tls.reload()
            #expect(try await Self.name(port) == "walet-test-2")
            // A key that belongs to another certificate changes nothing.
            try Data(TestCertificates.first.key.utf8).write(to: folder.appending(path: "key.pem"))
            #expect(throws: ConfigurationError.self) { try tls.reload() }
            #expect(try await Self.name(port) == "walet-test-2")
        }
    }

    /// The name in the certificate that a server shows.
    private static func name(_ port: Int) async throws -> String? {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.certificateVerification = .none
        let context = try NIOSSLContext(configuration: configuration)
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        NIOSSLClientHandler(context: context, serverHostname: "localhost"))
                }
            }.connect(host: "127.0.0.1", port: port).get()
        // The answer comes behind the handshake.
        try await channel.writeAndFlush(ByteBuffer(string: "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"))
        let certificate = try await channel.eventLoop.submit {
            try channel.pipeline.syncOperations.handler(type: NIOSSLClientHandler.self).peerCertificate
        }.get()
        try await channel.close()
        guard let der = try certificate?.toDERBytes() else { return nil }
        let text = String(decoding: der, as: UTF8.self)
        return ["walet-test-1", "walet-test-2"].first { text.contains($0) }
    }

    @Test func filesThatAreWrongAreNamed() throws {
        let folder = try TestCertificates.folder(TestCertificates.first)
        defer { try? FileManager.default.removeItem(at: folder) }
        let certificate = folder.appending(path: "cert.pem").path
        let key = folder.appending(path: "key.pem").path
        #expect(throws: ConfigurationError.self) { try TLSFiles(certificate: "/nowhere", key: key) }
        #expect(throws: ConfigurationError.self) { try TLSFiles(certificate: certificate, key: "/nowhere") }
        #expect(throws: ConfigurationError.self) { try TLSFiles(certificate: key, key: certificate) }
        try Data(TestCertificates.second.key.utf8).write(to: folder.appending(path: "key.pem"))
        #expect(throws: ConfigurationError.self) { try TLSFiles(certificate: certificate, key: key) }
    }
}
