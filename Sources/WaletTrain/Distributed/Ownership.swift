import CWaletAutodiff
import WaletTensor

/// Which process keeps each parameter up to date: it sums the gradients of all, and sends its new values to all.
///
/// Muon needs a matrix whole, so each has one owner. (Moonlight, arXiv 2502.16982, section 2.3, shards them instead and
/// gathers.) Replicas are equal bit for bit, since all of them are the owner's.
struct Ownership {
    /// The owner of each parameter.
    let owners: [Int]
    /// The parameters of each process, in their order.
    let owned: [[Int]]
    /// Those of them that all processes hold: only these are summed and sent.
    let replicated: [[Int]]

    /// The most costly first, each to the process with the least so far.
    /// - Parameters:
    ///   - costs: of the parameters' updates.
    ///   - holders: the process that alone holds a parameter; nil for one that all hold.
    init(costs: [Int], holders: [Int?], ranks: Int) {
        var owners = holders.map { $0 ?? 0 }
        var loads = [Int](repeating: 0, count: ranks)
        for (index, holder) in holders.enumerated() { if let holder { loads[holder] += max(1, costs[index]) } }
        let free = costs.indices.filter { holders[$0] == nil }
        for index in free.sorted(by: { (costs[$1], $0) < (costs[$0], $1) }) {
            var least = 0
            for rank in loads.indices where loads[rank] < loads[least] { least = rank }
            owners[index] = least
            loads[least] += max(1, costs[index])
        }
        self.owners = owners
        let owned = (0..<ranks).map { rank in owners.indices.filter { owners[$0] == rank } }
        self.owned = owned
        replicated = owned.map { $0.filter { holders[$0] == nil } }
    }

    /// The replicated arrays that this process owns become the sums of those of all, added in the order of the ranks. The
    /// others stay.
    /// - Parameter arrays: of all parameters.
    func reduce(
        _ arrays: [UnsafeMutableBufferPointer<Float>], _ communicator: Communicator, _ pool: ThreadPool
    ) throws(CommunicationError) {
        let rank = communicator.rank
        let packed = replicated.map { PackedArrays(arrays, $0) }
        let count = packed[rank].count
        let received = replicated.indices.map { PackedArrays(count: $0 == rank ? 0 : count) }
        try communicator.exchange(
            packed.indices.map { $0 == rank ? .nothing : UnsafeRawBufferPointer(packed[$0].bytes) },
            received.indices.map { $0 == rank ? .nothing : received[$0].bytes })
        let sum = PackedArrays(count: count)
        withExtendedLifetime((packed, received, sum)) {
            let sources = received.indices.map { ($0 == rank ? packed[$0] : received[$0]).buffer.pointer }
            let piece = 1 << 16
            let target = sum.buffer.pointer
            pool.run((count + piece - 1) / piece) { task, _ in
                let (first, length) = (task * piece, min(piece, count - task * piece))
                (target + first).update(from: sources[0] + first, count: length)
                for source in sources.dropFirst() { wa_blend(target + first, 1, source + first, 1, Int64(length)) }
            }
            sum.unpack(into: arrays, replicated[rank])
        }
    }

    /// The replicated arrays become those of their owners, everywhere.
    func share(
        _ arrays: [UnsafeMutableBufferPointer<Float>], _ communicator: Communicator
    ) throws(CommunicationError) {
        let rank = communicator.rank
        let mine = PackedArrays(arrays, replicated[rank])
        let received = replicated.indices.map {
            PackedArrays(count: $0 == rank ? 0 : PackedArrays.count(arrays, replicated[$0]))
        }
        try communicator.exchange(
            replicated.indices.map { $0 == rank ? .nothing : UnsafeRawBufferPointer(mine.bytes) },
            received.indices.map { $0 == rank ? .nothing : received[$0].bytes })
        for other in replicated.indices where other != rank { received[other].unpack(into: arrays, replicated[other]) }
        withExtendedLifetime((mine, received)) {}
    }
}
