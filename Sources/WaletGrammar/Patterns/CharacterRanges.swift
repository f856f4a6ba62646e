/// A set of Unicode scalars as sorted ranges that neither overlap nor touch.
struct CharacterRanges: Hashable, Sendable {
    private(set) var ranges: [ClosedRange<UInt32>]

    /// - Parameter ranges: in any order; surrogates are left out.
    init(_ ranges: [ClosedRange<UInt32>]) {
        var pieces: [ClosedRange<UInt32>] = []
        for range in ranges {
            if range.lowerBound <= 0xD7FF { pieces.append(range.lowerBound...min(range.upperBound, 0xD7FF)) }
            if range.upperBound >= 0xE000, range.lowerBound <= 0x10FFFF {
                pieces.append(max(range.lowerBound, 0xE000)...min(range.upperBound, 0x10FFFF))
            }
        }
        pieces.sort { $0.lowerBound < $1.lowerBound }
        var merged: [ClosedRange<UInt32>] = []
        for piece in pieces {
            if let last = merged.last, piece.lowerBound <= last.upperBound + 1 {
                merged[merged.count - 1] = last.lowerBound...max(last.upperBound, piece.upperBound)
            } else {
                merged.append(piece)
            }
        }
        self.ranges = merged
    }

    init(_ character: UInt32) { self.init([character...character]) }

    var isEmpty: Bool { ranges.isEmpty }

    func union(_ other: CharacterRanges) -> CharacterRanges { CharacterRanges(ranges + other.ranges) }

    var inverted: CharacterRanges {
        var result: [ClosedRange<UInt32>] = []
        var next: UInt32 = 0
        for range in ranges {
            if range.lowerBound > next { result.append(next...(range.lowerBound - 1)) }
            next = range.upperBound + 1
        }
        if next <= 0x10FFFF { result.append(next...0x10FFFF) }
        return CharacterRanges(result)
    }

    static let all = CharacterRanges([0...0x10FFFF])
    /// `.`: all but the line terminators of ECMAScript.
    static let dot = CharacterRanges([0x0A...0x0A, 0x0D...0x0D, 0x2028...0x2029]).inverted
    static let digit = CharacterRanges([0x30...0x39])
    static let word = CharacterRanges([0x30...0x39, 0x41...0x5A, 0x5F...0x5F, 0x61...0x7A])
    /// White space and line terminators of ECMAScript.
    static let space = CharacterRanges([
        0x09...0x0D, 0x20...0x20, 0xA0...0xA0, 0x1680...0x1680, 0x2000...0x200A, 0x2028...0x2029, 0x202F...0x202F,
        0x205F...0x205F, 0x3000...0x3000, 0xFEFF...0xFEFF,
    ])
}
