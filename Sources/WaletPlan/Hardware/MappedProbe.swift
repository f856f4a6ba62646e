// How fast a model's own files are read where they lie in the page cache.

import Foundation
import WaletFormats
import WaletTensor

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Compares mapped files with memory of the process itself: they were seen to be read up to a quarter more slowly, by where
/// their pages happen to lie (docs/lab-notes.md).
public enum MappedProbe {
    static let piece = 4 << 20

    /// Reads what the page cache holds of the files, and as much other memory, in turn.
    /// - Parameters:
    ///   - bytes: read of the files, at most.
    ///   - least: below this nothing is measured: too little to tell it from the processor's caches.
    /// - Returns: the files' speed over that of other memory, at most 1; nil where too little of them is in the page cache.
    /// - Throws: ``PlanError/unmeasurable(what:reason:remedy:)`` where memory or threads are not to be had.
    public static func share(
        files: [String], threads: Int = Hardware.physicalCores, bytes: Int = 1 << 30, least: Int = 1 << 29
    ) throws(PlanError) -> Double? {
        // A file may be named twice, by itself and as one of its folder: its bytes count once.
        let paths = Set(files.map { URL(fileURLWithPath: $0).resolvingSymlinksInPath().path })
        // What cannot be mapped is what the engine cannot read either, and complains of better.
        let mapped = paths.sorted().compactMap { path in try? MappedFile(path) }
        defer { for file in mapped { file.dropPages() } }
        let all = mapped.flatMap(pieces(of:)).filter(isCached)
        guard all.count * piece >= least, !all.isEmpty else { return nil }
        let count = min(all.count, max(1, bytes / piece))
        let chosen = (0..<count).map { all[$0 * all.count / count] }
        for piece in chosen { PageTable.populate(piece) }
        guard let pool = ThreadPool(threads: threads) else {
            throw MemoryProbe.unmeasurable("\(threads) threads could not be started")
        }
        let buffer = try ProbeBuffer(bytes: count * piece)
        let other = (0..<count).map { UnsafeRawBufferPointer(start: buffer.start + $0 * piece, count: piece) }
        let sums = Sums(count)
        var ratios: [Double] = []
        for pass in 0...5 {
            let seconds = [other, chosen].map { pieces in
                let start = DispatchTime.now().uptimeNanoseconds
                pool.run(count) { index, _ in sums.values[index] &+= sum(pieces[index]) }
                return Double(DispatchTime.now().uptimeNanoseconds - start)
            }
            // The first pass is not counted: it brings pages and clocks up.
            if pass > 0 { ratios.append(seconds[0] / max(seconds[1], 1)) }
        }
        return min(1, ratios.sorted()[ratios.count / 2])
    }

    private static func pieces(of file: MappedFile) -> [UnsafeRawBufferPointer] {
        let bytes = file.bytes
        return (0..<bytes.count / piece).map { UnsafeRawBufferPointer(rebasing: bytes[$0 * piece..<($0 + 1) * piece]) }
    }

    private static func isCached(_ piece: UnsafeRawBufferPointer) -> Bool {
        guard let start = piece.baseAddress else { return false }
        #if canImport(Darwin)
            var states = [CChar](repeating: 0, count: piece.count / Int(getpagesize()))
        #else
            var states = [UInt8](repeating: 0, count: piece.count / Int(sysconf(Int32(_SC_PAGESIZE))))
        #endif
        guard mincore(UnsafeMutableRawPointer(mutating: start), piece.count, &states) == 0 else { return false }
        return states.allSatisfy { $0 & 1 != 0 }
    }

    /// Integers, since bytes of weights are any floats, denormal ones too.
    private static func sum(_ piece: UnsafeRawBufferPointer) -> UInt64 {
        var sums = (SIMD8<UInt64>(), SIMD8<UInt64>())
        for vectors in stride(from: 0, to: piece.count, by: 128) {
            sums.0 &+= piece.loadUnaligned(fromByteOffset: vectors, as: SIMD8<UInt64>.self)
            sums.1 &+= piece.loadUnaligned(fromByteOffset: vectors + 64, as: SIMD8<UInt64>.self)
        }
        return (sums.0 &+ sums.1).wrappedSum()
    }
}

/// What was read, kept so that the loads are not left out.
private final class Sums: @unchecked Sendable {
    // Unchecked: each task has a place of its own.
    let values: UnsafeMutablePointer<UInt64>

    init(_ count: Int) {
        values = .allocate(capacity: count)
        values.initialize(repeating: 0, count: count)
    }

    deinit { values.deallocate() }
}
