import Foundation
import Testing
import WaletAccounts

@Suite struct KeyTests {
    @Test(
        .enabled(
            if: PostgresServer.programs != nil,
            "PostgreSQL's server is not installed: its half of these tests is not run"))
    func postgreSQLIsThere() throws { _ = try PostgresServer.running.get() }

    @Test(arguments: StoreKind.available)
    func aSecretIsShownOnceAndOnlyItsHashIsStored(kind: StoreKind) async throws {
        let database = try TestDatabase(kind)
        let accounts = try await database.open()
        let (key, secret) = try await accounts.createKey(KeySpecification(name: "payroll", tenant: "hr"))
        #expect(secret.wholeMatch(of: /walet-[A-Za-z0-9_-]{43}/) != nil)
        #expect(key.id.wholeMatch(of: /wk_[a-z0-9]{12}/) != nil)
        let other = try await accounts.createKey(KeySpecification(name: "payroll"))
        #expect(other.secret != secret && other.key.id != key.id)
        let principal = try #require(try await accounts.authenticate(secret))
        #expect(principal.id == key.id && principal.tenant == "hr" && principal.role == .user)
        if case .sqlite(let path) = database.location {
            await accounts.close()
            let files = try FileManager.default.contentsOfDirectory(atPath: database.folder.path)
            for file in files {
                let bytes = try Data(contentsOf: database.folder.appending(path: file))
                #expect(bytes.range(of: Data(secret.utf8)) == nil)
                #expect(bytes.range(of: Data(secret.dropFirst(6).utf8)) == nil)
            }
            let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
            #expect(mode == 0o600)
        } else {
            let stored = try await accounts.lanes.run(.lookup) {
                try $0.query("SELECT secret FROM walet_key").map { try $0.text(0) }
            }
            #expect(stored.count == 2 && stored.allSatisfy { $0.count == 64 && !$0.contains(secret) })
            await accounts.close()
        }
    }

    @Test(arguments: StoreKind.available)
    func whatIsNoSecretAuthenticatesNobody(kind: StoreKind) async throws {
        let accounts = try await TestDatabase(kind).open()
        let (key, secret) = try await accounts.createKey(KeySpecification(name: "a"))
        for wrong in [
            "", " ", key.id, "walet-", secret + " ", String(secret.dropLast()), secret.uppercased(), "' OR '1'='1",
            "'; DROP TABLE walet_key; --", "\0", secret + "\0", "walet-\0", "%", "*", "null",
            String(repeating: "a", count: 257), String(repeating: "😀", count: 1_000_000),
            "walet-" + String(repeating: "A", count: 43),
        ] {
            #expect(try await accounts.authenticate(wrong) == nil)
        }
        #expect(try await accounts.authenticate(secret) != nil)
        #expect(Secret.hash(String(repeating: "a", count: 256)) != nil)
        #expect(Secret.hash(String(repeating: "a", count: 257)) == nil)
        await accounts.close()
    }

    @Test func hashesAreComparedAndWrittenAsTheyShould() {
        #expect(
            Secret.hexadecimal(Secret.hash("abc")!)
                == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        let hash = Secret.hash("abc")!
        #expect(Secret.bytes(hexadecimal: Secret.hexadecimal(hash)) == hash)
        for index in hash.indices {
            var other = hash
            other[index] ^= 1
            #expect(!Secret.areEqual(hash, other))
        }
        #expect(
            Secret.areEqual(hash, hash) && !Secret.areEqual(hash, []) && !Secret.areEqual(hash, Array(hash.dropLast())))
        #expect(Secret.bytes(hexadecimal: "zz") == nil)
    }

    @Test(arguments: StoreKind.available)
    func aKeyKeepsEverythingThatIsSaidOfIt(kind: StoreKind) async throws {
        let database = try TestDatabase(kind)
        let accounts = try await database.open()
        let full = KeySpecification(
            name: "a", tenant: "t", role: .operator, models: ["m1", "m \"2\", x"],
            limits: Limits(
                requestsPerMinute: 1, tokensPerMinute: 1_000_000, concurrency: 3, dayBudget: Money("0.000000001"),
                monthBudget: Money("9000000000")), priority: -100, expiresAt: UTCTime.parse("2099-12-31T23:59:59Z"))
        let (key, _) = try await accounts.createKey(full)
        #expect(try await accounts.key(key.id).specification == full)
        let changed = try await accounts.update(key.id) {
            $0.name = "b"
            $0.models = nil
            $0.limits = Limits()
            $0.role = .admin
            $0.expiresAt = nil
            $0.priority = 100
        }
        #expect(changed.specification == KeySpecification(name: "b", tenant: "t", role: .admin, priority: 100))
        #expect(try await accounts.key("b") == changed)
        #expect(changed.createdAt == key.createdAt)
        await accounts.close()
        let again = try await database.open()
        #expect(try await again.keys() == [changed])
        await again.close()
    }

    @Test(arguments: StoreKind.available)
    func aNameThatTwoKeysHaveNeedsAnIdUntilOneIsRevoked(kind: StoreKind) async throws {
        let accounts = try await TestDatabase(kind).open()
        let (first, _) = try await accounts.createKey(KeySpecification(name: "a"))
        let (second, _) = try await accounts.createKey(KeySpecification(name: "a"))
        let error = await accountsError { _ = try await accounts.key("a") }
        #expect(error == .ambiguousKey("a", ids: [first.id, second.id].sorted()))
        try await accounts.revoke(first.id)
        #expect(try await accounts.key("a").id == second.id)
        #expect(try await accounts.keys().map(\.id) == [second.id])
        #expect(Set(try await accounts.keys(includingRevoked: true).map(\.id)) == [first.id, second.id])
        #expect(await accountsError { _ = try await accounts.key("b") } == .unknownKey("b"))
        #expect(await accountsError { _ = try await accounts.key("") } == .unknownKey(""))
        #expect(await accountsError { _ = try await accounts.key("a\0") } == .unknownKey("a\0"))
        await accounts.close()
    }

    @Test(arguments: StoreKind.available)
    func aRevokedKeyIsRefusedEverywhereAndStaysRevoked(kind: StoreKind) async throws {
        let accounts = try await TestDatabase(kind).open()
        let (key, secret) = try await accounts.createKey(KeySpecification(name: "a"))
        let principal = try #require(try await accounts.authenticate(secret))
        let running = try await accounts.reserve(principal, "r1")
        let revoked = try await accounts.revoke("a")
        #expect(revoked.isRevoked)
        #expect(try await accounts.authenticate(secret) == nil)
        #expect(try await accounts.refusal(principal, "r2")?.kind == .unauthorized)
        #expect(try await accounts.revoke(key.id) == revoked)
        #expect(
            await accountsError { _ = try await accounts.update(key.id) { $0.priority = 1 } } == .revokedKey(key.id))
        // What it had begun is still charged.
        let charge = try await accounts.settle(
            running, TokenCounts(prompt: 1000, cached: 0, output: 5), outcome: .completed)
        #expect(charge.cost == Money("0.0005712"))
        await accounts.close()
    }

    @Test(arguments: StoreKind.available)
    func changesByAnotherProcessCountWithinASecond(kind: StoreKind) async throws {
        let database = try TestDatabase(kind)
        let (server, tool) = (try await database.open(), try await database.open())
        let (key, secret) = try await tool.createKey(KeySpecification(name: "a"))
        // Waits as long as it takes; that it is a second at most is measured by the age that is allowed.
        func until(_ condition: (Principal?) -> Bool) async throws {
            while true {
                if condition(try await server.authenticate(secret)) { return }
                try await Task.sleep(for: .milliseconds(20))
            }
        }
        try await until { $0 != nil }
        try await tool.update(key.id) { $0.priority = 7 }
        try await until { $0?.priority == 7 }
        try await tool.revoke(key.id)
        try await until { $0 == nil }
        #expect(KeyDirectory.maximumAge < .seconds(1))
        await server.close()
        await tool.close()
    }

    @Test(arguments: StoreKind.available)
    func anExpiredKeyIsRefusedFromThatMomentOn(kind: StoreKind) async throws {
        let clock = TestClock()
        let accounts = try await TestDatabase(kind).open(clock: clock)
        let (_, secret) = try await accounts.createKey(
            KeySpecification(name: "a", expiresAt: UTCTime.parse("2026-11-25T12:00:10Z")))
        let principal = try #require(try await accounts.authenticate(secret))
        clock.advance(9.999)
        #expect(try await accounts.refusal(principal, "r1") == nil)
        clock.advance(0.001)
        #expect(try await accounts.authenticate(secret) == nil)
        let refusal = try #require(try await accounts.refusal(principal, "r2"))
        #expect(refusal.kind == .expired && refusal.retryAfter == nil && refusal.suggestedStatus == 401)
        await accounts.close()
    }

    @Test(arguments: StoreKind.available)
    func impossibleSpecificationsAreErrorsThatNameTheField(kind: StoreKind) async throws {
        let accounts = try await TestDatabase(kind).open()
        let (key, _) = try await accounts.createKey(KeySpecification(name: "good"))
        let wrong: [(String, @Sendable (inout KeySpecification) -> Void)] = [
            ("name", { $0.name = "" }), ("name", { $0.name = String(repeating: "a", count: 257) }),
            ("name", { $0.name = "a\nb" }), ("name", { $0.name = "a\0" }), ("name", { $0.name = "\u{1B}[2J" }),
            ("name", { $0.name = "a\u{202E}b" }), ("name", { $0.name = "wk_abc" }), ("tenant", { $0.tenant = "\t" }),
            ("models", { $0.models = [] }), ("models", { $0.models = [""] }),
            ("models", { $0.models = (0...1000).map { "m\($0)" } }),
            ("requests per minute", { $0.limits.requestsPerMinute = 0 }),
            ("requests per minute", { $0.limits.requestsPerMinute = -1 }),
            ("tokens per minute", { $0.limits.tokensPerMinute = .max }), ("concurrency", { $0.limits.concurrency = 0 }),
            ("day budget", { $0.limits.dayBudget = Money(nanodollars: -1) }),
            ("month budget", { $0.limits.monthBudget = Money(nanodollars: .min) }), ("priority", { $0.priority = 101 }),
        ]
        for (field, change) in wrong {
            var specification = KeySpecification(name: "a")
            change(&specification)
            for error in [
                await accountsError { [specification] in _ = try await accounts.createKey(specification) },
                await accountsError { _ = try await accounts.update(key.id, change) },
            ] {
                guard case .invalid(let found, _, _)? = error else {
                    Issue.record("\(field): \(String(describing: error))")
                    continue
                }
                #expect(found == field)
            }
        }
        #expect(try await accounts.keys() == [key])
        await accounts.close()
    }

    @Test(arguments: StoreKind.available)
    func serversWithoutKeysHaveOnePrincipalWithLimitsLikeAnyOther(kind: StoreKind) async throws {
        let database = try TestDatabase(kind)
        let accounts = try await database.open()
        let principal = try await accounts.openPrincipal()
        #expect(principal.id == "wk_open" && principal.role == .user)
        #expect(try await accounts.openPrincipal() == principal)
        #expect(try await accounts.refusal(principal, "r1") == nil)
        try await accounts.update("wk_open") { $0.limits.concurrency = 1 }
        #expect(try await accounts.refusal(principal, "r2")?.kind == .concurrency)
        // It has no secret, so none is its.
        #expect(try await accounts.authenticate("") == nil)
        await accounts.close()
    }

    @Test(arguments: StoreKind.available)
    func aKeysStatusSaysWhatItHasUsed(kind: StoreKind) async throws {
        let clock = TestClock("2026-11-24T12:00:00Z")
        let accounts = try await TestDatabase(kind).open(clock: clock)
        let principal = try await accounts.makePrincipal()
        let yesterday = try await accounts.reserve(principal, "r1")
        try await accounts.settle(yesterday, TokenCounts(prompt: 1000, cached: 1000, output: 100), outcome: .completed)
        clock.set("2026-11-25T12:00:00Z")
        let today = try await accounts.reserve(principal, "r2")
        try await accounts.settle(today, TokenCounts(prompt: 1000, cached: 0, output: 10), outcome: .completed)
        _ = try await accounts.reserve(principal, "r3")
        let status = try await accounts.status(of: principal.id)
        #expect(status.spentToday == Money("0.0005824"))
        #expect(status.spentThisMonth == Money("0.0009464"))
        #expect(status.reserved == Money("0.000784"))
        #expect(status.running == 1 && status.requestsLastMinute == 2 && status.tokensLastMinute == 2010)
        #expect(try await accounts.statuses() == [status])
        clock.set("2026-12-01T00:00:00Z")
        let next = try await accounts.status(of: "test")
        #expect(next.spentToday == .zero && next.spentThisMonth == .zero && next.requestsLastMinute == 0)
        await accounts.close()
    }
}
