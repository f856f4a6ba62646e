import Foundation
import WaletFormats

#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// Finds out whether a model's files are read faster past the page cache or through it, in a fifth of a second.
enum ReadProbe {
    /// How long each way is tried, and at most how many bytes.
    private static let duration = Duration.milliseconds(100)
    private static let bytes = 128 << 20
    /// Buffered reads must be faster by this to be taken, as they take memory that the limit does not bound.
    private static let advantage = 1.25

    /// - Parameter plans: what will be read; some of them are.
    static func isDirect(
        _ mode: ExpertStoreOptions.Mode, _ plans: [BlockPlan], _ files: WeightFiles, _ reader: any BlockReader
    ) -> Bool {
        guard mode != .buffered, files.files.allSatisfy({ $0.direct >= 0 }), let first = plans.first else {
            return false
        }
        // Some file systems open a file for direct reads and then refuse them.
        guard speed([first], files, reader, isDirect: true) != nil else { return false }
        guard mode == .auto else { return true }
        // Each way reads other blocks, spread over the model.
        let sample = plans.indices.filter { plans[$0].byteCount >= 1 << 20 }
        guard sample.count >= 16 else { return true }
        let step = max(1, sample.count / 64)
        let even = stride(from: 0, to: sample.count, by: 2 * step).map { plans[sample[$0]] }
        let odd = stride(from: step, to: sample.count, by: 2 * step).map { plans[sample[$0]] }
        guard let direct = speed(even, files, reader, isDirect: true) else { return false }
        forget(odd, files)
        // Pages that another program has mapped stay.
        let cold = odd.filter { !isCached($0, files) }
        guard 2 * cold.count >= odd.count, let buffered = speed(cold, files, reader, isDirect: false) else {
            return true
        }
        forget(cold, files)
        return buffered < direct * advantage
    }

    /// Bytes a second; nil where a read fails.
    private static func speed(
        _ plans: [BlockPlan], _ files: WeightFiles, _ reader: any BlockReader, isDirect: Bool
    ) -> Double? {
        let largest = plans.reduce(0) { max($0, $1.byteCount) }
        let memory = (0..<2).map { _ in
            UnsafeMutableRawPointer.allocate(byteCount: largest, alignment: WeightFile.block)
        }
        defer { for block in memory { block.deallocate() } }
        var transfer = BlockTransfer(files, reader, isDirect: isDirect)
        let start = ContinuousClock.now
        var free = [0, 1]
        for (index, plan) in plans.enumerated() {
            guard .now - start < duration, transfer.bytesRead < bytes else { break }
            while free.isEmpty, transfer.failure == nil { free += transfer.finished(waits: true).map { $0 % 2 } }
            guard transfer.failure == nil, let slot = free.popLast() else { break }
            transfer.start(2 * index + slot, "", plan, into: memory[slot])
        }
        while !transfer.isIdle, transfer.failure == nil { _ = transfer.finished(waits: true) }
        guard transfer.failure == nil else {
            transfer.drain()
            return nil
        }
        return Double(transfer.bytesRead) / max(1e-9, (.now - start) / .seconds(1))
    }

    /// Whether a tenth or more of a plan's pages are in the page cache, or the system does not tell.
    private static func isCached(_ plan: BlockPlan, _ files: WeightFiles) -> Bool {
        var cached = 0
        var all = 0
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        for stretch in plan.stretches {
            guard let base = files.files[stretch.file].mapped.bytes.baseAddress else { return true }
            let first = stretch.offset / page * page
            let count = stretch.offset + stretch.needed - first
            var pages = [UInt8](repeating: 0, count: (count + page - 1) / page)
            #if canImport(Darwin)
                let result = pages.withUnsafeMutableBytes { buffer in
                    mincore(base + first, count, buffer.baseAddress?.assumingMemoryBound(to: CChar.self))
                }
            #else
                let result = mincore(UnsafeMutableRawPointer(mutating: base + first), count, &pages)
            #endif
            guard result == 0 else { return true }
            all += pages.count
            cached += pages.count { $0 & 1 == 1 }
        }
        return 10 * cached >= all
    }

    /// Has the page cache forget blocks, so that they are read and not found.
    static func forget(_ plans: [BlockPlan], _ files: WeightFiles) {
        #if os(Linux)
            for stretch in plans.flatMap(\.stretches) {
                let descriptor = files.files[stretch.file].mapped.descriptor
                _ = posix_fadvise(descriptor, off_t(stretch.offset), off_t(stretch.count), POSIX_FADV_DONTNEED)
            }
        #endif
    }
}
