import Dispatch
import WaletFormats

#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// Memory for weights that are read from files, in whole blocks. A page takes memory when it is first written.
final class WeightMemory: @unchecked Sendable {
    // Unchecked: the pointer is constant; who writes when is the owner's affair, as with any unsafe pointer.
    let start: UnsafeMutableRawPointer
    let byteCount: Int

    /// - Throws: ``FormatError`` where the system has no such range of addresses left.
    init(byteCount: Int, for file: String) throws(FormatError) {
        self.byteCount = max(WeightFile.block, byteCount)
        #if os(Linux)
            let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        #else
            let flags = MAP_PRIVATE | MAP_ANON
        #endif
        let memory = mmap(nil, self.byteCount, PROT_READ | PROT_WRITE, flags, -1, 0)
        guard let memory, memory != MAP_FAILED else {
            throw FormatError(
                file: file, expected: "\(byteCount) bytes of memory for its weights",
                found: String(cString: strerror(errno)))
        }
        start = memory
        #if os(Linux)
            _ = madvise(memory, self.byteCount, Int32(MADV_HUGEPAGE))
        #endif
    }

    deinit { munmap(start, byteCount) }

    /// Has the system give all pages now, by all processors: later, each would be cleared by the thread that hands reads to
    /// the disk, while the disk waits. Where the system has no such call, or no memory, nothing is done.
    static func populate(_ memories: [WeightMemory]) {
        #if os(Linux)
            let chunk = 32 << 20
            let chunks = memories.flatMap { memory in
                stride(from: 0, to: memory.byteCount, by: chunk).map { offset in
                    Chunk(start: memory.start + offset, count: min(chunk, memory.byteCount - offset))
                }
            }
            DispatchQueue.concurrentPerform(iterations: chunks.count) { index in
                // MADV_POPULATE_WRITE, since Linux 5.14.
                _ = madvise(chunks[index].start, chunks[index].count, 23)
            }
        #endif
    }

    private struct Chunk: @unchecked Sendable {
        // Unchecked: a part of a memory that outlives the call.
        var start: UnsafeMutableRawPointer
        var count: Int
    }

    /// Gives the pages from a byte on back to the system.
    func release(from offset: Int) {
        let first = (offset + WeightFile.block - 1) / WeightFile.block * WeightFile.block
        if first < byteCount { _ = madvise(start + first, byteCount - first, MADV_DONTNEED) }
    }
}
