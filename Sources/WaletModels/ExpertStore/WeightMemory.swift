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

    /// Gives the pages from a byte on back to the system.
    func release(from offset: Int) {
        let first = (offset + WeightFile.block - 1) / WeightFile.block * WeightFile.block
        if first < byteCount { _ = madvise(start + first, byteCount - first, MADV_DONTNEED) }
    }
}
