/// Memory for experts of one size: slabs, which expert is in which, and which of them goes when another is needed.
///
/// It decides and reads nothing. An expert is a number from 0 on; a slab that is pinned is being filled or computed with.
struct SlabCache {
    /// The order in which slabs are given up.
    private var policy: ReplacementPolicy
    /// The slab of each expert, or -1.
    private var slabOfExpert: [Int32]
    /// The expert of each slab, or -1.
    private var expertOfSlab: [Int32]
    private var isPinned: [Bool]
    /// Slabs without an expert.
    private var free: [Int32]
    /// Slabs that may be used.
    private(set) var count: Int

    /// Experts that it knows.
    var experts: Int { slabOfExpert.count }

    init(slabs: Int, experts: Int) {
        count = slabs
        policy = ReplacementPolicy(slabs: slabs)
        slabOfExpert = [Int32](repeating: -1, count: experts)
        expertOfSlab = [Int32](repeating: -1, count: slabs)
        isPinned = [Bool](repeating: false, count: slabs)
        free = (0..<Int32(slabs)).reversed()
    }

    /// The slab of an expert that is here, which is pinned and counts as used.
    mutating func take(_ expert: Int) -> Int? {
        let slab = Int(slabOfExpert[expert])
        guard slab >= 0 else { return nil }
        isPinned[slab] = true
        policy.use(slab)
        return slab
    }

    /// A pinned slab for an expert that is not here; nil while all are pinned.
    mutating func claim(for expert: Int) -> Int? {
        let slab: Int
        if let empty = free.popLast() {
            slab = Int(empty)
        } else {
            guard let victim = policy.victim(where: { !isPinned[$0] }) else { return nil }
            slab = victim
            policy.remove(slab)
            slabOfExpert[Int(expertOfSlab[slab])] = -1
        }
        slabOfExpert[expert] = Int32(slab)
        expertOfSlab[slab] = Int32(expert)
        isPinned[slab] = true
        policy.insert(slab)
        return slab
    }

    mutating func unpin(_ slab: Int) { isPinned[slab] = false }

    /// Empties a slab, whose bytes are not an expert's.
    mutating func discard(_ slab: Int) {
        guard expertOfSlab[slab] >= 0 else { return }
        policy.remove(slab)
        slabOfExpert[Int(expertOfSlab[slab])] = -1
        expertOfSlab[slab] = -1
        isPinned[slab] = false
        free.append(Int32(slab))
    }

    /// Knows so many experts more.
    mutating func add(experts: Int) { slabOfExpert += [Int32](repeating: -1, count: experts) }

    /// Does without the last slabs. None may be pinned.
    mutating func shrink(to slabs: Int) {
        guard slabs < count else { return }
        for slab in slabs..<count { discard(slab) }
        free.removeAll { $0 >= slabs }
        count = slabs
    }
}
