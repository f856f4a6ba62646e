// Random numbers that are the same on every machine and with every version of the standard library.

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
public struct TaskRandom: Sendable {
    private var state: UInt64

    public init(seed: UInt64) { state = seed }

    private mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        return Self.mix(state)
    }

    static func mix(_ value: UInt64) -> UInt64 {
        var z = value
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// A number of a range of at most 2^32; the bias of that is below one in 2^32.
    public mutating func number(_ range: ClosedRange<Int>) -> Int {
        let count = UInt64(range.upperBound - range.lowerBound) + 1
        return range.lowerBound + Int(((next() >> 32) &* count) >> 32)
    }

    public mutating func isTrue(oneIn count: Int) -> Bool { number(1...count) == 1 }

    /// One of some values, of which there is at least one.
    public mutating func pick<Value>(_ values: [Value]) -> Value { values[number(0...values.count - 1)] }

    /// A number of so many digits, the first of which is not 0 unless it is the only one.
    mutating func digits(_ count: Int) -> Int {
        let low = count == 1 ? 0 : Numerals.power(10, count - 1)
        return number(low...Numerals.power(10, count) - 1)
    }

    public mutating func shuffle<Value>(_ values: inout [Value]) {
        for index in stride(from: values.count - 1, to: 0, by: -1) { values.swapAt(index, number(0...index)) }
    }
}
