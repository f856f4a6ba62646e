/// Days and months by name, English first.
enum Calendar {
    static let weekdays = [
        ["Monday", "Senin"], ["Tuesday", "Selasa"], ["Wednesday", "Rabu"], ["Thursday", "Kamis"], ["Friday", "Jumat"],
        ["Saturday", "Sabtu"], ["Sunday", "Minggu"],
    ]
    static let months = [
        ["January", "Januari"], ["February", "Februari"], ["March", "Maret"], ["April"], ["May", "Mei"],
        ["June", "Juni"],
        ["July", "Juli"], ["August", "Agustus"], ["September"], ["October", "Oktober"], ["November"],
        ["December", "Desember"],
    ]
    /// Of a year that is no leap year.
    static let lengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

    static func weekday(_ index: Int, _ language: TaskLanguage) -> String { name(weekdays[index], language) }
    static func month(_ number: Int, _ language: TaskLanguage) -> String { name(months[number - 1], language) }

    private static func name(_ names: [String], _ language: TaskLanguage) -> String {
        language == .english ? names[0] : names[names.count - 1]
    }

    static func date(_ month: Int, _ day: Int, _ language: TaskLanguage) -> String {
        language("\(Calendar.month(month, language)) \(day)", "\(day) \(Calendar.month(month, language))")
    }
}

/// Weekdays and dates some days on.
struct CalendarArithmetic: ReasoningTask {
    let name = "calendar"
    let levels = 1...5
    let summary =
        "a weekday some days on; up to 999 days, and back; a date some days on; days between dates; a date's weekday"

    func problem(level: Int, _ language: TaskLanguage, _ random: inout TaskRandom) -> TaskProblem {
        switch level {
        case 1: weekdays(1...30, backward: false, level, language, &random)
        case 2: weekdays(31...999, backward: random.isTrue(oneIn: 2), level, language, &random)
        case 3: dateLater(level, language, &random)
        case 4: daysBetween(level, language, &random)
        default: weekdayOfDate(level, language, &random)
        }
    }

    private func weekdays(
        _ range: ClosedRange<Int>, backward: Bool, _ level: Int, _ language: TaskLanguage, _ random: inout TaskRandom
    ) -> TaskProblem {
        let start = random.number(0...6)
        let days = random.number(range)
        let day = Calendar.weekday(start, language)
        let question =
            backward
            ? language(
                "Today is \(day). What day was it \(days) days ago?",
                "Hari ini \(day). Hari apa \(days) hari yang lalu?")
            : language(
                "Today is \(day). What day is it in \(days) days?", "Hari ini \(day). Hari apa \(days) hari lagi?")
        let (steps, end) = Self.walk(start, days, backward, language)
        return TaskProblem(
            task: name, level: level, language: language, key: "\(start)\(backward ? "-" : "+")\(days)",
            question: question,
            thinking: steps, answer: Calendar.weekday(end, language), expected: .word(end, of: Calendar.weekdays))
    }

    /// Whole weeks are left out, the rest is walked.
    private static func walk(
        _ start: Int, _ days: Int, _ backward: Bool, _ language: TaskLanguage
    ) -> (steps: String, end: Int) {
        let rest = days % 7
        var names = [Calendar.weekday(start, language)]
        var day = start
        for step in 0..<rest {
            day = (day + (backward ? 6 : 1)) % 7
            names.append("\(step + 1) \(Calendar.weekday(day, language))")
        }
        let direction = backward ? language("back", "mundur") : language("on", "maju")
        return (
            Columns.quotient(days, 7, language) + "\n\(rest) \(direction): " + names.joined(separator: ", "), day
        )
    }

    private func dateLater(_ level: Int, _ language: TaskLanguage, _ random: inout TaskRandom) -> TaskProblem {
        // At most two months on, and not beyond the year.
        let month = random.number(1...10)
        let day = random.number(1...Calendar.lengths[month - 1])
        let days = random.number(2...58)
        // Counted from the first of the month, without the months that are over by then.
        var (lines, end, later) = ([Columns.sum(day, days)], month, day + days)
        while true {
            let length = Calendar.lengths[end - 1]
            lines.append("\(Calendar.month(end, language)) \(length)\n" + Order.line(later, length, language))
            if later <= length { break }
            lines.append(Columns.difference(later, length))
            (end, later) = (end + 1, later - length)
        }
        lines.append(Calendar.date(end, later, language))
        let start = Calendar.date(month, day, language)
        let question = random.pick([
            language(
                "What date is \(days) days after \(start)? (No leap year.)",
                "Tanggal berapa \(days) hari setelah \(start)? (Bukan tahun kabisat.)"),
            language(
                "Today is \(start), in a year that is no leap year. What is the date in \(days) days?",
                "Hari ini \(start), bukan tahun kabisat. Tanggal berapa \(days) hari lagi?"),
        ])
        return TaskProblem(
            task: name, level: level, language: language, key: "\(month)/\(day)+\(days)", question: question,
            thinking: lines.joined(separator: "\n"), answer: Calendar.date(end, later, language),
            expected: .date(month: end, day: later))
    }

    /// Days from one date to a later one of the same year, counted by months.
    private static func count(
        _ from: (month: Int, day: Int), _ to: (month: Int, day: Int), _ language: TaskLanguage
    ) -> (steps: String, days: Int) {
        // The months between the two are named first, so that none is left out and none is one too many.
        let months = (from.month..<to.month).map { "\(Calendar.month($0, language)) \(Calendar.lengths[$0 - 1])" }
        var lines = [(months + [Calendar.month(to.month, language)]).joined(separator: ", ")]
        var days = to.day
        for month in from.month..<to.month {
            lines.append(Columns.sum(days, Calendar.lengths[month - 1]))
            days += Calendar.lengths[month - 1]
        }
        lines.append(Columns.difference(days, from.day))
        return (lines.joined(separator: "\n"), days - from.day)
    }

    private static func dates(
        _ random: inout TaskRandom
    ) -> (from: (month: Int, day: Int), to: (month: Int, day: Int)) {
        let from = random.number(1...9)
        let to = min(12, from + random.number(0...4))
        let first = random.number(1...(from == to ? 14 : Calendar.lengths[from - 1]))
        let second = random.number((from == to ? 15 : 1)...Calendar.lengths[to - 1])
        return ((from, first), (to, second))
    }

    private func daysBetween(_ level: Int, _ language: TaskLanguage, _ random: inout TaskRandom) -> TaskProblem {
        let (from, to) = Self.dates(&random)
        let (steps, days) = Self.count(from, to, language)
        let (first, second) = (Calendar.date(from.month, from.day, language), Calendar.date(to.month, to.day, language))
        return TaskProblem(
            task: name, level: level, language: language, key: "\(from.month)/\(from.day)..\(to.month)/\(to.day)",
            question: language(
                "How many days are there from \(first) to \(second) of the same year? (No leap year.)",
                "Berapa hari dari \(first) sampai \(second) tahun yang sama? (Bukan tahun kabisat.)"),
            thinking: steps, answer: "\(days)", expected: .number(ExactDecimal(days)))
    }

    private func weekdayOfDate(_ level: Int, _ language: TaskLanguage, _ random: inout TaskRandom) -> TaskProblem {
        let (from, to) = Self.dates(&random)
        let start = random.number(0...6)
        let (steps, days) = Self.count(from, to, language)
        let (walked, end) = Self.walk(start, days, false, language)
        let (first, second) = (Calendar.date(from.month, from.day, language), Calendar.date(to.month, to.day, language))
        let day = Calendar.weekday(start, language)
        return TaskProblem(
            task: name, level: level, language: language,
            key: "\(start) \(from.month)/\(from.day)..\(to.month)/\(to.day)",
            question: language(
                "\(first) is a \(day). What day is \(second) of the same year? (No leap year.)",
                "\(first) adalah hari \(day). Hari apa \(second) tahun yang sama? (Bukan tahun kabisat.)"),
            thinking: steps + "\n" + walked, answer: Calendar.weekday(end, language),
            expected: .word(end, of: Calendar.weekdays))
    }
}
