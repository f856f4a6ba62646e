/// Cuts a stream of text at the first stop string, holding back what may be the beginning of one.
package struct StopFilter: Sendable {
    private let stops: [[UInt8]]
    /// Text that has not been passed on: it ends with what may begin a stop string.
    private var held: [UInt8] = []
    /// The stop string that was found; nothing more passes.
    package private(set) var found: String?

    package var isStopped: Bool { found != nil }

    package init(_ stops: [String]) { self.stops = stops.map { Array($0.utf8) }.filter { !$0.isEmpty } }

    /// The text that is safe to pass on.
    package mutating func append(_ text: String) -> String {
        if isStopped { return "" }
        if stops.isEmpty { return text }
        held.append(contentsOf: text.utf8)
        var earliest: (position: Int, stop: [UInt8])?
        for stop in stops {
            if let position = Self.find(stop, in: held), position < earliest?.position ?? .max {
                earliest = (position, stop)
            }
        }
        if let earliest {
            found = String(decoding: earliest.stop, as: UTF8.self)
            defer { held = [] }
            return String(decoding: held[..<earliest.position], as: UTF8.self)
        }
        let keep = stops.reduce(0) { max($0, Self.overlap(of: $1, with: held)) }
        defer { held.removeFirst(held.count - keep) }
        return String(decoding: held.dropLast(keep), as: UTF8.self)
    }

    /// What is held back when the text ends.
    package mutating func finish() -> String {
        defer { held = [] }
        return isStopped ? "" : String(decoding: held, as: UTF8.self)
    }

    private static func find(_ needle: [UInt8], in bytes: [UInt8]) -> Int? {
        guard bytes.count >= needle.count else { return nil }
        return (0...bytes.count - needle.count).first { bytes[$0..<$0 + needle.count].elementsEqual(needle) }
    }

    /// How many bytes at the end of `bytes` are a beginning of `stop`, but not all of it. A stop string is valid UTF-8,
    /// so the cut never divides a character.
    private static func overlap(of stop: [UInt8], with bytes: [UInt8]) -> Int {
        for count in stride(from: min(stop.count - 1, bytes.count), to: 0, by: -1)
        where bytes.suffix(count).elementsEqual(stop.prefix(count)) { return count }
        return 0
    }
}
