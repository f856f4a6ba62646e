// How often each piece of text occurs: the only thing that a BPE trainer must know of a corpus.

/// Counts byte strings, in memory proportional to the different ones.
struct WordCounter {
    private struct Entry {
        var offset: Int
        var length: Int
        var hash: UInt64
        var count: Int
    }

    private var arena: [UInt8] = []
    private var entries: [Entry] = []
    /// Indices into `entries` by hash, or -1. Its size is a power of two.
    private var slots = [Int32](repeating: -1, count: 1 << 12)

    /// How many different words there are.
    var count: Int { entries.count }

    /// Words in the order in which they were first seen.
    subscript(index: Int) -> (bytes: ArraySlice<UInt8>, count: Int) {
        let entry = entries[index]
        return (arena[entry.offset..<entry.offset + entry.length], entry.count)
    }

    mutating func add(_ word: UnsafeBufferPointer<UInt8>, count: Int = 1) {
        let hash = Self.hash(word)
        var slot = Int(truncatingIfNeeded: hash) & (slots.count - 1)
        while slots[slot] >= 0 {
            let index = Int(slots[slot])
            if entries[index].hash == hash, entries[index].length == word.count, isEqual(entries[index], word) {
                entries[index].count += count
                return
            }
            slot = (slot + 1) & (slots.count - 1)
        }
        slots[slot] = Int32(entries.count)
        entries.append(Entry(offset: arena.count, length: word.count, hash: hash, count: count))
        arena.append(contentsOf: word)
        if entries.count * 2 > slots.count { grow() }
    }

    /// Adds what another counter has seen.
    mutating func merge(_ other: WordCounter) {
        other.arena.withUnsafeBufferPointer { arena in
            for entry in other.entries {
                add(
                    UnsafeBufferPointer(rebasing: arena[entry.offset..<entry.offset + entry.length]),
                    count: entry.count)
            }
        }
    }

    private func isEqual(_ entry: Entry, _ word: UnsafeBufferPointer<UInt8>) -> Bool {
        arena.withUnsafeBufferPointer { arena in
            for index in 0..<word.count where arena[entry.offset + index] != word[index] { return false }
            return true
        }
    }

    private mutating func grow() {
        slots = [Int32](repeating: -1, count: slots.count * 2)
        for (index, entry) in entries.enumerated() {
            var slot = Int(truncatingIfNeeded: entry.hash) & (slots.count - 1)
            while slots[slot] >= 0 { slot = (slot + 1) & (slots.count - 1) }
            slots[slot] = Int32(index)
        }
    }

    /// FNV-1a with a last mixing step, since the table takes the low bits.
    private static func hash(_ word: UnsafeBufferPointer<UInt8>) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in word { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        return hash ^ hash >> 32
    }
}
