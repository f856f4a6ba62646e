// The tree of RFC 6962 over a list that only grows: where each node stands, and the right edge that appending needs.

/// Where a node of the tree stands among all nodes in the order in which appending completes them.
///
/// A leaf is followed by the nodes that it completes: leaf 0, leaf 1, node 0-1, leaf 2, leaf 3, node 2-3, node 0-3, …
/// So a file of hashes in this order only grows, and every node of it is final.
package enum MerklePosition {
    /// Level 0 are leaves; a node of level `l` and index `i` covers the leaves from `i << l` to `(i + 1) << l`.
    package static func of(level: Int, index: Int) -> Int {
        let lastLeaf = (index + 1) << level - 1
        return 2 * lastLeaf - lastLeaf.nonzeroBitCount + level
    }

    /// How many nodes a tree of so many leaves has.
    package static func nodes(leaves: Int) -> Int { 2 * leaves - leaves.nonzeroBitCount }

    /// The largest tree whose nodes are all among the first `nodes`.
    package static func leaves(nodes: Int) -> Int {
        // nodes(leaves:) lies between leaves and 2 * leaves and never falls.
        var (low, high) = (nodes / 2, nodes)
        while low < high {
            let middle = (low + high + 1) / 2
            if self.nodes(leaves: middle) <= nodes { low = middle } else { high = middle - 1 }
        }
        return low
    }
}

/// The right edge of a tree: the roots of the complete subtrees from left to right, one for each bit of the count.
///
/// All that appending needs: an append is amortized two hashes, the root at most one for each bit.
public struct MerkleFrontier: Sendable, Equatable {
    /// Leaves so far.
    public private(set) var count: Int
    private var peaks: [MerkleHash]

    public init() {
        count = 0
        peaks = []
    }

    /// - Parameter peaks: one for each bit that is set in `count`, the highest first.
    init(count: Int, peaks: [MerkleHash]) {
        precondition(peaks.count == count.nonzeroBitCount)
        self.count = count
        self.peaks = peaks
    }

    /// Adds a leaf and tells each node that this completes, the leaf first.
    public mutating func append(_ leaf: MerkleHash, completed: (MerkleHash) -> Void = { _ in }) {
        var hash = leaf
        completed(hash)
        for _ in 0..<count.trailingOnes {
            hash = .node(peaks.removeLast(), hash)
            completed(hash)
        }
        peaks.append(hash)
        count += 1
    }

    /// The root of the tree as it is (RFC 6962, section 2.1).
    public var root: MerkleHash {
        guard var hash = peaks.last else { return .empty }
        for peak in peaks.dropLast().reversed() { hash = .node(peak, hash) }
        return hash
    }
}

extension Int {
    fileprivate var trailingOnes: Int { (~self).trailingZeroBitCount }
}

/// Something that knows the nodes of complete subtrees.
package protocol MerkleNodes {
    /// The hash of a node all of whose leaves are there.
    func node(level: Int, index: Int) throws(AuditError) -> MerkleHash
}

extension MerkleNodes {
    /// The root of the leaves `range`, which begins at a multiple of the largest power of two that it can hold, as all
    /// ranges of RFC 6962 do.
    package func root(of range: Range<Int>) throws(AuditError) -> MerkleHash {
        guard !range.isEmpty else { return .empty }
        var hashes: [MerkleHash] = []
        var start = range.lowerBound
        while start < range.upperBound {
            let level = Int.bitWidth - 1 - (range.upperBound - start).leadingZeroBitCount
            hashes.append(try node(level: level, index: start >> level))
            start += 1 << level
        }
        var hash = hashes.removeLast()
        while let left = hashes.popLast() { hash = .node(left, hash) }
        return hash
    }

    /// The right edge of the tree of the first `count` leaves.
    package func frontier(of count: Int) throws(AuditError) -> MerkleFrontier {
        var peaks: [MerkleHash] = []
        var start = 0
        while start < count {
            let level = Int.bitWidth - 1 - (count - start).leadingZeroBitCount
            peaks.append(try node(level: level, index: start >> level))
            start += 1 << level
        }
        return MerkleFrontier(count: count, peaks: peaks)
    }
}
