// Tokens that are found in the text before anything else: control tokens and what was added to a vocabulary.

/// A token that is matched literally.
struct AddedToken: Sendable, Equatable {
    var content: [UInt8]
    var id: Int32
    /// Skipped in decoded text where the caller wishes.
    var isSpecial = true
    /// Matched against normalized text.
    var isNormalized = false
    /// Swallows white space before it.
    var stripsLeft = false
    /// Swallows white space after it.
    var stripsRight = false
    /// Matches only where no word character touches it.
    var isSingleWord = false

    /// A run of white space is an ordinary way to write text; anything else may steer the model.
    var isWhiteSpace: Bool {
        content.withUnsafeBufferPointer { !$0.isEmpty && WhiteSpace.prefix($0, from: 0) == $0.count }
    }
}

/// Finds added tokens: the leftmost, the longest of those that start together.
struct AddedTokenMatcher: Sendable {
    /// Longer tokens are refused, so that matching is linear in the text.
    static let longest = 4096

    private struct Node: Sendable {
        /// Index of the token that ends here, or -1.
        var token: Int32 = -1
        /// First child and next sibling, or -1.
        var child: Int32 = -1
        var sibling: Int32 = -1
        var byte: UInt8 = 0
    }

    private let tokens: [AddedToken]
    private var nodes: [Node] = []
    /// The node of each first byte, or -1.
    private var roots = [Int32](repeating: -1, count: 256)
    private let word: SplitRegex?

    init(_ tokens: [AddedToken]) throws(TokenizerError) {
        self.tokens = tokens
        word = tokens.contains(where: \.isSingleWord) ? try SplitRegex(#"\A\w"#, .rust) : nil
        for (index, token) in tokens.enumerated() {
            guard let first = token.content.first else { continue }
            if roots[Int(first)] < 0 { roots[Int(first)] = append(Node(byte: first)) }
            var node = roots[Int(first)]
            for byte in token.content.dropFirst() {
                var child = nodes[Int(node)].child
                while child >= 0, nodes[Int(child)].byte != byte { child = nodes[Int(child)].sibling }
                if child < 0 {
                    child = append(Node(sibling: nodes[Int(node)].child, byte: byte))
                    nodes[Int(node)].child = child
                }
                node = child
            }
            nodes[Int(node)].token = Int32(index)
        }
    }

    private mutating func append(_ node: Node) -> Int32 {
        nodes.append(node)
        return Int32(nodes.count - 1)
    }

    var isEmpty: Bool { nodes.isEmpty }

    /// Cuts a text at its added tokens.
    /// - Parameters:
    ///   - isAllowed: whether a token may be taken at a range of bytes.
    ///   - body: called with each part in order, and with the token where the part is one.
    func parts(
        _ text: UnsafeBufferPointer<UInt8>, _ session: RegexSession,
        isAllowed: (AddedToken, Range<Int>) -> Bool, _ body: (Range<Int>, AddedToken?) -> Void
    ) {
        var done = 0
        var index = 0
        let count = text.count
        if !isEmpty {
            roots.withUnsafeBufferPointer { roots in
                nodes.withUnsafeBufferPointer { nodes in
                    while index < count {
                        let root = roots[Int(text[index])]
                        if root < 0 {
                            index += 1
                            continue
                        }
                        guard let found = longest(text, index, root, nodes, isAllowed) else {
                            index += 1
                            continue
                        }
                        let token = tokens[found.token]
                        var start = index
                        var end = found.end
                        // A match that is no word of its own is passed over as a whole, as the reference does.
                        index = end
                        if token.isSingleWord, touchesWord(text, start, end, session) { continue }
                        if token.stripsLeft { start = WhiteSpace.suffix(text, before: start, from: done) }
                        // White space that a token before has swallowed cannot be taken again.
                        start = max(start, done)
                        if token.stripsRight { end = WhiteSpace.prefix(text, from: end) }
                        end = max(start, end)
                        if done < start { body(done..<start, nil) }
                        body(start..<end, token)
                        done = end
                    }
                }
            }
        }
        if done < count { body(done..<count, nil) }
    }

    private func longest(
        _ text: UnsafeBufferPointer<UInt8>, _ start: Int, _ root: Int32, _ nodes: UnsafeBufferPointer<Node>,
        _ isAllowed: (AddedToken, Range<Int>) -> Bool
    ) -> (token: Int, end: Int)? {
        var found: (Int, Int)?
        var node = root
        var end = start + 1
        while true {
            let token = nodes[Int(node)].token
            if token >= 0, isAllowed(tokens[Int(token)], start..<end) { found = (Int(token), end) }
            guard end < text.count else { break }
            var child = nodes[Int(node)].child
            while child >= 0, nodes[Int(child)].byte != text[end] { child = nodes[Int(child)].sibling }
            if child < 0 { break }
            node = child
            end += 1
        }
        return found
    }

    private func touchesWord(
        _ text: UnsafeBufferPointer<UInt8>, _ start: Int, _ end: Int, _ session: RegexSession
    ) -> Bool {
        guard let word else { return false }
        var before = start
        if before > 0 {
            before -= 1
            while before > 0, text[before] & 0xC0 == 0x80 { before -= 1 }
        }
        for range in [before..<start, end..<min(text.count, end + 4)] where !range.isEmpty {
            var stop = range.lowerBound
            _ = UnicodeShadow.scalar(text, &stop)
            let character = UnsafeBufferPointer(rebasing: text[range.lowerBound..<stop])
            let shadow = Self.shadow(character)
            let isWord =
                shadow?.withUnsafeBufferPointer { word.match($0, from: 0, session) != nil }
                ?? (word.match(character, from: 0, session) != nil)
            if isWord { return true }
        }
        return false
    }

    private static let shadow = UnicodeShadow(explicitRanges: [])
}
