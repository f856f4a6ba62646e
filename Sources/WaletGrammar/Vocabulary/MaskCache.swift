// Masks that were computed, those used last.

import Synchronization

/// What a lexer's state allows of a vocabulary, or a whole mask.
final class CachedMask: Sendable {
    /// Allowed ids where they are few; nil where `words` has them.
    let ids: [Int32]?
    let words: [UInt64]
    /// Nodes of the trie at which the lexer may end and tokens go on.
    let exits: [Int32]

    /// - Parameter words: a bit for each id.
    init(_ words: [UInt64], exits: [Int32] = []) {
        self.exits = exits
        var population = 0
        for word in words { population += word.nonzeroBitCount }
        guard population * 4 < words.count * 8 else {
            ids = nil
            self.words = words
            return
        }
        var ids: [Int32] = []
        ids.reserveCapacity(population)
        for (index, word) in words.enumerated() {
            var rest = word
            while rest != 0 {
                ids.append(Int32(index * 64 + rest.trailingZeroBitCount))
                rest &= rest - 1
            }
        }
        self.ids = ids
        self.words = []
    }

    var bytes: Int { (ids?.count ?? 0) * 4 + words.count * 8 + exits.count * 4 + 160 }

    /// Adds the ids to a mask.
    @inline(__always)
    func add(to mask: UnsafeMutableBufferPointer<UInt64>) {
        if let ids {
            for id in ids { mask[Int(id) >> 6] |= 1 << UInt64(id & 63) }
        } else {
            words.withUnsafeBufferPointer { words in
                for index in 0..<min(words.count, mask.count) { mask[index] |= words[index] }
            }
        }
    }
}

/// A cache with a bound in bytes; what was used longest ago goes first. Shared by all grammars of a vocabulary.
final class MaskCache: Sendable {
    struct Key: Hashable, Sendable {
        /// Whose state it is: an automaton, or the machine of a grammar.
        var owner: UInt64
        var state: Int64
        var detail: Int64 = 0
        /// Bytes after the lexer for which exits are listed.
        var exits: ByteSet?

        /// Lexers that are the same in all grammars.
        static let stringOwner: UInt64 = 1 << 62
        static let keyOwner: UInt64 = 1 << 62 + 1
        /// Added to owners that are machines, so that they differ from automata.
        static let machineOwner: UInt64 = 1 << 61
    }

    private struct Slot {
        var key: Key
        var mask: CachedMask?
        var newer: Int32
        var older: Int32
    }

    private struct State {
        var positions: [Key: Int32] = [:]
        var slots: [Slot] = []
        var free: [Int32] = []
        var newest: Int32 = -1
        var oldest: Int32 = -1
        var bytes = 0

        mutating func unlink(_ slot: Int32) {
            let (newer, older) = (slots[Int(slot)].newer, slots[Int(slot)].older)
            if newer >= 0 { slots[Int(newer)].older = older } else { newest = older }
            if older >= 0 { slots[Int(older)].newer = newer } else { oldest = newer }
        }

        mutating func linkNewest(_ slot: Int32) {
            slots[Int(slot)].newer = -1
            slots[Int(slot)].older = newest
            if newest >= 0 { slots[Int(newest)].newer = slot } else { oldest = slot }
            newest = slot
        }

        mutating func remove(_ slot: Int32) {
            unlink(slot)
            bytes -= slots[Int(slot)].mask?.bytes ?? 0
            positions[slots[Int(slot)].key] = nil
            slots[Int(slot)].mask = nil
            free.append(slot)
        }
    }

    private let state = Mutex(State())
    private let byteLimit: Int

    init(byteLimit: Int) { self.byteLimit = byteLimit }

    subscript(key: Key) -> CachedMask? {
        state.withLock { state in
            guard let slot = state.positions[key] else { return nil }
            if state.newest != slot {
                state.unlink(slot)
                state.linkNewest(slot)
            }
            return state.slots[Int(slot)].mask
        }
    }

    func insert(_ mask: CachedMask, for key: Key) {
        guard mask.bytes <= byteLimit else { return }
        state.withLock { state in
            if let known = state.positions[key] { state.remove(known) }
            while state.bytes + mask.bytes > byteLimit, state.oldest >= 0 { state.remove(state.oldest) }
            let entry = Slot(key: key, mask: mask, newer: -1, older: -1)
            let slot: Int32
            if let free = state.free.popLast() {
                slot = free
                state.slots[Int(slot)] = entry
            } else {
                slot = Int32(state.slots.count)
                state.slots.append(entry)
            }
            state.positions[key] = slot
            state.linkNewest(slot)
            state.bytes += mask.bytes
        }
    }

    var byteCount: Int { state.withLock { $0.bytes } }
}
