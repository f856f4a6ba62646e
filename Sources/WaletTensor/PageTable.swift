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
            guard let (start, count) = pages(range) else { return }
            // MADV_POPULATE_READ, Linux 5.14.
            _ = madvise(start, count, 22)
        #endif
    }

    /// Takes the pages of a range out of this process; they are entered again when they are touched.
    public static func drop(_ range: UnsafeRawBufferPointer) {
        guard let (start, count) = pages(range) else { return }
        _ = madvise(start, count, Int32(MADV_DONTNEED))
    }

    /// Bytes of a mapping that are entered in pages of 2 MB, and in any; nil where the system does not tell.
    /// - Parameter address: the first byte of the mapping.
    public static func entered(at address: UnsafeRawPointer) -> (huge: Int, all: Int)? {
        // The lines of one mapping: a range of addresses, then fields such as "FilePmdMapped:  2048 kB".
        guard let text = contents(of: "/proc/self/smaps") else { return nil }
        let name = String(UInt(bitPattern: address), radix: 16)
        var found = false
        var (huge, all): (Int?, Int?) = (nil, nil)
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ")
            guard let first = words.first else { continue }
            if !first.hasSuffix(":") {
                if found { break }
                found = first.hasPrefix(name + "-")
            } else if found, words.count > 1, let kilobytes = Int(words[1]) {
                if first == "FilePmdMapped:" { huge = kilobytes << 10 }
                if first == "Rss:" { all = kilobytes << 10 }
            }
        }
        guard let huge, let all else { return nil }
        return (huge, all)
    }

    /// A file that the system makes up as it is read: it has no size, and a read gives a part of it.
    private static func contents(of path: String) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = read(descriptor, &part, part.count)
            guard count > 0 else { return count == 0 ? String(decoding: bytes, as: UTF8.self) : nil }
            bytes += part[..<count]
        }
    }

    /// A range and what of its first page lies before it.
    private static func pages(_ range: UnsafeRawBufferPointer) -> (UnsafeMutableRawPointer?, Int)? {
        guard let start = range.baseAddress else { return nil }
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        let first = Int(bitPattern: start) / page * page
        return (UnsafeMutableRawPointer(bitPattern: first), Int(bitPattern: start) + range.count - first)
    }
}
