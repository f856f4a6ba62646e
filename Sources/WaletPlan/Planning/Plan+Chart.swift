// The plot of a plan.

import Foundation

extension Plan {
    /// Decoding against the size of memory, with disks of several speeds and with this one, and this machine marked.
    public func chart() -> Chart {
        let least = memory.least
        let (low, high) = (Double(least), max(Double(memory.whole), machine.memory.value) * 1.5)
        var disks: [(String, Double)] = [1, 3, 7, 14].map { ("disk \($0) GB/s", Double($0) * 1e9) }
        if let disk = machine.diskSpeed { disks.append(("this disk, \(Self.gigabytes(disk.value))", disk.value)) }
        // A model without experts has no use for a disk.
        if shape.experts == 0 { disks = [("in memory", 1e9)] }
        let steps = 60
        let series = disks.map { name, speed in
            Chart.Series(
                name,
                (0...steps).compactMap { step in
                    let size = low * pow(high / low, Double(step) / Double(steps))
                    let plan = with {
                        $0.memory.value = size
                        $0.diskSpeed = Machine.Figure(speed, .given)
                    }
                    return plan?.decodeRate.map { Chart.Point(size / 1e9, $0) }
                })
        }
        var marks: [Chart.Mark] = []
        if let decodeRate {
            marks.append(
                Chart.Mark(Chart.Point(machine.memory.value / 1e9, decodeRate), "here: \(Self.rate(decodeRate))"))
        }
        return Chart(
            title: "\(shape.name): decoding, \(concurrency) at a time, \(context) tokens each",
            xLabel: "memory, GB", yLabel: "tokens/s", series: series, marks: marks, isLogarithmic: true)
    }
}
