import CWaletKernels
import WaletFormats
import WaletTensor

/// What attention remembers of one sequence: `width` numbers a token and layer, in pages of 64 tokens.
///
/// For latent attention a row is the normalized latent and the one rotated key that all heads share; for grouped
/// attention it is all keys, then all values. A page holds every layer, so that a prefix is a list of pages. In exact
/// precision the numbers are fp32, row after row; in fast precision they are BF16, in the order that the kernels read
/// (`wk_grouped_attention` and `wk_latent_attention` in `walet_kernels.h`).
public final class KVCache: @unchecked Sendable {
    // Unchecked: a cache belongs to one sequence, and one engine thread works on a sequence at a time.
    public static let pageTokens = Int(WK_ATTENTION_PAGE)

    public let layers: Int
    /// Numbers a token and layer.
    public let width: Int
    /// Tokens it may hold at most.
    public let capacity: Int
    /// The numbers are BF16.
    public let isHalf: Bool
    /// Tokens it holds.
    public private(set) var count = 0
    /// `[layers, pageTokens, width]` each.
    public private(set) var pages: [KVPage] = []
    /// Where the pages begin.
    private var starts: [UnsafeRawPointer] = []
    private let pool: PagePool?

    /// - Parameter pool: where pages come from; nil for memory of its own. Its pages must be of ``pageBytes``.
    public init(
        _ configuration: Configuration, capacity: Int, precision: Precision = .exact, pool: PagePool? = nil
    ) {
        layers = configuration.layers
        width = configuration.cacheWidth
        isHalf = precision == .fast && configuration.takesHalfCache
        self.capacity = capacity
        self.pool = pool
        precondition(pool == nil || pool?.pageBytes == pageBytes)
    }

    private init(layers: Int, width: Int, capacity: Int, isHalf: Bool) {
        self.layers = layers
        self.width = width
        self.capacity = capacity
        self.isHalf = isHalf
        pool = nil
    }

    /// An empty cache of the same kind for other layers, such as a prediction layer.
    public func makeSibling(layers: Int) -> KVCache {
        KVCache(layers: layers, width: width, capacity: capacity, isHalf: isHalf)
    }

    /// Begins with tokens whose pages another sequence has filled. The last of them may hold more tokens than are wanted,
    /// and is copied before anything is added to it.
    /// - Precondition: the cache is empty, and the pages are as many as the tokens need.
    public func adopt(_ shared: [KVPage], tokens: Int) {
        precondition(count == 0 && pages.isEmpty && tokens <= capacity)
        precondition(shared.count == (tokens + Self.pageTokens - 1) / Self.pageTokens)
        pages = shared
        starts = shared.map { UnsafeRawPointer($0.start) }
        count = tokens
        mayShareLast = true
    }

    /// Pages that further tokens would take, a copy of a shared page included.
    public func pagesNeeded(for tokens: Int) -> Int {
        guard tokens > 0 else { return 0 }
        let wanted = (count + tokens + Self.pageTokens - 1) / Self.pageTokens
        // Whether the last page is shared is not known without changing it: count it as shared where it may be.
        return wanted - pages.count + (count % Self.pageTokens != 0 && mayShareLast ? 1 : 0)
    }

    /// The last page came from elsewhere and has not been copied since.
    private var mayShareLast = false

    private var numberBytes: Int { isHalf ? 2 : MemoryLayout<Float>.stride }
    /// Bytes of a layer in a page.
    var layerBytes: Int { Self.pageTokens * width * numberBytes }

    /// Bytes of a page.
    public var pageBytes: Int { layers * layerBytes }

    /// Bytes of the pages that exist.
    public var byteCount: Int { pages.count * pageBytes }

    /// Bytes that one token takes.
    public var bytesPerToken: Int { layers * width * numberBytes }

    /// Makes room for more tokens; their rows are undefined until they are written.
    func extend(by tokens: Int) {
        precondition(count + tokens <= capacity, "\(count) + \(tokens) tokens in a cache for \(capacity)")
        let (last, used) = count.quotientAndRemainder(dividingBy: Self.pageTokens)
        if tokens > 0, used != 0, !isKnownUniquelyReferenced(&pages[last]) {
            let copy = makePage()
            copy.start.copyMemory(from: pages[last].start, byteCount: pageBytes)
            pages[last] = copy
            starts[last] = UnsafeRawPointer(copy.start)
        }
        if tokens > 0 { mayShareLast = false }
        count += tokens
        while pages.count * Self.pageTokens < count {
            let page = makePage()
            pages.append(page)
            starts.append(UnsafeRawPointer(page.start))
        }
    }

    private func makePage() -> KVPage { pool?.makePage() ?? KVPage(byteCount: pageBytes) }

    /// Adds made-up tokens until there are `tokens`: for measurements.
    package func fill(to tokens: Int, with number: () -> Float) {
        let first = pages.count
        extend(by: tokens - count)
        guard first < pages.count else { return }
        let made = pages[first].start
        for index in 0..<layers * layerBytes / numberBytes {
            let value = number()
            if isHalf {
                made.storeBytes(of: UInt16(value.bitPattern >> 16), toByteOffset: 2 * index, as: UInt16.self)
            } else {
                made.storeBytes(of: value, toByteOffset: 4 * index, as: Float.self)
            }
        }
        for page in pages[(first + 1)...] { page.start.copyMemory(from: made, byteCount: pageBytes) }
    }

    /// Forgets all tokens but the first `tokens`.
    public func truncate(to tokens: Int) {
        precondition(tokens >= 0 && tokens <= count)
        count = tokens
        let wanted = (tokens + Self.pageTokens - 1) / Self.pageTokens
        pages.removeLast(pages.count - wanted)
        starts.removeLast(starts.count - wanted)
    }

    /// Calls `body` with the pages, in order.
    @inline(__always)
    func withPages<Result>(_ body: (UnsafePointer<UnsafePointer<UInt8>?>) -> Result) -> Result {
        starts.withUnsafeBufferPointer { starts in
            starts.baseAddress!.withMemoryRebound(to: UnsafePointer<UInt8>?.self, capacity: starts.count) { body($0) }
        }
    }

    /// The page of a position, where its numbers may be written, and its slot there.
    @inline(__always)
    func page(of position: Int) -> (start: UnsafeMutablePointer<UInt8>, slot: Int) {
        let (page, slot) = position.quotientAndRemainder(dividingBy: Self.pageTokens)
        let start = UnsafeMutableRawPointer(mutating: starts[page])
        return (start.assumingMemoryBound(to: UInt8.self), slot)
    }

    /// The row of a token in a layer, `[width]`; exact precision only.
    @inline(__always)
    func row(layer: Int, position: Int) -> UnsafeMutablePointer<Float> {
        let (start, slot) = page(of: position)
        return UnsafeMutableRawPointer(start).assumingMemoryBound(to: Float.self)
            + (layer * Self.pageTokens + slot) * width
    }

    /// Calls `body` with each stretch of rows that lies in one piece of memory: first position, rows, `[rows, width]`.
    @inline(__always)
    func forEachStretch(
        layer: Int, positions: Int, _ body: (_ first: Int, _ rows: Int, _ start: UnsafePointer<Float>) -> Void
    ) {
        var first = 0
        while first < positions {
            let rows = min(Self.pageTokens, positions - first)
            body(first, rows, row(layer: layer, position: first))
            first += rows
        }
    }
}
