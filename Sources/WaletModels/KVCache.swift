import WaletFormats
import WaletTensor

/// What attention remembers of one sequence: `width` numbers a token and layer, in pages of 64 tokens.
///
/// For latent attention a row is the normalized latent and the one rotated key that all heads share; for grouped
/// attention it is all keys, then all values. A page holds every layer, so that a prefix is a list of pages.
public final class KVCache: @unchecked Sendable {
    // Unchecked: a cache belongs to one sequence, and one engine thread works on a sequence at a time.
    public static let pageTokens = 64

    public let layers: Int
    /// Numbers a token and layer.
    public let width: Int
    /// Tokens it may hold at most.
    public let capacity: Int
    /// Tokens it holds.
    public private(set) var count = 0
    /// `[layers, pageTokens, width]` each.
    private var pages: [FloatBuffer] = []

    public init(_ configuration: Configuration, capacity: Int) {
        layers = configuration.layers
        width = configuration.cacheWidth
        self.capacity = capacity
    }

    /// Bytes of the pages that exist.
    public var byteCount: Int { pages.count * Self.pageTokens * layers * width * MemoryLayout<Float>.stride }

    /// Makes room for more tokens; their rows are undefined until they are written.
    func extend(by tokens: Int) {
        precondition(count + tokens <= capacity, "\(count) + \(tokens) tokens in a cache for \(capacity)")
        count += tokens
        while pages.count * Self.pageTokens < count {
            pages.append(FloatBuffer(count: Self.pageTokens * layers * width))
        }
    }

    /// Forgets all tokens but the first `tokens`.
    public func truncate(to tokens: Int) {
        precondition(tokens >= 0 && tokens <= count)
        count = tokens
        let wanted = (tokens + Self.pageTokens - 1) / Self.pageTokens
        if pages.count > wanted { pages.removeLast(pages.count - wanted) }
    }

    /// The row of a token in a layer, `[width]`.
    @inline(__always)
    func row(layer: Int, position: Int) -> UnsafeMutablePointer<Float> {
        let (page, slot) = position.quotientAndRemainder(dividingBy: Self.pageTokens)
        return pages[page].pointer + (layer * Self.pageTokens + slot) * width
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
