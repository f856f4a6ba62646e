import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import Logging
import NIOCore
import Testing
import Walet
import WaletAccounts

@testable import WaletServer

/// The server over real keys and a real ledger.
@Suite struct AccountsTests {
    private static let path = "/v1/chat/completions"

    /// Accounts in a file of their own, and a server that keeps to them.
    private static func with(
        _ model: FakeModel = FakeModel(),
        _ body: @escaping @Sendable (Accounts, any TestClientProtocol) async throws -> Void
    ) async throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "walet-\(UUID().uuidString).sqlite").path
        defer { for suffix in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: path + suffix) } }
        let accounts = try await Accounts.open(.sqlite(path), durability: .process)
        let server = TestServer(model)
        let serving = Serving(
            models: server.registry, gatekeeper: AccountsGatekeeper(accounts, logger: server.logger),
            audit: server.audit, metrics: server.metrics)
        let frontEnd = try HTTPFrontEnd(
            server.configuration, serving: serving, settings: server.settings, logger: server.logger)
        do {
            try await frontEnd.application.test(.router) { client in try await body(accounts, client) }
        } catch {
            await accounts.close()
            throw error
        }
        await accounts.close()
    }

    @Test func whatAClientReceivesIsWhatTheLedgerSays() async throws {
        let model = FakeModel { request in
            [
                .event(.started(FakeModel.usage(request, cached: 1, answer: 0))), .event(.text("abc")),
                .event(.finish(.stop, FakeModel.usage(request, cached: 1, answer: 7, thinking: 3))),
            ]
        }
        try await Self.with(model) { accounts, client in
            let (key, secret) = try await accounts.createKey(KeySpecification(name: "k", tenant: "t"))
            for isStream in [false, true] {
                let response = try await client.post(Self.path, hello(("stream", .bool(isStream))), key: secret)
                #expect(response.status == .ok)
            }
            let rows = try await accounts.ledger()
            #expect(rows.count == 2)
            for row in rows {
                #expect(row.keyID == key.id && row.tenant == "t" && row.model == "fake" && row.endpoint == Self.path)
                #expect(row.counts == TokenCounts(prompt: 2, cached: 1, output: 7, reasoning: 3))
                #expect(row.outcome == .completed)
                #expect(row.requestID.hasPrefix("req_"))
            }
            #expect(try await accounts.inFlight().isEmpty)
            #expect(try await accounts.verifyLedger().isCorrect)
        }
    }

    @Test func aLimitIsRefusedWithTheTimeToWait() async throws {
        try await Self.with { accounts, client in
            let specification = KeySpecification(name: "k", limits: Limits(requestsPerMinute: 2))
            let (_, secret) = try await accounts.createKey(specification)
            let first = try await client.post(Self.path, hello(), key: secret)
            #expect(first.headers[HTTPField.Name("x-ratelimit-limit-requests")!] == "2")
            #expect(first.headers[HTTPField.Name("x-ratelimit-remaining-requests")!] == "1")
            _ = try await client.post(Self.path, hello(), key: secret)
            let refused = try await client.post(Self.path, hello(), key: secret)
            #expect(refused.status == .tooManyRequests)
            #expect(try refused.error["code"] == "rate_limit_exceeded")
            #expect(refused.headers[.retryAfter].flatMap { Int($0) }.map { (1...61).contains($0) } == true)
        }
    }

    @Test func aBudgetIsRefusedForGood() async throws {
        try await Self.with { accounts, client in
            let budget = Money(nanodollars: 1_000_000)
            let specification = KeySpecification(name: "k", limits: Limits(dayBudget: budget))
            let (_, secret) = try await accounts.createKey(specification)
            let small = try await client.post(Self.path, hello(("max_tokens", 10)), key: secret)
            #expect(small.status == .ok)
            let large = try await client.post(Self.path, hello(("max_tokens", 90_000)), key: secret)
            #expect(large.status == .tooManyRequests)
            #expect(try large.error["type"] == "insufficient_quota")
            #expect(large.headers[.shouldRetry] == "false")
        }
    }

    @Test func revokedKeysAndForeignModelsAreRefused() async throws {
        try await Self.with { accounts, client in
            let specification = KeySpecification(name: "k", models: ["own/er"])
            let (key, secret) = try await accounts.createKey(specification)
            #expect(try await client.post(Self.path, hello(), key: secret).status == .notFound)
            #expect(try await client.post(Self.path, hello(("model", "own/er")), key: secret).status == .ok)
            try await accounts.revoke(key.id)
            try await eventually("the key is gone") {
                try await client.post(Self.path, hello(("model", "own/er")), key: secret).status == .unauthorized
            }
            #expect(try await client.get("/v1/models", key: nil).status == .unauthorized)
        }
    }

    @Test func anOpenServerChargesItsOwnKeyAndStaysOpen() async throws {
        try await Self.with { accounts, client in
            for _ in 0..<2 { #expect(try await client.post(Self.path, hello(), key: nil).status == .ok) }
            #expect(try await accounts.ledger().map(\.keyID) == ["wk_open", "wk_open"])
            let (_, secret) = try await accounts.createKey(KeySpecification(name: "k", role: .operator))
            // The first key ends the openness.
            try await eventually("the server is closed") {
                try await client.get("/v1/models", key: nil).status == .unauthorized
            }
            let usage = try await client.get("/admin/usage", key: secret).json
            #expect(usage["days"]?.arrayValue?.count == 14)
            let open = try #require(usage["keys"]?.arrayValue?.first { $0["id"] == "wk_open" })
            #expect(open["state"] == "active")
            #expect(open.at("days.0.requests") == 2)
            #expect(open.at("days.0.fresh") == 4)
            #expect(open.at("days.0.output") == 4)
        }
    }

    @Test func pricesAreToldByTheMillion() async throws {
        try await Self.with { _, client in
            let pricing = try await client.get("/v1/models/fake", key: nil).json.at("walet.pricing")
            #expect(pricing == ["input": "0.56", "cached_input": "0.14", "output": "2.24", "currency": "USD"])
        }
    }
}
