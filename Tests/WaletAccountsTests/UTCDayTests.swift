import Foundation
import Testing
import WaletAccounts

@Suite struct UTCDayTests {
    @Test func daysAreThoseOfFoundationsGregorianCalendarInUTC() throws {
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = try #require(TimeZone(secondsFromGMT: 0))
        for number in stride(from: 0, to: 2_932_866, by: 97) {
            let day = UTCDay(number: number)
            let date = Date(timeIntervalSince1970: Double(number) * 86_400)
            let parts = calendar.dateComponents([.year, .month, .day], from: date)
            #expect(UTCDay(year: parts.year!, month: parts.month!, day: parts.day!) == day)
            #expect(UTCDay(parsing: day.description) == day)
            #expect(UTCDay(date.addingTimeInterval(86_399.999)) == day)
            #expect(day.monthStart <= day && day <= day.monthEnd)
            #expect(day.monthStart.monthText == day.monthText && day.monthEnd.monthText == day.monthText)
            #expect(day.monthEnd.next.monthText != day.monthText)
        }
    }

    @Test(arguments: [
        "2026-02-29", "2026-13-01", "2026-00-10", "2026-1-01", "26-01-01", "", "2026-11-31", "1969-12-31",
        "2026-11-25 ", "+026-11-25", "２０２６-11-25",
    ])
    func whatIsNoDayIsNotRead(text: String) { #expect(UTCDay(parsing: text) == nil) }

    @Test func instantsAreReadAndPrinted() throws {
        let date = try #require(UTCTime.parse("2026-11-25T23:59:59Z"))
        #expect(date.timeIntervalSince1970 == 1_795_651_199)
        #expect(UTCTime.text(date) == "2026-11-25T23:59:59Z")
        #expect(UTCTime.parse("2026-11-25") == UTCTime.parse("2026-11-25T00:00:00Z"))
        for text in [
            "2026-11-25T24:00:00Z", "2026-11-25T23:60:00Z", "2026-11-25T23:59:60Z", "2026-11-25T23:59:59",
            "2026-11-25T23:59:59+01:00", "2026-11-25T1:00:00Z", "T", "2026-11-25TZ", "2026-11-25T-1:00:00Z",
        ] {
            #expect(UTCTime.parse(text) == nil, "\(text)")
        }
    }

    @Test func aClockThatSaysNonsenseIsTakenToTheNearestTimeThereIs() {
        #expect(Date(timeIntervalSince1970: -5).microseconds == 0)
        #expect(Date(timeIntervalSince1970: .nan).microseconds == 0)
        #expect(Date(timeIntervalSince1970: .infinity).microseconds == 253_402_300_799_000_000)
        #expect(UTCDay(Date.distantFuture) >= UTCDay(number: 0))
        #expect(UTCDay(Date(timeIntervalSince1970: 1e300)).description == "9999-12-31")
    }
}
