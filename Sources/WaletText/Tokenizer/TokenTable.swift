// Byte strings to ids: a hash table over bytes, since Swift's String takes canonically equivalent tokens for equal.

/// A set of byte strings, each with an id; immutable once built, cheap to copy.
struct TokenTable: Sendable {
    private var arena: [UInt8] = []
    /// Where the string of an entry starts in the arena and how long it is.
    private var entries: [(start: Int32, count: Int32, id: Int32, hash: UInt32)] = []
    /// Entry index + 1, or 0 for a free slot; the count is a power of two, at most half are used.
    private var slots: [Int32]
    /// Random, so that no file can be made to collide.
    private let seed = UInt64.random(in: .min ... .max)
    private(set) var longest = 0

    init(capacity: Int) {
        var size = 16
        while size < capacity * 2 { size *= 2 }
        slots = [Int32](repeating: 0, count: size)
        entries.reserveCapacity(capacity)
    }

    var count: Int { entries.count }

    /// Stores a string; false where it is there already, or where the arena would pass 2 GiB.
    mutating func insert(_ bytes: UnsafeBufferPointer<UInt8>, id: Int32) -> Bool {
        guard arena.count + bytes.count < Int32.max else { return false }
        if (entries.count + 1) * 2 > slots.count { grow() }
        let hash = hash(bytes)
        var slot = Int(truncatingIfNeeded: hash) & (slots.count - 1)
        while slots[slot] != 0 {
            if matches(Int(slots[slot]) - 1, bytes, hash) { return false }
            slot = (slot + 1) & (slots.count - 1)
        }
        slots[slot] = Int32(entries.count + 1)
        entries.append(
            (Int32(arena.count), Int32(bytes.count), id, UInt32(truncatingIfNeeded: hash >> 32)))
        arena.append(contentsOf: bytes)
        longest = max(longest, bytes.count)
        return true
    }

    mutating func insert(_ bytes: [UInt8], id: Int32) -> Bool {
        bytes.withUnsafeBufferPointer { insert($0, id: id) }
    }

    /// The id of a string, or -1.
    func id(_ bytes: UnsafeBufferPointer<UInt8>) -> Int32 {
        guard bytes.count <= longest else { return -1 }
        let hash = hash(bytes)
        return slots.withUnsafeBufferPointer { slots in
            var slot = Int(truncatingIfNeeded: hash) & (slots.count - 1)
            while slots[slot] != 0 {
                let index = Int(slots[slot]) - 1
                if matches(index, bytes, hash) { return entries[index].id }
                slot = (slot + 1) & (slots.count - 1)
            }
            return -1
        }
    }

    func id(_ bytes: [UInt8]) -> Int32 { bytes.withUnsafeBufferPointer(id) }

    private func matches(_ index: Int, _ bytes: UnsafeBufferPointer<UInt8>, _ hash: UInt64) -> Bool {
        let entry = entries[index]
        guard entry.hash == UInt32(truncatingIfNeeded: hash >> 32), Int(entry.count) == bytes.count else {
            return false
        }
        return arena.withUnsafeBufferPointer { arena in
            let start = Int(entry.start)
            for offset in 0..<bytes.count where arena[start + offset] != bytes[offset] { return false }
            return true
        }
    }

    private func hash(_ bytes: UnsafeBufferPointer<UInt8>) -> UInt64 {
        var state = seed ^ UInt64(truncatingIfNeeded: bytes.count) &* 0x9E37_79B9_7F4A_7C15
        let raw = UnsafeRawBufferPointer(bytes)
        var offset = 0
        while offset + 8 <= raw.count {
            state = Self.mix(state ^ raw.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
            offset += 8
        }
        var tail: UInt64 = 0
        while offset < raw.count {
            tail = tail << 8 | UInt64(raw[offset])
            offset += 1
        }
        return Self.mix(state ^ tail)
    }

    private static func mix(_ value: UInt64) -> UInt64 {
        let product = value.multipliedFullWidth(by: 0xD6E8_FEB8_6659_FD93)
        return product.high ^ product.low
    }

    private mutating func grow() {
        slots = [Int32](repeating: 0, count: slots.count * 2)
        for index in entries.indices {
            let entry = entries[index]
            let hash: UInt64 = arena.withUnsafeBufferPointer {
                self.hash(UnsafeBufferPointer(rebasing: $0[Int(entry.start)..<Int(entry.start + entry.count)]))
            }
            var slot = Int(truncatingIfNeeded: hash) & (slots.count - 1)
            while slots[slot] != 0 { slot = (slot + 1) & (slots.count - 1) }
            slots[slot] = Int32(index + 1)
        }
    }
}

/// Byte strings by id, ids possibly with holes.
struct TokenStrings: Sendable {
    private var arena: [UInt8] = []
    private var spans: [(start: Int32, count: Int32)]

    init(count: Int) { spans = [(Int32, Int32)](repeating: (0, -1), count: count) }

    /// One more than the highest id that can be stored.
    var count: Int { spans.count }

    mutating func set(_ id: Int, _ bytes: UnsafeBufferPointer<UInt8>) {
        guard arena.count + bytes.count < Int32.max else { return }
        spans[id] = (Int32(arena.count), Int32(bytes.count))
        arena.append(contentsOf: bytes)
    }

    mutating func set(_ id: Int, _ bytes: [UInt8]) { bytes.withUnsafeBufferPointer { set(id, $0) } }

    func has(_ id: Int) -> Bool { spans.indices.contains(id) && spans[id].count >= 0 }

    subscript(id: Int) -> ArraySlice<UInt8>? {
        guard has(id) else { return nil }
        return arena[Int(spans[id].start)..<Int(spans[id].start + spans[id].count)]
    }
}
