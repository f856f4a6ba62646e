// Which values a label may take: a page of metrics must not grow with what clients send.

import Synchronization

/// The values of one label, bounded. Whatever is not admitted is shown as ``other``.
public final class LabelBound: Sendable {
    /// What stands for every value that is not shown by itself.
    public static let other = "other"
    /// Bytes of a value, at most.
    static let longest = 128

    public let name: String
    /// How many values may be learned as they come.
    private let limit: Int
    private let admitted: Mutex<Set<String>>

    /// A label that shows these values only.
    public init(_ name: String, only values: some Sequence<String>) {
        self.name = name
        limit = 0
        admitted = Mutex(Set(values))
    }

    /// A label that shows the first values it sees.
    /// - Parameter limit: how many.
    public init(_ name: String, first limit: Int) {
        self.name = name
        self.limit = limit
        admitted = Mutex([])
    }

    /// Replaces the values that are shown.
    public func admit(only values: some Sequence<String>) {
        let values = Set(values)
        admitted.withLock { $0 = values }
    }

    /// The value as it is shown.
    public func shown(_ value: String) -> String {
        admitted.withLock { admitted in
            if admitted.contains(value) { return value }
            guard admitted.count < limit, value.utf8.count <= Self.longest else { return Self.other }
            admitted.insert(value)
            return value
        }
    }
}
