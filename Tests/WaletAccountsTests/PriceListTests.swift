import Foundation
import Testing
import WaletAccounts
import WaletJSON

@Suite struct PriceListTests {
    private func list(_ text: String) throws -> PriceList {
        try PriceList(json: try JSONValue(parsing: text), source: "prices.json")
    }

    private func message(_ text: String) -> String {
        do {
            _ = try list(text)
            return "no error"
        } catch {
            return "\(error)"
        }
    }

    @Test func pricesAreReadFromStringsAndNumbersAlike() throws {
        let prices = try list(
            """
            {"default": {"input": "0.56", "cached_input": 0.14, "output": 2.24},
             "models": {"a": {"input": 1, "cached_input": "0.000000001", "output": 5e-7}}}
            """)
        #expect(prices.fallback == .standard)
        #expect(prices.entry(for: "b").price == .standard && prices.entry(for: "b").name == "*")
        let price = prices.entry(for: "a").price
        #expect(price.fresh == Money("1") && price.cached == Money("0.000000001") && price.output == Money("0.0000005"))
        #expect(try list("{}") == .standard)
    }

    @Test func errorsNameFileFieldExpectedAndFound() {
        #expect(message("[]") == "prices.json: the document: expected an object, found array")
        #expect(message(#"{"model": {}}"#) == "prices.json: the document: expected default, models, found model")
        #expect(
            message(#"{"default": {"input": "1", "output": "1"}}"#)
                == "prices.json: default.cached_input: expected US dollars per million tokens, found nothing")
        #expect(
            message(#"{"default": {"input": "1", "cached_input": "1", "ouput": "1"}}"#)
                == "prices.json: default: expected cached_input, input, output, found ouput")
        #expect(
            message(#"{"models": {"a": {"input": "-1", "cached_input": "1", "output": "1"}}}"#)
                == "prices.json: models.a.input: expected US dollars per million tokens such as 0.56, found -1")
        #expect(
            message(#"{"models": {"a": {"input": "1", "cached_input": -0.5, "output": "1"}}}"#)
                == "prices.json: models.a.cached_input: expected US dollars per million tokens such as 0.56, found -0.5"
        )
        #expect(
            message(#"{"models": {"*": {"input": "1", "cached_input": "1", "output": "1"}}}"#).contains(
                "names of models"))
        let twice =
            #"{"models": {"\u00e9": {"input": 1, "cached_input": 1, "output": 1}, "e\u0301": {"input": 1, "cached_input": 1, "output": 1}}}"#
        #expect(message(twice).contains("each name once"))
        #expect(
            message(#"{"models": {"": {"input": "1", "cached_input": "1", "output": "1"}}}"#).contains(
                "names of models"))
    }

    @Test(arguments: [
        "1e30", "1000000.1", "\"1000000.000000001\"", "0.0000000001", "\"0.0000000001\"", "1e-300", "1e308",
        "0.1234567890123456789", "true", "null", "[]", "{}", "\"\"", "\" 1\"", "\"1e2\"",
        "123456789012345678901234567890",
    ])
    func aPriceThatIsNoneIsAnError(text: String) {
        #expect(
            message(#"{"default": {"input": "1", "cached_input": "1", "output": \#(text)}}"#).hasPrefix(
                "prices.json: default.output: expected"))
    }

    @Test func aFileThatCannotBeReadIsAnError() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "walet-prices-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appending(path: "prices.json").path
        #expect(throws: AccountsError.file(path: path, reason: "No such file or directory")) {
            try PriceList(file: path)
        }
        #expect(throws: AccountsError.self) { try PriceList(file: folder.path) }
        try Data("{\"default\": ".utf8).write(to: URL(filePath: path))
        #expect(throws: AccountsError.self) { try PriceList(file: path) }
        try Data(repeating: UInt8(ascii: " "), count: PriceFile.maximumBytes + 1).write(to: URL(filePath: path))
        #expect(throws: AccountsError.self) { try PriceList(file: path) }
        try Data(String(repeating: "[", count: 100_000).utf8).write(to: URL(filePath: path))
        #expect(throws: AccountsError.self) { try PriceList(file: path) }
    }

    @Test func mutatedFilesGiveErrorsAndNothingElse() throws {
        let good = Array(
            #"{"default": {"input": "0.56", "cached_input": 0.14, "output": 2.24}, "models": {"a": {"input": 1, "cached_input": "0.5", "output": 5e-7}}}"#
                .utf8)
        var random = SplitMix(state: 7)
        for _ in 0..<3000 {
            var bytes = good
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0...2, using: &random) {
                case 0: bytes[place] = .random(in: 0...255, using: &random)
                case 1: bytes.remove(at: place)
                default: bytes.insert(bytes[Int.random(in: 0..<bytes.count, using: &random)], at: place)
                }
            }
            guard let json = try? JSONValue(parsing: bytes) else { continue }
            if let list = try? PriceList(json: json, source: "x") {
                for (_, price) in list.entries { #expect(price.fresh >= .zero && price.output <= Price.maximum) }
            }
        }
    }

    @Test func listPricesCanBeReplacedByAFileAndEachHasItsDay() throws {
        #expect(ListPrices.standard.count >= 6)
        let gpt = try #require(ListPrices.standard.first { $0.name == "GPT-5" })
        #expect(
            gpt.price.fresh == Money("1.25") && gpt.price.cached == Money("0.125") && gpt.price.output == Money("10"))
        func parse(_ text: String) throws -> [ListPrice] {
            try ListPrices.parse(try JSONValue(parsing: text), source: "list.json")
        }
        let own = try parse(
            #"[{"name": "A", "date": "2026-01-31", "input": "1", "cached_input": "0.1", "output": "2"}]"#)
        #expect(own.first?.name == "A" && own.first?.date == UTCDay(year: 2026, month: 1, day: 31))
        for text in [
            "{}", #"[{"name": "A", "input": "1", "cached_input": "0.1", "output": "2"}]"#, "[1]",
            #"[{"date": "2026-01-31", "input": "1", "cached_input": "0.1", "output": "2"}]"#,
            #"[{"name": "A", "date": "2026-02-31", "input": "1", "cached_input": "0.1", "output": "2"}]"#,
            #"[{"name": "A", "date": "2026-02-01", "input": "1", "cached_input": "0.1", "output": "2", "x": 1}]"#,
        ] {
            #expect(throws: AccountsError.self) { try parse(text) }
        }
    }
}

/// Random numbers from a seed.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}
