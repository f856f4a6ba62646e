import Foundation
import Testing
import WaletAccounts
import WaletJSON

@Suite struct MoneyTests {
    private static let fixture: JSONValue = {
        let data = try! Data(contentsOf: Fixtures.folder.appending(path: "money.json"))
        return try! JSONValue(parsing: data)
    }()

    @Test func costsAreThoseOfPythonsDecimal() throws {
        let cases = try #require(Self.fixture["costs"]?.arrayValue)
        #expect(cases.count > 200)
        for item in cases {
            func amount(_ name: String) throws -> Money {
                try Money(parsing: try #require(item["price"]?[name]?.stringValue))
            }
            let price = try Price(fresh: amount("input"), cached: amount("cached_input"), output: amount("output"))
            let (fresh, cached) = (try #require(item["fresh"]?.intValue), try #require(item["cached"]?.intValue))
            let output = try #require(item["output"]?.intValue)
            let counts = TokenCounts(prompt: fresh + cached, cached: cached, output: output)
            #expect(try price.cost(of: counts).text(minimumDecimals: 9) == item["cost"]?.stringValue)
            #expect(try price.cost(of: counts) <= price.worstCase(prompt: fresh + cached, output: output))
        }
    }

    @Test func amountsAreReadAsPythonsDecimalReadsThemOrNotAtAll() throws {
        for item in try #require(Self.fixture["amounts"]?.arrayValue) {
            let text = try #require(item["text"]?.stringValue)
            let expected = item["nanodollars"]?.intValue.map { Money(nanodollars: Int64($0)) }
            #expect((try? Money(parsing: text)) == expected, "\(text)")
        }
    }

    @Test func amountsArePrintedExactly() {
        #expect("\(Money(nanodollars: 0))" == "0.00")
        #expect("\(Money(nanodollars: 560))" == "0.00000056")
        #expect("\(Money(nanodollars: 5_000_000_000))" == "5.00")
        #expect("\(Money(nanodollars: -1_500_000_000))" == "-1.50")
        #expect("\(Money(nanodollars: .max))" == "9223372036.854775807")
        #expect("\(Money(nanodollars: .min))" == "-9223372036.854775808")
        #expect(Money(nanodollars: 1_000_000_000).text(minimumDecimals: 0) == "1")
        #expect(Money(nanodollars: 1).text(minimumDecimals: 99) == "0.000000001")
    }

    @Test func everyAmountIsReadBackFromItsText() throws {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<2000 {
            let money = Money(nanodollars: Int64.random(in: 0...Int64.max, using: &random) >> Int64.random(in: 0...62))
            #expect(try Money(parsing: "\(money)") == money)
            #expect(money.text(minimumDecimals: money.decimals) == money.text(minimumDecimals: 0))
        }
    }

    @Test func countsThatAreNoCountsAreErrors() throws {
        let price = Price.standard
        for counts in [
            TokenCounts(prompt: -1, cached: 0, output: 0), TokenCounts(prompt: 1, cached: -1, output: 0),
            TokenCounts(prompt: 1, cached: 2, output: 0), TokenCounts(prompt: 1, cached: 0, output: -1),
            TokenCounts(prompt: .max, cached: 0, output: 0), TokenCounts(prompt: .min, cached: .max, output: .min),
            TokenCounts(prompt: 0, cached: 0, output: .max),
            TokenCounts(prompt: 0, cached: 0, output: 1, reasoning: -1),
            TokenCounts(prompt: 0, fresh: .max, cached: .max, output: 0, reasoning: 0),
        ] {
            #expect(throws: AccountsError.self) { try price.cost(of: counts) }
        }
        #expect(throws: AccountsError.tokensDoNotAddUp("5 cached and 4 fresh are not a prompt of 10")) {
            try price.cost(of: TokenCounts(prompt: 10, fresh: 4, cached: 5, output: 0, reasoning: 0))
        }
        #expect(throws: AccountsError.tokensDoNotAddUp("3 reasoning tokens are more than the output of 2")) {
            try price.cost(of: TokenCounts(prompt: 0, cached: 0, output: 2, reasoning: 3))
        }
    }

    @Test func aCostBeyondSixtyFourBitsIsAnError() throws {
        let dear = try Price(fresh: Money("1000000"), cached: .zero, output: .zero)
        #expect(throws: AccountsError.self) {
            try dear.cost(of: TokenCounts(prompt: 1 << 40, cached: 0, output: 0))
        }
        #expect(throws: AccountsError.self) {
            try Price(fresh: Money("1000000.000000001"), cached: .zero, output: .zero)
        }
        #expect(throws: AccountsError.self) { try Price(fresh: Money(nanodollars: -1), cached: .zero, output: .zero) }
    }

    @Test func theWorstCaseIsTheDearerOfFreshAndCached() throws {
        let odd = try Price(fresh: Money("1"), cached: Money("2"), output: Money("3"))
        #expect(try odd.worstCase(prompt: 1_000_000, output: 1_000_000) == Money("5"))
        #expect(try Price.standard.worstCase(prompt: 1_000_000, output: 1_000_000) == Money("2.80"))
    }
}
