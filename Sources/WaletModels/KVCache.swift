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
    private var pages: [UnsafeRawPointer] = []

    public init(_ configuration: Configuration, capacity: Int, precision: Precision = .exact) {
        layers = configuration.layers
        width = configuration.cacheWidth
        isHalf = precision == .fast && configuration.takesHalfCache
        self.capacity = capacity
    }

    private init(layers: Int, width: Int, capacity: Int, isHalf: Bool) {
        self.layers = layers
        self.width = width
        self.capacity = capacity
        self.isHalf = isHalf
    }

    deinit { for page in pages { page.deallocate() } }

    /// An empty cache of the same kind for other layers, such as a prediction layer.
    public func makeSibling(layers: Int) -> KVCache {
        KVCache(layers: layers, width: width, capacity: capacity, isHalf: isHalf)
    }

    private var numberBytes: Int { isHalf ? 2 : MemoryLayout<Float>.stride }
    /// Bytes of a layer in a page.
    var layerBytes: Int { Self.pageTokens * width * numberBytes }

    /// Bytes of the pages that exist.
    public var byteCount: Int { pages.count * layers * layerBytes }

    /// Bytes that one token takes.
    public var bytesPerToken: Int { layers * width * numberBytes }

    /// Makes room for more tokens; their rows are undefined until they are written.
    func extend(by tokens: Int) {
        precondition(count + tokens <= capacity, "\(count) + \(tokens) tokens in a cache for \(capacity)")
        count += tokens
        while pages.count * Self.pageTokens < count {
            let page = UnsafeMutableRawPointer.allocate(byteCount: layers * layerBytes, alignment: 64)
            pages.append(UnsafeRawPointer(page))
        }
    }

    /// Forgets all tokens but the first `tokens`.
    public func truncate(to tokens: Int) {
        precondition(tokens >= 0 && tokens <= count)
        count = tokens
        let wanted = (tokens + Self.pageTokens - 1) / Self.pageTokens
        for page in pages[wanted...] { page.deallocate() }
        pages.removeLast(pages.count - wanted)
    }

    /// Calls `body` with the pages, in order.
    @inline(__always)
    func withPages<Result>(_ body: (UnsafePointer<UnsafePointer<UInt8>?>) -> Result) -> Result {
        pages.withUnsafeBufferPointer { pages in
            pages.baseAddress!.withMemoryRebound(to: UnsafePointer<UInt8>?.self, capacity: pages.count) { body($0) }
        }
    }

    /// The page of a position, where its numbers may be written, and its slot there.
    @inline(__always)
    func page(of position: Int) -> (start: UnsafeMutablePointer<UInt8>, slot: Int) {
        let (page, slot) = position.quotientAndRemainder(dividingBy: Self.pageTokens)
        let start = UnsafeMutableRawPointer(mutating: pages[page])
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

extension Configuration {
    /// The kernels take heads of these sizes from a 16-bit cache.
    var takesHalfCache: Bool {
        switch attention {
        case .latent(let latent): latent.latentRank % 16 == 0 && latent.ropeHeadSize % 2 == 0
        case .grouped(let grouped): grouped.headSize % 16 == 0
        }
    }
}
