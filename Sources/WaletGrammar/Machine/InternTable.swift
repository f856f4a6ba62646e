/// Numbers of things by their content: a hash table that leaves the things where they are.
struct InternTable: Sendable {
    private struct Slot {
        /// Number + 1, or 0 for a free slot.
        var number: Int32 = 0
        var hash: UInt64 = 0
    }

    /// The count is a power of two, at most half are used.
    private var slots = [Slot](repeating: Slot(), count: 64)
    private var count = 0

    var approximateBytes: Int { slots.count * 16 }

    /// The number of a thing that is there, or -1.
    @inline(__always)
    func find(_ hash: UInt64, equals: (Int32) -> Bool) -> Int32 {
        var slot = Int(truncatingIfNeeded: hash) & (slots.count - 1)
        while slots[slot].number != 0 {
            if slots[slot].hash == hash, equals(slots[slot].number - 1) { return slots[slot].number - 1 }
            slot = (slot + 1) & (slots.count - 1)
        }
        return -1
    }

    /// Adds a thing that is not there.
    mutating func insert(_ number: Int32, hash: UInt64) {
        if (count + 1) * 2 > slots.count {
            let old = slots
            slots = [Slot](repeating: Slot(), count: old.count * 2)
            for slot in old where slot.number != 0 { place(slot) }
        }
        place(Slot(number: number + 1, hash: hash))
        count += 1
    }

    private mutating func place(_ entry: Slot) {
        var slot = Int(truncatingIfNeeded: entry.hash) & (slots.count - 1)
        while slots[slot].number != 0 { slot = (slot + 1) & (slots.count - 1) }
        slots[slot] = entry
    }
}

/// Mixes numbers into a hash whose seed is random, so that no output can be made to collide.
struct SeededHash {
    private static let seed = UInt64.random(in: .min ... .max)

    private(set) var value = SeededHash.seed

    @inline(__always)
    mutating func add(_ number: Int32) { add(UInt64(UInt32(bitPattern: number))) }

    @inline(__always)
    mutating func add(_ word: UInt64) {
        let product = (value ^ word).multipliedFullWidth(by: 0xD6E8_FEB8_6659_FD93)
        value = product.high ^ product.low
    }
}
