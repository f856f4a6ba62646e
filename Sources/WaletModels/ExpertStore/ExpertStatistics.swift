/// What a store of experts has done, and what it holds.
public struct ExpertStatistics: Sendable, Equatable {
    /// Experts that passes chose and that were in memory, and those that were read.
    public var hits = 0
    public var misses = 0
    /// Bytes that were read for them, whole blocks included.
    public var bytesRead = 0
    /// Seconds in which reads were under way.
    public var readSeconds = 0.0
    /// Seconds of them in which nothing was left to compute.
    public var waitSeconds = 0.0
    /// Experts that memory has room for, of all that there are.
    public var slabs = 0
    public var experts = 0
    /// Bytes of the slabs.
    public var slabBytes = 0
    /// Bytes of the weights that are always in memory.
    public var denseBytes = 0
    /// What the weights may take.
    public var limit = 0
    /// Whether reads go past the page cache.
    public var isDirect = false
    /// `io_uring` or `threads`.
    public var reader = ""

    public init() {}

    /// The share of chosen experts that were in memory; nil before any was chosen.
    public var hitRate: Double? { hits + misses > 0 ? Double(hits) / Double(hits + misses) : nil }

    /// Bytes a second while reads were under way; nil before any.
    public var readSpeed: Double? { readSeconds > 0 ? Double(bytesRead) / readSeconds : nil }

    /// What happened after an earlier state.
    public func since(_ earlier: ExpertStatistics) -> ExpertStatistics {
        var difference = self
        difference.hits -= earlier.hits
        difference.misses -= earlier.misses
        difference.bytesRead -= earlier.bytesRead
        difference.readSeconds -= earlier.readSeconds
        difference.waitSeconds -= earlier.waitSeconds
        return difference
    }
}
