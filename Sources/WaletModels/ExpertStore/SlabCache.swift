/// Memory for experts of one size: slabs, which expert is in which, and which of them goes when another is needed.
///
/// It decides and reads nothing. An expert is a number from 0 on; a slab that is pinned is being filled or computed with.
package struct SlabCache {
    private var policy: ReplacementPolicy
    /// The slab of each expert, or -1.
    private var slabOfExpert: [Int32]
    /// The expert of each slab, or -1.
    private var expertOfSlab: [Int32]
    private var isPinned: [Bool]
    /// Slabs without an expert.
    private var free: [Int32]
    /// Slabs that may be used.
    package private(set) var count: Int

    /// Experts that it knows.
    package var experts: Int { policy.experts }

    /// - Parameter usesPerToken: of these experts, how many a token chooses.
    package init(slabs: Int, experts: Int, usesPerToken: Int) {
        count = slabs
        policy = ReplacementPolicy(experts: experts, usesPerToken: usesPerToken)
        slabOfExpert = [Int32](repeating: -1, count: experts)
        expertOfSlab = [Int32](repeating: -1, count: slabs)
        isPinned = [Bool](repeating: false, count: slabs)
        free = (0..<Int32(slabs)).reversed()
    }

    /// Notes that an expert was chosen.
    /// - Returns: its slab, which is pinned; nil where it is not here.
    package mutating func take(_ expert: Int) -> Int? {
        policy.use(expert)
        let slab = Int(slabOfExpert[expert])
        guard slab >= 0 else { return nil }
        isPinned[slab] = true
        return slab
    }

    /// A pinned slab for an expert that is not here; nil while all are pinned.
    package mutating func claim(for expert: Int) -> Int? {
        let slab: Int
        if let empty = free.popLast() {
            slab = Int(empty)
        } else {
            guard let victim else { return nil }
            slab = victim
            slabOfExpert[Int(expertOfSlab[slab])] = -1
        }
        slabOfExpert[expert] = Int32(slab)
        expertOfSlab[slab] = Int32(expert)
        isPinned[slab] = true
        return slab
    }

    private var victim: Int? {
        var victim: Int?
        for slab in 0..<count where !isPinned[slab] && expertOfSlab[slab] >= 0 {
            guard let other = victim else {
                victim = slab
                continue
            }
            if policy.precedes(Int(expertOfSlab[slab]), Int(expertOfSlab[other])) { victim = slab }
        }
        return victim
    }

    package mutating func unpin(_ slab: Int) { isPinned[slab] = false }

    /// Empties a slab, whose bytes are not an expert's.
    package mutating func discard(_ slab: Int) {
        guard expertOfSlab[slab] >= 0 else { return }
        slabOfExpert[Int(expertOfSlab[slab])] = -1
        expertOfSlab[slab] = -1
        isPinned[slab] = false
        free.append(Int32(slab))
    }

    /// Knows so many experts more.
    package mutating func add(experts: Int) {
        policy.add(experts: experts)
        slabOfExpert += [Int32](repeating: -1, count: experts)
    }

    /// Does without the last slabs. None may be pinned.
    package mutating func shrink(to slabs: Int) {
        guard slabs < count else { return }
        for slab in slabs..<count { discard(slab) }
        free.removeAll { $0 >= slabs }
        count = slabs
    }
}
