// Proofs: that an entry is in a tree, and that one tree is the beginning of another.

/// A proof that a leaf stands at an index of a tree (RFC 6962, section 2.1.1).
public struct InclusionProof: Sendable, Equatable {
    /// The leaf's index, from 0.
    public var index: Int
    /// Leaves of the tree.
    public var size: Int
    /// From the leaf's sibling up to the root's child.
    public var hashes: [MerkleHash]

    public init(index: Int, size: Int, hashes: [MerkleHash]) {
        self.index = index
        self.size = size
        self.hashes = hashes
    }

    /// The root that this proof leads to from a leaf, or nil where it cannot be a proof of this index and size
    /// (RFC 9162, section 2.1.3.2).
    public func root(from leaf: MerkleHash) -> MerkleHash? {
        guard index >= 0, index < size else { return nil }
        var (node, last) = (index, size - 1)
        var hash = leaf
        for sibling in hashes {
            guard last > 0 else { return nil }
            if node & 1 == 1 || node == last {
                hash = .node(sibling, hash)
                while node & 1 == 0, node > 0 {
                    node >>= 1
                    last >>= 1
                }
            } else {
                hash = .node(hash, sibling)
            }
            node >>= 1
            last >>= 1
        }
        return last == 0 ? hash : nil
    }

    /// Whether `leaf` stands at ``index`` of the tree of ``size`` leaves whose root is `root`.
    public func proves(_ leaf: MerkleHash, in root: MerkleHash) -> Bool { self.root(from: leaf) == root }
}

/// A proof that a tree is the beginning of a larger one (RFC 6962, section 2.1.2).
public struct ConsistencyProof: Sendable, Equatable {
    /// Leaves of the smaller tree.
    public var first: Int
    /// Leaves of the larger tree.
    public var second: Int
    public var hashes: [MerkleHash]

    public init(first: Int, second: Int, hashes: [MerkleHash]) {
        self.first = first
        self.second = second
        self.hashes = hashes
    }

    /// Whether the tree with root `old` is the beginning of the one with root `new` (RFC 9162, section 2.1.4.2).
    ///
    /// The empty tree is the beginning of every tree, and each tree of itself; both need no hashes and allow none.
    public func proves(_ old: MerkleHash, isBeginningOf new: MerkleHash) -> Bool {
        guard first >= 0, first <= second else { return false }
        if first == second { return hashes.isEmpty && old == new }
        if first == 0 { return hashes.isEmpty && old == .empty }
        // A complete old tree is a node of the new one, so that its root, which the verifier has, is left out.
        var path = hashes[...]
        if first.nonzeroBitCount == 1 { path = [old] + path }
        var (node, last) = (first - 1, second - 1)
        while node & 1 == 1 {
            node >>= 1
            last >>= 1
        }
        guard let seed = path.popFirst() else { return false }
        var (oldHash, newHash) = (seed, seed)
        for hash in path {
            guard last > 0 else { return false }
            if node & 1 == 1 || node == last {
                oldHash = .node(hash, oldHash)
                newHash = .node(hash, newHash)
                while node & 1 == 0, node > 0 {
                    node >>= 1
                    last >>= 1
                }
            } else {
                newHash = .node(newHash, hash)
            }
            node >>= 1
            last >>= 1
        }
        return last == 0 && oldHash == old && newHash == new
    }
}

extension MerkleNodes {
    /// RFC 6962's PATH(m, D[n]), from the bottom up.
    package func inclusionProof(index: Int, size: Int) throws(AuditError) -> InclusionProof {
        precondition(index >= 0 && index < size)
        var siblings: [Range<Int>] = []
        var range = 0..<size
        while range.count > 1 {
            let middle = range.lowerBound + Self.largestPower(below: range.count)
            if index < middle {
                siblings.append(middle..<range.upperBound)
                range = range.lowerBound..<middle
            } else {
                siblings.append(range.lowerBound..<middle)
                range = middle..<range.upperBound
            }
        }
        return InclusionProof(index: index, size: size, hashes: try roots(of: siblings.reversed()))
    }

    /// RFC 6962's PROOF(m, D[n]), from the bottom up.
    package func consistencyProof(first: Int, second: Int) throws(AuditError) -> ConsistencyProof {
        precondition(first >= 0 && first <= second)
        guard first > 0, first < second else { return ConsistencyProof(first: first, second: second, hashes: []) }
        var parts: [Range<Int>] = []
        var range = 0..<second
        // Down to the subtree that ends where the old tree ends.
        while range.upperBound != first {
            let middle = range.lowerBound + Self.largestPower(below: range.count)
            if first <= middle {
                parts.append(middle..<range.upperBound)
                range = range.lowerBound..<middle
            } else {
                parts.append(range.lowerBound..<middle)
                range = middle..<range.upperBound
            }
        }
        if range.lowerBound > 0 { parts.append(range) }
        return ConsistencyProof(first: first, second: second, hashes: try roots(of: parts.reversed()))
    }

    private func roots(of ranges: [Range<Int>]) throws(AuditError) -> [MerkleHash] {
        var hashes: [MerkleHash] = []
        for range in ranges { hashes.append(try root(of: range)) }
        return hashes
    }

    /// The largest power of two that is smaller than a count above 1.
    private static func largestPower(below count: Int) -> Int {
        1 << (Int.bitWidth - 1 - (count - 1).leadingZeroBitCount)
    }
}
