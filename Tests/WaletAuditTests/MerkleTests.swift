import Foundation
import Testing
import WaletAudit

/// The tree and its proofs, against Go's transparency log and against RFC 6962's own definitions.
@Suite struct MerkleTests {
    private let reference: Reference
    private let hashes: [MerkleHash]

    init() throws {
        reference = try Reference()
        hashes = reference.leaves.map { .leaf($0) }
    }

    /// MTH of RFC 6962, section 2.1, word for word.
    private func definition(_ leaves: ArraySlice<MerkleHash>) -> MerkleHash {
        if leaves.isEmpty { return .empty }
        if leaves.count == 1 { return leaves[leaves.startIndex] }
        var power = 1
        while power * 2 < leaves.count { power *= 2 }
        let middle = leaves.startIndex + power
        return .node(definition(leaves[..<middle]), definition(leaves[middle...]))
    }

    @Test func rootsAreThoseOfTheReference() throws {
        var tree = MerkleFrontier()
        #expect(tree.root == reference.roots[0])
        for (index, leaf) in hashes.enumerated() {
            tree.append(leaf)
            #expect(tree.root == reference.roots[index + 1])
        }
        #expect(tree.count == 70)
    }

    /// The published values of certificate-transparency's reference implementation, for its eight leaves.
    @Test func rootsAreThoseOfCertificateTransparency() {
        let published = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ]
        for (size, root) in published.enumerated() {
            #expect(definition(hashes[..<size]).hexadecimal == root)
            #expect(reference.roots[size].hexadecimal == root)
        }
    }

    @Test func inclusionProofsAreThoseOfTheReference() throws {
        let nodes = MemoryNodes(leaves: hashes)
        let proofs = try #require(reference.json["inclusion"]?.arrayValue)
        #expect(proofs.count == 198)
        for proof in proofs {
            let index = try #require(proof["index"]?.intValue)
            let size = try #require(proof["size"]?.intValue)
            let made = try nodes.inclusionProof(index: index, size: size)
            #expect(try made.hashes == Reference.hashes(proof["hashes"]))
            #expect(made.proves(hashes[index], in: reference.roots[size]))
        }
    }

    @Test func consistencyProofsAreThoseOfTheReference() throws {
        let nodes = MemoryNodes(leaves: hashes)
        let proofs = try #require(reference.json["consistency"]?.arrayValue)
        #expect(proofs.count > 170)
        for proof in proofs {
            let first = try #require(proof["first"]?.intValue)
            let second = try #require(proof["second"]?.intValue)
            let made = try nodes.consistencyProof(first: first, second: second)
            #expect(try made.hashes == Reference.hashes(proof["hashes"]))
            #expect(made.proves(reference.roots[first], isBeginningOf: reference.roots[second]))
        }
    }

    @Test func everyProofOfEverySmallTreeHolds() throws {
        let nodes = MemoryNodes(leaves: hashes)
        for size in 0...70 {
            #expect(try nodes.root(of: 0..<size) == reference.roots[size])
            #expect(try nodes.frontier(of: size).root == reference.roots[size])
            for index in 0..<size {
                let proof = try nodes.inclusionProof(index: index, size: size)
                #expect(proof.proves(hashes[index], in: reference.roots[size]))
                #expect(proof.hashes.count <= 7)
            }
            for first in 0...size {
                let proof = try nodes.consistencyProof(first: first, second: size)
                #expect(proof.proves(reference.roots[first], isBeginningOf: reference.roots[size]))
            }
        }
    }

    @Test func alteredInclusionProofsDoNotHold() throws {
        let nodes = MemoryNodes(leaves: hashes)
        let other = MerkleHash.leaf(Array("other".utf8))
        for size in 1...40 {
            for index in 0..<size {
                let proof = try nodes.inclusionProof(index: index, size: size)
                let root = reference.roots[size]
                #expect(!proof.proves(other, in: root))
                #expect(!proof.proves(hashes[index], in: other))
                for wrong in 0..<size where wrong != index {
                    #expect(!proof.proves(hashes[wrong], in: root))
                    #expect(
                        !InclusionProof(index: wrong, size: size, hashes: proof.hashes).proves(hashes[index], in: root))
                }
                for position in proof.hashes.indices {
                    var altered = proof
                    altered.hashes[position] = other
                    #expect(!altered.proves(hashes[index], in: root))
                    altered = proof
                    altered.hashes.remove(at: position)
                    #expect(!altered.proves(hashes[index], in: root))
                    altered = proof
                    altered.hashes.insert(other, at: position)
                    #expect(!altered.proves(hashes[index], in: root))
                }
                var longer = proof
                longer.hashes.append(other)
                #expect(!longer.proves(hashes[index], in: root))
            }
        }
    }

    @Test func alteredConsistencyProofsDoNotHold() throws {
        let nodes = MemoryNodes(leaves: hashes)
        let other = MerkleHash.leaf(Array("other".utf8))
        for second in 1...40 {
            for first in 0...second {
                let proof = try nodes.consistencyProof(first: first, second: second)
                let (old, new) = (reference.roots[first], reference.roots[second])
                #expect(!proof.proves(other, isBeginningOf: new))
                // The empty tree is the beginning of whatever there is.
                if first > 0 { #expect(!proof.proves(old, isBeginningOf: other)) }
                if first != second { #expect(!proof.proves(new, isBeginningOf: old)) }
                for position in 0...proof.hashes.count {
                    var altered = proof
                    altered.hashes.insert(other, at: position)
                    #expect(!altered.proves(old, isBeginningOf: new))
                }
                for position in proof.hashes.indices {
                    var altered = proof
                    altered.hashes[position] = other
                    #expect(!altered.proves(old, isBeginningOf: new))
                    altered = proof
                    altered.hashes.remove(at: position)
                    #expect(!altered.proves(old, isBeginningOf: new))
                }
            }
        }
    }

    /// What stands in a proof's file may be any number.
    @Test func proofsOfAbsurdSizesDoNotHoldAndDoNotTrap() {
        let hash = hashes[0]
        for index in [-1, 0, 1, Int.max, Int.min] {
            for size in [-1, 0, 1, 2, Int.max, Int.min] {
                for count in [0, 1, 63, 64, 200] {
                    let path = Array(repeating: hash, count: count)
                    let inclusion = InclusionProof(index: index, size: size, hashes: path)
                    if !(index == 0 && size == 1 && count == 0) { #expect(!inclusion.proves(hash, in: hash)) }
                    let consistency = ConsistencyProof(first: index, second: size, hashes: path)
                    if index != size || count > 0 { #expect(!consistency.proves(hash, isBeginningOf: hash)) }
                }
            }
        }
    }

    @Test func nodesStandWhereAppendingPutsThem() {
        #expect(MerklePosition.of(level: 0, index: 0) == 0)
        #expect(MerklePosition.of(level: 0, index: 1) == 1)
        #expect(MerklePosition.of(level: 1, index: 0) == 2)
        #expect(MerklePosition.of(level: 0, index: 2) == 3)
        #expect(MerklePosition.of(level: 2, index: 0) == 6)
        var nodes = 0
        for leaves in 0...3000 {
            #expect(MerklePosition.nodes(leaves: leaves) == nodes)
            // A file that ends within the nodes of the next leaf has those of this many.
            let next = nodes + 1 + (~leaves).trailingZeroBitCount
            for torn in nodes..<next { #expect(MerklePosition.leaves(nodes: torn) == leaves) }
            nodes = next
        }
    }

    @Test func hashesHaveOneSpelling() throws {
        let hash = hashes[3]
        #expect(MerkleHash(base64: hash.base64) == hash)
        #expect(MerkleHash(hash.bytes) == hash)
        // The last character before '=' has bits that decoding drops.
        #expect(MerkleHash(base64: "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=") == nil)
        for text in [
            "", "AA==", hash.base64 + "=", String(hash.base64.dropLast()), " " + hash.base64, hash.base64 + "\n",
        ] {
            #expect(MerkleHash(base64: text) == nil)
        }
        #expect(Hexadecimal.bytes("0aFF") == nil)
        #expect(Hexadecimal.bytes("0a1") == nil)
        #expect(Hexadecimal.bytes("0aff") == [0x0A, 0xFF])
    }
}
