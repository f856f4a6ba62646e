// Which tokens may come next.

/// A set of token ids, one bit each.
public struct TokenMask: Sendable, Equatable {
    /// Bit `id % 64` of word `id / 64`; bits beyond ``count`` are 0.
    public internal(set) var words: [UInt64]
    /// Ids of the vocabulary.
    public let count: Int

    /// An empty set.
    public init(count: Int) {
        self.count = max(0, count)
        words = [UInt64](repeating: 0, count: (self.count + 63) / 64)
    }

    public func contains(_ id: Int) -> Bool {
        id >= 0 && id < count && words[id >> 6] >> UInt64(id & 63) & 1 != 0
    }

    /// Adds an id; one that the vocabulary does not have is left out.
    public mutating func insert(_ id: Int) {
        if id >= 0, id < count { words[id >> 6] |= 1 << UInt64(id & 63) }
    }

    public mutating func remove(_ id: Int) {
        if id >= 0, id < count { words[id >> 6] &= ~(1 << UInt64(id & 63)) }
    }

    public mutating func removeAll() {
        for index in words.indices { words[index] = 0 }
    }

    /// Adds all ids.
    public mutating func insertAll() {
        for index in words.indices { words[index] = ~0 }
        if count & 63 != 0, let last = words.indices.last { words[last] = 1 << UInt64(count & 63) - 1 }
    }

    public var isEmpty: Bool { words.allSatisfy { $0 == 0 } }

    /// How many ids it has.
    public var population: Int { words.reduce(0) { $0 + $1.nonzeroBitCount } }

    /// The ids, ascending.
    public var ids: [Int] {
        var result: [Int] = []
        for (index, word) in words.enumerated() {
            var rest = word
            while rest != 0 {
                result.append(index * 64 + rest.trailingZeroBitCount)
                rest &= rest - 1
            }
        }
        return result
    }

    /// Sets the logits of all other ids to minus infinity, those beyond the vocabulary too.
    /// - Parameter logits: `[vocabulary]`, which a model may have padded.
    public func apply(to logits: UnsafeMutableBufferPointer<Float>) {
        // Most masks allow a few ids, or nearly all of them: what lies between two allowed ids is filled at once.
        var next = 0
        for (index, word) in words.enumerated() {
            guard word != 0 else { continue }
            let start = index * 64
            if word == ~0 {
                Self.forbid(next..<start, logits)
                next = start + 64
                continue
            }
            var rest = word
            while rest != 0 {
                let id = start + rest.trailingZeroBitCount
                let run = (~(rest >> UInt64(rest.trailingZeroBitCount))).trailingZeroBitCount
                Self.forbid(next..<id, logits)
                next = id + run
                rest &= next - start < 64 ? ~0 << UInt64(next - start) : 0
            }
        }
        Self.forbid(next..<max(next, logits.count), logits)
    }

    @inline(__always)
    private static func forbid(_ ids: Range<Int>, _ logits: UnsafeMutableBufferPointer<Float>) {
        let ids = ids.clamped(to: 0..<logits.count)
        guard !ids.isEmpty else { return }
        UnsafeMutableBufferPointer(rebasing: logits[ids]).update(repeating: -.infinity)
    }
}
