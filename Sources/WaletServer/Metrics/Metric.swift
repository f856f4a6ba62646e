// The three kinds of metric. All may be used from any thread; none takes a lock that another metric takes.

import Synchronization

/// What a registry can show.
public protocol Metric: AnyObject, Sendable {
    static var kind: MetricKind { get }
    /// The samples of a page, labels of the family included.
    func samples(_ labels: [MetricLabel]) -> [MetricSample]
}

public enum MetricKind: String, Sendable {
    case counter, gauge, histogram
}

/// A name and a value, unescaped.
public struct MetricLabel: Sendable, Equatable {
    public let name: String
    public let value: String

    public init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }
}

/// One line of a page.
public struct MetricSample: Sendable, Equatable {
    /// What follows the family's name: "", "_total", "_bucket", "_sum" or "_count".
    public let suffix: String
    public let labels: [MetricLabel]
    public let value: Double

    public init(_ suffix: String, _ labels: [MetricLabel], _ value: Double) {
        self.suffix = suffix
        self.labels = labels
        self.value = value
    }
}

/// A number that is added to by many threads without a lock.
final class AtomicDouble: Sendable {
    private let bits = Atomic<UInt64>(0)

    var value: Double { Double(bitPattern: bits.load(ordering: .relaxed)) }

    func add(_ amount: Double) {
        var old = bits.load(ordering: .relaxed)
        while true {
            let new = (Double(bitPattern: old) + amount).bitPattern
            let (exchanged, found) = bits.weakCompareExchange(expected: old, desired: new, ordering: .relaxed)
            if exchanged { return }
            old = found
        }
    }

    func set(_ value: Double) { bits.store(value.bitPattern, ordering: .relaxed) }
}

/// A sum that only grows.
public final class Counter: Metric {
    public static let kind = MetricKind.counter
    private let sum = AtomicDouble()

    public init() {}

    public var value: Double { sum.value }

    /// Adds an amount; nothing where it is negative or no number, since a counter never falls.
    public func add(_ amount: Double = 1) {
        if amount > 0, amount.isFinite { sum.add(amount) }
    }

    public func samples(_ labels: [MetricLabel]) -> [MetricSample] { [MetricSample("_total", labels, value)] }
}

/// A number that rises and falls.
public final class Gauge: Metric {
    public static let kind = MetricKind.gauge
    private let number = AtomicDouble()

    public init() {}

    public var value: Double { number.value }

    public func add(_ amount: Double) { number.add(amount) }

    public func set(_ value: Double) { number.set(value) }

    public func samples(_ labels: [MetricLabel]) -> [MetricSample] { [MetricSample("", labels, value)] }
}

/// How often values fell into fixed ranges.
public final class Histogram: Metric {
    public static let kind = MetricKind.histogram
    /// Upper bounds, ascending; one more bucket takes what is above the last.
    public let bounds: [Double]
    private let state: Mutex<State>

    private struct State {
        /// Values of each bucket alone; a page shows the running sums.
        var counts: [UInt64]
        var sum = 0.0
    }

    /// - Parameter bounds: finite and ascending.
    public init(_ bounds: [Double]) {
        self.bounds = bounds
        state = Mutex(State(counts: Array(repeating: 0, count: bounds.count + 1)))
    }

    /// Counts a value; nothing where it is no finite number.
    public func observe(_ value: Double) {
        guard value.isFinite else { return }
        let bucket = bounds.firstIndex { value <= $0 } ?? bounds.count
        state.withLock { state in
            state.counts[bucket] += 1
            state.sum += value
        }
    }

    public func samples(_ labels: [MetricLabel]) -> [MetricSample] {
        let (counts, sum) = state.withLock { ($0.counts, $0.sum) }
        var samples: [MetricSample] = []
        samples.reserveCapacity(counts.count + 2)
        var total: UInt64 = 0
        for (index, count) in counts.enumerated() {
            total += count
            let bound = index < bounds.count ? MetricsPage.spell(bounds[index]) : "+Inf"
            samples.append(MetricSample("_bucket", labels + [MetricLabel("le", bound)], Double(total)))
        }
        samples.append(MetricSample("_count", labels, Double(total)))
        samples.append(MetricSample("_sum", labels, sum))
        return samples
    }
}
