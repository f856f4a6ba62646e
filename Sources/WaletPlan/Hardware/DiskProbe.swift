// How fast single experts are read from the disk, past the page cache.

import Foundation

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Measures a disk by reading blocks at random places of a file with several threads, as the expert store does: in pieces
/// of a megabyte, into large pages, and never into memory that was read into just before. A virtual disk gave three quarters
/// of that into small pages, and half as much again into memory that the processor's cache still held (docs/lab-notes.md).
public enum DiskProbe {
    public struct Result: Sendable, Equatable {
        /// Bytes a second.
        public var speed: Double
        /// False where the file system has no direct reads, so that the page cache may have helped.
        public var isDirect: Bool
        public var bytesRead: Int
    }

    /// Reads blocks of a file for a moment.
    /// - Parameters:
    ///   - path: a file of at least two blocks.
    ///   - block: bytes of a read, rounded to whole 4096.
    ///   - threads: reads in flight.
    ///   - seconds: how long.
    /// - Throws: ``PlanError/unmeasurable(what:reason:remedy:)`` where the file cannot be read, is too small, or ends early.
    public static func readSpeed(
        file path: String, block: Int, threads: Int = 8, seconds: Double = 1.5
    ) throws(PlanError) -> Result {
        let block = max(4096, block / 4096 * 4096)
        var isDirect = true
        var descriptor = openFile(path, direct: true)
        if descriptor < 0 {
            isDirect = false
            descriptor = openFile(path, direct: false)
        }
        guard descriptor >= 0 else { throw unmeasurable("\(path): \(String(cString: strerror(errno)))") }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw unmeasurable("\(path) is no regular file")
        }
        let blocks = Int(status.st_size) / block
        guard blocks >= 2 else { throw unmeasurable("\(path) has less than two blocks of \(block) bytes") }
        #if os(Linux)
            if !isDirect { _ = posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED) }
        #endif
        guard let memory = ProbeMemory() else { throw unmeasurable("no memory to read into") }
        let readers = Readers(
            descriptor: descriptor, block: block, blocks: blocks, memory: memory, deadline: seconds)
        let start = DispatchTime.now().uptimeNanoseconds
        let group = DispatchGroup()
        for number in 0..<max(1, threads) {
            group.enter()
            let thread = Thread {
                readers.work(UInt64(number))
                group.leave()
            }
            thread.start()
        }
        group.wait()
        let elapsed = Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9
        let (bytes, failure) = readers.outcome
        if let failure { throw unmeasurable("\(path): \(failure)") }
        return Result(speed: Double(bytes) / max(elapsed, 1e-9), isDirect: isDirect, bytesRead: bytes)
    }

    /// Writes a file of its own into a folder, reads it, and removes it.
    public static func readSpeed(folder: String, block: Int, size: Int = 512 << 20) throws(PlanError) -> Result {
        let path = folder + "/.walet-disk-probe-\(getpid())"
        let descriptor = open(path, O_RDWR | O_CREAT | O_EXCL, 0o600)
        guard descriptor >= 0 else { throw unmeasurable("\(folder): \(String(cString: strerror(errno)))") }
        defer {
            close(descriptor)
            unlink(path)
        }
        // Not zeros, which some file systems do not store.
        var state: UInt64 = 88_172_645_463_325_252
        let chunk = (0..<(4 << 20) / 8).map { _ in
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return state
        }
        for _ in 0..<size / (4 << 20) {
            let written = chunk.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            guard written == 4 << 20 else {
                throw unmeasurable("\(folder): \(written < 0 ? String(cString: strerror(errno)) : "the disk is full")")
            }
        }
        guard fsync(descriptor) == 0 else { throw unmeasurable("\(folder): \(String(cString: strerror(errno)))") }
        return try readSpeed(file: path, block: min(block, size / 8))
    }

    private static func openFile(_ path: String, direct: Bool) -> Int32 {
        #if os(Linux)
            // The headers' O_DIRECT is a macro that Swift does not see.
            #if arch(arm64)
                let flag: Int32 = 0x10000
            #else
                let flag: Int32 = 0x4000
            #endif
            return open(path, O_RDONLY | O_CLOEXEC | (direct ? flag : 0))
        #else
            let descriptor = open(path, O_RDONLY | O_CLOEXEC)
            if direct, descriptor >= 0 { _ = fcntl(descriptor, F_NOCACHE, 1) }
            return descriptor
        #endif
    }

    private static func unmeasurable(_ reason: String) -> PlanError {
        .unmeasurable(what: "the speed of the disk", reason: reason, remedy: "give --disk-speed")
    }
}

/// What blocks are read into: larger than a processor's cache, in large pages where the system has them.
private final class ProbeMemory: @unchecked Sendable {
    // Unchecked: constant; that readers overwrite each other's bytes does no harm, as nobody looks at them.
    static let piece = 1 << 20
    private static let byteCount = 64 << 20
    private let mapped: UnsafeMutableRawPointer
    private let start: UnsafeMutableRawPointer

    init?() {
        let large = 2 << 20
        #if canImport(Darwin)
            let flags = MAP_PRIVATE | MAP_ANON
        #else
            let flags = MAP_PRIVATE | MAP_ANONYMOUS
        #endif
        let memory = mmap(nil, Self.byteCount + large, PROT_READ | PROT_WRITE, flags, -1, 0)
        guard let memory, memory != MAP_FAILED else { return nil }
        mapped = memory
        start = memory.alignedUp(toMultipleOf: large)
        #if os(Linux)
            _ = madvise(start, Self.byteCount, Int32(MADV_HUGEPAGE))
        #endif
        memset(start, 1, Self.byteCount)
    }

    deinit { munmap(mapped, Self.byteCount + (2 << 20)) }

    /// Memory for a piece. The same again only after all others.
    func piece(_ turn: Int) -> UnsafeMutableRawPointer {
        start + turn % (Self.byteCount / Self.piece) * Self.piece
    }
}

/// What the reading threads share.
private final class Readers: @unchecked Sendable {
    // Unchecked: `bytes`, `turn` and `failure` are changed under the lock alone, the rest is constant.
    private let descriptor: Int32
    private let block: Int
    private let blocks: Int
    private let memory: ProbeMemory
    private let end: UInt64
    private let lock = NSLock()
    private var bytes = 0
    private var turn = 0
    private var failure: String?

    init(descriptor: Int32, block: Int, blocks: Int, memory: ProbeMemory, deadline seconds: Double) {
        self.descriptor = descriptor
        self.block = block
        self.blocks = blocks
        self.memory = memory
        end = DispatchTime.now().uptimeNanoseconds + UInt64(seconds * 1e9)
    }

    var outcome: (bytes: Int, failure: String?) { lock.withLock { (bytes, failure) } }

    func work(_ number: UInt64) {
        var state = 0x2545_F491_4F6C_DD1D &+ number &* 0x9E37_79B9_7F4A_7C15
        while true {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            let place = Int((state >> 33) % UInt64(blocks)) * block
            var done = 0
            while done < block {
                guard DispatchTime.now().uptimeNanoseconds < end else { return }
                let count = min(ProbeMemory.piece, block - done)
                let target = lock.withLock {
                    turn += 1
                    return memory.piece(turn)
                }
                let got = pread(descriptor, target, count, off_t(place + done))
                let reason = got < 0 ? String(cString: strerror(errno)) : got < count ? "it ended early" : nil
                let isOver = lock.withLock {
                    if let reason, failure == nil { failure = reason }
                    bytes += max(0, got)
                    return failure != nil
                }
                if isOver { return }
                done += count
            }
        }
    }
}
