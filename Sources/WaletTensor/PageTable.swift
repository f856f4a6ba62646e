#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// What the processor knows of a mapped file's pages.
public enum PageTable {
    /// Enters the pages of a range, read from the disk where need be, in one call instead of a fault for every few of
    /// them. What cannot be entered is left to the faults.
    public static func populate(_ range: UnsafeRawBufferPointer) {
        #if os(Linux)
            guard let start = range.baseAddress else { return }
            let page = Int(sysconf(Int32(_SC_PAGESIZE)))
            let first = Int(bitPattern: start) / page * page
            let end = Int(bitPattern: start) + range.count
            // MADV_POPULATE_READ, Linux 5.14.
            _ = madvise(UnsafeMutableRawPointer(bitPattern: first), end - first, 22)
        #endif
    }
}
