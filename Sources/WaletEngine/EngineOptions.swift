import Foundation
import WaletModels

/// How an engine shares its time and memory.
public struct EngineOptions: Sendable {
    /// Requests that run at once, at most.
    public var maximumRunning = 64
    /// Requests that wait, at most; nil for any number.
    public var maximumWaiting: Int?
    /// Bytes of what attention remembers, of running requests and of the prefix cache together; nil for a quarter of
    /// this machine's memory. Requests that go on with a sequence of their own do not count.
    public var cacheBytes: Int?
    /// Makes names of pages that cannot be guessed; a server keeps its own, or its disk tier is lost with it.
    public var cacheSecret: [UInt8]
    /// Where pages are kept on disk; nil for nowhere. Models need no folders of their own.
    public var storeFolder: URL?
    /// Which weights they are, such as a hash of their files: what other weights have left on disk is never taken.
    /// `LanguageModel` fills it in; an engine that is made by hand needs it where there is a folder.
    public var modelIdentity: [UInt8] = []
    /// Bytes of a model's pages on disk, at most.
    public var storeBytes = 16 << 30
    /// Bytes of weights in memory, at most: routed experts that do not fit are read from the model's files when they are
    /// chosen. Nil to map all weights. `LanguageModel` heeds it; an engine that is made by hand gets a model that does.
    public var memoryLimit: Int?
    /// How experts are read.
    public var expertReads = ExpertStoreOptions.Mode.auto

    /// How long a plan expects a pass to take, in seconds; nil where nobody planned.
    public var forecast: (@Sendable (PassShape) -> Double)?

    public init() {
        var random = SystemRandomNumberGenerator()
        cacheSecret = (0..<32).map { _ in UInt8.random(in: .min ... .max, using: &random) }
    }

    func validate() throws(EngineError) {
        guard (1...4096).contains(maximumRunning) else {
            throw .parameter(name: "running requests", expected: "1 to 4096", found: "\(maximumRunning)")
        }
        if let maximumWaiting, maximumWaiting < 0 {
            throw .parameter(name: "waiting requests", expected: "0 or more", found: "\(maximumWaiting)")
        }
        if let cacheBytes, cacheBytes < 0 {
            throw .parameter(name: "cache", expected: "0 bytes or more", found: "\(cacheBytes)")
        }
        if storeFolder != nil, modelIdentity.isEmpty {
            throw .parameter(name: "model identity", expected: "one, as pages are kept on disk", found: "none")
        }
        if let memoryLimit, memoryLimit < 1 {
            throw .parameter(name: "memory", expected: "1 byte or more", found: "\(memoryLimit)")
        }
        if storeBytes < 0 { throw .parameter(name: "disk cache", expected: "0 bytes or more", found: "\(storeBytes)") }
    }
}

/// What an engine does and has done.
public struct EngineStatistics: Sendable, Equatable {
    public var running = 0
    public var waiting = 0
    /// Requests that gave their pages up to others, so far.
    public var preemptions = 0
    /// Passes so far, and their rows.
    public var passes = 0
    public var rows = 0
    public var promptTokens = 0
    public var answerTokens = 0
    /// Passes in which every sequence was given one token, and passes over prompts alone. A pass of both counts in
    /// neither, and neither does one that verifies drafts.
    public var decoding = PassWork()
    public var prompts = PassWork()
    /// Prompt tokens that were looked for in the prefix cache, and those found in memory and on disk.
    public var cacheQueries = 0
    public var memoryHits = 0
    public var diskHits = 0
    /// Pages that are held, of those that there may be, and of them the prefix cache's.
    public var pages = 0
    public var pageLimit = 0
    public var cachedPages = 0
    public var pageBytes = 0
    public var store: PageStore.Statistics?
    /// Experts in memory and on disk; nil where all weights are mapped.
    public var experts: ExpertStatistics?

    public init() {}
}
