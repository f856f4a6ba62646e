import WaletModels

/// Pages that requests have left behind, in a tree: a path from a root spells a text, 64 tokens a page. Requests that
/// begin alike share them, as long as there is room.
///
/// Only the engine's thread works with it.
package final class PrefixCache {
    /// Which pages a request may take.
    package enum Need {
        case any
        /// Only those whose numbers are, bit for bit, what the request would compute itself: where attention has two
        /// forms, full pages of a prompt are made in one and everything after them in the other.
        /// - Parameter fullPages: of the request's prompt.
        case canonical(fullPages: Int)
    }

    /// The longest part of a prompt that is there.
    package struct Match {
        package var pages: [KVPage] = []
        package var tokens = 0
        /// Where the full pages end, so that a store can be asked for the next ones.
        package var key: PageKey
        package var fullPages = 0
        /// So many of the first full pages are canonical.
        package var canonicalPages = 0
        /// Pages that nobody used: they cannot be reclaimed once they are taken.
        package var unusedPages = 0
    }

    /// A page that has become part of the tree.
    package struct Addition {
        package let key: PageKey
        package let page: KVPage
        package let isCanonical: Bool
    }

    private final class Node {
        /// At most a page of them; fewer where the text ended, or went on differently.
        let tokens: [Int32]
        /// Nil for a root.
        var page: KVPage?
        var isCanonical: Bool
        var children: [PageKey: Node] = [:]
        /// Pages that are not full: nothing follows them.
        var tails: [Node] = []
        var lastUse: UInt64 = 0

        init(_ tokens: [Int32], _ page: KVPage?, isCanonical: Bool) {
            self.tokens = tokens
            self.page = page
            self.isCanonical = isCanonical
        }

        var isLeaf: Bool { children.isEmpty && tails.isEmpty }

        /// Nobody but the tree holds the page.
        var isUnused: Bool { page == nil || isKnownUniquelyReferenced(&page) }

        /// How many tokens it has in common with the beginning of a text.
        func common(with text: ArraySlice<Int>) -> Int {
            var count = 0
            for (token, other) in zip(tokens, text) {
                guard Int(token) == other else { break }
                count += 1
            }
            return count
        }
    }

    private final class Tenant {
        let key: PageKey
        let root = Node([], nil, isCanonical: true)
        var pages = 0
        init(_ key: PageKey) { self.key = key }
    }

    private let secret: [UInt8]
    private var tenants: [String: Tenant] = [:]
    private var clock: UInt64 = 0
    /// Pages in it.
    package private(set) var pages = 0

    /// - Parameter secret: names of pages cannot be guessed without it.
    package init(secret: [UInt8]) { self.secret = secret }

    private static let size = KVCache.pageTokens
    /// Ends of texts that one page may be followed by.
    private static let maximumTails = 64

    /// The name of what comes before all pages of a tenant.
    package func rootKey(of tenant: String) -> PageKey { tenants[tenant]?.key ?? PageKey(root: tenant, secret: secret) }

    /// Finds the longest beginning of a prompt, but at most `limit` tokens of it.
    package func match(_ prompt: [Int], limit: Int, tenant name: String, need: Need) -> Match {
        guard let tenant = tenants[name] else { return Match(key: rootKey(of: name)) }
        clock += 1
        var match = Match(key: tenant.key)
        var node = tenant.root
        let size = Self.size
        while (match.fullPages + 1) * size <= limit {
            let slice = prompt[match.fullPages * size..<(match.fullPages + 1) * size]
            let key = match.key.next(slice)
            guard let child = node.children[key], child.common(with: slice) == size else { break }
            if case .canonical = need, !child.isCanonical { break }
            if child.isUnused { match.unusedPages += 1 }
            guard let page = child.page else { break }
            child.lastUse = clock
            match.pages.append(page)
            match.key = key
            if child.isCanonical, match.canonicalPages == match.fullPages { match.canonicalPages += 1 }
            match.fullPages += 1
            node = child
        }
        match.tokens = match.fullPages * size
        addTail(to: &match, of: node, prompt, limit: limit, need)
        return match
    }

    /// A page whose beginning is like what comes next serves too: it is copied before it is written to.
    private func addTail(to match: inout Match, of node: Node, _ prompt: [Int], limit: Int, _ need: Need) {
        let rest = prompt[match.tokens..<max(match.tokens, min(limit, prompt.count))]
        var best: (node: Node, count: Int)?
        func consider(_ candidate: Node) {
            let count = candidate.common(with: rest)
            if count > best?.count ?? 0 { best = (candidate, count) }
        }
        switch need {
        case .any:
            node.children.values.forEach(consider)
            node.tails.forEach(consider)
        case .canonical(let fullPages):
            // A page that will be full in this prompt must be made as one.
            if fullPages == match.fullPages { for tail in node.tails where tail.isCanonical { consider(tail) } }
        }
        guard let best else { return }
        if best.node.isUnused { match.unusedPages += 1 }
        guard let page = best.node.page else { return }
        best.node.lastUse = clock
        match.pages.append(page)
        match.tokens += best.count
    }

    /// Keeps the pages of a text.
    /// - Parameters:
    ///   - tokens: those that the pages hold.
    ///   - canonicalPages: so many of the first full pages are canonical.
    ///   - tailIsCanonical: the page after the full ones is; nil where it is not to be kept.
    /// - Returns: the full pages that were not there before.
    package func insert(
        _ tokens: [Int], _ held: [KVPage], tenant name: String, canonicalPages: Int, tailIsCanonical: Bool?
    ) -> [Addition] {
        let size = Self.size
        let full = tokens.count / size
        guard full > 0 || (tailIsCanonical != nil && !tokens.isEmpty) else { return [] }
        let tenant = tenants[name] ?? Tenant(PageKey(root: name, secret: secret))
        tenants[name] = tenant
        clock += 1
        var node = tenant.root
        var key = tenant.key
        var additions: [Addition] = []
        for index in 0..<full {
            let slice = tokens[index * size..<(index + 1) * size]
            key = key.next(slice)
            let isCanonical = index < canonicalPages
            if let child = node.children[key] {
                // A page that nobody uses, with used ones below it, could not be evicted: the one in use takes its place.
                if isCanonical ? (!child.isCanonical || child.isUnused) : (!child.isCanonical && child.isUnused) {
                    child.page = held[index]
                    child.isCanonical = isCanonical
                }
                node = child
            } else {
                let child = Node(slice.map { Int32(truncatingIfNeeded: $0) }, held[index], isCanonical: isCanonical)
                node.children[key] = child
                removeTails(of: node, tenant) { child.common(with: $0.tokens.map { Int($0) }[...]) == $0.tokens.count }
                tenant.pages += 1
                pages += 1
                additions.append(Addition(key: key, page: held[index], isCanonical: isCanonical))
                node = child
            }
            node.lastUse = clock
        }
        if let tailIsCanonical, tokens.count % size != 0 {
            insertTail(tokens[(full * size)...], held[full], isCanonical: tailIsCanonical, at: node, tenant)
        }
        return additions
    }

    private func insertTail(
        _ tokens: ArraySlice<Int>, _ page: KVPage, isCanonical: Bool, at node: Node, _ tenant: Tenant
    ) {
        if let known = node.tails.first(where: {
            $0.common(with: tokens) == tokens.count && ($0.isCanonical || !isCanonical)
        }) {
            known.lastUse = clock
            return
        }
        if node.children.values.contains(where: { $0.common(with: tokens) == tokens.count && !isCanonical }) { return }
        removeTails(of: node, tenant) {
            $0.common(with: tokens) == $0.tokens.count && (isCanonical || !$0.isCanonical)
        }
        if node.tails.count >= Self.maximumTails, let oldest = node.tails.min(by: { $0.lastUse < $1.lastUse }) {
            removeTails(of: node, tenant) { $0 === oldest }
        }
        let tail = Node(tokens.map { Int32(truncatingIfNeeded: $0) }, page, isCanonical: isCanonical)
        tail.lastUse = clock
        node.tails.append(tail)
        tenant.pages += 1
        pages += 1
    }

    private func removeTails(of node: Node, _ tenant: Tenant, where condition: (Node) -> Bool) {
        let before = node.tails.count
        node.tails.removeAll(where: condition)
        tenant.pages -= before - node.tails.count
        pages -= before - node.tails.count
    }

    /// Pages that ``evict(_:)`` could free now.
    package var reclaimable: Int {
        /// Pages of a subtree that can go, and whether all of it can.
        func count(_ node: Node) -> (pages: Int, all: Bool) {
            var pages = 0
            var all = true
            for child in node.children.values {
                let below = count(child)
                pages += below.pages
                all = all && below.all
            }
            for tail in node.tails { if tail.isUnused { pages += 1 } else { all = false } }
            guard node.page != nil else { return (pages, all) }
            guard all, node.isUnused else { return (pages, false) }
            return (pages + 1, true)
        }
        return tenants.values.reduce(0) { $0 + count($1.root).pages }
    }

    /// Forgets pages that nobody uses, those first that were not used for the longest time, but before them those of
    /// tenants who hold more than their share: nobody can drive out what others have cached.
    /// - Returns: pages that were freed.
    package func evict(_ wanted: Int) -> Int {
        var freed = 0
        while freed < wanted {
            var leaves = removableLeaves()
            if leaves.isEmpty { break }
            let overShare = leaves.prefix { $0.isOverShare }
            if !overShare.isEmpty { leaves = Array(overShare) }
            for leaf in leaves.prefix(wanted - freed) {
                leaf.remove()
                leaf.tenant.pages -= 1
                pages -= 1
                freed += 1
            }
        }
        for (name, tenant) in tenants where tenant.root.isLeaf { tenants[name] = nil }
        return freed
    }

    /// Forgets everything; pages in use stay with their users.
    package func removeAll() {
        tenants = [:]
        pages = 0
    }

    private struct Leaf {
        let tenant: Tenant
        let isOverShare: Bool
        let lastUse: UInt64
        let remove: () -> Void
    }

    private func removableLeaves() -> [Leaf] {
        var leaves: [Leaf] = []
        let share = pages / max(1, tenants.count)
        func collect(_ node: Node, _ tenant: Tenant, isOverShare: Bool) {
            for (key, child) in node.children {
                if child.isLeaf {
                    guard child.isUnused else { continue }
                    leaves.append(
                        Leaf(tenant: tenant, isOverShare: isOverShare, lastUse: child.lastUse) {
                            node.children[key] = nil
                        })
                } else {
                    collect(child, tenant, isOverShare: isOverShare)
                }
            }
            for tail in node.tails where tail.isUnused {
                leaves.append(
                    Leaf(tenant: tenant, isOverShare: isOverShare, lastUse: tail.lastUse) {
                        node.tails.removeAll { $0 === tail }
                    })
            }
        }
        for tenant in tenants.values { collect(tenant.root, tenant, isOverShare: tenant.pages > share) }
        return leaves.sorted {
            $0.isOverShare != $1.isOverShare ? $0.isOverShare : $0.lastUse < $1.lastUse
        }
    }
}
