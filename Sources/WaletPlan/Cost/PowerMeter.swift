// What processors and memory draw, by the counters that they keep themselves.

import Foundation

/// Running average power limit counters, as Linux shows them under `/sys/class/powercap`.
///
/// They count processors and memory; disks, fans, network and the power supply's losses come besides. Most systems let the
/// superuser alone read them, and virtual machines have none.
public struct PowerMeter: Sendable {
    /// A counter in microjoules that starts again after its range.
    package struct Counter: Sendable {
        package var path: String
        package var range: UInt64

        package init(path: String, range: UInt64) {
            self.path = path
            self.range = range
        }
    }

    package let counters: [Counter]

    /// - Parameter root: where the counters are.
    /// - Throws: ``PlanError/unmeasurable(what:reason:remedy:)`` where there are none or they cannot be read.
    public init(root: String = "/sys/class/powercap") throws(PlanError) {
        let names = ((try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []).sorted()
        var counters: [Counter] = []
        for name in names where name.hasPrefix("intel-rapl:") {
            let folder = "\(root)/\(name)"
            let label = Self.text(folder + "/name") ?? ""
            // A package counts its cores; memory is a part of some packages' zones and counted apart.
            guard label.hasPrefix("package") || label == "dram" else { continue }
            let path = folder + "/energy_uj"
            guard Self.number(path) != nil, let range = Self.number(folder + "/max_energy_range_uj") else {
                throw Self.unmeasurable("\(path) cannot be read, which most systems allow the superuser alone")
            }
            counters.append(Counter(path: path, range: range))
        }
        guard !counters.isEmpty else { throw Self.unmeasurable("there are no counters under \(root)") }
        self.counters = counters
    }

    /// What is drawn on average during some seconds, in watts.
    public func watts(seconds: Double) throws(PlanError) -> Double {
        let before = try read()
        let start = DispatchTime.now().uptimeNanoseconds
        Thread.sleep(forTimeInterval: max(0.05, seconds))
        let after = try read()
        let elapsed = Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9
        let joules = zip(counters, zip(before, after)).reduce(0.0) { $0 + Self.joules($1.0, $1.1.0, $1.1.1) }
        return joules / elapsed
    }

    /// What a counter went up by, in joules; one that is smaller than before has started again.
    package static func joules(_ counter: Counter, _ before: UInt64, _ after: UInt64) -> Double {
        let microjoules =
            after >= before ? after - before : (counter.range >= before ? counter.range - before : 0) &+ after
        return Double(microjoules) / 1e6
    }

    private func read() throws(PlanError) -> [UInt64] {
        var values: [UInt64] = []
        for counter in counters {
            guard let value = Self.number(counter.path) else {
                throw Self.unmeasurable("\(counter.path) cannot be read")
            }
            values.append(value)
        }
        return values
    }

    private static func text(_ path: String) -> String? {
        guard let handle = FileHandle(forReadingAtPath: path) else { return nil }
        defer { try? handle.close() }
        guard let data = try? handle.read(upToCount: 256) else { return nil }
        return String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    }

    private static func number(_ path: String) -> UInt64? { text(path).flatMap { UInt64($0) } }

    private static func unmeasurable(_ reason: String) -> PlanError {
        .unmeasurable(what: "power", reason: reason, remedy: "give --power")
    }
}
