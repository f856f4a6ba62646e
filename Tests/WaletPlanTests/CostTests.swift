import Foundation
import Testing
import WaletJSON
import WaletPlan

@Suite struct CostTests {
    static let k2 = TokenPrice(name: "Kimi K2 Thinking", date: "2025-11-06", fresh: 0.56, cached: 0.14, output: 2.24)
    static let gpt5 = TokenPrice(name: "GPT-5", date: "2026-11-25", fresh: 1.25, cached: 0.125, output: 10)

    static var server: Ownership {
        var ownership = Ownership()
        ownership.capital = 20_000
        ownership.watts = 600
        ownership.staff = 6000
        ownership.other = 100
        return ownership
    }

    static let slow = Throughput(fresh: 60, cached: 6000, output: 8, origin: .given)

    @Test func deepSeeksPublishedDayIsReproducedWithinOnePercent() throws {
        for (what, published, computed) in try Published.check() {
            #expect(abs(computed / published - 1) < 0.01, "\(what): \(computed) against \(published)")
        }
        // The nodes' rent itself.
        let day = Published.day
        #expect(abs(day.nodes * 24 * day.ownership.costPerHour / day.cost - 1) < 1e-6)
    }

    @Test func trainingDeepSeekV3CostsWhatItsTableSays() throws {
        let training = try Published.training()
        #expect(training.hours == 2_788_000)
        #expect(training.cost == 5_576_000)
        #expect(abs(training.operations / 3.29e24 - 1) < 0.01)
        let parts = Published.trainingHours.map { $0.hours * 2 }
        #expect(parts == [5_328_000, 238_000, 10_000])
        #expect(training.rows.contains { $0[0] == "left out" && $0[1].contains("ablations") })
        // Kimi K2: 3.03e24 operations with 32.6 billion active parameters and 15.5 trillion tokens, below 1e25.
        let k2 = try TrainingCost(activeParameters: 32.6e9, tokens: 15.5e12)
        #expect(abs(k2.operations / 3.03e24 - 1) < 0.01)
        #expect(abs(k2.cost / (k2.operations / (989e12 * 0.35) / 3600 * 2) - 1) < 1e-9)
        #expect(k2.rows.last?[1].hasPrefix("30%") == true)
    }

    @Test func hoursAddUp() {
        let ownership = Self.server
        let causes = Dictionary(uniqueKeysWithValues: ownership.perHour.map { ($0.name, $0.cost) })
        #expect(abs((causes["capital"] ?? 0) - 20_000 / (4 * 8765.82)) < 1e-9)
        #expect(abs((causes["power"] ?? 0) - 0.6 * 1.4 * 0.20) < 1e-9)
        #expect(abs((causes["staff"] ?? 0) - 6000 / 8765.82) < 1e-9)
        #expect(abs((causes["other"] ?? 0) - 1200 / 8765.82) < 1e-9)
        // After as many years as the machines last, all that was spent is the hours' cost.
        #expect(abs(ownership.spent(years: 4) / (ownership.costPerHour * 4 * Ownership.hoursPerYear) - 1) < 1e-9)
        #expect(ownership.spent(years: 4.1) > ownership.spent(years: 4) + 20_000)
    }

    @Test func aTokenCostsItsTime() throws {
        let cost = try ServingCost(Self.server, Self.slow, utilisation: 0.5)
        let hour = Self.server.costPerHour
        #expect(abs(cost.perMillion.output - hour / (8 * 3600) * 1e6 / 0.5) < 1e-9)
        #expect(abs(cost.perMillion.fresh - hour / (60 * 3600) * 1e6 / 0.5) < 1e-9)
        // All tokens of a month at these prices are the month's cost.
        let month = cost.tokensPerMonth / 1e6 * cost.perMillionOfMix
        #expect(abs(month / Self.server.costPerMonth - 1) < 1e-9)
        let same = try ServingCost(Self.server, Self.slow, tokensPerMonth: cost.tokensPerMonth)
        #expect(abs(same.utilisation - 0.5) < 1e-9)
    }

    @Test func theBreakEvenIsWhereBothCostTheSame() throws {
        let cost = try ServingCost(
            Self.server, Throughput(fresh: 6000, cached: 600_000, output: 800, origin: .given), utilisation: 0.3)
        let comparison = cost.compared(with: Self.gpt5)
        let tokens = try #require(comparison.breakEven)
        let there = try ServingCost(Self.server, cost.throughput, tokensPerMonth: tokens)
        #expect(abs(there.perMillionOfMix / comparison.perMillionOfMix - 1) < 1e-9)
        #expect(abs(there.utilisation - comparison.breakEvenUtilisation) < 1e-9)
    }

    @Test func itSaysPlainlyWhenTheAPIIsCheaper() throws {
        let cost = try ServingCost(Self.server, Self.slow, utilisation: 0.3)
        let comparison = cost.compared(with: Self.k2)
        #expect(comparison.isCheaperThere && comparison.breakEven == nil)
        #expect(cost.verdict([Self.k2]).contains("The API is cheaper: Kimi K2 Thinking"))
        #expect(cost.verdict([Self.k2]).contains("No load of these machines changes that."))
        #expect(cost.comparisonRows([Self.k2])[1].contains("none: the API is cheaper at any load"))
        let fast = try ServingCost(
            Self.server, Throughput(fresh: 1e5, cached: 1e7, output: 2e4, origin: .given), utilisation: 0.5)
        #expect(fast.verdict([Self.k2, Self.gpt5]).contains("less than each"))
    }

    @Test func sensitivitiesGoTheRightWay() throws {
        let cost = try ServingCost(Self.server, Self.slow, utilisation: 0.5)
        let list = Dictionary(uniqueKeysWithValues: cost.sensitivities().map { ($0.name, ($0.half, $0.more)) })
        #expect(list.count == 9)
        for name in ["price of the machine", "staff", "other", "power, or its price"] {
            let (half, more) = try #require(list[name])
            #expect(half < cost.perMillionOfMix && more > cost.perMillionOfMix, "\(name)")
        }
        for name in ["years in use", "speed of decoding", "speed of prompts", "utilisation", "cached share of prompts"]
        {
            let (half, more) = try #require(list[name])
            #expect(half > cost.perMillionOfMix && more < cost.perMillionOfMix, "\(name)")
        }
        #expect(abs((list["utilisation"]?.0 ?? 0) / cost.perMillionOfMix - 2) < 1e-9)
        #expect(cost.tornado(against: [Self.k2]).bars.count == 9)
    }

    @Test func totalsOverYears() throws {
        let cost = try ServingCost(Self.server, Self.slow, utilisation: 0.5)
        let totals = cost.totals(years: 5, against: Self.k2)
        #expect(totals.count == 5)
        #expect(abs(totals[4].there / totals[0].there - 5) < 1e-9)
        #expect(totals[0].here > 20_000 && totals[4].here > totals[3].here + 20_000)
        #expect(cost.totalRows([Self.k2], years: 3).map(\.count) == [4, 4, 4])
        let json = try JSONValue(parsing: cost.json([Self.k2, Self.gpt5], years: 3).text())
        #expect(json["against"]?.arrayValue?.count == 2)
        #expect(json["against"]?.arrayValue?[0]["api_is_cheaper"] == true)
        #expect(json["against"]?.arrayValue?[0]["totals"]?.arrayValue?.count == 3)
        #expect(json["verdict"]?.stringValue?.contains("API is cheaper") == true)
    }

    @Test func wrongFiguresAreRefusedByName() throws {
        func error(_ body: () throws -> Void) -> String {
            do { try body() } catch { return "\(error)" }
            return ""
        }
        #expect(
            error { _ = try ServingCost(Ownership(), Self.slow, utilisation: 0.5) }.hasPrefix("cost: expected a price"))
        #expect(error { _ = try ServingCost(Self.server, Self.slow, utilisation: 0) }.hasPrefix("utilisation:"))
        #expect(error { _ = try ServingCost(Self.server, Self.slow, utilisation: 1.1) }.hasPrefix("utilisation:"))
        var wrong = Self.server
        wrong.pue = 0.5
        #expect(error { _ = try ServingCost(wrong, Self.slow, utilisation: 0.5) }.hasPrefix("PUE:"))
        wrong.pue = .nan
        #expect(error { _ = try ServingCost(wrong, Self.slow, utilisation: 0.5) }.hasPrefix("PUE:"))
        let none = TokenMix(fresh: 0, cached: 0, output: 0)
        #expect(error { _ = try ServingCost(Self.server, Self.slow, mix: none, utilisation: 1) }.hasPrefix("tokens:"))
        let much = error { _ = try ServingCost(Self.server, Self.slow, tokensPerMonth: 1e12) }
        #expect(much.contains("that takes") && much.contains("machines"))
        #expect(error { _ = try TrainingCost(activeParameters: 0, tokens: 1) }.hasPrefix("parameters:"))
        #expect(error { _ = try TrainingCost(activeParameters: 1, tokens: .infinity) }.hasPrefix("tokens:"))
    }

    @Test func mixesAreRead() throws {
        #expect(try TokenMix(parsing: "266,342,168", field: "x").shares == TokenMix.published.shares)
        #expect(try TokenMix(parsing: "1.5M,0,2e3", field: "x") == TokenMix(fresh: 1.5e6, cached: 0, output: 2000))
        for text in ["", "1", "1,2", "1,2,3,4", "0,0,0", "a,b,c", "1,,2", "-1,2,3"] {
            #expect(throws: PlanError.self, "\(text)") { try TokenMix(parsing: text, field: "x") }
        }
        var generator = SplitMix(state: 4)
        var accepted = 0
        for _ in 0..<20_000 {
            let text = String(decoding: mutate(Array("266,3.42M,168".utf8), &generator), as: UTF8.self)
            guard let mix = try? TokenMix(parsing: text, field: "x") else { continue }
            accepted += 1
            #expect(mix.total > 0 && abs(mix.shares.total - 1) < 1e-9)
        }
        #expect(accepted > 100)
    }

    @Test func amountsAreWrittenAsPeopleReadThem() {
        #expect(Amount.text(1234567.4) == "1,234,567" && Amount.text(0.146) == "0.15" && Amount.text(12) == "12.00")
        #expect(Amount.text(0.0123) == "0.0123" && Amount.text(0) == "0" && Amount.text(-1500) == "-1,500")
        #expect(Amount.count(1.234e9) == "1.23B" && Amount.count(2.788e6) == "2.79M" && Amount.count(12) == "12.0")
        #expect(Amount.count(.infinity) == "infT" || !Amount.count(.infinity).isEmpty)
    }
}

@Suite struct PowerMeterTests {
    private func zone(_ root: URL, _ name: String, _ label: String, _ energy: String?, range: String = "1000000") throws
    {
        let folder = root.appending(path: name)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try label.write(to: folder.appending(path: "name"), atomically: true, encoding: .utf8)
        try range.write(to: folder.appending(path: "max_energy_range_uj"), atomically: true, encoding: .utf8)
        if let energy { try energy.write(to: folder.appending(path: "energy_uj"), atomically: true, encoding: .utf8) }
    }

    private func withRoot(_ body: (URL) throws -> Void) throws {
        let root = FileManager.default.temporaryDirectory.appending(path: "walet-power-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: root, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: root) }
        try body(root)
    }

    @Test func packagesAndMemoryAreCountedAndCoresNotTwice() throws {
        try withRoot { root in
            try zone(root, "intel-rapl:0", "package-0\n", "500\n")
            try zone(root, "intel-rapl:0:0", "core\n", "400\n")
            try zone(root, "intel-rapl:0:1", "dram\n", "100\n")
            try zone(root, "dtpm", "package-0\n", "100\n")
            let meter = try PowerMeter(root: root.path)
            #expect(meter.counters.count == 2)
            #expect(try meter.watts(seconds: 0.05) == 0)
        }
    }

    @Test func aCounterThatBeganAgainIsUnderstood() {
        let counter = PowerMeter.Counter(path: "", range: 1_000_000)
        #expect(PowerMeter.joules(counter, 999_000, 2000) == 0.003)
        #expect(PowerMeter.joules(counter, 1000, 2_001_000) == 2)
    }

    @Test func whatCannotBeReadIsSaid() throws {
        try withRoot { root in
            #expect(throws: PlanError.self) { try PowerMeter(root: root.path) }
            try zone(root, "intel-rapl:0", "package-0", nil)
            let error = #expect(throws: PlanError.self) { try PowerMeter(root: root.path) }
            #expect(error?.description.contains("superuser") == true && error?.description.contains("--power") == true)
        }
    }

    @Test func damagedCountersAreAnErrorOrANumber() throws {
        var generator = SplitMix(state: 9)
        try withRoot { root in
            for _ in 0..<300 {
                let text = String(decoding: mutate(Array("262143328850\n".utf8), &generator), as: UTF8.self)
                try zone(root, "intel-rapl:0", "package-0", text, range: text)
                if let meter = try? PowerMeter(root: root.path) { #expect(meter.counters.count == 1) }
            }
        }
    }
}
