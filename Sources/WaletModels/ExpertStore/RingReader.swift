import CWaletSystem
import Foundation

/// Reads by io_uring: the kernel works on them while the calling thread computes.
final class RingReader: BlockReader, @unchecked Sendable {
    // Unchecked: one thread at a time calls it, as the protocol says.
    let name = "io_uring"
    private let ring: OpaquePointer
    private var waiting: [BlockRead] = []
    /// The first of `waiting` that has not been handed over.
    private var next = 0
    private var underWay = 0
    private let depth: Int
    /// Reads that the kernel would not take.
    private var failed: [BlockResult] = []

    /// Nil where the system has no io_uring, or forbids it.
    /// - Parameter depth: reads under way, at most.
    init?(depth: Int) {
        var error: Int32 = 0
        guard let ring = walet_ring_create(UInt32(depth), &error) else { return nil }
        self.ring = ring
        self.depth = depth
    }

    deinit { walet_ring_destroy(ring) }

    func start(_ reads: [BlockRead]) {
        waiting.append(contentsOf: reads)
        handOver(waits: false)
    }

    func ended(waits: Bool) -> [BlockResult] {
        var results = take()
        if results.isEmpty, waits, underWay > 0 {
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
            next += 1
            underWay += 1
        }
        if next == waiting.count {
            waiting.removeAll(keepingCapacity: true)
            next = 0
        }
        let error = walet_ring_submit(ring, waits ? 1 : 0)
        // Nothing is under way and nothing can be: a system without memory for a read.
        if error != 0, waits { usleep(1000) }
    }
}
