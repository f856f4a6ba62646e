/// Which seeds a closure has seen: emptied in no time.
struct VisitedSet: Sendable {
    private struct Slot {
        var stamp: UInt32 = 0
        var first: Int32 = 0
        var second: Int32 = 0
        var third: Int32 = 0
    }

    private var slots = [Slot](repeating: Slot(), count: 64)
    private var stamp: UInt32 = 1
    private var count = 0

    mutating func removeAll() {
        count = 0
        if stamp == .max {
            slots = [Slot](repeating: Slot(), count: 64)
            stamp = 0
        }
        stamp += 1
    }

    /// False where it is there already.
    mutating func insert(_ first: Int32, _ second: Int32, _ third: Int32) -> Bool {
        if (count + 1) * 2 > slots.count { grow() }
        guard place(first, second, third) else { return false }
        count += 1
        return true
    }

    private mutating func place(_ first: Int32, _ second: Int32, _ third: Int32) -> Bool {
        var hash = SeededHash()
        hash.add(first)
        hash.add(second)
        hash.add(third)
        var slot = Int(truncatingIfNeeded: hash.value) & (slots.count - 1)
        while slots[slot].stamp == stamp {
            let entry = slots[slot]
            if entry.first == first, entry.second == second, entry.third == third { return false }
            slot = (slot + 1) & (slots.count - 1)
        }
        slots[slot] = Slot(stamp: stamp, first: first, second: second, third: third)
        return true
    }

    private mutating func grow() {
        let old = slots.filter { $0.stamp == stamp }
        slots = [Slot](repeating: Slot(), count: slots.count * 2)
        for slot in old { _ = place(slot.first, slot.second, slot.third) }
    }
}
