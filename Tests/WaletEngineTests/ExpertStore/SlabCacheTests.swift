import Testing
import WaletModels

/// Which expert goes when another is needed.
@Suite struct SlabCacheTests {
    /// Has an expert chosen, read if need be, and computed.
    private func use(_ expert: Int, _ cache: inout SlabCache) -> Bool {
        if let slab = cache.take(expert) {
            cache.unpin(slab)
            return true
        }
        guard let slab = cache.claim(for: expert) else { return false }
        cache.unpin(slab)
        return false
    }

    @Test func whatIsChosenOftenStaysThoughOthersCome() {
        var cache = SlabCache(slabs: 3, experts: 100, usesPerToken: 2)
        for _ in 0..<5 { _ = use(7, &cache) }
        for expert in 20..<60 { #expect(!use(expert, &cache)) }
        #expect(use(7, &cache))
    }

    @Test func whatWasChosenOftenLongAgoGoes() {
        var cache = SlabCache(slabs: 2, experts: 10, usesPerToken: 1)
        for _ in 0..<20 { _ = use(1, &cache) }
        for _ in 0..<400 { _ = use(2, &cache) }
        // Ten half lives later, one use counts more than twenty did.
        for _ in 0..<300 { _ = use(3, &cache) }
        #expect(use(2, &cache))
        #expect(use(3, &cache))
        #expect(!use(1, &cache))
    }

    @Test func whatIsPinnedStays() throws {
        var cache = SlabCache(slabs: 2, experts: 10, usesPerToken: 1)
        #expect(cache.take(0) == nil)
        let claimed = (cache.claim(for: 0), cache.claim(for: 1))
        let first = try #require(claimed.0)
        let second = try #require(claimed.1)
        #expect(first != second)
        #expect(cache.claim(for: 2) == nil)
        cache.unpin(second)
        #expect(cache.claim(for: 2) == second)
        #expect(cache.take(0) == first)
        #expect(cache.take(1) == nil)
    }

    @Test func anEmptiedSlabIsUsedNext() throws {
        var cache = SlabCache(slabs: 2, experts: 10, usesPerToken: 1)
        _ = use(0, &cache)
        let claimed = cache.claim(for: 1)
        let slab = try #require(claimed)
        cache.discard(slab)
        #expect(cache.take(1) == nil)
        #expect(cache.claim(for: 2) == slab)
        #expect(use(0, &cache))
    }

    @Test func fewerSlabsHoldFewerExperts() {
        var cache = SlabCache(slabs: 6, experts: 10, usesPerToken: 1)
        for expert in 0..<6 { _ = use(expert, &cache) }
        cache.shrink(to: 3)
        #expect(cache.count == 3)
        var kept = 0
        for expert in 0..<6 where cache.take(expert) != nil { kept += 1 }
        #expect(kept == 3)
    }

    @Test func expertsMayBeAdded() {
        var cache = SlabCache(slabs: 2, experts: 3, usesPerToken: 1)
        cache.add(experts: 4)
        #expect(cache.experts == 7)
        #expect(!use(6, &cache))
        #expect(use(6, &cache))
    }

    /// A hundred thousand random uses, after each of which every expert has at most one slab and every slab at most one expert.
    @Test func randomUseKeepsItWhole() {
        var cache = SlabCache(slabs: 13, experts: 50, usesPerToken: 3)
        var random = Xorshift(state: 5)
        var pinned: [Int: Int] = [:]
        for _ in 0..<100_000 {
            let expert = Int.random(in: 0..<50, using: &random)
            switch Int.random(in: 0..<4, using: &random) {
            case 0, 1:
                guard pinned[expert] == nil else { continue }
                if let slab = cache.take(expert) ?? cache.claim(for: expert) {
                    #expect(!pinned.values.contains(slab))
                    pinned[expert] = slab
                } else {
                    #expect(pinned.count == 13)
                }
            case 2:
                if let slab = pinned.removeValue(forKey: expert) { cache.unpin(slab) }
            default:
                if let slab = pinned.removeValue(forKey: expert) {
                    cache.discard(slab)
                    #expect(cache.take(expert) == nil)
                }
            }
        }
    }
}
