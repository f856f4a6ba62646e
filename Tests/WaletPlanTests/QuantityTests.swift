import Foundation
import Testing
import WaletPlan

@Suite struct QuantityTests {
    @Test func sizesAreRead() throws {
        for (text, bytes) in [
            ("0", 0), ("123", 123), ("64G", 64 << 30), ("64GiB", 64 << 30), ("64GB", 64_000_000_000), ("1.5T", 3 << 39),
            ("300MB", 300_000_000), ("2k", 2048), ("7b", 7),
        ] { #expect(try Quantity.bytes(text, field: "x") == bytes, "\(text)") }
        for text in ["", "G", "-1G", "1..5G", ".5G", "5.", "1e9", "64 G", "64GG", "99999999999999999999T", "１G", "nan"]
        {
            #expect(throws: PlanError.self, "\(text)") { try Quantity.bytes(text, field: "x") }
        }
    }

    @Test func countsAreRead() throws {
        for (text, count) in [
            ("2.788M", 2.788e6), ("14.8T", 14.8e12), ("600k", 6e5), ("3e12", 3e12), ("12", 12), ("1.5B", 1.5e9),
        ] { #expect(abs(try Quantity.count(text, field: "x") / count - 1) < 1e-12, "\(text)") }
        for text in ["", "M", "-1", "1e", "1e999", "1e+3", "0x10", "1.2.3", "9e99", "infinity"] {
            #expect(throws: PlanError.self, "\(text)") { try Quantity.count(text, field: "x") }
        }
    }

    @Test func damagedTextsAreAnErrorOrASoundNumber() {
        var generator = SplitMix(state: 3)
        var accepted = 0
        for round in 0..<20_000 {
            let good = ["64GiB", "2.788M", "3e12", "1536.25kB"][round % 4]
            let text = String(decoding: mutate(Array(good.utf8), &generator), as: UTF8.self)
            if let bytes = try? Quantity.bytes(text, field: "x") {
                accepted += 1
                #expect(bytes >= 0 && bytes <= 1 << 60)
            }
            if let count = try? Quantity.count(text, field: "x") {
                #expect(count.isFinite && count >= 0 && count <= 1e30)
            }
        }
        #expect(accepted > 100)
    }
}
