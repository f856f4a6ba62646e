import Foundation

/// How a model that is larger than memory is held.
public struct ExpertStoreOptions: Sendable {
    /// How files are read.
    public enum Mode: String, Sendable, CaseIterable {
        /// Direct, unless a short measurement finds buffered reads of what is not cached faster.
        case auto
        /// Past the page cache, so that nothing but this process's own memory holds experts.
        case direct
        /// Through the page cache, which then keeps what it has room for besides the limit.
        case buffered
    }

    /// Bytes of weights in memory, at most.
    public var memoryLimit: Int
    public var mode = Mode.auto
    /// Slabs of each size, whatever the limit has room for; for tests.
    package var slabs: Int?
    /// Bytes of memory that there are; a test says fewer.
    package var machineMemory = Int(clamping: ProcessInfo.processInfo.physicalMemory)
    /// Who reads, in place of io_uring or threads; for tests.
    package var reader: (any BlockReader)?

    public init(memoryLimit: Int, mode: Mode = .auto) {
        self.memoryLimit = memoryLimit
        self.mode = mode
    }
}

/// Why a model cannot be held within a limit of memory.
public struct MemoryLimitError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The model's first file.
    public var file: String
    public var limit: Int
    /// Bytes that every token needs.
    public var dense: Int
    /// Bytes of the fewest experts that there must be room for, and how many they are.
    public var experts: Int
    public var expertCount: Int

    public init(file: String, limit: Int, dense: Int, experts: Int, expertCount: Int) {
        self.file = file
        self.limit = limit
        self.dense = dense
        self.experts = experts
        self.expertCount = expertCount
    }

    /// The smallest limit that works.
    public var least: Int { dense + experts }

    public var description: String {
        // Rounded up, so that what is asked for is enough.
        func text(_ bytes: Int) -> String {
            bytes < 10_000_000 ? "\((bytes + 999) / 1000) kB" : "\((bytes + 999_999) / 1_000_000) MB"
        }
        let parts = expertCount == 0 ? "" : " and \(text(experts)) for \(expertCount) experts"
        return "\(file): memory limit: expected at least \(text(least)), as every token needs \(text(dense)) of weights"
            + "\(parts), found \(text(limit))"
    }
}
