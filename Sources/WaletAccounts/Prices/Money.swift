// US dollars, exactly.

/// An amount of US dollars as a whole number of nano-dollars (10⁻⁹ USD).
///
/// A price of 0.56 USD per million tokens is 560 nano-dollars a token: amounts that follow from prices of at most three
/// decimals are never rounded. The largest amount is 9.2 billion dollars.
public struct Money: Sendable, Hashable {
    public var nanodollars: Int64

    public static let zero = Money(nanodollars: 0)

    public init(nanodollars: Int64) { self.nanodollars = nanodollars }

    /// Reads "12", "12.5" or "0.000000001": dollars with at most nine decimals, without sign or unit.
    /// - Throws: ``AccountsError/invalid(field:expected:found:)`` that names `field`.
    public init(parsing text: String, field: String = "amount") throws(AccountsError) {
        do throws(DecimalText.Failure) {
            nanodollars = try DecimalText.scaled(text, by: 9)
        } catch {
            throw .invalid(
                field: field, expected: "US dollars such as 12.50, at most nine decimals and 9 billion",
                found: AccountsError.excerpt(text))
        }
    }

    /// How many decimals the exact amount has, 0...9.
    public var decimals: Int {
        var (count, rest) = (9, nanodollars.magnitude)
        while count > 0, rest.isMultiple(of: 10) {
            rest /= 10
            count -= 1
        }
        return count
    }

    /// The exact amount with all of its decimals and at least `minimumDecimals` (0...9): "1.25", "0.000000560".
    public func text(minimumDecimals: Int) -> String {
        DecimalText.text(nanodollars, scale: 9, minimum: min(max(minimumDecimals, 0), 9))
    }

    /// The sum.
    /// - Throws: ``AccountsError/overflow(_:)`` beyond 9.2 billion dollars.
    func adding(_ other: Money, _ what: String) throws(AccountsError) -> Money {
        let (sum, overflow) = nanodollars.addingReportingOverflow(other.nanodollars)
        guard !overflow else { throw .overflow(what) }
        return Money(nanodollars: sum)
    }
}

extension Money: Comparable {
    public static func < (left: Money, right: Money) -> Bool { left.nanodollars < right.nanodollars }
}

extension Money: CustomStringConvertible {
    /// Dollars with at least two decimals: "5.00", "0.00056".
    public var description: String { text(minimumDecimals: 2) }
}
