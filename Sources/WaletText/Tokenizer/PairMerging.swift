// The merge loop of byte-pair encoding: always the adjacent pair of lowest rank, the leftmost of equals.

/// What a merge yields: its rank in the upper half, the id of the joined token in the lower. Lower ranks go first.
typealias PairMerge = UInt64

extension PairMerge {
    static let none = UInt64.max

    init(rank: UInt32, id: Int32) { self = UInt64(rank) << 32 | UInt64(UInt32(bitPattern: id)) }

    var rankOnly: UInt64 { self >> 32 }
    var tokenID: Int32 { Int32(truncatingIfNeeded: self & 0xFFFF_FFFF) }
}

/// Says whether two neighbouring symbols may be joined.
protocol PairRanks {
    /// - Parameters:
    ///   - left: id of the left symbol.
    ///   - right: id of the right symbol.
    ///   - bytes: what the two together stand for.
    func merge(_ left: Int32, _ right: Int32, bytes: UnsafeBufferPointer<UInt8>) -> PairMerge
}

/// Merges as a list of pairs (GPT-2, tokenizer.json, GGUF "gpt2"): a hash table from two ids.
struct PairTable: Sendable, PairRanks {
    private var slots: [(key: UInt64, merge: PairMerge)]
    private let seed = UInt64.random(in: .min ... .max)

    init(capacity: Int) {
        var size = 16
        while size < capacity * 2 { size *= 2 }
        slots = [(UInt64, PairMerge)](repeating: (.max, .none), count: size)
    }

    /// Stores a merge; a pair that is listed twice keeps its last rank. At most `capacity` may be stored.
    mutating func insert(_ left: Int32, _ right: Int32, rank: UInt32, id: Int32) {
        let key = Self.key(left, right)
        var slot = slot(key)
        while slots[slot].key != .max, slots[slot].key != key { slot = (slot + 1) & (slots.count - 1) }
        slots[slot] = (key, PairMerge(rank: rank, id: id))
    }

    @inline(__always)
    func merge(_ left: Int32, _ right: Int32, bytes: UnsafeBufferPointer<UInt8>) -> PairMerge {
        let key = Self.key(left, right)
        var slot = slot(key)
        return slots.withUnsafeBufferPointer { slots in
            while true {
                let entry = slots[slot]
                if entry.key == key { return entry.merge }
                if entry.key == .max { return .none }
                slot = (slot + 1) & (slots.count - 1)
            }
        }
    }

    @inline(__always)
    private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }

    @inline(__always)
    private func slot(_ key: UInt64) -> Int {
        let product = (key ^ seed).multipliedFullWidth(by: 0xD6E8_FEB8_6659_FD93)
        return Int(truncatingIfNeeded: product.high ^ product.low) & (slots.count - 1)
    }
}

/// Merges by the rank of the joined bytes (tiktoken), or by its score (SentencePiece).
struct JoinedRanks: Sendable, PairRanks {
    let table: TokenTable
    /// The rank of each id where that is not the id itself; `.max` for a token that no merge may make.
    var ranks: [UInt32]?

    @inline(__always)
    func merge(_ left: Int32, _ right: Int32, bytes: UnsafeBufferPointer<UInt8>) -> PairMerge {
        let id = table.id(bytes)
        guard id >= 0 else { return .none }
        guard let ranks else { return PairMerge(rank: UInt32(bitPattern: id), id: id) }
        let rank = ranks[Int(id)]
        return rank == .max ? .none : PairMerge(rank: rank, id: id)
    }
}

/// One symbol of a piece while it is merged: an id and the bytes it covers.
struct PairSymbol {
    var id: Int32
    var start: Int32
    var end: Int32
}

/// Working memory of the merge loop, used again for every piece of a text.
struct PairMerger {
    var symbols: [PairSymbol] = []
    private var merges: [PairMerge] = []
    private var previous: [Int32] = []
    private var next: [Int32] = []
    private var heap = MergeHeap()

    /// Joins `symbols` until no pair is left. Time is linear in their number times its logarithm.
    @inline(__always)
    mutating func run(_ bytes: UnsafeBufferPointer<UInt8>, _ ranks: some PairRanks) {
        if symbols.count < 2 { return }
        if symbols.count <= 64 { runShort(bytes, ranks) } else { runLong(bytes, ranks) }
    }

    /// Scans for the lowest rank each time: the fastest way for a word.
    private mutating func runShort(_ bytes: UnsafeBufferPointer<UInt8>, _ ranks: some PairRanks) {
        merges.removeAll(keepingCapacity: true)
        merges.append(contentsOf: repeatElement(.none, count: symbols.count))
        var count = symbols.count
        symbols.withUnsafeMutableBufferPointer { symbols in
            merges.withUnsafeMutableBufferPointer { merges in
                func rank(_ index: Int) -> PairMerge {
                    let left = symbols[index]
                    let right = symbols[index + 1]
                    return ranks.merge(left.id, right.id, bytes: bytes.slice(left.start, right.end))
                }
                for index in 0..<count - 1 { merges[index] = rank(index) }
                while count > 1 {
                    var best = 0
                    var lowest = merges[0].rankOnly
                    for index in 1..<max(1, count - 1) where merges[index].rankOnly < lowest {
                        lowest = merges[index].rankOnly
                        best = index
                    }
                    if merges[best] == .none { return }
                    symbols[best].id = merges[best].tokenID
                    symbols[best].end = symbols[best + 1].end
                    count -= 1
                    for index in best + 1..<max(best + 1, count) {
                        symbols[index] = symbols[index + 1]
                        merges[index] = merges[index + 1]
                    }
                    merges[best] = best + 1 < count ? rank(best) : .none
                    if best > 0 { merges[best - 1] = rank(best - 1) }
                }
            }
        }
        symbols.removeSubrange(count...)
    }

    /// A heap of candidate pairs over a linked list: for long pieces, so that nothing is quadratic.
    private mutating func runLong(_ bytes: UnsafeBufferPointer<UInt8>, _ ranks: some PairRanks) {
        let count = symbols.count
        previous = (0..<Int32(count)).map { $0 - 1 }
        next = (0..<Int32(count)).map { $0 + 1 }
        next[count - 1] = -1
        heap.removeAll()

        func push(_ left: Int32, _ right: Int32) {
            let first = symbols[Int(left)]
            let second = symbols[Int(right)]
            let merge = ranks.merge(first.id, second.id, bytes: bytes.slice(first.start, second.end))
            if merge != .none {
                heap.push(.init(order: merge.rankOnly << 32 | UInt64(left), id: merge.tokenID, end: second.end))
            }
        }

        for index in 0..<Int32(count - 1) { push(index, index + 1) }
        while let top = heap.pop() {
            let left = Int(top.order & 0xFFFF_FFFF)
            // A symbol that was swallowed has end -1; a pair that has changed since ends elsewhere.
            guard symbols[left].end >= 0, next[left] >= 0 else { continue }
            let right = Int(next[left])
            guard symbols[right].end == top.end else { continue }
            symbols[left].id = top.id
            symbols[left].end = top.end
            symbols[right].end = -1
            next[left] = next[right]
            if next[right] >= 0 { previous[Int(next[right])] = Int32(left) }
            if previous[left] >= 0 { push(previous[left], Int32(left)) }
            if next[left] >= 0 { push(Int32(left), next[left]) }
        }
        symbols.removeAll { $0.end < 0 }
    }
}

/// A binary heap of candidate merges, the lowest order first.
private struct MergeHeap {
    struct Entry {
        /// Rank in the upper half, position of the left symbol in the lower.
        var order: UInt64
        var id: Int32
        var end: Int32
    }

    private var entries: [Entry] = []

    mutating func removeAll() { entries.removeAll(keepingCapacity: entries.capacity < 1 << 16) }

    mutating func push(_ entry: Entry) {
        entries.append(entry)
        var child = entries.count - 1
        entries.withUnsafeMutableBufferPointer { entries in
            while child > 0 {
                let parent = (child - 1) / 2
                if entries[parent].order <= entry.order { break }
                entries[child] = entries[parent]
                child = parent
            }
            entries[child] = entry
        }
    }

    mutating func pop() -> Entry? {
        guard let last = entries.popLast() else { return nil }
        guard let first = entries.first else { return last }
        let count = entries.count
        entries.withUnsafeMutableBufferPointer { entries in
            var parent = 0
            while true {
                var child = parent * 2 + 1
                if child >= count { break }
                if child + 1 < count, entries[child + 1].order < entries[child].order { child += 1 }
                if entries[child].order >= last.order { break }
                entries[parent] = entries[child]
                parent = child
            }
            entries[parent] = last
        }
        return first
    }
}

extension UnsafeBufferPointer<UInt8> {
    @inline(__always)
    func slice(_ start: Int32, _ end: Int32) -> UnsafeBufferPointer<UInt8> {
        UnsafeBufferPointer(rebasing: self[Int(start)..<Int(end)])
    }
}
