// The files that hold the entries, each named after the index of its first one.

/// A segment: `000000000000.jsonl`, `000000012345.jsonl`, …
package struct Segment: Sendable, Equatable {
    /// The index of its first entry.
    package let first: Int
    var name: String { Self.name(first: first) }

    static let suffix = ".jsonl"
    private static let digits = 12

    static func name(first: Int) -> String {
        let number = String(first)
        return String(repeating: "0", count: max(0, digits - number.count)) + number + suffix
    }

    /// - Returns: nil for a file that is no segment.
    package init?(name: String) {
        guard name.hasSuffix(Self.suffix) else { return nil }
        let number = name.dropLast(Self.suffix.count)
        guard number.count >= Self.digits, number.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            let first = Int(number), first <= Decimal.maximum, Self.name(first: first) == name
        else { return nil }
        self.first = first
    }

    init(first: Int) { self.first = first }

    /// The segments of a folder in their order.
    static func list(in folder: AuditFolder) throws(AuditError) -> [Segment] {
        try folder.names().compactMap { Segment(name: $0) }.sorted { $0.first < $1.first }
    }
}
