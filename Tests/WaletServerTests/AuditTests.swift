import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import NIOCore
import Testing
import Walet
import WaletAudit

@testable import WaletServer

@Suite struct AuditTests {
    @Test func requestsStandInTheLogWithoutTheirText() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "walet-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let log = try AuditLog.open(folder: folder)
        let server = TestServer()
        let serving = Serving(
            models: server.registry, gatekeeper: server.gatekeeper, audit: AuditLogSink(log, isRequired: true),
            metrics: server.metrics)
        let frontEnd = try HTTPFrontEnd(
            server.configuration, serving: serving, settings: server.settings, logger: server.logger)
        try await frontEnd.application.test(.router) { client in
            let response = try await client.post(
                "/v1/chat/completions", hello(("messages", [["role": "user", "content": "my secret question"]])))
            #expect(response.status == .ok)
            #expect(try await client.get("/ready", key: nil).status == .ok)
        }
        try await log.close()
        var text = ""
        for name in try FileManager.default.subpathsOfDirectory(atPath: folder) {
            let data = FileManager.default.contents(atPath: folder + "/" + name) ?? Data()
            text += String(decoding: data, as: UTF8.self)
        }
        #expect(text.contains("wk_user") && text.contains("/v1/chat/completions"))
        #expect(!text.contains("my secret question") && !text.contains("Hello world"))
        // A log that is closed cannot be written: nothing is answered any more.
        try await frontEnd.application.test(.router) { client in
            let response = try await client.post("/v1/chat/completions", hello())
            #expect(response.status == .serviceUnavailable)
            #expect(try await client.get("/ready", key: nil).status == .serviceUnavailable)
        }
    }
}
