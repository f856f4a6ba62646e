// Days and instants in UTC. No time zone and no locale of the machine has a say.

import Foundation

/// A day of the Gregorian calendar in UTC.
public struct UTCDay: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// Days since 1970-01-01.
    public let number: Int

    /// Outside the years 1970 to 9999, the nearest day of them.
    package init(number: Int) { self.number = min(max(number, 0), 2_932_896) }

    /// Nil where there is no such day, or outside the years 1970 to 9999.
    public init?(year: Int, month: Int, day: Int) {
        guard (1970...9999).contains(year), (1...12).contains(month), (1...31).contains(day) else { return nil }
        self.init(number: Self.number(year, month, day))
        guard civil == (year, month, day) else { return nil }
    }

    /// The day in which an instant falls.
    public init(_ date: Date) { self.init(microseconds: date.microseconds) }

    package init(microseconds: Int64) { self.init(number: Int(microseconds.floorDivided(by: 86_400_000_000))) }

    /// Reads "2026-11-25".
    public init?(parsing text: String) {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.map(\.utf8.count) == [4, 2, 2],
            parts.allSatisfy({ $0.utf8.allSatisfy { (0x30...0x39).contains($0) } }),
            let year = Int(parts[0]), let month = Int(parts[1]), let day = Int(parts[2])
        else { return nil }
        self.init(year: year, month: month, day: day)
    }

    /// The first day of this day's month.
    public var monthStart: UTCDay { UTCDay(number: Self.number(civil.year, civil.month, 1)) }

    /// The last day of this day's month.
    public var monthEnd: UTCDay {
        let (year, month, _) = civil
        return UTCDay(number: (month == 12 ? Self.number(year + 1, 1, 1) : Self.number(year, month + 1, 1)) - 1)
    }

    public var next: UTCDay { UTCDay(number: number + 1) }

    /// Midnight, when the day begins.
    public var start: Date { Date(microseconds: Int64(number) * 86_400_000_000) }

    /// "2026-11".
    public var monthText: String { String(description.prefix(7)) }

    /// "2026-11-25".
    public var description: String {
        let (year, month, day) = civil
        func digits(_ value: Int, _ count: Int) -> String {
            String(repeating: "0", count: max(0, count - "\(value)".count)) + "\(value)"
        }
        return "\(digits(year, 4))-\(digits(month, 2))-\(digits(day, 2))"
    }

    public static func < (left: UTCDay, right: UTCDay) -> Bool { left.number < right.number }

    // Both directions after Howard Hinnant, "chrono-compatible low-level date algorithms": years begin in March, in eras
    // of 400 years.

    private static func number(_ year: Int, _ month: Int, _ day: Int) -> Int {
        let year = month <= 2 ? year - 1 : year
        let era = year / 400
        let yearOfEra = year - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    private var civil: (year: Int, month: Int, day: Int) {
        let shifted = number + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        return (
            yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
        )
    }
}

/// Instants as text.
public enum UTCTime {
    /// "2026-11-25T11:10:34Z"; what is below a second is cut off.
    public static func text(_ date: Date) -> String { text(microseconds: date.microseconds) }

    static func text(microseconds: Int64) -> String {
        let day = UTCDay(microseconds: microseconds)
        let second = Int((microseconds - Int64(day.number) * 86_400_000_000) / 1_000_000)
        func two(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
        return "\(day)T\(two(second / 3600)):\(two(second / 60 % 60)):\(two(second % 60))Z"
    }

    /// Reads "2026-11-25T11:10:34Z", or "2026-11-25" as the midnight at which that day begins. UTC only.
    public static func parse(_ text: String) -> Date? {
        if let day = UTCDay(parsing: text) { return day.start }
        let parts = text.split(separator: "T", omittingEmptySubsequences: false)
        guard parts.count == 2, let day = UTCDay(parsing: String(parts[0])), parts[1].utf8.count == 9,
            parts[1].last == "Z"
        else { return nil }
        let fields = parts[1].dropLast().split(separator: ":", omittingEmptySubsequences: false)
        guard fields.map(\.utf8.count) == [2, 2, 2],
            fields.allSatisfy({ $0.utf8.allSatisfy { (0x30...0x39).contains($0) } }),
            let hour = Int(fields[0]), let minute = Int(fields[1]), let second = Int(fields[2]),
            hour < 24, minute < 60, second < 60
        else { return nil }
        let seconds = Int64(hour * 3600 + minute * 60 + second)
        return Date(microseconds: day.start.microseconds + seconds * 1_000_000)
    }
}

extension Date {
    /// Microseconds since 1970, within the years 1970 to 9999 whatever the clock says.
    package var microseconds: Int64 {
        let value = (timeIntervalSince1970 * 1_000_000).rounded()
        guard value > 0 else { return 0 }
        return value < 253_402_300_799_000_000 ? Int64(value) : 253_402_300_799_000_000
    }

    package init(microseconds: Int64) { self.init(timeIntervalSince1970: Double(microseconds) / 1_000_000) }
}

extension Int64 {
    func floorDivided(by divisor: Int64) -> Int64 {
        let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? quotient - 1 : quotient
    }
}
