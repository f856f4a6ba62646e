// The `ignore` list of compressed-tensors: which modules a quantized checkpoint leaves plain.

/// Exact module paths and, after `re:`, regular expressions that are matched as Python's `re.match` does: from the start
/// on, not necessarily to the end.
package struct ModuleFilter: Sendable {
    package enum Verdict { case ignored, quantized, undecided }

    private let exact: Set<String>
    private let patterns: [ModulePattern]
    /// An entry is beyond the subset that Walet reads, so that no match proves nothing.
    private let isPartial: Bool

    package init(_ entries: [String]) {
        var exact: Set<String> = []
        var patterns: [ModulePattern] = []
        var isPartial = false
        for entry in entries {
            guard entry.hasPrefix("re:") else {
                exact.insert(entry)
                continue
            }
            if patterns.count < 256, let pattern = ModulePattern(String(entry.dropFirst(3))) {
                patterns.append(pattern)
            } else {
                isPartial = true
            }
        }
        self.exact = exact
        self.patterns = patterns
        self.isPartial = isPartial
    }

    package func verdict(_ module: String) -> Verdict {
        if exact.contains(module) || patterns.contains(where: { $0.matchesStart(of: module) }) { return .ignored }
        return isPartial ? .undecided : .quantized
    }
}

/// A regular expression as a set of states that are followed all at once, so that time is linear in the text whatever
/// the pattern is. Knows literals, `.`, classes, `\d \w \s`, groups, `|`, `* + ? {m,n}`, `^` and `$`.
struct ModulePattern: Sendable {
    private enum Step: Sendable {
        case bytes(ByteSet)
        /// Goes on at both places.
        case split(Int, Int)
        case start, end, match
    }

    struct ByteSet: Sendable, Equatable {
        var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

        static func == (left: ByteSet, right: ByteSet) -> Bool { left.words == right.words }

        func contains(_ byte: UInt8) -> Bool {
            let word =
                switch byte >> 6 {
                case 0: words.0
                case 1: words.1
                case 2: words.2
                default: words.3
                }
            return word >> UInt64(byte & 63) & 1 == 1
        }

        mutating func insert(_ byte: UInt8) {
            let bit = UInt64(1) << UInt64(byte & 63)
            switch byte >> 6 {
            case 0: words.0 |= bit
            case 1: words.1 |= bit
            case 2: words.2 |= bit
            default: words.3 |= bit
            }
        }

        mutating func formUnion(_ other: ByteSet) {
            words = (
                words.0 | other.words.0, words.1 | other.words.1, words.2 | other.words.2, words.3 | other.words.3
            )
        }

        var inverted: ByteSet { ByteSet(words: (~words.0, ~words.1, ~words.2, ~words.3)) }

        init(words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)) { self.words = words }
        init(_ bytes: some Sequence<UInt8>) { for byte in bytes { insert(byte) } }
    }

    private indirect enum Node {
        case bytes(ByteSet)
        case sequence([Node])
        case choice([Node])
        case loop(Node, least: Int, most: Int?)
        case start, end
    }

    private var steps: [Step] = []
    /// Nodes written so far: loops over nothing add no steps and must end all the same.
    private var emitted = 0

    private static let maximumSteps = 2048

    /// Nil for what is no valid pattern or beyond the subset.
    init?(_ text: String) {
        guard text.utf8.count <= 1024 else { return nil }
        var parser = Parser(bytes: Array(text.utf8))
        guard let node = parser.choice(depth: 0), parser.offset == parser.bytes.count, emit(node) else { return nil }
        steps.append(.match)
    }

    /// Whether a match begins at the text's first byte.
    func matchesStart(of text: String) -> Bool {
        var text = text
        return text.withUTF8 { bytes in
            var marks = [Int](repeating: -1, count: steps.count)
            var current: [Int] = []
            var next: [Int] = []
            var stack: [Int] = []
            if follow(0, at: 0, bytes.count, &marks, &stack, into: &current) { return true }
            for (offset, byte) in bytes.enumerated() {
                next.removeAll(keepingCapacity: true)
                for step in current {
                    guard case .bytes(let set) = steps[step], set.contains(byte) else { continue }
                    if follow(step + 1, at: offset + 1, bytes.count, &marks, &stack, into: &next) { return true }
                }
                swap(&current, &next)
                if current.isEmpty { return false }
            }
            return false
        }
    }

    /// Adds the byte steps that can be reached from a step without reading; true where the match is among them.
    private func follow(
        _ step: Int, at offset: Int, _ count: Int, _ marks: inout [Int], _ stack: inout [Int],
        into list: inout [Int]
    ) -> Bool {
        stack.append(step)
        while let step = stack.popLast() {
            if marks[step] == offset { continue }
            marks[step] = offset
            switch steps[step] {
            case .match: return true
            case .bytes: list.append(step)
            case .split(let first, let second):
                stack.append(second)
                stack.append(first)
            case .start: if offset == 0 { stack.append(step + 1) }
            case .end: if offset == count { stack.append(step + 1) }
            }
        }
        return false
    }

    private mutating func emit(_ node: Node) -> Bool {
        emitted += 1
        guard steps.count < Self.maximumSteps, emitted < 8 * Self.maximumSteps else { return false }
        switch node {
        case .bytes(let set): steps.append(.bytes(set))
        case .start: steps.append(.start)
        case .end: steps.append(.end)
        case .sequence(let nodes):
            for node in nodes where !emit(node) { return false }
        case .choice(let nodes):
            var exits: [Int] = []
            for (index, node) in nodes.enumerated() {
                let split = steps.count
                if index < nodes.count - 1 { steps.append(.split(split + 1, 0)) }
                guard emit(node) else { return false }
                if index < nodes.count - 1 {
                    exits.append(steps.count)
                    steps.append(.split(0, 0))
                    steps[split] = .split(split + 1, steps.count)
                }
            }
            for exit in exits { steps[exit] = .split(steps.count, steps.count) }
        case .loop(let node, let least, let most):
            for _ in 0..<least where !emit(node) { return false }
            if let most {
                var splits: [Int] = []
                for _ in least..<max(least, most) {
                    splits.append(steps.count)
                    steps.append(.split(steps.count + 1, 0))
                    guard emit(node) else { return false }
                }
                for split in splits { steps[split] = .split(split + 1, steps.count) }
            } else {
                let split = steps.count
                steps.append(.split(split + 1, 0))
                guard emit(node) else { return false }
                steps.append(.split(split, split))
                steps[split] = .split(split + 1, steps.count)
            }
        }
        return steps.count < Self.maximumSteps
    }

    private struct Parser {
        let bytes: [UInt8]
        var offset = 0

        var current: UInt8? { offset < bytes.count ? bytes[offset] : nil }

        mutating func take(_ byte: Character) -> Bool {
            guard current == byte.asciiValue else { return false }
            offset += 1
            return true
        }

        mutating func choice(depth: Int) -> Node? {
            guard depth < 32 else { return nil }
            var nodes: [Node] = []
            repeat {
                guard let node = sequence(depth: depth) else { return nil }
                nodes.append(node)
            } while take("|")
            return nodes.count == 1 ? nodes[0] : .choice(nodes)
        }

        mutating func sequence(depth: Int) -> Node? {
            var nodes: [Node] = []
            while let byte = current, byte != UInt8(ascii: "|"), byte != UInt8(ascii: ")") {
                guard let atom = atom(depth: depth), let node = repeated(atom) else { return nil }
                nodes.append(node)
            }
            return .sequence(nodes)
        }

        mutating func repeated(_ atom: Node) -> Node? {
            let node: Node
            if take("*") {
                node = .loop(atom, least: 0, most: nil)
            } else if take("+") {
                node = .loop(atom, least: 1, most: nil)
            } else if take("?") {
                node = .loop(atom, least: 0, most: 1)
            } else if current == UInt8(ascii: "{") {
                offset += 1
                guard let least = number() else { return nil }
                var most: Int? = least
                if take(",") { most = current == UInt8(ascii: "}") ? nil : number() ?? -1 }
                guard take("}"), most ?? least >= least else { return nil }
                node = .loop(atom, least: least, most: most)
            } else {
                return atom
            }
            // A lazy repetition matches the same texts; two repetitions in a row are no valid pattern.
            _ = take("?")
            if let byte = current, "*+?{".utf8.contains(byte) { return nil }
            return node
        }

        mutating func number() -> Int? {
            var value = 0
            let start = offset
            while let byte = current, (0x30...0x39).contains(byte), value <= 1000 {
                value = value * 10 + Int(byte) - 0x30
                offset += 1
            }
            return offset > start && value <= 1000 ? value : nil
        }

        mutating func atom(depth: Int) -> Node? {
            guard let byte = current else { return nil }
            offset += 1
            switch byte {
            case UInt8(ascii: "."): return .bytes(ByteSet([UInt8(ascii: "\n")]).inverted)
            case UInt8(ascii: "^"): return .start
            case UInt8(ascii: "$"): return .end
            case UInt8(ascii: "["): return set().map(Node.bytes)
            case UInt8(ascii: "\\"): return escape().map(Node.bytes)
            case UInt8(ascii: "("):
                if take("?"), !take(":") { return nil }
                guard let node = choice(depth: depth + 1), take(")") else { return nil }
                return node
            case UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "?"), UInt8(ascii: "{"): return nil
            default: return .bytes(ByteSet([byte]))
            }
        }

        /// The class or literal after a backslash.
        mutating func escape() -> ByteSet? {
            guard let byte = current else { return nil }
            offset += 1
            let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
            let letters = [UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z")]
            var word = ByteSet(digits)
            for range in letters { word.formUnion(ByteSet(range)) }
            word.insert(UInt8(ascii: "_"))
            let space = ByteSet(" \t\n\r\u{0B}\u{0C}".utf8)
            switch byte {
            case UInt8(ascii: "d"): return ByteSet(digits)
            case UInt8(ascii: "D"): return ByteSet(digits).inverted
            case UInt8(ascii: "w"): return word
            case UInt8(ascii: "W"): return word.inverted
            case UInt8(ascii: "s"): return space
            case UInt8(ascii: "S"): return space.inverted
            default:
                // Other letters and digits have meanings that are not supported: boundaries, back references.
                return word.contains(byte) && byte != UInt8(ascii: "_") ? nil : ByteSet([byte])
            }
        }

        mutating func set() -> ByteSet? {
            var set = ByteSet()
            let negated = take("^")
            var first = true
            while let byte = current, first || byte != UInt8(ascii: "]") {
                first = false
                offset += 1
                if byte == UInt8(ascii: "\\") {
                    guard let escaped = escape() else { return nil }
                    set.formUnion(escaped)
                } else if current == UInt8(ascii: "-"), offset + 1 < bytes.count,
                    bytes[offset + 1] != UInt8(ascii: "]")
                {
                    let upper = bytes[offset + 1]
                    offset += 2
                    guard byte <= upper, upper != UInt8(ascii: "\\") else { return nil }
                    set.formUnion(ByteSet(byte...upper))
                } else {
                    set.insert(byte)
                }
            }
            guard take("]") else { return nil }
            return negated ? set.inverted : set
        }
    }
}
