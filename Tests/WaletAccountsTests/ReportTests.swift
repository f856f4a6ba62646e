import Foundation
import Testing
import WaletAccounts
import WaletJSON

/// Reports against Python's csv and decimal.
@Suite struct ReportTests {
    private static let fixture: JSONValue = {
        let data = try! Data(contentsOf: Fixtures.folder.appending(path: "report.json"))
        return try! JSONValue(parsing: data)
    }()

    /// Accounts with the fixture's requests, in their order: the clock goes to and fro.
    private func filled(_ database: TestDatabase) async throws -> Accounts {
        let clock = TestClock("2026-10-30T00:00:00Z")
        let prices = try PriceList(json: try #require(Self.fixture["prices"]), source: "fixture")
        let accounts = try await database.open(prices: prices, clock: clock)
        var principals: [String: Principal] = [:]
        for item in try #require(Self.fixture["requests"]?.arrayValue) {
            func text(_ name: String) throws -> String { try #require(item[name]?.stringValue) }
            func count(_ name: String) throws -> Int { try #require(item[name]?.intValue) }
            let tenant = try text("tenant")
            if principals[tenant] == nil {
                principals[tenant] = try await accounts.makePrincipal(
                    KeySpecification(name: "key of \(tenant)", tenant: tenant))
            }
            clock.set(try text("time"))
            let reservation = try await accounts.reserve(
                try #require(principals[tenant]), model: try text("model"), endpoint: try text("endpoint"),
                promptTokens: try count("prompt"), maximumOutputTokens: try count("output"), requestID: try text("id"))
            let outcome = try #require(Outcome(name: text("outcome"), detail: "why"))
            let counts = TokenCounts(
                prompt: try count("prompt"), cached: try count("cached"), output: try count("output"),
                reasoning: try count("reasoning"))
            try await accounts.settle(reservation, counts, outcome: outcome)
        }
        return accounts
    }

    @Test(arguments: StoreKind.available)
    func reportsAreThoseOfPythonsCSVAndDecimal(kind: StoreKind) async throws {
        let accounts = try await filled(try TestDatabase(kind))
        let comparison = try ListPrices.parse(try #require(Self.fixture["comparison"]), source: "fixture")
        for expected in try #require(Self.fixture["reports"]?.arrayValue) {
            let groupings = try #require(expected["by"]?.arrayValue).map {
                try #require(UsageQuery.Grouping(rawValue: $0.stringValue ?? ""))
            }
            let query = UsageQuery(
                by: groupings, from: expected["from"]?.stringValue.flatMap(UTCTime.parse),
                to: expected["to"]?.stringValue.flatMap(UTCTime.parse), comparison: comparison)
            let report = try await accounts.usage(query)
            #expect(report.csv() == expected["csv"]?.stringValue, "by \(groupings)")
            #expect(report.total.cost.text(minimumDecimals: 9) == expected["total"]?.stringValue)

            // JSON and table say the same.
            let json = try JSONValue(parsing: report.json().text())
            #expect(json["total"]?["cost_usd"]?.stringValue == expected["total"]?.stringValue)
            let rows = try #require(json["rows"]?.arrayValue)
            #expect(rows.count == report.rows.count)
            let sum = rows.map { Decimal(string: $0["cost_usd"]?.stringValue ?? "")! }.reduce(0, +)
            #expect(sum == Decimal(string: expected["total"]?.stringValue ?? ""))
            #expect(
                rows.allSatisfy {
                    $0["fresh_tokens"]!.intValue! + $0["cached_tokens"]!.intValue! == $0["prompt_tokens"]!.intValue!
                })
            #expect(report.table().split(separator: "\n").count >= report.rows.count + 2)
        }
        await accounts.close()
    }

    @Test(arguments: StoreKind.available)
    func totalsAreTheSumsOfTheirRowsWhateverTheGrouping(kind: StoreKind) async throws {
        let accounts = try await filled(try TestDatabase(kind))
        let verification = try await accounts.verifyLedger()
        #expect(verification.mistakes == [] && verification.rows == 160)
        let all = UsageQuery.Grouping.allCases
        for first in all {
            for second in all where second != first {
                let report = try await accounts.usage(UsageQuery(by: [first, second]))
                #expect(report.total.cost == verification.cost && report.total.tokens == verification.tokens)
                #expect(report.rows.map(\.requests).reduce(0, +) == 160)
                #expect(Set(report.rows.map(\.group)).count == report.rows.count)
            }
        }
        let one = try await accounts.usage(UsageQuery(by: []))
        #expect(one.rows.count == 1 && one.rows[0] == one.total && one.total.cost == verification.cost)
        await accounts.close()
    }

    @Test(arguments: StoreKind.available)
    func reportsByKeyNameTheKeyAndCanBeOfOneKeyTenantOrModel(kind: StoreKind) async throws {
        let accounts = try await filled(try TestDatabase(kind))
        let report = try await accounts.usage(UsageQuery(by: [.key, .tenant]))
        #expect(report.rows.allSatisfy { $0.keyName == "key of \($0.group[1])" })
        let row = try #require(report.rows.first { $0.group[1] == "hr" })
        #expect(try await accounts.usage(UsageQuery(by: [], key: row.group[0])).total.cost == row.cost)
        #expect(try await accounts.usage(UsageQuery(by: [], key: "key of hr")).total.cost == row.cost)
        #expect(try await accounts.usage(UsageQuery(by: [], tenant: "hr")).total.cost == row.cost)
        #expect(try await accounts.usage(UsageQuery(by: [], tenant: "' OR '1'='1")).total.requests == 0)
        #expect(try await accounts.usage(UsageQuery(by: [.day], model: "kimi-k2")).total.requests < 160)
        #expect(
            await accountsError { _ = try await accounts.usage(UsageQuery(key: "nobody")) } == .unknownKey("nobody"))
        #expect(report.csv().hasPrefix("key,name,tenant,requests,"))
        await accounts.close()
    }

    @Test(arguments: StoreKind.available)
    func anEmptyLedgerHasAnEmptyReport(kind: StoreKind) async throws {
        let accounts = try await TestDatabase(kind).open()
        for groupings in [[], [UsageQuery.Grouping.day], [.key, .month]] {
            let report = try await accounts.usage(UsageQuery(by: groupings, comparison: ListPrices.standard))
            #expect(report.rows.isEmpty && report.total.requests == 0 && report.total.cost == .zero)
            #expect(report.table().contains("USD") && report.json()["rows"] == [])
        }
        #expect(await accountsError { _ = try await accounts.usage(UsageQuery(by: [.day, .day])) } != nil)
        #expect(
            await accountsError {
                _ = try await accounts.usage(
                    UsageQuery(from: UTCTime.parse("2026-02-01"), to: UTCTime.parse("2026-01-01")))
            } != nil)
        await accounts.close()
    }

    @Test(arguments: StoreKind.available)
    func aTableShowsExactSumsAndWhatOthersWouldHaveCharged(kind: StoreKind) async throws {
        let clock = TestClock()
        let accounts = try await TestDatabase(kind).open(clock: clock)
        let principal = try await accounts.makePrincipal(KeySpecification(name: "a", tenant: "hr"))
        for (id, cached) in [("r1", 0), ("r2", 750_000)] {
            let reservation = try await accounts.reserve(principal, id, prompt: 1_000_000, output: 10_000)
            try await accounts.settle(
                reservation, TokenCounts(prompt: 1_000_000, cached: cached, output: 10_000), outcome: .completed)
        }
        _ = try await accounts.reserve(principal, "r3")
        try await accounts.life.end()
        let comparison = ListPrices.standard.filter { ["GPT-5", "Kimi K2 Thinking"].contains($0.name) }
        let table = try await accounts.usage(UsageQuery(by: [.tenant, .day], comparison: comparison)).table()
        #expect(
            table == """
                TENANT  DAY         REQUESTS   PROMPT  CACHED   HITS  OUTPUT  REASONING     USD  UNSETTLED
                hr      2026-11-25         3  2000000  750000  37.5%   20000          0  0.8498          1
                total                      3  2000000  750000  37.5%   20000          0  0.8498          1

                THE SAME TOKENS AT  OF          INPUT  CACHED  OUTPUT      USD  AGAINST WALET
                Walet                                                  0.84980          1.00x
                Kimi K2 Thinking    2025-11-06   0.56    0.14    2.24  0.84980          1.00x
                GPT-5               2026-11-25   1.25   0.125   10.00  1.85625          2.18x
                """)
        await accounts.close()
    }

    @Test func cellsAreQuotedAndNoFormulas() {
        func cell(_ text: String) -> String { String(CSV.text([[.text(text)]]).dropLast()) }
        #expect(CSV.text([[.text("a"), .number("1")], [.text(""), .number("-1")]]) == "a,1\r\n,-1\r\n")
        for (text, expected) in [
            ("=1+1", "'=1+1"), ("+1", "'+1"), ("-1", "'-1"), ("@SUM(A1)", "'@SUM(A1)"), ("\t=1", "'\t=1"),
            ("\r=1", "\"'\r=1\""), ("a,b", "\"a,b\""), ("a\"b", "\"a\"\"b\""), ("a\nb", "\"a\nb\""), ("a=1", "a=1"),
            ("=a,\"b\"", "\"'=a,\"\"b\"\"\""), ("＝1", "'＝1"),
            ("\"\u{301}a", "\"\"\"\u{301}a\""), (",\u{301}", "\",\u{301}\""), ("=\u{301}", "'=\u{301}"),
        ] {
            #expect(cell(text) == expected, "\(text)")
        }
    }

    @Test(arguments: StoreKind.available)
    func rowsOfTheLedgerAreWrittenWithAllOfTheirFields(kind: StoreKind) async throws {
        let accounts = try await filled(try TestDatabase(kind))
        let rows = try await accounts.ledger(LedgerQuery(limit: 10_000))
        #expect(rows.count == 160)
        for row in rows {
            #expect(row.cells.count == LedgerRow.fields.count)
            let json = try JSONValue(parsing: row.json.text())
            #expect(json.objectValue?.keys == LedgerRow.fields)
            #expect(json["prompt_tokens"]?.intValue == row.counts.prompt)
            #expect(json["cost_usd"]?.stringValue == row.cost.text(minimumDecimals: 9))
            #expect(json["decode_seconds"]?.doubleValue == 0)
        }
        #expect(zip(rows, rows.dropFirst()).allSatisfy { $0.sequence < $1.sequence })
        await accounts.close()
    }
}
