// Patterns of `--include` and `--exclude`, with the meaning that the hub's own client gives them.

/// A shell pattern as Python's `fnmatch`: `*` any run of characters ("/" too), `?` one, `[a-z]` and `[!a-z]` one of a
/// set. Case counts. A pattern that ends in "/" means everything below that folder.
package struct Glob: Sendable {
    private enum Part {
        case literal(Unicode.Scalar)
        case any
        case run
        case set([ClosedRange<UInt32>], negated: Bool)
    }

    private let parts: [Part]

    package init(_ pattern: String) {
        let scalars = Array((pattern.hasSuffix("/") ? pattern + "*" : pattern).unicodeScalars)
        var parts: [Part] = []
        var index = 0
        while index < scalars.count {
            let scalar = scalars[index]
            index += 1
            switch scalar {
            case "*":
                if case .run? = parts.last { continue }
                parts.append(.run)
            case "?": parts.append(.any)
            case "[":
                guard let (set, next) = Self.set(scalars, at: index) else {
                    parts.append(.literal(scalar))
                    continue
                }
                parts.append(set)
                index = next
            default: parts.append(.literal(scalar))
            }
        }
        self.parts = parts
    }

    private static func set(_ scalars: [Unicode.Scalar], at start: Int) -> (Part, Int)? {
        var index = start
        let negated = index < scalars.count && scalars[index] == "!"
        if negated { index += 1 }
        // A "]" right at the start is a member.
        let first = index
        var end = first < scalars.count && scalars[first] == "]" ? first + 1 : first
        while end < scalars.count, scalars[end] != "]" { end += 1 }
        guard end < scalars.count else { return nil }
        var ranges: [ClosedRange<UInt32>] = []
        while index < end {
            if index + 2 < end, scalars[index + 1] == "-" {
                let (low, high) = (scalars[index].value, scalars[index + 2].value)
                if low <= high { ranges.append(low...high) }
                index += 3
            } else {
                ranges.append(scalars[index].value...scalars[index].value)
                index += 1
            }
        }
        return (.set(ranges, negated: negated), end + 1)
    }

    /// Whether the whole of `text` matches, in time at most the product of the two lengths.
    package func matches(_ text: String) -> Bool {
        let scalars = Array(text.unicodeScalars)
        var (part, position) = (0, 0)
        var retry: (part: Int, position: Int)?
        while position < scalars.count {
            if part < parts.count {
                if case .run = parts[part] {
                    retry = (part + 1, position)
                    part += 1
                    continue
                }
                if Self.matches(parts[part], scalars[position]) {
                    part += 1
                    position += 1
                    continue
                }
            }
            guard let last = retry else { return false }
            retry = (last.part, last.position + 1)
            (part, position) = (last.part, last.position + 1)
        }
        while part < parts.count, case .run = parts[part] { part += 1 }
        return part == parts.count
    }

    private static func matches(_ part: Part, _ scalar: Unicode.Scalar) -> Bool {
        switch part {
        case .literal(let literal): literal == scalar
        case .any, .run: true
        case .set(let ranges, let negated): ranges.contains { $0.contains(scalar.value) } != negated
        }
    }
}
