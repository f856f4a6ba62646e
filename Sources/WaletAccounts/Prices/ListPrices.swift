// What others charge, for comparison.

import Foundation
import WaletJSON

/// A published price of somebody else's API, as of a day.
public struct ListPrice: Sendable, Hashable {
    public let name: String
    public let price: Price
    /// The day on which the price was seen.
    public let date: UTCDay

    public init(name: String, price: Price, date: UTCDay) {
        self.name = name
        self.price = price
        self.date = date
    }
}

/// Published prices to compare with, built in or from a file:
///
/// ```json
/// [{"name": "GPT-5", "date": "2026-11-20", "input": "1.25", "cached_input": "0.125", "output": "10"}]
/// ```
public enum ListPrices {
    /// Prices of text tokens per million, without batch, night or long-context rates. Kimi K2 Thinking is Moonshot's own
    /// price at its release; the others are those that the price map of litellm 1.109.1 gives (read on the date shown).
    public static let standard: [ListPrice] = [
        entry("Kimi K2 Thinking", 560, 140, 2_240, UTCDay(year: 2025, month: 11, day: 6)),
        entry("Kimi K2.6", 950, 160, 4_000, seen),
        entry("Kimi K3", 3_000, 300, 15_000, seen),
        entry("DeepSeek chat (V3.2)", 280, 28, 420, seen),
        entry("DeepSeek V4 Pro", 1_320, 44, 3_960, seen),
        entry("GPT-5", 1_250, 125, 10_000, seen),
        entry("Claude Sonnet 4.5", 3_000, 300, 15_000, seen),
        entry("Gemini 2.5 Pro", 1_250, 125, 10_000, seen),
    ].compactMap(\.self)

    private static let seen = UTCDay(year: 2026, month: 11, day: 25)

    /// Thousandths of a dollar per million tokens.
    private static func entry(_ name: String, _ fresh: Int64, _ cached: Int64, _ output: Int64, _ date: UTCDay?)
        -> ListPrice?
    {
        guard let date,
            let price = try? Price(
                fresh: Money(nanodollars: fresh * 1_000_000), cached: Money(nanodollars: cached * 1_000_000),
                output: Money(nanodollars: output * 1_000_000))
        else { return nil }
        return ListPrice(name: name, price: price, date: date)
    }

    /// - Throws: ``AccountsError/file(path:reason:)``, ``AccountsError/invalidFile(path:field:expected:found:)``.
    public static func read(file: String) throws(AccountsError) -> [ListPrice] {
        try parse(try PriceFile.read(file), source: file)
    }

    /// - Parameter source: what errors call the document.
    public static func parse(_ json: JSONValue, source: String) throws(AccountsError) -> [ListPrice] {
        let file = PriceFile(source: source)
        guard let list = json.arrayValue else {
            throw .invalidFile(path: source, field: "the document", expected: "an array", found: json.kind)
        }
        guard list.count <= 100 else {
            throw .invalidFile(
                path: source, field: "the document", expected: "at most 100 prices", found: "\(list.count)")
        }
        var prices: [ListPrice] = []
        for (index, value) in list.enumerated() {
            let price = try file.price(value, "[\(index)]", others: ["name", "date"])
            guard let name = value["name"]?.stringValue, Names.isLabel(name) else {
                throw .invalidFile(
                    path: source, field: "[\(index)].name", expected: "a name", found: value["name"]?.kind ?? "nothing")
            }
            guard !prices.contains(where: { $0.name == name }) else {
                throw .invalidFile(path: source, field: "[\(index)].name", expected: "each name once", found: name)
            }
            guard let date = value["date"]?.stringValue.flatMap(UTCDay.init(parsing:)) else {
                throw .invalidFile(
                    path: source, field: "[\(index)].date", expected: "a day such as 2026-11-25",
                    found: AccountsError.excerpt(value["date"]?.stringValue ?? "nothing"))
            }
            prices.append(ListPrice(name: name, price: price, date: date))
        }
        return prices
    }
}
