import Testing
import WaletEngine
import WaletModels

/// The tree of pages, without a model.
@Suite struct PrefixCacheTests {
    private let pool = PagePool(pageBytes: 64, limit: 1 << 20)

    private func pages(_ tokens: [Int]) -> [KVPage] { (0..<(tokens.count + 63) / 64).map { _ in pool.makePage() } }

    private func insert(_ tokens: [Int], _ cache: PrefixCache, tenant: String = "", tail: Bool = true) {
        _ = cache.insert(
            tokens, pages(tokens), tenant: tenant, canonicalPages: .max, tailIsCanonical: tail ? true : nil)
    }

    private func found(_ tokens: [Int], _ cache: PrefixCache, tenant: String = "") -> Int {
        cache.match(tokens, limit: tokens.count - 1, tenant: tenant, need: .any).tokens
    }

    @Test func theLongestBeginningIsFound() {
        let cache = PrefixCache(secret: [1])
        let text = Array(0..<300)
        insert(text, cache)
        #expect(cache.pages == 5 && pool.inUse == 5)
        #expect(found(text, cache) == 299)
        #expect(found(text + [7, 8], cache) == 300)
        #expect(found(Array(text.prefix(200)) + [999, 1000], cache) == 200)
        #expect(found([1] + text, cache) == 0)
        #expect(found([0], cache) == 0)
        #expect(found(text, cache, tenant: "other") == 0)
    }

    @Test func textsThatBeginAlikeShareTheirPages() {
        let cache = PrefixCache(secret: [1])
        let common = Array(0..<256)
        for end in 0..<10 { insert(common + [1000 + end], cache) }
        #expect(cache.pages == 4 + 10 && pool.inUse == 14)
        // A longer end takes the place of a shorter one.
        insert(common + [1000, 1, 2, 3], cache)
        #expect(cache.pages == 14)
        insert(common + [1000] + Array(0..<100), cache)
        #expect(cache.pages == 4 + 9 + 1 + 1 + 1, "\(cache.pages)")
    }

    @Test func whatIsUsedStays() {
        let cache = PrefixCache(secret: [1])
        let text = Array(0..<300)
        insert(text, cache)
        insert(Array(500..<700), cache)
        #expect(cache.reclaimable == 9)
        let match = cache.match(text, limit: 130, tenant: "", need: .any)
        #expect(match.pages.count == 3 && match.unusedPages == 3)
        #expect(cache.reclaimable == 9 - 3)
        #expect(cache.match(text, limit: 130, tenant: "", need: .any).unusedPages == 0)
        #expect(cache.evict(100) == 6)
        #expect(cache.pages == 3 && pool.inUse == 3)
        withExtendedLifetime(match) {}
    }

    @Test func aPageInUseTakesThePlaceOfAnUnusedTwin() {
        let cache = PrefixCache(secret: [1])
        let text = Array(0..<192)
        insert(Array(text.prefix(128)), cache)
        // The same text, run again: its pages hang together with what follows, which is in use.
        let held = pages(text)
        _ = cache.insert(text, held, tenant: "", canonicalPages: .max, tailIsCanonical: nil)
        #expect(cache.pages == 3 && pool.inUse == 3)
        withExtendedLifetime(held) {}
    }

    @Test func theOldestGoesFirst() {
        let cache = PrefixCache(secret: [1])
        let texts = (0..<5).map { first in (0..<128).map { first * 1000 + $0 } }
        for text in texts { insert(text, cache) }
        _ = found(texts[0] + [1], cache)
        #expect(cache.evict(3) == 3)
        #expect(found(texts[0] + [1], cache) == 128)
        #expect(found(texts[4] + [1], cache) == 128)
        #expect(found(texts[1] + [1], cache) + found(texts[2] + [1], cache) + found(texts[3] + [1], cache) == 192)
    }

    @Test func aFloodOfOneTenantLeavesTheOthersPages() {
        let cache = PrefixCache(secret: [1])
        let text = Array(0..<256)
        insert(text, cache, tenant: "quiet")
        for number in 0..<100 { insert((0..<128).map { number * 1000 + $0 }, cache, tenant: "loud") }
        _ = cache.evict(150)
        #expect(found(text + [1], cache, tenant: "quiet") == 256)
    }

    @Test func namesDependOnSecretTenantAndText() throws {
        let root = PageKey(root: "a", secret: [1, 2])
        #expect(root == PageKey(root: "a", secret: [1, 2]))
        #expect(root != PageKey(root: "b", secret: [1, 2]) && root != PageKey(root: "a", secret: [1, 3]))
        let next = root.next([1, 2, 3])
        #expect(next != root.next([1, 2, 4]) && next != root.next([1, 2]) && next.variant != next)
        #expect(PageKey(name: next.name) == next && next.name.utf8.count == 64)
        for bad in ["", "abc", String(repeating: "g", count: 64), String(repeating: "A", count: 64)] {
            #expect(PageKey(name: bad) == nil)
        }
    }

    /// Whatever comes, every page is either held by somebody or can be reclaimed.
    @Test(arguments: [UInt64(1), 2, 3, 4]) func nothingIsLost(_ seed: UInt64) {
        var random = Xorshift(state: seed &* 7919 | 1)
        let cache = PrefixCache(secret: [1])
        var running: [(tokens: [Int], pages: [KVPage])] = []
        for _ in 0..<2000 {
            switch Int.random(in: 0..<4, using: &random) {
            case 0:
                // Few different tokens, so that texts begin alike.
                let blocks = (0..<Int.random(in: 1..<6, using: &random)).flatMap { _ in
                    [Int](repeating: Int.random(in: 0..<2, using: &random), count: 40)
                }
                let match = cache.match(blocks, limit: blocks.count - 1, tenant: "", need: .any)
                let whole = (blocks.count + 63) / 64
                running.append(
                    (blocks, Array(match.pages.prefix(match.fullPages)) + pages(blocks).dropFirst(match.fullPages)))
                #expect(running.last?.pages.count == whole)
            case 1 where !running.isEmpty:
                let (tokens, pages) = running.randomElement(using: &random)!
                _ = cache.insert(tokens, pages, tenant: "", canonicalPages: .max, tailIsCanonical: nil)
            case 2 where !running.isEmpty:
                let (tokens, pages) = running.remove(at: Int.random(in: running.indices, using: &random))
                _ = cache.insert(tokens, pages, tenant: "", canonicalPages: .max, tailIsCanonical: true)
            default: _ = cache.evict(Int.random(in: 0..<4, using: &random))
            }
        }
        running = []
        #expect(
            cache.pages == pool.inUse && cache.reclaimable == cache.pages,
            "\(cache.pages) \(pool.inUse) \(cache.reclaimable)")
        let pages = cache.pages
        #expect(cache.evict(.max) == pages)
        #expect(pool.inUse == 0 && cache.pages == 0)
    }
}
