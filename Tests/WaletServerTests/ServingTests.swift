import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import NIOCore
import ServiceLifecycle
import Testing
import Walet

@testable import WaletServer

@Suite struct ServingTests {
    private static let path = "/v1/chat/completions"

    @Test func aRequestIsReservedAndChargedOnce() async throws {
        let server = TestServer()
        try await server.test { client async throws in
            for isStream in [false, true] {
                _ = try await client.post(Self.path, hello(("stream", .bool(isStream)), ("max_tokens", 5)))
            }
        }
        #expect(server.gatekeeper.reserved.map(\.promptTokens) == [2, 2])
        #expect(server.gatekeeper.reserved.map(\.maximumTokens) == [5, 5])
        #expect(server.gatekeeper.reserved.map(\.endpoint) == [Self.path, Self.path])
        #expect(Set(server.gatekeeper.reserved.map(\.requestID)).count == 2)
        // Streaming costs what the whole answer costs.
        let usage = UsageReport(promptTokens: 2, answerTokens: 2)
        #expect(server.gatekeeper.settled.map(\.usage) == [usage, usage])
        #expect(server.gatekeeper.settled.map(\.outcome) == [.completed, .completed])
    }

    @Test func theChargeIsDurableBeforeTheLastByte() async throws {
        let server = TestServer()
        try await server.live { port async throws in
            let connection = try await RawConnection.open(port: port)
            let body = hello(("stream", true)).text()
            await connection.send(postHead(Self.path, ["Content-Length: \(body.utf8.count)"]) + body)
            _ = await connection.read { text in
                if text.contains("[DONE]") { #expect(server.gatekeeper.settled.count == 1) }
                return text.contains("[DONE]")
            }
            await connection.close()
        }
    }

    @Test func cachedAndFreshAreThePromptWhateverTheModelSays() {
        var report = UsageReport()
        var usage = Usage()
        usage.promptTokens = 10
        usage.cachedTokens = 40
        usage.answerTokens = 5
        usage.thinkingTokens = 9
        report.add(usage, countsPrompt: true)
        #expect(report.cachedTokens + report.freshTokens == report.promptTokens)
        #expect(report.freshTokens == 0)
        #expect(report.thinkingTokens == 5)
        usage.cachedTokens = -3
        usage.answerTokens = -1
        report.add(usage, countsPrompt: true)
        #expect(report.promptTokens == 20)
        #expect(report.cachedTokens == 10)
        #expect(report.answerTokens == 5)
    }

    @Test func aBudgetForSevenLetsSevenOfEightThrough() async throws {
        let server = TestServer()
        server.gatekeeper.allow(7, for: "wk_user")
        let statuses = try await server.test { client async throws in
            try await withThrowingTaskGroup(of: (Int, String?).self) { group in
                for _ in 0..<8 {
                    group.addTask {
                        let response = try await client.post(Self.path, hello())
                        return (response.status.code, response.headers[.shouldRetry])
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
        }
        #expect(statuses.filter { $0.0 == 200 }.count == 7)
        let refused = try #require(statuses.first { $0.0 != 200 })
        #expect(refused.0 == 429)
        // The SDKs would try again at once otherwise.
        #expect(refused.1 == "false")
        #expect(server.model.counts.started == 7)
    }

    @Test func refusalsSayWhenToTryAgain() async throws {
        let server = TestServer()
        try await server.test { client async throws in
            server.gatekeeper.refuse(
                APIError(.rateLimit, "Too many requests", code: "rate_limit_exceeded", retryAfter: 7))
            let limited = try await client.post(Self.path, hello())
            #expect(limited.status == .tooManyRequests)
            #expect(limited.headers[.retryAfter] == "7")
            #expect(limited.headers[.shouldRetry] == nil)
            #expect(try limited.error["type"] == "rate_limit_error")
            server.gatekeeper.refuse(APIError(.budget, "Used up", code: "insufficient_quota"))
            let broke = try await client.post(Self.path, hello())
            #expect(broke.status == .tooManyRequests)
            #expect(broke.headers[.retryAfter] == nil)
            #expect(broke.headers[.shouldRetry] == "false")
            #expect(try broke.error["type"] == "insufficient_quota")
        }
        #expect(server.model.requests.isEmpty)
        #expect(server.gatekeeper.settled.isEmpty)
    }

    @Test func limitsAreToldInHeaders() async throws {
        let server = TestServer()
        server.gatekeeper.show(
            RateLimits(
                requests: RateLimits.Limit(limit: 60, remaining: 59, reset: 1),
                tokens: RateLimits.Limit(limit: 1000, remaining: -5, reset: 360.5)))
        try await server.test { client async throws in
            for isStream in [false, true] {
                let headers = try await client.post(Self.path, hello(("stream", .bool(isStream)))).headers
                func field(_ name: String) -> String? { headers[HTTPField.Name("x-ratelimit-\(name)")!] }
                #expect(field("limit-requests") == "60")
                #expect(field("remaining-requests") == "59")
                #expect(field("reset-requests") == "1s")
                #expect(field("limit-tokens") == "1000")
                #expect(field("remaining-tokens") == "0")
                #expect(field("reset-tokens") == "6m0s")
            }
        }
    }

    @Test func aPromptThatFillsTheContextIsRefusedBeforeItIsReserved() async throws {
        let server = TestServer(FakeModel(contextLength: 10))
        try await server.test { client async throws in
            let response = try await client.post(
                Self.path, hello(("messages", [["role": "user", "content": "0123456789"]])))
            #expect(response.status == .badRequest)
            #expect(try response.error["code"] == "context_length_exceeded")
        }
        #expect(server.gatekeeper.reserved.isEmpty)
    }

    @Test func answersAreCutToWhatTheContextAndTheOperatorAllow() async throws {
        var server = TestServer(FakeModel(contextLength: 100))
        let model = server.model
        try await server.test { client async throws in
            _ = try await client.post(Self.path, hello(("max_tokens", 5000)))
        }
        #expect(model.requests.last?.options.maximumTokens == 98)
        server.configuration.serving.maximumTokens = 20
        try await server.test { client async throws in
            _ = try await client.post(Self.path, hello())
            _ = try await client.post(Self.path, hello(("max_tokens", 7)))
        }
        #expect(model.requests.suffix(2).map(\.options.maximumTokens) == [20, 7])
    }

    @Test func aChargeThatFailsIsTriedAgain() async throws {
        let server = TestServer()
        server.gatekeeper.failSettlements(3)
        try await server.test { client async throws in
            #expect(try await client.post(Self.path, hello()).status == .ok)
        }
        #expect(server.gatekeeper.settled.count == 1)
        #expect(server.log.all.filter { $0.contains("could not be charged") }.count == 3)
    }

    @Test func everyEndIsAudited() async throws {
        let server = TestServer()
        try await server.test { client async throws in
            _ = try await client.post(Self.path, hello())
        }
        let entry = try #require(server.audit.entries.first)
        #expect(entry.requestID == server.gatekeeper.reserved.first?.requestID)
        #expect(entry.keyID == "wk_user" && entry.tenant == "tenant-a" && entry.model == "fake")
        #expect(entry.endpoint == Self.path && entry.status == 200 && entry.outcome == "stop")
        #expect(entry.answer == "Hello world")
        #expect(String(decoding: entry.prompt, as: UTF8.self) == hello().text())
    }

    @Test func nothingRunsWhereTheAuditIsRequiredAndBroken() async throws {
        let server = TestServer()
        server.audit.breakDown()
        try await server.test { client async throws in
            let response = try await client.post(Self.path, hello())
            #expect(response.status == .serviceUnavailable)
            #expect(try response.error["code"] == "audit_unavailable")
        }
        #expect(server.model.requests.isEmpty)
        #expect(server.gatekeeper.reserved.isEmpty)
    }

    @Test func aModelThatStopsWithoutAnEndIsAnError() async throws {
        let server = TestServer(
            FakeModel { [.event(.started(FakeModel.usage($0))), .event(.text("Hal"))] })
        try await server.test { client async throws in
            let response = try await client.post(Self.path, hello())
            #expect(response.status == .internalServerError)
            #expect(try response.error["code"] == "incomplete_answer")
        }
        let settled = try #require(server.gatekeeper.settled.first)
        #expect(settled.outcome == .failed("incomplete_answer"))
        #expect(settled.usage.answerTokens == 3)
    }

    @Test func anUpstreamsPromptIsEstimated() async throws {
        let server = TestServer(FakeModel(countsPrompts: false))
        try await server.test { client async throws in
            #expect(try await client.post(Self.path, hello()).status == .ok)
        }
        let claim = try #require(server.gatekeeper.reserved.first)
        #expect(claim.isEstimate)
        #expect(claim.promptTokens >= 2)
        #expect(server.gatekeeper.settled.first?.usage.promptTokens == 2)
    }

    @Test func furtherChoicesStartWhenTheFirstHasItsFirstToken() async throws {
        let server = TestServer(
            FakeModel { request in
                [
                    .event(.started(FakeModel.usage(request))), .wait(.milliseconds(200)), .event(.text("x")),
                    .event(.finish(.stop, FakeModel.usage(request))),
                ]
            })
        async let done: Void = server.test { client async throws in
            _ = try await client.post(Self.path, hello(("n", 4)))
        }
        try await eventually("the first runs") { server.model.counts.started >= 1 }
        #expect(server.model.counts.started == 1)
        try await done
        #expect(server.model.counts.started == 4)
    }

    @Test func metricsCountWhatHappened() async throws {
        let server = TestServer()
        try await server.test { client async throws in
            _ = try await client.post(Self.path, hello())
            _ = try await client.post(Self.path, hello(("n", 0)))
            _ = try await client.post(Self.path, hello(), key: "wrong")
        }
        let page = server.metrics.page(accept: nil).body
        #expect(page.contains("walet_prompt_tokens_total{model=\"fake\"} 2"))
        #expect(page.contains("finished_reason=\"stop\""))
        #expect(page.contains("kind=\"invalid_request\""))
        #expect(page.contains("kind=\"authentication\""))
        #expect(page.contains("route=\"/v1/chat/completions\""))
    }

    // MARK: The end of the server

    @Test func aServerThatGoesDownFinishesWhatRunsAndTakesNothingNew() async throws {
        let server = TestServer(
            FakeModel { request in
                [
                    .event(.started(FakeModel.usage(request))), .event(.text("a")), .wait(.milliseconds(300)),
                    .event(.text("b")), .event(.finish(.stop, FakeModel.usage(request))),
                ]
            })
        try await Self.drain(server, limit: .seconds(60)) { port, endServer in
            let running = try await RawConnection.open(port: port)
            let waiting = try await RawConnection.open(port: port)
            let body = hello(("stream", true)).text()
            let request = postHead(Self.path, ["Content-Length: \(body.utf8.count)"]) + body
            await running.send(request)
            try await eventually("the model runs") { server.model.counts.running == 1 }
            await endServer()
            try await eventually("the server drains") { server.drain.isDraining }
            await waiting.send(request)
            let (refused, _) = await waiting.read { $0.contains("shutting_down") }
            #expect(refused.hasPrefix("HTTP/1.1 503 "))
            #expect(refused.lowercased().contains("retry-after: 10"))
            #expect(refused.lowercased().contains("connection: close"))
            let (text, _) = await running.read()
            #expect(text.contains("data: [DONE]"))
        }
        #expect(server.gatekeeper.settled.map(\.outcome) == [.completed])
    }

    @Test func whatTakesTooLongIsStoppedAndCharged() async throws {
        let server = TestServer(
            FakeModel { [.event(.started(FakeModel.usage($0))), .event(.text("abc")), .hang] })
        try await Self.drain(server, limit: .milliseconds(100)) { port, endServer in
            let connection = try await RawConnection.open(port: port)
            let body = hello(("stream", true)).text()
            await connection.send(postHead(Self.path, ["Content-Length: \(body.utf8.count)"]) + body)
            try await eventually("the model runs") { server.model.counts.running == 1 }
            await endServer()
            let (text, isClosed) = await connection.read()
            #expect(isClosed)
            #expect(text.contains("shutting_down"))
            #expect(!text.contains("[DONE]"))
        }
        let settled = try #require(server.gatekeeper.settled.first)
        #expect(settled.outcome == .cancelled)
        #expect(settled.usage.answerTokens == 3)
    }

    /// Runs a server as the process does, until the body has ended it.
    private static func drain(
        _ server: TestServer, limit: Duration,
        _ body: @escaping @Sendable (Int, @escaping @Sendable () async -> Void) async throws -> Void
    ) async throws {
        var server = server
        server.configuration.port = 0
        let (ports, continuation) = AsyncStream.makeStream(of: Int.self)
        let frontEnd = try server.frontEnd { port in if let port { continuation.yield(port) } }
        let services = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: [
                    frontEnd.application,
                    DrainService(drain: server.drain, active: server.active, limit: limit, logger: server.logger),
                ], logger: server.logger))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await services.run() }
            var iterator = ports.makeAsyncIterator()
            let port = try #require(await iterator.next())
            try await body(port) { await services.triggerGracefulShutdown() }
            // The process ends by itself.
            try await group.waitForAll()
        }
    }
}
