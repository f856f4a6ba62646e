// How fast memory is read, with the loads that the kernels use.

import CWaletKernels
import Foundation
import WaletTensor

/// Measures memory's speed in about a second.
public enum MemoryProbe {
    /// Reads a buffer several times with all threads and gives the median speed.
    /// - Parameters:
    ///   - bytes: size of the buffer, far above the caches.
    ///   - threads: readers; by default the physical cores.
    /// - Returns: bytes a second.
    /// - Throws: ``PlanError/unmeasurable(what:reason:remedy:)`` where memory or threads are not to be had.
    public static func readSpeed(
        bytes: Int = 1 << 30, threads: Int = Hardware.physicalCores, passes: Int = 5
    ) throws(PlanError) -> Double {
        guard let pool = ThreadPool(threads: threads) else {
            throw unmeasurable("\(threads) threads could not be started")
        }
        let buffer = try ProbeBuffer(bytes: bytes)
        let piece = 4 << 20
        let pieces = bytes / piece
        guard pieces >= 1, passes >= 1 else { throw unmeasurable("\(bytes) bytes are too few") }
        var seconds: [Double] = []
        let sums = FloatBuffer(count: pieces)
        for pass in 0...passes {
            let start = DispatchTime.now().uptimeNanoseconds
            pool.run(pieces) { index, _ in
                // Two streams, as a weight and its neighbour; the sum keeps the loads from being left out.
                let floats = (buffer.start + index * piece).assumingMemoryBound(to: Float.self)
                let half = piece / 8
                sums.pointer[index] = wk_dot(floats, floats + half, Int64(half))
            }
            // The first pass is not timed: it brings pages and clocks up.
            if pass > 0 { seconds.append(Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9) }
        }
        seconds.sort()
        return Double(pieces * piece) / max(seconds[seconds.count / 2], 1e-9)
    }

    static func unmeasurable(_ reason: String) -> PlanError {
        .unmeasurable(what: "the speed of memory", reason: reason, remedy: "give --memory-speed")
    }
}

/// Memory for a measurement, every page of it written.
final class ProbeBuffer: @unchecked Sendable {
    // Unchecked: written once before any thread reads it.
    let start: UnsafeMutableRawPointer
    let bytes: Int

    init(bytes: Int) throws(PlanError) {
        let memory = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let memory, memory != MAP_FAILED else {
            throw MemoryProbe.unmeasurable("\(bytes) bytes are not free")
        }
        start = memory
        self.bytes = bytes
        #if os(Linux)
            _ = madvise(memory, bytes, Int32(MADV_HUGEPAGE))
        #endif
        // A pattern that is a small number as fp32, BF16 and fp16, and no NaN in any packing.
        var state: UInt64 = 0x9E37_79B9_7F4A_7C15
        let words = memory.assumingMemoryBound(to: UInt64.self)
        for index in 0..<bytes / 8 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            words[index] = state & 0x839F_839F_839F_839F | 0x2C00_2C00_2C00_2C00
        }
    }

    deinit { munmap(start, bytes) }
}
