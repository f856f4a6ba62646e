/// The way of a batch's slots to the processes that hold their experts, and back.
///
/// Slots are in the order of experts, so that those for one process lie together. Where they arrive they lie by process and
/// expert, and are put in the order of expert and process: the order that one batch of all processes' rows would have, so
/// that gradients are summed in the same order each time, and in that of one process.
final class ExpertRoute {
    private let transport: any ExpertTransport
    /// Those that this process holds.
    let experts: Range<Int>
    /// First of the arrived slots of each held expert, `[held + 1]`
    let firstSlot: [Int]
    /// Own slots that go to each process.
    private let departing: [Range<Int>]
    /// Places of those that come from each process.
    private let arriving: [Range<Int>]
    /// From where they arrive to where they are computed.
    private let moves: [(arrival: Int, slot: Int, count: Int)]

    /// Slots that are computed here.
    var slots: Int { firstSlot[experts.count] }

    /// Tells each process how many slots come for each of its experts.
    init(_ routing: Routing, _ transport: any ExpertTransport) {
        let ranks = 0..<transport.size
        let held = ranks.map { transport.experts(of: $0, count: routing.experts) }
        let own = held[transport.rank]
        let sent = routing.counts.map { Int64($0) }
        var counts = [Int64](repeating: 0, count: ranks.count * own.count)
        sent.withUnsafeBytes { sent in
            counts.withUnsafeMutableBytes { counts in
                let size = MemoryLayout<Int64>.stride
                transport.exchange(
                    held.map { UnsafeRawBufferPointer(rebasing: sent[$0.lowerBound * size..<$0.upperBound * size]) },
                    ranks.map {
                        UnsafeMutableRawBufferPointer(
                            rebasing: counts[$0 * own.count * size..<($0 + 1) * own.count * size])
                    })
            }
        }
        // [ranks, held]
        func arrived(_ rank: Int, _ expert: Int) -> Int { Int(counts[rank * own.count + expert]) }
        var firstSlot = [0]
        for expert in 0..<own.count { firstSlot.append(ranks.reduce(firstSlot[expert]) { $0 + arrived($1, expert) }) }
        var arriving: [Range<Int>] = []
        var moves: [(arrival: Int, slot: Int, count: Int)] = []
        var next = firstSlot
        var place = 0
        for rank in ranks {
            let first = place
            for expert in 0..<own.count {
                let count = arrived(rank, expert)
                if count > 0 { moves.append((place, next[expert], count)) }
                place += count
                next[expert] += count
            }
            arriving.append(first..<place)
        }
        self.transport = transport
        self.experts = own
        self.firstSlot = firstSlot
        self.departing = held.map { routing.firstSlot[$0.lowerBound]..<routing.firstSlot[$0.upperBound] }
        self.arriving = arriving
        self.moves = moves
    }

    /// Own slots to where they are computed.
    /// - Parameter source: `[own slots, columns]`
    /// - Returns: `[slots, columns]`
    func carry(_ source: Tensor, columns: Int, _ arena: Arena) -> Tensor {
        let (arrivals, target) = (arena.scratch(slots * columns), arena.scratch(slots * columns))
        withExtendedLifetime(arrivals) {
            let place = arrivals.pointer
            transport.exchange(
                departing.map { UnsafeRawBufferPointer(Self.part(source.pointer, $0, columns)) },
                arriving.map { Self.part(place, $0, columns) })
            move(arena) { move in
                (target.pointer + move.slot * columns).update(
                    from: place + move.arrival * columns, count: move.count * columns)
            }
        }
        return target
    }

    /// What was computed, back to where it came from.
    /// - Parameter source: `[slots, columns]`
    /// - Returns: `[own slots, columns]`
    func bring(_ source: Tensor, columns: Int, _ arena: Arena) -> Tensor {
        let arrivals = arena.scratch(slots * columns)
        let target = arena.scratch((departing.last?.upperBound ?? 0) * columns)
        withExtendedLifetime(arrivals) {
            let place = arrivals.pointer
            move(arena) { move in
                (place + move.arrival * columns).update(
                    from: source.pointer + move.slot * columns, count: move.count * columns)
            }
            transport.exchange(
                arriving.map { UnsafeRawBufferPointer(Self.part(place, $0, columns)) },
                departing.map { Self.part(target.pointer, $0, columns) })
        }
        return target
    }

    private func move(_ arena: Arena, _ body: (_ move: (arrival: Int, slot: Int, count: Int)) -> Void) {
        arena.pool.run(moves.count) { task, _ in body(moves[task]) }
    }

    private static func part(
        _ pointer: UnsafeMutablePointer<Float>, _ slots: Range<Int>, _ columns: Int
    ) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(
            UnsafeMutableBufferPointer(start: pointer + slots.lowerBound * columns, count: slots.count * columns))
    }
}
