// A vocabulary as a trie of bytes, so that a mask looks at what tokens have in common once.

/// The tokens of a model by their bytes, made once for a model and shared by all its grammars. Immutable but for a cache
/// of masks with a bound.
public final class VocabularyTrie: Sendable {
    /// Longer tokens are never allowed by their bytes; no vocabulary needs them.
    private static let longestToken = 512

    /// One more than the highest id.
    public let count: Int
    /// Tokens that end an output, ascending.
    public let endTokens: [Int]

    // Nodes in the order of their strings, each before those that it begins. Node 0 is the empty string.

    /// The last byte of a node's string.
    let byte: [UInt8]
    /// The length of a node's string.
    let depth: [UInt16]
    /// The first node after a node and all that it begins.
    let end: [Int32]
    /// Where the tokens of a node begin in `tokens`, and one more at the end.
    let tokenStart: [Int32]
    /// Ids by node.
    let tokens: [Int32]
    /// The child of the root by its byte, or -1.
    let rootChild: [Int32]

    /// Bytes of tokens, by id; empty where an id has none.
    private let arena: [UInt8]
    private let spans: [(start: Int32, count: Int32)]

    /// Bytes that are tokens by themselves, so that they can always be written.
    let writableBytes: ByteSet
    /// Characters of the longest token, at most.
    let longest: Int
    let cache: MaskCache

    /// - Parameters:
    ///   - tokens: what each id stands for in the output. Nil, or no bytes, for ids that are no token, and for control
    ///     tokens, which only a mark of a grammar allows.
    ///   - endTokens: ids that end an output; they are allowed where a grammar is complete and nowhere else.
    ///   - cacheBytes: how much memory masks may take that are kept for later.
    public init(_ tokens: [[UInt8]?], endTokens: some Sequence<Int> = [], cacheBytes: Int = 64 << 20) {
        let tokens = tokens.prefix(Int(Int32.max) / 2)
        count = tokens.count
        let ends = Set(endTokens.filter { tokens.indices.contains($0) })
        self.endTokens = ends.sorted()
        cache = MaskCache(byteLimit: cacheBytes)

        var arena: [UInt8] = []
        var spans = [(start: Int32, count: Int32)](repeating: (0, 0), count: tokens.count)
        var order: [Int32] = []
        for (id, bytes) in tokens.enumerated() {
            guard let bytes, !bytes.isEmpty, bytes.count <= Self.longestToken, !ends.contains(id),
                arena.count + bytes.count < Int(Int32.max)
            else { continue }
            spans[id] = (Int32(arena.count), Int32(bytes.count))
            arena += bytes
            order.append(Int32(id))
        }
        arena.withUnsafeBufferPointer { arena in
            order.sort { left, right in
                let (a, b) = (spans[Int(left)], spans[Int(right)])
                let common = Int(min(a.count, b.count))
                for offset in 0..<common {
                    let (first, second) = (arena[Int(a.start) + offset], arena[Int(b.start) + offset])
                    if first != second { return first < second }
                }
                return a.count != b.count ? a.count < b.count : left < right
            }
        }

        var byte: [UInt8] = [0]
        var depth: [UInt16] = [0]
        var end: [Int32] = [0]
        var tokenStart: [Int32] = [0]
        var sorted: [Int32] = []
        var rootChild = [Int32](repeating: -1, count: 256)
        var writable = ByteSet()
        // Nodes along the token before.
        var path: [Int] = [0]
        var before: ArraySlice<UInt8> = []
        for id in order {
            let span = spans[Int(id)]
            let bytes = arena[Int(span.start)..<Int(span.start + span.count)]
            var common = 0
            for (left, right) in zip(before, bytes) {
                guard left == right else { break }
                common += 1
            }
            while path.count > common + 1 { end[path.removeLast()] = Int32(byte.count) }
            for value in bytes.dropFirst(common) {
                if path.count == 1 { rootChild[Int(value)] = Int32(byte.count) }
                path.append(byte.count)
                byte.append(value)
                depth.append(UInt16(path.count - 1))
                end.append(0)
                tokenStart.append(Int32(sorted.count))
            }
            sorted.append(id)
            if bytes.count == 1, let value = bytes.first { writable.insert(value) }
            before = bytes
        }
        for node in path { end[node] = Int32(byte.count) }
        tokenStart.append(Int32(sorted.count))

        self.byte = byte
        self.depth = depth
        self.end = end
        self.tokenStart = tokenStart
        self.tokens = sorted
        self.rootChild = rootChild
        self.arena = arena
        self.spans = spans
        writableBytes = writable
        longest = Int(depth.max() ?? 0)
    }

    /// The tables without checks of bounds, for loops over all of them.
    struct Tables {
        let byte: UnsafeBufferPointer<UInt8>
        let depth: UnsafeBufferPointer<UInt16>
        let end: UnsafeBufferPointer<Int32>
        let tokenStart: UnsafeBufferPointer<Int32>
        let tokens: UnsafeBufferPointer<Int32>

        /// Sets the bits of the tokens of a node.
        @inline(__always)
        func setTokens(_ node: Int, _ words: UnsafeMutableBufferPointer<UInt64>) {
            for index in Int(tokenStart[node])..<Int(tokenStart[node + 1]) {
                let id = Int(tokens[index])
                words[id >> 6] |= 1 << UInt64(id & 63)
            }
        }
    }

    @inline(__always)
    func withTables<Result>(_ body: (Tables) -> Result) -> Result {
        byte.withUnsafeBufferPointer { byte in
            depth.withUnsafeBufferPointer { depth in
                end.withUnsafeBufferPointer { end in
                    tokenStart.withUnsafeBufferPointer { tokenStart in
                        tokens.withUnsafeBufferPointer { tokens in
                            body(
                                Tables(byte: byte, depth: depth, end: end, tokenStart: tokenStart, tokens: tokens))
                        }
                    }
                }
            }
        }
    }

    /// The bytes of a token; empty where it has none that a grammar allows.
    func bytes(of id: Int) -> ArraySlice<UInt8> {
        guard spans.indices.contains(id) else { return [] }
        let span = spans[id]
        return arena[Int(span.start)..<Int(span.start + span.count)]
    }

    /// Whether a token ends an output.
    func isEnd(_ id: Int) -> Bool { endTokens.contains(id) }

    /// The node of a string below a node, or -1.
    func node(_ bytes: some Sequence<UInt8>, below start: Int32) -> Int32 {
        var node = start
        for byte in bytes {
            node = child(node, byte)
            if node < 0 { return -1 }
        }
        return node
    }

    private func child(_ node: Int32, _ value: UInt8) -> Int32 {
        if node == 0 { return rootChild[Int(value)] }
        var child = node + 1
        let last = end[Int(node)]
        while child < last {
            if byte[Int(child)] == value { return child }
            child = end[Int(child)]
        }
        return -1
    }

    /// Memory of the masks that are kept.
    public var cachedBytes: Int { cache.byteCount }

    /// Memory of the tables, roughly.
    public var approximateBytes: Int {
        byte.count * 11 + tokens.count * 4 + spans.count * 8 + arena.count
    }
}
