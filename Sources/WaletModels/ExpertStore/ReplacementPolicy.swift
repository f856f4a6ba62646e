/// Which slab is given up: the one that was used least recently.
///
/// Two linked lists over the slabs' numbers; see `docs/lab-notes.md` for what others were measured to do.
struct ReplacementPolicy {
    /// Neighbours of each slab; the last place is the list's head and tail.
    private var newer: [Int32]
    private var older: [Int32]
    private let head: Int

    init(slabs: Int) {
        head = slabs
        newer = [Int32](repeating: Int32(slabs), count: slabs + 1)
        older = newer
    }

    mutating func insert(_ slab: Int) {
        // After the head comes the newest.
        let newest = Int(older[head])
        older[slab] = Int32(newest)
        newer[slab] = Int32(head)
        newer[newest] = Int32(slab)
        older[head] = Int32(slab)
    }

    mutating func remove(_ slab: Int) {
        let (before, after) = (Int(newer[slab]), Int(older[slab]))
        older[before] = Int32(after)
        newer[after] = Int32(before)
    }

    mutating func use(_ slab: Int) {
        remove(slab)
        insert(slab)
    }

    /// The slab to give up among those that may go.
    func victim(where mayGo: (Int) -> Bool) -> Int? {
        var slab = Int(newer[head])
        while slab != head {
            if mayGo(slab) { return slab }
            slab = Int(newer[slab])
        }
        return nil
    }
}
