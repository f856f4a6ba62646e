// The numbers that a schema admits, as automata over their digits.

/// What a schema says of a number.
struct NumberConstraint: Hashable, Sendable {
    struct Bound: Hashable, Sendable {
        var value: Decimal
        var isInclusive: Bool
    }

    var isInteger = false
    var lower: Bound?
    var upper: Bound?
    /// All positive.
    var multiples: Set<Decimal> = []

    var isUnbounded: Bool { lower == nil && upper == nil && multiples.isEmpty }

    mutating func raiseLower(_ bound: Bound) {
        guard let known = lower else {
            lower = bound
            return
        }
        if known.value < bound.value || (known.value == bound.value && !bound.isInclusive) { lower = bound }
    }

    mutating func sinkUpper(_ bound: Bound) {
        guard let known = upper else {
            upper = bound
            return
        }
        if bound.value < known.value || (known.value == bound.value && !bound.isInclusive) { upper = bound }
    }

    func accepts(_ number: Decimal) -> Bool {
        if isInteger, !number.fraction.isEmpty { return false }
        if let lower, number < lower.value || (number == lower.value && !lower.isInclusive) { return false }
        if let upper, upper.value < number || (number == upper.value && !upper.isInclusive) { return false }
        return multiples.allSatisfy { number.isMultiple(of: $0) }
    }
}

/// A number's digits, one after the other.
private struct NumberState: Hashable {
    enum Phase: UInt8 { case start, sign, zero, whole, point, fraction }

    var phase = Phase.start
    var isNegative = false
    /// Digits before and after the point so far.
    var wholeCount: UInt8 = 0
    var fractionCount: UInt8 = 0
    /// How the digits compare with as many of the nearer and the farther bound: -1, 0, 1.
    var near: Int8 = 0
    var far: Int8 = 0
    /// The digits so far, without the point, modulo the divisor: as far as digits that follow depend on it.
    var remainder: Int32 = 0
    /// Whether the divisor divides them.
    var isMultiple = true

    func hash(into hasher: inout Hasher) {
        // All of it in one number: states are hashed a million times.
        var value = UInt64(UInt32(bitPattern: remainder)) << 32 | UInt64(phase.rawValue) << 24
        value |= UInt64(wholeCount) << 16 | UInt64(fractionCount) << 8
        value |= UInt64(near + 1) << 4 | UInt64(far + 1) << 2 | (isNegative ? 2 : 0) | (isMultiple ? 1 : 0)
        hasher.combine(value)
    }
}

extension NumberConstraint {
    /// Digits before and after the point together. No two decimals of so many digits are the same double, so that a
    /// bound that holds for the digits holds for whatever reads them.
    private static let doubleDigits = 15
    /// Those of 64-bit integers.
    private static let integerDigits = 19
    private static let largestDivisor = 1_000_000

    /// Spellings of the numbers: integers without point or exponent, within 64 bits; numbers with bounds or a
    /// `multipleOf` without exponent. Nil where there is none.
    func automaton(path: String, budget: inout CompileBudget) throws(GrammarError) -> ByteAutomaton? {
        if isUnbounded, !isInteger { return try Self.anyNumber(path: path, budget: &budget) }
        let (divisor, places) = try divisor(path)
        var bounded = self
        if isInteger {
            bounded.raiseLower(Bound(value: Self.integerMinimum, isInclusive: true))
            bounded.sinkUpper(Bound(value: Self.integerMaximum, isInclusive: true))
        }
        let digits = isInteger ? Self.integerDigits : Self.doubleDigits
        let walk = NumberWalk(
            bounded, digits: digits, places: isInteger ? 0 : min(places ?? digits, digits),
            divisor: divisor, divisorPlaces: isInteger ? 0 : places ?? 0)
        return try ByteAutomaton.exploring(
            from: NumberState(), alphabet: Array("-.0123456789".utf8), path: path, budget: &budget,
            accepts: walk.accepts, step: walk.step)
    }

    private static let integerMinimum = Decimal(
        isNegative: true, whole: digits("9223372036854775808"), fraction: [])
    private static let integerMaximum = Decimal(
        isNegative: false, whole: digits("9223372036854775807"), fraction: [])

    private static func digits(_ text: String) -> [UInt8] { text.utf8.map { $0 - 0x30 } }

    /// The least common multiple of all divisors, in units of the returned number of decimal places.
    private func divisor(_ path: String) throws(GrammarError) -> (Int32, places: Int?) {
        guard !multiples.isEmpty else { return (1, nil) }
        let places = multiples.map(\.fraction.count).max() ?? 0
        var result = 1
        for multiple in multiples {
            var unit = 0
            for digit in multiple.whole + multiple.fraction { unit = min(unit * 10 + Int(digit), 1 << 50) }
            for _ in multiple.fraction.count..<places { unit = min(unit * 10, 1 << 50) }
            // Both factors are at most a million, so that the product fits.
            if unit <= Self.largestDivisor { result = result / Self.commonDivisor(result, unit) * unit }
            guard places <= Self.doubleDigits, unit <= Self.largestDivisor, result <= Self.largestDivisor else {
                throw .limit(
                    path: path, what: "multipleOf, in units of its last digit", maximum: Self.largestDivisor,
                    found: "more")
            }
        }
        guard isInteger, places > 0 else { return (Int32(result), places) }
        // n is a multiple of p/10^k where n 10^k is one of p.
        var scale = 1
        for _ in 0..<places { scale = scale * 10 % result }
        return (Int32(result / Self.commonDivisor(result, scale)), 0)
    }

    private static func commonDivisor(_ left: Int, _ right: Int) -> Int {
        var (left, right) = (left, right)
        while right != 0 { (left, right) = (right, left % right) }
        return max(left, 1)
    }

    private struct Plain: Hashable {
        enum Phase: UInt8 { case start, sign, zero, whole, point, fraction, e, exponentSign, exponent }
        var phase = Phase.start
        /// Digits of this part.
        var count: UInt8 = 0
        /// The first digit of the exponent.
        var first: UInt8 = 0
    }

    /// Any number whose digits keep it within a double: 19 before the point, 24 after it, exponents below 200.
    private static func anyNumber(path: String, budget: inout CompileBudget) throws(GrammarError) -> ByteAutomaton? {
        try ByteAutomaton.exploring(
            from: Plain(), alphabet: Array("+-.0123456789Ee".utf8), path: path, budget: &budget,
            accepts: { [.zero, .whole, .fraction, .exponent].contains($0.phase) },
            step: { state, byte in
                let isDigit = byte >= 0x30 && byte <= 0x39
                switch (state.phase, byte) {
                case (.start, UInt8(ascii: "-")): return Plain(phase: .sign)
                case (.start, 0x30), (.sign, 0x30): return Plain(phase: .zero)
                case (.start, _), (.sign, _): return isDigit ? Plain(phase: .whole, count: 1) : nil
                case (.whole, _) where isDigit:
                    return state.count < 19 ? Plain(phase: .whole, count: state.count + 1) : nil
                case (.zero, UInt8(ascii: ".")), (.whole, UInt8(ascii: ".")): return Plain(phase: .point)
                case (.point, _): return isDigit ? Plain(phase: .fraction, count: 1) : nil
                case (.fraction, _) where isDigit:
                    return state.count < 24 ? Plain(phase: .fraction, count: state.count + 1) : nil
                case (.zero, UInt8(ascii: "e")), (.zero, UInt8(ascii: "E")), (.whole, UInt8(ascii: "e")),
                    (.whole, UInt8(ascii: "E")), (.fraction, UInt8(ascii: "e")), (.fraction, UInt8(ascii: "E")):
                    return Plain(phase: .e)
                case (.e, UInt8(ascii: "+")), (.e, UInt8(ascii: "-")): return Plain(phase: .exponentSign)
                case (.e, _), (.exponentSign, _):
                    return isDigit ? Plain(phase: .exponent, count: 1, first: min(byte, 0x32)) : nil
                case (.exponent, _) where isDigit:
                    guard state.count == 1 || (state.count == 2 && state.first <= 0x31) else { return nil }
                    return Plain(phase: .exponent, count: state.count + 1, first: state.first)
                default: return nil
                }
            })
    }
}

/// Steps through digits while it compares them with the bounds.
private struct NumberWalk {
    /// Bounds of the magnitude on one side of zero: the one nearer to zero and the one farther.
    private struct Side {
        var near: NumberConstraint.Bound
        var far: NumberConstraint.Bound?
    }

    private var positive: Side?
    private var negative: Side?
    private let digits: Int
    private let places: Int
    private let divisor: Int32
    private let divisorPlaces: Int
    /// Remainders that differ by this are the same once another digit has come.
    private let period: Int32

    init(_ constraint: NumberConstraint, digits: Int, places: Int, divisor: Int32, divisorPlaces: Int) {
        self.digits = digits
        self.places = places
        self.divisor = divisor
        self.divisorPlaces = divisorPlaces
        let tens: Int32 = (divisor % 2 == 0 ? 2 : 1) * (divisor % 5 == 0 ? 5 : 1)
        // Within a fraction, the places that are left matter too.
        period = divisorPlaces == 0 ? divisor / tens : divisor
        let (lower, upper) = (constraint.lower, constraint.upper)
        if upper.map({ !$0.value.isNegative }) ?? true {
            var side = Side(near: .init(value: .zero, isInclusive: true), far: upper)
            if let lower, !lower.value.isNegative { side.near = lower }
            positive = side
        }
        if lower.map({ $0.value.isNegative }) ?? true {
            // There is no negative zero.
            var side = Side(
                near: .init(value: .zero, isInclusive: false),
                far: lower.map { .init(value: $0.value.negated, isInclusive: $0.isInclusive) })
            if let upper, upper.value.isNegative {
                side.near = .init(value: upper.value.negated, isInclusive: upper.isInclusive)
            }
            negative = side
        }
    }

    private func side(_ state: NumberState) -> Side? { state.isNegative ? negative : positive }

    func step(_ state: NumberState, _ byte: UInt8) -> NumberState? {
        var state = state
        switch (state.phase, byte) {
        case (.start, UInt8(ascii: "-")):
            guard negative != nil else { return nil }
            state.isNegative = true
            state.phase = .sign
            return state
        case (.zero, UInt8(ascii: ".")), (.whole, UInt8(ascii: ".")):
            guard places > 0, let side = side(state) else { return nil }
            state.phase = .point
            state.near = compare(state, state.near, with: side.near.value)
            if let far = side.far { state.far = compare(state, state.far, with: far.value) }
            return state
        default: break
        }
        guard byte >= 0x30, byte <= 0x39, let side = side(state) else { return nil }
        let digit = byte - 0x30
        switch state.phase {
        case .start, .sign:
            state.phase = digit == 0 ? .zero : .whole
            if digit == 0 {
                // A zero before the point is no digit of a bound below 1.
                return state
            }
            state.wholeCount = 1
        case .zero: return nil
        case .whole:
            guard state.wholeCount < digits else { return nil }
            state.wholeCount += 1
        case .point, .fraction:
            guard state.fractionCount < places, Int(state.wholeCount) + Int(state.fractionCount) < digits else {
                return nil
            }
            state.phase = .fraction
            state.fractionCount += 1
            let index = Int(state.fractionCount) - 1
            compareFraction(digit, at: index, with: side.near.value, &state.near)
            if let far = side.far { compareFraction(digit, at: index, with: far.value, &state.far) }
        }
        if state.phase == .whole {
            let index = Int(state.wholeCount) - 1
            compareWhole(digit, at: index, with: side.near.value, &state.near)
            if let far = side.far {
                guard state.wholeCount <= far.value.whole.count else { return nil }
                compareWhole(digit, at: index, with: far.value, &state.far)
            }
        }
        let remainder = Int32((Int(state.remainder) * 10 + Int(digit)) % Int(divisor))
        state.isMultiple = remainder == 0
        state.remainder = remainder % period
        return state
    }

    private func compareWhole(_ digit: UInt8, at index: Int, with bound: Decimal, _ result: inout Int8) {
        if index >= bound.whole.count {
            // More digits than the bound has, whatever they are.
            result = 1
        } else if result == 0, digit != bound.whole[index] {
            result = digit < bound.whole[index] ? -1 : 1
        }
    }

    private func compareFraction(_ digit: UInt8, at index: Int, with bound: Decimal, _ result: inout Int8) {
        let other = index < bound.fraction.count ? bound.fraction[index] : 0
        if result == 0, digit != other { result = digit < other ? -1 : 1 }
    }

    /// How the digits before the point compare with those of a bound.
    private func compare(_ state: NumberState, _ prefix: Int8, with bound: Decimal) -> Int8 {
        let count = Int(state.wholeCount)
        return count == bound.whole.count ? prefix : count < bound.whole.count ? -1 : 1
    }

    func accepts(_ state: NumberState) -> Bool {
        guard let side = side(state) else { return false }
        switch state.phase {
        case .start, .sign, .point: return false
        case .zero, .whole, .fraction: break
        }
        func order(_ prefix: Int8, _ bound: Decimal) -> Int8 {
            let order = state.phase == .fraction ? prefix : compare(state, prefix, with: bound)
            guard order == 0 else { return order }
            return bound.fraction.count > Int(state.fractionCount) ? -1 : 0
        }
        let near = order(state.near, side.near.value)
        guard near > 0 || (near == 0 && side.near.isInclusive) else { return false }
        if let far = side.far {
            let order = order(state.far, far.value)
            guard order < 0 || (order == 0 && far.isInclusive) else { return false }
        }
        guard divisorPlaces > 0 else { return state.isMultiple }
        var scaled = Int(state.remainder)
        for _ in Int(state.fractionCount)..<max(divisorPlaces, Int(state.fractionCount)) {
            scaled = scaled * 10 % Int(divisor)
        }
        return scaled == 0
    }
}
