import CWaletSystem
import Foundation

/// Reads by io_uring: the kernel works on them while the calling thread computes.
package final class RingReader: BlockReader, @unchecked Sendable {
    // Unchecked: one thread at a time calls it, as the protocol says.
    package let name = "io_uring"
    private let ring: OpaquePointer
    private var waiting: [BlockRead] = []
    /// The first of `waiting` that has not been handed over.
    private var next = 0
    private var underWay = 0
    private let depth: Int
    /// Reads that the kernel would not take.
    private var failed: [BlockResult] = []
    /// Tags of the last `depth` reads that were noted down, oldest first.
    private var recent: [Int] = []
    /// Waits in a row that the kernel refused for want of memory.
    private var refusals = 0
    /// After so many, a millisecond each, reads fail.
    private static let patience = 2000

    /// Nil where the system has no io_uring, or forbids it.
    /// - Parameter depth: reads under way, at most.
    package init?(depth: Int) {
        var error: Int32 = 0
        guard let ring = walet_ring_create(UInt32(depth), &error) else { return nil }
        self.ring = ring
        self.depth = depth
    }

    deinit { walet_ring_destroy(ring) }

    package func start(_ reads: [BlockRead]) {
        waiting.append(contentsOf: reads)
        handOver(waits: false)
    }

    package func ended(waits: Bool) -> [BlockResult] {
        var results = take()
        while results.isEmpty, waits, underWay > 0 || next < waiting.count {
            handOver(waits: true)
            results = take()
        }
        if next < waiting.count { handOver(waits: false) }
        return results
    }

    private func take() -> [BlockResult] {
        var results = failed
        failed = []
        var tag: UInt64 = 0
        var result: Int32 = 0
        while walet_ring_take(ring, &tag, &result) != 0 {
            underWay -= 1
            results.append(BlockResult(tag: Int(tag), result: Int(result)))
        }
        return results
    }

    private func handOver(waits: Bool) {
        while next < waiting.count, underWay < depth {
            let read = waiting[next]
            let error = walet_ring_read(
                ring, read.descriptor, read.target, UInt32(read.count), UInt64(read.offset), UInt64(read.tag))
            if error != 0 { break }
            recent.append(read.tag)
            next += 1
            underWay += 1
        }
        if next == waiting.count {
            waiting.removeAll(keepingCapacity: true)
            next = 0
        }
        if recent.count > depth { recent.removeFirst(recent.count - depth) }
        let error = walet_ring_submit(ring, waits ? 1 : 0)
        guard error != 0 else {
            refusals = 0
            return
        }
        let passes = error == EAGAIN || error == EBUSY || error == ENOMEM
        if passes, !waits { return }
        refusals += 1
        if !passes || refusals > Self.patience { giveUp(error) }
        if failed.isEmpty, waits { usleep(1000) }
    }

    /// Fails all reads that the kernel has not taken. Those that it has will end, whatever becomes of the calls.
    private func giveUp(_ error: Int32) {
        let dropped = Int(walet_ring_drop(ring))
        let tags = recent.suffix(dropped) + waiting[next...].map(\.tag)
        failed += tags.map { BlockResult(tag: $0, result: -Int(error)) }
        underWay -= dropped
        waiting.removeAll(keepingCapacity: true)
        next = 0
        refusals = 0
    }
}
