/// Which of two numbers is larger, by the first place where they differ.
enum Order {
    /// One line, that ends with what was to be found:
    ///
    ///     412, 402: 4 = 4, 1 > 0; 412 > 402
    ///     97, 102: 2 < 3 digits; 97 < 102
    ///     1, 1.6: 1 = 1, 0 < 6; 1 < 1.6
    ///     -5, -6.2: 5 < 6; -5 > -6.2
    ///     -5, 3: -5 < 0; -5 < 3
    ///
    /// Numbers of one digit are known: `7 < 8`.
    static func line(_ a: ExactDecimal, _ b: ExactDecimal, _ language: TaskLanguage) -> String {
        let whole = "\(a) \(sign(a, b)) \(b)"
        if a.places == 0, b.places == 0, (0...9).contains(a.digits), (0...9).contains(b.digits) { return whole }
        return "\(a), \(b): \(steps(a, b, language)); \(whole)"
    }

    static func line(_ a: Int, _ b: Int, _ language: TaskLanguage) -> String {
        line(ExactDecimal(a), ExactDecimal(b), language)
    }

    private static func steps(_ a: ExactDecimal, _ b: ExactDecimal, _ language: TaskLanguage) -> String {
        let zero = ExactDecimal(0)
        guard (a < zero) == (b < zero) else { return a < zero ? "\(a) < 0" : "0 > \(b)" }
        let (first, second) = (parts(a), parts(b))
        if first.whole.count != second.whole.count {
            return "\(first.whole.count) \(sign(first.whole.count, second.whole.count)) \(second.whole.count)"
                + language(" digits", " angka")
        }
        // A place that one of them does not have is a 0 there.
        let places = max(first.places.count, second.places.count)
        var steps: [String] = []
        for (left, right) in zip(
            first.whole + padded(first.places, places), second.whole + padded(second.places, places))
        {
            steps.append("\(left) \(sign(left, right)) \(right)")
            if left != right { break }
        }
        return steps.joined(separator: ", ")
    }

    private static func sign<Number: Comparable>(_ a: Number, _ b: Number) -> String {
        a == b ? "=" : a < b ? "<" : ">"
    }

    /// The digits before the point and behind it, without a sign.
    private static func parts(_ number: ExactDecimal) -> (whole: [Int], places: [Int]) {
        let scale = Numerals.power(10, number.places)
        let (whole, rest) = abs(number.digits).quotientAndRemainder(dividingBy: scale)
        // A 1 in front keeps the zeros behind the point.
        return (Numerals.digits(of: whole).reversed(), Array(Numerals.digits(of: scale + rest).reversed().dropFirst()))
    }

    private static func padded(_ digits: [Int], _ count: Int) -> [Int] {
        digits + Array(repeating: 0, count: count - digits.count)
    }
}
