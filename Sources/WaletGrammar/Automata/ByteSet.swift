/// A set of bytes.
struct ByteSet: Sendable, Hashable {
    private var words = SIMD4<UInt64>()

    static let all: ByteSet = {
        var set = ByteSet()
        set.insert(0...255)
        return set
    }()

    init() {}

    mutating func insert(_ byte: UInt8) { words[Int(byte >> 6)] |= 1 << UInt64(byte & 63) }

    mutating func insert(_ range: ClosedRange<UInt8>) {
        for byte in range { insert(byte) }
    }

    @inline(__always)
    func contains(_ byte: UInt8) -> Bool { words[Int(byte >> 6)] >> UInt64(byte & 63) & 1 != 0 }

    mutating func formUnion(_ other: ByteSet) { words |= other.words }

    func isSubset(of other: ByteSet) -> Bool { words & ~other.words == SIMD4() }

    var isEmpty: Bool { words == SIMD4() }

    var count: Int { (0..<4).reduce(0) { $0 + words[$1].nonzeroBitCount } }

    /// The one byte of a set of one.
    var only: UInt8? {
        guard count == 1, let word = (0..<4).first(where: { words[$0] != 0 }) else { return nil }
        return UInt8(word * 64 + words[word].trailingZeroBitCount)
    }
}
