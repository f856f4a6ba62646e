// Metrics of one name, told apart by labels.

import Synchronization

/// Metrics of one name: one for each combination of label values that occurred, within bounds.
public final class MetricFamily<Member: Metric>: Sendable {
    public let name: String
    public let help: String
    private let labels: [LabelBound]
    /// Combinations of values, at most: each label is bounded by itself, and their product is too.
    private let limit: Int
    private let make: @Sendable () -> Member
    private let members: Mutex<[[String]: Member]>

    /// - Parameters:
    ///   - name: without the suffix `_total` of a counter's samples.
    ///   - make: an empty metric.
    init(
        _ name: String, _ help: String, labels: [LabelBound], limit: Int = 5000,
        make: @escaping @Sendable () -> Member
    ) {
        self.name = name
        self.help = help
        self.labels = labels
        self.limit = limit
        self.make = make
        // A family without labels shows its one member from the start, at zero.
        members = Mutex(labels.isEmpty ? [[]: make()] : [:])
    }

    /// The metric of these label values, in the order of the family's labels. Values beyond a label's bound share
    /// ``LabelBound/other``; so do all values once the family is full.
    public func callAsFunction(_ values: String...) -> Member {
        precondition(values.count == labels.count, "\(name) has \(labels.count) labels")
        let shown = zip(labels, values).map { $0.shown($1) }
        return members.withLock { members in
            if let member = members[shown] { return member }
            let key =
                members.count < limit || shown.isEmpty
                ? shown : Array(repeating: LabelBound.other, count: labels.count)
            if let member = members[key] { return member }
            let member = make()
            members[key] = member
            return member
        }
    }
}

extension MetricFamily: MetricSource {
    public func collect() -> [MetricsPage.Family] {
        let members = members.withLock { $0 }
        let sorted = members.sorted { $0.key.lexicographicallyPrecedes($1.key) }
        let samples = sorted.flatMap { values, member in
            member.samples(zip(labels, values).map { MetricLabel($0.name, $1) })
        }
        return [MetricsPage.Family(name, Member.kind, help, samples)]
    }
}
